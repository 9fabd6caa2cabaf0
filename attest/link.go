package attest

import (
	"errors"
	"fmt"
	"io/fs"

	jsonv2 "github.com/go-json-experiment/json"
	link "github.com/in-toto/attestation/go/predicates/link/v0"
	"github.com/in-toto/in-toto-golang/in_toto"
	"google.golang.org/protobuf/encoding/protojson"
)

// Artifact is something that a step used or made.
type Artifact struct {
	Name    string            // a path as io/fs has them; layouts match it by pattern
	Digests map[string]string // algorithm to lower-case hex
}

// StepFacts is what there is to say about one step of a pipeline.
type StepFacts struct {
	Name      string
	Command   []string   // no arguments that may hold secrets
	Materials []Artifact // what it used
	Products  []Artifact // what it made or handed on; the image among them, for a link is found and verified by its digest
}

type linkPredicate struct {
	Name        string         `json:"name"`
	Command     []string       `json:"command"`
	Materials   []artifact     `json:"materials"`
	ByProducts  map[string]any `json:"byproducts"`
	Environment map[string]any `json:"environment"`
}

// artifact is the part of an in-toto ResourceDescriptor that links are about.
type artifact struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// Link makes the statement that a step was taken, as in-toto's link v0.3: its products are the subjects.
func Link(f StepFacts) (Statement, error) {
	p := linkPredicate{Name: f.Name, Command: list(f.Command), Materials: []artifact{}, ByProducts: map[string]any{}, Environment: map[string]any{}}
	for _, m := range f.Materials {
		p.Materials = append(p.Materials, artifact{m.Name, m.Digests})
	}
	var products []descriptor
	for _, a := range f.Products {
		products = append(products, descriptor{Name: a.Name, Digest: a.Digests})
	}
	predicate, err := marshal(p)
	if err != nil {
		return Statement{}, fmt.Errorf("link %q: %w", f.Name, err)
	}
	st, err := assemble(PredicateLink, products, predicate)
	if err == nil {
		_, err = toLink(st.claim) // what could not be read again is not signed
	}
	if err != nil {
		return Statement{}, fmt.Errorf("link %q: %w", f.Name, err)
	}
	return st, nil
}

func checkLink(predicate []byte) error {
	var l link.Link
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(predicate, &l); err != nil {
		return err
	}
	if l.GetName() == "" {
		return errors.New("no name")
	}
	return nil
}

// toLink turns a link statement into the link of the in-toto specification, as link v0.3 says to, and holds the names
// in it to what they must be (R36).
func toLink(c claim) (in_toto.Link, error) {
	var p struct {
		Name      string     `json:"name"`
		Command   []string   `json:"command"`
		Materials []artifact `json:"materials"`
	}
	var products struct {
		Subject []artifact `json:"subject"`
	}
	if err := jsonv2.Unmarshal(c.predicate, &p); err != nil {
		return in_toto.Link{}, err
	}
	if err := jsonv2.Unmarshal(c.json, &products); err != nil {
		return in_toto.Link{}, err
	}
	l := in_toto.Link{Type: "link", Name: p.Name, Command: p.Command}
	var err error
	if l.Materials, err = artifacts(p.Materials); err != nil {
		return l, fmt.Errorf("materials: %w", err)
	}
	if l.Products, err = artifacts(products.Subject); err != nil {
		return l, fmt.Errorf("products: %w", err)
	}
	return l, nil
}

// artifacts makes a map of a list. in-toto's rules clean names before they compare some of them and not others, so a
// name that cleaning changes could slip past a rule.
func artifacts(all []artifact) (map[string]in_toto.HashObj, error) {
	if len(all) > maxSubjects {
		return nil, fmt.Errorf("%d artifacts, at most %d are read", len(all), maxSubjects)
	}
	out := map[string]in_toto.HashObj{}
	for _, a := range all {
		if !cleanName(a.Name) {
			return nil, fmt.Errorf("%q is not a clean name", a.Name)
		}
		if _, twice := out[a.Name]; twice {
			return nil, fmt.Errorf("%q is there twice", a.Name)
		}
		if len(a.Digest) == 0 {
			return nil, fmt.Errorf("%q has no digest", a.Name)
		}
		for alg, value := range a.Digest {
			if err := checkDigest(alg, value); err != nil {
				return nil, fmt.Errorf("%q: %w", a.Name, err)
			}
		}
		out[a.Name] = a.Digest
	}
	return out, nil
}

// cleanName reports whether path.Clean would leave a name alone and it stays inside its tree.
func cleanName(name string) bool { return fs.ValidPath(name) && name != "." }
