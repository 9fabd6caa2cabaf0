package report

import (
	"fmt"
	"time"
)

// Comparison says how a decision differs from the one that the evidence records. The zero Comparison is none.
type Comparison struct {
	Recorded   time.Time // when the recorded decision was made; zero when nothing was compared
	Allowed    bool      // what it was
	Rescanned  bool      // the packages in the evidence were looked up in a database of today, and everything judged at today's time
	Redeployed bool      // other manifests than the recorded ones were judged
	Changes    []Change
}

// What a Change says of a finding.
const (
	ChangeDenies     = "denies"           // it denies, and did not
	ChangeDeniesNot  = "no longer denies" // it denied, and does not
	ChangeWarns      = "warns"
	ChangeWarnsNot   = "no longer warns"
	comparedFindings = 20 // how many Text shows
)

// Change is one finding that only one of the two decisions has.
type Change struct {
	Change   string `json:"change"` // one of the Change constants
	Rule     string `json:"rule"`
	Bundle   string `json:"bundle"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
	Platform string `json:"platform"`
	Subject  string `json:"subject"`
}

type documentComparison struct {
	Recorded  time.Time `json:"recordedTime"`
	Allowed   bool      `json:"recordedAllowed"`
	Rescanned bool      `json:"rescanned"`
	Changes   []Change  `json:"changes"`
}

func (c Comparison) document() *documentComparison {
	if c.Recorded.IsZero() {
		return nil
	}
	return &documentComparison{Recorded: c.Recorded, Allowed: c.Allowed, Rescanned: c.Rescanned, Changes: list(c.Changes)}
}

func (t *page) comparison(c Comparison) {
	if c.Recorded.IsZero() {
		return
	}
	was := "denied"
	if c.Allowed {
		was = "allowed"
	}
	title := "What this policy changes"
	switch {
	case c.Rescanned:
		title = "What would change today"
	case c.Redeployed:
		title = "What would change with these manifests"
	}
	t.heading(fmt.Sprintf("%s (the evidence records: %s, %s)", title, was, c.Recorded.UTC().Format(time.RFC3339)))
	if len(c.Changes) == 0 {
		t.line("  ", "    ", "nothing: every reason and every warning is the same")
	}
	for i, d := range c.Changes {
		if i == comparedFindings {
			t.line("  ", "    ", fmt.Sprintf("... and %d more", len(c.Changes)-i))
			break
		}
		where := ""
		if d.Platform != "" {
			where = Clean(d.Platform)
		}
		t.line("  - ", "    ", withPlace(brief(d.Rule, 80)+" "+d.Change+": "+Clean(d.Message), where))
	}
}
