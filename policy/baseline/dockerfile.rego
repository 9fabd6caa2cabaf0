# What provenance says was seen in the Dockerfile: docs/buildtypes/container-v1.md lists the checks. The setting dockerfile says of each
# whether it denies, warns or is let pass.
package sealyard

import data.settings

# checks are those that are known, and what each does unless the setting dockerfile says otherwise.
checks := {
	"add": "warn",
	"copy-root": "warn",
	"pipe-shell": "deny",
	"plain-http": "warn",
	"privileged": "deny",
	"secret": "deny",
	"secret-name": "warn",
	"setuid": "warn",
	"ssh-server": "warn",
	"sudo": "warn",
	"unread": "warn",
	"unverified": "deny",
	"update": "warn",
	"versions": "allow",
	"writable": "warn",
}

# user says where the image's user is set, which is judged by the image.
other_checks := {"user"}

level_of(check) := object.get(settings.dockerfile, check, checks[check])

# seen_in is what one provenance says of its Dockerfile; undefined when it says nothing.
seen_in(i) := definition(i).internalParameters.sealyard_dockerfile

described contains i if {
	some i in provenances
	is_object(seen_in(i))
}

# at_marks are the findings of one check, with a message about the subject of each mark.
at_marks(check, message) := [finding |
	some i in described
	some mark in seen_in(i).marks
	mark.check == check
	sound_mark(mark)
	finding := at_line(i, mark.line, check, sprintf(message, [mark.subject]))
]

at_line(i, line, check, message) := {
	"rule": concat("-", ["dockerfile", check]),
	"message": message,
	"location": {"file": dockerfile(i), "line": line},
}

deny contains finding if {
	some finding in dockerfile_seen
	level_of(trim_prefix(finding.rule, "dockerfile-")) == "deny"
}

warn contains finding if {
	some finding in dockerfile_seen
	level_of(trim_prefix(finding.rule, "dockerfile-")) == "warn"
}

skip contains {"rule": concat("-", ["dockerfile", check]), "kind": "off", "reason": "let pass by the setting dockerfile"} if {
	some check, _ in checks
	level_of(check) == "allow"
}

skip contains {"rule": concat("-", ["dockerfile", check]), "kind": "undecidable", "reason": "no provenance says what is in the Dockerfile"} if {
	some check, _ in checks
	level_of(check) != "allow"
	count(described) == 0
}

# METADATA
# title: The Dockerfile was understood
# description: >-
#   What another frontend reads, what does not parse, and commands of a shell that is not the POSIX one or its relatives were not
#   looked into, so no other rule about the Dockerfile says anything of them. With deny there must also be provenance that says
#   what is in the Dockerfile.
# custom:
#   id: dockerfile-unread
#   severity: medium
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.9", "sp800-190:4.1.2"]
#   solution: Write the Dockerfile for BuildKit's own frontend, with a POSIX shell, or set dockerfile.unread to what you accept.
dockerfile_seen contains finding if {
	some finding in at_marks("unread", "the commands are not those of a shell that is understood: %s")
}

dockerfile_seen contains finding if {
	some i in described
	not read(i)
	finding := at_line(i, 0, "unread", concat("", ["the Dockerfile was not read", why_unread(i)]))
}

dockerfile_seen contains finding if {
	level_of("unread") == "deny"
	some i in provenances
	not i in described
	finding := at_line(i, 0, "unread", "the provenance does not say what is in the Dockerfile")
}

why_unread(i) := concat(" ", [":", seen_in(i).unread]) if {
	nonempty(seen_in(i).unread)
} else := ", or not by this version's rules"

# read holds of what was read to the end and is understood here.
read(i) if {
	seen_in(i).unread == ""
	is_array(seen_in(i).marks)
	every mark in seen_in(i).marks {
		known_check(mark.check)
		sound_mark(mark)
	}
}

sound_mark(mark) if {
	is_string(mark.subject)
	is_number(mark.line)
	mark.line > 0
	floor(mark.line) == mark.line
}

known_check(check) if is_string(checks[check])

known_check(check) if check in other_checks

# METADATA
# title: No download is run unseen
# description: >-
#   What curl or its like fetches goes to a shell or interpreter as it comes in: by a pipe, $(...) or <(...). Whoever controls
#   the server, or the line to it, then runs whatever they like in the build, and nobody can say afterwards what it was.
# custom:
#   id: dockerfile-pipe-shell
#   severity: high
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.11", "s2c2f:AUD-3", "cis-ssc-1.0:3.1.7"]
#   solution: Download a fixed version to a file, check its digest, then run it; or ADD --checksum=sha256:... URL.
dockerfile_seen contains finding if {
	some finding in at_marks("pipe-shell", `%q runs what is downloaded, whatever that is`)
}

# METADATA
# title: Checks of certificates and signatures are on
# description: >-
#   Options and variables such as curl -k, --allow-unauthenticated, --nogpgcheck, --trusted-host, [trusted=yes] and
#   GIT_SSL_NO_VERIFY let anybody on the way put other bytes in place of those that are meant.
# custom:
#   id: dockerfile-unverified
#   severity: high
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.11", "s2c2f:AUD-3", "sp800-190:4.1.2"]
#   solution: Take the option out, and install the certificate or key that is missing.
dockerfile_seen contains finding if {
	some finding in at_marks("unverified", `%q switches off what makes sure of the source`)
}

# METADATA
# title: Downloads use TLS
# description: >-
#   What curl, wget or git fetch by http:// can be changed by anybody on the way.
# custom:
#   id: dockerfile-plain-http
#   severity: medium
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.11", "s2c2f:AUD-3"]
#   solution: Use https.
dockerfile_seen contains finding if {
	some finding in at_marks("plain-http", `a download from %q has no TLS`)
}

# METADATA
# title: No secret is written into the Dockerfile
# description: >-
#   A value of ENV, ARG or LABEL has a form that only secrets have, such as the token of a known service. It stays in the image
#   and its history for everybody who can pull it. The value is shown nowhere.
# custom:
#   id: dockerfile-secret
#   severity: critical
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.10", "sp800-190:4.1.4", "cis-ssc-1.0:1.5.1"]
#   solution: Take the secret back, and give the build a new one with RUN --mount=type=secret.
dockerfile_seen contains finding if {
	some finding in at_marks("secret", `the value of %q has the form of a secret`)
}

# METADATA
# title: No variable of a secret's name has a value
# description: >-
#   ENV, or ARG with a default, of a name such as DB_PASSWORD has a value in the Dockerfile, which stays in the image or its
#   history.
# custom:
#   id: dockerfile-secret-name
#   severity: medium
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.10", "sp800-190:4.1.4"]
#   solution: Give secrets with RUN --mount=type=secret to the build, and to the container when it runs.
dockerfile_seen contains finding if {
	some finding in at_marks("secret-name", `%q has a value in the Dockerfile`)
}

# METADATA
# title: No step leaves its sandbox
# description: >-
#   RUN --security=insecure and --network=host ask for what build-entitlement judges by what was granted; this names the line.
# custom:
#   id: dockerfile-privileged
#   severity: high
#   waivable: [image, digest]
#   controls: ["slsa-1.2:build-l3", "sp800-190:4.1.2"]
#   solution: Do without, or do the step elsewhere.
dockerfile_seen contains finding if {
	some finding in at_marks("privileged", `RUN %s`)
}

# METADATA
# title: No file is made to run as its owner
# description: >-
#   chmod or --chmod sets the setuid or setgid bit, which gives whoever runs the file the rights of its owner.
# custom:
#   id: dockerfile-setuid
#   severity: medium
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.8"]
#   solution: Leave the bit out, or give the file the one capability that it needs.
dockerfile_seen contains finding if {
	some finding in at_marks("setuid", `mode %q makes a program run with the rights of its owner`)
}

# METADATA
# title: No file is made writable for everybody
# description: >-
#   chmod or --chmod lets every user of the container change the file.
# custom:
#   id: dockerfile-writable
#   severity: medium
#   waivable: [image, digest]
#   controls: ["sp800-190:4.1.2"]
#   solution: Give the file to the user who needs it, with --chown.
dockerfile_seen contains finding if {
	some finding in at_marks("writable", `mode %q lets everybody write`)
}

# METADATA
# title: There is no SSH server
# description: >-
#   A server is installed, or port 22 is exposed. It needs keys and updates of its own, and is a way in past everything that
#   watches containers.
# custom:
#   id: dockerfile-ssh-server
#   severity: medium
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:5.7", "sp800-190:4.1.2"]
#   solution: Use the runtime's own way in, such as kubectl exec or docker exec.
dockerfile_seen contains finding if {
	some finding in at_marks("ssh-server", `%q lets people log in`)
}

# METADATA
# title: Nobody changes users with sudo
# description: >-
#   sudo and doas behave otherwise without a terminal, and left in the image are a way to root.
# custom:
#   id: dockerfile-sudo
#   severity: low
#   waivable: [image, digest]
#   controls: ["sp800-190:4.1.2", "cis-docker-1.6.0:4.3"]
#   solution: Put USER root before the step and USER with a number behind it.
dockerfile_seen contains finding if {
	some finding in at_marks("sudo", `%q changes the user`)
}

# METADATA
# title: The context is not copied over the root directory
# description: >-
#   COPY or ADD of the whole context to / takes in whatever lies around, and puts it in place of the system's own files.
# custom:
#   id: dockerfile-copy-root
#   severity: medium
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.3", "cis-docker-1.6.0:4.10"]
#   solution: Copy what is needed, to a directory of its own, and list the rest in .dockerignore.
dockerfile_seen contains finding if {
	some finding in at_marks("copy-root", "the whole context is copied over /%s")
}

# METADATA
# title: COPY copies, ADD does more
# description: >-
#   ADD unpacks archives by what they hold, not by what they are called. For files of the context COPY does what it says.
# custom:
#   id: dockerfile-add
#   severity: low
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.9"]
#   solution: Write COPY.
dockerfile_seen contains finding if {
	some finding in at_marks("add", `ADD of %q, where COPY would do`)
}

# METADATA
# title: Package lists are used where they are fetched
# description: >-
#   apt-get update in a RUN that installs nothing leaves lists in a layer that is cached, so that a later RUN installs old
#   versions.
# custom:
#   id: dockerfile-update
#   severity: low
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.7"]
#   solution: Write apt-get update && apt-get install in one RUN.
dockerfile_seen contains finding if {
	some finding in at_marks("update", `%q fetches package lists for other steps to use`)
}

# METADATA
# title: Packages are installed by version
# description: >-
#   What apt, apk, dnf, zypper, pip, npm or gem install by name alone is another version tomorrow. Off unless asked for:
#   distributions take old versions out of their archives.
# custom:
#   id: dockerfile-versions
#   severity: low
#   waivable: [image, digest]
#   controls: ["cis-docker-1.6.0:4.11", "s2c2f:ENF-1"]
#   solution: Name the version, or a lock file.
dockerfile_seen contains finding if {
	some finding in at_marks("versions", `%q is installed in whatever version there is`)
}
