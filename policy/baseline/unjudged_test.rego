package sealyard_test

import data.sealyard

unjudged(document) := {[entry.rule, entry.kind] | some entry in sealyard.skip with input as document}

# R91: without one kind of evidence the rules that look at it do not pass.
test_unjudged_evidence if {
	every kind, rules in sealyard.judged_by {
		entries := sealyard.skip with input as json.patch(evidence, with_claims(without(kind)))
		every rule in rules {
			{"rule": rule, "kind": "undecidable", "reason": sprintf("there is no %s evidence", [kind])} in entries
		}
		whole := {entry.reason | some entry in sealyard.skip with input as evidence}
		not sprintf("there is no %s evidence", [kind]) in whole
	}
	none := {entry.rule | some entry in sealyard.skip with input as json.patch(evidence, with_claims([])); entry.reason == "there is no evidence at all"}
	count(none) == 5
}

test_unjudged_signers if {
	nameless := json.patch(evidence, all_signed(nobody))
	off := {["signer-missing", "off"], ["signer-untrusted", "off"]}
	off & unjudged(nameless) == set()
	accepted := unjudged(nameless) with data.settings.allowUnsigned as true
	off - accepted == set()
	signed := unjudged(evidence) with data.settings.allowUnsigned as true
	off & signed == set()
}

# R91: what runs nothing says nothing of Pods, and where it is not known what runs, no rule about it passes.
test_unjudged_objects if {
	policies := {entry.rule | some entry in sealyard.skip with input as with_manifests(cut("/0")); entry.reason == "no manifest runs Pods"}
	policies == sealyard.pod_rules
	widget := {"file": "deploy/w.yaml", "line": 1, "apiVersion": "acme.example/v1", "kind": "Widget", "namespace": "", "name": "w", "runs": "unknown"}
	unknown := {entry.rule | some entry in sealyard.skip with input as with_manifests(put("/2", widget)); entry.kind == "undecidable"; entry.rule in sealyard.workload_rules}
	unknown == sealyard.workload_rules
	listed := {entry.rule | some entry in sealyard.skip with input as with_manifests(put("/2", widget)) with data.settings.inertKinds as ["acme.example/Widget"]; entry.kind == "undecidable"; entry.rule in sealyard.workload_rules}
	listed == {"workload-capacity"}
}
