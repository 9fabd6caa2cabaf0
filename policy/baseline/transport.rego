package sealyard

import data.settings

# METADATA
# title: Registries are reached over TLS
# description: >-
#   Without TLS whoever is on the way can read what is pulled and pushed, and the credentials with it; a tag means what they say. Hosts
#   of the setting plainHosts may be reached so; the setting plainTransport says whether others are denied, or warned about. Registries
#   on the machine of the build do not count, and a BuildKit elsewhere is never spoken to without TLS.
# custom:
#   id: transport-plain
#   severity: medium
#   controls: ["sp800-190:4.2.1"]
#   solution: Give the registry a certificate and leave its host out of plain-http, or list it in the setting plainHosts.
transport contains finding if {
	some host in plain_hosts
	not host in settings.plainHosts
	finding := {
		"rule": "transport-plain",
		"message": sprintf("the build was let reach %q without TLS", [host]),
		"subject": host,
	}
}

# plain_hosts are those that builds were told to reach without TLS.
plain_hosts contains host if {
	some i in told
	some host in split(object.get(definition(i).externalParameters.inputs, "plain-http", ""), "\n")
	host != ""
}

# told are the provenances that say which inputs were given.
told contains i if {
	some i in provenances
	is_object(definition(i).externalParameters.inputs)
}

deny contains finding if {
	settings.plainTransport == "deny"
	some finding in transport
}

warn contains finding if {
	settings.plainTransport == "warn"
	some finding in transport
}

skip contains {"rule": "transport-plain", "kind": "undecidable", "reason": "no provenance says which inputs the build was given"} if count(told) == 0
