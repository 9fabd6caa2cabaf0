// Package report renders one run: a short text for people, JSON for programs, Markdown for a job page, SARIF for
// code scanning, and annotations and outputs for a workflow runner.
//
// Almost every string of a run comes from outside: a Dockerfile, a package database, a registry, a build log. Each
// renderer neutralises what it prints for the place it prints it to; callers pass the strings as they found them.
package report

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sealyard/sealyard/policy"
)

// Modes of a run.
const (
	ModeEnforce = "enforce" // a denial fails the run
	ModeWarn    = "warn"    // a denial is reported and the run goes on
)

// Verdicts of a run.
const (
	VerdictAllowed   = "allowed"
	VerdictDenied    = "denied"
	VerdictUndecided = "undecided" // no decision was reached
)

// Run is everything there is to say about one run. The zero Run is one that reached no decision.
type Run struct {
	Command    string // "build", "scan", "verify" or "publish"
	Mode       string // ModeEnforce or ModeWarn; "" means ModeEnforce
	Decision   policy.Decision
	Decided    bool // false: Decision means nothing, see Err
	Comparison Comparison
	Image      Image
	Steps      []Step
	Published  []string // references whose tag now points at the digest
	Evidence   string   // directory the evidence was written to
	Dockerfile string   // path relative to the repository, for findings that have no place of their own
	Database   string   // the vulnerability database, in one line
	Version    string   // of sealyard
	VerifyHint string   // the command line that checks the result
	Lost       []string // what the run did without, and why: no signature, no log entry
	Err        string   // why no decision was reached, or what went wrong after it
	Hint       string   // what to do about Err
	Secrets    []string // values that no renderer may print (T38); they are shown as ***
}

// Image says what the run is about.
type Image struct {
	Names     []string // references, without digest
	Digest    string   // of the image index, "sha256:<64 hex>"
	Platforms []Platform
}

// Platform is one runnable manifest of the image.
type Platform struct {
	Platform        string // "linux/amd64"
	Digest          string // of the manifest
	Size            int64  // compressed bytes of all layers
	Distro          string // "debian 12", or "" when there is none
	Packages        int    // how many were found
	Vulnerabilities []Vulnerability
}

// Vulnerability is one known flaw of one package.
type Vulnerability struct {
	ID        string
	Aliases   []string
	Severity  string // critical, high, medium, low, negligible or unknown
	Package   string
	Installed string   // version
	FixedIn   []string // versions
	FixState  string   // fixed, not-fixed, wont-fix or unknown
	PURL      string
	Layer     string  // diff id of the layer that brought the package, "sha256:<64 hex>"
	CVSS      float64 // base score 0..10; 0 is unknown
	EPSS      float64 // probability 0..1 of exploitation within 30 days; 0 is unknown
	KEV       bool    // listed as known to be exploited
}

// Step is one stage of the run.
type Step struct {
	Name   string
	Detail string
	Took   time.Duration
}

// Verdict returns one of the Verdict constants. The mode does not change it. An image that the rules allow is not
// allowed by a run that failed afterwards: nobody sealed or published it, or what was published is not what it should be.
func (r Run) Verdict() string {
	switch {
	case !r.Decided, r.Decision.Allowed && r.Err != "":
		return VerdictUndecided
	case r.Decision.Allowed:
		return VerdictAllowed
	default:
		return VerdictDenied
	}
}

// WouldDeny reports whether the image was denied in a run that only warns.
func (r Run) WouldDeny() bool { return r.Verdict() == VerdictDenied && r.Mode == ModeWarn }

// name is what the image is called in a sentence: its first name, else its digest, else "the image".
func (r Run) name() string {
	if len(r.Image.Names) > 0 {
		return r.Image.Names[0]
	}
	return cmp.Or(r.Image.Digest, "the image")
}

// denials and warnings are empty without a decision: a Decision that was never made says nothing.
func (r Run) denials() []policy.Finding {
	if !r.Decided {
		return nil
	}
	return merge(r.Decision.Denials)
}

func (r Run) warnings() []policy.Finding {
	if !r.Decided {
		return nil
	}
	return merge(r.Decision.Warnings)
}

// merge makes one finding of those that say the same about several platforms.
func merge(findings []policy.Finding) []policy.Finding {
	type same struct {
		bundle, rule, message, solution string
		at                              policy.Location
	}
	var all []policy.Finding
	index := map[same]int{}
	for _, f := range findings {
		key := same{f.Bundle, f.Rule, f.Message, f.Solution, f.Location}
		i, seen := index[key]
		if !seen {
			index[key] = len(all)
			all = append(all, f)
			continue
		}
		if f.Platform != "" && !slices.Contains(strings.Split(all[i].Platform, ", "), f.Platform) {
			all[i].Platform = strings.TrimPrefix(all[i].Platform+", "+f.Platform, ", ")
		}
	}
	return all
}

// outcome says in a sentence what the verdict rests on and what came of it.
func outcome(r Run) string {
	why := ""
	switch n := len(reasons(r.denials())); {
	case r.Decided && r.Decision.Allowed && r.Err != "":
		why = "no rule denies it, but the run failed"
	case r.Verdict() == VerdictUndecided:
		why = "the run failed before it could decide"
	case r.Verdict() == VerdictAllowed && r.letPass() > 0:
		why = "no rule denies it but for " + Plural(r.letPass(), "finding") + " that exceptions let pass"
	case r.Verdict() == VerdictAllowed:
		why = "no rule denies it"
	case n == 1:
		why = "1 rule denies it"
	default:
		why = fmt.Sprintf("%d rules deny it", n)
	}
	switch {
	case r.WouldDeny() && r.Command == "build":
		return why + "; mode warn lets the run pass, nothing was published"
	case r.WouldDeny():
		return why + "; mode warn lets the run pass"
	case len(r.Published) > 0 && r.Verdict() == VerdictAllowed:
		return why + "; it is signed and published"
	case len(r.Published) > 0:
		return why + "; published before: " + Plural(len(r.Published), "reference")
	case r.Command == "build":
		return why + "; nothing was published"
	default:
		return why
	}
}

// severities lists every severity of a vulnerability, worst first.
func severities() []string {
	return []string{"critical", "high", "medium", "low", "negligible", "unknown"}
}

// rank orders severities of vulnerabilities and findings, worst first; a severity nobody knows comes last.
func rank(severity string) int {
	if severity == policy.SeverityInfo {
		severity = "negligible"
	}
	if i := slices.Index(severities(), severity); i >= 0 {
		return i
	}
	return len(severities()) - 1
}

// severity returns the name a vulnerability of this severity is counted under.
func (v Vulnerability) severity() string { return severities()[rank(v.Severity)] }

// A flaw is a vulnerability of one package version, with every platform that has it.
type flaw struct {
	Vulnerability
	platforms []string
}

// flaws merges the vulnerabilities of all platforms, the ones to look at first on top.
func (r Run) flaws() []flaw {
	var all []flaw
	index := map[[3]string]int{}
	for _, p := range r.Image.Platforms {
		for _, v := range p.Vulnerabilities {
			key := [3]string{v.ID, v.Package, v.Installed}
			i, seen := index[key]
			if !seen {
				i = len(all)
				index[key] = i
				all = append(all, flaw{Vulnerability: v})
			}
			if !slices.Contains(all[i].platforms, p.Platform) {
				all[i].platforms = append(all[i].platforms, p.Platform)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b flaw) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), compareBool(b.KEV, a.KEV),
			cmp.Compare(b.CVSS, a.CVSS), cmp.Compare(b.EPSS, a.EPSS),
			cmp.Compare(a.Package, b.Package), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Installed, b.Installed))
	})
	return all
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// A tally counts flaws.
type tally struct {
	bySeverity     map[string]int
	fixable, known int
}

func count(flaws []flaw) tally {
	t := tally{bySeverity: map[string]int{}}
	for _, f := range flaws {
		t.bySeverity[f.severity()]++
		if len(f.FixedIn) > 0 {
			t.fixable++
		}
		if f.KEV {
			t.known++
		}
	}
	return t
}

// A reason is all findings of one rule.
type reason struct {
	rule, bundle, title, severity string
	solution                      string // when it is the same for all findings
	findings                      []policy.Finding
}

// reasons groups findings by rule, the worst rule first.
func reasons(findings []policy.Finding) []reason {
	var all []reason
	index := map[[2]string]int{}
	for _, f := range findings {
		key := [2]string{f.Bundle, f.Rule}
		i, seen := index[key]
		if !seen {
			i = len(all)
			index[key] = i
			all = append(all, reason{rule: f.Rule, bundle: f.Bundle, title: f.Title, severity: f.Severity, solution: f.Solution})
		}
		g := &all[i]
		if rank(f.Severity) < rank(g.severity) {
			g.severity = f.Severity
		}
		if f.Solution != g.solution {
			g.solution = ""
		}
		g.findings = append(g.findings, f)
	}
	for _, g := range all {
		slices.SortStableFunc(g.findings, bySeverity)
	}
	slices.SortStableFunc(all, func(a, b reason) int { return cmp.Compare(rank(a.severity), rank(b.severity)) })
	return all
}

func bySeverity(a, b policy.Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) }

// place says where a finding is: file and line, subject unless the message names it, platform; "" when it is about the
// image as a whole.
func place(f policy.Finding) string {
	var parts []string
	if at := position(f.Location); at != "" {
		parts = append(parts, at)
	}
	if name := path.Base(lasting(f.Subject)); f.Subject != "" && !strings.Contains(f.Message, name) {
		parts = append(parts, f.Subject)
	}
	if f.Platform != "" {
		parts = append(parts, f.Platform)
	}
	return strings.Join(parts, ", ")
}
