package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// base is the question about an ordinary base image.
func base() SourceInput {
	return SourceInput{SchemaVersion: SchemaVersion, Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Source: Source{
		Kind: "image", URI: "docker-image://docker.io/library/debian:12", Host: "docker.io", Name: "docker.io/library/debian", Tag: "12",
		Platform: "linux/amd64", Location: Location{File: "Dockerfile", Line: 3},
	}, Signatures: []Signature{}}
}

// sourceRule is a bundle that only tightens, with package sealyard.source.
func sourceRule(body string) map[string]string {
	return map[string]string{"a.rego": tightens, "s.rego": "package sealyard.source\n\n# METADATA\n# title: T\n# custom: {id: acme-source}\n" + body}
}

const allowsSources = "deny contains finding if {\n\tinput.source.name == \"evil\"\n\tfinding := {\"rule\": \"acme-source\", \"message\": \"m\"}\n}\nallow := true\n"

// R79: leave any one thing out of the question about a source: it is not allowed any more.
func TestSourceRemoveOne(t *testing.T) {
	b := baseline(t, "")
	data, err := base().JSON()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := decodeAny(data)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (verdict, error) {
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		v, err := ast.ValueFromReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := b.askSource(t.Context(), question{input: v, now: base().Time})
		return out, err
	}
	if v, err := ask(); err != nil || !v.allowed {
		t.Fatalf("the whole question is not allowed: %v %+v", err, v)
	}
	tried := 0
	for remove := range everyField(doc, "", "") {
		path, restore := remove()
		v, err := ask()
		restore()
		if tried++; err == nil && v.allowed && path != "schemaVersion" && path != "time" {
			t.Errorf("still allowed without %s", path)
		}
	}
	if tried < 17 {
		t.Errorf("only %d removals were tried", tried)
	}
}

// R68 R73 T16: a package about sources that could not answer, or answers in another shape, is an error and never a pass.
func TestSourceBundlesRefused(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"no allow":        {"deny contains 1", "has no rule allow"},
		"no deny":         {"warn contains 1\nallow := true", "has no rule deny"},
		"allow undefined": {"deny contains 1\nallow if input.source.name", "allow can be undefined"},
		"allow a set":     {"deny contains 1\nallow contains 1", "allow is not one boolean"},
		"deny a value":    {"deny := 1\nallow := true", "deny is not a set"},
		"convert a value": {"deny contains 1\nallow := true\nconvert := 1", "convert is not a set"},
		"misspelt":        {"deny contains 1 if input.source.nam\nallow := true", `input.source has no field "nam"; did you mean "name"?`},
		"other input":     {"deny contains 1 if input.image.digest\nallow := true", `input has no field "image"`},
		"own schema":      {"# schemas: [{input: {type: object, additionalProperties: true}}]\ndeny contains 1 if input.image.digest\nallow := true", `input has no field "image"`},
		"network":         {"deny contains 1 if http.send({}).status\nallow := true", "a policy has no network"},
		"unevaluated":     {"deny contains 1\nallow := true\nviolation contains 1", "rule violation of package sealyard.source is never evaluated"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(t.Context(), writeBundle(t, sourceRule(c.body)), LoadOptions{})

			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	for name, c := range map[string]struct{ body, want string }{
		"no finding":       {"deny contains 1\nallow := true", "malformed finding"},
		"another rule":     {"deny contains {\"rule\": \"licence\", \"message\": \"m\"}\nallow := true", "which is not described in that package"},
		"conflict":         {allowsSources + "allow := false if input.source.name", "conflict"},
		"convert to tag":   {allowsSources + "convert contains {\"digest\": \"latest\"}", "convert is not a set of at most one"},
		"convert to two":   {allowsSources + fmt.Sprintf("convert contains {\"digest\": %q}\nconvert contains {\"digest\": %q}", digestN(1), digestN(2)), "convert is not a set of at most one"},
		"convert to image": {allowsSources + fmt.Sprintf("convert contains {\"digest\": %q, \"name\": \"x\"}", digestN(1)), "convert is not a set of at most one"},
		"for ever":         {allowsSources + "warn contains 1 if count([x | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); x := i * j]) < 0", "no answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			b := load(t, sourceRule(c.body), LoadOptions{Timeout: time.Second})
			d, err := DecideSource(t.Context(), []*Bundle{b}, base())
			if err == nil || !strings.Contains(err.Error(), c.want) || d.Passed {
				t.Errorf("error %v, want %q; allowed %v", err, c.want, d.Passed)
			}
		})
	}
}

// All bundles that judge sources must allow, and those without the package have no say; asked twice, the answer is the same.
func TestDecideSource(t *testing.T) {
	silent := load(t, map[string]string{"a.rego": tightens}, LoadOptions{})
	strict := load(t, sourceRule("deny contains finding if {\n\tinput.source.digest == \"\"\n\tfinding := {\"rule\": \"acme-source\", \"message\": \"tags move\"}\n}\ndefault allow := false\nallow if count(deny) == 0"), LoadOptions{})
	unexplained := load(t, sourceRule("deny contains finding if {\n\tinput.source.name == \"evil\"\n\tfinding := {\"rule\": \"acme-source\", \"message\": \"m\"}\n}\ndefault allow := false"), LoadOptions{})
	pins := func(n int) *Bundle {
		return load(t, sourceRule(allowsSources+fmt.Sprintf("convert contains {\"digest\": %q}", digestN(n))), LoadOptions{})
	}
	if silent.JudgesSources() || !strict.JudgesSources() {
		t.Error("which bundles judge sources is not known")
	}
	for name, c := range map[string]struct {
		bundles []*Bundle
		allowed bool
		asked   int
		pin     string
	}{
		"nobody":      {[]*Bundle{silent}, true, 0, ""},
		"baseline":    {[]*Bundle{silent, baseline(t, "")}, true, 1, ""},
		"both":        {[]*Bundle{baseline(t, ""), strict}, false, 2, ""},
		"unexplained": {[]*Bundle{unexplained}, false, 1, ""},
		"pinned":      {[]*Bundle{pins(1), baseline(t, ""), pins(1)}, true, 3, digestN(1)},
		"denied, pin": {[]*Bundle{pins(1), strict}, false, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := DecideSource(t.Context(), c.bundles, base())
			if err != nil || d.Passed != c.allowed || len(d.Bundles) != c.asked || d.Pin != c.pin || d.Passed != (len(d.Denials) == 0) {
				t.Errorf("%v: %+v", err, d)
			}
			again, err := DecideSource(t.Context(), c.bundles, base())
			if err != nil || fmt.Sprint(again) != fmt.Sprint(d) {
				t.Errorf("asked again: %+v, then %+v", d, again)
			}
		})
	}
	if _, err := DecideSource(t.Context(), []*Bundle{pins(1), pins(2)}, base()); err == nil {
		t.Error("two bundles want two digests")
	}
	for _, in := range []SourceInput{{}, {SchemaVersion: SchemaVersion}, {SchemaVersion: "2", Time: base().Time}} {
		if d, err := DecideSource(context.Background(), nil, in); err == nil || d.Passed {
			t.Errorf("%+v was judged", in)
		}
	}
	long := base()
	long.Source.URI = strings.Repeat("x", maxSourceInput)
	if _, err := DecideSource(t.Context(), nil, long); err == nil {
		t.Error("a question without end was judged")
	}
}

// The question is read back as it was written, strictly.
func TestSourceInputRoundTrip(t *testing.T) {
	in := base()
	in.Signatures = []Signature{{Subject: digestN(2)}, {Subject: digestN(1), Signer: Signer{Kind: SignerKey, ID: "a"}}}
	data, err := in.JSON()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseSourceInput(data)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := back.JSON(); err != nil || !bytes.Equal(again, data) {
		t.Errorf("%v: %s, want %s", err, again, data)
	}
	for _, bad := range []string{"", "[]", "{}", strings.Replace(string(data), `"kind"`, `"Kind"`, 1), strings.Replace(string(data), `"kind":"image"`, `"kind":1`, 1)} {
		if _, err := ParseSourceInput([]byte(bad)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

// The settings and the bundle of docs/sources.md, as written there, load and decide.
func TestSourcesPage(t *testing.T) {
	page, err := os.ReadFile("../docs/sources.md")
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	rule := regexp.MustCompile("(?s)```rego\n(.*?)```").FindSubmatch(page)
	if settings == nil || rule == nil {
		t.Fatal("the page has no settings or no rule")
	}
	d, err := DecideSource(t.Context(), []*Bundle{baseline(t, string(settings[1]))}, base())
	if err != nil || !d.Passed || d.Pin == "" {
		t.Errorf("%v %+v", err, d)
	}
	own := load(t, map[string]string{"a.rego": tightens, "source.rego": string(rule[1])}, LoadOptions{})
	d, err = DecideSource(t.Context(), []*Bundle{own}, base())
	if err != nil || d.Passed || d.Denials[0].Rule != "acme-no-tags" || d.Denials[0].Location.Line != 3 {
		t.Errorf("%v %+v", err, d)
	}
}
