package sealyard

import data.settings

# The build types that are known, the external parameters that each of them has, and the highest SLSA Build level that a
# build of it can have been. Of another type no parameter is known, and its level is what the setting builders says.
build_type := {
	"own": "https://github.com/sealyard/sealyard/blob/main/docs/buildtypes/container-v1.md",
	"github": "https://actions.github.io/buildtypes/workflow/v1",
}

parameters := {
	build_type.own: {
		"workflow", "image", "source", "ref", "dockerfile", "context", "target", "platforms", "buildArgs", "entitlements", "network",
		"cacheFrom", "policy", "inputs",
	},
	build_type.github: {"workflow"},
}

# METADATA
# title: Every external parameter of the build is known
# description: >-
#   A parameter that the build type does not describe could have changed the build in a way that no rule looks at. Those of
#   the setting ignoredParameters are accepted.
# custom:
#   id: build-parameter
#   severity: high
#   controls: ["slsa-1.2:build-l3"]
#   solution: Find out what the parameter does, and list it in the setting ignoredParameters if it may be anything.
deny contains finding if {
	some i in provenances
	some name, _ in definition(i).externalParameters
	not name in object.get(parameters, definition(i).buildType, set())
	not name in settings.ignoredParameters
	finding := {
		"rule": "build-parameter",
		"message": sprintf("the build type does not describe the external parameter %q", [name]),
		"subject": name,
	}
}

# level is the SLSA Build level that provenance may be taken for: 1, or what the setting builders says of its builder and
# signer, but no more than such a build can have been.
level(i) := min({highest(i), max({1} | {object.get(entry, "level", 1) | some entry in settings.builders; built_by(i, entry)})})

# highest: whoever has the key, or the machine, can write any provenance. A job that signs for itself is not isolated from
# what it builds; a reusable workflow of others may be. Who holds the key of a builder that is not known here, the setting says.
highest(i) := 2 if {
	by_hosted(i)
	definition(i).buildType == build_type.own
	definition(i).internalParameters.sealyard_mode == "action"
} else := 3 if {
	by_hosted(i)
	definition(i).buildType != build_type.own
	input.claims[i].signer.workflow.signer != input.claims[i].signer.workflow.config
} else := 2 if {
	by_hosted(i)
	definition(i).buildType != build_type.own
} else := 3 if {
	input.claims[i].signer.kind == "key"
	not definition(i).buildType in object.keys(parameters)
} else := 1

by_hosted(i) if {
	input.claims[i].signer.kind == "keyless"
	input.claims[i].signer.workflow.runner == "github-hosted"
}

# METADATA
# title: The build reaches SLSA Build level 2
# description: >-
#   Asked for by the setting minimumLevel. The setting builders says which level a builder has together with its signer; a pair that is
#   not in it has level 1. Signed with a key, on a self-hosted runner or by hand it is never more than 1.
# custom:
#   id: build-level-2
#   severity: critical
#   controls: ["slsa-1.2:build-l2"]
#   solution: Build in a way that reaches the level, and list the builder and its signer with that level in the setting builders.
deny contains finding if {
	some i in provenances
	settings.minimumLevel >= 2
	level(i) < 2
	finding := too_low("build-level-2", i)
}

# METADATA
# title: The build reaches SLSA Build level 3
# description: Asked for by the setting minimumLevel, as build-level-2 is. Signed by the job that built the image it is never more than 2.
# custom:
#   id: build-level-3
#   severity: critical
#   controls: ["slsa-1.2:build-l3"]
#   solution: Build in a reusable workflow that is isolated from its caller, and list it as builder with level 3 in the setting builders.
deny contains finding if {
	some i in provenances
	settings.minimumLevel >= 3
	level(i) < 3
	finding := too_low("build-level-3", i)
}

too_low(rule, i) := {
	"rule": rule,
	"message": sprintf("builder %q with signer %q has SLSA Build level %d%s", [
		object.get(input.claims[i], ["predicate", "runDetails", "builder", "id"], ""),
		object.get(input.claims[i], ["signer", "id"], ""),
		level(i),
		unlisted,
	]),
}

skip contains {"rule": rule, "kind": "off", "reason": "the setting minimumLevel does not ask for it"} if {
	some least, rule in {2: "build-level-2", 3: "build-level-3"}
	settings.minimumLevel < least
}

unlisted := ": the setting builders is empty, and what it does not list has level 1" if {
	count(settings.builders) == 0
} else := ""

# levels is what an allowed image reaches, for its verification summary.
levels contains sprintf("SLSA_BUILD_LEVEL_%d", [min({level(i) | some i in provenances})]) if {
	allow
	count(provenances) > 0
}
