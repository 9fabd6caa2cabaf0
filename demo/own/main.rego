# What one repository asks of its own images, besides what everybody else does: it can only tighten.
package sealyard

default allow := false

allow if count(deny) == 0

# METADATA
# title: The image is small
# description: Our nodes are at the end of a slow line.
# custom:
#   id: own-small
#   severity: low
#   solution: Ship the program alone, in a last stage that is FROM scratch.
deny contains finding if {
	some platform in input.image.platforms
	platform.size > 3000000
	finding := {
		"rule": "own-small",
		"message": sprintf("its layers have %d bytes, more than 3000000", [platform.size]),
		"platform": platform.platform,
		"subject": platform.digest,
	}
}
