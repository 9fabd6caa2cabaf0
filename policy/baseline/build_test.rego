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

# R21: a parameter that the build type does not describe is refused unless it is listed.
test_parameters if {
	unknown := [{"op": "add", "path": "/claims/6/predicate/buildDefinition/externalParameters/surprise", "value": ""}]
	denied(unknown) == {"build-parameter"}
	allowed(unknown) with data.settings.ignoredParameters as ["surprise"]
	denied(unknown) == {"build-parameter"} with data.settings.ignoredParameters as ["surpris", "surprise2"]
	another := built({"type": "https://example.com/type"})
	denied(another) == {"build-parameter"}
	allowed(another) with data.settings.ignoredParameters as ["source", "dockerfile", "entitlements", "network"]
}

above := {1: {"build-level-2"}, 2: {"build-level-3"}, 3: set()}

run := {"runner": "github-hosted", "signer": workflow.id, "config": workflow.id}

# built changes who signed everything, and how the provenance says it was built.
built(how) := array.concat(all_signed(object.get(how, "signer", evidence.claims[6].signer)), [
	{"op": "replace", "path": "/claims/6/predicate/buildDefinition/buildType", "value": object.get(how, "type", build_type.own)},
	{"op": "replace", "path": "/claims/6/predicate/buildDefinition/internalParameters/sealyard_mode", "value": object.get(how, "mode", "cli")},
])

build_type := sealyard.build_type

reached(patches) := level if {
	some level in sealyard.levels with input as json.patch(evidence, patches)
}

# R15 R22: the level is what the table says of builder and signer together, 1 when it says nothing, and never more than a build of
# that kind can have.
test_level if {
	id := evidence.claims[6].predicate.runDetails.builder.id
	key := evidence.claims[6].signer.id
	hosted := object.union(workflow, {"workflow": run})
	own := object.union(workflow, {"workflow": object.union(run, {"runner": "self-hosted"})})
	reusable := object.union(workflow, {"workflow": object.union(run, {"config": "https://github.com/acme/app/.github/workflows/ci.yml@refs/heads/main"})})
	names := ["source", "dockerfile", "entitlements", "network"]
	every case in [
		{"how": {}, "level": 1},
		{"how": {"mode": "action"}, "level": 1},
		{"how": {"mode": "action", "signer": hosted}, "level": 2},
		{"how": {"mode": "action", "signer": reusable}, "level": 2},
		{"how": {"mode": "cli", "signer": hosted}, "level": 1},
		{"how": {"mode": "action", "signer": own}, "level": 1},
		{"how": {"type": build_type.github, "signer": hosted}, "level": 2},
		{"how": {"type": build_type.github, "signer": reusable}, "level": 3},
		{"how": {"type": build_type.github, "signer": own}, "level": 1},
		{"how": {"type": build_type.github}, "level": 1},
		{"how": {"type": "https://example.com/type"}, "level": 3},
		{"how": {"type": "https://example.com/type", "signer": reusable}, "level": 3},
		{"how": {"type": "https://example.com/type", "signer": hosted}, "level": 2},
		{"how": {"type": "https://example.com/type", "signer": own}, "level": 1},
	] {
		table := [{"id": id, "signer": key, "level": 3}, {"id": id, "signer": workflow.id, "issuer": workflow.issuer, "level": 3}]
		expected := sprintf("SLSA_BUILD_LEVEL_%d", [case.level])
		reached(built(case.how)) == expected with data.settings.builders as table with data.settings.ignoredParameters as names
		allowed(built(case.how)) with data.settings.builders as table with data.settings.ignoredParameters as names with data.settings.minimumLevel as case.level
		denied(built(case.how)) == above[case.level] with data.settings.builders as table with data.settings.ignoredParameters as names with data.settings.minimumLevel as min([3, case.level + 1])

		# Without the table, and without a level in it, it is 1.
		reached(built(case.how)) == "SLSA_BUILD_LEVEL_1" with data.settings.ignoredParameters as names
		denied(built(case.how)) == {"build-level-2"} with data.settings.ignoredParameters as names with data.settings.minimumLevel as 2
		denied(built(case.how)) == {"build-level-2", "build-level-3"} with data.settings.ignoredParameters as names with data.settings.minimumLevel as 3
		bare := [object.remove(entry, {"level"}) | some entry in table]
		reached(built(case.how)) == "SLSA_BUILD_LEVEL_1" with data.settings.builders as bare with data.settings.ignoredParameters as names
	}
	not sealyard.levels["SLSA_BUILD_LEVEL_1"] with input as json.patch(evidence, external("network", "host"))
}

# T23: a workflow without @REF is that workflow at any ref, and no other.
test_builder_at_any_ref if {
	file := "https://github.com/acme/app/.github/workflows/build.yml"
	signed := all_signed(object.union(workflow, {"workflow": run}))
	patches := array.concat(signed, [{"op": "replace", "path": "/claims/6/predicate/runDetails/builder/id", "value": workflow.id}])
	allowed(patches) with data.settings.builders as [{"id": file, "signer": file, "issuer": workflow.issuer, "level": 2}]
	every name in ["https://github.com/acme/app/.github/workflows/build.ym", "https://github.com/acme/app/.github/workflows/", "https://github.com/acme/app", concat("", [file, "@"]), ""] {
		not allowed(patches) with data.settings.builders as [{"id": name, "signer": name, "issuer": workflow.issuer}]
		not allowed(patches) with data.settings.builders as [{"id": file, "signer": name, "issuer": workflow.issuer}]
		not allowed(patches) with data.settings.builders as [{"id": name, "signer": file, "issuer": workflow.issuer}]
	}
	not allowed(patches) with data.settings.builders as [{"id": file, "signer": file}]
	unproven := array.concat(all_signed(workflow), [patches[count(patches) - 1]])
	not allowed(unproven) with data.settings.builders as [{"id": file, "signer": file, "issuer": workflow.issuer}]
}
