package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

// R70 T16: every builtin of the engine is either allowed by name or refused with a reason, so a new version of the
// engine cannot bring one in; and whatever the engine itself calls nondeterministic is refused.
func TestBuiltinsAreClassified(t *testing.T) {
	allowed := strings.Fields(allowedBuiltins)
	known := map[string]bool{}
	for _, b := range ast.CapabilitiesForThisVersion().Builtins {
		known[b.Name] = true
		in, why := slices.Contains(allowed, b.Name), whyRefused(b.Name)
		switch {
		case in == (why != ""):
			t.Errorf("%s: allowed %v, refused %q", b.Name, in, why)
		case in && b.Nondeterministic:
			t.Errorf("%s is allowed and not deterministic", b.Name)
		case in && b.IsDeprecated():
			t.Errorf("%s is allowed and deprecated", b.Name)
		}
	}
	for _, name := range allowed {
		if !known[name] {
			t.Errorf("%s is allowed, but the engine does not have it", name)
		}
	}
	for _, r := range refusedBuiltins {
		if !slices.ContainsFunc(slices.Collect(keys(known)), func(name string) bool { return strings.HasPrefix(name, r.prefix) }) {
			t.Errorf("%s is refused, but the engine does not have it", r.prefix)
		}
	}
	if caps := capabilities(); caps.AllowNet == nil || len(caps.AllowNet) != 0 {
		t.Errorf("hosts %v may be reached, want none", caps.AllowNet)
	}
}

func keys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// An image is allowed on one line of the code base.
func TestAllowedOnOneLine(t *testing.T) {
	assign := regexp.MustCompile(`\bAllowed(:\s*true|\s*=\s*true|\s*:=)`)
	var found []string
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir // tools and caches are not of the code base
		}
		if err != nil || d.IsDir() {
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			if assign.MatchString(line) {
				found = append(found, path+": "+strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || !strings.Contains(found[0], "policy/decide.go") {
		t.Errorf("an image is allowed on these lines: %q", found)
	}
}
