package oci

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// R62 T31: no index.json makes reading panic, or reach a blob that is not named by its digest.
func FuzzIndexJSON(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"` + typeIndex + `","digest":"sha256:` + strings.Repeat("0", 64) + `","size":2}]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x"}]}`))
	dir := f.TempDir()
	m := maker{t: f, dir: dir}
	m.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	m.list(m.index(m.image("amd64", "x")))
	seed, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	d, err := OpenDir(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		maker{t: t, dir: dir}.file("index.json", raw)
		img, err := d.Resolve(context.Background(), "")
		if err == nil && (len(img.Platforms) == 0 || digestOf(img.Manifest) != img.Digest) {
			t.Errorf("%+v", img)
		}
	})
}

// R62: a manifest that parses has only sane descriptors, and adding to an index keeps what it listed.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"sha256:`+strings.Repeat("0", 64)+`","size":2,"x":[1e5]}],"y":null}`), true)
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"sha256:`+strings.Repeat("0", 64)+`"},"layers":[]}`), false)
	f.Add([]byte(`{"schemaVersion":2,"manifests":null}`), true)
	f.Fuzz(func(t *testing.T, raw []byte, index bool) {
		mediaType := typeManifest
		if index {
			mediaType = typeIndex
		}
		doc, err := parseManifest(raw, mediaType)
		if err != nil {
			return
		}
		for _, c := range doc.children() {
			if !validDigest(c.Digest) || c.Size < 0 {
				t.Errorf("%+v", c)
			}
		}
		if !index {
			return
		}
		more, added, err := addEntries(raw, []descriptor{describe(typeManifest, []byte("new"))})
		if err != nil || added != 1 {
			t.Fatalf("%d %v", added, err)
		}
		after, err := parseManifest(more, typeIndex)
		if err != nil || len(after.Manifests) != len(doc.Manifests)+1 {
			t.Errorf("%s: %v", more, err)
		}
		again, added, err := addEntries(more, []descriptor{describe(typeManifest, []byte("new"))})
		if err != nil || added != 0 || !bytes.Equal(again, more) {
			t.Errorf("%d %v", added, err)
		}
	})
}

// R62 T29 T31: no archive makes unpacking panic or write outside its directory.
func FuzzArchive(f *testing.F) {
	for _, e := range [][]entry{
		{{name: "oci-layout", content: "{}"}},
		{{name: "../x", content: "y"}},
		{{name: "a/layer.tar", kind: '2', link: "/etc"}},
		savedImage(f, "layer"),
	} {
		file := pack(f, e...)
		for _, p := range []string{file, zip(f, file)} {
			raw, err := os.ReadFile(p)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		top := t.TempDir()
		scratch := filepath.Join(top, "scratch")
		file := filepath.Join(top, "a.tar")
		if err := os.Mkdir(scratch, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := OpenArchive(context.Background(), file, scratch)
		if err == nil {
			_, _ = d.Resolve(context.Background(), "")
			_ = d.Close()
			return
		}
		if list, _ := os.ReadDir(scratch); len(list) != 0 {
			t.Errorf("left %v", list)
		}
		if list, _ := os.ReadDir(top); len(list) != 2 {
			t.Errorf("outside: %v", list)
		}
	})
}

// T2: a reference that parses holds no blank, no control character, and means the same when parsed again.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"debian", "a/b:1", "127.0.0.1:5000/x@sha256:" + strings.Repeat("a", 64), "x:1\n", "docker.io/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReference(s)
		if err != nil {
			return
		}
		if strings.ContainsFunc(r.String(), func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("%q", r)
		}
		if again, err := ParseReference(r.String()); err != nil || again != r {
			t.Errorf("%q: %+v, then %+v %v", s, r, again, err)
		}
	})
}
