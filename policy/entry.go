package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/sealyard/sealyard/internal/hint"
)

// looksDecisive matches names of rules whose author expects them to decide something.
var looksDecisive = regexp.MustCompile(`^((deny|violation|warn)(_[a-zA-Z0-9_]+)*|allow|skip)$`)

// entryRules checks that the bundle can answer at all, and in the types the contract names (R68, R73), and
// returns the entry rules it has. A rule that looks as if it decides, but that nobody evaluates, is an error.
func (s source) entryRules(modules map[string]*ast.Module, foreign []foreignRule) ([]string, error) {
	found := map[string]bool{}
	used := sync.OnceValue(func() map[string]bool { return mentioned(modules) })
	var packages []string
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		m := modules[file]
		pkg := packagePath(m)
		packages = append(packages, strings.Join(pkg, "."))
		if !s.manifest.covers(pkg) {
			return nil, fmt.Errorf("%spackage %s lies outside the roots of the manifest", at(m.Package.Location), strings.Join(pkg, "."))
		}
		for _, r := range m.Rules {
			name := r.Head.Ref()[0].Value.String()
			switch entry := len(pkg) == 1 && pkg[0] == entryPackage; {
			case entry && slices.Contains([]string{ruleAllow, ruleDeny, ruleWarn, ruleSkip, ruleLevels}, name):
				if err := checkEntry(name, r); err != nil {
					return nil, err
				}
				found[name] = true
			case len(pkg) == 2 && isSourcePackage(pkg) && slices.Contains([]string{ruleAllow, ruleDeny, ruleWarn}, name): // see sourceRules
			case slices.ContainsFunc(foreign, func(f foreignRule) bool { return f.name == name && f.namespace == strings.Join(pkg, ".") }):
			case looksDecisive.MatchString(name) && !used()[name]:
				return nil, fmt.Errorf("%srule %s of package %s is never evaluated: only allow, deny, warn, skip and levels of package %s are, and the rules of the namespaces that the manifest lists",
					at(r.Location), name, strings.Join(pkg, "."), entryPackage)
			}
		}
	}
	if len(foreign) > 0 && len(found) == 0 {
		return nil, nil
	}
	for _, name := range []string{ruleDeny, ruleAllow} {
		if !found[name] {
			slices.Sort(packages)
			return nil, fmt.Errorf("bundle has no rule %s in package %s (its packages: %s)", name, entryPackage, strings.Join(slices.Compact(packages), ", "))
		}
	}
	if err := checkAllow(modules, []string{entryPackage}); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// checkEntry holds one entry rule to its type: allow is one boolean, the others are sets.
func checkEntry(name string, r *ast.Rule) error {
	set := r.Head.RuleKind() == ast.MultiValue && len(r.Head.Ref()) == 1 && len(r.Head.Args) == 0
	if name != ruleAllow && !set {
		return fmt.Errorf("%s%s is not a set: write `%s contains finding if { ... }`", at(r.Location), name, name)
	}
	if name == ruleAllow && (r.Head.RuleKind() != ast.SingleValue || len(r.Head.Ref()) != 1 || len(r.Head.Args) != 0) {
		return fmt.Errorf("%sallow is not one boolean: write `allow if { ... }`", at(r.Location))
	}
	return nil
}

// checkAllow holds that allow of a package is always defined, and false unless a rule says otherwise.
func checkAllow(modules map[string]*ast.Module, pkg []string) error {
	var first *ast.Rule
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		m := modules[file]
		if !slices.Equal(packagePath(m), pkg) {
			continue
		}
		for _, r := range m.Rules {
			if r.Head.Ref()[0].Value.String() != ruleAllow {
				continue
			}
			if r.Default && r.Head.Value.Equal(ast.InternedTerm(false)) || constant(r) {
				return nil
			}
			if r.Default {
				return fmt.Errorf("%sthe default of allow is %s, want false", at(r.Location), r.Head.Value)
			}
			first = r
		}
	}
	return fmt.Errorf("%sallow can be undefined: add `default allow := false`", at(first.Location))
}

// constant reports whether a rule is `allow := true`, which a bundle that only tightens may say.
func constant(r *ast.Rule) bool {
	always := len(r.Body) == 0 || len(r.Body) == 1 && r.Body[0].Equal(ast.NewExpr(ast.InternedTerm(true)))
	return !r.Default && always && r.Else == nil && r.Head.Value.Equal(ast.InternedTerm(true))
}

// packagePath returns the path of a package below data.
func packagePath(m *ast.Module) []string {
	var out []string
	for _, t := range m.Package.Path[1:] {
		s, _ := t.Value.(ast.String)
		out = append(out, string(s))
	}
	return out
}

// mentioned lists every name that rules use other than as their own: variables and constant parts of references.
func mentioned(modules map[string]*ast.Module) map[string]bool {
	names := map[string]bool{}
	note := func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Var:
			names[string(v)] = true
		case ast.Ref:
			for _, part := range constantPath(v) {
				names[part] = true
			}
		}
		return false
	}
	for _, m := range modules {
		for _, r := range m.Rules {
			for ; r != nil; r = r.Else {
				ast.WalkTerms(r.Body, note)
				for _, t := range []*ast.Term{r.Head.Key, r.Head.Value} {
					if t != nil {
						ast.WalkTerms(t, note)
					}
				}
			}
		}
	}
	return names
}

// constantPath returns the leading string elements of a ref after its head.
func constantPath(ref ast.Ref) []string {
	var out []string
	for _, t := range ref[1:] {
		s, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		out = append(out, string(s))
	}
	return out
}

// checkData refuses references to data that does not exist: a misspelt setting or rule would be undefined, and
// whatever depends on it would silently never hold.
func (s source) checkData(modules map[string]*ast.Module) error {
	for _, key := range slices.Sorted(maps.Keys(s.data)) {
		if key != settingsKey && !s.manifest.covers([]string{key}) {
			return fmt.Errorf("data %q lies outside the roots of the manifest", clip(key))
		}
	}
	tree := virtual(modules)
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		m := modules[file]
		imports := map[ast.Var]ast.Ref{}
		for _, i := range m.Imports {
			imports[i.Name()] = i.Path.Value.(ast.Ref)
		}
		var bad error
		ast.WalkRefs(m, func(ref ast.Ref) bool {
			full := ref
			if head, ok := ref[0].Value.(ast.Var); ok && imports[head] != nil {
				full = imports[head].Concat(ref[1:])
			}
			if bad == nil && full[0].Equal(ast.DefaultRootDocument) {
				bad = s.checkDataRef(full, at(ref[0].Location), tree)
			}
			return false
		})
		if bad != nil {
			return bad
		}
	}
	return nil
}

// virtual is the tree of packages as nested maps; a rule is a leaf, nil.
func virtual(modules map[string]*ast.Module) map[string]any {
	root := map[string]any{}
	for _, m := range modules {
		node := root
		for _, name := range packagePath(m) {
			next, ok := node[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				node[name] = next
			}
			node = next
		}
		for _, r := range m.Rules {
			if name := string(r.Head.Ref()[0].Value.(ast.Var)); node[name] == nil {
				node[name] = nil
			}
		}
	}
	return root
}

// checkDataRef walks one reference down the packages and the data side by side, as far as it is constant.
func (s source) checkDataRef(ref ast.Ref, where string, tree map[string]any) error {
	p := constantPath(ref)
	if len(p) == 0 {
		return fmt.Errorf("%sdata is used as a whole; name the part of it that is meant", where)
	}
	rules, base := tree, s.data
	for i, name := range p {
		rule, inRules := rules[name]
		value, inBase := base[name]
		if !inRules && !inBase {
			known := slices.Concat(slices.Collect(maps.Keys(rules)), slices.Collect(maps.Keys(base)))
			slices.Sort(known)
			near := hint.Nearest(name, known)
			if near != "" {
				near = fmt.Sprintf("; did you mean %q?", near)
			}
			return fmt.Errorf("%s%s has no %q%s", where, strings.Join(append([]string{"data"}, p[:i]...), "."), name, near)
		}
		if inRules && rule == nil || p[0] == settingsKey && i == 1 {
			return nil
		}
		rules, _ = rule.(map[string]any)
		base, _ = value.(map[string]any)
	}
	return nil
}
