package oci

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"testing"
)

// R62: what a layout remembers is what was verified; checking it, and pushing from it, read the disk again. It remembers no more than
// so much, and nothing under another size or type than it was verified as.
func TestMemoryOfManifests(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	flip(t, filepath.Join(d.Path(), blobFile(img.Digest)))
	again, err := d.Resolve(ctx, "")
	if err != nil || !bytes.Equal(again.Manifest, img.Manifest) {
		t.Errorf("%v", err)
	}
	if err := d.Check(ctx); !errors.Is(err, ErrCorrupt) {
		t.Errorf("check takes the memory's word: %v", err)
	}
	other, err := OpenDir(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Resolve(ctx, ""); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a memory that is shared: %v", err)
	}
	var m memory
	raw := make([]byte, maxReferrers/4)
	for i := range 8 {
		m.keep(node{descriptor: descriptor{MediaType: typeManifest, Digest: strconv.Itoa(i), Size: 1}, raw: raw})
	}
	if len(m.nodes) != 4 || m.bytes > maxReferrers {
		t.Errorf("%d kept, %d bytes", len(m.nodes), m.bytes)
	}
	for _, d := range []descriptor{{MediaType: typeIndex, Digest: "0", Size: 1}, {MediaType: typeManifest, Digest: "0", Size: 2}} {
		if _, ok := m.recall(d); ok {
			t.Errorf("recalled as %v", d)
		}
	}
	if n, ok := m.recall(descriptor{MediaType: typeManifest, Digest: "0", Size: 1, Annotations: map[string]string{"a": "b"}}); !ok || n.Annotations["a"] != "b" {
		t.Error("not recalled as it was asked for")
	}
}
