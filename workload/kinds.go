package workload

import (
	"errors"
	"maps"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Rule is what a role allows.
type Rule struct {
	APIGroups       []string `json:"apiGroups,omitzero"`
	Resources       []string `json:"resources,omitzero"`
	ResourceNames   []string `json:"resourceNames,omitzero"`
	Verbs           []string `json:"verbs,omitzero"`
	NonResourceURLs []string `json:"nonResourceURLs,omitzero"`
}

// Ref names a role, or who holds one.
type Ref struct {
	Kind      string `json:"kind,omitzero"`
	Name      string `json:"name,omitzero"`
	Namespace string `json:"namespace,omitzero"`
}

// NetworkPolicy says which way of traffic of which Pods is closed but for its rules.
type NetworkPolicy struct {
	EveryPod    bool     `json:"everyPod"`              // its podSelector is empty
	PolicyTypes []string `json:"policyTypes"`           // Ingress, Egress; what Kubernetes takes when none are given
	Ingress     int      `json:"ingressRules,omitzero"` // how many
	Egress      int      `json:"egressRules,omitzero"`
}

// Ingress says which hosts are served, and for which of them there is TLS.
type Ingress struct {
	Hosts []string `json:"hosts"` // of the rules; "" is every host
	TLS   []string `json:"tls"`   // hosts of the tls section; "" stands for one that names none
}

// Listener is a listener of a Gateway.
type Listener struct {
	Name     string `json:"name,omitzero"`
	Protocol string `json:"protocol,omitzero"`
	Port     int64  `json:"port,omitzero"`
}

// kinds says how to read each kind that facts are made of, by group and kind. Kinds that only group other objects are not here.
func kinds() map[string]func(*Document, []byte) error {
	m := map[string]func(*Document, []byte) error{
		"/Pod":                                  readPod,
		"/PodTemplate":                          readPodTemplate,
		"/ReplicationController":                readController,
		"batch/Job":                             readJob,
		"batch/CronJob":                         readCronJob,
		"/PersistentVolume":                     readPersistentVolume,
		"/ServiceAccount":                       readServiceAccount,
		"/Secret":                               readSecret,
		"networking.k8s.io/NetworkPolicy":       readNetworkPolicy,
		"extensions/NetworkPolicy":              readNetworkPolicy,
		"networking.k8s.io/Ingress":             readIngress,
		"extensions/Ingress":                    readIngress,
		"gateway.networking.k8s.io/Gateway":     readGateway,
		"rbac.authorization.k8s.io/Role":        readRole,
		"rbac.authorization.k8s.io/ClusterRole": readRole,
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"} {
		m["apps/"+kind], m["extensions/"+kind] = readController, readController
	}
	for _, kind := range []string{"RoleBinding", "ClusterRoleBinding"} {
		m["rbac.authorization.k8s.io/"+kind] = readBinding
	}
	for group, names := range inert() {
		for name := range strings.FieldsSeq(names) {
			m[group+"/"+name] = func(*Document, []byte) error { return nil }
		}
	}
	return m
}

// inert are the kinds that run nothing and of which nothing else is read, by group.
func inert() map[string]string {
	return map[string]string{
		"":                             "Namespace Service ConfigMap Endpoints Event LimitRange Node PersistentVolumeClaim ResourceQuota Binding",
		"autoscaling":                  "HorizontalPodAutoscaler",
		"policy":                       "PodDisruptionBudget",
		"networking.k8s.io":            "IngressClass IPAddress ServiceCIDR",
		"gateway.networking.k8s.io":    "GatewayClass HTTPRoute GRPCRoute TLSRoute TCPRoute UDPRoute ReferenceGrant BackendTLSPolicy",
		"storage.k8s.io":               "StorageClass CSIDriver CSINode CSIStorageCapacity VolumeAttachment VolumeAttributesClass",
		"scheduling.k8s.io":            "PriorityClass",
		"node.k8s.io":                  "RuntimeClass",
		"coordination.k8s.io":          "Lease LeaseCandidate",
		"discovery.k8s.io":             "EndpointSlice",
		"events.k8s.io":                "Event",
		"apiextensions.k8s.io":         "CustomResourceDefinition",
		"apiregistration.k8s.io":       "APIService",
		"admissionregistration.k8s.io": "ValidatingWebhookConfiguration MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
		"certificates.k8s.io":          "CertificateSigningRequest ClusterTrustBundle",
		"flowcontrol.apiserver.k8s.io": "FlowSchema PriorityLevelConfiguration",
		"resource.k8s.io":              "DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice",
		"apps":                         "ControllerRevision",
	}
}

// template is a Pod, or a template of one, as Kubernetes writes it.
type template struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec *PodSpec `json:"spec"`
}

// pod keeps of the annotations those that once said what is now in the security context.
func (t template) pod() (*Pod, error) {
	if t.Spec == nil {
		return nil, errors.New("it has no Pod template with a spec")
	}
	if len(t.Spec.Containers) == 0 {
		return nil, errors.New("its Pods have no container")
	}
	p := Pod{Spec: *t.Spec}
	for _, name := range slices.Sorted(maps.Keys(t.Metadata.Annotations)) {
		if strings.HasPrefix(name, "container.apparmor.security.beta.kubernetes.io/") || strings.Contains(name, "seccomp.security.alpha.kubernetes.io/") {
			if p.Annotations == nil {
				p.Annotations = map[string]string{}
			}
			p.Annotations[name] = t.Metadata.Annotations[name]
		}
	}
	return &p, nil
}

func readPod(d *Document, raw []byte) (err error) {
	var t template
	if err := jsonv2.Unmarshal(raw, &t); err != nil {
		return err
	}
	d.Pod, err = t.pod()
	return err
}

func readPodTemplate(d *Document, raw []byte) (err error) {
	var in struct {
		Template template `json:"template"`
	}
	if err := jsonv2.Unmarshal(raw, &in); err != nil {
		return err
	}
	d.Pod, err = in.Template.pod()
	return err
}

func readController(d *Document, raw []byte) (err error) {
	var in struct {
		Spec struct {
			Replicas *int64   `json:"replicas"`
			Template template `json:"template"`
		} `json:"spec"`
	}
	if err := jsonv2.Unmarshal(raw, &in); err != nil {
		return err
	}
	d.Replicas = in.Spec.Replicas
	d.Pod, err = in.Spec.Template.pod()
	return err
}

// jobSpec is what a Job and the template of a CronJob have in common.
type jobSpec struct {
	Parallelism *int64   `json:"parallelism"`
	Template    template `json:"template"`
}

func (s jobSpec) read(d *Document) (err error) {
	d.Replicas = s.Parallelism
	d.Pod, err = s.Template.pod()
	return err
}

func readJob(d *Document, raw []byte) error {
	var in struct {
		Spec jobSpec `json:"spec"`
	}
	if err := jsonv2.Unmarshal(raw, &in); err != nil {
		return err
	}
	return in.Spec.read(d)
}

func readCronJob(d *Document, raw []byte) error {
	var in struct {
		Spec struct {
			JobTemplate struct {
				Spec jobSpec `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}
	if err := jsonv2.Unmarshal(raw, &in); err != nil {
		return err
	}
	return in.Spec.JobTemplate.Spec.read(d)
}

func readServiceAccount(d *Document, raw []byte) error {
	var in struct {
		Automount *bool `json:"automountServiceAccountToken"`
	}
	err := jsonv2.Unmarshal(raw, &in)
	d.Automount = in.Automount
	return err
}

// readSecret keeps the names of the values only.
func readSecret(d *Document, raw []byte) error {
	var in struct {
		Data       map[string]jsontext.Value `json:"data"`
		StringData map[string]jsontext.Value `json:"stringData"`
	}
	if err := jsonv2.Unmarshal(raw, &in); err != nil {
		return err
	}
	for _, m := range []map[string]jsontext.Value{in.Data, in.StringData} {
		for name, value := range m {
			if string(value) != `""` && value.Kind() != 'n' {
				d.Keys = append(d.Keys, name)
			}
		}
	}
	slices.Sort(d.Keys)
	d.Keys = slices.Compact(d.Keys)
	return nil
}

func readRole(d *Document, raw []byte) error {
	var in struct {
		Rules     []Rule `json:"rules"`
		Aggregate *None  `json:"aggregationRule"`
	}
	err := jsonv2.Unmarshal(raw, &in)
	d.Rules, d.Aggregates = in.Rules, in.Aggregate != nil
	return err
}

// readPersistentVolume keeps where on a node the volume is: whoever claims it has the files there.
func readPersistentVolume(d *Document, raw []byte) error {
	type place struct {
		Path string `json:"path"`
	}
	var in struct {
		Spec struct {
			HostPath *place `json:"hostPath"`
			Local    *place `json:"local"`
		} `json:"spec"`
	}
	if err := jsonv2.Unmarshal(raw, &in); err != nil {
		return err
	}
	for _, p := range []*place{in.Spec.HostPath, in.Spec.Local} {
		if p != nil {
			d.HostPaths = append(d.HostPaths, p.Path)
		}
	}
	return nil
}

func readBinding(d *Document, raw []byte) error {
	var in struct {
		RoleRef  *Ref  `json:"roleRef"`
		Subjects []Ref `json:"subjects"`
	}
	err := jsonv2.Unmarshal(raw, &in)
	d.RoleRef, d.Subjects = in.RoleRef, in.Subjects
	return err
}

func readNetworkPolicy(d *Document, raw []byte) error {
	var in struct {
		Spec struct {
			PodSelector map[string]jsontext.Value `json:"podSelector"`
			PolicyTypes []string                  `json:"policyTypes"`
			Ingress     []None                    `json:"ingress"`
			Egress      []None                    `json:"egress"`
		} `json:"spec"`
	}
	if err := jsonv2.Unmarshal(raw, &in); err != nil {
		return err
	}
	p := NetworkPolicy{EveryPod: true, PolicyTypes: in.Spec.PolicyTypes, Ingress: len(in.Spec.Ingress), Egress: len(in.Spec.Egress)}
	for _, v := range in.Spec.PodSelector {
		if text := string(v); text != "{}" && text != "[]" && text != "null" {
			p.EveryPod = false
		}
	}
	if len(p.PolicyTypes) == 0 { // the default of the API
		p.PolicyTypes = []string{"Ingress"}
		if p.Egress > 0 {
			p.PolicyTypes = append(p.PolicyTypes, "Egress")
		}
	}
	d.NetworkPolicy = &p
	return nil
}

func readIngress(d *Document, raw []byte) error {
	var in struct {
		Spec struct {
			DefaultBackend *None `json:"defaultBackend"`
			Backend        *None `json:"backend"` // its old name
			Rules          []struct {
				Host string `json:"host"`
			} `json:"rules"`
			TLS []struct {
				Hosts []string `json:"hosts"`
			} `json:"tls"`
		} `json:"spec"`
	}
	if err := jsonv2.Unmarshal(raw, &in); err != nil {
		return err
	}
	out := Ingress{Hosts: []string{}, TLS: []string{}}
	for _, r := range in.Spec.Rules {
		out.Hosts = append(out.Hosts, r.Host)
	}
	if in.Spec.DefaultBackend != nil || in.Spec.Backend != nil {
		out.Hosts = append(out.Hosts, "")
	}
	for _, t := range in.Spec.TLS {
		if len(t.Hosts) == 0 {
			t.Hosts = []string{""}
		}
		out.TLS = append(out.TLS, t.Hosts...)
	}
	d.Ingress = &out
	return nil
}

func readGateway(d *Document, raw []byte) error {
	var in struct {
		Spec struct {
			Listeners []Listener `json:"listeners"`
		} `json:"spec"`
	}
	err := jsonv2.Unmarshal(raw, &in)
	d.Listeners = in.Spec.Listeners
	return err
}
