package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Bundles is what a file of bundles proves about one artifact. It is the JSON document that is written of it, described in
// docs/json.md.
type Bundles struct {
	SchemaVersion string          `json:"schemaVersion"`
	Version       string          `json:"version"`
	File          string          `json:"file"`
	Subject       string          `json:"subject"` // digest
	Verified      bool            `json:"verified"`
	Reason        string          `json:"reason"` // why not
	Proven        []ProvenBundle  `json:"proven"`
	Ignored       []IgnoredBundle `json:"ignored"`
}

// ProvenBundle is one bundle that holds.
type ProvenBundle struct {
	Number        int      `json:"number"` // line, or place in an answer
	PredicateType string   `json:"predicateType"`
	Statement     string   `json:"statement"` // digest; empty for a signature over the artifact itself
	Subjects      []string `json:"subjects"`
	Signer        Signer   `json:"signer"`
	Times         []string `json:"times"`
}

// Signer says who signed.
type Signer struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Issuer string `json:"issuer"`
}

// String names a signer for people.
func (s Signer) String() string {
	switch {
	case s.ID == "":
		return s.Kind
	case s.Issuer == "":
		return s.Kind + " " + s.ID
	default:
		return s.ID + ", says " + s.Issuer
	}
}

// IgnoredBundle is a document of the file that proves nothing.
type IgnoredBundle struct {
	Number int    `json:"number"`
	Reason string `json:"reason"`
}

// JSON writes the document, as JSON writes a run's.
func (b Bundles) JSON(w io.Writer) error {
	b.Proven, b.Ignored = list(b.Proven), list(b.Ignored)
	return writeJSON(w, b)
}

// maxShown is how many documents of a file that prove nothing are told one by one.
const maxShown = 10

// Text writes it for people.
func (b Bundles) Text(w io.Writer) error {
	t := &page{}
	word := "VERIFIED"
	if !b.Verified {
		word = "DENIED"
	}
	t.WriteString(word + "  " + Clean(b.Subject+because(b.Reason)) + "\n")
	for _, p := range b.Proven {
		what := Clean(p.PredicateType)
		if p.Statement == "" {
			what = "signed, and nothing said about it"
		}
		t.line("  ", "    ", what)
		t.line("    by ", "      ", Clean(p.Signer.String()))
		if len(p.Times) > 0 {
			t.line("    at ", "      ", Clean(strings.Join(p.Times, ", ")))
		}
		t.line("    about ", "      ", Clean(strings.Join(p.Subjects, ", ")))
	}
	for i, r := range b.Ignored {
		if i == maxShown {
			t.line("  ", "    ", fmt.Sprintf("... and %d more that prove nothing", len(b.Ignored)-i))
			break
		}
		t.line("  ", "    ", fmt.Sprintf("proves nothing: number %d: %s", r.Number, Clean(r.Reason)))
	}
	_, err := io.WriteString(w, t.String())
	return err
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// writeJSON writes a document, indented and harmless to whoever shows it.
func writeJSON(w io.Writer, document any) error {
	data, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	_, err = w.Write(append(inert(data), '\n'))
	return err
}
