package policy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// States of a [Control], the one that counts most first.
const (
	ControlAgainst      = "against"        // a rule found something, whether it denies or only warns
	ControlExcepted     = "excepted"       // what rules found, exceptions let pass
	ControlPartly       = "partly"         // rules judged and found nothing, but others could not judge, or settings do not ask for them
	ControlFor          = "for"            // every rule that there is something for judged, and found nothing
	ControlUndecidable  = "undecidable"    // no rule judged, and one lacks what it needs to
	ControlOff          = "not asked"      // settings ask for none of the rules
	ControlInapplicable = "not applicable" // there is nothing of what the rules judge
)

// Control says what a decision is evidence of about one control of a framework (R92). It is evidence, and never more: rules see some of
// what a control asks, and whether that is enough is for people to say.
type Control struct {
	ID        string        `json:"id"`        // as rules name it: "cis-docker-1.6.0:4.1"
	Framework string        `json:"framework"` // what people call the framework: "CIS Docker Benchmark 1.6.0"
	State     string        `json:"state"`     // one of the Control constants
	Rules     []ControlRule `json:"rules"`     // those that name the control, sorted
}

// ControlRule is a rule that names a control, and how it came out.
type ControlRule struct {
	RuleResult
	Title    string     `json:"title"`
	Findings []Finding  `json:"findings"` // why it denies or warns
	Excepted []Excepted `json:"excepted"` // what exceptions let pass
}

// Controls turns a decision around: what it says about each control that the rules of the bundles name, sorted. Rules that judge the sources
// of a build are not in a decision, and so not here. Of rules that none of the bundles has nothing is known, and nothing is said.
func Controls(d Decision, bundles []*Bundle) []Control {
	byID := map[string]*Control{}
	for _, result := range d.Rules {
		i := slices.IndexFunc(bundles, func(b *Bundle) bool { return b.name == result.Bundle })
		if i < 0 {
			continue
		}
		r := bundles[i].rules[result.Rule]
		judged := ControlRule{RuleResult: result, Title: r.Title, Findings: []Finding{}, Excepted: []Excepted{}}
		judged.collect(d)
		for _, id := range r.Controls {
			if byID[id] == nil {
				byID[id] = &Control{ID: id, Framework: framework(id)}
			}
			byID[id].Rules = append(byID[id].Rules, judged)
		}
	}
	var out []Control
	for _, c := range byID {
		c.State = c.state()
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Control) int { return compareControls(a.ID, b.ID) })
	return out
}

// collect adds what the rule found.
func (r *ControlRule) collect(d Decision) {
	for _, f := range slices.Concat(d.Denials, d.Warnings) {
		if f.Rule == r.Rule && f.Bundle == r.Bundle {
			r.Findings = append(r.Findings, f)
		}
	}
	for _, e := range d.Excepted {
		if e.Finding.Rule == r.Rule && e.Finding.Bundle == r.Bundle {
			r.Excepted = append(r.Excepted, e)
		}
	}
}

// state weighs the rules of a control: what speaks against it counts most, and a rule that did not judge never counts for it.
func (c *Control) state() string {
	has := map[string]bool{}
	for _, r := range c.Rules {
		switch {
		case r.Outcome == OutcomeDeny || r.Outcome == OutcomeWarn:
			has[ControlAgainst] = true
		case r.Outcome == OutcomeExcepted || len(r.Excepted) > 0:
			has[ControlExcepted] = true
		case r.Outcome == OutcomePass:
			has[ControlFor] = true
		case r.Kind == SkipOff:
			has[ControlOff] = true
		case r.Kind == SkipInapplicable:
			has[ControlInapplicable] = true
		default:
			has[ControlUndecidable] = true
		}
	}
	has[ControlPartly] = has[ControlFor] && (has[ControlOff] || has[ControlUndecidable])
	for _, state := range []string{ControlAgainst, ControlExcepted, ControlPartly, ControlFor, ControlUndecidable, ControlOff} {
		if has[state] {
			return state
		}
	}
	return ControlInapplicable
}

// framework is what people call the framework of a control, with its version; of one that is not known here it is the id's own word.
func framework(id string) string {
	word, _, _ := strings.Cut(id, ":")
	names := map[string]string{
		"cis-docker-1.6.0":     "CIS Docker Benchmark 1.6.0",
		"cis-kubernetes-1.8.0": "CIS Kubernetes Benchmark 1.8.0",
		"cis-ssc-1.0":          "CIS Software Supply Chain Security Guide 1.0",
		"fedramp-containers":   "FedRAMP Vulnerability Scanning Requirements for Containers",
		"nsa-kubernetes-1.2":   "NSA and CISA Kubernetes Hardening Guidance 1.2",
		"pss-1.37":             "Kubernetes Pod Security Standards 1.37",
		"s2c2f":                "OpenSSF Secure Supply Chain Consumption Framework",
		"slsa-1.2":             "SLSA 1.2",
		"sp800-190":            "NIST SP 800-190",
		"ssdf-1.1":             "NIST SP 800-218 (SSDF 1.1)",
	}
	return cmp.Or(names[word], word)
}

// compareControls orders controls as their documents do: 4.2 comes before 4.10.
func compareControls(a, b string) int {
	x, y := strings.FieldsFunc(a, separates), strings.FieldsFunc(b, separates)
	for i := range min(len(x), len(y)) {
		m, notM := strconv.Atoi(x[i])
		n, notN := strconv.Atoi(y[i])
		if notM == nil && notN == nil && m != n {
			return cmp.Compare(m, n)
		}
		if x[i] != y[i] {
			return cmp.Compare(x[i], y[i])
		}
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

func separates(r rune) bool { return r == ':' || r == '.' || r == '-' }
