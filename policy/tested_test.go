package policy

import (
	"errors"
	"strings"
	"testing"
)

// Every denial of the baseline is traced to the lines that gave it, and none of them is the compiler's own.
func TestEveryDenialIsTraced(t *testing.T) {
	b := baseline(t, "")
	all, err := b.Explain(t.Context(), deniedInput())
	if err != nil || len(all) < 8 {
		t.Fatalf("%d explanations, %v", len(all), err)
	}
	for _, e := range all {
		if !strings.HasPrefix(e.Where, "baseline/") || len(e.Because) == 0 {
			t.Errorf("%s is traced to %q with %d lines", e.Finding.Rule, e.Where, len(e.Because))
		}
		for _, c := range e.Because {
			if !c.Holds || c.Text == "" || strings.Contains(c.Text+strings.Join(c.Values, ""), "__local") {
				t.Errorf("%s: line %d: %q %q", e.Finding.Rule, c.Line, c.Text, c.Values)
			}
		}
	}
	if all, err := b.Explain(t.Context(), allowedInput()); err != nil || len(all) > 0 {
		t.Errorf("what is allowed is explained: %v, %v", all, err)
	}
}

// R79: leaving out finds what a policy does not ask for, and nothing where it asks for all.
func TestWithoutOne(t *testing.T) {
	in := allowedInput()
	left, tried, err := WithoutOne(t.Context(), []*Bundle{baseline(t, "")}, in)
	if err != nil || len(left) > 0 || tried != len(in.Claims)+len(in.Image.Platforms) {
		t.Errorf("%d of %d can be left out, %v: %q", len(left), tried, err, left)
	}
	free := load(t, map[string]string{"a.rego": strings.Replace(tightens, "not platform.config.labels.licence", "platform.digest == \"\"", 1)}, LoadOptions{})
	if left, tried, err := WithoutOne(t.Context(), []*Bundle{free}, in); err != nil || len(left) != tried || !strings.Contains(strings.Join(left, "\n"), "about linux/amd64") {
		t.Errorf("%d of %d, %v: %q", len(left), tried, err, left)
	}
	var not *NotAllowedError
	if _, _, err := WithoutOne(t.Context(), []*Bundle{baseline(t, "")}, deniedInput()); !errors.As(err, &not) {
		t.Errorf("error %v", err)
	}
	if example, err := Example(); err != nil || !decideOrFail(t, baseline(t, ""), example).Allowed {
		t.Errorf("the example is not allowed: %v", err)
	}
}
