#!/usr/bin/env bash
# The whole story on one machine: builds two images, publishes the good one to a real registry on loopback, refuses the
# bad one, and verifies the good one where there is no network. Leaves nothing behind but the caches of Go, .tools and sealyard.
set -euo pipefail
cd "$(dirname "$0")/.."

. demo/common.sh

say "Getting ready: runc, a registry, and a small vulnerability database made of known facts"
prepare
start_registry
run sealyard key generate
build=(sealyard build context --db db --key cosign.key --push --progress quiet)

say "A base image, made of this machine's shell: sealed like everything else"
base=$(publish_base base)
echo "$base"

say "The good image: pinned base, no root, two platforms"
run "${build[@]}" --file context/good.Dockerfile --tag "$host/hello:1" --build-arg "BASE=$base" \
	--platform linux/amd64,linux/arm64 --evidence-path good

say "The bad image: a base by tag, the root user, a module with known vulnerabilities"
if run "${build[@]}" --file context/bad.Dockerfile --tag "$host/bad:1" --build-arg "BASE=$host/base:1" --evidence-path bad; then
	fail "the bad image was allowed"
fi
say "The registry has no trace of it"
if run sealyard inspect "$host/bad:1"; then fail "the bad image is in the registry"; fi
[ ! -e "$work/registry/docker/registry/v2/repositories/bad" ] || fail "the bad image left traces in the registry"

say "A release manager checks the good one, in one line"
run sealyard verify "$host/hello:1" --key cosign.pub --format json >from-registry.json
echo "verdict: $(sed -n 's/^  "verdict": "\(.*\)",/\1/p' from-registry.json)"

say "An auditor takes it home, and checks it where there is no network"
run sealyard fetch "$host/hello:1" home
offline=(unshare --net)
run "${offline[@]}" sealyard verify home --key cosign.pub --format json >from-directory.json
tar -C home -cf home.tar .
run "${offline[@]}" sealyard verify home.tar --key cosign.pub --format json >from-tar.json
cmp from-registry.json from-directory.json
cmp from-directory.json from-tar.json

say "Evidence that was tampered with is denied"
blob=$(find home/blobs -type f -size +2k | sort | head -n 1)
cp "$blob" saved
printf 'x' | dd of="$blob" bs=1 seek=100 conv=notrunc status=none
if run sealyard verify home --key cosign.pub; then fail "a flipped byte was not noticed"; fi
cp saved "$blob"

say "Shown"
cat <<TXT
* $host/hello:1 was built for two platforms, scanned, judged, signed and published: tag last, after the registry's own copy was verified
* $host/bad:1 was refused with reasons; the registry never heard of it
* the decision was made again from the registry, from a directory and from a tar, the last two without a network: the same bytes
* one flipped byte in the evidence was found
TXT
