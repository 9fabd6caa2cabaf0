package build

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// T7: a blob that lies on this disk is not asked for again, unless it is not what its digest says.
func TestExportTakesWhatIsThere(t *testing.T) {
	good := digest.FromString("layer")
	for name, tc := range map[string]struct {
		write func(t *testing.T, path string)
		size  int64
		there bool
	}{
		"there":          {func(t *testing.T, path string) { writeBlob(t, path, "layer") }, 5, true},
		"not there":      {func(*testing.T, string) {}, 5, false},
		"other content":  {func(t *testing.T, path string) { writeBlob(t, path, "lawyer"[:5]) }, 5, false},
		"other size":     {func(t *testing.T, path string) { writeBlob(t, path, "layer and more") }, 5, false},
		"size not known": {func(t *testing.T, path string) { writeBlob(t, path, "layer") }, 0, false},
		"a link": {func(t *testing.T, path string) {
			writeBlob(t, path+".real", "layer")
			if err := os.Symlink(path+".real", path); err != nil {
				t.Fatal(err)
			}
		}, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			known, out := t.TempDir(), t.TempDir()
			tc.write(t, (export{known}).path(good))
			s, err := openExport(out, []string{filepath.Join(known, "missing"), known})
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			w, err := s.Writer(t.Context(), content.WithRef("layer"), content.WithDescriptor(ocispec.Descriptor{Digest: good, Size: tc.size}))
			if err == nil {
				defer func() { _ = w.Close() }()
			}
			if got := s.copied.Load(); tc.there != (got == 5) {
				t.Errorf("%d bytes copied", got)
			}
			if errdefs.IsAlreadyExists(err) != tc.there || !tc.there && err != nil {
				t.Fatalf("the engine is told %v", err)
			}
			data, err := os.ReadFile(s.to.path(good))
			if tc.there && string(data) != "layer" || !tc.there && err == nil {
				t.Errorf("the export holds %q, %v", data, err)
			}
			left, err := filepath.Glob(filepath.Join(out, "blobs", "sha256", ".copy-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}

func writeBlob(t *testing.T, path, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}
