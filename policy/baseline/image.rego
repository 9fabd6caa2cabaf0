package sealyard

import data.settings

image_check := {
	"time": "the evaluation time is not RFC 3339 in UTC",
	"digest": "the index has no sha256 digest",
	"type": "the media type is not that of an image index",
	"platforms": "the index has no platform, or one of them has no name or no sha256 digest",
	"distinct": "two platforms have the same name or the same digest",
}

image_passes("time") if at(input.time)

image_passes("digest") if sha256(input.image.digest)

image_passes("type") if {
	input.image.mediaType in {
		"application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json",
	}
}

image_passes("platforms") if {
	count(input.image.platforms) > 0
	every platform in input.image.platforms {
		sha256(platform.digest)
		nonempty(platform.platform)
	}
}

image_passes("distinct") if {
	count({platform.platform | some platform in input.image.platforms}) == count(input.image.platforms)
	count(digests) == count(input.image.platforms) + 1
}

image_sound if {
	every name, _ in image_check {
		image_passes(name)
	}
}

# METADATA
# title: The image is an index of named platforms
# description: Evidence is bound to digests, so the index and each runnable manifest need one of their own.
# custom:
#   id: image-shape
#   severity: critical
#   controls: ["slsa-1.2:build-l1"]
#   solution: Build the image with sealyard, or give an image index whose manifests name their platforms.
deny contains {"rule": "image-shape", "message": message, "subject": subject} if {
	some name, message in image_check
	not image_passes(name)
	subject := object.get(input.image, "digest", "")
}

# user is who the process runs as; a group after a colon does not change that.
user(platform) := split(platform.config.user, ":")[0]

# numbers beyond 2^31 wrap around in some runtimes, to 0 at worst.
user_numbered(platform) if {
	regex.match(`^0*[1-9][0-9]{0,9}$`, user(platform))
	to_number(trim_left(user(platform), "0")) < 2147483648
}

user_named(platform) if {
	regex.match(`^[A-Za-z_][A-Za-z0-9_.-]*$`, user(platform))
	user(platform) != "root"
}

# user_ids are the numbers that the scanner found behind the user in the image's own files: 0 is root, and -1 means
# that they do not tell.
user_ids(platform) := {id |
	some i in claims.vulns[platform.digest]
	id := input.claims[i].predicate.sealyard_coverage.user
	is_number(id)
}

user_root_by_files(platform) if 0 in user_ids(platform)

user_known_by_files(platform) if {
	count(user_ids(platform)) == 1
	every id in user_ids(platform) { id > 0 }
}

user_accepted(platform) if {
	user_numbered(platform)
	not user_root_by_files(platform)
}

user_accepted(platform) if {
	user_named(platform)
	user_known_by_files(platform)
}

user_accepted(platform) if {
	user_named(platform)
	not user_root_by_files(platform)
	settings.namedUser != "deny"
}

user_accepted(platform) if {
	is_string(platform.config.user)
	not settings.nonRoot
}

# user_set is the line of the Dockerfile that sets the user, where provenance tells it.
default user_set := {"file": "", "line": 0}

user_set := place_ if {
	places := {at_line(i, mark.line, "", "").location | some i in described; some mark in seen_in(i).marks; mark.check == "user"; sound_mark(mark)}
	count(places) == 1
	some place_ in places
}

# METADATA
# title: The image does not run as root
# description: >-
#   The user of the image configuration must not be root: neither by its number, nor by what the image's own
#   /etc/passwd says of its name. A name that those files do not explain is judged by the setting namedUser.
# custom:
#   id: user-nonroot
#   severity: high
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.1", "sp800-190:4.4.3", "pss-1.37:restricted"]
#   solution: Put a line such as USER 65532 at the end of the Dockerfile.
deny contains finding if {
	some platform in input.image.platforms
	not user_accepted(platform)
	finding := {
		"rule": "user-nonroot",
		"message": sprintf("the image runs as user %q", [object.get(platform, ["config", "user"], "")]),
		"platform": object.get(platform, "platform", ""),
		"subject": object.get(platform, "digest", ""),
		"location": user_set,
	}
}

# METADATA
# title: The user of the image is given by number
# description: Whether a named user is root is decided by the image's own files; a number says it by itself.
# custom:
#   id: user-numbered
#   severity: low
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.1", "pss-1.37:restricted"]
#   solution: Write the number instead of the name, such as USER 65532.
warn contains finding if {
	settings.nonRoot
	settings.namedUser == "warn"
	some platform in input.image.platforms
	user_named(platform)
	not user_known_by_files(platform)
	finding := {
		"rule": "user-numbered",
		"message": sprintf("the image runs as %q, which its files do not tell from root", [user(platform)]),
		"platform": platform.platform,
		"subject": platform.digest,
	}
}

skip contains {"rule": "user-nonroot", "kind": "off", "reason": "switched off by the setting nonRoot"} if not settings.nonRoot

skip contains {"rule": "user-numbered", "kind": "off", "reason": "switched off by the settings nonRoot and namedUser"} if {
	not settings.nonRoot
}

skip contains {"rule": "user-numbered", "kind": "off", "reason": "switched off by the settings nonRoot and namedUser"} if {
	settings.namedUser == "allow"
}

skip contains {"rule": "user-numbered", "kind": "inapplicable", "reason": "the setting namedUser denies what it would warn of: see user-nonroot"} if {
	settings.nonRoot
	settings.namedUser == "deny"
}
