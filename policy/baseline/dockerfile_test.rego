package sealyard_test

import data.sealyard

recorded_marks := "/claims/6/predicate/buildDefinition/internalParameters"

# seen is what a Dockerfile with these marks is in the provenance.
seen(marks) := [{"op": "add", "path": concat("/", [recorded_marks, "sealyard_dockerfile"]), "value": {"digest": {"sha256": ""}, "unread": "", "marks": marks}}]

marked(check) := seen([{"check": check, "line": 7, "subject": "x"}])

at_seven := {"file": "Dockerfile", "line": 7}

of(findings) := {finding.rule | some finding in findings; startswith(finding.rule, "dockerfile-")}

levels_of(patches) := {"deny": of(denied_), "warn": of(warned_)} if {
	denied_ := sealyard.deny with input as json.patch(evidence, patches)
	warned_ := sealyard.warn with input as json.patch(evidence, patches)
}

doing(rule, level) := {"deny": {rule | level == "deny"}, "warn": {rule | level == "warn"}}

# R11 T5 T36: each check denies, warns or passes by default, and as the setting says, at its line.
test_dockerfile_levels if {
	every check, level in sealyard.checks {
		rule := concat("-", ["dockerfile", check])
		levels_of(marked(check)) == doing(rule, level)
		every given in ["deny", "warn", "allow"] {
			levels_of(marked(check)) == doing(rule, given) with data.settings.dockerfile as {check: given}
		}
		findings := sealyard.deny with input as json.patch(evidence, marked(check)) with data.settings.dockerfile as {check: "deny"}
		{finding.location | some finding in findings} == {at_seven}
	}
	denied(marked("pipe-shell")) == {"dockerfile-pipe-shell"}
	allowed(seen([]))
	allowed(marked("sudo"))
	allowed(marked("user"))
}

# R91: what could not be read, is bent, or is of a later version is reported, and denied where that is asked.
test_dockerfile_unread if {
	unread := {"deny": set(), "warn": {"dockerfile-unread"}}
	mark := {"check": "sudo", "line": 7, "subject": "x"}
	every bad in [
		[object.union(mark, {"check": "new"})], [object.remove(mark, {"check"})], [object.union(mark, {"line": "7"})], [object.union(mark, {"line": 0})],
		[object.union(mark, {"line": 1.5})], [object.remove(mark, {"line"})], [object.remove(mark, {"subject"})], "none", {}, 1,
	] {
		levels_of(seen(bad)) == unread
		denied(seen(bad)) == {"dockerfile-unread"} with data.settings.dockerfile as {"unread": "deny"}
	}
	every value in [{}, {"unread": "it does not parse", "marks": []}, {"unread": "", "marks": null}, {"marks": []}] {
		levels_of([{"op": "add", "path": concat("/", [recorded_marks, "sealyard_dockerfile"]), "value": value}]) == {"deny": set(), "warn": {"dockerfile-unread"}}
	}
	denied([]) == {"dockerfile-unread"} with data.settings.dockerfile as {"unread": "deny"}
	levels_of([]) == {"deny": set(), "warn": set()}
	{"dockerfile-pipe-shell", "dockerfile-unread", "dockerfile-versions"} - skipped == set()
}

# What the image says of its user is shown where the Dockerfile sets it.
test_user_place if {
	root := {"op": "replace", "path": "/image/platforms/0/config/user", "value": "root"}
	places(array.concat(marked("user"), [root])) == {at_seven}
	places([root]) == {{"file": "", "line": 0}}
	places(array.concat(seen([{"check": "user", "line": 1, "subject": ""}, {"check": "user", "line": 2, "subject": ""}]), [root])) == {{"file": "", "line": 0}}
}
