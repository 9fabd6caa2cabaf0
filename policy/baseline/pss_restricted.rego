# What level restricted asks beside level baseline.
package sealyard

import data.settings

pss_restricted if settings.podSecurity == "restricted"

pss_restricted_rules := {"pss-volumes", "pss-escalation", "pss-nonroot", "pss-user"}

skip contains {"rule": rule, "kind": "off", "reason": "not asked for by the setting podSecurity"} if {
	not pss_restricted
	some rule in pss_restricted_rules
}

restricted_volumes := ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"]

volume_allowed(volume) if {
	some source in restricted_volumes
	volume[source]
}

# Kubernetes makes an emptyDir of a volume without source.
volume_allowed(volume) if object.keys(volume) - {"name"} == set()

# METADATA
# title: Volumes are of kinds that Kubernetes itself manages
# description: >-
#   Volumes are configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected or secret. Those of
#   kind hostPath are denied by pss-host-path.
# custom:
#   id: pss-volumes
#   severity: medium
#   controls: ["pss-1.37:restricted"]
#   solution: Use a PersistentVolumeClaim for what the volume mounts directly.
workload contains finding if {
	pss_restricted
	some object_ in objects
	some volume in object_.pod.spec.volumes
	not volume_allowed(volume)
	not volume.hostPath
	sources := object.keys(volume) - {"name"}
	finding := about("pss-volumes", object_, sprintf("the volume %q is of kind %s", [object.get(volume, "name", ""), quoted(sources)]))
}

# METADATA
# title: Processes gain no privileges
# description: Without it a setuid program in the image gives root to whoever runs it. Pods for Windows are exempt.
# custom:
#   id: pss-escalation
#   severity: high
#   controls: ["pss-1.37:restricted", "cis-kubernetes-1.8.0:5.2.6", "cis-docker-1.6.0:5.26", "nsa-kubernetes-1.2:pod-security-enforcement"]
#   solution: "Set securityContext.allowPrivilegeEscalation of each container to false."
workload contains finding if {
	pss_restricted
	some run in running
	not windows(run.object)
	object.get(run.container, ["securityContext", "allowPrivilegeEscalation"], true) != false
	finding := in_container("pss-escalation", run, "may gain privileges")
}

# METADATA
# title: Containers must not run as root
# description: >-
#   The Pod or each container sets runAsNonRoot, so that the node refuses an image whose user is root. A Pod with users of its own
#   (hostUsers is false) need not.
# custom:
#   id: pss-nonroot
#   severity: high
#   controls: ["pss-1.37:restricted", "cis-kubernetes-1.8.0:5.2.7", "cis-docker-1.6.0:4.1", "nsa-kubernetes-1.2:non-root-containers"]
#   solution: Set securityContext.runAsNonRoot of the Pod to true.
workload contains finding if {
	pss_restricted
	some part in contexts
	not own_users(part.object)
	part.context.runAsNonRoot == false
	finding := in_context("pss-nonroot", part, "sets runAsNonRoot to false")
}

workload contains finding if {
	pss_restricted
	some run in running
	not own_users(run.object)
	not says_nonroot(run.container)
	object.get(run.object, ["pod", "spec", "securityContext", "runAsNonRoot"], false) != true
	finding := in_container("pss-nonroot", run, "does not set runAsNonRoot, and neither does the Pod")
}

says_nonroot(container) if is_boolean(container.securityContext.runAsNonRoot)

# METADATA
# title: No user is root
# description: runAsUser is not 0. A Pod with users of its own (hostUsers is false) may set it.
# custom:
#   id: pss-user
#   severity: high
#   controls: ["pss-1.37:restricted", "cis-kubernetes-1.8.0:5.2.7", "nsa-kubernetes-1.2:non-root-containers"]
#   solution: Set securityContext.runAsUser to another number, or remove it and let the image say it.
workload contains finding if {
	pss_restricted
	some part in contexts
	not own_users(part.object)
	part.context.runAsUser == 0
	finding := in_context("pss-user", part, "sets runAsUser to 0")
}
