package policy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// Limits on what a bundle answers. An image of a thousand packages has a few hundred findings.
const (
	maxFindings = 50_000
	maxText     = 4 << 10 // bytes of one text of a finding
	maxAliases  = 1000
)

// boundedJSON turns the engine's result into Go values, unless a set is too large to be an answer.
func boundedJSON(t *ast.Term, _ *rego.EvalContext) (any, error) {
	if object, ok := t.Value.(ast.Object); ok {
		for _, key := range object.Keys() {
			if s, ok := object.Get(key).Value.(ast.Set); ok && s.Len() > maxFindings {
				return nil, fmt.Errorf("%s has %d findings, at most %d are an answer", key.Value, s.Len(), maxFindings)
			}
		}
	}
	return ast.JSON(t.Value)
}

// findings reads what deny or warn gave. Anything that is not a well-formed finding of a described rule is an
// error: it would otherwise be a reason that nobody reads (R73).
func (b *Bundle) findings(set string, v any) ([]Finding, error) {
	list, err := listOf(set, v)
	if err != nil {
		return nil, err
	}
	out := make([]Finding, 0, len(list))
	for _, item := range list {
		f, err := b.finding(item)
		if err != nil {
			return nil, fmt.Errorf("%s gave a malformed finding: %w", set, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// listOf takes the JSON form of a set; nil when the bundle has no such rule.
func listOf(name string, v any) ([]any, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%s is %s, want a set", name, kindOf(v))
	}
	return list, nil
}

func (b *Bundle) finding(v any) (Finding, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return Finding{}, fmt.Errorf("it is %s, want an object with rule and message", kindOf(v))
	}
	for key := range m {
		if !slices.Contains([]string{"rule", "message", "severity", "solution", "platform", "subject", "location", "vulnerability", "aliases"}, key) {
			return Finding{}, fmt.Errorf("unknown key %q", clip(key))
		}
	}
	r, err := b.ruleIn(m)
	if err != nil {
		return Finding{}, err
	}
	f := Finding{Rule: r.ID, Bundle: b.name, Title: r.Title, Severity: r.Severity, Solution: r.Solution, Controls: slices.Clone(r.Controls)}
	for key, to := range map[string]*string{"message": &f.Message, "severity": &f.Severity, "solution": &f.Solution, "platform": &f.Platform, "subject": &f.Subject, "vulnerability": &f.Vulnerability} {
		if err := text(m, key, to); err != nil {
			return Finding{}, fmt.Errorf("%w (rule %q)", err, r.ID)
		}
	}
	if f.Message == "" {
		return Finding{}, fmt.Errorf("it has no message (rule %q)", r.ID)
	}
	if !slices.Contains(severities(), f.Severity) {
		return Finding{}, fmt.Errorf("severity %q is not one of %v (rule %q)", clip(f.Severity), severities(), r.ID)
	}
	if f.Location, err = location(m["location"]); err != nil {
		return Finding{}, fmt.Errorf("%w (rule %q)", err, r.ID)
	}
	if f.Aliases, err = aliases(m["aliases"]); err != nil {
		return Finding{}, fmt.Errorf("%w (rule %q)", err, r.ID)
	}
	return f, nil
}

// aliases reads the other names of a vulnerability.
func aliases(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok && v != nil || len(list) > maxAliases {
		return nil, fmt.Errorf("aliases is not a list of at most %d strings", maxAliases)
	}
	var out []string
	for _, item := range list {
		s, ok := item.(string)
		if !ok || len(s) > maxText {
			return nil, errors.New("aliases has a member that is not a short string")
		}
		out = append(out, oneLine(s))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// ruleIn returns the rule a finding or a skip names.
func (b *Bundle) ruleIn(m map[string]any) (Rule, error) {
	id, _ := m["rule"].(string)
	r, ok := b.rules[id]
	if !ok {
		return Rule{}, fmt.Errorf("its rule %q is not the custom.id of any METADATA", clip(id))
	}
	return r, nil
}

func text(m map[string]any, key string, to *string) error {
	v, given := m[key]
	if !given {
		return nil
	}
	s, ok := v.(string)
	switch {
	case !ok:
		return fmt.Errorf("%s is %s, want a string", key, kindOf(v))
	case len(s) > maxText:
		return fmt.Errorf("%s has %d bytes, at most %d are shown", key, len(s), maxText)
	}
	*to = oneLine(s)
	return nil
}

func location(v any) (Location, error) {
	if v == nil {
		return Location{}, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return Location{}, errors.New("location is not an object with file and line")
	}
	file, ok := m["file"].(string)
	line, isNumber := m["line"].(json.Number)
	n, err := line.Int64()
	if !ok || !isNumber || err != nil || n < 0 || n > 1<<30 || len(m) != 2 || len(file) > maxText || strings.ContainsAny(file, "\x00\n\r") {
		return Location{}, errors.New("location is not an object with file and line")
	}
	return Location{File: file, Line: int(n)}, nil
}

// skips are the kinds of a skip, the one that tells most first.
func skips() []string { return []string{SkipUndecidable, SkipOff, SkipInapplicable} }

// skipped reads the set skip: rules that did not judge, with the reason. Of several reasons the first by kind and text is told.
func (b *Bundle) skipped(v any) (map[string]RuleResult, error) {
	list, err := listOf(ruleSkip, v)
	if err != nil {
		return nil, err
	}
	out := map[string]RuleResult{}
	for _, item := range list {
		m, ok := item.(map[string]any)
		_, kinded := m["kind"]
		if want := map[bool]int{true: 3, false: 2}[kinded]; !ok || len(m) != want {
			return nil, errors.New("skip gave something else than an object with rule, reason and perhaps kind")
		}
		r, err := b.ruleIn(m)
		if err != nil {
			return nil, fmt.Errorf("skip: %w", err)
		}
		found := RuleResult{Rule: r.ID, Bundle: b.name, Outcome: OutcomeSkip}
		if err := text(m, "reason", &found.Reason); err != nil || found.Reason == "" {
			return nil, fmt.Errorf("skip of rule %q has no reason", r.ID)
		}
		if err := text(m, "kind", &found.Kind); err != nil || kinded && !slices.Contains(skips(), found.Kind) {
			return nil, fmt.Errorf("skip of rule %q has a kind that is none of %v", r.ID, skips())
		}
		if old, dup := out[r.ID]; !dup || compareSkips(found, old) < 0 {
			out[r.ID] = found
		}
	}
	return out, nil
}

func compareSkips(a, b RuleResult) int {
	place := func(r RuleResult) int { return slices.Index(skips(), cmp.Or(r.Kind, SkipUndecidable)) }
	return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Reason, b.Reason))
}

func compareFindings(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(a.Bundle, b.Bundle),
		cmp.Compare(a.Rule, b.Rule),
		cmp.Compare(a.Platform, b.Platform),
		cmp.Compare(a.Subject, b.Subject),
		cmp.Compare(a.Message, b.Message),
		cmp.Compare(a.Severity, b.Severity),
		cmp.Compare(a.Solution, b.Solution),
		cmp.Compare(a.Location.File, b.Location.File),
		cmp.Compare(a.Location.Line, b.Location.Line),
	)
}

// JSON returns the bytes of the decision, the same for the same bundles and input on every machine: fields in
// the order of the type, empty lists as [].
func (d Decision) JSON() ([]byte, error) {
	d.Time = d.Time.UTC().Truncate(time.Second)
	data, err := jsonv2.Marshal(d, jsontext.Multiline(false))
	if err != nil {
		return nil, fmt.Errorf("write decision: %s", oneLine(err.Error()))
	}
	return data, nil
}
