package sealyard

# METADATA
# title: Images run as somebody
# custom:
#   id: user
#   severity: high
#   controls: ["cis-docker-1.6.0:4.1"]
#   solution: Add USER to the Dockerfile.
deny contains finding if {
	some platform in input.image.platforms
	platform.config.user in {"", data.settings.user}
	finding := {"rule": "user", "message": sprintf("user %q", [platform.config.user]), "platform": platform.digest}
}

# METADATA
# title: Images say when they were made
# custom:
#   id: created
#   severity: low
warn contains finding if {
	some platform in input.image.platforms
	finding := {"rule": "created", "message": concat("", ["made ", platform.config.created]), "platform": platform.digest}
}

# METADATA
# title: Evidence is signed
# custom:
#   id: signed
skip contains {"rule": "signed", "reason": "not asked here"}

levels contains "SLSA_BUILD_LEVEL_1" if allow

default allow := false

allow if {
	count(deny) == 0
	"https://slsa.dev/provenance/v1" in {claim.predicateType | some claim in input.claims}
}
