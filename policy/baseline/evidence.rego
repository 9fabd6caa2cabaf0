package sealyard

import data.settings

# meets says which kinds of evidence meet a requirement.
meets := {
	"provenance": {"provenance"},
	"sbom": {"spdx", "cyclonedx"},
	"spdx": {"spdx"},
	"cyclonedx": {"cyclonedx"},
	"vulns": {"vulns"},
	"workloads": {"workloads"},
}

claimed(requirement, digest) if {
	some kind in meets[requirement]
	count(claims[kind][digest]) > 0
}

# covered holds when a sound claim that meets the requirement is about the digest.
covered(requirement, digest) if {
	some kind in meets[requirement]
	some i in claims[kind][digest]
	claim_sound(i)
}

kinds_of(i) := {kind | some kind, uri in predicate_type; input.claims[i].predicateType == uri}

claim_sound(i) if {
	about_image(i)
	sha256(input.claims[i].digest)
	nonempty(input.claims[i].predicateType)
	every kind in kinds_of(i) {
		every name, _ in claim_check[kind] {
			passes(kind, name, i)
		}
	}
}

about_image(i) if {
	some digest in input.claims[i].subjects
	digest in digests
}

claim_check := {
	"provenance": provenance_check,
	"spdx": sbom_check,
	"cyclonedx": sbom_check,
	"vulns": vulns_check,
	"workloads": workloads_check,
}

# passes(kind, name, i) holds when claim i, which is of that kind, passes the check of that name.
passes("provenance", name, i) if provenance_passes(name, i)

passes("spdx", name, i) if sbom_passes("spdx", name, i)

passes("cyclonedx", name, i) if sbom_passes("cyclonedx", name, i)

passes("vulns", name, i) if vulns_passes(name, i)

passes("workloads", name, i) if workloads_passes(name, i)

# required is what the setting asks for, and every kind that is there for some digest: a set with a gap was cut.
required contains requirement if some requirement in settings.requiredEvidence

required contains kind if some kind, _ in claims

# METADATA
# title: Evidence exists for the index and every platform
# description: >-
#   Which kinds are required is the setting requiredEvidence; a kind that exists for one digest must exist for all.
#   Evidence about one platform says nothing about another, nor about the index.
# custom:
#   id: evidence-missing
#   severity: critical
#   controls: ["slsa-1.2:build-l1", "cis-ssc-1.0:2.4.5", "ssdf-1.1:PS.3.2", "s2c2f:INV-1"]
#   solution: Build and scan the image with sealyard, and fetch it with all that refers to it.
deny contains finding if {
	some requirement in required
	some digest in digests
	not claimed(requirement, digest)
	finding := {
		"rule": "evidence-missing",
		"message": sprintf("there is no %s evidence about %s", [requirement, what(digest)]),
		"platform": platform_of(digest),
		"subject": digest,
	}
}

# METADATA
# title: Evidence is complete
# description: A claim that lacks a field rules depend on proves nothing, whichever field it is.
# custom:
#   id: evidence-incomplete
#   severity: critical
#   controls: ["slsa-1.2:build-l1", "cis-ssc-1.0:3.1.3"]
#   solution: Make the evidence again with this version of sealyard.
deny contains finding if {
	some i, claim in input.claims
	some kind in kinds_of(i)
	some name, message in claim_check[kind]
	not passes(kind, name, i)
	finding := {
		"rule": "evidence-incomplete",
		"message": sprintf("%s evidence %s", [kind, message]),
		"platform": claim_platform(i),
		"subject": object.get(claim, ["subjects", 0], ""),
	}
}

claim_platform(i) := platform_of(input.claims[i].subjects[0]) if {
	count(input.claims[i].subjects) == 1
} else := ""

# METADATA
# title: Evidence is about this image
# description: A claim whose subjects are other digests says nothing here, and should not be attached here.
# custom:
#   id: evidence-foreign
#   severity: critical
#   controls: ["slsa-1.2:build-l1", "cis-ssc-1.0:3.1.3"]
#   solution: Remove the referrer; it may have been copied from another image.
deny contains finding if {
	some i, claim in input.claims
	not about_image(i)
	finding := {
		"rule": "evidence-foreign",
		"message": sprintf("a claim of type %q is about another image", [object.get(claim, "predicateType", "")]),
		"subject": object.get(claim, ["subjects", 0], ""),
	}
}

# METADATA
# title: Evidence does not contradict itself
# description: Two different statements of one kind about one digest cannot both be the truth; none is picked.
# custom:
#   id: evidence-conflict
#   severity: critical
#   controls: ["slsa-1.2:build-l1", "cis-ssc-1.0:3.1.3"]
#   solution: Find out which statement is the right one and remove the other referrer.
deny contains finding if {
	some kind, about in claims
	some digest, positions in about
	statements := {input.claims[i].digest | some i in positions}
	count(statements) > 1
	finding := {
		"rule": "evidence-conflict",
		"message": sprintf("there are %d different statements of %s evidence about %s", [count(statements), kind, what(digest)]),
		"platform": platform_of(digest),
		"subject": digest,
	}
}

# An SBOM is about one digest. That of the index has a package for every platform, with its manifest's checksum.
sbom_check := {
	"subject": "is not about exactly one digest",
	"format": "is not a document of a known version",
	"packages": "has no list of named packages",
	"platforms": "of the index does not name every platform by digest",
}

sbom_passes(_, "subject", i) if count(input.claims[i].subjects) == 1

sbom_passes("spdx", "format", i) if input.claims[i].predicate.spdxVersion in {"SPDX-2.2", "SPDX-2.3"}

sbom_passes("cyclonedx", "format", i) if {
	input.claims[i].predicate.bomFormat == "CycloneDX"
	input.claims[i].predicate.specVersion in {"1.4", "1.5", "1.6", "1.7"}
}

sbom_passes("spdx", "packages", i) if all_named(input.claims[i].predicate.packages)

sbom_passes("cyclonedx", "packages", i) if all_named(input.claims[i].predicate.components)

sbom_passes(_, "platforms", i) if not input.image.digest in input.claims[i].subjects

sbom_passes("spdx", "platforms", i) if {
	sums := {sum.checksumValue | some item in input.claims[i].predicate.packages; some sum in item.checksums; sum.algorithm == "SHA256"}
	names_platforms(sums)
}

sbom_passes("cyclonedx", "platforms", i) if {
	sums := {sum.content | some item in input.claims[i].predicate.components; some sum in item.hashes; sum.alg == "SHA-256"}
	names_platforms(sums)
}

names_platforms(sums) if {
	every platform in input.image.platforms {
		substring(platform.digest, 7, -1) in sums
	}
}

all_named(packages) if {
	is_array(packages)
	every item in packages {
		nonempty(item.name)
	}
}
