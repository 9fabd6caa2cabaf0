package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
)

// beside asks a bundle together with the baseline about an allowed input.
func beside(t testing.TB, f map[string]string) (Decision, error) {
	t.Helper()
	return DecideAll(t.Context(), []*Bundle{baseline(t, ""), load(t, f, LoadOptions{})}, allowedInput())
}

// R72: rules of conftest's names and shapes deny and warn as they do there: a text, or an object with msg.
func TestConftestRules(t *testing.T) {
	d, err := beside(t, map[string]string{"policy/a.rego": `package main

deny contains "a text" if input.image.digest

deny_Second_1 contains {"msg": sprintf("of %s", [p.platform]), "_loc": {"file": "Dockerfile", "line": 3}, "owner": "ada"} if some p in input.image.platforms

violation_x contains {"msg": "an object", "details": {"any": 1}} if input.image.digest

warn contains "careful" if input.image.digest

warn_later contains {"msg": "later"} if input.image.digest

helper := 1

denying contains "is no rule that decides" if helper == 1
`})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, f := range append(d.Denials, d.Warnings...) {
		got = append(got, f.Rule+": "+f.Message)
	}
	want := "main.deny: a text|main.deny_second_1: of linux/amd64|main.deny_second_1: of linux/arm64|main.violation_x: an object|main.warn: careful|main.warn_later: later"
	if strings.Join(got, "|") != want || d.Allowed {
		t.Errorf("%q\nwant\n%q", strings.Join(got, "|"), want)
	}
	if d.Denials[1].Location != (Location{"Dockerfile", 3}) {
		t.Errorf("%+v", d.Denials[1])
	}
	outcomes := map[string]string{}
	for _, r := range d.Rules {
		outcomes[r.Rule] = r.Outcome
	}
	if outcomes["main.deny"] != OutcomeDeny || outcomes["main.warn"] != OutcomeWarn {
		t.Errorf("%v", outcomes)
	}
}

const conforma = `package policy.release.tests

# METADATA
# title: The base is pinned
# custom:
#   short_name: pinned
#   solution: Pin it.
#   collections: [minimal, slsa3]
#   effective_on: 2026-11-01T00:00:00Z
deny contains {"code": "tests.pinned", "msg": "not pinned", "term": "debian"} if input.image.digest

# METADATA
# title: The image is signed twice
# custom:
#   short_name: twice
#   effective_on: 2026-12-01T00:00:00Z
deny contains {"code": "tests.twice", "msg": "signed once"} if input.image.digest

# METADATA
# custom:
#   short_name: late
deny contains {"code": "tests.late", "msg": "late", "effective_on": "2027-01-01T00:00:00Z"} if input.image.digest
`

// R72 R76: rules described as Conforma's are known by PACKAGE.SHORT_NAME; what takes effect in the future warns until then.
func TestConformaRules(t *testing.T) {
	f := map[string]string{"a.rego": conforma, ".manifest": `{"metadata": {"namespaces": ["policy.release.tests"]}}`}
	d, err := beside(t, f)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Denials) != 1 || len(d.Warnings) != 2 || d.Allowed {
		t.Fatalf("%+v\n%+v", d.Denials, d.Warnings)
	}
	if got := d.Denials[0]; got.Rule != "tests.pinned" || got.Title != "The base is pinned" || got.Solution != "Pin it." || got.Subject != "debian" {
		t.Errorf("%+v", got)
	}
	if got := d.Warnings[1].Message; got != "signed once (denies from 2026-12-01T00:00:00Z)" {
		t.Errorf("%q", got)
	}
	in := allowedInput()
	in.Time = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	b := load(t, f, LoadOptions{})
	if d, err := DecideAll(t.Context(), []*Bundle{baseline(t, "dbMaxAgeDays: 300"), b}, in); err != nil || len(d.Warnings) != 1 {
		t.Errorf("%+v, %v", d.Warnings, err)
	}
	for _, r := range b.Rules() {
		if r.ID == "tests.pinned" && strings.Join(r.Collections, " ") != "minimal slsa3" {
			t.Errorf("%+v", r)
		}
	}
}

// R68 R72 R73 R74 T17: rules of others are never ignored, and what they give is read or is an error.
func TestForeignRefuses(t *testing.T) {
	rule := `deny contains "x" if input.image.digest == ""`
	listed := `{"metadata": {"namespaces": ["main", "tests"]}}`
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"not listed":         {map[string]string{"a.rego": "package tests\n" + rule}, "rule deny of package tests is never evaluated"},
		"not listed, beside": {map[string]string{"a.rego": "package main\n" + rule, "b.rego": "package tests\n" + rule}, "rule deny of package tests is never evaluated"},
		"main beside ours":   {map[string]string{"a.rego": "package main\n" + rule, "b.rego": tightens}, "rule deny of package main is never evaluated"},
		"misspelt":           {map[string]string{"a.rego": "package main\n" + rule, "b.rego": "package test\n" + rule, ".manifest": listed}, "bundle has no rule deny or violation in package tests"},
		"only warns":         {map[string]string{"a.rego": "package main\n" + rule, "b.rego": "package tests\nwarn contains 1", ".manifest": listed}, "bundle has no rule deny or violation in package tests"},
		"no list":            {map[string]string{"a.rego": "package main\n" + rule, ".manifest": `{"metadata": {"namespaces": "main"}}`}, "namespaces is not a list"},
		"ours listed":        {map[string]string{"a.rego": tightens, ".manifest": `{"metadata": {"namespaces": ["sealyard"]}}`}, `"sealyard" is not a package besides sealyard`},
		"a value":            {map[string]string{"a.rego": "package main\ndeny := [\"x\"]"}, "deny is not a set"},
		"a boolean":          {map[string]string{"a.rego": "package main\ndeny if input.image.digest"}, "deny is not a set"},
		"exceptions":         {map[string]string{"a.rego": "package main\n" + rule + "\nexception contains [\"\"]"}, "a.rego:3: exceptions have neither a reason nor an end"},
		"misspelt field":     {map[string]string{"a.rego": "package main\ndeny contains \"x\" if input.imag"}, `input has no field "imag"`},
		"effective on":       {map[string]string{"a.rego": "package main\n# METADATA\n# custom: {short_name: x, effective_on: soon}\n" + rule}, `effective_on is "soon", want a time`},
		"collections":        {map[string]string{"a.rego": "package main\n# METADATA\n# custom: {short_name: x, collections: y}\n" + rule}, "collections is not a list"},
		"id of ours":         {map[string]string{"a.rego": "package main\n# METADATA\n# title: T\n# custom: {id: x}\n" + rule}, "custom.id is for rules of package sealyard"},
		"short names":        {map[string]string{"a.rego": "package main\n# METADATA\n# custom: {short_name: x}\n" + rule + "\n# METADATA\n# custom: {short_name: x}\n" + rule}, `a second rule has the id "main.x"`},
		"effective on, ours": {map[string]string{"a.rego": strings.Replace(tightens, "#   id: licence", "#   id: licence\n#   effective_on: 2027-01-01T00:00:00Z", 1)}, "custom.effective_on is not read in package sealyard"},
	} {
		_, err := Load(t.Context(), writeBundle(t, c.files), LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	for gives, want := range map[string]string{
		`1`: "it is number, want a text or an object with msg", `["x"]`: "it is array", `{"message": "x"}`: "it has no msg", `""`: "it has no msg", `{"msg": 1}`: "msg is number",
		`{"msg": "x", "code": "main.y"}`: `its code "main.y" is not PACKAGE.SHORT_NAME`, `{"msg": "x", "effective_on": 1}`: "effective_on is", `{"msg": "x", "_loc": {"file": "a"}}`: "_loc: location",
		`{"msg": "x", "solution": 1}`: "solution is number",
	} {
		_, err := beside(t, map[string]string{"a.rego": "package main\ndeny contains x if { x := " + gives + "; input.image.digest }"})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", gives, err, want)
		}
	}
	// A finding that could be of two rules is none: the other would seem to have passed.
	two := "package main\n# METADATA\n# custom: {short_name: one}\ndeny contains \"x\" if input.image.digest\n# METADATA\n# custom: {short_name: two}\ndeny contains \"y\" if input.image.digest == \"\""
	if _, err := beside(t, map[string]string{"a.rego": two}); err == nil || !strings.Contains(err.Error(), "could be of any of main.one, main.two") {
		t.Errorf("two short names: %v", err)
	}
	// R79: rules that only deny say nothing about an image without evidence, so alone they decide nothing.
	b := load(t, map[string]string{"a.rego": "package main\n" + rule}, LoadOptions{})
	if d, err := b.Decide(t.Context(), allowedInput()); err == nil || d.Allowed || !hint.IsMisuse(err) || !strings.Contains(err.Error(), "only denies") {
		t.Errorf("%v, %v", d.Allowed, err)
	}
	if d, err := beside(t, map[string]string{"a.rego": "package main\n" + rule}); err != nil || !d.Allowed {
		t.Errorf("%v, %v", d.Denials, err)
	}
}
