package build

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// T7 T11: what earlier runs left, and the signing key, are no part of a context, however their paths are written.
func TestContextHoldsNothingOfOurs(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"app/main", "app/old[1]/oci-layout", "app/old[1]/evidence/decision.json", "app/.sealyard-1/blob", "app/sub/.sealyard-2/blob", "app/k*y.key", "app/layout/oci-layout"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "app", "other.key"), []byte("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(root, "link")
	if err := os.Symlink(filepath.Join(root, "app"), link); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(root, "app"), link} {
		files, err := localFS(dir, []string{filepath.Join(link, "k*y.key"), filepath.Join(root, "elsewhere")})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = files.Walk(context.Background(), "", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				got = append(got, path)
			}
			return err
		})
		if want := []string{"layout/oci-layout", "main"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s holds %q, want %q (%v)", dir, got, want, err)
		}
	}
}
