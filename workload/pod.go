package workload

import (
	"errors"
	"maps"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sealyard/sealyard/internal/secretlike"
)

// Pod is a Pod or the template of one. Its types hold Kubernetes' fields (k8s.io/api core/v1) by their own names: those that
// rules judge. Values that may be secrets are read only to say whether they look like it.
type Pod struct {
	Annotations map[string]string `json:"annotations,omitzero"` // those about AppArmor and seccomp
	Spec        PodSpec           `json:"spec"`
}

// PodSpec is what a Pod runs, and how.
type PodSpec struct {
	InitContainers      []Container      `json:"initContainers,omitzero"`
	Containers          []Container      `json:"containers,omitzero"`
	EphemeralContainers []Container      `json:"ephemeralContainers,omitzero"`
	Volumes             []Volume         `json:"volumes,omitzero"`
	SecurityContext     *SecurityContext `json:"securityContext,omitzero"`
	OS                  *Named           `json:"os,omitzero"`
	HostNetwork         bool             `json:"hostNetwork,omitzero"`
	HostPID             bool             `json:"hostPID,omitzero"`
	HostIPC             bool             `json:"hostIPC,omitzero"`
	HostUsers           *bool            `json:"hostUsers,omitzero"`
	ServiceAccountName  string           `json:"serviceAccountName,omitzero"`
	ServiceAccount      string           `json:"serviceAccount,omitzero"` // its old name
	Automount           *bool            `json:"automountServiceAccountToken,omitzero"`
	RuntimeClassName    string           `json:"runtimeClassName,omitzero"`
	Resources           *Resources       `json:"resources,omitzero"`
	Overhead            Quantities       `json:"overhead,omitzero"`
}

// Container is a container of any of the three kinds.
type Container struct {
	Line            int              `json:"line,omitzero"` // where it begins, when that is known
	Name            string           `json:"name,omitzero"`
	Image           string           `json:"image,omitzero"`
	SecurityContext *SecurityContext `json:"securityContext,omitzero"`
	Ports           []Port           `json:"ports,omitzero"`
	Resources       *Resources       `json:"resources,omitzero"`
	LivenessProbe   *Handler         `json:"livenessProbe,omitzero"`
	ReadinessProbe  *Handler         `json:"readinessProbe,omitzero"`
	StartupProbe    *Handler         `json:"startupProbe,omitzero"`
	Lifecycle       *Lifecycle       `json:"lifecycle,omitzero"`
	RestartPolicy   string           `json:"restartPolicy,omitzero"` // Always makes a sidecar of an init container
	Env             []EnvVar         `json:"env,omitzero"`
	EnvFrom         []EnvFrom        `json:"envFrom,omitzero"`
	VolumeMounts    []VolumeMount    `json:"volumeMounts,omitzero"`
	Command         Words            `json:"command,omitzero"`
	Args            Words            `json:"args,omitzero"`
}

// SecurityContext is that of a Pod or of a container; each has some of the fields.
type SecurityContext struct {
	Privileged               *bool           `json:"privileged,omitzero"`
	AllowPrivilegeEscalation *bool           `json:"allowPrivilegeEscalation,omitzero"`
	ReadOnlyRootFilesystem   *bool           `json:"readOnlyRootFilesystem,omitzero"`
	RunAsNonRoot             *bool           `json:"runAsNonRoot,omitzero"`
	RunAsUser                *int64          `json:"runAsUser,omitzero"`
	Capabilities             *Capabilities   `json:"capabilities,omitzero"`
	ProcMount                *string         `json:"procMount,omitzero"`
	AppArmorProfile          *Profile        `json:"appArmorProfile,omitzero"`
	SeccompProfile           *Profile        `json:"seccompProfile,omitzero"`
	SELinuxOptions           *SELinuxOptions `json:"seLinuxOptions,omitzero"`
	WindowsOptions           *WindowsOptions `json:"windowsOptions,omitzero"`
	Sysctls                  []Named         `json:"sysctls,omitzero"`
}

// Capabilities are those added to and taken from the runtime's default.
type Capabilities struct {
	Add  []string `json:"add,omitzero"`
	Drop []string `json:"drop,omitzero"`
}

// Profile is a profile of AppArmor or seccomp.
type Profile struct {
	Type string `json:"type"`
}

// SELinuxOptions is a label of SELinux.
type SELinuxOptions struct {
	Type string `json:"type,omitzero"`
	User string `json:"user,omitzero"`
	Role string `json:"role,omitzero"`
}

// WindowsOptions say whether a container of Windows is a process of the host.
type WindowsOptions struct {
	HostProcess *bool `json:"hostProcess,omitzero"`
}

// Named is any object of which only the name counts.
type Named struct {
	Name string `json:"name,omitzero"`
}

// Port is a port of a container.
type Port struct {
	ContainerPort int64 `json:"containerPort,omitzero"`
	HostPort      int64 `json:"hostPort,omitzero"`
}

// Resources are what a container asks for and what it may take at most.
type Resources struct {
	Requests Quantities `json:"requests,omitzero"`
	Limits   Quantities `json:"limits,omitzero"`
}

// Quantities are amounts by resource, such as "cpu": "250m".
type Quantities map[string]Quantity

// Quantity is an amount as it is written; a number counts as its text.
type Quantity string

// UnmarshalJSON takes a string or a number; null is zero, as for Kubernetes.
func (q *Quantity) UnmarshalJSON(data []byte) error {
	v := jsontext.Value(data)
	switch v.Kind() {
	case 'n':
		*q = "0"
		return nil
	case '0':
		*q = Quantity(v)
		return nil
	case '"':
		return jsonv2.Unmarshal(data, (*string)(q))
	}
	return errors.New("an amount is neither a string nor a number")
}

// Handler is a probe or a hook: which of the kinds it is.
type Handler struct {
	HTTPGet   *Host `json:"httpGet,omitzero"`
	TCPSocket *Host `json:"tcpSocket,omitzero"`
	Exec      *None `json:"exec,omitzero"`
	GRPC      *None `json:"grpc,omitzero"`
}

// Host is where a probe or hook goes; "" is the Pod itself.
type Host struct {
	Host string `json:"host,omitzero"`
}

// None is an object of which nothing is read but that it is there.
type None struct{}

// Lifecycle are the hooks of a container.
type Lifecycle struct {
	PostStart *Handler `json:"postStart,omitzero"`
	PreStop   *Handler `json:"preStop,omitzero"`
}

// VolumeMount is where a container sees a volume.
type VolumeMount struct {
	Name      string `json:"name,omitzero"`
	MountPath string `json:"mountPath,omitzero"`
	ReadOnly  bool   `json:"readOnly,omitzero"`
}

// EnvFrom are variables of which even the names come from elsewhere.
type EnvFrom struct {
	ConfigMapRef *Named `json:"configMapRef,omitzero"`
	SecretRef    *Named `json:"secretRef,omitzero"`
}

// EnvVar is an environment variable: its name, and where its value comes from.
type EnvVar struct {
	Name      string     `json:"name,omitzero"`
	Literal   bool       `json:"literal,omitzero"`   // the manifest itself holds the value
	Secret    bool       `json:"secret,omitzero"`    // that value is one, by the name or the form of it
	ValueFrom *ValueFrom `json:"valueFrom,omitzero"` // where else it comes from
}

// ValueFrom says where the value of a variable comes from; of fields and resources of the Pod itself it says nothing.
type ValueFrom struct {
	ConfigMapKeyRef *Named `json:"configMapKeyRef,omitzero"`
	SecretKeyRef    *Named `json:"secretKeyRef,omitzero"`
}

// UnmarshalJSON reads the value and forgets it.
func (e *EnvVar) UnmarshalJSON(data []byte) error {
	var in struct {
		Name      string     `json:"name"`
		Value     string     `json:"value"`
		ValueFrom *ValueFrom `json:"valueFrom"`
	}
	if err := jsonv2.Unmarshal(data, &in); err != nil {
		return err
	}
	*e = EnvVar{Name: in.Name, Literal: in.Value != "", ValueFrom: in.ValueFrom}
	e.Secret = e.Literal && (secretlike.Value(in.Value) || secretlike.Name(in.Name) && !strings.HasPrefix(in.Value, "$("))
	return nil
}

// Words are a command line, of which only this is kept.
type Words struct {
	Secret bool `json:"secret,omitzero"` // one of them has the form of a secret
}

// UnmarshalJSON reads the words and forgets them.
func (w *Words) UnmarshalJSON(data []byte) error {
	var in []string
	if err := jsonv2.Unmarshal(data, &in); err != nil {
		return err
	}
	*w = Words{Secret: slices.ContainsFunc(in, secretlike.Value)}
	return nil
}

// Volume is a volume: its name, and an object by the name of its source. Only hostPath keeps what is in it.
type Volume map[string]any

// UnmarshalJSON keeps the names of all sources: Pod security allows those it knows.
func (v *Volume) UnmarshalJSON(data []byte) error {
	var in map[string]jsontext.Value
	if err := jsonv2.Unmarshal(data, &in); err != nil {
		return err
	}
	*v = Volume{}
	for _, key := range slices.Sorted(maps.Keys(in)) {
		var err error
		switch kind := in[key].Kind(); {
		case key == "name":
			var name string
			err = jsonv2.Unmarshal(in[key], &name)
			(*v)[key] = name
		case kind == 'n': // as if it were not there
		case key == "hostPath":
			var path struct {
				Path string `json:"path,omitzero"`
				Type string `json:"type,omitzero"`
			}
			err = jsonv2.Unmarshal(in[key], &path)
			(*v)[key] = path
		default:
			err = jsonv2.Unmarshal(in[key], new(None))
			(*v)[key] = None{}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
