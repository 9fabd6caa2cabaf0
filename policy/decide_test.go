package policy

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
)

// The baseline allows sound evidence, and its decision names what was asked of whom.
func TestBaselineAllows(t *testing.T) {
	in := allowedInput()
	golden(t, "testdata/allowed.json", mustJSON(t, in))
	d := decideOrFail(t, baseline(t, ""), in)
	if !d.Allowed {
		t.Fatalf("denied: %+v", d.Denials)
	}
	data, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/allowed.decision.json", data)
}

// runtimeBundle compiles, and goes wrong when it is asked.
func runtimeBundle(t testing.TB, body string, timeout time.Duration) *Bundle {
	t.Helper()
	return load(t, map[string]string{"acme.rego": "package sealyard\n\n# METADATA\n# title: T\n# custom:\n#   id: x\n" + body}, LoadOptions{Timeout: timeout})
}

// R69 R73 T16 T17: whatever a rule gives that is not an answer is an error, never a pass: no decision was reached.
func TestDecideFails(t *testing.T) {
	const deny = "deny contains {\"rule\": \"x\", \"message\": \"m\"} if input.image.digest == \"\"\n"
	for name, c := range map[string]struct{ body, want string }{
		"builtin error in deny":   {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": \"m\"} if to_number(input.image.digest) > 1", "acme.rego:8: to_number: "},
		"builtin error in allow":  {"default allow := false\nallow if to_number(input.image.digest) > 1\n" + deny, "acme.rego:8: to_number: "},
		"conflict":                {"default allow := false\nallow := true if input.image.digest\nallow := false if input.image.digest\n" + deny, "conflict"},
		"allow is text":           {"default allow := false\nallow := \"yes\" if input.image.digest\n" + deny, "allow is string, want a boolean"},
		"allow is a number":       {"default allow := false\nallow := 1 if input.image.digest\n" + deny, "allow is number, want a boolean"},
		"text":                    {"allow := true\ndeny contains \"no\"", "deny gave a malformed finding: it is string"},
		"no rule":                 {"allow := true\ndeny contains {\"message\": \"m\"}", `its rule "" is not the custom.id`},
		"unknown rule":            {"allow := true\ndeny contains {\"rule\": \"y\", \"message\": \"m\"}", `its rule "y" is not the custom.id`},
		"no message":              {"allow := true\ndeny contains {\"rule\": \"x\"}", "it has no message"},
		"empty message":           {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": \" \"}", "it has no message"},
		"message is a number":     {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": 1}", "message is number, want a string"},
		"long message":            {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": concat(\"\", [\"x\" | some _ in numbers.range(1, 5000)])}", "message has 5000 bytes"},
		"unknown key":             {"allow := true\ndeny contains {\"rule\": \"x\", \"msg\": \"m\"}", `unknown key "msg"`},
		"severity":                {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": \"m\", \"severity\": \"awful\"}", `severity "awful" is not one of`},
		"location":                {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": \"m\", \"location\": {\"file\": \"Dockerfile\"}}", "location is not an object with file and line"},
		"location is text":        {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": \"m\", \"location\": \"Dockerfile:1\"}", "location is not an object with file and line"},
		"location line":           {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": \"m\", \"location\": {\"file\": \"a\", \"line\": -1}}", "location is not an object with file and line"},
		"malformed warning":       {"allow := true\nwarn contains 1\n" + deny, "warn gave a malformed finding: it is number"},
		"skip without reason":     {"allow := true\nskip contains {\"rule\": \"x\", \"reason\": \"\"}\n" + deny, `skip of rule "x" has no reason`},
		"skip of nothing":         {"allow := true\nskip contains {\"rule\": \"y\", \"reason\": \"r\"}\n" + deny, `skip: its rule "y" is not the custom.id`},
		"skip is text":            {"allow := true\nskip contains \"x\"\n" + deny, "skip gave something else than an object"},
		"takes for ever":          {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": \"m\"} if count({[a, b, c] | some a in numbers.range(1, 1000); some b in numbers.range(1, 1000); some c in numbers.range(1, 1000); a + b == c * 1000001}) > 0", "no answer within 1s"},
		"too many findings":       {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": sprintf(\"%d\", [i])} if some i in numbers.range(1, 50001)", "has 50001 findings, at most 50000 are an answer"},
		"one builtin takes ever":  {"allow := true\ndeny contains {\"rule\": \"x\", \"message\": \"m\"} if count(numbers.range(1, 100000000000)) > 0", "no answer within"},
		"finding of a number key": {"allow := true\ndeny contains {1: 2}", "unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := time.Minute
			if strings.Contains(name, "ever") {
				timeout = time.Second
			}
			d, err := runtimeBundle(t, c.body, timeout).Decide(t.Context(), allowedInput())
			if err == nil || d.Allowed {
				t.Fatalf("decided: %+v", d)
			}
			if !strings.Contains(err.Error(), c.want) && !(name == "one builtin takes ever" && strings.Contains(err.Error(), "needs more than")) {
				t.Errorf("error %q, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") || hint.IsMisuse(err) {
				t.Errorf("error %q", err)
			}
		})
	}
}

// T16: an evaluation that eats memory is stopped before the machine is full.
func TestDecideStopsMemory(t *testing.T) {
	b := runtimeBundle(t, `allow := true
deny contains {"rule": "x", "message": "m"} if {
	megabyte := concat("", [sprintf("%1000d", [i]) | some i in numbers.range(1, 1000)])
	many := [sprintf("%d%s", [i, megabyte]) | some i in numbers.range(1, 100000)]
	count(many) == 0
}`, time.Minute)
	if d, err := b.Decide(t.Context(), allowedInput()); err == nil || d.Allowed || !strings.Contains(err.Error(), "evaluation needs more than 1024 MiB") {
		t.Errorf("%+v %v", d, err)
	}
}

// T13 T17: every bundle must allow, in whatever order; the one that does not says why. No bundle is no decision.
func TestDecideAll(t *testing.T) {
	yes := baseline(t, "")
	no := load(t, map[string]string{"a.rego": tightens}, LoadOptions{})
	silent := load(t, map[string]string{"a.rego": strings.Replace(tightens, "allow := true", "default allow := false\nallow if input.image.digest == \"\"", 1)}, LoadOptions{Name: "silent"})
	in := allowedInput()
	for i := range in.Image.Platforms {
		in.Image.Platforms[i].Config.Labels["licence"] = "MIT"
	}
	for name, c := range map[string]struct {
		bundles []*Bundle
		in      Input
		want    bool
		each    []bool
		rules   []string
	}{
		"one":              {[]*Bundle{yes}, in, true, []bool{true}, nil},
		"two":              {[]*Bundle{yes, no}, in, true, []bool{true, true}, nil},
		"second denies":    {[]*Bundle{yes, no}, allowedInput(), false, []bool{true, false}, []string{"acme/licence", "acme/licence"}},
		"first denies":     {[]*Bundle{no, yes}, allowedInput(), false, []bool{false, true}, []string{"acme/licence", "acme/licence"}},
		"one gives no why": {[]*Bundle{yes, silent}, in, false, []bool{true, false}, []string{"silent/allow"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := DecideAll(t.Context(), c.bundles, c.in)
			if err != nil {
				t.Fatal(err)
			}
			var rules []string
			for _, f := range d.Denials {
				rules = append(rules, f.Bundle+"/"+f.Rule)
			}
			if d.Allowed != c.want || !slices.Equal(rules, c.rules) || len(d.Bundles) != len(c.bundles) {
				t.Errorf("allowed %v, rules %q, bundles %+v", d.Allowed, rules, d.Bundles)
			}
			for i, b := range c.bundles {
				if info := d.Bundles[i]; info.Allowed != c.each[i] || info.Name != b.Name() || info.Digest != b.Digest() || !strings.HasPrefix(info.Engine, "opa v1.") {
					t.Errorf("bundle %+v", info)
				}
			}
		})
	}
	for _, none := range [][]*Bundle{nil, {}} {
		if d, err := DecideAll(t.Context(), none, in); err == nil || d.Allowed || !hint.IsMisuse(err) {
			t.Errorf("no bundle: %+v %v", d, err)
		}
	}
	if (Decision{}).Allowed {
		t.Error("the zero decision allows")
	}
}

// T17: an input that cannot be judged is an error before any rule is asked.
func TestDecideRefusesInput(t *testing.T) {
	b := baseline(t, "")
	for name, c := range map[string]struct {
		edit func(*Input)
		want string
	}{
		"schema version":    {func(in *Input) { in.SchemaVersion = "2" }, `schemaVersion "2", want "1"`},
		"no schema version": {func(in *Input) { in.SchemaVersion = "" }, `schemaVersion ""`},
		"no time":           {func(in *Input) { in.Time = time.Time{} }, "no evaluation time"},
		"no predicate":      {func(in *Input) { in.Claims[0].Predicate = nil }, "unexpected EOF"},
		"predicate is text": {func(in *Input) { in.Claims[0].Predicate = json.RawMessage(`"x"`) }, "is not a JSON object"},
		"predicate is cut":  {func(in *Input) { in.Claims[0].Predicate = json.RawMessage(`{"a":`) }, "predicate of claim"},
		"two predicates":    {func(in *Input) { in.Claims[0].Predicate = json.RawMessage(`{}{}`) }, "data after the JSON value"},
		"member twice":      {func(in *Input) { in.Claims[0].Predicate = json.RawMessage(`{"a":1,"a":2}`) }, "predicate of claim"},
		"too deep": {func(in *Input) {
			in.Claims[0].Predicate = json.RawMessage(strings.Repeat(`{"a":`, 99) + "1" + strings.Repeat("}", 99))
		}, "nested deeper than 64"},
		"invalid UTF-8": {func(in *Input) { in.Claims[0].Predicate = json.RawMessage("{\"a\":\"\xff\"}") }, "predicate of claim"},
		"too large": {func(in *Input) {
			in.Claims[0].Predicate = json.RawMessage(`{"a":"` + strings.Repeat("x", MaxInputSize) + `"}`)
		}, "at most 33554432 are judged"},
		"invalid text":       {func(in *Input) { in.Image.MediaType = "\xff" }, "write policy input"},
		"year out of bounds": {func(in *Input) { in.Time = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC) }, "write policy input"},
	} {
		t.Run(name, func(t *testing.T) {
			in := allowedInput()
			c.edit(&in)
			if d, err := b.Decide(t.Context(), in); err == nil || d.Allowed || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// A cancelled run reaches no decision.
func TestDecideCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d, err := baseline(t, "").Decide(ctx, allowedInput()); !errors.Is(err, context.Canceled) || d.Allowed {
		t.Errorf("%+v %v", d, err)
	}
}

// A bundle may be asked by several goroutines at once, and print in a rule prints nothing.
func TestDecideTogether(t *testing.T) {
	b := load(t, map[string]string{"a.rego": strings.Replace(tightens, "not platform", "print(platform)\n\tnot platform", 1)}, LoadOptions{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if d, err := b.Decide(t.Context(), allowedInput()); err != nil || d.Allowed || len(d.Denials) != 2 {
				t.Errorf("%+v %v", d, err)
			}
		})
	}
	wg.Wait()
}
