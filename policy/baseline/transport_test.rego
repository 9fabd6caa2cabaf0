package sealyard_test

import data.sealyard

plain(hosts) := [{"op": "add", "path": "/claims/6/predicate/buildDefinition/externalParameters/inputs", "value": {"plain-http": hosts}}]

# T8: a registry that the build was let reach without TLS is told, or denied, unless the setting names it.
test_plain_transport if {
	patches := plain("mirror.example:5000\nregistry.example")
	allowed(patches)
	warned(patches) == {"transport-plain"}
	denied(patches) == {"transport-plain"} with data.settings.plainTransport as "deny"
	allowed(patches) with data.settings.plainTransport as "deny" with data.settings.plainHosts as ["mirror.example:5000", "registry.example"]
	denied(patches) == {"transport-plain"} with data.settings.plainTransport as "deny" with data.settings.plainHosts as ["mirror.example"]
	{"registry.example"} == {finding.subject | some finding in sealyard.warn with input as json.patch(evidence, patches) with data.settings.plainHosts as ["mirror.example:5000"]}
}

# Nothing was let through without TLS; and what does not say so is not taken for it.
test_plain_transport_none if {
	allowed([{"op": "add", "path": "/claims/6/predicate/buildDefinition/externalParameters/inputs", "value": {}}]) with data.settings.plainTransport as "deny"
	allowed([]) with data.settings.plainTransport as "deny"
	"transport-plain" in skipped # the fixture's provenance does not list inputs
}
