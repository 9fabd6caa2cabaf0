package sealyard_test

import data.sealyard

signer(position, value) := [{"op": "replace", "path": sprintf("/claims/%d/signer", [position]), "value": value}]

all_signed(value) := [{"op": "replace", "path": "/claims", "value": [object.union(claim, {"signer": value}) | some claim in unsigned]}]

unsigned := [object.remove(claim, {"signer"}) | some claim in evidence.claims]

nobody := {"kind": "none", "id": "", "issuer": ""}

workflow := {"kind": "keyless", "workflow": {"run": "https://github.com/acme/app/actions/runs/1/attempts/1"}, "id": "https://github.com/acme/app/.github/workflows/build.yml@refs/heads/main", "issuer": "https://token.actions.githubusercontent.com"}

# R79 T20: evidence nobody stands for does not count.
test_signer_missing if {
	every value in [nobody, {}, {"kind": "key", "id": "", "issuer": ""}, {"kind": "keyless", "id": "a", "issuer": ""}, {"kind": "pgp", "id": "a", "issuer": "b"}] {
		"signer-missing" in denied(all_signed(value))
	}
	allowed(all_signed(nobody)) with data.settings.allowUnsigned as true
	allowed(all_signed(workflow))
}

# T18 T27: nobody can add a claim of their own beside those of the signer.
test_signer_mixed if {
	every value in [workflow, {"kind": "key", "id": evidence.image.digest, "issuer": ""}] {
		not allowed(signer(4, value))
	}
	"signer-untrusted" in denied(signer(4, workflow))
}

# T18: nor can another run of the same workflow.
test_signer_other_run if {
	other := object.union(workflow, {"workflow": {"run": "https://github.com/acme/app/actions/runs/2/attempts/1"}})
	mixed := array.concat(all_signed(workflow), signer(4, other))
	denied(mixed) == {"signer-untrusted"}
	not allowed(mixed)
}

# T23: a listed signer is the very one, with its issuer.
test_signer_listed if {
	allowed(all_signed(workflow)) with data.settings.signers as [{"id": workflow.id, "issuer": workflow.issuer}]
	every entry in [
		{"id": workflow.id},
		{"id": workflow.id, "issuer": "https://example.com"},
		{"id": "https://github.com/acme/app", "issuer": workflow.issuer},
	] {
		denied(all_signed(workflow)) == {"signer-untrusted"} with data.settings.signers as [entry]
		not allowed(all_signed(workflow)) with data.settings.signers as [entry]
	}
	denied(all_signed(nobody)) == {"signer-missing"} with data.settings.signers as [{"id": ""}]
	allowed(all_signed(nobody)) with data.settings.signers as [{"id": workflow.id}] with data.settings.allowUnsigned as true
}
