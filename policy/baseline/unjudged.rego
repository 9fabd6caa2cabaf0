# Rules that had nothing to judge do not pass: they are skipped, with the reason. Whether what is missing must be there is for
# the rule evidence-missing to say.
package sealyard

import data.settings

# judged_by are the rules that look at one kind of evidence.
judged_by := {
	"provenance": {
		"base-unpinned", "base-registry", "build-entitlement", "build-parameter", "build-level-2", "build-level-3", "builder-untrusted",
		"source-unjudged",
	},
	"vulns": {
		"scan-age", "scan-database-age", "scan-distro", "scan-empty", "scan-uncomparable", "scan-uncovered",
		"vulnerability", "vulnerability-unfixed", "vulnerability-unrated", "vulnerability-exploited", "vulnerability-epss",
	},
}

skip contains {"rule": rule, "kind": "undecidable", "reason": sprintf("there is no %s evidence", [kind])} if {
	some kind, rules in judged_by
	not kind in object.keys(claims)
	some rule in rules
}

skip contains {"rule": rule, "kind": "undecidable", "reason": "there is no evidence at all"} if {
	count(input.claims) == 0
	some rule in ["evidence-conflict", "evidence-foreign", "evidence-incomplete", "signer-missing", "signer-untrusted"]
}

skip contains {"rule": rule, "kind": "off", "reason": "the setting allowUnsigned accepts claims that nobody signed"} if {
	settings.allowUnsigned
	some claim in input.claims
	claim.signer.kind == "none"
	some rule in ["signer-missing", "signer-untrusted"]
}

skip contains {"rule": rule, "kind": "undecidable", "reason": "no manifests were given"} if {
	count(objects) == 0
	some rule in workload_rules
}

skip contains {"rule": rule, "kind": "undecidable", "reason": "of some objects it is not known what they run: see workload-unknown"} if {
	some finding in workload
	finding.rule == "workload-unknown"
	some rule in workload_rules
}

skip contains {"rule": rule, "kind": "inapplicable", "reason": "no manifest runs Pods"} if {
	count(objects) > 0
	count(running) == 0
	some rule in pod_rules
}

pod_rules := pss_baseline_rules | pss_restricted_rules | {
	"workload-image-pinned", "workload-image-own", "workload-image-tagged", "workload-resources", "workload-cpu-limit", "workload-probes",
	"workload-root-writable", "workload-runtime-class", "workload-host-system", "workload-namespace", "workload-token",
	"workload-secret-literal", "workload-secret-env", "workload-capacity",
}

workload_rules := pod_rules | {
	"workload-unknown", "workload-secret-manifest", "workload-role-wildcard", "workload-role-secrets", "workload-role-admin",
	"workload-network-policy", "workload-tls",
}
