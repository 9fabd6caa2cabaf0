package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sealyard/sealyard/policy"
)

// Controls is a decision by controls instead of by rules: what it is evidence of about each (R92).
type Controls struct {
	Digest   string // of the image index
	Basis    string // what was looked at, and whether it was verified, in one line
	Decision policy.Decision
	Controls []policy.Control
}

// caveat is what every report of controls begins with.
const caveat = "This is what rules found in evidence about one image. It is evidence for people to weigh: rules see some of what a control asks, and nothing is compliant because of it."

// How much of a long list a report of controls shows.
const (
	controlFindings = 10 // of one rule in text
)

// stateWords are the states of controls in the order in which they are counted, and how they are called.
func stateWords() [][2]string {
	return [][2]string{
		{policy.ControlAgainst, "evidence against"}, {policy.ControlExcepted, "excepted by waiver"},
		{policy.ControlPartly, "evidence for a part"}, {policy.ControlFor, "evidence for"},
		{policy.ControlUndecidable, "undecidable"}, {policy.ControlOff, "not asked"}, {policy.ControlInapplicable, "not applicable"},
	}
}

func stateWord(state string) string {
	for _, w := range stateWords() {
		if w[0] == state {
			return w[1]
		}
	}
	return state
}

// judged reports whether rules said something about a control; the others are listed by why not.
func judged(c policy.Control) bool {
	return slices.Contains([]string{policy.ControlAgainst, policy.ControlExcepted, policy.ControlPartly, policy.ControlFor}, c.State)
}

// frameworks are the controls by framework, in order.
func (c Controls) frameworks() (out [][]policy.Control) {
	for _, control := range c.Controls {
		last := len(out) - 1
		if last < 0 || out[last][0].Framework != control.Framework {
			out = append(out, nil)
			last++
		}
		out[last] = append(out[last], control)
	}
	return out
}

// counted says how many controls of a framework are in which state: "evidence for 3, undecidable 20".
func counted(all []policy.Control) string {
	var parts []string
	for _, w := range stateWords() {
		n := 0
		for _, c := range all {
			if c.State == w[0] {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", w[1], n))
		}
	}
	return strings.Join(parts, ", ")
}

// unjudged are the controls of which rules said nothing, by why not: "undecidable: 5.1, 5.2 (no manifests were given)".
func unjudged(all []policy.Control) (out []string) {
	var whys []string
	ids := map[string][]string{}
	for _, c := range all {
		if judged(c) {
			continue
		}
		var reasons []string
		for _, r := range c.Rules {
			if r.Reason != "" && !slices.Contains(reasons, r.Reason) {
				reasons = append(reasons, r.Reason)
			}
		}
		why := stateWord(c.State) + ", for " + strings.Join(reasons, "; ")
		if ids[why] == nil {
			whys = append(whys, why)
		}
		ids[why] = append(ids[why], number(c))
	}
	for _, why := range whys {
		out = append(out, strings.Join(ids[why], ", ")+": "+why)
	}
	return out
}

// number is the control's own name in its framework.
func number(c policy.Control) string {
	_, n, _ := strings.Cut(c.ID, ":")
	return n
}

// outcomeOf says how a rule came out, and why it did not judge.
func outcomeOf(r policy.ControlRule) string {
	switch r.Outcome {
	case policy.OutcomePass:
		return "found nothing"
	case policy.OutcomeWarn:
		return "warns"
	case policy.OutcomeDeny:
		return "denies"
	case policy.OutcomeExcepted:
		return "found what is let pass"
	}
	return "did not judge: " + r.Reason
}

func (c Controls) verdict() string {
	if c.Decision.Allowed {
		return "allowed"
	}
	return "denied"
}

func (c Controls) asOf() string { return c.Decision.Time.UTC().Format(time.RFC3339) }

// asked names the policies.
func (c Controls) asked() string {
	var names []string
	for _, b := range c.Decision.Bundles {
		names = append(names, strings.TrimSpace(b.Name+" "+b.Revision)+" ("+b.Digest+")")
	}
	return strings.Join(names, ", ")
}

// Text writes the controls for people: by framework, those that rules judged with what they found, then the others with why not.
func (c Controls) Text(w io.Writer, o TextOptions) error {
	t := &page{TextOptions: o}
	t.line("", "  ", "Evidence about "+brief(c.Digest, 80)+", "+c.verdict()+" as of "+c.asOf())
	t.line("", "  ", Clean(c.Basis))
	t.line("", "  ", "asked: "+Clean(c.asked()))
	t.WriteByte('\n')
	t.line("", "", caveat)
	for _, all := range c.frameworks() {
		t.heading(Clean(all[0].Framework))
		t.line("  ", "    ", counted(all))
		for _, control := range all {
			if judged(control) {
				t.control(control)
			}
		}
		for _, line := range unjudged(all) {
			t.line("  ", "    ", Clean(line))
		}
	}
	_, err := io.WriteString(w, t.String())
	return err
}

func (t *page) control(c policy.Control) {
	t.line("  ", "    ", brief(number(c), 80)+": "+stateWord(c.State))
	for _, r := range c.Rules {
		t.line("      ", "        ", brief(r.Rule, 80)+" of "+brief(r.Bundle, 80)+" ("+Clean(r.Title)+") "+Clean(outcomeOf(r)))
		found := merge(r.Findings)
		for i, f := range found {
			if i == controlFindings {
				t.line("        ", "          ", fmt.Sprintf("... and %d more", len(found)-i))
				break
			}
			t.line("        - ", "          ", withPlace(Clean(f.Message), Clean(place(f))))
		}
		for _, x := range r.Excepted[:min(len(r.Excepted), controlFindings)] {
			t.line("        - ", "          ", Clean(x.Finding.Message)+"; let pass by "+Clean(exceptionText(x.By)))
		}
	}
}

// Markdown writes the controls as tables, one for each framework, within SummaryLimit bytes.
func (c Controls) Markdown(w io.Writer) error {
	s := &sheet{limit: SummaryLimit}
	s.add("## Evidence by control\n\n" + caveat + "\n\n| | |\n|:--|:--|\n")
	s.row("image", c.Digest)
	s.row("decision", c.verdict()+" as of "+c.asOf())
	s.row("basis", c.Basis)
	s.row("asked", c.asked())
	for _, all := range c.frameworks() {
		if !s.add("\n### " + escape(all[0].Framework) + "\n\n" + escape(counted(all)) + "\n\n") {
			continue
		}
		head := "| control | | rules |\n|:--|:--|:--|\n"
		for _, control := range all {
			if judged(control) && s.add(head+"| "+code(brief(number(control), 80))+" | "+stateWord(control.State)+" | "+ruleCells(control)+" |\n") {
				head = ""
			}
		}
		s.add("\n")
		for _, line := range unjudged(all) {
			s.add("- " + escape(line) + "\n")
		}
	}
	if s.cut > 0 {
		s.WriteString(fmt.Sprintf("\n%d parts did not fit and were left out.\n", s.cut))
	}
	_, err := io.WriteString(w, s.String())
	return err
}

// ruleCells are the rules of a control with what they found, in one cell.
func ruleCells(c policy.Control) string {
	var lines []string
	for _, r := range c.Rules {
		lines = append(lines, code(brief(r.Rule, 80))+" "+escape(outcomeOf(r)))
		found := merge(r.Findings)
		for i, f := range found {
			if i == controlFindings {
				lines = append(lines, fmt.Sprintf("and %d more", len(found)-i))
				break
			}
			lines = append(lines, "– "+escape(withPlace(f.Message, place(f))))
		}
		for _, x := range r.Excepted[:min(len(r.Excepted), controlFindings)] {
			lines = append(lines, "– "+escape(x.Finding.Message)+"; let pass by "+escape(exceptionText(x.By)))
		}
	}
	return strings.Join(lines, "<br>")
}

type documentControls struct {
	SchemaVersion string              `json:"schemaVersion"`
	Image         string              `json:"image"`
	Basis         string              `json:"basis"`
	Caveat        string              `json:"caveat"`
	Passed        bool                `json:"allowed"`
	Time          string              `json:"time"`
	Bundles       []policy.BundleInfo `json:"bundles"`
	Controls      []policy.Control    `json:"controls"`
}

// JSON writes the whole of it for programs; docs/controls.md describes it.
func (c Controls) JSON(w io.Writer) error {
	return writeJSON(w, documentControls{
		SchemaVersion: SchemaVersion, Image: c.Digest, Basis: c.Basis, Caveat: caveat, Passed: c.Decision.Allowed, Time: c.asOf(),
		Bundles: list(c.Decision.Bundles), Controls: list(c.Controls),
	})
}
