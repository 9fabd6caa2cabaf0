package sealyard_test

import data.sealyard

image(label) := {"image": {"platforms": [{"platform": "linux/amd64", "digest": "sha256:00", "config": {"labels": {"org.opencontainers.image.source": label}}}]}}

base(name) := {"source": {"kind": "image", "name": name, "uri": "", "location": {"file": "Dockerfile", "line": 1}}}

bases := {"bases": ["registry.example/golden/"]}

denied_by(rule, found) if {
	some finding in found
	finding.rule == rule
}

test_acme_source if {
	sealyard.allow with input as image("https://git.example/acme/app")
	denied_by("acme-source", sealyard.deny) with input as image("somewhere")
}

test_acme_golden if {
	sealyard.source.allow with input as base("registry.example/golden/base") with data.settings as bases
	denied_by("acme-golden", sealyard.source.deny) with input as base("registry.example/vendor/base") with data.settings as bases
	denied_by("acme-golden", sealyard.source.deny) with input as base("registry.example/golden/base") with data.settings as {"bases": []}
}
