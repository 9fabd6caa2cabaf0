package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
	"go.yaml.in/yaml/v3"
)

// MaxExceptions bounds a file with waivers, in bytes.
const MaxExceptions = 1 << 20

// maxKept bounds what is kept with an image, in bytes.
const maxKept = 4 * MaxExceptions

// mendWaivers is the hint of what is wrong with waivers.
const mendWaivers = "docs/exceptions.md shows a waiver; sealyard waiver lint checks a file"

// File is a file that the caller read.
type File struct {
	Name string // for messages
	Data []byte
}

// Exceptions are what may be let pass although a rule denies it. They are part of what is asked: the decision names their digest.
// A nil *Exceptions holds none.
type Exceptions struct {
	doc  exceptionsDocument
	json []byte
	asOf time.Time
}

type exceptionsDocument struct {
	SchemaVersion string        `json:"schemaVersion"`
	Waivers       []Waiver      `json:"waivers"`      // sorted by id
	VEX           []VEXDocument `json:"vex,omitzero"` // sorted by digest
}

// LoadExceptions reads files of waivers, YAML or JSON, and VEX documents. They are strict: a name that is unknown or given twice, a waiver
// that lets too much pass, one without an end, and a VEX statement that gives no reason are errors marked with hint.Misuse.
func LoadExceptions(waivers []File, vex []VEXFile) (*Exceptions, error) {
	e := &Exceptions{doc: exceptionsDocument{SchemaVersion: SchemaVersion, Waivers: []Waiver{}}}
	for _, f := range waivers {
		list, err := ReadWaivers(f)
		if err != nil {
			return nil, err
		}
		e.doc.Waivers = append(e.doc.Waivers, list...)
	}
	for _, f := range vex {
		doc, err := readVEX(f)
		if err != nil {
			return nil, err
		}
		e.doc.VEX = append(e.doc.VEX, doc)
	}
	slices.SortFunc(e.doc.Waivers, compareWaivers)
	slices.SortFunc(e.doc.VEX, compareVEX)
	e.doc.VEX = slices.CompactFunc(e.doc.VEX, func(a, b VEXDocument) bool { return a.Digest == b.Digest })
	if err := e.doc.problem(); err != nil {
		return nil, hint.Misuse(err, mendWaivers)
	}
	data, err := json.Marshal(e.doc)
	if err != nil {
		return nil, err
	}
	if e.json, err = canonical(data); err != nil {
		return nil, err
	}
	if len(e.json) > maxKept {
		return nil, hint.Misuse(fmt.Errorf("waivers and VEX documents make %d bytes, at most %d are kept with an image", len(e.json), maxKept), "give only the documents about this image")
	}
	return e, nil
}

// ReadWaivers reads one file of waivers and checks each by itself.
func ReadWaivers(f File) ([]Waiver, error) {
	list, err := readWaivers(f.Data)
	if err != nil {
		return nil, hint.Misuse(fmt.Errorf("waivers %q: %w", f.Name, err), mendWaivers)
	}
	return list, nil
}

func readWaivers(data []byte) ([]Waiver, error) {
	if len(data) > MaxExceptions {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(data), MaxExceptions)
	}
	var doc struct {
		Waivers []Waiver `yaml:"waivers"`
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, errors.New("holds nothing, want a list waivers")
	} else if err != nil {
		return nil, errors.New(oneLine(err.Error()))
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one document")
	}
	if len(doc.Waivers) > maxWaivers {
		return nil, fmt.Errorf("%d waivers, at most %d are read", len(doc.Waivers), maxWaivers)
	}
	for i, w := range doc.Waivers {
		if err := w.Problem(); err != nil {
			return nil, fmt.Errorf("waiver %d, %q: %w", i+1, clip(w.ID), err)
		}
	}
	return doc.Waivers, nil
}

// ParseExceptions reads what [Exceptions.JSON] wrote.
func ParseExceptions(data []byte) (*Exceptions, error) {
	if len(data) > maxKept {
		return nil, fmt.Errorf("exceptions: %d bytes, at most %d are read", len(data), maxKept)
	}
	e := new(Exceptions)
	if err := decodeStrict(data, &e.doc); err != nil {
		return nil, fmt.Errorf("exceptions: %s", oneLine(err.Error()))
	}
	if e.doc.SchemaVersion != SchemaVersion {
		return nil, fmt.Errorf("exceptions: schemaVersion is %q, want %q", clip(e.doc.SchemaVersion), SchemaVersion)
	}
	if err := e.doc.problem(); err != nil {
		return nil, fmt.Errorf("exceptions: %w", err)
	}
	e.json = bytes.Clone(data)
	return e, nil
}

// problem says what is wrong with the exceptions together.
func (d exceptionsDocument) problem() error {
	if len(d.Waivers) > maxWaivers {
		return fmt.Errorf("%d waivers, at most %d are read", len(d.Waivers), maxWaivers)
	}
	for i, w := range d.Waivers {
		if err := w.Problem(); err != nil {
			return fmt.Errorf("waiver %q: %w", clip(w.ID), err)
		}
		if i > 0 && w.ID == d.Waivers[i-1].ID {
			return fmt.Errorf("two waivers have the id %q", w.ID)
		}
	}
	return vexProblem(d.VEX)
}

// JSON returns the canonical bytes of the exceptions. [ParseExceptions] of them gives the same decisions.
func (e *Exceptions) JSON() []byte {
	if e == nil {
		return nil
	}
	return e.json
}

// Digest is the SHA-256 of [Exceptions.JSON] as "sha256:<64 hex>"; "" when there are none.
func (e *Exceptions) Digest() string {
	if e == nil {
		return ""
	}
	return digestOf(e.json)
}

// Waivers returns the waivers, sorted by id.
func (e *Exceptions) Waivers() []Waiver {
	if e == nil {
		return nil
	}
	return slices.Clone(e.doc.Waivers)
}

// VEX returns the VEX documents, sorted by digest.
func (e *Exceptions) VEX() []VEXDocument {
	if e == nil {
		return nil
	}
	return slices.Clone(e.doc.VEX)
}

// AsOf returns the exceptions as they are at another time than that of the decision: whoever holds an old image to exceptions of
// their own asks what applies today.
func (e *Exceptions) AsOf(at time.Time) *Exceptions {
	if e == nil {
		return nil
	}
	again := *e
	again.asOf = at
	return &again
}

// Check holds exceptions to the policy that they are exceptions from, before anything else is done: a waiver of a rule that no bundle
// has, or that lets no waiver of this scope apply, one that ends too far off, and VEX of tomorrow or that no rule heeds, are errors marked
// with hint.Misuse.
func (e *Exceptions) Check(bundles []*Bundle, now time.Time) error {
	days := MaxWaiverDays(bundles)
	for _, w := range e.Waivers() {
		if err := w.fits(bundles); err != nil {
			return hint.Misuse(fmt.Errorf("waiver %q: %w", w.ID, err), mendWaivers)
		}
		if w.State(now, days) == WaiverTooLong {
			return hint.Misuse(fmt.Errorf("waiver %q: it ends on %s, and waivers end at most %d days off", w.ID, w.Expires, days),
				"give it a date up to %s", now.AddDate(0, 0, days).Format(dateForm))
		}
	}
	if e == nil || len(e.doc.VEX) == 0 {
		return nil
	}
	return hint.Misuse(checkVEX(e.doc.VEX, bundles, now), mendVEX)
}

// fits reports why no bundle has a rule that the waiver could be about.
func (w Waiver) fits(bundles []*Bundle) error {
	var known []string
	var found []Rule
	for _, b := range bundles {
		for id, r := range b.rules {
			known = append(known, id)
			if id == w.Rule {
				found = append(found, r)
			}
		}
	}
	var needs []string
	for _, r := range found {
		if slices.ContainsFunc(r.Waivable, w.Scope.has) {
			return nil
		}
		needs = append(needs, r.Waivable...)
	}
	switch {
	case len(found) == 0:
		slices.Sort(known)
		if near := hint.Nearest(w.Rule, known); near != "" {
			return fmt.Errorf("no policy has a rule %q; did you mean %q?", w.Rule, near)
		}
		return fmt.Errorf("no policy has a rule %q", w.Rule)
	case len(needs) == 0:
		return fmt.Errorf("rule %q cannot be waived: its METADATA has no custom.waivable", w.Rule)
	}
	return fmt.Errorf("rule %q is only waived for a scope with one of %v", w.Rule, needs)
}

// AddWaiver returns a file of waivers with one more, and everything else in it as it was, comments too. No data is a new file.
func AddWaiver(data []byte, w Waiver) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, errors.New(oneLine(err.Error()))
	}
	if doc.Kind == 0 {
		doc = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("is not an object with a list waivers")
	}
	root := doc.Content[0]
	list := &yaml.Node{Kind: yaml.SequenceNode}
	if i := slices.IndexFunc(root.Content, func(n *yaml.Node) bool { return n.Value == "waivers" }); i >= 0 && i%2 == 0 && root.Content[i+1].Kind == yaml.SequenceNode {
		list = root.Content[i+1]
		list.Style &^= yaml.FlowStyle
	} else {
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "waivers"}, list)
	}
	item := new(yaml.Node)
	if err := item.Encode(w); err != nil {
		return nil, err
	}
	list.Content = append(list.Content, item)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&doc), enc.Close()); err != nil {
		return nil, err
	}
	_, err := readWaivers(out.Bytes())
	return out.Bytes(), err
}
