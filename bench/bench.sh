#!/usr/bin/env bash
# Measures sealyard beside the programs that do the same work in several steps: same image, same machine, same run.
# Prints one Markdown table. Needs root, and apt for the Debian image; `make bench` builds the rest into .tools/bin.
#
#   N=5     runs of each row; the median counts
#   ROWS=…  a regular expression: only the rows whose title it matches
#   DB=…    a vulnerability database, as an archive in grype's format (default: the small one of the tests)
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
started=()
cleanup() {
	for pid in "${started[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" || true
	done
	rm -rf "$work"
}
trap cleanup EXIT
say() { echo "bench: $*" >&2; }
quiet() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; say "failed: $*"; exit 1; }; }

say "images: Debian packages and a Go program, and two with one layer that does not compress"
export PATH="$work/bin:$PWD/.tools/bin:$PATH" CGO_ENABLED=0
go build -ldflags '-s -w' -o "$work/bin/sealyard" .
mkdir "$work/app" "$work/tiny" "$work/small" "$work/large"
go build -C bench/measure -o "$work/measure" .
go build -C demo/app -o "$work/app/hello" .
bench/debian.sh "$work/app/rootfs.tar"
db=$(realpath "${DB:-$(go run ./internal/testdb/mkdb -out "$work")}")
cd "$work"
printf 'FROM scratch\nADD rootfs.tar /\nCOPY hello /hello\nUSER 65532:65532\nENTRYPOINT ["/hello"]\n' >app/Dockerfile
printf 'FROM scratch\nCOPY . /\nUSER 65532:65532\nENTRYPOINT ["/hello"]\n' | tee tiny/Dockerfile small/Dockerfile >large/Dockerfile
head -c 50000000 /dev/urandom >small/blob
head -c 400000000 /dev/urandom >large/blob
for name in tiny small large; do cp app/hello $name/; done

say "a registry, BuildKit, the database, a key, a Sigstore"
export HOME=$work DOCKER_CONFIG=$work/docker BUILDX_CONFIG=$work/buildx COSIGN_PASSWORD=bench
export SYFT_CHECK_FOR_APP_UPDATE=false SYFT_REGISTRY_INSECURE_USE_HTTP=true
export GRYPE_CHECK_FOR_APP_UPDATE=false GRYPE_DB_AUTO_UPDATE=false GRYPE_DB_VALIDATE_AGE=false GRYPE_DB_CACHE_DIR=$work/grype
for port in $(seq 5150 5190); do
	(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
done
host=127.0.0.1:$port
printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s}\n' "$work/registry" "$host" >registry.yml
OTEL_TRACES_EXPORTER=none registry serve registry.yml >registry.log 2>&1 &
started+=($!)
coproc ENGINE { exec sealyard engine --socket "$work/buildkit.sock" --state "$work/engine" --runc "$(command -v runc)" --insecure-registry "$host" 2>engine.log; }
engine=$ENGINE_PID
started+=("$engine")
if ! read -r -u "${ENGINE[0]}" ready || [ "$ready" != ready ]; then
	cat engine.log >&2
	exit 1
fi
quiet buildx create --name bench --driver remote "unix://$work/buildkit.sock"
quiet sealyard db import "$db" --db db
quiet grype db import "$db"
quiet sealyard key generate
mkfifo stack.in stack.out
sigstack -dir sigstore -repository acme/widget <stack.in >stack.out 2>sigstack.log &
started+=($!)
exec 7>stack.in # it ends with its input
if ! read -r ready <stack.out || [ "$ready" != ready ]; then
	cat sigstack.log >&2
	exit 1
fi

# Both sides publish with a label that is new in every run, as a commit is: every layer is cached and in the registry already,
# the image is new.
shared=(--db db --key cosign.key --push --progress quiet --label "run={}")
sealed() { echo sealyard build "$1" "${shared[@]}" --tag "$host/ours-$1:{}" --evidence-path "ours-$1"; }
pushed() { echo buildx build "$1" --builder bench --provenance=mode=max --push --progress=quiet --label "run={}" --tag "$host/theirs-$1:{}"; }
listed() { echo syft -q "registry:$host/theirs-$1:{}" -o spdx-json=spdx.json -o cyclonedx-json=cdx.json; }
matched='grype -q sbom:spdx.json -o json --file grype.json'
image="$host/theirs-app:{}"
signed="cosign sign --yes --key cosign.key --tlog-upload=false $image
	::: cosign attest --yes --key cosign.key --tlog-upload=false --type spdxjson --predicate spdx.json $image
	::: cosign attest --yes --key cosign.key --tlog-upload=false --type cyclonedx --predicate cdx.json $image
	::: cosign verify-attestation --key cosign.pub --insecure-ignore-tlog --type spdxjson $image
	::: cosign verify-attestation --key cosign.pub --insecure-ignore-tlog --type cyclonedx $image"
echo '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}' >nobody.json # cosign wants one, also with a key
checked() { echo cosign verify-attestation --key cosign.pub --insecure-ignore-tlog --new-bundle-format --trusted-root nobody.json --type "$1" "$2"; }

# row TITLE RUNS COMMANDS…: the commands are words; no argument holds a space.
row() {
	[[ $1 =~ ${ROWS-} ]] || return 0
	say "$1"
	title=$1 runs=$2
	shift 2
	# shellcheck disable=SC2048,SC2086
	./measure -row "$title" -n "$runs" -daemon "$engine" $* >>rows
}
N=${N:-5}
remote="--buildkit-host unix://$work/buildkit.sock"
for name in app tiny small large; do # the first build fills every cache
	# shellcheck disable=SC2046,SC2086
	{
		quiet $(sealed $name | sed 's/{}/0/g') $remote
		quiet $(sealed $name | sed 's/{}/0/g')
		quiet $(pushed $name | sed 's/{}/0/g')
	}
done
quiet sealyard build app --db db --progress quiet --evidence-path layout

# Ours keeps what it found in layers and takes them from the evidence of the run before; theirs has no such thing. "new"
# is ours on a machine that has neither, such as a hosted runner: what BuildKit and the registry have is there for both.
chain="$(pushed app) ::: $(listed app) ::: $matched ::: $signed"
new() { echo env "XDG_CACHE_HOME=$work/new-$1-{}" "$(sealed "$1") $remote --evidence-path new-$1-{}"; }
row "publish after a cached build, layers seen before" "$N" "$(sealed app) $remote" --vs "$chain"
row "publish after a cached build, layers seen before, starting an engine" "$N" "$(sealed app)" --vs "$chain"
row "publish after a cached build, layers new to us" "$N" "$(new app)" --vs "$chain"
# Both in a job of the same stack: the token, the certificate, the log and the timestamp are real, and no network is in between.
# Theirs signs the image and two claims about its index; ours everything about the index and the platform. (cosign v2.6.5 sends
# Rekor v2 what that refuses, so the log is v1; for v2 there is go test ./action -run '^$' -bench SignKeyless, ours alone.)
job() (
	set -a
	# shellcheck disable=SC1091 # sigstack writes it
	. sigstore/env
	set +a
	# cosign asks GitHub's own server about GitHub's tokens, wherever they are from, unless it is given one.
	curl -sSf -H "Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sigstore" | sed 's/.*"value":"\([^"]*\)".*/\1/' >token
	row "$@"
)
keyless="--yes --identity-token token --new-bundle-format --signing-config sigstore/rekor-v1/signing_config.json --trusted-root sigstore/trusted_root.json"
claim() { echo cosign attest "$keyless" --type "$1" --predicate "$2" "$host/theirs-tiny:{}"; }
job "publish an image of 2 MB, keyless, Rekor v1 on this machine" "$N" "$(sealed tiny | sed 's/--key cosign.key//') $remote --sign keyless ${keyless#*-format } --evidence-path keyless" \
	--vs "$(pushed tiny) ::: $(listed tiny) ::: $matched ::: cosign sign $keyless $host/theirs-tiny:{} ::: $(claim spdxjson spdx.json) ::: $(claim cyclonedx cdx.json)"
scanned="sealyard scan layout --db db --mode warn --evidence-path scanned"
listing="$(listed app | sed "s|registry:[^ ]*|oci-dir:layout|") ::: $matched"
row "SBOMs and vulnerabilities of an image on disk, layers seen before" "$N" "$scanned" --vs "$listing"
row "SBOMs and vulnerabilities of an image on disk, layers new to us" "$N" "$scanned --no-cache" --vs "$listing"
for name in app tiny; do
	published=$host/ours-$name:0
	megabytes=$(du -sm "ours-$name" | cut -f1)
	row "verify an image of $megabytes MB: ours everything and offline, theirs three claims" "$N" sealyard verify ours-$name --key cosign.pub \
		--vs "$(checked slsaprovenance1 "$published") ::: $(checked spdxjson "$published") ::: $(checked cyclonedx "$published")"
done
mkdir many
for i in $(seq 1000); do cp -rl ours-tiny many/$i; done
printf '#!/bin/sh\nfor i in $(seq 1000); do said=$("$@" 2>&1 >/dev/null) || { echo "after $i: $said"; exit 1; }; done\n' >bin/thousand
chmod +x bin/thousand
row "audit 1000 images of 2 MB with one worker: ours everything and offline, theirs one claim of each" 2 sealyard audit --images many --key cosign.pub --workers 1 --output audit-{}.jsonl \
	--vs thousand "$(checked slsaprovenance1 "$host/ours-tiny:0")"
row "start-up (--help)" $((N * 4)) sealyard --help --vs buildx --help ::: syft --help ::: grype --help ::: cosign --help
for name in small large; do
	size=$(($(stat -c %s $name/blob) / 1000000))
	row "publish a layer of $size MB, seen before" "$N" "$(sealed $name) $remote" --vs "$(pushed $name) ::: $(listed $name)"
	row "publish a layer of $size MB, new to us" "$N" "$(new $name)" --vs "$(pushed $name) ::: $(listed $name)"
done
./measure -table rows
