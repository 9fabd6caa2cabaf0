package sealyard_test

import data.sealyard

spdx := "https://spdx.dev/Document"

without(kind) := [claim | some claim in evidence.claims; claim.predicateType != sealyard.predicate_type[kind]]

with_claims(claims) := [{"op": "replace", "path": "/claims", "value": claims}]

# R79 T17: no evidence is no pass.
test_evidence_missing if {
	every kind in ["provenance", "vulns"] {
		denied(with_claims(without(kind))) == {"evidence-missing"}
	}
	denied(with_claims([])) == {"evidence-missing"}
}

# R79 T27: a set of evidence with a gap is not one without that kind.
test_evidence_gap if {
	every position in numbers.range(0, 9) {
		patch := [{"op": "remove", "path": sprintf("/claims/%d", [position])}]
		"evidence-missing" in denied(patch)
	}
}

test_evidence_either_sbom if {
	allowed(with_claims(without("spdx")))
	allowed(with_claims(without("cyclonedx")))
	denied(with_claims(without("cyclonedx"))) == {"evidence-missing"} with data.settings.requiredEvidence as ["sbom", "cyclonedx"]
}

test_evidence_not_required if {
	allowed(with_claims(without("vulns"))) with data.settings.requiredEvidence as ["provenance", "spdx"]
}

# R79 T17: a claim that lacks what a rule reads is no claim.
test_evidence_incomplete if {
	every path in [
		"/claims/0/predicate/bomFormat",
		"/claims/0/predicate/components",
		"/claims/0/predicate/components/0/hashes",
		"/claims/1/predicate/components/0/name",
		"/claims/3/predicate/sealyard_platforms",
		"/claims/3/predicate/sealyard_platforms/0",
		"/claims/4/predicate/scanner/uri",
		"/claims/4/predicate/scanner/db/lastUpdate",
		"/claims/4/predicate/scanner/db/sealyard_digest",
		"/claims/4/predicate/scanner/result",
		"/claims/4/predicate/scanner/result/0/id",
		"/claims/4/predicate/scanner/result/0/annotations/0/severity",
		"/claims/4/predicate/metadata/scanStartedOn",
		"/claims/4/predicate/sealyard_coverage/distro",
		"/claims/6/subjects/1",
		"/claims/6/predicate/buildDefinition/buildType",
		"/claims/6/predicate/buildDefinition/externalParameters/network",
		"/claims/6/predicate/buildDefinition/resolvedDependencies",
		"/claims/6/predicate/runDetails/builder/id",
		"/claims/7/predicate/spdxVersion",
		"/claims/7/predicate/packages/0/checksums",
		"/claims/8/predicate/packages",
	] {
		patch := [{"op": "remove", "path": path}]
		"evidence-incomplete" in denied(patch)
	}
}

# R84: an EPSS outside 0..1 is not a probability.
test_evidence_malformed if {
	every change in [
		["/claims/4/predicate/scanner/result/0/annotations/0/epss", 1.5],
		["/claims/4/predicate/scanner/result/0/annotations/0/epss", -0.1],
		["/claims/4/predicate/scanner/result/0/annotations/0/epss", "high"],
		["/claims/4/predicate/scanner/result/0/annotations/0/severity", "HIGH"],
		["/claims/4/predicate/scanner/result/0/annotations/0/fixState", "maybe"],
		["/claims/4/predicate/scanner/result/0/annotations", []],
		["/claims/4/predicate/scanner/db/lastUpdate", "2026-13-01T00:00:00Z"],
		["/claims/4/predicate/sealyard_coverage/packages", "many"],
		["/claims/1/subjects", [evidence.image.digest, evidence.image.platforms[0].digest]],
		["/claims/3/predicate/sealyard_platforms/0/vulns", evidence.image.digest],
		["/claims/6/predicate/buildDefinition/resolvedDependencies/0/uri", "debian"],
	] {
		patch := [{"op": "add", "path": change[0], "value": change[1]}]
		"evidence-incomplete" in denied(patch)
	}
}

test_source_without_address if {
	commit := {"digest": {"gitCommit": "0123456789abcdef0123456789abcdef01234567"}}
	allowed([{"op": "add", "path": "/claims/6/predicate/buildDefinition/resolvedDependencies/0", "value": commit}])
}

# T17: a statement without a digest of its own cannot be pointed at.
test_claim_without_digest if {
	not allowed([{"op": "replace", "path": "/claims/4/digest", "value": ""}])
	not allowed([{"op": "replace", "path": "/claims/4/predicateType", "value": ""}])
}

# T24: evidence of another image proves nothing here.
test_evidence_foreign if {
	stranger := object.union(evidence.claims[8], {"subjects": [concat("", ["sha256:", concat("", ["77" | some _ in numbers.range(1, 32)])])]})
	patch := [{"op": "add", "path": "/claims/-", "value": stranger}]
	denied(patch) == {"evidence-foreign"}
	"evidence-foreign" in denied([{"op": "replace", "path": "/claims/8/subjects", "value": []}])
}

test_evidence_of_other_kinds if {
	review := object.union(evidence.claims[6], {"predicateType": "https://example.com/review/v1", "predicate": {}})
	allowed([{"op": "add", "path": "/claims/-", "value": review}])
}

# T18: two different answers to one question are no answer.
test_evidence_conflict if {
	every position in [1, 4, 6, 9] {
		claim := evidence.claims[position]
		second := object.union(claim, {"digest": evidence.image.digest})
		patch := [{"op": "add", "path": "/claims/-", "value": second}]
		"evidence-conflict" in denied(patch)
	}
}

test_evidence_signed_twice if {
	other := object.union(evidence.claims[4], {"signer": {"kind": "keyless", "id": "a@example.com", "issuer": "https://example.com"}})
	both := [{"id": evidence.claims[4].signer.id}, {"id": "a@example.com", "issuer": "https://example.com"}]
	allowed([{"op": "add", "path": "/claims/-", "value": other}]) with data.settings.signers as both
}
