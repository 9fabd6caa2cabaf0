# The rules of this bundle. Ask them beside the baseline: all must allow, so this bundle can only tighten.
package sealyard

default allow := false

allow if count(deny) == 0

# METADATA
# title: Images carry a licence
# description: Whoever gets the image must be able to see what they may do with it.
# custom:
#   id: licence
#   severity: medium
#   controls: ["s2c2f:SCA-2"]
#   solution: Add a line such as LABEL org.opencontainers.image.licenses=Apache-2.0 to the Dockerfile.
deny contains finding if {
	some platform in input.image.platforms
	not platform.config.labels[data.settings.label]
	finding := {
		"rule": "licence",
		"message": sprintf("the image has no label %s", [data.settings.label]),
		"platform": platform.platform,
		"subject": platform.digest,
	}
}
