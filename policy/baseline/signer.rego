package sealyard

import data.settings

signer_sound(signer) if {
	signer_known(signer)
	signer_listed(signer)
}

signer_known(signer) if {
	signer.kind == "key"
	regex.match(`^[0-9a-f]{64}$`, signer.id)
}

signer_known(signer) if {
	signer.kind == "keyless"
	nonempty(signer.id)
	nonempty(signer.issuer)
}

signer_known(signer) if {
	signer.kind == "none"
	settings.allowUnsigned
}

signer_listed(_) if {
	count(settings.signers) == 0
	count({claim.signer | some claim in input.claims}) == 1
}

signer_listed(signer) if {
	some entry in settings.signers
	is_signer(signer, entry.id, object.get(entry, "issuer", ""))
}

signer_listed(signer) if {
	signer.kind == "none"
	settings.allowUnsigned
	count(settings.signers) > 0
}

is_signer(signer, id, issuer) if {
	signer.id == id
	signer.issuer == issuer
}

is_signer(signer, id, issuer) if {
	signer.kind == "keyless"
	signer.workflow.signer == signer.id
	named(signer.id, id)
	signer.issuer == issuer
}

# named holds for the very name, and of a workflow written without @REF for that workflow at any ref.
named(name, name)

named(found, wanted) if {
	regex.match(`^https://[^@]+/\.github/workflows/[^/@]+\.ya?ml$`, wanted)
	startswith(found, concat("", [wanted, "@"]))
}

# METADATA
# title: Every claim is signed
# description: Anyone can write evidence. A claim counts only by who stands for it.
# custom:
#   id: signer-missing
#   severity: critical
#   controls: ["slsa-1.2:build-l2", "cis-ssc-1.0:2.4.6", "cis-ssc-1.0:4.3.1"]
#   solution: Sign with a key or keyless, or set allowUnsigned when unsigned evidence is what you want to judge.
deny contains finding if {
	some claim in input.claims
	not signer_known(claim.signer)
	finding := {
		"rule": "signer-missing",
		"message": sprintf("a claim of type %q has no signer", [object.get(claim, "predicateType", "")]),
		"subject": object.get(claim, ["subjects", 0], ""),
	}
}

# METADATA
# title: Claims are signed by whom the policy trusts
# description: >-
#   With the setting signers each claim must be signed by one of them. Without it all claims must have the same
#   signer, and of a workflow the same run, so that nobody can add one of their own.
# custom:
#   id: signer-untrusted
#   severity: critical
#   controls: ["slsa-1.2:build-l2", "cis-ssc-1.0:4.1.1", "cis-ssc-1.0:4.3.2"]
#   solution: Remove the referrers of strangers, or list every signer you trust in the setting signers.
deny contains finding if {
	some claim in input.claims
	signer_known(claim.signer)
	not signer_listed(claim.signer)
	finding := {
		"rule": "signer-untrusted",
		"message": sprintf("a claim of type %q is signed by %q, %s", [claim.predicateType, claim.signer.id, signer_problem]),
		"subject": object.get(claim, ["subjects", 0], ""),
	}
}

signer_problem := "and other claims by somebody else" if {
	count(settings.signers) == 0
} else := "who is not one of the signers"
