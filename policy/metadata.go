package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

var (
	validRule    = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)
	validControl = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*:\S{1,64}$`)
)

func severities() []string {
	return []string{SeverityCritical, SeverityHigh, SeverityMedium, SeverityLow, SeverityInfo}
}

// describe collects what METADATA blocks say about rules, by id. A block without custom.id documents a helper. There must be one,
// unless rules of another shape do without.
func describe(modules map[string]*ast.Module, none bool) (map[string]Rule, error) {
	rules := map[string]Rule{}
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		for _, a := range modules[file].Annotations {
			r, err := ruleOf(a)
			if err != nil {
				return nil, fmt.Errorf("%s%w", at(a.Location), err)
			}
			if r.ID == "" {
				continue
			}
			r.Source = isSourcePackage(packagePath(modules[file]))
			if _, dup := rules[r.ID]; dup {
				return nil, fmt.Errorf("%sa second rule has the id %q", at(a.Location), r.ID)
			}
			rules[r.ID] = r
		}
	}
	if len(rules) == 0 && !none {
		return nil, fmt.Errorf("no rule has METADATA with custom.id, so no finding could name its rule")
	}
	return rules, nil
}

func ruleOf(a *ast.Annotations) (Rule, error) {
	r := Rule{Title: oneLine(a.Title), Description: oneLine(a.Description), Severity: SeverityMedium, Controls: []string{}}
	for key, to := range map[string]*string{"id": &r.ID, "severity": &r.Severity, "solution": &r.Solution, "vex": &r.VEX} {
		v, given := a.Custom[key]
		if !given {
			continue
		}
		s, ok := v.(string)
		if !ok {
			return r, fmt.Errorf("METADATA custom.%s is not a string", key)
		}
		*to = oneLine(s)
	}
	if r.ID == "" {
		return r, nil
	}
	controls, ok := a.Custom["controls"].([]any)
	if !ok && a.Custom["controls"] != nil {
		return r, fmt.Errorf("METADATA custom.controls is not a list")
	}
	for _, v := range controls {
		c, _ := v.(string)
		if !validControl.MatchString(c) {
			return r, fmt.Errorf("METADATA custom.controls: %q is not of the form framework-version:control", c)
		}
		r.Controls = append(r.Controls, c)
	}
	if err := r.readWaivable(a.Custom["waivable"]); err != nil {
		return r, err
	}
	target, _ := a.GetTargetPath(), 0
	r.Warns = len(target) > 0 && target[len(target)-1].Equal(ast.StringTerm(ruleWarn))
	switch {
	case !validRule.MatchString(r.ID):
		return r, fmt.Errorf("rule id %q is not of the form %s", clip(r.ID), validRule)
	case r.Title == "":
		return r, fmt.Errorf("rule %q has no title in its METADATA", r.ID)
	case !slices.Contains(severities(), r.Severity):
		return r, fmt.Errorf("rule %q: severity %q is not one of %v", r.ID, clip(r.Severity), severities())
	}
	return r, nil
}

// readWaivable reads custom.waivable: how narrow a waiver of the rule must be at least.
func (r *Rule) readWaivable(v any) error {
	list, ok := v.([]any)
	if !ok && v != nil {
		return fmt.Errorf("METADATA custom.waivable of rule %q is not a list", clip(r.ID))
	}
	r.Waivable = []string{}
	for _, item := range list {
		word, _ := item.(string)
		if !slices.Contains(scopes(), word) {
			return fmt.Errorf("METADATA custom.waivable of rule %q: %q is not one of %v", clip(r.ID), clip(word), scopes())
		}
		r.Waivable = append(r.Waivable, word)
	}
	return nil
}
