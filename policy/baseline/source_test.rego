package sealyard.source_test

import data.sealyard.source

digest := sprintf("sha256:%064d", [1])

other_digest := sprintf("sha256:%064d", [2])

nothing := {
	"kind": "local", "uri": "local://context", "scheme": "", "host": "", "name": "context", "tag": "", "digest": "", "ref": "",
	"platform": "", "frontend": false, "context": "", "location": {"file": "", "line": 0},
}

asked(fields) := {"schemaVersion": "1", "time": "2026-11-20T12:00:00Z", "signatures": [], "source": object.union(nothing, fields)}

image(fields) := asked(object.union(
	{
		"kind": "image", "uri": "docker-image://docker.io/library/debian:12", "host": "docker.io", "name": "docker.io/library/debian", "tag": "12",
		"platform": "linux/amd64", "location": {"file": "Dockerfile", "line": 3},
	},
	fields,
))

frontend(fields) := image(object.union({"frontend": true, "name": "docker.io/docker/dockerfile", "tag": "1", "uri": "docker-image://docker.io/docker/dockerfile:1"}, fields))

file(fields) := asked(object.union({"kind": "http", "uri": "https://example.com/a.tgz", "scheme": "https", "host": "example.com", "name": "example.com/a.tgz"}, fields))

repository(fields) := asked(object.union({"kind": "git", "uri": "git://github.com/acme/app.git#main", "scheme": "https", "host": "github.com", "name": "github.com/acme/app.git", "ref": "main"}, fields))

denied(question) := found if found := {finding.rule | some finding in source.deny} with input as question

warned(question) := found if found := {finding.rule | some finding in source.warn} with input as question

allowed(question) if source.allow with input as question

# What ordinary builds take in comes in.
test_ordinary if {
	every question in [
		asked({}), image({}), image({"digest": digest}), frontend({}), frontend({"digest": digest}), file({}), file({"digest": digest}), repository({}),
		asked({"kind": "oci-layout", "name": "l", "digest": digest, "context": "l"}),
	] {
		allowed(question)
		denied(question) == set()
	}
	every question in [asked({}), image({}), file({"digest": digest}), frontend({"digest": digest}), repository({})] {
		warned(question) == set()
	}
}

test_unknown_kind if {
	every kind in ["docker-image+blob", "ipfs", "", null] {
		"source-kind" in denied(asked({"kind": kind}))
		not allowed(asked({"kind": kind}))
	}
}

# R15: an image from elsewhere is not fetched.
test_registry if {
	every registries, good in {["docker.io/library"]: true, ["docker.io"]: true, ["docker.io/lib"]: false, ["ghcr.io"]: false} {
		found := {finding.rule | some finding in source.deny} with input as image({}) with data.settings.baseRegistries as registries
		found == {rule | some rule in {"source-registry"}; not good}
	}
	not source.allow with input as image({}) with data.settings.baseRegistries as ["ghcr.io"]
	source.allow with input as image({}) with data.settings.baseRegistries as ["docker.io"]
	source.allow with input as frontend({}) with data.settings.baseRegistries as ["ghcr.io"]
	source.allow with input as repository({}) with data.settings.baseRegistries as ["ghcr.io"]
}

test_unpinned if {
	pins := [{"image": "docker.io/library/debian:12", "digest": other_digest}]
	found := {finding.rule | some finding in source.deny} with input as image({}) with data.settings.stopUnpinned as true
	found == {"source-unpinned"}
	not source.allow with input as image({}) with data.settings.stopUnpinned as true
	every question in [image({"digest": digest}), frontend({}), asked({})] {
		source.allow with input as question with data.settings.stopUnpinned as true
	}
	source.allow with input as image({}) with data.settings.stopUnpinned as true with data.settings.basePins as pins
	source.convert == {{"digest": other_digest}} with input as image({}) with data.settings.basePins as pins
	every question in [image({"tag": "11"}), image({"digest": digest}), image({"name": "ghcr.io/library/debian"}), frontend({}), asked({})] {
		source.convert == set() with input as question with data.settings.basePins as pins
	}
}

# T30: a frontend that nobody named is not run.
test_frontend if {
	evil := frontend({"name": "docker.io/evil/dockerfile"})
	denied(evil) == {"source-frontend"}
	not allowed(evil)
	source.allow with input as evil with data.settings.frontends as ["docker.io/evil/dockerfile"]
	not source.allow with input as frontend({}) with data.settings.frontends as []
	warned(frontend({})) == {"source-frontend-unpinned"}
	not source.allow with input as frontend({}) with data.settings.frontendDigest as "deny"
	source.allow with input as frontend({"digest": digest}) with data.settings.frontendDigest as "deny"
	every question in [image({}), asked({})] {
		source.allow with input as question with data.settings.frontendDigest as "deny"
	}
	count(source.warn) == 0 with input as frontend({}) with data.settings.frontendDigest as "allow"
}

test_checksum if {
	warned(file({})) == {"source-checksum"}
	not source.allow with input as file({}) with data.settings.httpChecksum as "deny"
	source.allow with input as file({"digest": digest}) with data.settings.httpChecksum as "deny"
	not source.allow with input as file({"digest": "sha512:00"}) with data.settings.httpChecksum as "deny"
	source.allow with input as asked({}) with data.settings.httpChecksum as "deny"
	count(source.warn) == 0 with input as file({}) with data.settings.httpChecksum as "allow"
}

test_git if {
	source.allow with input as repository({}) with data.settings.gitHosts as ["github.com"]
	source.allow with input as repository({}) with data.settings.gitHosts as ["github.com/acme"]
	every hosts in [["github.com/acm"], ["gitlab.com"]] {
		found := {finding.rule | some finding in source.deny} with input as repository({}) with data.settings.gitHosts as hosts
		found == {"source-git"}
		not source.allow with input as repository({}) with data.settings.gitHosts as hosts
		source.allow with input as asked({}) with data.settings.gitHosts as hosts
	}
}

test_context if {
	found := {finding.rule | some finding in source.deny} with input as image({"context": "debian"}) with data.settings.namedContexts as false
	found == {"source-context"}
	not source.allow with input as image({"context": "debian"}) with data.settings.namedContexts as false
	source.allow with input as image({}) with data.settings.namedContexts as false
}

pem := "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEs0dN3GGyGnQVqVvEfTRGuIWbZsVN\nsjoOUe3rTYtzLHVs4YV6nXMGxl3zS5F5X7dgqGCTWBJo2LR6tN2e0bgCZg==\n-----END PUBLIC KEY-----\n"

by_key := {"kind": "key", "id": crypto.sha256(base64.decode(concat("", array.slice(split(pem, "\n"), 1, 3)))), "issuer": "", "workflow": {}}

by_workflow := {"kind": "keyless", "id": "https://github.com/acme/base/.github/workflows/b.yml@refs/heads/main", "issuer": "https://token.example", "workflow": {"signer": "https://github.com/acme/base/.github/workflows/b.yml@refs/heads/main"}}

signed(signer, type) := object.union(image({}), {"signatures": [{"signer": signer, "predicateType": type, "subject": digest}]})

signed_by(signers, question) if source.allow with input as question with data.settings.baseSigners as signers

# An image must be signed by whom the policy names for it, and by a statement that stands for it.
test_signed if {
	key := [{"image": "docker.io/library", "key": pem}]
	workflow := [{"image": "*", "id": "https://github.com/acme/base/.github/workflows/b.yml", "issuer": "https://token.example"}]
	found := {finding.rule | some finding in source.deny} with input as image({}) with data.settings.baseSigners as key
	found == {"source-unsigned"}
	every type in ["", "https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1", "https://in-toto.io/attestation/test-result/v0.1"] {
		signed_by(key, signed(by_key, type))
		signed_by(workflow, signed(by_workflow, type))
	}
	not signed_by(key, signed(by_key, "https://in-toto.io/attestation/vulns/v0.2"))
	not signed_by(key, signed(object.union(by_key, {"id": "00"}), ""))
	not signed_by(key, signed(by_workflow, ""))
	not signed_by(workflow, signed(by_key, ""))
	not signed_by(workflow, signed(object.union(by_workflow, {"issuer": "https://other.example"}), ""))
	not signed_by([{"image": "*"}], signed(by_key, ""))
	not signed_by(workflow, frontend({}))
	signed_by(array.concat(key, workflow), signed(by_workflow, ""))
	every question in [asked({}), image({"name": "ghcr.io/acme/base"}), repository({})] {
		signed_by(key, question)
	}
	source.allow with input as image({}) with data.settings.baseSigners as key with data.settings.basePins as [{"image": "docker.io/library/debian:12", "digest": digest}]
}
