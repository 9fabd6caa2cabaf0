package sealyard_test

import data.sealyard

note(changes) := [{"op": "replace", "path": "/claims/4/predicate/scanner/result/0/annotations/0", "value": object.union(
	evidence.claims[4].predicate.scanner.result[0].annotations[0],
	changes,
)}]

# R79: severity cutoff, both sides of it.
test_severity if {
	every severity in ["critical", "high"] {
		denied(note({"severity": severity})) == {"vulnerability"}
	}
	every severity in ["medium", "low", "negligible"] {
		allowed(note({"severity": severity}))
		warned(note({"severity": severity})) == set()
	}
	allowed(note({"severity": "high"})) with data.settings.severity as "critical"
	denied([]) == {"vulnerability"} with data.settings.severity as "low"
}

test_only_fixed if {
	every state in ["not-fixed", "wont-fix", "unknown"] {
		allowed(note({"severity": "high", "fixState": state}))
		warned(note({"severity": "high", "fixState": state})) == {"vulnerability-unfixed"}
		denied(note({"severity": "high", "fixState": state})) == {"vulnerability"} with data.settings.onlyFixed as false
	}
	"vulnerability-unfixed" in skipped with data.settings.onlyFixed as false
}

# R83: known exploitation denies whatever the severity and fix.
test_known_exploited if {
	denied(note({"kev": true, "severity": "negligible", "fixState": "wont-fix"})) == {"vulnerability-exploited"}
	denied(note({"kev": true, "severity": "unknown"})) == {"vulnerability-exploited"}
	allowed(note({"kev": false}))
	allowed(note({"kev": true})) with data.settings.knownExploited as false
	"vulnerability-exploited" in skipped with data.settings.knownExploited as false
	not allowed(note({"kev": "yes"}))
}

# R84
test_epss if {
	allowed(note({"epss": 0.99}))
	"vulnerability-epss" in skipped
	denied(note({"epss": 0.5, "fixState": "not-fixed"})) == {"vulnerability-epss"} with data.settings.epss as 0.5
	allowed(note({"epss": 0.49})) with data.settings.epss as 0.5
	denied(note({"epss": 0})) == set() with data.settings.epss as 0.5
}

# R79: nobody rated it, which is not the same as harmless.
test_unknown_severity if {
	allowed(note({"severity": "unknown"}))
	warned(note({"severity": "unknown"})) == {"vulnerability-unrated"}
	denied(note({"severity": "unknown", "epss": 0.1})) == {"vulnerability-unrated"}
	denied(note({"severity": "unknown"})) == {"vulnerability-unrated"} with data.settings.unknownSeverity as "deny"
	allowed(note({"severity": "unknown", "fixState": "not-fixed"})) with data.settings.unknownSeverity as "deny"
}

test_messages if {
	messages(note({"severity": "high"})) == {"CVE-2026-0001 (high) in openssl 3.0.17-1; fixed in 3.0.18-1"}
	messages(note({"severity": "high", "fixedIn": []})) == {"CVE-2026-0001 (high) in openssl 3.0.17-1; a fix exists"}
}

messages(patches) := texts if {
	findings := sealyard.deny with input as json.patch(evidence, patches)
	texts := {finding.message | some finding in findings}
}

scanned(position, path, value) := [{"op": "replace", "path": sprintf("/claims/%d/predicate/%s", [position, path]), "value": value}]

# R81 T33: the age of the database, at the evaluation time.
test_database_age if {
	every position in [3, 5] {
		every time in ["2026-11-15T11:59:59Z", "2020-01-01T00:00:00Z", "2026-11-21T12:00:01Z"] {
			denied(scanned(position, "scanner/db/lastUpdate", time)) == {"scan-database-age"}
		}
		allowed(scanned(position, "scanner/db/lastUpdate", "2026-11-15T12:00:00Z"))
		allowed(scanned(position, "scanner/db/lastUpdate", "2026-11-20T12:00:30Z"))
	}
	allowed(scanned(4, "scanner/db/lastUpdate", "2026-10-01T00:00:00Z")) with data.settings.dbMaxAgeDays as 60
	denied([]) == {"scan-database-age"} with data.settings.dbMaxAgeDays as 0.5
}

# R81
test_scan_age if {
	denied(scanned(4, "metadata/scanFinishedOn", "2026-10-21T11:59:59Z")) == {"scan-age"}
	allowed(scanned(4, "metadata/scanFinishedOn", "2026-10-21T12:00:00Z"))
	denied(scanned(4, "metadata/scanFinishedOn", "2026-11-22T12:00:00Z")) == {"scan-age"}
	denied(scanned(4, "metadata/scanFinishedOn", "2026-11-10T12:00:00Z")) == {"scan-age"} with data.settings.scanMaxAgeDays as 7
}

# T32 R91: what was not looked at is said.
test_coverage if {
	denied(scanned(4, "sealyard_coverage/packages", 0)) == {"scan-empty"}
	warned(scanned(4, "sealyard_coverage/packages", 0)) == {"scan-empty"} with data.settings.noPackages as "warn"
	warned(scanned(4, "sealyard_coverage/distro", "")) == {"scan-distro"}
	allowed(scanned(4, "sealyard_coverage/distro", ""))
	denied(scanned(4, "sealyard_coverage/distro", "")) == {"scan-distro"} with data.settings.unknownDistro as "deny"
	denied(scanned(4, "sealyard_coverage/covered", false)) == {"scan-uncovered"}
	not allowed(scanned(4, "sealyard_coverage/covered", false))
	denied(array.concat(scanned(4, "sealyard_coverage/covered", false), scanned(4, "sealyard_coverage/distro", ""))) == {"scan-uncovered"}
	warned(scanned(4, "sealyard_coverage/covered", false)) == {"scan-uncovered"} with data.settings.uncoveredDistro as "warn"
	allowed(scanned(4, "sealyard_coverage/covered", false)) with data.settings.uncoveredDistro as "warn"
	warned(scanned(4, "sealyard_coverage/uncomparable", 2)) == {"scan-uncomparable"}
	allowed(scanned(4, "sealyard_coverage/uncomparable", 2))
	denied(scanned(4, "sealyard_coverage/uncomparable", 2)) == {"scan-uncomparable"} with data.settings.uncomparable as "deny"
}

# R79: days to mend something, by severity, since it was published, or since there was a fix. Without a date, with one that is still to
# come and for what is exploited there are none.
test_grace if {
	high := {"severity": "high", "published": "2026-11-15T12:00:01Z"}
	denied(note(high)) == {"vulnerability"}
	denied(note(high)) == {"vulnerability"} with data.settings.graceDays as {"critical": 30, "high": 0}
	allowed(note(high)) with data.settings.graceDays as {"high": 5}
	warned(note(high)) == {"vulnerability"} with data.settings.graceDays as {"high": 5}
	every other in [
		{"published": "2026-11-15T12:00:00Z"}, # five days are over
		{"published": "2026-11-15T11:00:00Z", "fixable": "2026-11-19T00:00:00Z"},
		{"published": "2026-11-20T12:00:01Z"},
		{"published": "soon"}, {"published": 7}, {"published": ""},
		{"severity": "critical"},
	] {
		denied(note(object.union(high, other))) == {"vulnerability"} with data.settings.graceDays as {"high": 5}
	}
	denied(note({"severity": "high"})) == {"vulnerability"} with data.settings.graceDays as {"high": 5}
	allowed(note({"severity": "high", "fixable": "2026-11-19T00:00:00Z"})) with data.settings.graceDays as {"high": 5}
	denied(note(object.union(high, {"kev": true}))) == {"vulnerability-exploited"} with data.settings.graceDays as {"high": 5}
	denied(note(object.union(high, {"epss": 0.9}))) == {"vulnerability-epss"} with data.settings.graceDays as {"high": 5}
		with data.settings.epss as 0.5
}

test_grace_message if {
	patched := json.patch(evidence, note({"severity": "high", "published": "2026-11-15T12:00:01Z"}))
	texts := {finding.message | some finding in sealyard.warn} with input as patched with data.settings.graceDays as {"high": 5}
	"CVE-2026-0001 (high) in openssl 3.0.17-1, let pass for 5 days from 2026-11-15T12:00:01Z; fixed in 3.0.18-1" in texts
}
