package sealyard

import data.settings

# bases are the images a build started from or copied out of, with the provenance that says so.
bases contains {"i": i, "base": dependency} if {
	some i in provenances
	some dependency in definition(i).resolvedDependencies
	regex.match(`^(pkg:(docker|oci)/|docker-image:|oci-layout:)`, lower(dependency.uri))
}

pinned(base) if {
	digested(base)
	contains(base.uri, "?digest=sha256:")
}

pinned(base) if {
	digested(base)
	contains(base.uri, "&digest=sha256:")
}

pinned(base) if {
	digested(base)
	contains(base.uri, "@sha256:")
}

pinned(base) if {
	digested(base)
	base.annotations.sealyard_pinned == "true"
}

digested(base) if regex.match(`^[0-9a-f]{64}$`, base.digest.sha256)

# METADATA
# title: Base images are named by digest
# description: A tag can be moved to another image between two builds; a digest cannot.
# custom:
#   id: base-unpinned
#   severity: high
#   waivable: [purl, image, digest]
#   controls: ["cis-docker-1.6.0:4.2", "cis-ssc-1.0:3.1.7", "sp800-190:4.1.5"]
#   solution: Add the digest to the FROM line, such as FROM debian:12@sha256:...
deny contains finding if {
	settings.pinnedBases
	some used in bases
	not pinned(used.base)
	finding := {
		"rule": "base-unpinned",
		"message": sprintf("base image %q is not named by digest; this build took %s", [shown(used.base), digest_text(used.base)]),
		"subject": used.base.uri,
		"location": place(used),
	}
}

registry_allowed(_) if count(settings.baseRegistries) == 0

registry_allowed(base) if {
	some allowed in settings.baseRegistries
	startswith(concat("", [repository(base), "/"]), concat("", [allowed, "/"]))
}

# METADATA
# title: Base images come from an allowed registry
# description: The setting baseRegistries lists registries, or paths in them. Without it any registry will do.
# custom:
#   id: base-registry
#   severity: high
#   waivable: [purl, image, digest]
#   controls: ["cis-docker-1.6.0:4.2", "cis-ssc-1.0:3.1.5", "s2c2f:ENF-2", "sp800-190:4.1.5"]
#   solution: Start from an image of an allowed registry, or add the registry to the setting baseRegistries.
deny contains finding if {
	some used in bases
	not registry_allowed(used.base)
	finding := {
		"rule": "base-registry",
		"message": sprintf("base image %q does not come from an allowed registry", [shown(used.base)]),
		"subject": used.base.uri,
		"location": place(used),
	}
}

# repository is registry and path, docker.io/library/debian; undefined when the URI does not tell.
repository(base) := qualified(urlquery.decode(split(package_name(base), "@")[0]))

repository(base) := qualified(regex.replace(split(image_name(base), "@")[0], `:[^:/]*$`, ""))

package_name(base) := split(substring(base.uri, 11, -1), "?")[0] if {
	startswith(base.uri, "pkg:docker/")
	not contains(base.uri, "repository_url=")
}

image_name(base) := split(substring(base.uri, 15, -1), "?")[0] if startswith(base.uri, "docker-image://")

qualified(name) := concat("/", ["docker.io/library", name]) if not contains(name, "/")

qualified(name) := name if {
	contains(name, "/")
	registry(split(name, "/")[0])
}

qualified(name) := concat("/", ["docker.io", name]) if {
	contains(name, "/")
	not registry(split(name, "/")[0])
}

registry(host) if regex.match(`[.:]|^localhost$`, host)

# shown is what a Dockerfile would call the base.
shown(base) := concat("", [repository(base), tag(base)])

shown(base) := base.uri if not repository(base)

tag(base) := concat("", [":", urlquery.decode(split(package_name(base), "@")[1])]) if {
	contains(package_name(base), "@")
} else := ""

digest_text(base) := concat("", ["sha256:", base.digest.sha256]) if digested(base)

digest_text(base) := "of an unknown digest" if not digested(base)

# place is the line of the Dockerfile that names the base, when the provenance knows it.
place(used) := {"file": dockerfile(used.i), "line": to_number(line)} if {
	line := used.base.annotations.sealyard_dockerfileLine
	regex.match(`^[1-9][0-9]{0,5}$`, line)
} else := {"file": dockerfile(used.i), "line": 0}

dockerfile(i) := file if {
	file := definition(i).externalParameters.dockerfile
	regex.match(`^[^\x00-\x1f]{1,1000}$`, file)
} else := ""

skip contains {"rule": "base-unpinned", "kind": "off", "reason": "switched off by the setting pinnedBases"} if not settings.pinnedBases

skip contains {"rule": "base-registry", "kind": "off", "reason": "the setting baseRegistries is empty: any registry is accepted"} if {
	count(settings.baseRegistries) == 0
}

skip contains {"rule": id, "kind": "inapplicable", "reason": "the build names no base image"} if {
	some id in {"base-unpinned", "base-registry"}
	count(bases) == 0
}
