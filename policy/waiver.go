package policy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of waivers. A yard that needs more of them needs other rules.
const (
	maxWaivers     = 1000
	maxWaiverText  = 1 << 10 // bytes of a reason or a name
	waiverDays     = 90      // how far off a waiver may end when no bundle's settings say
	soonDays       = 30      // a waiver that ends within as many days is warned about (R74)
	waiverDaysName = "waiverMaxDays"
)

// Scopes that a waiver can have: the words of METADATA custom.waivable.
const (
	scopeVulnerability = "vulnerability"
	scopePURL          = "purl"
	scopeImage         = "image"
	scopePlatform      = "platform"
	scopeDigest        = "digest"
)

func scopes() []string {
	return []string{scopeVulnerability, scopePURL, scopeImage, scopePlatform, scopeDigest}
}

// Waiver is a decision of people to let findings of one rule pass for a time.
type Waiver struct {
	ID         string `json:"id" yaml:"id"`                 // unique among the waivers of a run
	Rule       string `json:"rule" yaml:"rule"`             // id of the rule whose findings it lets pass
	Scope      Scope  `json:"scope" yaml:"scope"`           // which of them
	Reason     string `json:"reason" yaml:"reason"`         // why, one line
	Owner      string `json:"owner" yaml:"owner"`           // who is to end the need for it
	ApprovedBy string `json:"approvedBy" yaml:"approvedBy"` // who accepts the risk
	Expires    string `json:"expires" yaml:"expires"`       // the last day on which it applies, in UTC: 2026-12-31
}

// Scope says which findings a waiver lets pass: those that meet every field that is not "".
type Scope struct {
	Vulnerability string `json:"vulnerability" yaml:"vulnerability,omitempty"` // a name of the vulnerability, its own or an alias
	PURL          string `json:"purl" yaml:"purl,omitempty"`                   // package URL; without a version every version of it
	Image         string `json:"image" yaml:"image,omitempty"`                 // repository that provenance says the image was built as
	Platform      string `json:"platform" yaml:"platform,omitempty"`           // linux/amd64
	Digest        string `json:"digest" yaml:"digest,omitempty"`               // of the image index or of a platform's manifest
}

// has reports whether a scope says something of the kind that a word of METADATA custom.waivable names.
func (s Scope) has(word string) bool {
	return map[string]string{
		scopeVulnerability: s.Vulnerability, scopePURL: s.PURL, scopeImage: s.Image, scopePlatform: s.Platform, scopeDigest: s.Digest,
	}[word] != ""
}

// String lists what a scope says, for people.
func (s Scope) String() string {
	var parts []string
	for _, v := range []string{s.Vulnerability, s.PURL, s.Image, s.Platform, s.Digest} {
		if v != "" {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, " ")
}

const dateForm = "2006-01-02"

var (
	validWaiver   = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z`)
	validVuln     = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._:-]{2,99}\z`)
	validImage    = regexp.MustCompile(`\A[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9._-]+)+\z`)
	validPlatform = regexp.MustCompile(`\A[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?\z`)
	validDigest   = regexp.MustCompile(`\Asha256:[0-9a-f]{64}\z`)
)

// Problem says what is wrong with a waiver by itself: nil when nothing is. A waiver of every rule, or of all that a rule finds,
// is refused (R74).
func (w Waiver) Problem() error {
	switch {
	case !validWaiver.MatchString(w.ID):
		return fmt.Errorf("id %q is not of the form %s", clip(w.ID), validWaiver)
	case !validRule.MatchString(w.Rule):
		return fmt.Errorf("rule %q is not the id of one rule", clip(w.Rule))
	case w.Scope == Scope{}:
		return errors.New("it has no scope, so it would let pass whatever the rule finds anywhere")
	}
	for _, f := range []struct{ name, value string }{{"reason", w.Reason}, {"owner", w.Owner}, {"approvedBy", w.ApprovedBy}} {
		if strings.TrimSpace(f.value) == "" || len(f.value) > maxWaiverText || oneLine(f.value) != f.value {
			return fmt.Errorf("%s %q is not one line of 1 to %d bytes", f.name, clip(f.value), maxWaiverText)
		}
	}
	if _, err := time.Parse(dateForm, w.Expires); err != nil {
		return fmt.Errorf("expires %q is not a date such as 2026-12-31", clip(w.Expires))
	}
	return w.Scope.problem()
}

func (s Scope) problem() error {
	for _, f := range []struct {
		name, value string
		form        *regexp.Regexp
	}{
		{scopeVulnerability, s.Vulnerability, validVuln}, {scopeImage, s.Image, validImage},
		{scopePlatform, s.Platform, validPlatform}, {scopeDigest, s.Digest, validDigest},
	} {
		if f.value != "" && !f.form.MatchString(f.value) {
			return fmt.Errorf("scope.%s %q is not of the form %s", f.name, clip(f.value), f.form)
		}
	}
	if s.PURL == "" {
		return nil
	}
	if _, err := parsePURL(s.PURL); err != nil {
		return fmt.Errorf("scope.purl %q: %w", clip(s.PURL), err)
	}
	return nil
}

// States of a waiver at a time.
const (
	WaiverActive  = "active"
	WaiverEnding  = "ending"   // it applies, and ends within 30 days
	WaiverExpired = "expired"  // it does not apply any more
	WaiverTooLong = "too-long" // it ends further off than waivers may, and does not apply
)

// State says whether a waiver applies at a time, when waivers may end at most so many days off.
func (w Waiver) State(at time.Time, days int) string {
	last, err := time.Parse(dateForm, w.Expires)
	end := last.AddDate(0, 0, 1) // it applies on its last day
	switch {
	case err != nil || !at.Before(end):
		return WaiverExpired
	case last.After(at.AddDate(0, 0, days)):
		return WaiverTooLong
	case end.Before(at.AddDate(0, 0, soonDays)):
		return WaiverEnding
	}
	return WaiverActive
}

// MaxWaiverDays is how many days off a waiver may end: the least that the setting waiverMaxDays of any bundle says.
func MaxWaiverDays(bundles []*Bundle) int {
	days := 0
	for _, b := range bundles {
		n, _ := b.settings[waiverDaysName].(json.Number)
		if d, err := strconv.Atoi(string(n)); err == nil && d > 0 && (days == 0 || d < days) {
			days = d
		}
	}
	return cmp.Or(days, waiverDays)
}

// warning is what a decision says of a waiver that does not apply, or soon will not; nil when there is nothing to say.
func (w Waiver) warning(state string, days int) *Finding {
	f := Finding{
		Rule: "waiver", Bundle: ownBundle, Severity: SeverityMedium, Controls: []string{}, Subject: w.Scope.String(),
		Solution: "mend what it is about, or have it approved again with a new date",
	}
	switch state {
	case WaiverExpired:
		f.Title, f.Message = "A waiver has ended", fmt.Sprintf("waiver %q of rule %q ended on %s and does not apply", w.ID, w.Rule, w.Expires)
	case WaiverTooLong:
		f.Title, f.Message = "A waiver is too long", fmt.Sprintf("waiver %q of rule %q ends on %s, more than %d days off, and does not apply", w.ID, w.Rule, w.Expires, days)
	case WaiverEnding:
		f.Title, f.Message, f.Severity = "A waiver ends soon", fmt.Sprintf("waiver %q of rule %q ends on %s", w.ID, w.Rule, w.Expires), SeverityLow
	default:
		return nil
	}
	return &f
}

// waives reports whether a waiver is about a finding of a rule. The rule says which scopes narrow it enough.
func (w Waiver) waives(r Rule, f Finding, of *facts) bool {
	s := w.Scope
	return w.Rule == f.Rule && slices.ContainsFunc(r.Waivable, s.has) &&
		(s.Vulnerability == "" || f.called(s.Vulnerability)) &&
		(s.PURL == "" || matchesPURL(s.PURL, f.Subject)) &&
		(s.Image == "" || slices.Contains(of.names, s.Image)) &&
		(s.Platform == "" || s.Platform == f.Platform) &&
		(s.Digest == "" || s.Digest == of.image || s.Digest == of.digests[f.Platform])
}

// called reports whether the vulnerability that a finding is about goes by a name.
func (f Finding) called(name string) bool {
	return name != "" && (f.Vulnerability == name || slices.Contains(f.Aliases, name))
}

func compareWaivers(a, b Waiver) int { return cmp.Compare(a.ID, b.ID) }
