package sealyard_test

import data.sealyard

external(name, value) := [{"op": "replace", "path": concat("/", ["/claims/6/predicate/buildDefinition/externalParameters", name]), "value": value}]

# T35: privileges of the build are denied unless granted.
test_entitlements if {
	denied(external("entitlements", ["security.insecure"])) == {"build-entitlement"}
	denied(external("entitlements", ["network.host"])) == {"build-entitlement"}
	denied(external("entitlements", ["something.new"])) == {"build-entitlement"}
	denied(external("network", "host")) == {"build-entitlement"}
	allowed(external("network", "host")) with data.settings.entitlements as ["network.host"]
	allowed(external("network", "none"))
}

# T9: builder.id counts only together with who signed it.
test_builders if {
	id := evidence.claims[6].predicate.runDetails.builder.id
	key := evidence.claims[6].signer.id
	allowed([]) with data.settings.builders as [{"id": id, "signer": key}]
	every entry in [{"id": "https://example.com", "signer": key}, {"id": id, "signer": "other"}, {"id": id, "signer": key, "issuer": "https://example.com"}] {
		denied([]) == {"builder-untrusted"} with data.settings.builders as [entry]
	}
	"builder-untrusted" in skipped
}

base(uri) := [
	{"op": "replace", "path": "/claims/6/predicate/buildDefinition/resolvedDependencies/0/uri", "value": uri},
	{"op": "remove", "path": "/claims/6/predicate/buildDefinition/resolvedDependencies/0/annotations"},
]

digest := "sha256:1212121212121212121212121212121212121212121212121212121212121212"

test_base_pinned if {
	every uri in [
		concat("", ["pkg:docker/debian@12?platform=linux%2Famd64&digest=", digest]),
		concat("", ["pkg:docker/ghcr.io/acme/base?digest=", digest]),
		concat("", ["docker-image://docker.io/library/debian:12@", digest]),
		"https://example.com/source.tar.gz",
		"git+https://example.com/app@refs/heads/main",
	] {
		allowed(base(uri))
	}
	every uri in ["pkg:docker/debian@12", "PKG:docker/debian@12", "pkg:oci/base?repository_url=ghcr.io/acme", "docker-image://debian:12"] {
		denied(base(uri)) == {"base-unpinned"}
	}
	allowed(base("pkg:docker/debian@12")) with data.settings.pinnedBases as false
	"base-unpinned" in skipped with data.settings.pinnedBases as false
	annotated := [base("pkg:docker/debian@12")[0], {"op": "add", "path": "/claims/6/predicate/buildDefinition/resolvedDependencies/0/annotations/sealyard_pinned", "value": "true"}]
	allowed(annotated)
	denied(array.concat(annotated, [{"op": "remove", "path": "/claims/6/predicate/buildDefinition/resolvedDependencies/0/digest"}])) == {"base-unpinned"}
}

places(patches) := locations if {
	findings := sealyard.deny with input as json.patch(evidence, patches)
	locations := {finding.location | some finding in findings}
}

test_base_place if {
	patches := [base("pkg:docker/debian@12")[0]]
	places(patches) == {{"file": "Dockerfile", "line": 3}}
	unplaced := array.concat(patches, [{"op": "remove", "path": "/claims/6/predicate/buildDefinition/resolvedDependencies/0/annotations"}])
	places(unplaced) == {{"file": "Dockerfile", "line": 0}}
	nowhere := array.concat(unplaced, [{"op": "remove", "path": "/claims/6/predicate/buildDefinition/externalParameters/dockerfile"}])
	places(nowhere) == {{"file": "", "line": 0}}
}

test_base_named if {
	messages([
		base("pkg:docker/localhost%3A5000/base@v1")[0],
		{"op": "remove", "path": "/claims/6/predicate/buildDefinition/resolvedDependencies/0/digest"},
	]) == {`base image "localhost:5000/base:v1" is not named by digest; this build took of an unknown digest`}
}

test_base_registry if {
	every uri in [
		concat("", ["pkg:docker/debian@12?digest=", digest]),
		concat("", ["pkg:docker/acme/base@12?digest=", digest]),
		concat("", ["pkg:docker/ghcr.io/acme/base?digest=", digest]),
		concat("", ["pkg:docker/localhost%3A5000/base@v1?digest=", digest]),
		concat("", ["docker-image://ghcr.io/acme/base:v1@", digest]),
		concat("", ["docker-image://localhost:5000/base@", digest]),
	] {
		allowed(base(uri)) with data.settings.baseRegistries as ["docker.io/library", "docker.io/acme", "ghcr.io/acme", "localhost:5000"]
		denied(base(uri)) == {"base-registry"} with data.settings.baseRegistries as ["example.com", "docker.io/lib", "ghcr.io/ac", "localhost"]
		not allowed(base(uri)) with data.settings.baseRegistries as ["example.com"]
	}
	unclear := concat("", ["pkg:oci/base@v1?repository_url=ghcr.io/acme&digest=", digest])
	denied(base(unclear)) == {"base-registry"} with data.settings.baseRegistries as ["ghcr.io"]
	"base-registry" in skipped
}

test_no_base if {
	patches := [{"op": "replace", "path": "/claims/6/predicate/buildDefinition/resolvedDependencies", "value": []}]
	allowed(patches)
	skips := sealyard.skip with input as json.patch(evidence, patches)
	{"base-unpinned", "base-registry"} == {entry.rule | some entry in skips; startswith(entry.rule, "base-")}
}
