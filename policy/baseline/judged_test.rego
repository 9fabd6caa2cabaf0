package sealyard_test

import data.sealyard

answer := {
	"source": {
		"kind": "image", "uri": "docker-image://docker.io/library/debian:12",
		"digest": "sha256:1212121212121212121212121212121212121212121212121212121212121212", "location": {"file": "Dockerfile", "line": 3},
	},
	"passed": true, "denials": [], "warnings": [], "policies": [{"name": "baseline", "digest": "sha256:00"}],
}

record(answers) := [{"op": "add", "path": "/claims/6/predicate/buildDefinition/internalParameters/sealyard_sources", "value": answers}]

# T30: what the provenance says of sources covers every base, and is not bent afterwards.
test_judged if {
	allowed(record([answer]))
	allowed([])
	every bad in [
		[], [object.union(answer, {"passed": false})], [object.remove(answer, {"passed"})], [object.remove(answer, {"source"})],
		[object.union(answer, {"source": {"digest": "sha256:13"}})], [object.union(answer, {"policies": []})], [object.remove(answer, {"policies"})], 1, "none",
	] {
		denied(record(bad)) == {"source-unjudged"}
	}
	denied(record([answer, object.union(answer, {"passed": false})])) == {"source-unjudged"}
}

test_judged_required if {
	denied([]) == {"source-unjudged"} with data.settings.sourcesJudged as true
	allowed(record([answer])) with data.settings.sourcesJudged as true
	denied(record([])) == {"source-unjudged"} with data.settings.sourcesJudged as true
	"source-unjudged" in skipped
}

# R91: rules about sources that are not asked for, or have nothing to judge, do not pass.
test_judged_skips if {
	entries := {[entry.rule, entry.kind] | some entry in sealyard.skip with input as json.patch(evidence, record([answer])); startswith(entry.rule, "source-")}
	entries == {[rule, "off"] | some rule in ["source-registry", "source-unpinned", "source-git", "source-context", "source-unsigned"]} | {[rule, "inapplicable"] | some rule in ["source-frontend", "source-frontend-unpinned", "source-checksum", "source-git"]}
	front := object.union(answer, {"source": {"frontend": true}})
	asked := {entry.rule | some entry in sealyard.skip with input as json.patch(evidence, record([front, object.union(answer, {"source": {"kind": "http"}})])) with data.settings.frontendDigest as "allow" with data.settings.httpChecksum as "allow"; startswith(entry.rule, "source-"); entry.kind == "off"}
	{"source-frontend-unpinned", "source-checksum"} - asked == set()
	strict := {entry.rule | some entry in sealyard.skip with input as json.patch(evidence, record([answer])) with data.settings.baseRegistries as ["docker.io"] with data.settings.stopUnpinned as true with data.settings.gitHosts as ["x"] with data.settings.namedContexts as false with data.settings.baseSigners as [{"image": "*"}]; entry.kind == "off"}
	{rule | some rule in strict; startswith(rule, "source-")} == set()
}
