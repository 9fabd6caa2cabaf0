#!/usr/bin/env bash
# Signing without a key, on one machine: a job's token, a certificate from Fulcio, an entry in Rekor, a timestamp, all from real
# services on loopback. The image is published to a registry, verified there and where there is no network, and refused under any
# identity but the one that built it. Leaves nothing behind but the caches of Go, .tools and sealyard.
set -euo pipefail
cd "$(dirname "$0")/.."

. demo/common.sh
stack=
stop_stack() {
	if [ -n "$stack" ]; then
		kill "$stack" 2>/dev/null || true
		wait "$stack" 2>/dev/null || true
	fi
}
trap 'stop_stack; cleanup' EXIT

say "Getting ready: runc, a registry, a small vulnerability database, and a Sigstore of our own"
tools/tools.sh runc registry sigstack
export PATH="$PWD/.tools/bin:$PATH"
go run ./internal/testdb/mkdb -out "$work" >/dev/null
for arch in amd64 arm64; do
	(cd demo/app && CGO_ENABLED=0 GOFLAGS=-mod=mod GOARCH=$arch go build -trimpath -o "$work/context/hello-linux-$arch" .)
done
cd "$work"
cat >context/Dockerfile <<'END'
FROM scratch
ARG TARGETOS TARGETARCH
COPY hello-${TARGETOS}-${TARGETARCH} /hello
USER 65532:65532
ENTRYPOINT ["/hello"]
END
start_registry
sealyard db import vulnerability-db.tar.zst --db db >/dev/null

# start_stack ARGS...: starts Sigstore for jobs with these claims, in ./sigstore. It ends with the pipe that is its input.
start_stack() {
	coproc STACK { exec sigstack -dir sigstore "$@" 2>sigstack.log; }
	stack=$STACK_PID
	read -r -t 60 _ <&"${STACK[0]}" || { cat sigstack.log >&2; fail "Sigstore does not start"; }
}
start_stack -repository acme/widget -ref refs/heads/main -sha 0123456789abcdef0123456789abcdef01234567
trust=(--trusted-root sigstore/trusted_root.json)
workflow=.github/workflows/build.yml
who=(--repo acme/widget --workflow "$workflow" --ref refs/heads/main --runner github-hosted --event push)

say "A job of acme/widget builds, decides, signs and publishes. It holds no key; it may ask GitHub who it is"
(
	set -a
	# shellcheck disable=SC1091 # sigstack writes it
	. sigstore/env
	set +a
	echo "$GITHUB_WORKFLOW_REF at $GITHUB_SHA, run $GITHUB_RUN_ID, $RUNNER_ENVIRONMENT"
	run sealyard build context --db db --progress quiet --platform linux/amd64,linux/arm64 --tag "$host/widget:1" --push \
		--sign keyless --signing-config sigstore/signing_config.json "${trust[@]}" --evidence-path evidence
)

say "A release manager checks it: built by that workflow, on that branch, and nobody else"
run sealyard verify "$host/widget:1" "${trust[@]}" "${who[@]}" --format json >from-registry.json
echo "verdict: $(sed -n 's/^  "verdict": "\(.*\)",/\1/p' from-registry.json)"

say "Sigstore is gone, and the network too: an auditor checks the folder"
run sealyard fetch "$host/widget:1" home
stop_stack
stack=
run unshare --net sealyard verify home --expect-image "$host/widget" "${trust[@]}" "${who[@]}" --format json >from-directory.json
cmp from-registry.json from-directory.json

# refused ARGS...: it is not verified as built by them.
refused() {
	local code=0
	run unshare --net sealyard verify home --expect-image "$host/widget" "${trust[@]}" "$@" >refused.txt 2>&1 || code=$?
	[ "$code" -eq 1 ] || { cat refused.txt >&2; fail "exit code $code where 1 was due"; }
	sed -n '/^DENIED/p; s/^    - //p' refused.txt
}
say "Another repository, workflow, ref, runner or event, or the same names at another issuer: denied"
refused --repo acme/gadget
refused --repo acme/widget --workflow .github/workflows/test.yml
refused --repo acme/widget --ref refs/heads/feature
refused --repo acme/widget --runner self-hosted
refused --repo acme/widget --event pull_request
refused --certificate-identity "https://github.com/acme/widget/$workflow@refs/heads/main" --certificate-oidc-issuer https://gitlab.com

say "Shown"
cat <<TXT
* $host/widget:1 was signed with a certificate that Fulcio issued for a token of
  acme/widget, $workflow at refs/heads/main
* every signature is in Rekor's log and has a timestamp; the certificate is in the CT log
* the decision was made again from the registry, and from a folder with neither network nor Sigstore: the same bytes
* as built by another repository, workflow, ref, runner or event, or under another issuer, it was denied
TXT
