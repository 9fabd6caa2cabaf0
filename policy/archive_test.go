package policy

import (
	"context"
	"testing"
)

// R71 R78: the archive that travels with the evidence is the same policy, manifest and all.
func TestArchiveIsTheBundle(t *testing.T) {
	b, err := Baseline(LoadOptions{Data: []byte(`{"severity": "critical"}`)})
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadArchive(context.Background(), b.Archive(), LoadOptions{Name: "another"})
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != b.Digest() || again.Name() != b.Name() || again.revision != b.revision || b.revision == "" {
		t.Errorf("%s %s %q became %s %s %q", b.Name(), b.Digest(), b.revision, again.Name(), again.Digest(), again.revision)
	}
}
