package policy

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/hint"
)

// What is formatted says the same as before, or is left alone.
func TestFormatKeepsMeaning(t *testing.T) {
	out, err := Format("a.rego", []byte("package a\n\nx if { input.y\n input[\"z\"] }\n"))
	if err != nil || !strings.Contains(string(out), "\tinput.z\n") {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := Format("a.rego", []byte("package a\n\nx if input.y == (count(input.z) == 0)\n")); !hint.IsMisuse(err) || !strings.HasPrefix(err.Error(), "a.rego:3: ") {
		t.Errorf("%s, %v", out, err)
	}
	refused := map[string]bool{}
	err = fs.WalkDir(baselineFS, "baseline", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".rego") {
			return err
		}
		src, err := baselineFS.ReadFile(name)
		if _, bad := Format(name, src); bad != nil {
			refused[name] = true
		}
		return err
	})
	if err != nil || len(refused) > 1 {
		t.Errorf("%v, not formatted: %v", err, refused)
	}
}
