#!/usr/bin/env bash
# Builds the container action's image with sealyard itself and runs it on a Docker engine as GitHub's runner does. Needs
# root. Uses the Docker engine that answers, or starts one: dockerd of this machine or, unpacked, of Debian's packages.
#
#   GO_IMAGE=…   image to build with, see Dockerfile (default: one made here with mmdebstrap, if that is installed)
#
# Caches are kept in .tools/container; the first run compiles everything anew and takes long.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }
fail() { echo "container-action: $*" >&2; exit 1; }
skip() { echo "container-action: SKIPPED, nothing was tested: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip "it needs root"

cache=$PWD/.tools/container
mkdir -p "$cache"
work=$(mktemp -d)
started=()
cleanup() {
	for pid in "${started[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" || true
	done
	umount "$work/docker-run/netns/default" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
export PATH="$PWD/.tools/bin:$PATH:$PWD/.tools/docker/usr/bin:$PWD/.tools/docker/usr/sbin" COSIGN_PASSWORD=container-action

# until_works SECONDS COMMAND…: tries until it works.
until_works() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >"$work/try.log" 2>&1; do
		if [ $SECONDS -ge $end ]; then
			cat "$work/try.log" >&2
			return 1
		fi
		sleep 0.1
	done
}

start_docker() {
	if ! command -v dockerd >/dev/null; then
		if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then skip "there is no dockerd here"; fi
		mkdir -p .tools/docker
		(cd .tools/docker && apt-get -qq download docker.io containerd) || skip "there is no dockerd here, and apt has none"
		for deb in .tools/docker/*.deb; do dpkg -x "$deb" .tools/docker && rm "$deb"; done
	fi
	export DOCKER_HOST=unix://$work/docker.sock
	dockerd --data-root "$work/docker" --exec-root "$work/docker-run" --pidfile "$work/docker.pid" -H "$DOCKER_HOST" \
		--bridge=none --iptables=false --storage-driver=overlay2 >"$work/dockerd.log" 2>&1 &
	started+=($!)
	until_works 30 docker version || { tail -n 20 "$work/dockerd.log" >&2; skip "dockerd does not start here"; }
}

say "A Docker engine, a registry, BuildKit, and a small vulnerability database made of known facts"
tools/tools.sh runc registry
CGO_ENABLED=0 go build -o .tools/bin/sealyard .
if ! docker version >/dev/null 2>&1; then start_docker; fi
socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
socket=${socket#unix://}
docker version --format 'Docker {{.Server.Version}}'
go run ./internal/testdb/mkdb -out "$work" >/dev/null
for port in $(seq 5250 5290); do
	(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
done
host=127.0.0.1:$port
printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s}\n' "$work/registry" "$host" >"$work/registry.yml"
OTEL_TRACES_EXPORTER=none registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
started+=($!)
until_works 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"

# What the runner mounts: one directory each.
runner=$work/runner
mkdir -p "$runner"/{temp,home,workflow,file_commands,workspace}
coproc ENGINE { exec sealyard engine --socket "$runner/temp/buildkit.sock" --state "$cache/engine" --runc "$(command -v runc)" 2>"$work/engine.log"; }
started+=("$ENGINE_PID")
read -r -u "${ENGINE[0]}" answer
if [ "$answer" != ready ]; then fail "BuildKit: $answer"; fi
engine=(--buildkit-host "unix://$runner/temp/buildkit.sock" --db "$runner/workspace/db" --progress plain)
sealyard db import "$work/vulnerability-db.tar.zst" --db "$runner/workspace/db" >/dev/null
sealyard key generate --output-key-prefix "$runner/workspace/cosign" >/dev/null

go_image=()
if [ -n "${GO_IMAGE:-}" ]; then
	go_image=(--build-arg "GO_IMAGE=$GO_IMAGE")
elif command -v mmdebstrap >/dev/null; then
	go_image=(--build-arg GO_IMAGE=go --build-context "go=oci-layout://$cache/go")
	if [ ! -e "$cache/go/index.json" ]; then
		say "An image with Go and gcc, made here"
		mkdir "$work/go"
		mmdebstrap --quiet --variant=minbase --include=gcc,libc6-dev,ca-certificates bookworm "$work/go/rootfs.tar"
		cp -L /etc/ssl/certs/ca-certificates.crt "$work/go/"
		cat >"$work/go/Dockerfile" <<-'END'
			FROM scratch
			ADD rootfs.tar /
			COPY ca-certificates.crt /etc/ssl/certs/
			COPY --from=goroot . /usr/local/go
			ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		END
		sealyard build "$work/go" --build-context "goroot=$(go env GOROOT)" "${engine[@]}" --mode warn --evidence-path "$cache/go" ||
			fail "the image with Go was not built"
	fi
fi

say "The image of the action, built, judged, signed and published by sealyard"
printf 'nonRoot: false\n' >"$work/root.yaml" # the runner wants actions to be root
image=$host/sealyard:test
sealyard build . "${go_image[@]}" "${engine[@]}" --source-date-epoch "$(git log -1 --format=%ct)" --policy-data "$work/root.yaml" \
	--tag "$image" --key "$runner/workspace/cosign.key" --push --evidence-path "$work/image"
docker pull -q "$image"
docker image inspect --format '{{.Size}} bytes, entry point {{.Config.Entrypoint}}' "$image"

# inputs: what the runner sets when a workflow gives no input: every input of action.yml, with its default or empty.
inputs() {
	awk '/^[a-z]/ { on = /^inputs:/ }
		on && /^  [a-z]/ { if (name) print name "=" value; name = "INPUT_" toupper(substr($1, 1, length($1) - 1)); value = "" }
		on && /^    default:/ { value = $2; gsub(/"/, "", value) }
		END { print name "=" value }' action.yml
}

# step CODE INPUT=value…: runs the action as the runner does and expects that exit code. Its output is in $work/step.log,
# its outputs in $work/outputs.
step() {
	local want=$1 code=0 variables options=(-e COSIGN_PASSWORD) v
	shift
	mapfile -t variables < <(inputs)
	for v; do variables+=("INPUT_$(tr '[:lower:]' '[:upper:]' <<<"${v%%=*}")=${v#*=}"); done
	variables+=(HOME=/github/home GITHUB_WORKSPACE=/github/workspace RUNNER_TEMP=/github/runner_temp RUNNER_OS=Linux
		RUNNER_ENVIRONMENT=github-hosted GITHUB_SERVER_URL=https://github.com GITHUB_REPOSITORY=acme/app GITHUB_REF=refs/heads/main
		GITHUB_SHA=0123456789abcdef0123456789abcdef01234567 GITHUB_OUTPUT=/github/file_commands/output
		GITHUB_STEP_SUMMARY=/github/file_commands/summary)
	for v in "${variables[@]}"; do options+=(-e "${v%%=*}"); done
	: >"$runner/file_commands/output"
	: >"$runner/file_commands/summary"
	env "${variables[@]}" DOCKER_CONFIG="$work" "$(command -v docker)" run --name "sealyard-$$-$RANDOM" --label 0123ab \
		--workdir /github/workspace --rm "${options[@]}" -e GITHUB_ACTIONS=true -e CI=true --network host \
		-v "$socket:/var/run/docker.sock" -v "$runner/temp:/github/runner_temp" -v "$runner/home:/github/home" \
		-v "$runner/workflow:/github/workflow" -v "$runner/file_commands:/github/file_commands" \
		-v "$runner/workspace:/github/workspace" "$image" >"$work/step.log" 2>&1 || code=$?
	sed 's/^/    /' "$work/step.log"
	[ "$code" = "$want" ] || fail "exit code $code, want $want"
	echo "    (exit code $code)"
	cp "$runner/file_commands/output" "$work/outputs"
}
says() { grep -qF -- "$1" "$2" || { cat "$2"; fail "nothing says \"$1\""; }; }

mkdir -p "$runner/workspace/bin"
CGO_ENABLED=0 go build -C demo/app -trimpath -o "$runner/workspace/bin/hello" .
printf 'FROM scratch\nCOPY bin/hello /hello\nUSER 65532:65532\nENTRYPOINT ["/hello"]\n' >"$runner/workspace/Dockerfile"
printf 'FROM scratch\nCOPY bin/hello /hello\nENTRYPOINT ["/hello"]\n' >"$runner/workspace/root.Dockerfile"
given=(buildkit-host=unix:///github/runner_temp/buildkit.sock db=db key=cosign.key push=true)

say "Without a BuildKit: exit 3, and what to do"
step 3 db=db
says buildkit-host "$work/step.log"

say "A good image is published: exit 0, outputs, a summary"
step 0 "${given[@]}" "tags=$host/hello:1"
says 'allowed' "$work/outputs"
says "$(sealyard inspect "$host/hello:1" | sed -n 's/^image //p')" "$work/outputs"
[ -s "$runner/file_commands/summary" ] || fail "the job summary is empty"
sealyard verify "$host/hello:1" --key "$runner/workspace/cosign.pub" >/dev/null || fail "what the action published does not verify"
docker run --rm --network none "$host/hello:1" en

say "A bad image is not: exit 1"
step 1 "${given[@]}" "tags=$host/root:1" file=root.Dockerfile evidence-path=denied
says 'denied' "$work/outputs"
if sealyard inspect "$host/root:1" >/dev/null 2>&1; then fail "the denied image is in the registry"; fi

say "An input that is not there: exit 2"
step 2 "${given[@]}" "tags=$host/hello:2" platfroms=linux/amd64
says platforms "$work/step.log"

say "The container action works: exit codes 0, 1, 2 and 3 reach the runner, outputs and summary are written"
