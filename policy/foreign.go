package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/sealyard/sealyard/internal/hint"
)

// namespacesKey is the member of a manifest's metadata that lists packages whose rules are shaped as conftest's and Conforma's are.
// Without it, and without a package sealyard, it is conftest's own default.
const (
	namespacesKey    = "namespaces"
	defaultNamespace = "main"
)

// Names of rules that deny and that warn, as conftest has them (R72).
var (
	foreignDenies = regexp.MustCompile(`^(deny|violation)(_[a-zA-Z0-9]+)*$`)
	foreignWarns  = regexp.MustCompile(`^warn(_[a-zA-Z0-9]+)*$`)
)

// foreignRule is a rule of another package than ours that decides.
type foreignRule struct {
	id        string // of its findings that name no other: "main.deny_root"
	namespace string // the package below data
	name      string
	ref       string // in a query
	described []string
}

func (f foreignRule) warns() bool { return foreignWarns.MatchString(f.name) }

// namespaces lists the packages whose rules are shaped as others shape theirs.
func (s source) namespaces(modules map[string]*ast.Module) ([]string, error) {
	v, given := s.manifest.Metadata[namespacesKey]
	if given {
		list, _ := v.([]any)
		var out []string
		for _, item := range list {
			name, ok := item.(string)
			if !ok || name == "" || name == entryPackage {
				return nil, fmt.Errorf("%s: metadata %s: %q is not a package besides %s", manifestFile, namespacesKey, clip(fmt.Sprint(item)), entryPackage)
			}
			out = append(out, name)
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("%s: metadata %s is not a list of packages", manifestFile, namespacesKey)
		}
		return out, nil
	}
	mine := false
	for _, m := range modules {
		switch p := packagePath(m); {
		case p[0] == entryPackage:
			return nil, nil
		case len(p) == 1 && p[0] == defaultNamespace:
			mine = mine || slices.ContainsFunc(m.Rules, func(r *ast.Rule) bool { return foreignDenies.MatchString(nameOf(r)) })
		}
	}
	if mine {
		return []string{defaultNamespace}, nil
	}
	return nil, nil
}

func nameOf(r *ast.Rule) string { return r.Head.Ref()[0].Value.String() }

// foreignRules finds the rules of the namespaces that decide. A namespace without any that denies was misspelt (R68), one of
// another type than a set would be ignored (R73), and conftest's exceptions, which have neither reason nor end, are refused.
func (s source) foreignRules(modules map[string]*ast.Module) ([]foreignRule, error) {
	spaces, err := s.namespaces(modules)
	if err != nil {
		return nil, err
	}
	found, denies := map[string]foreignRule{}, map[string]bool{}
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		m := modules[file]
		space := strings.Join(packagePath(m), ".")
		if !slices.Contains(spaces, space) {
			continue
		}
		for _, r := range m.Rules {
			name := nameOf(r)
			switch {
			case name == "exception":
				return nil, fmt.Errorf("%sexceptions have neither a reason nor an end and are not read", at(r.Location))
			case !foreignDenies.MatchString(name) && !foreignWarns.MatchString(name):
				continue
			}
			if err := checkEntry(name, r); err != nil {
				return nil, err
			}
			f := foreignRule{id: strings.ToLower(space + "." + name), namespace: space, name: name, ref: m.Package.Path.Append(ast.StringTerm(name)).String()}
			if !validRule.MatchString(f.id) {
				return nil, fmt.Errorf("%srule %q is not of the form %s", at(r.Location), clip(f.id), validRule)
			}
			found[f.ref] = f
			denies[space] = denies[space] || !f.warns()
		}
	}
	for _, space := range spaces {
		if !denies[space] {
			return nil, fmt.Errorf("bundle has no rule deny or violation in package %s", space)
		}
	}
	var out []foreignRule
	for _, ref := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[ref])
	}
	return out, nil
}

// describeForeign adds what is known about the rules of others: what METADATA says under custom.short_name, and each rule by its
// own name.
func (b *Bundle) describeForeign(modules map[string]*ast.Module) error {
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		for _, a := range modules[file].Annotations {
			if err := b.annotated(strings.Join(packagePath(modules[file]), "."), a); err != nil {
				return fmt.Errorf("%s%w", at(a.Location), err)
			}
		}
	}
	for i, f := range b.foreign {
		if _, known := b.rules[f.id]; !known && len(f.described) == 0 {
			b.rules[f.id] = Rule{ID: f.id, Title: f.name + " of package " + f.namespace, Severity: SeverityMedium, Controls: []string{}, Waivable: []string{}, Warns: f.warns()}
		}
		b.foreign[i] = f
	}
	return nil
}

// annotated reads one METADATA block of a namespace.
func (b *Bundle) annotated(space string, a *ast.Annotations) error {
	short, given := a.Custom["short_name"]
	if !slices.ContainsFunc(b.foreign, func(f foreignRule) bool { return f.namespace == space }) {
		if _, later := a.Custom["effective_on"]; later {
			return fmt.Errorf("METADATA custom.effective_on is not read in package %s: compare input.time in the rule", space)
		}
		return nil
	}
	if _, ours := a.Custom["id"]; ours { // findings of these rules do not name it, so it would always seem to pass
		return errors.New("METADATA custom.id is for rules of package sealyard: give custom.short_name")
	}
	if !given {
		return nil
	}
	name, _ := short.(string)
	as := *a
	as.Custom, as.Title = maps.Clone(a.Custom), cmp.Or(a.Title, name)
	as.Custom["id"] = space[strings.LastIndex(space, ".")+1:] + "." + name
	r, err := ruleOf(&as)
	if err != nil {
		return err
	}
	if _, dup := b.rules[r.ID]; dup {
		return fmt.Errorf("a second rule has the id %q", r.ID)
	}
	if v, given := a.Custom["collections"]; given {
		list, ok := v.([]any)
		if !ok {
			return errors.New("METADATA custom.collections is not a list")
		}
		for _, item := range list {
			r.Collections = append(r.Collections, fmt.Sprint(item))
		}
	}
	if v, given := a.Custom["effective_on"]; given {
		when, err := instant(v)
		if err != nil {
			return fmt.Errorf("METADATA custom.effective_on %w", err)
		}
		b.effective[r.ID] = when
	}
	b.rules[r.ID] = r
	target := a.GetTargetPath()
	for i, f := range b.foreign {
		if target.String() == f.ref {
			b.foreign[i].described = append(f.described, r.ID)
		}
	}
	return nil
}

// instant reads a time: text, or what YAML makes of it when it has no quotes.
func instant(v any) (time.Time, error) {
	if t, ok := v.(time.Time); ok {
		return t, nil
	}
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("is %q, want a time such as 2027-01-31T00:00:00Z", clip(fmt.Sprint(v)))
	}
	return t, nil
}

// addForeign reads what the rules of the namespaces gave. What takes effect only later warns until then (R76).
func (b *Bundle) addForeign(v *verdict, result map[string]any, now time.Time) error {
	for _, f := range b.foreign {
		list, err := listOf(f.id, result[f.ref])
		if err != nil {
			return err
		}
		for _, item := range list {
			finding, from, err := b.foreignFinding(f, item)
			if err != nil {
				return fmt.Errorf("%s gave a malformed finding: %w", f.id, err)
			}
			switch {
			case f.warns():
				v.warnings = append(v.warnings, finding)
			case from.After(now):
				finding.Message += " (denies from " + from.UTC().Format(time.RFC3339) + ")"
				v.warnings = append(v.warnings, finding)
			default:
				v.denials = append(v.denials, finding)
			}
		}
	}
	return nil
}

// foreignFinding reads a text, or an object with msg and perhaps code, term, solution, effective_on and _loc; its other members are
// the author's own. from is when it takes effect.
func (b *Bundle) foreignFinding(e foreignRule, v any) (f Finding, from time.Time, err error) {
	m, ok := v.(map[string]any)
	if s, isText := v.(string); isText {
		m, ok = map[string]any{"msg": s}, true
	}
	if !ok {
		return f, from, fmt.Errorf("it is %s, want a text or an object with msg", kindOf(v))
	}
	r, err := b.foreignRuleOf(e, m)
	if err != nil {
		return f, from, err
	}
	f = Finding{Rule: r.ID, Bundle: b.name, Title: r.Title, Severity: r.Severity, Solution: r.Solution, Controls: slices.Clone(r.Controls)}
	if err := errors.Join(text(m, "msg", &f.Message), text(m, "solution", &f.Solution)); err != nil {
		return f, from, errors.New(oneLine(err.Error()))
	}
	if f.Message == "" {
		return f, from, errors.New("it has no msg")
	}
	if term, ok := m["term"].(string); ok && len(term) <= maxText {
		f.Subject = oneLine(term)
	}
	if f.Location, err = location(m["_loc"]); err != nil {
		return f, from, fmt.Errorf("_loc: %w", err)
	}
	from = b.effective[r.ID]
	if when, given := m["effective_on"]; given {
		if from, err = instant(when); err != nil {
			return f, from, fmt.Errorf("effective_on %w", err)
		}
	}
	return f, from, nil
}

// foreignRuleOf finds the rule that a finding is of: the one that its code names, else the one described at the rule that gave it.
func (b *Bundle) foreignRuleOf(e foreignRule, m map[string]any) (Rule, error) {
	code, given := m["code"].(string)
	switch {
	case given:
		if r, ok := b.rules[code]; ok {
			return r, nil
		}
		return Rule{}, fmt.Errorf("its code %q is not PACKAGE.SHORT_NAME of any METADATA", clip(code))
	case len(e.described) == 1:
		return b.rules[e.described[0]], nil
	case len(e.described) > 1:
		return Rule{}, fmt.Errorf("it has no code, and it could be of any of %s", strings.Join(e.described, ", "))
	}
	return b.rules[e.id], nil
}

// CanDecide refuses bundles of which none says what must be there, as DecideAll does. Rules that only deny, of conftest's shape, say
// nothing about an image without evidence, so alone they would allow it.
func CanDecide(bundles []*Bundle) error {
	if len(bundles) == 0 {
		return hint.Misuse(errors.New("no policy bundle was given, so nothing could decide"), "the embedded bundle %q is used when no other is named", baselineName)
	}
	if slices.ContainsFunc(bundles, func(b *Bundle) bool { return !b.partial }) {
		return nil
	}
	return hint.Misuse(fmt.Errorf("policy bundle %q only denies, and no other says what evidence must be there", bundles[0].name), "ask it beside another: name %s in --policy as well", baselineName)
}
