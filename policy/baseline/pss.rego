# Kubernetes' Pod Security Standards, as k8s.io/pod-security-admission decides at its version 1.37. A test holds every rule here
# to that decision, on all of its fixtures. Level restricted asks everything that baseline asks; where it asks more of the
# same, as of capabilities, it is one rule with two bodies.
package sealyard

import data.settings

pss_baseline if settings.podSecurity in {"baseline", "restricted"}

pss_baseline_rules := {
	"pss-host-namespaces", "pss-privileged", "pss-capabilities", "pss-host-path", "pss-host-ports", "pss-host-probes", "pss-apparmor",
	"pss-selinux", "pss-proc-mount", "pss-seccomp", "pss-sysctls", "pss-host-process",
}

skip contains {"rule": rule, "kind": "off", "reason": "not asked for by the setting podSecurity"} if {
	not pss_baseline
	some rule in pss_baseline_rules
}

# METADATA
# title: Pods do not share the namespaces of their host
# description: In the host's network, processes or IPC a container sees and reaches what others run on the node.
# custom:
#   id: pss-host-namespaces
#   severity: high
#   controls: ["pss-1.37:baseline", "cis-kubernetes-1.8.0:5.2.3", "cis-kubernetes-1.8.0:5.2.4", "cis-kubernetes-1.8.0:5.2.5", "cis-docker-1.6.0:5.10", "cis-docker-1.6.0:5.16", "cis-docker-1.6.0:5.17"]
#   solution: Remove hostNetwork, hostPID and hostIPC, or set them to false.
workload contains finding if {
	pss_baseline
	some object_ in objects
	names := [name | some name in ["hostNetwork", "hostPID", "hostIPC"]; object_.pod.spec[name] == true]
	count(names) > 0
	finding := about("pss-host-namespaces", object_, sprintf("the Pod sets %s", [concat(", ", names)]))
}

# METADATA
# title: Containers are not privileged
# description: A privileged container has every right on its node.
# custom:
#   id: pss-privileged
#   severity: critical
#   controls: ["pss-1.37:baseline", "cis-kubernetes-1.8.0:5.2.2", "cis-docker-1.6.0:5.5", "nsa-kubernetes-1.2:pod-security-enforcement"]
#   solution: Remove securityContext.privileged, and add the one capability that is needed if there is any.
workload contains finding if {
	pss_baseline
	some run in running
	run.container.securityContext.privileged == true
	finding := in_container("pss-privileged", run, "is privileged")
}

default_capabilities := {
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
	"SETUID", "SYS_CHROOT",
}

# METADATA
# title: Containers have no more capabilities than their level allows
# description: >-
#   At level baseline a container may add those that runtimes grant by default. At level restricted it must drop ALL and may add
#   NET_BIND_SERVICE; Pods for Windows are exempt.
# custom:
#   id: pss-capabilities
#   severity: high
#   controls: ["pss-1.37:baseline", "pss-1.37:restricted", "cis-kubernetes-1.8.0:5.2.8", "cis-kubernetes-1.8.0:5.2.9", "cis-kubernetes-1.8.0:5.2.10", "cis-docker-1.6.0:5.4"]
#   solution: "Set securityContext.capabilities to drop: [ALL], and add nothing but what is needed."
workload contains finding if {
	settings.podSecurity == "baseline"
	some run in running
	added := {name | some name in run.container.securityContext.capabilities.add} - default_capabilities
	count(added) > 0
	finding := in_container("pss-capabilities", run, sprintf("adds the capabilities %s", [quoted(added)]))
}

workload contains finding if {
	pss_restricted
	some run in running
	not windows(run.object)
	added := {name | some name in run.container.securityContext.capabilities.add} - {"NET_BIND_SERVICE"}
	count(added) > 0
	finding := in_container("pss-capabilities", run, sprintf("adds the capabilities %s", [quoted(added)]))
}

workload contains finding if {
	pss_restricted
	some run in running
	not windows(run.object)
	not "ALL" in object.get(run.container, ["securityContext", "capabilities", "drop"], [])
	finding := in_container("pss-capabilities", run, "does not drop ALL capabilities")
}

# METADATA
# title: Pods mount nothing of their host
# description: A directory of the node is shared with everything that runs there, and often with its system.
# custom:
#   id: pss-host-path
#   severity: high
#   controls: ["pss-1.37:baseline", "cis-kubernetes-1.8.0:5.2.12", "cis-docker-1.6.0:5.6"]
#   solution: Use an emptyDir, a PersistentVolumeClaim or a projected volume instead of hostPath.
workload contains finding if {
	pss_baseline
	some object_ in objects
	names := [object.get(volume, "name", "") | some volume in object_.pod.spec.volumes; volume.hostPath]
	count(names) > 0
	finding := about("pss-host-path", object_, sprintf("the volumes %s are directories of the host", [quoted(names)]))
}

# METADATA
# title: Containers take no ports of their host
# description: A port of the node goes past network policies and services.
# custom:
#   id: pss-host-ports
#   severity: medium
#   controls: ["pss-1.37:baseline", "cis-kubernetes-1.8.0:5.2.13", "cis-docker-1.6.0:5.14"]
#   solution: Remove hostPort, and reach the container through a Service.
workload contains finding if {
	pss_baseline
	some run in running
	ports := [port.hostPort | some port in run.container.ports; port.hostPort != 0]
	count(ports) > 0
	finding := in_container("pss-host-ports", run, sprintf("takes ports of the host: %v", [ports]))
}

# METADATA
# title: Probes and hooks go to their own Pod
# description: The node itself calls a probe, so with a host of its own it reaches what the Pod must not.
# custom:
#   id: pss-host-probes
#   severity: medium
#   controls: ["pss-1.37:baseline"]
#   solution: Remove host from the probes and hooks.
workload contains finding if {
	pss_baseline
	some run in running
	some path in [["livenessProbe"], ["readinessProbe"], ["startupProbe"], ["lifecycle", "postStart"], ["lifecycle", "preStop"]]
	some kind in ["httpGet", "tcpSocket"]
	host := object.get(run.container, array.concat(path, [kind, "host"]), "")
	host != ""
	finding := in_container("pss-host-probes", run, sprintf("has a %s to the host %q", [concat(".", path), host]))
}

# METADATA
# title: AppArmor is not switched off
# description: The profile is the runtime's default or one of the node's.
# custom:
#   id: pss-apparmor
#   severity: medium
#   controls: ["pss-1.37:baseline", "cis-docker-1.6.0:5.2"]
#   solution: Remove appArmorProfile and its annotations, or set RuntimeDefault or Localhost.
workload contains finding if {
	pss_baseline
	some part in contexts
	profile := part.context.appArmorProfile
	not object.get(profile, "type", "") in {"RuntimeDefault", "Localhost"}
	finding := in_context("pss-apparmor", part, sprintf("sets the AppArmor profile %q", [object.get(profile, "type", "")]))
}

workload contains finding if {
	pss_baseline
	some object_ in objects
	some name, profile in object_.pod.annotations
	startswith(name, "container.apparmor.security.beta.kubernetes.io/")
	not profile in {"", "runtime/default"}
	not startswith(profile, "localhost/")
	finding := about("pss-apparmor", object_, sprintf("the annotation %q sets the AppArmor profile %q", [name, profile]))
}

# METADATA
# title: SELinux separates containers
# description: The label is one of those made for containers, and of no user or role of its own.
# custom:
#   id: pss-selinux
#   severity: medium
#   controls: ["pss-1.37:baseline", "cis-docker-1.6.0:5.3"]
#   solution: Remove seLinuxOptions, or set nothing but a type made for containers, such as container_t.
workload contains finding if {
	pss_baseline
	some part in contexts
	options := part.context.seLinuxOptions
	not selinux_allowed(options)
	finding := in_context("pss-selinux", part, sprintf("sets the SELinux label %v", [options]))
}

selinux_allowed(options) if {
	object.get(options, "type", "") in {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
	object.get(options, "user", "") == ""
	object.get(options, "role", "") == ""
}

# METADATA
# title: /proc is masked
# description: >-
#   The mask of /proc hides what containers need not see of their node. At level baseline a Pod with users of its own
#   (hostUsers is false) may do without.
# custom:
#   id: pss-proc-mount
#   severity: medium
#   controls: ["pss-1.37:baseline", "pss-1.37:restricted"]
#   solution: Remove procMount, or set it to Default.
workload contains finding if {
	pss_baseline
	some run in running
	mount := run.container.securityContext.procMount
	mount != "Default"
	not proc_relaxed(run.object)
	finding := in_container("pss-proc-mount", run, sprintf("mounts /proc as %q", [mount]))
}

proc_relaxed(object_) if {
	settings.podSecurity == "baseline"
	own_users(object_)
}

own_users(object_) if object_.pod.spec.hostUsers == false

seccomp_profiles := {"RuntimeDefault", "Localhost"}

# METADATA
# title: System calls are filtered
# description: >-
#   At level baseline seccomp is not switched off; at level restricted it is switched on, for the Pod or for each of its
#   containers. Pods for Windows are exempt there.
# custom:
#   id: pss-seccomp
#   severity: medium
#   controls: ["pss-1.37:baseline", "pss-1.37:restricted", "cis-kubernetes-1.8.0:5.7.2", "cis-docker-1.6.0:5.22"]
#   solution: "Set securityContext.seccompProfile of the Pod to type: RuntimeDefault."
workload contains finding if {
	pss_baseline
	some part in contexts
	profile := part.context.seccompProfile
	not object.get(profile, "type", "") in seccomp_profiles
	not seccomp_exempt(part.object)
	finding := in_context("pss-seccomp", part, sprintf("sets the seccomp profile %q", [object.get(profile, "type", "")]))
}

workload contains finding if {
	pss_restricted
	some run in running
	not windows(run.object)
	not run.container.securityContext.seccompProfile
	not pod_filtered(run.object)
	finding := in_container("pss-seccomp", run, "has no seccomp profile, and neither has the Pod")
}

pod_filtered(object_) if object_.pod.spec.securityContext.seccompProfile.type in seccomp_profiles

seccomp_exempt(object_) if {
	pss_restricted
	windows(object_)
}

safe_sysctls := {
	"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
	"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
	"net.ipv4.tcp_wmem", "net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat",
}

# METADATA
# title: Pods set safe sysctls only
# description: Others change the kernel for the whole node, or take what isolates Pods from each other.
# custom:
#   id: pss-sysctls
#   severity: medium
#   controls: ["pss-1.37:baseline"]
#   solution: Remove the sysctl from securityContext.sysctls; set it on the nodes if all Pods there may have it.
workload contains finding if {
	pss_baseline
	some object_ in objects
	names := {object.get(sysctl, "name", "") | some sysctl in object_.pod.spec.securityContext.sysctls} - safe_sysctls
	count(names) > 0
	finding := about("pss-sysctls", object_, sprintf("the Pod sets the sysctls %s", [quoted(names)]))
}

# METADATA
# title: Containers of Windows are no processes of the host
# description: Such a process has the rights of the node's own.
# custom:
#   id: pss-host-process
#   severity: critical
#   controls: ["pss-1.37:baseline", "cis-kubernetes-1.8.0:5.2.11"]
#   solution: Remove windowsOptions.hostProcess.
workload contains finding if {
	pss_baseline
	some part in contexts
	part.context.windowsOptions.hostProcess == true
	finding := in_context("pss-host-process", part, "is a process of the Windows host")
}
