package sealyard_test

import data.sealyard

image(labels) := {"image": {"platforms": [{"platform": "linux/amd64", "digest": "sha256:00", "config": {"labels": labels}}]}}

test_licence_is_there if {
	sealyard.allow with input as image({"org.opencontainers.image.licenses": "Apache-2.0"})
}

test_licence_is_missing if {
	not sealyard.allow with input as image({})
	some finding in sealyard.deny with input as image({})
	finding.rule == "licence"
}
