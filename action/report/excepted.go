package report

import (
	"fmt"
	"slices"

	"github.com/sealyard/sealyard/policy"
)

// excepted is everything that one exception let pass.
type excepted struct {
	text     string // which exception, until when and why
	findings []policy.Finding
}

// excepted groups what was let pass by the exception that did; findings that say the same about several platforms are one.
func (r Run) excepted() []excepted {
	if !r.Decided {
		return nil
	}
	var all []excepted
	index := map[policy.Exception]int{}
	for _, x := range r.Decision.Excepted {
		i, seen := index[x.By]
		if !seen {
			i = len(all)
			index[x.By] = i
			all = append(all, excepted{text: exceptionText(x.By)})
		}
		all[i].findings = append(all[i].findings, x.Finding)
	}
	for i := range all {
		all[i].findings = merge(all[i].findings)
		slices.SortStableFunc(all[i].findings, bySeverity)
	}
	return all
}

// letPass is how many findings would have denied the image.
func (r Run) letPass() int {
	var all []policy.Finding
	for _, x := range r.Decision.Excepted {
		if x.Outcome == policy.OutcomeDeny {
			all = append(all, x.Finding)
		}
	}
	return len(merge(all))
}

func exceptionText(e policy.Exception) string {
	if e.Kind == policy.KindVEX {
		return fmt.Sprintf("VEX %s of %s, %s since %s: %s", e.ID, e.Owner, e.ApprovedBy, e.Since, e.Reason)
	}
	return fmt.Sprintf("%s %s until %s, approved by %s for %s: %s", e.Kind, e.ID, e.Expires, e.ApprovedBy, e.Owner, e.Reason)
}

// exceptedTitle heads the list of what would otherwise be a denial or a warning.
const exceptedTitle = "Let pass by exceptions"

func (t *page) excepted(all []excepted) {
	if len(all) == 0 {
		return
	}
	t.heading(exceptedTitle)
	for _, e := range all {
		t.line("  ", "    ", Clean(e.text))
		for i, f := range e.findings {
			if i == textFindings {
				t.line("    ", "    ", fmt.Sprintf("... and %d more", len(e.findings)-i))
				break
			}
			t.line("    - ", "      ", withPlace(brief(f.Rule, 80)+": "+Clean(f.Message), Clean(place(f))))
		}
	}
}

func (s *sheet) excepted(all []excepted) {
	if len(all) == 0 || !s.add("\n### "+exceptedTitle+"\n") {
		return
	}
	for _, e := range all {
		if !s.add("\n" + escape(e.text) + "\n\n") {
			continue
		}
		left := s.rows(len(e.findings), markdownFindings, func(i int) string {
			f := e.findings[i]
			row := "- " + code(brief(f.Rule, 80)) + " " + escape(f.Message)
			if where := place(f); where != "" {
				row += " (" + code(where) + ")"
			}
			return row + "\n"
		})
		if left > 0 {
			s.add(fmt.Sprintf("- and %d more\n", left))
		}
	}
}
