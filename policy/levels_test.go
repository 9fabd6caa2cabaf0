package policy

import (
	"slices"
	"strings"
	"testing"
)

// R28 R31: of two policies the lower level of a track holds, names of SLSA's that are not a build level are refused, and what is
// denied reaches nothing.
func TestLevels(t *testing.T) {
	with := func(levels, allow string) (Decision, error) {
		b := load(t, map[string]string{"main.rego": "package sealyard\n\ndefault allow := false\n\nallow if " + allow + "\n\n# METADATA\n# title: x\n# custom:\n#   id: x\ndeny contains {\"rule\": \"x\", \"message\": \"x\"} if input.image.digest == \"\"\n\n" + levels}, LoadOptions{Name: "own"})
		return DecideAll(t.Context(), []*Bundle{baseline(t, ""), b}, allowedInput())
	}
	const yes, no = `input.image.digest != ""`, `input.image.digest == ""`
	for _, c := range []struct{ levels, want string }{
		{"", "SLSA_BUILD_LEVEL_1"},
		{`levels contains "SLSA_BUILD_LEVEL_3" if allow`, "SLSA_BUILD_LEVEL_1"},
		{`levels contains "SLSA_BUILD_LEVEL_0" if allow`, "SLSA_BUILD_LEVEL_0"},
		{`levels contains name if some name in ["ACME_SUPPORTED", "ACME_TIER_LEVEL_2"]`, "ACME_SUPPORTED ACME_TIER_LEVEL_2 SLSA_BUILD_LEVEL_1"},
	} {
		d, err := with(c.levels, yes)
		if err != nil || !d.Allowed || strings.Join(d.Levels, " ") != c.want || !slices.IsSorted(d.Levels) {
			t.Errorf("%s: %v %q, want %q", c.levels, err, d.Levels, c.want)
		}
	}
	if d, err := with(`levels contains "ACME_SUPPORTED" if input.image.digest != ""`, no); err != nil || d.Allowed || len(d.Levels) != 0 {
		t.Errorf("denied, and it reaches %q (%v)", d.Levels, err)
	}
	for _, levels := range []string{
		`levels contains "SLSA_BUILD_LEVEL_4" if allow`, `levels contains "SLSA_SOURCE_LEVEL_1" if allow`, `levels contains "SLSA_GREAT" if allow`, `levels contains "FAILED" if allow`,
		`levels contains "acme" if allow`, `levels contains "" if allow`, `levels contains 1 if allow`,
		`levels contains name if some name in ["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_2"]`, `levels contains name if some name in ["ACME_TIER_LEVEL_1", "ACME_TIER_LEVEL_2"]`,
	} {
		if d, err := with(levels, yes); err == nil || !strings.Contains(err.Error(), "levels") {
			t.Errorf("%s: %q, want an error", levels, d.Levels)
		}
	}
}
