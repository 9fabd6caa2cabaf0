package sealyard

import data.settings

provenance_check := {
	"subjects": "is not about the index and every platform",
	"type": "does not say how the image was built (buildType)",
	"builder": "does not name its builder (builder.id)",
	"parameters": "has no externalParameters with the list entitlements and the string network",
	"dependencies": "has no list resolvedDependencies, or one in it has neither a uri nor a git commit",
}

provenance_passes("subjects", i) if {
	every digest in digests {
		digest in input.claims[i].subjects
	}
}

provenance_passes("type", i) if nonempty(definition(i).buildType)

provenance_passes("builder", i) if nonempty(builder(i))

provenance_passes("parameters", i) if {
	is_array(definition(i).externalParameters.entitlements)
	is_string(definition(i).externalParameters.network)
}

provenance_passes("dependencies", i) if {
	is_array(definition(i).resolvedDependencies)
	every dependency in definition(i).resolvedDependencies {
		dependency_named(dependency)
	}
}

dependency_named(dependency) if regex.match(`^[A-Za-z][A-Za-z0-9+.-]*:`, dependency.uri)

dependency_named(dependency) if regex.match(`^[0-9a-f]{40,64}$`, dependency.digest.gitCommit)

definition(i) := input.claims[i].predicate.buildDefinition

builder(i) := input.claims[i].predicate.runDetails.builder.id

# provenances are the positions of provenance claims.
provenances contains i if {
	some i, claim in input.claims
	claim.predicateType == predicate_type.provenance
}

builder_trusted(_) if count(settings.builders) == 0

builder_trusted(i) if {
	some entry in settings.builders
	built_by(i, entry)
}

built_by(i, entry) if {
	named(builder(i), entry.id)
	is_signer(input.claims[i].signer, entry.signer, object.get(entry, "issuer", ""))
}

# METADATA
# title: The builder is trusted
# description: >-
#   builder.id decides the SLSA level, and only together with who signed it. With the setting builders the pair
#   must be one of them.
# custom:
#   id: builder-untrusted
#   severity: critical
#   controls: ["slsa-1.2:build-l2", "cis-ssc-1.0:3.1.3"]
#   solution: Build with one of the builders of the setting builders, or add this one with its signer.
deny contains finding if {
	some i in provenances
	not builder_trusted(i)
	finding := {
		"rule": "builder-untrusted",
		"message": sprintf("the pair of builder %q and signer %q is not one of the builders", [
			object.get(input.claims[i], ["predicate", "runDetails", "builder", "id"], ""),
			object.get(input.claims[i], ["signer", "id"], ""),
		]),
	}
}

# METADATA
# title: The build had no privileges that were not granted
# description: >-
#   Entitlements such as security.insecure and network.host let a build step out of its sandbox. Those of the
#   setting entitlements are accepted.
# custom:
#   id: build-entitlement
#   severity: high
#   controls: ["slsa-1.2:build-l3"]
#   solution: Build without the entitlement, or grant it in the setting entitlements.
deny contains finding if {
	some i in provenances
	some entitlement in granted(i)
	not entitlement in settings.entitlements
	finding := {
		"rule": "build-entitlement",
		"message": sprintf("the build was granted %q", [entitlement]),
		"subject": entitlement,
	}
}

granted(i) := {name | some name in definition(i).externalParameters.entitlements} | host_network(i)

host_network(i) := {"network.host"} if {
	definition(i).externalParameters.network == "host"
} else := set()

skip contains {"rule": "builder-untrusted", "kind": "off", "reason": "the setting builders is empty: any builder is accepted"} if {
	count(settings.builders) == 0
}
