package attest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/in-toto/in-toto-golang/in_toto"
)

// checkRules holds a list of a layout's rules to forms that all in-toto tools understand alike, and to an end that
// allows nothing more (R34): a list without one allows whatever its rules leave.
func checkRules(list [][]string, steps []string) error {
	if len(list) > maxRules {
		return fmt.Errorf("%d rules, at most %d are read", len(list), maxRules)
	}
	for _, rule := range list {
		if err := checkRule(rule, steps); err != nil {
			return fmt.Errorf("rule %q: %w", rule, err)
		}
	}
	if len(list) == 0 || !strings.EqualFold(list[len(list)-1][0], "DISALLOW") || list[len(list)-1][1] != "*" {
		return errors.New("the rules do not end with DISALLOW *: whatever they leave would be allowed")
	}
	return nil
}

func checkRule(rule, steps []string) error {
	if len(rule) == 0 {
		return errors.New("empty")
	}
	r, err := in_toto.UnpackRule(rule)
	if err != nil {
		return errors.New("not a rule of in-toto")
	}
	pattern := r["pattern"]
	switch {
	case strings.ContainsAny(pattern, `[]\`):
		return errors.New("character classes and escapes are not the same to all tools; only * and ? are taken")
	case !cleanName(pattern):
		return fmt.Errorf("%q is not a clean name", pattern)
	case r["type"] == "require" && strings.ContainsAny(pattern, "*?"):
		return errors.New("REQUIRE takes one name, and no pattern")
	case r["type"] != "match":
		return nil
	case r["dstType"] != "materials" && r["dstType"] != "products":
		return errors.New("MATCH is WITH MATERIALS or WITH PRODUCTS")
	case !slices.Contains(steps, r["dstName"]):
		return fmt.Errorf("there is no step %q", r["dstName"])
	}
	for _, prefix := range []string{r["srcPrefix"], r["dstPrefix"]} {
		if prefix != "" && !cleanName(prefix) {
			return fmt.Errorf("%q is not a clean name", prefix)
		}
	}
	return nil
}
