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

# prepare: the tools, a key, a small vulnerability database and the contexts of the builds, in $work; goes there.
prepare() {
	tools/tools.sh runc registry
	export PATH="$PWD/.tools/bin:$PATH" COSIGN_PASSWORD=demo
	go run ./internal/testdb/mkdb -out "$work" >/dev/null
	export CGO_ENABLED=0 GOFLAGS=-mod=mod
	local arch
	for arch in amd64 arm64; do
		(cd demo/app && GOARCH=$arch go build -trimpath -o "$work/context/bin/hello-linux-$arch" .)
	done
	(cd demo/app && go build -trimpath -modfile=vulnerable.mod -o "$work/context/bin/hello-vulnerable" .)
	demo/rootfs.sh "$work/context/rootfs.tar"
	cp demo/*.Dockerfile "$work/context/"
	cd "$work"
	sealyard db import vulnerability-db.tar.zst --db db >/dev/null
	echo 'nonRoot: false' >base.yaml
}

# publish_base NAME: publishes a base image under that name, with evidence like everything else, and prints it with its digest.
publish_base() {
	sealyard build context --db db --key cosign.key --push --progress quiet --file context/base.Dockerfile --tag "$host/$1:1" \
		--policy-data base.yaml --evidence-path "base-${1//\//-}" >base.txt 2>&1 || { cat base.txt >&2; fail "the base was not published"; }
	echo "$host/$1@$(sed -n 's/^digest  *//p' base.txt)"
}

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
