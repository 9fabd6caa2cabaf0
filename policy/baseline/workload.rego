# What will run the image, when manifests were given: Kubernetes objects as docs/predicates/workloads-v1.md describes them.
package sealyard

import data.settings

objects := [object |
	some claim in input.claims
	claim.predicateType == predicate_type.workloads
	some object in claim.predicate.documents
]

# running are all containers, each with the object whose Pods have it. Those of a kind of their own come last.
running := [{"object": object, "kind": kind, "container": container} |
	some object in objects
	some kind in ["initContainers", "containers", "ephemeralContainers"]
	some container in object.pod.spec[kind]
]

# contexts are the security contexts of Pods and containers, each with where it is.
contexts := array.concat(
	[{"object": object_, "context": object_.pod.spec.securityContext, "where": "the Pod", "line": object_.line} | some object_ in objects],
	[{"object": run.object, "context": run.container.securityContext, "where": called(run), "line": line(run)} | some run in running],
)

called(run) := sprintf("container %q", [object.get(run.container, "name", "")])

line(run) := object.get(run.container, "line", run.object.line)

windows(object_) if object_.pod.spec.os.name == "windows"

# title is how people call an object: Deployment shop/app.
title(object_) := concat(" ", [object_.kind, concat("/", [object_[key] | some key in ["namespace", "name"]])])

# about is a finding of a rule about an object; in_container and in_context name the part of it.
about(rule, object_, message) := found(rule, object_, object_.line, message)

in_container(rule, run, message) := found(rule, run.object, line(run), concat(" ", [called(run), message]))

in_context(rule, part, message) := found(rule, part.object, part.line, concat(" ", [part.where, message]))

found(rule, object_, at_line, message) := {
	"rule": rule,
	"message": concat(": ", [title(object_), message]),
	"subject": title(object_),
	"location": {"file": object_.file, "line": at_line},
}

quoted(names) := concat(", ", [sprintf("%q", [name]) | some name in names])

# METADATA
# title: What every object runs is known
# description: >-
#   The kind of an object is none of Kubernetes' own, such as that of a custom resource. What it runs is for its controller to
#   say, so no other rule judges it. Kinds of the setting inertKinds run nothing.
# custom:
#   id: workload-unknown
#   severity: medium
#   controls: ["nsa-kubernetes-1.2:pod-security-enforcement"]
#   solution: Give what the controller makes of the object, or list its kind in the setting inertKinds if it runs no Pods.
workload contains finding if {
	some object_ in objects
	object_.runs == "unknown"
	kind := concat("/", [split(object_.apiVersion, "/")[0], object_.kind])
	not kind in settings.inertKinds
	finding := about("workload-unknown", object_, sprintf("nothing is known of the kind %s", [kind]))
}

workload contains finding if {
	some object_ in objects
	object_.aggregates
	finding := about("workload-unknown", object_, "it allows what other roles allow that have its labels, whichever those are")
}

capacities := [claim.predicate.capacity |
	some claim in input.claims
	claim.predicateType == predicate_type.workloads
]

short := {
	"cpu": "there is too little CPU", "memory": "there is too little memory", "pods": "the nodes take too few Pods",
	"room": "there is enough of everything, but no room for every Pod on one node",
}

# METADATA
# title: The Pods have room on their nodes
# description: >-
#   All Pods of the manifests, in the numbers that they say, were placed on the nodes that were given, by what they request; with
#   lost of 1 whichever node is gone. Pods that request nothing count as nothing: see workload-resources.
# custom:
#   id: workload-capacity
#   severity: medium
#   controls: ["nsa-kubernetes-1.2:resource-policies"]
#   solution: Add nodes, ask for less, or run fewer Pods.
workload contains finding if {
	some capacity in capacities
	capacity.fits != true
	finding := {
		"rule": "workload-capacity",
		"message": sprintf("%d Pods do not fit with %d nodes lost: %s%s", [
			capacity.pods, capacity.nodes.lost, object.get(short, object.get(capacity, "lacks", ""), "it is not known what is short"), enough(capacity),
		]),
	}
}

# enough says how many nodes would do.
enough(capacity) := "" if count(capacity.cheapest) == 0

enough(capacity) := sprintf("; enough would be %s", [concat(", ", [sprintf("%d %s", [n, kind]) | some kind, n in capacity.cheapest; n > 0])]) if {
	count(capacity.cheapest) > 0
}

skip contains {"rule": "workload-capacity", "kind": "undecidable", "reason": "no nodes were given"} if {
	count(objects) > 0
	count(capacities) == 0
}

deny contains finding if {
	some finding in workload
	not finding.rule in settings.workloadWarnings
}

warn contains finding if {
	some finding in workload
	finding.rule in settings.workloadWarnings
}

# Workload evidence is about objects of which it is known what they run, and of what runs Pods, the Pods.
workloads_check := {
	"files": "names no manifest by name and digest",
	"objects": "has an object without its place, kind or facts",
	"capacity": "does not say whether the Pods fit",
}

workloads_passes("files", i) if {
	files := input.claims[i].predicate.files
	count(files) > 0
	every file in files {
		nonempty(file.name)
		regex.match(`^[0-9a-f]{64}$`, file.digest.sha256)
	}
}

workloads_passes("objects", i) if {
	documents := input.claims[i].predicate.documents
	count(documents) > 0
	every object_ in documents {
		object_known(object_)
	}
}

workloads_passes("capacity", i) if not input.claims[i].predicate.capacity

workloads_passes("capacity", i) if {
	capacity := input.claims[i].predicate.capacity
	is_boolean(capacity.fits)
	is_number(capacity.pods)
	is_number(capacity.nodes.lost)
	is_object(capacity.cheapest)
}

object_known(object_) if {
	nonempty(object_.file)
	object_.line > 0
	nonempty(object_.apiVersion)
	nonempty(object_.kind)
	facts_known(object_)
}

# facts_of are the kinds of which there must be facts, by where they are.
facts_of := {
	"Pod": "pod", "PodTemplate": "pod", "ReplicationController": "pod", "Deployment": "pod", "StatefulSet": "pod", "DaemonSet": "pod",
	"ReplicaSet": "pod", "Job": "pod", "CronJob": "pod", "NetworkPolicy": "networkPolicy", "Ingress": "ingress",
}

facts_known(object_) if object_.runs == "unknown"

facts_known(object_) if {
	object_.runs == "nothing"
	not object_.kind in {kind | some kind, "pod" in facts_of}
	every kind, fact in facts_of {
		has_fact(object_, kind, fact)
	}
}

facts_known(object_) if {
	object_.runs == "pods"
	containers := object_.pod.spec.containers
	count(containers) > 0
}

has_fact(object_, kind, _) if object_.kind != kind

has_fact(object_, _, fact) if is_object(object_[fact])
