# What may come into a build. BuildKit asks before it fetches any byte.
package sealyard.source

import data.settings

default allow := false

allow if count(deny) == 0

# METADATA
# title: Base images are golden
# description: The images of the setting bases are those that the security team keeps up to date.
# custom:
#   id: acme-golden
#   severity: high
#   solution: Start from an image below the setting bases.
deny contains finding if {
	input.source.kind == "image"
	not golden
	finding := {
		"rule": "acme-golden",
		"message": sprintf("%s is none of the images that acme keeps up to date", [input.source.name]),
		"location": input.source.location,
	}
}

golden if {
	some base in settings.bases
	startswith(input.source.name, base)
}
