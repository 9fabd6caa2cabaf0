package policy

import (
	"slices"
	"testing"
)

// R92: a control is what its rules say together: what speaks against it counts most, and what did not judge never counts for it.
func TestControlState(t *testing.T) {
	result := func(outcome, kind string) ControlRule {
		return ControlRule{RuleResult: RuleResult{Outcome: outcome, Kind: kind}}
	}
	pass, off, nothing := result(OutcomePass, ""), result(OutcomeSkip, SkipOff), result(OutcomeSkip, SkipInapplicable)
	unknown, old := result(OutcomeSkip, SkipUndecidable), result(OutcomeSkip, "")
	excepted, deny, warn := result(OutcomeExcepted, ""), result(OutcomeDeny, ""), result(OutcomeWarn, "")
	half := pass
	half.Excepted = []Excepted{{}}
	for _, c := range []struct {
		rules []ControlRule
		want  string
	}{
		{[]ControlRule{pass}, ControlFor},
		{[]ControlRule{pass, nothing}, ControlFor},
		{[]ControlRule{pass, off}, ControlPartly},
		{[]ControlRule{pass, unknown}, ControlPartly},
		{[]ControlRule{pass, old}, ControlPartly},
		{[]ControlRule{off, nothing}, ControlOff},
		{[]ControlRule{off, unknown}, ControlUndecidable},
		{[]ControlRule{old}, ControlUndecidable},
		{[]ControlRule{nothing}, ControlInapplicable},
		{[]ControlRule{pass, excepted, off}, ControlExcepted},
		{[]ControlRule{pass, half}, ControlExcepted},
		{[]ControlRule{pass, warn, excepted}, ControlAgainst},
		{[]ControlRule{deny, unknown}, ControlAgainst},
		{nil, ControlInapplicable},
	} {
		for range 2 {
			control := Control{Rules: c.rules}
			if got := control.state(); got != c.want {
				t.Errorf("%+v: %q, want %q", c.rules, got, c.want)
			}
			slices.Reverse(c.rules)
		}
	}
}

// R91 R92: of a denied image there is evidence against what its findings are about, and of manifests that were not given nothing.
func TestControls(t *testing.T) {
	b := baseline(t, "")
	all := Controls(decideOrFail(t, b, deniedInput()), []*Bundle{b})
	states := map[string]Control{}
	for _, c := range all {
		states[c.ID] = c
		if len(c.Rules) == 0 || c.Framework == "" {
			t.Errorf("%+v", c)
		}
	}
	for id, want := range map[string]string{
		"cis-docker-1.6.0:4.1": ControlAgainst, "slsa-1.2:build-l3": ControlAgainst, "cis-docker-1.6.0:5.4": ControlUndecidable, "cis-ssc-1.0:2.4.6": ControlFor,
		"pss-1.37:baseline": ControlUndecidable, "slsa-1.2:build-l2": ControlPartly,
	} {
		if states[id].State != want {
			t.Errorf("%s: %q, want %q", id, states[id].State, want)
		}
	}
	for _, r := range states["cis-docker-1.6.0:4.1"].Rules {
		if r.Rule == "user-nonroot" && (len(r.Findings) != 2 || r.Title == "") {
			t.Errorf("%+v", r)
		}
	}
	if !slices.IsSortedFunc(all, func(a, b Control) int { return compareControls(a.ID, b.ID) }) {
		t.Error("not sorted")
	}
	if other := Controls(decideOrFail(t, b, deniedInput()), nil); len(other) != 0 {
		t.Errorf("something is said of rules that nobody knows: %v", other)
	}
}

func TestCompareControls(t *testing.T) {
	want := []string{"cis-docker-1.6.0:4.2", "cis-docker-1.6.0:4.10", "cis-ssc-1.0:2.4.3", "cis-ssc-1.0:2.4.3.1", "s2c2f:AUD-1", "s2c2f:AUD-10", "x:1:a"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareControls)
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// Every framework that a shipped rule names has a name for people.
func TestFrameworks(t *testing.T) {
	for _, r := range baseline(t, "").Rules() {
		for _, c := range r.Controls {
			if f := framework(c); f == c || f[0] < 'A' || f[0] > 'Z' {
				t.Errorf("%s of rule %s has no framework", c, r.ID)
			}
		}
	}
}
