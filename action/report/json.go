package report

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"github.com/sealyard/sealyard/policy"
)

// SchemaVersion is the version of the document that JSON writes. Fields may be added to a version, never changed
// or removed. docs/json.md describes it.
const SchemaVersion = "1"

type document struct {
	SchemaVersion string              `json:"schemaVersion"`
	Version       string              `json:"version"`
	Command       string              `json:"command"`
	Mode          string              `json:"mode"`
	Verdict       string              `json:"verdict"`
	WouldDeny     bool                `json:"wouldDeny"`
	Decision      *policy.Decision    `json:"decision"`
	Comparison    *documentComparison `json:"comparison"`
	Image         documentImage       `json:"image"`
	Counts        map[string]int      `json:"counts"`
	Published     []string            `json:"published"`
	Evidence      string              `json:"evidence"`
	Database      string              `json:"database"`
	Verify        string              `json:"verify"`
	Lost          []string            `json:"lost"`
	Steps         []documentStep      `json:"steps"`
	Error         string              `json:"error"`
	Hint          string              `json:"hint"`
}

type documentImage struct {
	Names     []string           `json:"names"`
	Digest    string             `json:"digest"`
	Platforms []documentPlatform `json:"platforms"`
}

type documentPlatform struct {
	Platform        string         `json:"platform"`
	Digest          string         `json:"digest"`
	Size            int64          `json:"size"`
	Distro          string         `json:"distro"`
	Packages        int            `json:"packages"`
	Vulnerabilities []documentFlaw `json:"vulnerabilities"`
}

type documentFlaw struct {
	ID        string   `json:"id"`
	Aliases   []string `json:"aliases"`
	Severity  string   `json:"severity"`
	Package   string   `json:"package"`
	Installed string   `json:"installed"`
	FixedIn   []string `json:"fixedIn"`
	FixState  string   `json:"fixState"`
	PURL      string   `json:"purl"`
	Layer     string   `json:"layer"`
	CVSS      float64  `json:"cvss"`
	EPSS      float64  `json:"epss"`
	KEV       bool     `json:"kev"`
}

type documentStep struct {
	Name    string  `json:"name"`
	Detail  string  `json:"detail"`
	Seconds float64 `json:"seconds"`
}

// JSON writes the run as one indented JSON document with a stable schema, described in docs/json.md. Every field is
// always present. Strings keep their exact value; characters that could act on a terminal or a workflow runner are
// written as JSON escapes.
func JSON(w io.Writer, r Run) error {
	r = r.redacted()
	d := document{
		SchemaVersion: SchemaVersion, Version: r.Version, Command: r.Command, Mode: mode(r), Verdict: r.Verdict(),
		WouldDeny: r.WouldDeny(), Image: newDocumentImage(r), Counts: map[string]int{}, Published: list(r.Published),
		Evidence: r.Evidence, Database: r.Database, Verify: r.VerifyHint, Lost: list(r.Lost), Steps: []documentStep{}, Error: r.Err, Hint: r.Hint,
	}
	if r.Decided {
		decision := r.Decision
		decision.Bundles, decision.Rules = list(decision.Bundles), list(decision.Rules)
		decision.Denials, decision.Warnings = list(decision.Denials), list(decision.Warnings)
		decision.Levels = list(decision.Levels)
		d.Decision, d.Comparison = &decision, r.Comparison.document()
	}
	t := count(r.flaws())
	for _, s := range severities() {
		d.Counts[s] = t.bySeverity[s]
	}
	for _, s := range r.Steps {
		d.Steps = append(d.Steps, documentStep{Name: s.Name, Detail: s.Detail, Seconds: s.Took.Seconds()})
	}
	return writeJSON(w, d)
}

func mode(r Run) string {
	if r.Mode == "" {
		return ModeEnforce
	}
	return r.Mode
}

func newDocumentImage(r Run) documentImage {
	image := documentImage{Names: list(r.Image.Names), Digest: r.Image.Digest, Platforms: []documentPlatform{}}
	for _, p := range r.Image.Platforms {
		d := documentPlatform{Platform: p.Platform, Digest: p.Digest, Size: p.Size, Distro: p.Distro, Packages: p.Packages,
			Vulnerabilities: []documentFlaw{}}
		for _, v := range p.Vulnerabilities {
			v.Aliases, v.FixedIn = list(v.Aliases), list(v.FixedIn)
			d.Vulnerabilities = append(d.Vulnerabilities, documentFlaw(v))
		}
		image.Platforms = append(image.Platforms, d)
	}
	return image
}

// list makes an empty list out of none: JSON has a word for each, and readers trip over null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// inert writes the characters of a JSON document that do something when printed as JSON escapes: invisible ones and
// those that turn the direction of text, and the bracket of "##[", which a workflow runner would take for a command.
// Outside of strings none of them can occur.
func inert(data []byte) []byte {
	data = bytes.ReplaceAll(data, []byte("##["), []byte(`##\u005b`))
	out := make([]byte, 0, len(data))
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case r < 0x7f || (unicode.IsPrint(r) && !blank(r)):
			out = append(out, data[:n]...)
		case r > 0xffff:
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		data = data[n:]
	}
	return out
}
