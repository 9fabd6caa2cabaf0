package sealyard

import data.settings

# answers_in is what the provenance says that policies said about sources before they were fetched; undefined when none was asked.
answers_in(i) := definition(i).internalParameters.sealyard_sources

# METADATA
# title: What came into the build was judged first
# description: >-
#   Provenance of a build that asked its policies about sources lists the questions with their answers: every base image must be among
#   those that were let in. With the setting sourcesJudged there must be such a list.
# custom:
#   id: source-unjudged
#   severity: high
#   controls: ["cis-ssc-1.0:2.4.3", "s2c2f:ENF-1"]
#   solution: Build with this version of sealyard and a policy that judges sources, such as the baseline.
deny contains finding if {
	settings.sourcesJudged
	not all_judged
	finding := {"rule": "source-unjudged", "message": "no provenance says that sources were judged before they were fetched"}
}

deny contains finding if {
	some used in bases
	answers_in(used.i)
	not let_in(used)
	finding := {
		"rule": "source-unjudged",
		"message": sprintf("base image %q is none of the sources that were judged and let in", [shown(used.base)]),
		"subject": used.base.uri,
		"location": place(used),
	}
}

deny contains finding if {
	some i in provenances
	some answer in answers_in(i)
	not answer.passed == true
	finding := {
		"rule": "source-unjudged",
		"message": sprintf("source %q was not let in, and the build has it all the same", [object.get(answer, ["source", "uri"], "")]),
	}
}

all_judged if {
	count(provenances) > 0
	every i in provenances {
		is_array(answers_in(i))
		count(answers_in(i)) > 0
	}
}

let_in(used) if {
	some answer in answers_in(used.i)
	answer.passed == true
	answer.source.digest == concat("", ["sha256:", used.base.digest.sha256])
	count(answer.policies) > 0
}

skip contains {"rule": "source-unjudged", "kind": "off", "reason": "no provenance says what policies said about sources, and the setting sourcesJudged does not ask for it"} if {
	not settings.sourcesJudged
	count([i | some i in provenances; answers_in(i)]) == 0
}

# taken are the kinds of sources that a build took in; "frontend" is an image that ran as one.
taken contains kind if {
	some i in provenances
	some answer in answers_in(i)
	kind := taken_as(answer.source)
}

taken_as(source) := "frontend" if {
	source.kind == "image"
	source.frontend == true
} else := source.kind

# taken_for are the rules about sources that judge one kind of them.
taken_for := {
	"image": {"source-registry", "source-unpinned"}, "frontend": {"source-frontend", "source-frontend-unpinned"},
	"http": {"source-checksum"}, "git": {"source-git"},
}

skip contains {"rule": rule, "kind": "inapplicable", "reason": sprintf("the build took in nothing of the kind %s", [kind])} if {
	some kind, rules in taken_for
	not kind in taken
	some rule in rules
}

# off are the rules about sources that the settings do not ask for.
off["source-registry"] := "the setting baseRegistries is empty: any registry is accepted" if count(settings.baseRegistries) == 0

off["source-unpinned"] := "the setting stopUnpinned does not ask for it: see base-unpinned" if not settings.stopUnpinned

off["source-frontend-unpinned"] := "switched off by the setting frontendDigest" if settings.frontendDigest == "allow"

off["source-checksum"] := "switched off by the setting httpChecksum" if settings.httpChecksum == "allow"

off["source-git"] := "the setting gitHosts is empty: any host is accepted" if count(settings.gitHosts) == 0

off["source-context"] := "the setting namedContexts accepts named contexts" if settings.namedContexts

off["source-unsigned"] := "the setting baseSigners is empty: nobody has to sign" if count(settings.baseSigners) == 0

skip contains {"rule": rule, "kind": "off", "reason": reason} if some rule, reason in off
