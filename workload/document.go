package workload

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	nodes "go.yaml.in/yaml/v3"
)

// source is where a document comes from.
type source struct {
	file string
	line int
	node *nodes.Node // nil: of its parts the lines are not known
}

// misplaced is an error about one field: the line where that begins.
type misplaced struct {
	line int
	error
}

// Unwrap returns the error without its line.
func (m misplaced) Unwrap() error { return m.error }

// field is the line of the field that an error of the JSON reader is about: that of the object when it is not known.
func (s source) field(err error) int {
	var wrong *jsonv2.SemanticError
	if !errors.As(err, &wrong) {
		return s.line
	}
	line, n := s.line, s.node
	for token := range wrong.JSONPointer.Tokens() {
		var step any = token
		if i, err := strconv.Atoi(token); err == nil && n != nil && n.Kind == nodes.SequenceNode {
			step = i
		}
		if n = at(n, step); n == nil {
			break
		}
		line = n.Line
	}
	return line
}

// head is what every Kubernetes object has.
type head struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name         string `json:"name"`
		GenerateName string `json:"generateName"`
		Namespace    string `json:"namespace"`
	} `json:"metadata"`
	Items jsontext.Value `json:"items"`
}

// document adds an object, or each object of a list.
func (r *reader) document(src source, raw jsontext.Value, lists int) error {
	if raw.Kind() != '{' {
		return errors.New("it is not a Kubernetes object")
	}
	var h head
	if err := jsonv2.Unmarshal(raw, &h); err != nil {
		return misplaced{src.field(err), oneLine(err)}
	}
	if h.Kind == "" || h.APIVersion == "" {
		return errors.New("it is not a Kubernetes object: kind or apiVersion is missing")
	}
	group, _, versioned := strings.Cut(h.APIVersion, "/")
	if !versioned {
		group = ""
	}
	if of, list := strings.CutSuffix(h.Kind, "List"); list && r.groups(group, of) {
		return r.list(src, raw, of, lists)
	}
	if len(h.Items) > 0 && h.Items.Kind() != 'n' { // kubectl takes it for a list whatever its kind, and applies each
		return fmt.Errorf("items of a %q, which is no list", h.Kind)
	}
	if len(r.facts.Documents) == MaxDocuments {
		return fmt.Errorf("there are more than %d objects", MaxDocuments)
	}
	d := Document{File: src.file, Line: src.line, APIVersion: h.APIVersion, Kind: h.Kind, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}
	if d.Name == "" && h.Metadata.GenerateName != "" {
		d.Name = h.Metadata.GenerateName + "*"
	}
	d.Runs = RunsNothing
	if read, ok := r.kinds[group+"/"+h.Kind]; !ok {
		d.Runs = RunsUnknown
	} else if err := read(&d, raw); err != nil {
		return misplaced{src.field(err), fmt.Errorf("%s %q: %w", h.Kind, d.Name, oneLine(err))}
	}
	if d.Pod != nil {
		d.Runs = RunsPods
	}
	src.lines(d)
	r.facts.Documents = append(r.facts.Documents, d)
	return nil
}

// groups reports whether a kind with List behind it is a list: that of anything, or of a known kind.
func (r *reader) groups(group, of string) bool {
	_, known := r.kinds[group+"/"+of]
	return known || group == "" && of == ""
}

// list adds the objects of a list. Those of a typed list need not say what they are.
func (r *reader) list(src source, raw jsontext.Value, of string, lists int) error {
	var in struct {
		APIVersion string           `json:"apiVersion"`
		Items      []jsontext.Value `json:"items"`
	}
	if err := jsonv2.Unmarshal(raw, &in); err != nil {
		return oneLine(err)
	}
	if lists == 0 {
		return fmt.Errorf("lists are nested more than %d deep", maxLists)
	}
	for i, item := range in.Items {
		inner := source{file: src.file, line: src.line, node: at(src.node, "items", i)}
		if inner.node != nil {
			inner.line = inner.node.Line
		}
		if of != "" {
			var err error
			if item, err = named(item, in.APIVersion, of); err != nil {
				return err
			}
		}
		if err := r.document(inner, item, lists-1); err != nil {
			return fmt.Errorf("item %d of the list: %w", i+1, err)
		}
	}
	return nil
}

// named gives an item of a typed list its kind, where it has none.
func named(item jsontext.Value, apiVersion, kind string) (jsontext.Value, error) {
	var m map[string]jsontext.Value
	if err := jsonv2.Unmarshal(item, &m); err != nil {
		return nil, oneLine(err)
	}
	for key, value := range map[string]string{"apiVersion": apiVersion, "kind": kind} {
		if _, has := m[key]; has || m == nil {
			continue
		}
		quoted, err := jsontext.AppendQuote(nil, value)
		if err != nil {
			return nil, err
		}
		m[key] = quoted
	}
	return jsonv2.Marshal(m, jsonv2.Deterministic(true))
}

// lines says of every container where it begins.
func (s source) lines(d Document) {
	if d.Pod == nil {
		return
	}
	spec := at(s.node, "spec", "template", "spec")
	switch d.Kind {
	case "Pod":
		spec = at(s.node, "spec")
	case "PodTemplate":
		spec = at(s.node, "template", "spec")
	case "CronJob":
		spec = at(s.node, "spec", "jobTemplate", "spec", "template", "spec")
	}
	for name, list := range map[string][]Container{
		"initContainers": d.Pod.Spec.InitContainers, "containers": d.Pod.Spec.Containers, "ephemeralContainers": d.Pod.Spec.EphemeralContainers,
	} {
		for i := range list {
			list[i].Line = 0 // whatever the manifest says
			if n := at(spec, name, i); n != nil {
				list[i].Line = n.Line
			}
		}
	}
}
