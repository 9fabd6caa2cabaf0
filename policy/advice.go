package policy

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/sealyard/sealyard/internal/hint"
)

// Format returns Rego source as opa fmt writes it. name is for messages. Source that would say something else afterwards is an error: the
// formatter takes the parentheses out of x == (y == z).
func Format(name string, src []byte) ([]byte, error) {
	if len(src) > MaxBundle {
		return nil, errTooBig
	}
	out, err := format.SourceWithOpts(name, src, format.Opts{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, hint.Wrap(tidy(err), "only Rego version 1 is formatted")
	}
	if err := sameRules(name, src, out); err != nil {
		return nil, err
	}
	return out, nil
}

// sameRules compares what two texts of a module say.
func sameRules(name string, before, after []byte) error {
	var parsed [2]*ast.Module
	for i, src := range [][]byte{before, after} {
		m, err := ast.ParseModuleWithOpts(name, string(src), ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			return tidy(err)
		}
		parsed[i] = m
	}
	for i, r := range parsed[0].Rules {
		if i >= len(parsed[1].Rules) || !r.Equal(parsed[1].Rules[i]) {
			return hint.Misuse(fmt.Errorf("%sformatted, this rule would say something else", at(r.Location)), "write its comparisons in steps: same := y == z, then x == same")
		}
	}
	return nil
}

// Advice says what whoever reads a bundle that loads, a directory or a tar.gz file, would miss in it.
func Advice(ctx context.Context, name string) ([]string, error) {
	s, err := readSource(ctx, name)
	if err != nil {
		return nil, err
	}
	modules, err := s.parse()
	if err != nil {
		return nil, err
	}
	rules, err := describe(modules, true)
	if err != nil {
		return nil, err
	}
	tests := ""
	var out []string
	for _, file := range slices.Sorted(maps.Keys(s.files)) {
		if strings.HasSuffix(file, testSuffix) {
			tests += string(s.files[file])
		}
		if !strings.HasSuffix(file, ".rego") {
			continue
		}
		if formatted, err := Format(file, s.files[file]); err == nil && !bytes.Equal(formatted, s.files[file]) {
			out = append(out, file+": sealyard policy fmt would write it in another way")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(rules)) {
		if rules[id].Solution == "" {
			out = append(out, fmt.Sprintf("rule %q: no custom.solution says what to do about it", id))
		}
		if !strings.Contains(tests, id) {
			out = append(out, fmt.Sprintf("rule %q: no test names it", id))
		}
	}
	if onlyTightens(modules) {
		out = append(out, "allow holds whenever nothing denies: alone, this bundle allows an image without any evidence; ask it beside another, such as the baseline")
	}
	return out, nil
}

// onlyTightens reports whether allow says nothing but that nothing denies.
func onlyTightens(modules map[string]*ast.Module) bool {
	for _, m := range modules {
		if p := packagePath(m); len(p) != 1 || p[0] != entryPackage {
			continue
		}
		for _, r := range m.Rules {
			if r.Head.Ref()[0].Value.String() != ruleAllow || r.Default {
				continue
			}
			if constant(r) || len(r.Body) == 1 && strings.Join(strings.Fields(string(r.Body[0].Location.Text)), "") == "count(deny)==0" {
				return true
			}
		}
	}
	return false
}
