package sealyard_test

import data.sealyard

# good are manifests that no rule finds anything in.
good := [
	{
		"file": "deploy/app.yaml", "line": 1, "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "app", "runs": "pods",
		"pod": {"spec": {
			"automountServiceAccountToken": false,
			"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
			"containers": [{
				"line": 20, "name": "app",
				"image": "ghcr.io/acme/app@sha256:1313131313131313131313131313131313131313131313131313131313131313",
				"securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
				"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
				"livenessProbe": {"httpGet": {}}, "readinessProbe": {"tcpSocket": {}},
			}],
		}},
	},
	{
		"file": "deploy/network.yaml", "line": 1, "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": "shop", "name": "deny",
		"runs": "nothing", "networkPolicy": {"everyPod": true, "policyTypes": ["Ingress", "Egress"]},
	},
]

# manifests is the claim about such documents.
manifests(documents) := object.union(evidence.claims[0], {
	"predicateType": sealyard.predicate_type.workloads,
	"subjects": [digest | some digest in sealyard.digests with input as evidence],
	"predicate": {
		"files": [{"name": "deploy/app.yaml", "digest": {"sha256": "1414141414141414141414141414141414141414141414141414141414141414"}}],
		"documents": documents,
	},
})

# put and cut are changes to good; pod and app are where the Pod and its container are.
put(path, value) := [{"op": "add", "path": path, "value": value}]

cut(path) := [{"op": "remove", "path": path}]

pod := "/0/pod/spec/"

app := "/0/pod/spec/containers/0/"

# judged are the rules that find something in good with these changes.
judged(patches) := rules if {
	found := sealyard.workload with input as {"image": evidence.image, "claims": [manifests(json.patch(good, patches))]}
	rules := {finding.rule | some finding in found}
	every finding in found {
		startswith(finding.location.file, "deploy/")
		finding.location.line > 0
	}
}

# adding judges good with one more object.
adding(object_) := judged(put("/2", object.union({"file": "deploy/more.yaml", "line": 7, "apiVersion": "v1", "name": "more", "runs": "nothing"}, object_)))

with_manifests(patches) := json.patch(evidence, [{"op": "add", "path": "/claims/-", "value": manifests(json.patch(good, patches))}])

# R89: manifests without fault are allowed; a finding denies, or warns where the settings say so, at its line.
test_workload_verdict if {
	judged([]) == set()
	sealyard.allow with input as with_manifests([])
	not sealyard.allow with input as with_manifests(put(concat("", [pod, "hostPID"]), true))
	sealyard.allow with input as with_manifests(put(concat("", [pod, "hostPID"]), true)) with data.settings.workloadWarnings as ["pss-host-namespaces"]
	warned := sealyard.warn with input as with_manifests(put(concat("", [app, "securityContext/privileged"]), true)) with data.settings.workloadWarnings as ["pss-privileged"]
	warned == {{
		"rule": "pss-privileged", "message": "Deployment shop/app: container \"app\" is privileged", "subject": "Deployment shop/app",
		"location": {"file": "deploy/app.yaml", "line": 20},
	}}
}

# R91: without manifests no rule about them passes, and of those that are not asked each says so.
test_workload_skips if {
	skips := {entry.rule | some entry in sealyard.skip with input as evidence}
	sealyard.workload_rules - skips == set()
	asked := {entry.rule | some entry in sealyard.skip with input as with_manifests([])}
	asked & sealyard.workload_rules == {"workload-runtime-class", "workload-capacity"}
	base := {entry.rule | some entry in sealyard.skip with input as with_manifests([]) with data.settings.podSecurity as "baseline"}
	base & sealyard.workload_rules == {"workload-runtime-class", "workload-capacity"} | sealyard.pss_restricted_rules
	none := {entry.rule | some entry in sealyard.skip with input as with_manifests([]) with data.settings.podSecurity as "privileged"}
	none & sealyard.workload_rules == ({"workload-runtime-class", "workload-capacity"} | sealyard.pss_restricted_rules) | sealyard.pss_baseline_rules
}

# Manifests can be asked for, and what is claimed of them must be whole.
test_workload_evidence if {
	sealyard.allow with input as with_manifests([]) with data.settings.requiredEvidence as ["provenance", "sbom", "vulns", "workloads"]
	not sealyard.allow with input as evidence with data.settings.requiredEvidence as ["provenance", "sbom", "vulns", "workloads"]
	every patches in [
		cut("/0/pod"), cut("/0/runs"), put("/0/runs", "nothing"), put("/0/pod/spec/containers", []), cut("/0/line"),
		cut("/0/file"), cut("/0/kind"), cut("/0/apiVersion"), cut("/1/networkPolicy"), put("/1/runs", "something"), array.concat(cut("/0"), cut("/0")),
		put("/2", {"file": "a", "line": 1, "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "runs": "nothing"}),
	] {
		not sealyard.allow with input as with_manifests(patches)
		found := sealyard.deny with input as with_manifests(patches)
		"evidence-incomplete" in {finding.rule | some finding in found}
	}
	nameless := json.patch(with_manifests([]), [{"op": "remove", "path": sprintf("/claims/%d/predicate/files/0/digest", [count(evidence.claims)])}])
	not sealyard.allow with input as nameless
}

# R91
test_workload_unknown if {
	rollout := {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "runs": "unknown"}
	adding(rollout) == {"workload-unknown"}
	adding(rollout) == set() with data.settings.inertKinds as ["argoproj.io/Rollout"]
	role := {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "runs": "nothing"}
	adding(object.union(role, {"aggregates": true})) == {"workload-unknown"}
	adding(role) == set()
	sealyard.allow with input as with_manifests(put("/2", object.union(rollout, {"file": "a", "line": 1})))
}

image(name) := judged(put(concat("", [app, "image"]), name))

built_as(name) := json.patch(with_manifests([]), [
	{"op": "add", "path": sprintf("/claims/%d/predicate/buildDefinition/externalParameters/%s", [provenance_at, "image"]), "value": "ghcr.io/acme/app"},
	{"op": "add", "path": sprintf("/claims/%d/predicate/buildDefinition/externalParameters/%s", [provenance_at, "inputs"]), "value": {"tags": "example.com/app:1\nexample.com/other:2"}},
	{"op": "replace", "path": sprintf("/claims/%d/predicate/documents/0/pod/spec/containers/0/image", [count(evidence.claims)]), "value": name},
])

provenance_at := i if {
	some i, claim in evidence.claims
	claim.predicateType == "https://slsa.dev/provenance/v1"
}

own_image(name) := rules if {
	found := sealyard.workload with input as built_as(name)
	rules := {finding.rule | some finding in found}
}

test_workload_images if {
	image("nginx:1.27") == {"workload-image-pinned"}
	image("nginx@sha256:12") == {"workload-image-pinned"}
	image("") == {"workload-image-pinned"}
	judged(cut(concat("", [app, "image"]))) == {"workload-image-pinned"}
	image("localhost:5000/a:1@sha256:1313131313131313131313131313131313131313131313131313131313131313") == set()
	own_image(concat("@", ["ghcr.io/acme/app", evidence.image.digest])) == set()
	own_image(concat("@", ["ghcr.io/acme/app:1", evidence.image.platforms[0].digest])) == set()
	own_image("ghcr.io/acme/app@sha256:1313131313131313131313131313131313131313131313131313131313131313") == {"workload-image-own"}
	own_image("example.com/other@sha256:1313131313131313131313131313131313131313131313131313131313131313") == {"workload-image-own"}
	own_image("example.com/app:1") == {"workload-image-tagged"}
	own_image("example.com/app") == {"workload-image-tagged"}
	own_image("example.com/apple:1") == {"workload-image-pinned"}
}

test_workload_bounds if {
	judged(cut(concat("", [app, "resources"]))) == {"workload-resources", "workload-cpu-limit"}
	judged(cut(concat("", [app, "resources/requests"]))) == set()
	judged(cut(concat("", [app, "resources/limits/memory"]))) == {"workload-resources"}
	judged(cut(concat("", [app, "resources/limits/cpu"]))) == {"workload-cpu-limit"}
	judged(put(concat("", [app, "resources/limits/memory"]), "0")) == {"workload-resources"}
	judged(put(concat("", [app, "resources/limits/memory"]), "0.0Mi")) == {"workload-resources"}
	judged(array.concat(cut(concat("", [app, "resources"])), put(concat("", [pod, "resources"]), good[0].pod.spec.containers[0].resources))) == set()
	judged(put(concat("", [pod, "initContainers"]), [object.remove(good[0].pod.spec.containers[0], ["resources", "livenessProbe"])])) == {"workload-resources", "workload-cpu-limit"}
	judged(put(concat("", [pod, "ephemeralContainers"]), [object.remove(good[0].pod.spec.containers[0], ["resources", "livenessProbe"])])) == set()
}

test_workload_probes if {
	judged(cut(concat("", [app, "livenessProbe"]))) == {"workload-probes"}
	judged(cut(concat("", [app, "readinessProbe"]))) == {"workload-probes"}
	judged(array.concat(cut(concat("", [app, "readinessProbe"])), put("/0/kind", "Job"))) == set()
}

test_workload_root if {
	judged(cut(concat("", [app, "securityContext/readOnlyRootFilesystem"]))) == {"workload-root-writable"}
	judged(put(concat("", [app, "securityContext/readOnlyRootFilesystem"]), false)) == {"workload-root-writable"}
	judged(array.concat(cut(concat("", [app, "securityContext"])), put(concat("", [pod, "os"]), {"name": "windows"}))) == set()
}

test_workload_runtime_class if {
	judged([]) == {"workload-runtime-class"} with data.settings.runtimeClasses as ["gvisor"]
	judged([]) == set() with data.settings.runtimeClasses as ["gvisor", ""]
	judged(put(concat("", [pod, "runtimeClassName"]), "gvisor")) == set() with data.settings.runtimeClasses as ["gvisor"]
	judged(put(concat("", [pod, "runtimeClassName"]), "runc")) == {"workload-runtime-class"} with data.settings.runtimeClasses as ["gvisor"]
}

host(path) := judged(put(concat("", [pod, "volumes"]), [{"name": "v", "hostPath": path}])) - {"pss-host-path"}

# T35
test_workload_host_system if {
	every path in [
		"/", "/run", "/var", "/var/run/docker.sock", "/var/run/./docker.sock/", "var/run/x", "/srv/agent.sock", "/var/log", "/run/k3s", "//var//run/containerd/containerd.sock", "/etc/kubernetes", "/proc", "/data/../etc",
	] {
		host({"path": path}) == {"workload-host-system"}
	}
	host({}) == {"workload-host-system"}
	volume := {"apiVersion": "v1", "kind": "PersistentVolume", "runs": "nothing"}
	adding(object.union(volume, {"hostPaths": ["/"]})) == {"workload-host-system"}
	adding(object.union(volume, {"hostPaths": ["/data"]})) == set()
	every path in ["/data", "/etcetera", "/srv/run", "/srv/socket"] {
		host({"path": path}) == set()
	}
	judged(put(concat("", [pod, "volumes"]), [{"name": "v", "hostPath": {"path": "/etc"}}])) == {"workload-host-system"} with data.settings.podSecurity as "privileged"
}

test_workload_namespace if {
	judged(array.concat(put("/0/namespace", "default"), put("/1/namespace", "default"))) == {"workload-namespace"}
	judged(array.concat(put("/0/namespace", "kube-system"), put("/1/namespace", "kube-system"))) == {"workload-namespace"}
	judged(array.concat(cut("/0/namespace"), cut("/1/namespace"))) == set()
}

account(patch) := object.union({"kind": "ServiceAccount", "namespace": "shop", "name": "default", "automountServiceAccountToken": false}, patch)

on_account(object_) := judged(array.concat(cut(concat("", [pod, "automountServiceAccountToken"])), put("/2", object.union({"file": "deploy/a.yaml", "line": 1}, object_))))

test_workload_token if {
	judged(put(concat("", [pod, "automountServiceAccountToken"]), true)) == {"workload-token"}
	judged(cut(concat("", [pod, "automountServiceAccountToken"]))) == {"workload-token"}
	on_account(account({})) == set()
	on_account(account({"automountServiceAccountToken": true})) == {"workload-token"}
	on_account(account({"name": "other"})) == {"workload-token"}
	on_account(account({"namespace": "other"})) == {"workload-token"}
	judged(array.concat(
		array.concat(cut(concat("", [pod, "automountServiceAccountToken"])), put(concat("", [pod, "serviceAccount"]), "app")),
		put("/2", object.union({"file": "deploy/a.yaml", "line": 1}, account({"name": "app"}))),
	)) == set()
}

# T5
test_workload_secrets if {
	judged(put(concat("", [app, "env"]), [{"name": "MODE", "literal": true}])) == set()
	judged(put(concat("", [app, "env"]), [{"name": "TOKEN", "literal": true, "secret": true}])) == {"workload-secret-literal"}
	judged(put(concat("", [app, "args"]), {"secret": true})) == {"workload-secret-literal"}
	judged(put(concat("", [app, "command"]), {"secret": true})) == {"workload-secret-literal"}
	judged(put(concat("", [app, "env"]), [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s"}}}])) == {"workload-secret-env"}
	judged(put(concat("", [app, "env"]), [{"name": "T", "valueFrom": {"configMapKeyRef": {"name": "s"}}}])) == set()
	judged(put(concat("", [app, "envFrom"]), [{"secretRef": {"name": "s"}}])) == {"workload-secret-env"}
	judged(put(concat("", [app, "envFrom"]), [{"configMapRef": {"name": "s"}}])) == set()
	adding({"kind": "Secret", "keys": ["password"]}) == {"workload-secret-manifest"}
	adding({"kind": "Secret"}) == set()
}

role(rule) := adding({"kind": "Role", "rules": [rule]})

test_workload_roles if {
	role({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}) == set()
	role({"apiGroups": ["*"], "resources": ["configmaps"], "verbs": ["get"]}) == {"workload-role-wildcard"}
	role({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}) == {"workload-role-wildcard"}
	role({"nonResourceURLs": ["*"], "verbs": ["get"]}) == {"workload-role-wildcard"}
	role({"apiGroups": [""], "resources": ["*"], "verbs": ["create"]}) == {"workload-role-wildcard"}
	role({"apiGroups": [""], "resources": ["*"], "verbs": ["list"]}) == {"workload-role-wildcard", "workload-role-secrets"}
	role({"apiGroups": [""], "resources": ["secrets"], "verbs": ["watch"]}) == {"workload-role-secrets"}
	role({"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}) == set()
	role({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["tls"], "verbs": ["get"]}) == set()
	role({"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}) == {"workload-role-admin"}
	adding({"kind": "ClusterRoleBinding", "roleRef": {"name": "cluster-admin"}, "subjects": [{"name": "app"}]}) == {"workload-role-admin"}
	adding({"kind": "RoleBinding", "roleRef": {"name": "view"}, "subjects": [{"name": "system:authenticated"}]}) == {"workload-role-admin"}
	adding({"kind": "RoleBinding", "roleRef": {"name": "view"}, "subjects": [{"name": "app"}]}) == set()
}

test_workload_network_policy if {
	judged(cut("/1")) == {"workload-network-policy"}
	judged(put("/1/namespace", "other")) == {"workload-network-policy"}
	judged(put("/1/networkPolicy/everyPod", false)) == {"workload-network-policy"}
	judged(put("/1/networkPolicy/ingressRules", 1)) == {"workload-network-policy"}
	judged(put("/1/networkPolicy/policyTypes", ["Egress"])) == {"workload-network-policy"}
	judged(array.concat(put("/1/networkPolicy/policyTypes", ["Egress"]), put("/2", json.patch(good[1], put("/networkPolicy/policyTypes", ["Ingress"]))))) == set()
	judged(array.concat(cut("/0/namespace"), cut("/1/namespace"))) == set()
	judged(cut("/0/namespace")) == {"workload-network-policy"}
}

served(hosts, tls) := adding({"kind": "Ingress", "ingress": {"hosts": hosts, "tls": tls}})

test_workload_tls if {
	served(["a.example.com"], ["a.example.com"]) == set()
	served(["a.example.com"], ["*.example.com"]) == set()
	served(["a.example.com", ""], [""]) == set()
	served(["a.example.com"], []) == {"workload-tls"}
	served([""], ["a.example.com"]) == {"workload-tls"}
	served(["a.b.example.com"], ["*.example.com"]) == {"workload-tls"}
	adding({"kind": "Gateway", "listeners": [{"name": "web", "protocol": "HTTPS"}]}) == set()
	adding({"kind": "Gateway", "listeners": [{"name": "web", "protocol": "HTTP"}]}) == {"workload-tls"}
}

on_nodes(capacity) := findings if {
	findings := sealyard.workload with input as {"image": evidence.image, "claims": [json.patch(manifests(good), [{"op": "add", "path": "/predicate/capacity", "value": capacity}])]}
}

short_of(capacity) := {finding.message | some finding in on_nodes(capacity); finding.rule == "workload-capacity"}

test_workload_capacity if {
	on_nodes({"fits": true, "lacks": "", "pods": 2, "nodes": {"lost": 1}, "cheapest": {"small": 2}}) == set()
	short_of({"fits": false, "lacks": "memory", "pods": 2, "nodes": {"lost": 1}, "cheapest": {"large": 0, "small": 2}}) == {"2 Pods do not fit with 1 nodes lost: there is too little memory; enough would be 2 small"}
	short_of({"fits": false, "lacks": "room", "pods": 2, "nodes": {"lost": 0}, "cheapest": {}}) == {"2 Pods do not fit with 0 nodes lost: there is enough of everything, but no room for every Pod on one node"}
	not sealyard.allow with input as json.patch(with_manifests([]), [{"op": "add", "path": sprintf("/claims/%d/predicate/capacity", [count(evidence.claims)]), "value": {"fits": false, "lacks": "cpu", "pods": 1, "nodes": {"lost": 0}, "cheapest": {}}}])
}

# What is claimed of capacity must be whole.
test_workload_capacity_evidence if {
	partly := json.patch(with_manifests([]), [{"op": "add", "path": sprintf("/claims/%d/predicate/capacity", [count(evidence.claims)]), "value": {"lacks": ""}}])
	not sealyard.allow with input as partly
}
