package sealyard_test

# The tests of level baseline; each rule holds at level restricted as well, and nothing is asked at level privileged.
only(rule, patches) if {
	judged(patches) == {rule}
	judged(patches) == {rule} with data.settings.podSecurity as "baseline"
	judged(patches) == set() with data.settings.podSecurity as "privileged"
}

neither(patches) if {
	judged(patches) == set()
	judged(patches) == set() with data.settings.podSecurity as "baseline"
}

# R89: the same of init and ephemeral containers.
everywhere(rule, context) if {
	only(rule, put(concat("", [app, "securityContext"]), object.union(good[0].pod.spec.containers[0].securityContext, context)))
	every kind in ["initContainers", "ephemeralContainers"] {
		only(rule, put(concat("", [pod, kind]), [object.union(good[0].pod.spec.containers[0], {"securityContext": context})]))
	}
}

# R89
test_pss_host if {
	every name in ["hostNetwork", "hostPID", "hostIPC"] {
		only("pss-host-namespaces", put(concat("", [pod, name]), true))
		neither(put(concat("", [pod, name]), false))
	}
	only("pss-host-path", put(concat("", [pod, "volumes"]), [{"name": "v", "hostPath": {"path": "/data"}}]))
	only("pss-host-ports", put(concat("", [app, "ports"]), [{"hostPort": 80}]))
	neither(put(concat("", [app, "ports"]), [{"containerPort": 80}, {"hostPort": 0}]))
}

# R89
test_pss_host_probes if {
	every path in ["livenessProbe", "readinessProbe", "startupProbe"] {
		only("pss-host-probes", put(concat("", [app, path]), {"httpGet": {"host": "10.0.0.1"}}))
	}
	every hook in ["postStart", "preStop"] {
		only("pss-host-probes", put(concat("", [app, "lifecycle"]), {hook: {"tcpSocket": {"host": "10.0.0.1"}}}))
	}
	neither(put(concat("", [app, "startupProbe"]), {"httpGet": {"host": ""}}))
}

# R89 T35
test_pss_containers if {
	everywhere("pss-privileged", {"privileged": true})
	everywhere("pss-apparmor", {"appArmorProfile": {"type": "Unconfined"}})
	everywhere("pss-apparmor", {"appArmorProfile": {}})
	everywhere("pss-selinux", {"seLinuxOptions": {"type": "spc_t"}})
	everywhere("pss-selinux", {"seLinuxOptions": {"user": "system_u"}})
	everywhere("pss-selinux", {"seLinuxOptions": {"role": "sysadm_r"}})
	everywhere("pss-proc-mount", {"procMount": "Unmasked"})
	everywhere("pss-seccomp", {"seccompProfile": {"type": "Unconfined"}})
	everywhere("pss-host-process", {"windowsOptions": {"hostProcess": true}})
	neither(put(concat("", [app, "securityContext"]), object.union(good[0].pod.spec.containers[0].securityContext, {
		"privileged": false, "appArmorProfile": {"type": "Localhost"}, "seLinuxOptions": {"type": "container_t"}, "procMount": "Default",
		"seccompProfile": {"type": "Localhost"}, "windowsOptions": {"hostProcess": false},
	})))
}

# R89
test_pss_pod if {
	context := concat("", [pod, "securityContext/"])
	only("pss-apparmor", put(concat("", [context, "appArmorProfile"]), {"type": "Unconfined"}))
	only("pss-selinux", put(concat("", [context, "seLinuxOptions"]), {"role": "sysadm_r"}))
	only("pss-host-process", put(concat("", [context, "windowsOptions"]), {"hostProcess": true}))
	only("pss-sysctls", put(concat("", [context, "sysctls"]), [{"name": "net.ipv4.tcp_rmem"}, {"name": "kernel.msgmax"}]))
	neither(put(concat("", [context, "sysctls"]), [{"name": "net.ipv4.tcp_rmem"}]))
	annotation := concat("", ["container.apparmor.security.beta.kubernetes.io/", "app"])
	only("pss-apparmor", put("/0/pod/annotations", {annotation: "unconfined"}))
	every profile in ["", "runtime/default", "localhost/mine"] {
		neither(put("/0/pod/annotations", {annotation: profile}))
	}
	neither(put("/0/pod/annotations", {"note": "unconfined"}))
}

capabilities(value) := judged(put(concat("", [app, "securityContext/capabilities"]), value))

# R89: where restricted asks more than baseline of the same.
test_pss_capabilities if {
	capabilities({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}) == set()
	capabilities({"drop": ["ALL"], "add": ["CHOWN"]}) == {"pss-capabilities"}
	capabilities({"drop": ["NET_RAW"]}) == {"pss-capabilities"}
	capabilities({"add": ["CHOWN"]}) == set() with data.settings.podSecurity as "baseline"
	capabilities({"add": ["SYS_ADMIN"]}) == {"pss-capabilities"} with data.settings.podSecurity as "baseline"
	judged(cut(concat("", [app, "securityContext/capabilities"]))) == {"pss-capabilities"}
}

# R89
test_pss_seccomp if {
	judged(cut(concat("", [pod, "securityContext/seccompProfile"]))) == {"pss-seccomp"}
	judged(cut(concat("", [pod, "securityContext/seccompProfile"]))) == set() with data.settings.podSecurity as "baseline"
	judged(array.concat(
		cut(concat("", [pod, "securityContext/seccompProfile"])),
		put(concat("", [app, "securityContext/seccompProfile"]), {"type": "RuntimeDefault"}),
	)) == set()
}

# R89: Windows knows none of it.
test_pss_windows if {
	on_windows := array.concat(cut(concat("", [app, "securityContext"])), put(concat("", [pod, "os"]), {"name": "windows"}))
	judged(on_windows) == set()
	judged(array.concat(on_windows, put(concat("", [app, "securityContext"]), {"capabilities": {"add": ["CHOWN"]}, "seccompProfile": {"type": "Unconfined"}}))) == set()
}

volumes(source) := judged(put(concat("", [pod, "volumes"]), [object.union({"name": "v"}, source)]))

# R89
test_pss_volumes if {
	every source in ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"] {
		volumes({source: {}}) == set()
	}
	volumes({"nfs": {}}) == {"pss-volumes"}
	volumes({}) == set()
	volumes({"nfs": {}}) == set() with data.settings.podSecurity as "baseline"
}

# R89
test_pss_escalation if {
	judged(put(concat("", [app, "securityContext/allowPrivilegeEscalation"]), true)) == {"pss-escalation"}
	judged(cut(concat("", [app, "securityContext/allowPrivilegeEscalation"]))) == {"pss-escalation"}
	judged(put(concat("", [app, "securityContext/allowPrivilegeEscalation"]), true)) == set() with data.settings.podSecurity as "baseline"
}

# R87 R89: with users of its own a Pod may be root in its own eyes.
test_pss_root if {
	every patches in [
		put(concat("", [pod, "securityContext/runAsNonRoot"]), false), cut(concat("", [pod, "securityContext/runAsNonRoot"])),
		put(concat("", [app, "securityContext/runAsNonRoot"]), false),
	] {
		judged(patches) == {"pss-nonroot"}
		judged(patches) == set() with data.settings.podSecurity as "baseline"
		judged(array.concat(patches, put(concat("", [pod, "hostUsers"]), false))) == set()
		judged(array.concat(patches, put(concat("", [pod, "hostUsers"]), true))) == {"pss-nonroot"}
	}
	judged(array.concat(cut(concat("", [pod, "securityContext/runAsNonRoot"])), put(concat("", [app, "securityContext/runAsNonRoot"]), true))) == set()
	every path in [pod, app] {
		judged(put(concat("", [path, "securityContext/runAsUser"]), 0)) == {"pss-user"}
		judged(put(concat("", [path, "securityContext/runAsUser"]), 1)) == set()
		judged(array.concat(put(concat("", [path, "securityContext/runAsUser"]), 0), put(concat("", [pod, "hostUsers"]), false))) == set()
	}
}

# R89
test_pss_proc_users if {
	unmasked := array.concat(put(concat("", [pod, "hostUsers"]), false), put(concat("", [app, "securityContext/procMount"]), "Unmasked"))
	judged(unmasked) == {"pss-proc-mount"}
	judged(unmasked) == set() with data.settings.podSecurity as "baseline"
}
