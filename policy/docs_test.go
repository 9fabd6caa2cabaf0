package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// R92: docs/rules.md is what the bundle itself says: every rule with its METADATA, every setting with its schema and
// default; controls are worded as what a rule is evidence for, with their version.
func TestDocs(t *testing.T) {
	golden(t, "../docs/rules.md", rulesPage(t, baseline(t, "")))
}

func rulesPage(t *testing.T, b *Bundle) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString(`# Rules of the baseline bundle

Written by ` + "`go test ./policy -run Docs -update`" + ` from the METADATA of the rules and the schema of the settings. [policy.md](policy.md)
shows how to write your own.

An image is allowed when every platform of it is described by sound evidence and none of these rules denies it. A control in the
last column is what the rule gives evidence for; passing a rule does not make anything compliant with a framework. A rule can be
[waived](exceptions.md) only if it says so below: what the evidence is, who made and signed it and how fresh it is cannot.

| rule | severity | what it asks | evidence for |
|---|---|---|---|
`)
	for _, r := range b.Rules() {
		title := r.Title
		if r.Warns {
			title += " (only warns)"
		}
		fmt.Fprintf(&out, "| [`%s`](#%s) | %s | %s | %s |\n", r.ID, r.ID, r.Severity, title, strings.Join(r.Controls, ", "))
	}
	out.WriteString("\n## Settings\n\nGiven with `--policy-data FILE`, as YAML or JSON. A key replaces the default as a whole.\n\n| setting | default | values | |\n|---|---|---|---|\n")
	data, err := baselineFS.ReadFile("baseline/data.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseSchema(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		if p.Description == "" {
			t.Errorf("setting %s has no description", name)
		}
		value, err := json.Marshal(b.settings[name])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "| `%s` | `%s` | %s | %s |\n", name, value, values(p), p.Description)
	}
	for _, r := range b.Rules() {
		if r.Description == "" || r.Solution == "" || len(r.Controls) == 0 {
			t.Errorf("rule %s lacks description, solution or controls", r.ID)
		}
		fmt.Fprintf(&out, "\n## %s\n\n%s (%s). %s\n\nWhat to do: %s\n", r.ID, r.Title, r.Severity, r.Description, r.Solution)
		if len(r.Waivable) > 0 {
			fmt.Fprintf(&out, "\nA [waiver](exceptions.md) of it needs a scope with %s.\n", strings.Join(r.Waivable, " or "))
		}
		switch {
		case r.VEX == vexAlways:
			out.WriteString("\n[VEX](exceptions.md#say-that-it-does-not-matter) has a say on it.\n")
		case r.VEX != "":
			fmt.Fprintf(&out, "\n[VEX](exceptions.md#say-that-it-does-not-matter) has a say on it when the setting %s is true.\n", r.VEX)
		}
	}
	return out.Bytes()
}

// values says in words what a setting may be.
func values(s *schema) string {
	switch {
	case len(s.Enum) > 0:
		return strings.Join(s.Enum, ", ")
	case s.Items != nil && s.Items.Properties != nil:
		return "list of objects with " + strings.Join(slices.Sorted(maps.Keys(s.Items.Properties)), ", ")
	case s.Items != nil && len(s.Items.Enum) > 0:
		return "list of " + strings.Join(s.Items.Enum, ", ")
	case s.Items != nil:
		return "list of strings"
	case s.Minimum != "":
		return fmt.Sprintf("%s, %s to %s", strings.Join(s.Type, " or "), s.Minimum, s.Maximum)
	}
	return strings.Join(s.Type, " or ")
}

// The bundle of docs/policy.md, as written there, loads and decides what the page says it decides.
func TestPolicyPage(t *testing.T) {
	page, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)`acme/([a-z.]+)`\n\n```[a-z]+\n(.*?)```").FindAllSubmatch(page, -1) {
		blocks[string(m[1])] = string(m[2])
	}
	if len(blocks) != 4 {
		t.Fatalf("the page has the files %v, want four", slices.Sorted(maps.Keys(blocks)))
	}
	first := load(t, map[string]string{"licence.rego": blocks["licence.rego"]}, LoadOptions{})
	d := decideOrFail(t, first, allowedInput())
	if d.Allowed || len(d.Denials) != 2 || d.Denials[0].Rule != "licence" {
		t.Errorf("allowed %v: %+v", d.Allowed, d.Denials)
	}
	labelled := allowedInput()
	for i := range labelled.Image.Platforms {
		labelled.Image.Platforms[i].Config.Labels["org.opencontainers.image.licenses"] = "Apache-2.0"
	}
	if d, err := DecideAll(t.Context(), []*Bundle{baseline(t, ""), first}, labelled); err != nil || !d.Allowed {
		t.Errorf("%v %+v", err, d.Denials)
	}
	blocks["licence.rego"] = strings.Replace(blocks["licence.rego"], `labels["org.opencontainers.image.licenses"]`, "labels[data.settings.label]", 1)
	set := load(t, blocks, LoadOptions{Data: []byte("label: team")})
	if d := decideOrFail(t, set, allowedInput()); !d.Allowed {
		t.Errorf("the setting is not read: %+v", d.Denials)
	}
}
