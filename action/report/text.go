package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealyard/sealyard/policy"
)

// TextOptions says how Text looks. The zero value is plain and does not wrap.
type TextOptions struct {
	Color bool // use terminal colours
	Width int  // wrap at this many columns; 0 does not wrap
}

// How much of a long list Text shows; the whole of it is in the evidence.
const (
	textFindings = 10 // of one rule
	textFlaws    = 10
)

// Text writes what a person wants to know, in this order: the verdict, why, what to do about it, what is known against
// the image, what was published, and how to check it.
func Text(w io.Writer, r Run, o TextOptions) error {
	r = r.redacted()
	t := &page{TextOptions: o}
	t.verdict(r)
	if r.Err != "" {
		t.line("  ", "    ", "error: "+Clean(r.Err))
		if r.Hint != "" {
			t.line("  ", "    ", "hint: "+Clean(r.Hint))
		}
	}
	for _, l := range r.Lost {
		t.line("  ", "    ", Clean(l))
	}
	several := r.Decided && len(r.Decision.Bundles) > 1
	t.findings("Denied because", r.denials(), several)
	t.findings("Warnings", r.warnings(), several)
	t.excepted(r.excepted())
	t.comparison(r.Comparison)
	t.flaws(r)
	t.facts(r)
	_, err := io.WriteString(w, t.String())
	return err
}

// A page is text that wraps.
type page struct {
	strings.Builder
	TextOptions
}

func (t *page) paint(code, s string) string {
	if !t.Color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *page) heading(s string) { t.WriteString("\n" + t.paint("1", s) + "\n") }

// line writes s after first, wrapped at spaces; the lines that follow start with rest.
func (t *page) line(first, rest, s string) {
	used := 0
	t.WriteString(first)
	for i, word := range strings.Fields(s) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
			used = len(first)
		case t.Width > 0 && used+1+n > t.Width && used > len(rest):
			t.WriteString("\n" + rest)
			used = len(rest)
		default:
			t.WriteByte(' ')
			used++
		}
		t.WriteString(word)
		used += n
	}
	t.WriteByte('\n')
}

func (t *page) verdict(r Run) {
	word, colour := "DENIED", "1;31"
	switch {
	case r.Verdict() == VerdictUndecided:
		word = "NO DECISION"
	case r.Verdict() == VerdictAllowed:
		word, colour = "ALLOWED", "1;32"
	case r.WouldDeny():
		word, colour = "WOULD BE DENIED", "1;33"
	}
	t.WriteString(t.paint(colour, word) + "  " + brief(r.name(), 200) + ": " + outcome(r) + "\n")
}

func (t *page) findings(title string, all []policy.Finding, bundles bool) {
	if len(all) == 0 {
		return
	}
	t.heading(title)
	for _, g := range reasons(all) {
		head := brief(g.rule, 80) + " (" + brief(g.severity, 20) + ")"
		if bundles {
			head += " of " + brief(g.bundle, 80)
		}
		if g.title != "" {
			head += ": " + Clean(g.title)
		}
		t.line("  ", "    ", head)
		for i, f := range g.findings {
			if i == textFindings {
				t.line("    ", "    ", fmt.Sprintf("... and %d more", len(g.findings)-i))
				break
			}
			t.line("    - ", "      ", withPlace(Clean(f.Message), Clean(place(f))))
			if g.solution == "" && f.Solution != "" {
				t.line("      to fix: ", "        ", Clean(f.Solution))
			}
		}
		if g.solution != "" {
			t.line("    to fix: ", "      ", Clean(g.solution))
		}
	}
}

func withPlace(message, where string) string {
	if where == "" {
		return message
	}
	return message + " [" + where + "]"
}

func (t *page) flaws(r Run) {
	if len(r.Image.Platforms) == 0 {
		return
	}
	all := r.flaws()
	if len(all) == 0 {
		t.heading("Vulnerabilities: none known")
		return
	}
	t.heading("Vulnerabilities: " + count(all).String())
	for i, f := range all {
		if i == textFlaws {
			t.line("  ", "  ", fmt.Sprintf("... and %d more", len(all)-i))
			break
		}
		t.line(fmt.Sprintf("  %-10s %-20s ", f.severity(), brief(f.ID, 60)), "      ", flawLine(f))
	}
}

// String counts flaws by severity, worst first.
func (t tally) String() string {
	var parts []string
	for _, s := range severities() {
		if n := t.bySeverity[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	text := strings.Join(parts, ", ") + fmt.Sprintf("; %d with a fix", t.fixable)
	if t.known > 0 {
		text += fmt.Sprintf(", %d known to be exploited", t.known)
	}
	return text
}

func flawLine(f flaw) string {
	text := brief(f.Package, 80) + " " + brief(f.Installed, 60) + ", " + remedy(f.Vulnerability)
	if f.KEV {
		text += ", known to be exploited"
	}
	return text
}

// remedy says what can be done about a vulnerability.
func remedy(v Vulnerability) string {
	switch {
	case len(v.FixedIn) > 0:
		return "fixed in " + brief(strings.Join(v.FixedIn, ", "), 120)
	case v.FixState == "wont-fix":
		return "will not be fixed"
	case v.FixState == "not-fixed":
		return "not fixed yet"
	default:
		return "no fix known"
	}
}

func (t *page) facts(r Run) {
	type fact struct{ name, text string }
	all := []fact{{"digest", r.Image.Digest}}
	for _, p := range r.Image.Platforms {
		all = append(all, fact{"platform", platformLine(p)})
	}
	for _, ref := range r.Published {
		all = append(all, fact{"published", ref})
	}
	all = append(all, fact{"database", r.Database}, fact{"evidence", r.Evidence}, fact{"took", took(r.Steps)}, fact{"verify", r.VerifyHint})
	first := "\n"
	for _, f := range all {
		if f.text != "" {
			t.WriteString(first + fmt.Sprintf("%-10s %s\n", f.name, Clean(f.text)))
			first = ""
		}
	}
}

func platformLine(p Platform) string {
	parts := []string{size(p.Size)}
	if p.Distro != "" {
		parts = append(parts, p.Distro)
	}
	parts = append(parts, Plural(p.Packages, "package"))
	return p.Platform + " (" + strings.Join(parts, ", ") + ")"
}

func took(steps []Step) string {
	var parts []string
	for _, s := range steps {
		parts = append(parts, brief(s.Name, 40)+" "+seconds(s.Took))
	}
	return strings.Join(parts, ", ")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
