# What may come into a build: asked about each source before any of it is fetched. As everywhere, what is missing does not hold.
package sealyard.source

import data.sealyard
import data.settings

default allow := false

allow if {
	sound
	known
	registry_allowed
	digest_kept
	frontend_allowed
	frontend_kept
	checksum_kept
	git_allowed
	context_allowed
	signed
	count(deny) == 0
}

# sound holds when nothing that rules look at is missing.
sound if {
	every field in ["uri", "name"] {
		sealyard.nonempty(input.source[field])
	}
	every field in ["scheme", "host", "tag", "digest", "ref", "platform", "context"] {
		is_string(input.source[field])
	}
	is_boolean(input.source.frontend)
	is_string(input.source.location.file)
	is_number(input.source.location.line)
	is_array(input.signatures)
}

finding(rule, message) := {
	"rule": rule,
	"message": message,
	"subject": object.get(input, ["source", "uri"], ""),
	"location": object.get(input, ["source", "location"], {"file": "", "line": 0}),
}

# METADATA
# title: Sources are of a kind that can be judged
# description: A source of a kind that no rule knows would come in unjudged.
# custom:
#   id: source-kind
#   severity: high
#   controls: ["cis-ssc-1.0:2.4.3", "s2c2f:ENF-1"]
#   solution: Take it from a registry, a git repository, a web server with a checksum, or a directory.
deny contains finding("source-kind", sprintf("source %q is of no kind that is judged", [object.get(input, ["source", "uri"], "")])) if not known

known if input.source.kind in {"image", "oci-layout", "local", "git", "http"}

image if {
	input.source.kind == "image"
	input.source.frontend == false
}

frontend if {
	input.source.kind == "image"
	input.source.frontend == true
}

other_than(kind) if {
	known
	input.source.kind != kind
}

# other_image holds for what is no image, and for the frontend where bases are meant.
other_image if other_than("image")

other_image if frontend

# below holds for a name that is, or lies below, one of the paths.
below(paths) if {
	some path in paths
	startswith(concat("", [input.source.name, "/"]), concat("", [path, "/"]))
}

# METADATA
# title: Images come from an allowed registry, or are not fetched
# description: >-
#   The setting baseRegistries lists registries, or paths in them. The build stops before anything of an image from elsewhere is
#   fetched, be it a base, copied from or mounted.
# custom:
#   id: source-registry
#   severity: high
#   controls: ["cis-docker-1.6.0:4.2", "cis-ssc-1.0:3.1.5", "s2c2f:ENF-2", "sp800-190:4.1.5"]
#   solution: Take an image of an allowed registry, or add the registry to the setting baseRegistries.
deny contains finding("source-registry", sprintf("image %q does not come from an allowed registry", [input.source.name])) if {
	image
	not registry_allowed
}

registry_allowed if other_image

registry_allowed if {
	image
	count(settings.baseRegistries) == 0
}

registry_allowed if {
	image
	below(settings.baseRegistries)
}

# pin is the digest that the policy has for the tag that an image is named by.
pin := entry.digest if {
	image
	input.source.digest == ""
	some entry in settings.basePins
	entry.image == concat(":", [input.source.name, input.source.tag])
}

convert contains {"digest": pin}

# METADATA
# title: Images are named by digest, or are not fetched
# description: >-
#   With the setting stopUnpinned the build stops at an image that is named by tag and has no digest in the setting basePins.
#   Without it base-unpinned says so after the scan, with everything else that is wrong.
# custom:
#   id: source-unpinned
#   severity: high
#   controls: ["cis-docker-1.6.0:4.2", "cis-ssc-1.0:3.1.7", "sp800-190:4.1.5"]
#   solution: Add the digest to the FROM line, such as FROM debian:12@sha256:..., or to the setting basePins.
deny contains finding("source-unpinned", sprintf("image %q is not named by digest", [input.source.uri])) if {
	image
	not digest_kept
}

digest_kept if other_image

digest_kept if {
	image
	settings.stopUnpinned == false
}

digest_kept if {
	image
	sealyard.sha256(input.source.digest)
}

digest_kept if {
	image
	sealyard.sha256(pin)
}

# METADATA
# title: The frontend is one of those that are allowed
# description: >-
#   A frontend (# syntax=, BUILDKIT_SYNTAX) reads the Dockerfile and makes the build of it: it can put into the image whatever it
#   likes. The setting frontends lists the images that may; without a frontend of its own the Dockerfile has the engine's.
# custom:
#   id: source-frontend
#   severity: critical
#   controls: ["cis-ssc-1.0:2.4.3", "s2c2f:ENF-2"]
#   solution: Leave the syntax line out, or add the frontend to the setting frontends.
deny contains finding("source-frontend", sprintf("frontend %q is none of those that are allowed", [input.source.name])) if {
	frontend
	not frontend_allowed
}

frontend_allowed if image

frontend_allowed if other_than("image")

frontend_allowed if {
	frontend
	input.source.name in settings.frontends
}

frontend_unpinned := finding("source-frontend-unpinned", sprintf("frontend %q is not named by digest", [input.source.uri])) if {
	frontend
	not sealyard.sha256(input.source.digest)
}

# METADATA
# title: The frontend is named by digest
# description: What a tag of a frontend stands for can change between two builds. The setting frontendDigest says whether that denies or warns.
# custom:
#   id: source-frontend-unpinned
#   severity: medium
#   controls: ["cis-ssc-1.0:3.1.7"]
#   solution: "Add the digest to the syntax line: # syntax=docker/dockerfile:1@sha256:..."
deny contains frontend_unpinned if settings.frontendDigest == "deny"

warn contains frontend_unpinned if settings.frontendDigest == "warn"

frontend_kept if image

frontend_kept if other_than("image")

frontend_kept if {
	frontend
	settings.frontendDigest in {"warn", "allow"}
}

frontend_kept if {
	frontend
	sealyard.sha256(input.source.digest)
}

unchecked := finding("source-checksum", sprintf("file %q is fetched without a checksum", [input.source.uri])) if {
	input.source.kind == "http"
	not sealyard.sha256(input.source.digest)
}

# METADATA
# title: Files from the web have a checksum
# description: What a web server gives can change at any time. The setting httpChecksum says whether a file without a checksum is denied, or warned about.
# custom:
#   id: source-checksum
#   severity: medium
#   controls: ["cis-docker-1.6.0:4.11", "cis-ssc-1.0:3.1.7", "s2c2f:AUD-3"]
#   solution: "Write the checksum into the Dockerfile: ADD --checksum=sha256:... URL"
deny contains unchecked if settings.httpChecksum == "deny"

warn contains unchecked if settings.httpChecksum == "warn"

checksum_kept if other_than("http")

checksum_kept if {
	input.source.kind == "http"
	settings.httpChecksum in {"warn", "allow"}
}

checksum_kept if {
	input.source.kind == "http"
	sealyard.sha256(input.source.digest)
}

# METADATA
# title: Git repositories come from an allowed host
# description: The setting gitHosts lists hosts, or paths on them, such as github.com/acme. Without it any will do.
# custom:
#   id: source-git
#   severity: high
#   controls: ["cis-ssc-1.0:3.1.5", "s2c2f:ENF-2"]
#   solution: Take the repository from an allowed host, or add it to the setting gitHosts.
deny contains finding("source-git", sprintf("git repository %q does not come from an allowed host", [input.source.name])) if {
	input.source.kind == "git"
	not git_allowed
}

git_allowed if other_than("git")

git_allowed if {
	input.source.kind == "git"
	count(settings.gitHosts) == 0
}

git_allowed if {
	input.source.kind == "git"
	below(settings.gitHosts)
}

# METADATA
# title: Named contexts replace nothing where they must not
# description: >-
#   A named context (--build-context) takes the place of whatever the Dockerfile calls by that name, so that the file no longer says what
#   is built. Without the setting namedContexts none is taken.
# custom:
#   id: source-context
#   severity: medium
#   controls: ["cis-ssc-1.0:2.3.1"]
#   solution: Name the source in the Dockerfile, or set namedContexts.
deny contains finding("source-context", sprintf("%q comes in as the named context %q", [input.source.uri, input.source.context])) if {
	not context_allowed
}

context_allowed if settings.namedContexts

context_allowed if input.source.context == ""

# METADATA
# title: Images are signed by whom the policy expects
# description: >-
#   The setting baseSigners says who must have signed which images: an image that one of its entries is about must have a signature of
#   one of those, over itself or over the manifest for its platform. It is looked up and verified before anything is fetched.
# custom:
#   id: source-unsigned
#   severity: critical
#   controls: ["cis-docker-1.6.0:4.5", "cis-ssc-1.0:3.1.3", "s2c2f:AUD-1", "sp800-190:4.1.5"]
#   solution: Take an image that is signed by an entry of the setting baseSigners, or add who signs this one.
deny contains finding("source-unsigned", sprintf("image %q has no signature of those who must sign it", [input.source.uri])) if {
	input.source.kind == "image"
	not signed
}

signed if other_than("image")

signed if {
	input.source.kind == "image"
	count(signers) == 0
}

signed if {
	some entry in signers
	some signature in input.signatures
	signature.predicateType in says_so
	is_signer(signature.signer, entry)
}

# a tag that the policy has a digest for is asked about again, by that digest.
signed if sealyard.sha256(pin)

# signers are the entries about this image.
signers contains entry if {
	some entry in settings.baseSigners
	about(entry.image)
}

about("*")

about(path) if below([path])

# says_so are the statements by which a signer stands for an image; "" is a signature of the image itself. Others can be about anybody's image.
says_so := {
	"",
	"https://sigstore.dev/cosign/sign/v1",
	"https://slsa.dev/provenance/v1",
	"https://in-toto.io/attestation/test-result/v0.1",
}

is_signer(signer, entry) if {
	signer.kind == "key"
	signer.id == crypto.sha256(base64.decode(regex.replace(entry.key, `-----[A-Z ]+-----|\s`, "")))
}

is_signer(signer, entry) if {
	signer.kind == "keyless"
	sealyard.is_signer(signer, entry.id, entry.issuer)
}
