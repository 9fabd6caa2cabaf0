# shellcheck shell=bash
# What the demos have in common; they source it. It makes a directory, $work, and ends what was started.

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
exec 3>&1
run() { printf '\n$ %s\n' "$*" >&3; "$@"; }
fail() { echo "${0##*/}: $*" >&2; exit 1; }

work=$(mktemp -d)
registry=
cleanup() {
	if [ -n "$registry" ]; then
		kill "$registry" 2>/dev/null || true
		wait "$registry" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap cleanup EXIT

# start_registry: distribution on the first free port from 5050 on.
start_registry() {
	local port
	for port in $(seq 5050 5090); do
		if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue; fi
		host=127.0.0.1:$port
		printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s}\n' "$work/registry" "$host" >registry.yml
		OTEL_TRACES_EXPORTER=none registry serve registry.yml >registry.log 2>&1 &
		registry=$!
		for _ in $(seq 100); do
			if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
			kill -0 "$registry" 2>/dev/null || break
			sleep 0.05
		done
	done
	cat registry.log >&2
	fail "the registry does not start"
}
