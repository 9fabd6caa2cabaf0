# What the security team of acme asks of every image, besides the baseline.
package sealyard

default allow := false

allow if count(deny) == 0

# METADATA
# title: Images say where their source is
# description: Whoever is called at night because of an image must find its source.
# custom:
#   id: acme-source
#   severity: medium
#   solution: Add LABEL org.opencontainers.image.source=https://… to the Dockerfile.
deny contains finding if {
	some platform in input.image.platforms
	not sourced(platform)
	finding := {
		"rule": "acme-source",
		"message": "the image does not say where its source is",
		"platform": platform.platform,
		"subject": platform.digest,
	}
}

sourced(platform) if startswith(platform.config.labels["org.opencontainers.image.source"], "https://")
