// Package workload reads Kubernetes manifests and says what they would run: the part of every Pod template, role and network
// policy that a security rule may want to judge, and nothing that could be a secret. It asks no cluster.
//
// Manifests are read as kubectl reads them: documents between lines of three dashes, booleans as in YAML 1.1, names of fields in
// their exact case. What another reader could take for something else is refused: a name given twice, a second document
// behind the first, a value of another type. What is known to run nothing is listed; of every other kind, such as those of
// custom resources, the facts say that they are not known (R91).
package workload

import (
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
)

// Limits on manifests, all files together.
const (
	MaxSize      = 32 << 20  // bytes
	MaxDocuments = 10_000    // objects, those of lists counted one by one
	maxFacts     = 7_000_000 // bytes of JSON: signed, that is a little less than the 10 MB a claim may have
	maxFiles     = 10_000
	maxDepth     = 64 // nesting of one document; the deepest known field of Kubernetes lies at 18
	maxLists     = 4  // lists within lists
)

// Facts are what there is to know of manifests. Their JSON is the predicate that docs/predicates/workloads-v1.md describes.
type Facts struct {
	Files     []File     `json:"files"`             // in the order they were read
	Documents []Document `json:"documents"`         // in the order of the files, objects of lists in their place
	Capacity  *Capacity  `json:"capacity,omitzero"` // nil: no nodes were given
}

// File is one manifest file.
type File struct {
	Name   string            `json:"name"`   // slash-separated, as it was named
	Digest map[string]string `json:"digest"` // "sha256": hex
}

// What a [Document] runs.
const (
	RunsPods    = "pods"
	RunsNothing = "nothing"
	RunsUnknown = "unknown" // it is of no known kind: its fields say nothing (R91)
)

// Document is one Kubernetes object. Members keep Kubernetes' names; what is not here was not read.
type Document struct {
	File       string `json:"file"`
	Line       int    `json:"line"` // where it begins, from 1
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitzero"`
	Name       string `json:"name,omitzero"`
	Runs       string `json:"runs"` // one of the Runs constants

	Replicas *int64 `json:"replicas,omitzero"` // how many Pods at once; nil: Kubernetes' default, or one on every node
	Pod      *Pod   `json:"pod,omitzero"`      // the Pod, or the template of its Pods

	Automount     *bool          `json:"automountServiceAccountToken,omitzero"` // of a ServiceAccount
	Rules         []Rule         `json:"rules,omitzero"`                        // of a Role or ClusterRole
	RoleRef       *Ref           `json:"roleRef,omitzero"`                      // of a RoleBinding or ClusterRoleBinding
	Subjects      []Ref          `json:"subjects,omitzero"`                     // the same
	Keys          []string       `json:"keys,omitzero"`                         // of a Secret: what it holds values for
	NetworkPolicy *NetworkPolicy `json:"networkPolicy,omitzero"`
	Ingress       *Ingress       `json:"ingress,omitzero"`
	Listeners     []Listener     `json:"listeners,omitzero"`  // of a Gateway
	HostPaths     []string       `json:"hostPaths,omitzero"`  // of a PersistentVolume: where on the node its files are
	Aggregates    bool           `json:"aggregates,omitzero"` // of a ClusterRole: it takes the rules of other roles too
}

// JSON returns the predicate: the same bytes for the same files.
func (f Facts) JSON() ([]byte, error) {
	if f.Files == nil || f.Documents == nil {
		return nil, errors.New("workload facts hold no file")
	}
	out, err := jsonv2.Marshal(f, jsonv2.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("write workload facts: %w", err)
	}
	return out, nil
}
