# The baseline: an image is allowed when every platform of it is described by sound, signed evidence, and that
# evidence gives no reason against it. Everything is asked positively: what is missing does not hold.
package sealyard


default allow := false

allow if {
	image_sound
	every requirement in required {
		every digest in digests {
			covered(requirement, digest)
		}
	}
	every i, claim in input.claims {
		claim_sound(i)
		signer_sound(claim.signer)
	}
	count(deny) == 0
}

# kinds of evidence that are judged, and the predicate types they are told by.
predicate_type := {
	"provenance": "https://slsa.dev/provenance/v1",
	"spdx": "https://spdx.dev/Document",
	"cyclonedx": "https://cyclonedx.org/bom",
	"vulns": "https://in-toto.io/attestation/vulns/v0.2",
	"workloads": "https://github.com/sealyard/sealyard/blob/main/docs/predicates/workloads-v1.md",
}

# digests that evidence must be about: the index and every platform.
digests := {input.image.digest} | {platform.digest | some platform in input.image.platforms}

# claims[kind][digest] are the positions in input.claims of one kind of evidence about one digest.
claims[kind][digest] contains i if {
	some kind, uri in predicate_type
	some i, claim in input.claims
	claim.predicateType == uri
	some digest in claim.subjects
}

# platform_of names what a digest is, for messages: "" is the index.
platform_of(digest) := concat(", ", {platform.platform | some platform in input.image.platforms; platform.digest == digest})

what(digest) := "the image index" if {
	platform_of(digest) == ""
} else := platform_of(digest)

sha256(digest) if regex.match(`^sha256:[0-9a-f]{64}$`, digest)

nonempty(text) if {
	is_string(text)
	text != ""
}

# at is a time in nanoseconds; undefined for what is not RFC 3339 in UTC.
at(text) := time.parse_rfc3339_ns(text) if {
	regex.match(`^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z$`, text)
}

day := 86400000000000
