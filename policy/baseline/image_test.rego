package sealyard_test

import data.sealyard

test_sound_evidence_is_allowed if {
	denied([]) == set()
	warned([]) == set()
	allowed([])
}

# R79 R91: an image that cannot be told by digest cannot be judged.
test_image_shape if {
	every patch in [
		{"op": "replace", "path": "/time", "value": "yesterday"},
		{"op": "remove", "path": "/time"},
		{"op": "replace", "path": "/image/digest", "value": "sha256:01"},
		{"op": "remove", "path": "/image/digest"},
		{"op": "replace", "path": "/image/mediaType", "value": "application/vnd.oci.image.manifest.v1+json"},
		{"op": "replace", "path": "/image/platforms", "value": []},
		{"op": "remove", "path": "/image/platforms"},
		{"op": "replace", "path": "/image/platforms/0/platform", "value": ""},
		{"op": "replace", "path": "/image/platforms/0/digest", "value": "latest"},
		{"op": "replace", "path": "/image/platforms/0/platform", "value": "linux/arm64"},
	] {
		"image-shape" in denied([patch])
	}
}

as_user(user) := [{"op": "replace", "path": "/image/platforms/0/config/user", "value": user}]

# R87: root in every spelling, and numbers that wrap around to it.
test_user_root if {
	every user in ["", "root", "0", "0:0", "root:grp", "00", "+0", "-0", "0:1000", ":1000", "4294967296", "99999999999", "a b", "$USER"] {
		denied(as_user(user)) == {"user-nonroot"}
	}
	denied([{"op": "remove", "path": "/image/platforms/0/config/user"}]) == {"user-nonroot"}
}

# R87
test_user_number if {
	every user in ["1", "65532", "0010", "1000:0", "2147483647"] {
		allowed(as_user(user))
		warned(as_user(user)) == set()
	}
}

# R87 R91: a name is undecidable from the configuration, and is reported as that.
test_user_name if {
	allowed(as_user("app"))
	warned(as_user("app:app")) == {"user-numbered"}
	denied(as_user("app")) == {"user-nonroot"} with data.settings.namedUser as "deny"
	not allowed(as_user("app")) with data.settings.namedUser as "deny"
	allowed(as_user("app")) with data.settings.namedUser as "allow"
	warned(as_user("app")) == set() with data.settings.namedUser as "allow"
	"user-numbered" in skipped with data.settings.namedUser as "allow"
}

test_user_off if {
	allowed(as_user("root")) with data.settings.nonRoot as false
	{"user-nonroot", "user-numbered"} & skipped == {"user-nonroot", "user-numbered"} with data.settings.nonRoot as false
	not allowed([{"op": "remove", "path": "/image/platforms/0/config/user"}]) with data.settings.nonRoot as false
}

# denied gives the rules that deny, and holds only when allow says the same: an image is allowed exactly when none does.
denied(patches) := rules if {
	[allow, findings] := [sealyard.allow, sealyard.deny] with input as json.patch(evidence, patches)
	rules := {finding.rule | some finding in findings}
	allow == (count(rules) == 0)
}

warned(patches) := rules if {
	findings := sealyard.warn with input as json.patch(evidence, patches)
	rules := {finding.rule | some finding in findings}
}

allowed(patches) if {
	sealyard.allow with input as json.patch(evidence, patches)
}

skipped := rules if {
	entries := sealyard.skip with input as evidence
	rules := {entry.rule | some entry in entries}
}

in_files(name, id) := array.concat(as_user(name), [{"op": "add", "path": "/claims/4/predicate/sealyard_coverage/user", "value": id}])

# R87: a name, or a number that is also a name, is what the image's own passwd makes of it.
test_user_by_files if {
	denied(in_files("app", 0)) == {"user-nonroot"}
	not allowed(in_files("app", 0))
	denied(in_files("1000", 0)) == {"user-nonroot"}
	not allowed(in_files("1000", 0))
	allowed(in_files("app", 1000))
	warned(in_files("app", 1000)) == set()
	allowed(in_files("app", 1000)) with data.settings.namedUser as "deny"
	warned(in_files("app", -1)) == {"user-numbered"}
	denied(in_files("app", -1)) == {"user-nonroot"} with data.settings.namedUser as "deny"
	denied(in_files("root", 1000)) == {"user-nonroot"}
}
