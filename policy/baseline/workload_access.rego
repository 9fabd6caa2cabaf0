# What Pods may reach and know: tokens, secrets, roles, the network.
package sealyard

# METADATA
# title: Pods get no token that they do not need
# description: >-
#   Kubernetes mounts a token for its API into every Pod, unless the Pod or its service account says otherwise. A service account
#   counts when it is among the manifests.
# custom:
#   id: workload-token
#   severity: medium
#   controls: ["cis-kubernetes-1.8.0:5.1.6", "nsa-kubernetes-1.2:service-account-tokens"]
#   solution: Set automountServiceAccountToken of the Pod, or of its service account, to false.
workload contains finding if {
	some object_ in objects
	object_.runs == "pods"
	token_mounted(object_)
	finding := about("workload-token", object_, "its Pods get a token for the API of Kubernetes")
}

token_mounted(object_) if mounts_token(object_) == true

token_mounted(object_) if {
	mounts_token(object_) == null
	not account_withholds(object_)
}

# mounts_token is what the Pod says of its token: true, false or nothing, which is null.
mounts_token(object_) := object.get(object_, ["pod", "spec", "automountServiceAccountToken"], null)

account_withholds(object_) if {
	spec := object_.pod.spec
	name := object.get(spec, "serviceAccountName", object.get(spec, "serviceAccount", "default"))
	some account in objects
	account.kind == "ServiceAccount"
	account.name == name
	object.get(account, "namespace", "") == object.get(object_, "namespace", "")
	account.automountServiceAccountToken == false
}

# METADATA
# title: Manifests hold no secret in plain text
# description: >-
#   The value of an environment variable or an argument is a secret, by its name or its form. The evidence says where, and does
#   not hold it.
# custom:
#   id: workload-secret-literal
#   severity: high
#   controls: ["cis-docker-1.6.0:4.10", "nsa-kubernetes-1.2:secrets", "sp800-190:4.1.4"]
#   solution: Mount a Secret, and change the one that was written down.
workload contains finding if {
	some run in running
	names := [object.get(variable, "name", "") | some variable in run.container.env; variable.secret]
	count(names) > 0
	finding := in_container("workload-secret-literal", run, sprintf("has secrets in the variables %s", [quoted(names)]))
}

workload contains finding if {
	some run in running
	some words in ["command", "args"]
	run.container[words].secret
	finding := in_container("workload-secret-literal", run, sprintf("has a secret among its %s", [words]))
}

# METADATA
# title: Secrets are mounted as files
# description: >-
#   Variables get into logs, crash reports and the processes that a program starts. Many programs take nothing else, so this
#   warns by default.
# custom:
#   id: workload-secret-env
#   severity: low
#   controls: ["cis-kubernetes-1.8.0:5.4.1"]
#   solution: Mount the Secret as a volume.
workload contains finding if {
	some run in running
	names := array.concat(
		[object.get(variable, "name", "") | some variable in run.container.env; variable.valueFrom.secretKeyRef],
		[object.get(source.secretRef, "name", "") | some source in run.container.envFrom],
	)
	count(names) > 0
	finding := in_container("workload-secret-env", run, sprintf("takes secrets as variables: %s", [quoted(names)]))
}

# METADATA
# title: Secrets do not lie among manifests
# description: What is in a Secret of a manifest is only encoded, and everyone who reads the manifest has it.
# custom:
#   id: workload-secret-manifest
#   severity: high
#   controls: ["cis-kubernetes-1.8.0:5.4.2", "nsa-kubernetes-1.2:secrets"]
#   solution: Let the cluster fetch the secret from where it is kept, or give the manifest an encrypted form of it.
workload contains finding if {
	some object_ in objects
	count(object_.keys) > 0
	finding := about("workload-secret-manifest", object_, sprintf("it holds values for %s", [quoted(object_.keys)]))
}

# METADATA
# title: Roles name what they allow
# description: A role with an asterisk allows what does not exist yet, too.
# custom:
#   id: workload-role-wildcard
#   severity: high
#   controls: ["cis-kubernetes-1.8.0:5.1.3", "nsa-kubernetes-1.2:rbac"]
#   solution: List the verbs, resources and groups that are needed.
workload contains finding if {
	some object_ in objects
	fields := {field |
		some rule in object_.rules
		some field in ["apiGroups", "resources", "verbs", "nonResourceURLs"]
		"*" in rule[field]
	}
	count(fields) > 0
	finding := about("workload-role-wildcard", object_, sprintf("it allows * in %s", [concat(", ", fields)]))
}

reads := {"get", "list", "watch", "*"}

# METADATA
# title: Roles read named secrets only
# description: Whoever may get, list or watch all secrets of a namespace has every password in it.
# custom:
#   id: workload-role-secrets
#   severity: medium
#   controls: ["cis-kubernetes-1.8.0:5.1.2", "nsa-kubernetes-1.2:rbac"]
#   solution: Name the secrets in resourceNames, or mount them.
workload contains finding if {
	some object_ in objects
	verbs := {verb |
		some rule in object_.rules
		some resource in rule.resources
		resource in {"secrets", "*"}
		count(object.get(rule, "resourceNames", [])) == 0
		some verb in rule.verbs
		verb in reads
	}
	count(verbs) > 0
	finding := about("workload-role-secrets", object_, sprintf("it may %s every secret", [concat(", ", verbs)]))
}

# METADATA
# title: Nobody becomes an administrator
# description: >-
#   A role may not bind, escalate or impersonate, and a binding gives nobody cluster-admin, nor anything to groups that everybody
#   or every administrator belongs to.
# custom:
#   id: workload-role-admin
#   severity: high
#   controls: ["cis-kubernetes-1.8.0:5.1.1", "cis-kubernetes-1.8.0:5.1.7", "cis-kubernetes-1.8.0:5.1.8", "nsa-kubernetes-1.2:rbac"]
#   solution: Give the service account a role of its own, with what it needs.
workload contains finding if {
	some object_ in objects
	verbs := {verb | some rule in object_.rules; some verb in rule.verbs; verb in {"bind", "escalate", "impersonate"}}
	count(verbs) > 0
	finding := about("workload-role-admin", object_, sprintf("it may %s", [concat(", ", verbs)]))
}

workload contains finding if {
	some object_ in objects
	object_.roleRef.name == "cluster-admin"
	finding := about("workload-role-admin", object_, "it gives the role cluster-admin")
}

workload contains finding if {
	some object_ in objects
	everybody := {subject.name | some subject in object_.subjects} & {
		"system:masters", "system:anonymous", "system:unauthenticated", "system:authenticated", "system:serviceaccounts",
	}
	count(everybody) > 0
	finding := about("workload-role-admin", object_, sprintf("it gives a role to %s", [concat(", ", everybody)]))
}

# closed[namespace] are the ways of traffic that a policy closes for every Pod of a namespace.
closed[namespace] contains way if {
	some object_ in objects
	policy := object_.networkPolicy
	policy.everyPod
	namespace := object.get(object_, "namespace", "")
	some way, rules in {"Ingress": "ingressRules", "Egress": "egressRules"}
	way in policy.policyTypes
	object.get(policy, rules, 0) == 0
}

# METADATA
# title: Every namespace begins with its network closed
# description: >-
#   Where Pods run, a NetworkPolicy for all of them with no rule denies what no other policy allows, in both directions. An object
#   that names no namespace is held to the policies that name none either.
# custom:
#   id: workload-network-policy
#   severity: medium
#   controls: ["cis-kubernetes-1.8.0:5.3.2", "nsa-kubernetes-1.2:network-policies"]
#   solution: "Add a NetworkPolicy with podSelector: {} and policyTypes: [Ingress, Egress], and one for each flow that is needed."
workload contains finding if {
	some object_ in objects
	object_.runs == "pods"
	namespace := object.get(object_, "namespace", "")
	open := {"Ingress", "Egress"} - object.get(closed, namespace, set())
	count(open) > 0
	finding := about("workload-network-policy", object_, sprintf("nothing closes the %s of its namespace", [lower(concat(" and ", open))]))
}

# METADATA
# title: What is served is served over TLS
# description: Every host of an Ingress is in its tls section, and no listener of a Gateway speaks plain HTTP.
# custom:
#   id: workload-tls
#   severity: medium
#   controls: ["nsa-kubernetes-1.2:network-policies", "ssdf-1.1:PO.5.1"]
#   solution: Add the host to spec.tls of the Ingress; give the listener protocol HTTPS, and let the controller redirect.
workload contains finding if {
	some object_ in objects
	some host in object_.ingress.hosts
	not host_secured(host, object.get(object_.ingress, "tls", []))
	finding := about("workload-tls", object_, sprintf("it serves %s without TLS", [host_called(host)]))
}

workload contains finding if {
	some object_ in objects
	some listener in object_.listeners
	listener.protocol == "HTTP"
	finding := about("workload-tls", object_, sprintf("its listener %q speaks plain HTTP", [object.get(listener, "name", "")]))
}

host_called("") := "every other host"

host_called(host) := host if host != ""

host_secured(host, tls) if host in tls

host_secured(_, tls) if "" in tls

host_secured(host, tls) if concat(".", array.concat(["*"], array.slice(split(host, "."), 1, 100))) in tls
