package sealyard

import data.settings

vulns_check := {
	"subject": "is not about exactly one digest",
	"scanner": "does not name its scanner and version",
	"database": "does not name its database by sha256 digest and build time",
	"time": "does not say when the scan started and finished",
	"result": "has a result without id, package, version, severity or fixState, or with an EPSS outside 0..1",
	"coverage": "does not say how many packages were found, in which distribution, and how many were uncomparable",
	"platforms": "of the index does not name the evidence of every platform by digest",
}

vulns_passes("subject", i) if count(input.claims[i].subjects) == 1

vulns_passes("scanner", i) if {
	nonempty(scanner(i).uri)
	nonempty(scanner(i).version)
}

vulns_passes("database", i) if {
	at(scanner(i).db.lastUpdate)
	regex.match(`^[0-9a-f]{64}$`, scanner(i).db.sealyard_digest.sha256)
}

vulns_passes("time", i) if {
	at(input.claims[i].predicate.metadata.scanStartedOn)
	at(input.claims[i].predicate.metadata.scanFinishedOn)
}

vulns_passes("result", i) if {
	is_array(scanner(i).result)
	every result in scanner(i).result {
		nonempty(result.id)
		is_array(result.annotations)
		count(result.annotations) > 0
		every note in result.annotations {
			note_sound(note)
		}
	}
}

vulns_passes("coverage", i) if of_index(i)

vulns_passes("coverage", i) if {
	is_number(coverage(i).packages)
	is_number(coverage(i).uncomparable)
	is_string(coverage(i).distro)
	is_boolean(coverage(i).covered)
}

vulns_passes("platforms", i) if not of_index(i)

vulns_passes("platforms", i) if {
	named := {[part.platform, part.digest, part.vulns] | some part in input.claims[i].predicate.sealyard_platforms}
	every platform in input.image.platforms {
		some j in claims.vulns[platform.digest]
		[platform.platform, platform.digest, input.claims[j].digest] in named
	}
	count(named) == count(input.image.platforms)
}

note_sound(note) if {
	nonempty(note.package)
	nonempty(note.version)
	note.severity in severities
	note.fixState in {"fixed", "not-fixed", "wont-fix", "unknown"}
	is_boolean(object.get(note, "kev", false))
	epss(note) >= 0
	epss(note) <= 1
}

severities := {"unknown"} | object.keys(rank)

rank := {"critical": 4, "high": 3, "medium": 2, "low": 1, "negligible": 0}

# epss is 0 when the scanner gives none; undefined, and so unsound, when it is not a number.
epss(note) := number if {
	number := object.get(note, "epss", 0)
	is_number(number)
}

of_index(i) if input.image.digest in input.claims[i].subjects

scanner(i) := input.claims[i].predicate.scanner

coverage(i) := input.claims[i].predicate.sealyard_coverage

# scans are the positions of vulnerability claims.
scans contains i if {
	some i, claim in input.claims
	claim.predicateType == predicate_type.vulns
}

# platform_scans are those that have packages of their own to speak of.
platform_scans := {i | some i in scans; not of_index(i)}

# young holds for a time at most so many days before the evaluation time, and at most one after it: the clock of
# another machine, or a scan that ended after the evaluation time was taken.
young(text, days) if {
	age := at(input.time) - at(text)
	age <= days * day
	age >= 0 - day
}

# METADATA
# title: The vulnerability database is fresh
# description: A scan knows what its database knew. dbMaxAgeDays is counted from input.time; the future is refused too.
# custom:
#   id: scan-database-age
#   severity: high
#   controls: ["cis-docker-1.6.0:4.4", "ssdf-1.1:RV.1.1", "s2c2f:SCA-1", "sp800-190:4.1.1"]
#   solution: Run sealyard db update and scan again.
deny contains finding if {
	some i in scans
	not young(scanner(i).db.lastUpdate, settings.dbMaxAgeDays)
	finding := {
		"rule": "scan-database-age",
		"message": sprintf("the vulnerability database of %s is not from the last %v days", [
			object.get(input.claims[i], ["predicate", "scanner", "db", "lastUpdate"], "an unknown time"),
			settings.dbMaxAgeDays,
		]),
		"platform": claim_platform(i),
	}
}

# METADATA
# title: The scan is fresh
# description: Old images gain vulnerabilities without changing. scanMaxAgeDays is counted from input.time.
# custom:
#   id: scan-age
#   severity: high
#   controls: ["cis-docker-1.6.0:4.4", "ssdf-1.1:RV.1.1", "fedramp-containers:scan-30-days"]
#   solution: Scan the image again.
deny contains finding if {
	some i in scans
	not young(input.claims[i].predicate.metadata.scanFinishedOn, settings.scanMaxAgeDays)
	finding := {
		"rule": "scan-age",
		"message": sprintf("the scan of %s is not from the last %v days", [
			object.get(input.claims[i], ["predicate", "metadata", "scanFinishedOn"], "an unknown time"),
			settings.scanMaxAgeDays,
		]),
		"platform": claim_platform(i),
	}
}

# METADATA
# title: The scanner found packages
# description: >-
#   An image whose package database was removed looks clean. The setting noPackages says what it is.
# custom:
#   id: scan-empty
#   severity: high
#   controls: ["ssdf-1.1:RV.1.1", "sp800-190:4.1.1"]
#   solution: Keep the package database and the binaries' build information in the image, or set noPackages.
judged.noPackages contains finding if {
	some i in platform_scans
	coverage(i).packages < 1
	finding := {
		"rule": "scan-empty",
		"message": "the scanner found no packages, so nothing was checked",
		"platform": claim_platform(i),
	}
}

# METADATA
# title: The scanner knows the distribution
# description: >-
#   Packages of an operating system are matched by its distribution. The setting unknownDistro says what an image
#   without one is; an image from scratch has none.
# custom:
#   id: scan-distro
#   severity: low
#   waivable: [image, digest]
#   controls: ["ssdf-1.1:RV.1.1", "sp800-190:4.1.1"]
#   solution: Keep /etc/os-release in the image.
judged.unknownDistro contains finding if {
	some i in platform_scans
	coverage(i).distro == ""
	finding := {
		"rule": "scan-distro",
		"message": "the scanner knows no distribution, so packages of an operating system were not checked",
		"platform": claim_platform(i),
	}
}

# METADATA
# title: The database knows the distribution of the packages
# description: >-
#   Packages of a distribution that is not known, or that the database has no data for, are never found to be
#   vulnerable. The setting uncoveredDistro says what that is.
# custom:
#   id: scan-uncovered
#   severity: high
#   controls: ["ssdf-1.1:RV.1.1", "sp800-190:4.1.1"]
#   solution: Use a release that the vulnerability database covers, or a database that covers this release.
judged.uncoveredDistro contains finding if {
	some i in platform_scans
	coverage(i).covered != true
	finding := {
		"rule": "scan-uncovered",
		"message": sprintf("the database has nothing about the distribution %q, so its packages were not checked", [coverage(i).distro]),
		"platform": claim_platform(i),
	}
}

# METADATA
# title: The scanner could compare every version
# description: >-
#   A package whose version cannot be compared is not checked. The setting uncomparable says what that is.
# custom:
#   id: scan-uncomparable
#   severity: medium
#   waivable: [image, digest]
#   controls: ["ssdf-1.1:RV.1.1"]
#   solution: Build the package with a version that its ecosystem can order.
judged.uncomparable contains finding if {
	some i in platform_scans
	coverage(i).uncomparable > 0
	finding := {
		"rule": "scan-uncomparable",
		"message": sprintf("%v packages have a version the scanner cannot compare, so they were not checked", [coverage(i).uncomparable]),
		"platform": claim_platform(i),
	}
}

# judged[setting] holds findings that are denials or warnings by the setting of that name.
deny contains finding if {
	some setting, findings in judged
	settings[setting] == "deny"
	some finding in findings
}

warn contains finding if {
	some setting, findings in judged
	settings[setting] != "deny"
	some finding in findings
}
