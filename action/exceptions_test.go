package action_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/oci"
)

const typeExceptions = "application/vnd.sealyard.exceptions.v1+json"

// excepted seals an image that only a waiver lets pass.
func (w *world) excepted(t *testing.T) layout {
	t.Helper()
	dir := t.TempDir()
	app, waivers, sealed := filepath.Join(dir, "app"), filepath.Join(dir, "waivers.yaml"), filepath.Join(dir, "sealed")
	err := errors.Join(
		os.Mkdir(app, 0o755), os.Link(w.tool, filepath.Join(app, "tool")),
		os.WriteFile(filepath.Join(app, "Dockerfile"), []byte(plain+"COPY minimist.json /usr/lib/node_modules/minimist/package.json\n"), 0o644),
		os.WriteFile(filepath.Join(app, "minimist.json"), []byte(`{"name": "minimist", "version": "1.2.5", "license": "MIT"}`), 0o644),
		os.WriteFile(waivers, fmt.Appendf(nil, `waivers:
- {id: W-1, rule: vulnerability, scope: {vulnerability: CVE-2021-44906}, reason: never called, owner: app, approvedBy: ciso, expires: %s}
`, time.Now().AddDate(0, 0, 60).UTC().Format(time.DateOnly)), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	w.must(t, "build", app, "--buildkit-host", w.engine, "--key", w.key, "--progress", "quiet", "--waivers", waivers, "--evidence-path", sealed)
	return layout(sealed)
}

// repolicy replaces what travels with an image as its policies and exceptions; change gets the layers that there are.
func (l layout) repolicy(t *testing.T, change func(layers []oci.Layer) []oci.Layer) {
	t.Helper()
	a, err := l.attached("index", typePolicy)
	if err != nil {
		t.Fatal(err)
	}
	m, err := l.read(l.path(a.digest))
	if err != nil {
		t.Fatal(err)
	}
	var layers []oci.Layer
	for _, d := range m.Layers {
		raw, err := os.ReadFile(l.path(d.Digest))
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, oci.Layer{MediaType: d.MediaType, Content: raw, Annotations: d.Annotations})
	}
	if err := l.detach(a); err != nil {
		t.Fatal(err)
	}
	dir, err := oci.OpenDir(string(l))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := dir.Attach(t.Context(), a.subject, oci.Artifact{Type: typePolicy, Layers: change(layers)}); err != nil {
		t.Fatal(err)
	}
}

// T34 R75: the exceptions that a decision was made with are sealed with it. Whoever removes or edits them is denied, and what somebody
// adds is none of them; nor is a decision believed that does not name them.
func TestExceptionsAreSealed(t *testing.T) {
	t.Parallel()
	w := shared(t)
	whole := w.excepted(t)
	isLayer := func(l oci.Layer) bool { return l.MediaType == typeExceptions }
	for name, c := range map[string]struct {
		change func([]oci.Layer) []oci.Layer
		code   int
	}{
		"as they were": {func(l []oci.Layer) []oci.Layer { return l }, action.Allowed},
		"removed":      {func(l []oci.Layer) []oci.Layer { return slices.DeleteFunc(l, isLayer) }, action.Denied},
		"edited": {func(l []oci.Layer) []oci.Layer {
			i := slices.IndexFunc(l, isLayer)
			l[i].Content = bytes.Replace(l[i].Content, []byte("never called"), []byte("never mind"), 1)
			return l
		}, action.Denied},
		"and others": {func(l []oci.Layer) []oci.Layer {
			more := l[slices.IndexFunc(l, isLayer)]
			more.Content = bytes.ReplaceAll(more.Content, []byte("CVE-2021-44906"), []byte("CVE-2026-0001"))
			return append([]oci.Layer{more}, l...)
		}, action.Allowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := whole.copy(t)
			l.repolicy(t, c.change)
			if out := w.run(t.Context(), &bytes.Buffer{}, "verify", string(l), "--key", w.public()); out.code != c.code {
				t.Errorf("exit %d, want %d\n%s%s", out.code, c.code, out.stdout, out.stderr)
			}
		})
	}
	t.Run("not named", func(t *testing.T) {
		t.Parallel()
		l := whole.copy(t)
		f := decisionOf(t, l)
		f.Policies = slices.DeleteFunc(f.Policies, func(r attest.Reference) bool { return r.Name == "exceptions" })
		l.decide(t, w, f)
		out := w.run(t.Context(), &bytes.Buffer{}, "verify", string(l), "--key", w.public())
		if out.code != action.Denied || !strings.Contains(out.stdout, "the recorded decision is not the one") {
			t.Errorf("exit %d\n%s%s", out.code, out.stdout, out.stderr)
		}
	})
	t.Run("added to an image without", func(t *testing.T) {
		t.Parallel()
		l := w.sealed.copy(t)
		want := w.must(t, "verify", string(l), "--key", w.public(), "--format", "json").stdout
		l.repolicy(t, func(layers []oci.Layer) []oci.Layer {
			return append(layers, oci.Layer{MediaType: typeExceptions, Content: []byte(`{"schemaVersion":"1","waivers":[]}`)})
		})
		if got := w.must(t, "verify", string(l), "--key", w.public(), "--format", "json").stdout; got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	})
}
