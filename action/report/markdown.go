package report

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/sealyard/sealyard/policy"
)

// SummaryLimit is the size in bytes above which a GitHub runner throws a job summary away.
const SummaryLimit = 1 << 20

// How much of a long list Markdown shows: a browser has to lay it out.
const (
	markdownFindings = 100 // of one rule
	markdownFlaws    = 1000
)

// Markdown writes the run as a job summary: the verdict first, then why and what to do, then the image and how to check
// it, then what is known against it. It never writes more than SummaryLimit bytes; what does not fit is left out from
// the end, and the last line says how much.
func Markdown(w io.Writer, r Run) error {
	r = r.redacted()
	s := &sheet{limit: SummaryLimit}
	s.verdict(r)
	if r.Err != "" {
		s.add("\n**Error:** " + escape(r.Err) + "\n")
		if r.Hint != "" {
			s.add("\n**Hint:** " + escape(r.Hint) + "\n")
		}
	}
	for _, l := range r.Lost {
		s.add("\n**Without:** " + escape(l) + "\n")
	}
	s.findings("### Why", r.denials())
	s.findings("### Warnings", r.warnings())
	s.excepted(r.excepted())
	s.image(r)
	s.flaws(r.flaws(), len(r.Image.Platforms) > 0)
	s.footer(r)
	_, err := io.WriteString(w, s.String())
	return err
}

// A sheet is Markdown with an end. It keeps a reserve so that what was opened can always be closed.
type sheet struct {
	strings.Builder
	limit int
	cut   int // pieces left out
}

const sheetReserve = 4 << 10

// add writes a piece when there is room for it.
func (s *sheet) add(piece string) bool {
	if s.Len()+len(piece) > s.limit-sheetReserve {
		s.cut++
		return false
	}
	s.WriteString(piece)
	return true
}

// rows adds up to most of n rows and returns how many it left out.
func (s *sheet) rows(n, most int, row func(int) string) (left int) {
	for i := range min(n, most) {
		if !s.add(row(i)) {
			return n - i
		}
	}
	return max(0, n-most)
}

func (s *sheet) verdict(r Run) {
	word := "❌ Denied"
	switch {
	case r.Verdict() == VerdictUndecided:
		word = "⛔ No decision"
	case r.Verdict() == VerdictAllowed:
		word = "✅ Allowed"
	case r.WouldDeny():
		word = "⚠️ Would be denied"
	}
	sentence := outcome(r)
	s.add("## " + word + ": " + code(brief(r.name(), 200)) + "\n\n" + strings.ToUpper(sentence[:1]) + sentence[1:] + ".\n")
}

func (s *sheet) findings(title string, all []policy.Finding) {
	if len(all) == 0 || !s.add("\n"+title+"\n") {
		return
	}
	for _, g := range reasons(all) {
		head := "\n**" + code(brief(g.rule, 80)) + "** (" + escape(brief(g.severity, 20)) + ")"
		if g.title != "" {
			head += " " + escape(g.title)
		}
		if !s.add(head + "\n\n") {
			continue
		}
		left := s.rows(len(g.findings), markdownFindings, func(i int) string {
			f := g.findings[i]
			row := "- " + escape(f.Message)
			if where := place(f); where != "" {
				row += " (" + code(where) + ")"
			}
			if g.solution == "" && f.Solution != "" {
				row += "<br>**To fix:** " + escape(f.Solution)
			}
			return row + "\n"
		})
		if left > 0 {
			s.add(fmt.Sprintf("- and %d more\n", left))
		}
		if g.solution != "" {
			s.add("\n**To fix:** " + escape(g.solution) + "\n")
		}
	}
}

func (s *sheet) image(r Run) {
	if r.Image.Digest != "" || len(r.Image.Platforms) > 0 {
		s.add("\n### Image\n\n| | |\n|:--|:--|\n")
		s.row("digest", r.Image.Digest)
		for _, ref := range r.Published {
			s.row("published", ref)
		}
		for _, p := range r.Image.Platforms {
			s.row("platform", platformLine(p))
		}
		s.row("database", r.Database)
		s.row("evidence", r.Evidence)
		s.row("took", took(r.Steps))
	}
	if r.VerifyHint != "" {
		s.add("\n### Check it yourself\n\n" + block(r.VerifyHint))
	}
}

func (s *sheet) row(name, value string) {
	if value != "" {
		s.add("| " + name + " | " + code(brief(value, 400)) + " |\n")
	}
}

func (s *sheet) flaws(all []flaw, scanned bool) {
	if !scanned || !s.add("\n### Vulnerabilities\n\n") {
		return
	}
	if len(all) == 0 {
		s.add("None known.\n")
		return
	}
	t := count(all)
	s.add("| " + strings.Join(severities(), " | ") + " |\n" + strings.Repeat("|--:", len(severities())) + "|\n|")
	for _, name := range severities() {
		s.add(fmt.Sprintf(" %d |", t.bySeverity[name]))
	}
	s.add(fmt.Sprintf("\n\n%d of %d have a fix; %d known to be exploited.\n", t.fixable, len(all), t.known))
	if !s.add("\n<details><summary>The vulnerabilities, worst first</summary>\n\n" +
		"| severity | id | package | installed | fix | platforms |\n|:--|:--|:--|:--|:--|:--|\n") {
		return
	}
	left := s.rows(len(all), markdownFlaws, func(i int) string {
		f := all[i]
		severity := f.severity()
		if f.KEV {
			severity += ", **exploited**"
		}
		return "| " + strings.Join([]string{severity, code(brief(f.ID, 60)), code(brief(f.Package, 80)), code(brief(f.Installed, 60)),
			escape(remedy(f.Vulnerability)), code(brief(strings.Join(f.platforms, " "), 200))}, " | ") + " |\n"
	})
	s.WriteString("\n")
	if left > 0 {
		s.WriteString(fmt.Sprintf("and %d more\n", left))
	}
	s.WriteString("\n</details>\n")
}

func (s *sheet) footer(r Run) {
	if s.cut > 0 {
		s.WriteString("\n> **Cut:** a job summary holds 1 MiB; the rest is in the evidence directory.\n")
	}
	if r.Version != "" {
		s.WriteString("\n<sub>sealyard " + escape(brief(r.Version, 60)) + "</sub>\n")
	}
}

// active matches the ASCII characters that mean something to Markdown, HTML or GitHub's extensions of them, and the
// starts of the words GitHub would turn into links.
var active = regexp.MustCompile("[]&<>`*_\\[!|~\\\\#@$^{}]|://|(?i:www\\.)")

// escape neutralises foreign text for Markdown, also inside a table: one line, no markup, no link, no mention. A
// character reference never acts as markup (CommonMark 6.2).
func escape(s string) string {
	return active.ReplaceAllStringFunc(Clean(s), func(m string) string {
		return fmt.Sprintf("&#%d;%s", m[0], m[1:])
	})
}

// simple matches text that cannot end a code span or a table cell.
var simple = regexp.MustCompile("^[^`|\\\\&<>]+$")

// code is escape for names: a code span.
func code(s string) string {
	s = Clean(s)
	if simple.MatchString(s) {
		return "`" + s + "`"
	}
	return "<code>" + escape(s) + "</code>"
}

// block shows one foreign line as a code block.
func block(s string) string {
	s = Clean(s)
	fence := "```"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	return fence + "sh\n" + s + "\n" + fence + "\n"
}
