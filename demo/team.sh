#!/usr/bin/env bash
# A security team's story on one machine: it writes the rules once, signs them and puts them into a registry; a repository adds
# rules of its own, is stopped at a base image that is not golden before any of it is fetched, and gets an exception that ends.
# Leaves nothing behind but the caches of Go, .tools and sealyard.
set -euo pipefail
cd "$(dirname "$0")/.."

. demo/common.sh

say "Getting ready: runc, a registry, and a small vulnerability database made of known facts"
cp -r demo/acme demo/own "$work"
prepare
start_registry
sealyard key generate >/dev/null
golden=$(publish_base golden/base)
vendor=$(publish_base vendor/base)

say "The security team writes its rules once: bases below $host/golden, and a source that can be found"
echo "{\"settings\": {\"bases\": [\"$host/golden/\"]}}" >acme/data.json
run sealyard policy check acme
run sealyard policy test acme --input base-golden-base --policy-data base.yaml
say "It signs them and puts them into the registry. The key is the team's; repositories get its public half"
run sealyard key generate --output-key-prefix team
run sealyard policy push acme "$host/acme/policy:7" --key team.key

# hello ARGS...: a repository's build, held to the team's policy and to its own.
hello() {
	run sealyard build context --file context/team.Dockerfile --db db --key cosign.key --tag "$host/hello:1" --push --progress quiet \
		--policy baseline --policy "oci://$host/acme/policy:7" --policy-key team.pub --policy-min-revision acme=7 --repository-policy own "$@"
}
# denied RULE ARGS...: by that rule, and nothing is published.
denied() {
	local rule=$1 code=0
	shift
	rm -rf sealyard-evidence
	hello "$@" >denied.txt 2>&1 || code=$?
	cat denied.txt
	[ "$code" -eq 1 ] || fail "exit code $code where 1 was due"
	grep -q "$rule" denied.txt || fail "not denied by $rule"
	[ ! -e registry/docker/registry/v2/repositories/hello ] || fail "the denied image left traces in the registry"
}

say "A base that is not golden: stopped inside the build, before any byte of it is fetched"
asked=$(grep -c '/v2/vendor/base/' registry.log)
denied acme-golden --build-arg "BASE=$vendor"
[ "$(grep -c '/v2/vendor/base/' registry.log)" = "$asked" ] || fail "the registry was asked for the base"
echo "Since then the registry was not asked for it once."

say "The team's rules allow it, the repository's own do not: they can only tighten"
denied own-small --build-arg "BASE=$golden" --build-arg "STAGE=$golden"

say "A known vulnerability: denied, until the security team lets it pass, for 60 days and in everybody's sight"
denied CVE-2022-32149 --build-arg "BASE=$golden"
run sealyard waiver add waivers.yaml --rule vulnerability --vulnerability CVE-2022-32149 --purl pkg:golang/golang.org/x/text \
	--reason 'the program parses no language tags of strangers' --owner hello-team --approved-by security@acme.example --days 60
rm -rf sealyard-evidence
hello --build-arg "BASE=$golden" --waivers waivers.yaml
run sealyard verify "$host/hello:1" --key cosign.pub --format json >verified.json
echo "verdict: $(sed -n 's/^  "verdict": "\(.*\)",/\1/p' verified.json)"

say "After its date the same evidence is denied"
later=$(date -u -d '+100 days' +%F)
echo '{dbMaxAgeDays: 3650, scanMaxAgeDays: 3650}' >old.yaml
code=0
run sealyard policy eval --policy baseline --input sealyard-evidence --waivers waivers.yaml --policy-data old.yaml --now "$later" >later.json || code=$?
[ "$code" -eq 1 ] || fail "exit code $code where 1 was due"
grep -o 'waiver .* does not apply' later.json | tr -d '\\'

say "Which control each rule is evidence for or against"
run sealyard report sealyard-evidence --controls --key cosign.pub

say "Shown"
cat <<TXT
* the team's policy was signed, pushed and held to by its key and its revision; the repository's own rules came on top
* $host/vendor/base was denied inside the build, and the registry was not asked for it
* $host/hello:1 was published with a waiver that is in its decision; $later it is denied again
* what the decision is evidence of was said control by control
TXT
