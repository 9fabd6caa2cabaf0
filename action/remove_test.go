package action_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sealyard/sealyard/internal/testkit"
)

// R26 R30 R79 T27: whatever single thing that is attached to a sealed image is taken away, or edited with its digests put
// right, the image is denied, from a directory and from a registry that does not tell.
func TestSealNeedsEveryPart(t *testing.T) {
	t.Parallel()
	w := shared(t)
	whole := w.sealed
	all, err := whole.artifacts()
	if err != nil {
		t.Fatal(err)
	}
	// Five claims about the index and each platform, and the policies.
	if len(all) != 3*5+1 {
		t.Fatalf("%d artifacts: %v", len(all), all)
	}
	registry := testkit.Registry(t, testkit.Distribution)
	for i, a := range all {
		name := fmt.Sprintf("%d-%s", i, filepath.Base(a.kind))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			less := whole.copy(t)
			if err := less.detach(a); err != nil {
				t.Fatal(err)
			}
			w.denied(t, string(less))
			w.neverPassed(t, string(less))
			ref := registry + "/app" + fmt.Sprint(i) + ":1"
			if err := pushLayout(string(less), ref); err != nil {
				t.Fatal(err)
			}
			w.denied(t, ref)
			if a.mediaType != typeBundle {
				return
			}
			raw, err := os.ReadFile(whole.path(a.layer))
			if err != nil {
				t.Fatal(err)
			}
			edited, err := editBundle(raw, `"_type"`, ` "_type"`)
			if err != nil {
				t.Fatal(err)
			}
			if err := less.attach(a.subject, typeBundle, edited); err != nil {
				t.Fatal(err)
			}
			w.denied(t, string(less))
			// Put back, it is whole again: the denials above were about this part.
			if err := less.attach(a.subject, typeBundle, raw); err != nil {
				t.Fatal(err)
			}
			w.must(t, "verify", string(less), "--key", w.public())
		})
	}
}

// neverPassed holds that a denied image has no summary that says it passed (R30).
func (w *world) neverPassed(t *testing.T, target string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vsa.json")
	w.run(t.Context(), &bytes.Buffer{}, "verify", target, "--key", w.public(), "--vsa", file, "--verifier-id", "https://acme.example", "--resource-uri", "pkg:oci/app")
	if raw, err := os.ReadFile(file); err == nil && !bytes.Contains(raw, []byte(`"verificationResult":"FAILED","verifiedLevels":["FAILED"]`)) {
		t.Errorf("%s", raw)
	}
}

func (l layout) copy(t *testing.T) layout {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(string(l))); err != nil {
		t.Fatal(err)
	}
	return layout(to)
}
