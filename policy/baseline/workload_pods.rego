# What else a Pod should have: images by digest, bounds, probes, a file system that nobody changes.
package sealyard

import data.settings

# image_named is registry and path of an image reference, without tag and digest; digest_in its digest.
image_named(reference) := qualified(regex.replace(split(reference, "@")[0], `:[^:/]*$`, ""))

digest_in(reference) := digest if {
	digest := split(reference, "@")[1]
	sha256(digest)
}

# own_names are the names that this image was built as, as its provenance has them.
own_names contains image_named(reference) if {
	some i in provenances
	parameters := definition(i).externalParameters
	some reference in array.concat([object.get(parameters, "image", "")], split(object.get(parameters, ["inputs", "tags"], ""), "\n"))
	nonempty(reference)
}

# uses are the images of all containers. reference is "" where there is none.
uses := [object.union(run, {"reference": object.get(run.container, "image", "")}) | some run in running]

own(use) if image_named(use.reference) in own_names

# METADATA
# title: Images of others are named by digest
# description: A tag can be moved to another image after this one was judged; a digest cannot.
# custom:
#   id: workload-image-pinned
#   severity: high
#   controls: ["cis-docker-1.6.0:5.28", "cis-ssc-1.0:5.1.7", "sp800-190:4.1.5"]
#   solution: Add the digest to the image of the container, such as image@sha256:...
workload contains finding if {
	some use in uses
	not own(use)
	not digest_in(use.reference)
	finding := in_container("workload-image-pinned", use, sprintf("runs %q, which is named by no digest", [use.reference]))
}

# METADATA
# title: What is deployed by the name of this image is this image
# description: A digest that belongs to the name of this image must be that of its index or of one of its platforms.
# custom:
#   id: workload-image-own
#   severity: high
#   controls: ["cis-ssc-1.0:5.1.7", "cis-kubernetes-1.8.0:5.5.1"]
#   solution: Write the digest of this image into the manifest.
workload contains finding if {
	some use in uses
	own(use)
	digest := digest_in(use.reference)
	not digest in digests
	finding := in_container("workload-image-own", use, sprintf("runs %q, which is not this image", [use.reference]))
}

# METADATA
# title: This image is named by digest, too
# description: >-
#   Before the image is built nobody can write its digest into a manifest, so this warns by default. Make it a denial, by
#   leaving it out of the setting workloadWarnings, where manifests are judged afterwards.
# custom:
#   id: workload-image-tagged
#   severity: medium
#   controls: ["cis-docker-1.6.0:5.28", "cis-ssc-1.0:5.1.7"]
#   solution: Write the digest into the manifest before it is applied.
workload contains finding if {
	some use in uses
	own(use)
	not digest_in(use.reference)
	finding := in_container("workload-image-tagged", use, sprintf("runs %q, which may be this image or another", [use.reference]))
}

# bounded holds when a container, or its Pod as a whole, has an amount of a resource other than 0.
bounded(run, kinds, name) if {
	some resources in [object.get(run.container, "resources", {}), object.get(run.object, ["pod", "spec", "resources"], {})]
	some kind in kinds
	amount := resources[kind][name]
	not regex.match(`^[+-]?[0.]*[A-Za-z]*$`, amount)
}

bounds := {
	"a request of cpu": {"kinds": ["requests", "limits"], "name": "cpu"},
	"a request of memory": {"kinds": ["requests", "limits"], "name": "memory"},
	"a limit of memory": {"kinds": ["limits"], "name": "memory"},
}

# METADATA
# title: Containers say what they need
# description: >-
#   Each container requests CPU and memory, and has a limit of memory, so that none takes what others need. A limit counts as a
#   request, and what the Pod has as a whole counts for each of its containers. Ephemeral containers cannot have any.
# custom:
#   id: workload-resources
#   severity: medium
#   controls: ["cis-docker-1.6.0:5.11", "nsa-kubernetes-1.2:resource-policies"]
#   solution: Set resources.requests.cpu, resources.requests.memory and resources.limits.memory.
workload contains finding if {
	some run in running
	run.kind != "ephemeralContainers"
	missing := [what | some what, bound in bounds; not bounded(run, bound.kinds, bound.name)]
	count(missing) > 0
	finding := in_container("workload-resources", run, sprintf("lacks %s", [concat(", ", missing)]))
}

# METADATA
# title: Containers have a limit of CPU
# description: With a limit a container is held to it also when the node is idle, so this warns by default.
# custom:
#   id: workload-cpu-limit
#   severity: low
#   controls: ["cis-docker-1.6.0:5.12", "nsa-kubernetes-1.2:resource-policies"]
#   solution: Set resources.limits.cpu.
workload contains finding if {
	some run in running
	run.kind != "ephemeralContainers"
	not bounded(run, ["limits"], "cpu")
	finding := in_container("workload-cpu-limit", run, "has no limit of cpu")
}

# METADATA
# title: Containers that stay are probed
# description: A container of a Deployment, StatefulSet, DaemonSet or ReplicaSet has a liveness and a readiness probe.
# custom:
#   id: workload-probes
#   severity: low
#   controls: ["cis-docker-1.6.0:5.27"]
#   solution: Add a livenessProbe and a readinessProbe.
workload contains finding if {
	some run in running
	run.kind == "containers"
	run.object.kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"}
	missing := [probe | some probe in ["livenessProbe", "readinessProbe"]; not run.container[probe]]
	count(missing) > 0
	finding := in_container("workload-probes", run, sprintf("has no %s", [concat(" and no ", missing)]))
}

# METADATA
# title: Containers cannot change their own files
# description: Whoever gets into a container whose root is read-only leaves nothing behind in it.
# custom:
#   id: workload-root-writable
#   severity: medium
#   controls: ["cis-docker-1.6.0:5.13", "nsa-kubernetes-1.2:immutable-file-systems"]
#   solution: Set securityContext.readOnlyRootFilesystem to true, and mount an emptyDir where the program writes.
workload contains finding if {
	some run in running
	not windows(run.object)
	object.get(run.container, ["securityContext", "readOnlyRootFilesystem"], false) != true
	finding := in_container("workload-root-writable", run, "may write to its root file system")
}

# METADATA
# title: Pods run in an allowed runtime
# description: The setting runtimeClasses lists runtime classes, such as that of a sandbox. Without it any will do, and none.
# custom:
#   id: workload-runtime-class
#   severity: medium
#   controls: ["nsa-kubernetes-1.2:hardening-container-environments", "sp800-190:4.4.5"]
#   solution: Set runtimeClassName to a class of the setting runtimeClasses.
workload contains finding if {
	count(settings.runtimeClasses) > 0
	some object_ in objects
	object_.runs == "pods"
	class := object.get(object_, ["pod", "spec", "runtimeClassName"], "")
	not class in settings.runtimeClasses
	finding := about("workload-runtime-class", object_, sprintf("the runtime class is %q", [class]))
}

skip contains {"rule": "workload-runtime-class", "kind": "off", "reason": "the setting runtimeClasses is empty: any is accepted"} if {
	count(settings.runtimeClasses) == 0
}

# host_system are directories that rule a node, with the sockets in them. What holds one of them, or lies in it, does too.
host_system := {
	"/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/opt/cni", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var/lib/cni", "/var/lib/containerd",
	"/var/lib/docker", "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/rancher", "/var/log", "/var/run",
}

# clean_path is a path from the root without a slash or dot too many, and with a slash at its end.
clean_path(path) := concat("", [trim_right(regex.replace(concat("", ["/", path]), `/(\.?/)+`, "/"), "/"), "/"])

of_host_system(path) if {
	some system in host_system
	startswith(clean_path(path), concat("", [system, "/"]))
}

of_host_system(path) if {
	some system in host_system
	startswith(concat("", [system, "/"]), clean_path(path))
}

of_host_system(path) if contains(path, "..")

of_host_system(path) if endswith(clean_path(path), ".sock/")

# METADATA
# title: Pods do not mount what rules their node
# description: >-
#   The socket of a container runtime, and directories of the node's system such as /etc, give whoever has them the node. Unlike
#   pss-host-path this holds at every level.
# custom:
#   id: workload-host-system
#   severity: critical
#   controls: ["cis-docker-1.6.0:5.6", "cis-docker-1.6.0:5.32", "cis-kubernetes-1.8.0:5.2.12"]
#   solution: Remove the volume; what talks to the runtime needs another way.
workload contains finding if {
	some object_ in objects
	some volume in object_.pod.spec.volumes
	path := object.get(volume.hostPath, "path", "/")
	of_host_system(path)
	finding := about("workload-host-system", object_, sprintf("the volume %q is %q of the host", [object.get(volume, "name", ""), path]))
}

workload contains finding if {
	some object_ in objects
	some path in object_.hostPaths
	of_host_system(path)
	finding := about("workload-host-system", object_, sprintf("whoever claims it has %q of the host", [path]))
}

# METADATA
# title: Pods have a namespace of their own
# description: >-
#   The namespace default has no bounds, and those of Kubernetes' own are not for others. An object that names none goes where
#   it is applied to, which the manifest does not say.
# custom:
#   id: workload-namespace
#   severity: medium
#   controls: ["cis-kubernetes-1.8.0:5.7.4", "nsa-kubernetes-1.2:namespaces"]
#   solution: Put the application into a namespace of its own.
workload contains finding if {
	some object_ in objects
	object_.runs == "pods"
	regex.match(`^(default|kube-.*)$`, object_.namespace)
	finding := about("workload-namespace", object_, sprintf("it runs in the namespace %q", [object_.namespace]))
}
