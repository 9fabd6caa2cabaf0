package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sealyard/sealyard/policy"
)

// AuditLine is what an audit found of one image: one line of JSON. docs/audit.md describes it; fields may be added, never changed
// or removed.
type AuditLine struct {
	Target  string        `json:"target"`  // the image as the audit was given it
	Digest  string        `json:"digest"`  // "sha256:<64 hex>"; "" when the image could not be read
	Verdict string        `json:"verdict"` // one of the Verdict constants
	Decided string        `json:"decided"` // the time of the decision that was replayed, RFC 3339; "" for none
	Reasons []AuditReason `json:"reasons"` // why it is denied, the worst first; at most auditReasons of them
	More    int           `json:"more"`    // how many reasons there are besides
	Ignored int           `json:"ignored"` // attached bundles that do not verify, and so prove nothing
	Error   string        `json:"error"`   // why there is no decision, or ""
	Hint    string        `json:"hint"`    // what to do about it, or ""
	Basis   string        `json:"basis"`   // digest of what the audit believed and held images to
	Time    time.Time     `json:"time"`    // when it was audited, RFC 3339
	Seconds float64       `json:"seconds"` // how long that took
}

// AuditReason is why an image is denied.
type AuditReason struct {
	Bundle   string `json:"bundle"`
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
}

// auditReasons is how many reasons one line holds: an image may have thousands of vulnerabilities, and a file thousands of images.
const auditReasons = 20

// Deny makes the line one of a denied image.
func (l *AuditLine) Deny(d policy.Decision) {
	l.Verdict = VerdictDenied
	for _, r := range reasons(merge(d.Denials)) {
		for _, f := range r.findings {
			if len(l.Reasons) == auditReasons {
				l.More++
				continue
			}
			l.Reasons = append(l.Reasons, AuditReason{Bundle: brief(f.Bundle, 80), Rule: brief(f.Rule, 80), Severity: brief(f.Severity, 20), Message: Clean(f.Message)})
		}
	}
}

// Write appends the line to w in one call, so that it is there whole or, after a crash, is the last one. Values of secrets are
// shown as ***.
func (l AuditLine) Write(w io.Writer, secrets []string) error {
	if l.Reasons == nil {
		l.Reasons = []AuditReason{}
	}
	hide := newSecrets(secrets)
	l.Error, l.Hint = Clean(hide.text(l.Error)), Clean(hide.text(l.Hint))
	raw, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = w.Write(append(raw, '\n'))
	return err
}

// Audit counts the lines of an audit.
type Audit struct {
	Allowed, Denied, Undecided int
	rules                      map[auditRule]int // rule of a bundle => images that it denies
	errors                     []AuditLine       // the first few without a decision
}

type auditRule struct{ rule, bundle string }

// How much of an audit Text shows; the whole of it is in the lines.
const (
	auditRules    = 10
	auditErrors   = 5
	auditMaxRules = 10_000 // that are counted: a policy has hundreds
)

// Add counts a line.
func (a *Audit) Add(l AuditLine) {
	switch l.Verdict {
	case VerdictAllowed:
		a.Allowed++
	case VerdictDenied:
		a.Denied++
	default:
		a.Undecided++
		if len(a.errors) < auditErrors {
			a.errors = append(a.errors, l)
		}
	}
	if a.rules == nil {
		a.rules = map[auditRule]int{}
	}
	seen := map[auditRule]bool{}
	for _, r := range l.Reasons {
		key := auditRule{r.Rule, r.Bundle}
		if !seen[key] && len(a.rules) < auditMaxRules {
			seen[key] = true
			a.rules[key]++
		}
	}
}

// Images is how many lines were counted.
func (a *Audit) Images() int { return a.Allowed + a.Denied + a.Undecided }

// Text writes the table at the end of an audit: how many images are allowed, denied and without a decision, and why. secrets are as
// for [AuditLine.Write].
func (a *Audit) Text(w io.Writer, secrets []string) error {
	t := &page{}
	hide := newSecrets(secrets)
	for _, row := range []struct {
		name string
		n    int
	}{{"images", a.Images()}, {"allowed", a.Allowed}, {"denied", a.Denied}, {"no decision", a.Undecided}} {
		t.WriteString(fmt.Sprintf("%-12s %7d\n", row.name, row.n))
	}
	rules := slices.SortedFunc(maps.Keys(a.rules), func(x, y auditRule) int {
		return cmp.Or(cmp.Compare(a.rules[y], a.rules[x]), cmp.Compare(x.bundle, y.bundle), cmp.Compare(x.rule, y.rule))
	})
	if len(rules) > 0 {
		t.heading("Denied because")
	}
	for i, r := range rules {
		if i == auditRules {
			t.WriteString(fmt.Sprintf("  ... and %s\n", Plural(len(rules)-i, "other rule")))
			break
		}
		t.WriteString(fmt.Sprintf("  %7d  %s of %s\n", a.rules[r], r.rule, r.bundle))
	}
	if len(a.errors) > 0 {
		t.heading("No decision about")
	}
	for _, l := range a.errors {
		t.line("  ", "    ", brief(l.Target, 200)+": "+Clean(hide.text(l.Error)))
	}
	if more := a.Undecided - len(a.errors); more > 0 {
		t.WriteString(fmt.Sprintf("  ... and %s\n", Plural(more, "other image")))
	}
	_, err := io.WriteString(w, t.String())
	return err
}
