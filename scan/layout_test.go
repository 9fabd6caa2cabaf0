package scan

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func scanLayout(t *testing.T, l layoutWriter, digest string) error {
	t.Helper()
	tmp := t.TempDir()
	_, err := Layout(t.Context(), l.dir, digest, testDB(t, nil), Options{Time: now, TempDir: tmp})
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
	return err
}

// R62 T29: a layout in which a blob is edited, missing, of another size or a link is not scanned.
func TestCorruptLayout(t *testing.T) {
	layer := layerOf(t, debianFiles("libssl3 openssl 3.0.20-1~deb12u2")...)
	for name, c := range map[string]struct {
		harm func(l layoutWriter, blob string)
		want string
	}{
		"flipped byte": {func(l layoutWriter, blob string) {
			b, _ := os.ReadFile(l.path(blob))
			b[len(b)/2] ^= 1
			os.WriteFile(l.path(blob), b, 0o644)
		}, "content has digest sha256:"},
		"flipped byte that unpacking ignores": {func(l layoutWriter, blob string) {
			b, _ := os.ReadFile(l.path(blob))
			b[4] ^= 1 // of a gzip header's time
			os.WriteFile(l.path(blob), b, 0o644)
		}, "content has digest sha256:"},
		"missing": {func(l layoutWriter, blob string) { os.Remove(l.path(blob)) }, "no such file"},
		"longer": {func(l layoutWriter, blob string) {
			b, _ := os.ReadFile(l.path(blob))
			os.WriteFile(l.path(blob), append(b, 0), 0o644)
		}, ""},
		"symbolic link": {func(l layoutWriter, blob string) {
			os.Rename(l.path(blob), l.path(blob)+".real")
			os.Symlink(strings.TrimPrefix(blob, "sha256:")+".real", l.path(blob))
		}, "not a regular file"},
		"directory": {func(l layoutWriter, blob string) {
			os.Remove(l.path(blob))
			os.Mkdir(l.path(blob), 0o755)
		}, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			img := l.image("amd64", "", layer)
			index := l.index(img)
			var m struct {
				Config struct{ Digest string }
				Layers []struct{ Digest string }
			}
			b, _ := os.ReadFile(l.path(img.Digest))
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			for _, blob := range []string{index, img.Digest, m.Config.Digest, m.Layers[0].Digest} {
				before, err := os.ReadFile(l.path(blob))
				if err != nil {
					t.Fatal(err)
				}
				c.harm(l, blob)
				wantError(t, scanLayout(t, l, index), strings.TrimPrefix(blob, "sha256:"), c.want)
				os.RemoveAll(l.path(blob))
				if err := os.WriteFile(l.path(blob), before, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := scanLayout(t, l, index); err != nil {
				t.Errorf("mended, but: %v", err)
			}
		})
	}
}

// T32: what cannot be looked into is an error, never an empty image.
func TestUnreadableImages(t *testing.T) {
	layer := layerOf(t, file{name: "hello", content: "hello"})
	diff := digestOf(layer)
	for name, c := range map[string]struct {
		make func(l layoutWriter) string
		want string
	}{
		"encrypted layer": {func(l layoutWriter) string {
			return l.assemble("amd64", "", []string{diff}, []descriptor{l.blob(ociGzip+"+encrypted", layer)}).Digest
		}, "not a layer that can be scanned"},
		"layer that is no gzip": {func(l layoutWriter) string {
			return l.assemble("amd64", "", []string{diff}, []descriptor{l.blob(ociGzip, layer)}).Digest
		}, "gzip"},
		"another diff id": {func(l layoutWriter) string {
			return l.assemble("amd64", "", []string{digestOf(nil)}, []descriptor{l.blob(ociTar, layer)}).Digest
		}, "config says"},
		"fewer diff ids": {func(l layoutWriter) string {
			return l.assemble("amd64", "", nil, []descriptor{l.blob(ociTar, layer)}).Digest
		}, "config lists 0"},
		"cut-off tar": {func(l layoutWriter) string {
			cut := layerOf(t, file{name: "hello", content: strings.Repeat("hello", 500)})[:1024]
			return l.assemble("amd64", "", []string{digestOf(cut)}, []descriptor{l.blob(ociTar, cut)}).Digest
		}, "unexpected EOF"},
		"another platform": {func(l layoutWriter) string {
			d := l.image("amd64", "", layer)
			d.Platform = &platform{"linux", "arm64"}
			return l.index(d)
		}, `config says "linux/amd64"`},
		"no image": {func(l layoutWriter) string { return l.index() }, "no runnable"},
		"index in index": {func(l layoutWriter) string {
			return l.index(descriptor{MediaType: ociIndex, Digest: digestOf(nil), Size: 0})
		}, "which is no image"},
		"index and manifest in one": {func(l layoutWriter) string {
			return l.json(ociIndex, map[string]any{"mediaType": ociIndex, "manifests": []int{}, "layers": []int{}}).Digest
		}, "neither"},
		"media type of the other kind": {func(l layoutWriter) string {
			return l.json(ociManifest, map[string]any{"mediaType": ociManifest, "manifests": []int{}}).Digest
		}, "does not fit"},
		"artifact": {func(l layoutWriter) string {
			empty := l.blob("application/vnd.oci.empty.v1+json", []byte("{}"))
			return l.json(ociManifest, map[string]any{"schemaVersion": 2, "mediaType": ociManifest, "config": empty, "layers": []descriptor{}}).Digest
		}, "no image config"},
		"digest of another kind": {func(layoutWriter) string { return "sha512:" + strings.Repeat("a", 128) }, "sha512"},
		"path for a digest":      {func(layoutWriter) string { return "sha256:../../x" }, "digest"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			wantError(t, scanLayout(t, l, c.make(l)), c.want)
		})
	}
}

// Layers compressed with gzip, zstd or not at all say the same.
func TestCompressions(t *testing.T) {
	layer := layerOf(t, debianFiles("libssl3 openssl 3.0.20-1~deb12u2")...)
	zw, _ := zstd.NewWriter(nil)
	for mediaType, b := range map[string][]byte{ociTar: layer, "application/vnd.oci.image.layer.v1.tar+zstd": zw.EncodeAll(layer, nil)} {
		l := newLayout(t)
		img := l.assemble("amd64", "", []string{digestOf(layer)}, []descriptor{l.blob(mediaType, b)})
		r, err := Layout(t.Context(), l.dir, img.Digest, testDB(t, nil), Options{Time: now})
		if err != nil {
			t.Fatalf("%s: %v", mediaType, err)
		}
		find(t, r.Platforms[0], "openssl", "CVE-2026-35189")
	}
}

// T31: a layer that unpacks beyond a limit ends in an error at that limit, and nothing stays on disk.
func TestBombs(t *testing.T) {
	zeros := layerOf(t, file{name: "zeros", content: string(make([]byte, 96<<20))})
	many := layerOf(t, func() (fs []file) {
		for range 300 {
			fs = append(fs, file{name: "f"})
		}
		return fs
	}()...)
	long := layerOf(t, file{name: strings.Repeat("long/", 1000)})
	for name, c := range map[string]struct {
		layer []byte
		lower func(*limits)
		want  string
	}{
		"ratio":   {zeros, func(*limits) {}, "200 times its size"},
		"bytes":   {zeros, func(l *limits) { l.bytes, l.ratio = 1<<20, 1<<20 }, "more than 1048576 bytes"},
		"entries": {many, func(l *limits) { l.entries = 100 }, "more than 100 files"},
		"names":   {long, func(*limits) {}, "longer than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			img := l.image("amd64", "", c.layer, c.layer)
			root, err := os.OpenRoot(l.dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			targets, _, err := store{root}.targets(img.Digest)
			if err != nil {
				t.Fatal(err)
			}
			tmp := t.TempDir()
			s := scanner{store: store{root}, db: testDB(t, nil), opts: Options{Time: now, TempDir: tmp}, limits: defaultLimits()}
			c.lower(&s.limits)
			err = s.platforms(t.Context(), targets, make([]Platform, 1))
			wantError(t, err, c.want)
			if left, _ := os.ReadDir(tmp); len(left) != 0 {
				t.Errorf("left on disk: %v", left)
			}
		})
	}
}

// T31: a scan that is cancelled while a layer is read stops, and leaves nothing on disk.
func TestCancelWhileUnpacking(t *testing.T) {
	l := newLayout(t)
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	zw.Write(layerOf(t, file{name: "zeros", content: string(make([]byte, 48<<20))}))
	zw.Close()
	img := l.assemble("amd64", "", []string{digestOf(nil)}, []descriptor{l.blob(ociGzip, buf.Bytes())})
	ctx := &endsLater{Context: t.Context(), after: 5}
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	targets, _, err := store{root}.targets(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	checked, err := newImage(ctx, store{root}, targets[0], defaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	layers, err := checked.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	n, err := bytes.NewBuffer(nil).ReadFrom(r)
	wantError(t, err, "canceled")
	if n >= 48<<20 {
		t.Errorf("%d bytes were read after the end", n)
	}
}

// endsLater is a context that ends when it was asked a number of times.
type endsLater struct {
	context.Context
	after int
}

func (e *endsLater) Err() error {
	if e.after--; e.after < 0 {
		return context.Canceled
	}
	return nil
}

func FuzzDocumentKind(f *testing.F) {
	f.Add([]byte(`{"mediaType":"` + ociIndex + `","manifests":[]}`))
	f.Add([]byte(`{"layers":[],"config":{}}`))
	f.Add([]byte(`{"manifests":[],"layers":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, err := documentKind(b)
		if err == nil && kind.IsIndex() == kind.IsImage() {
			t.Errorf("%q is of kind %q", b, kind)
		}
	})
}

func FuzzRunnable(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"` + ociManifest + `","digest":"` + digestOf(nil) + `","size":1}]}`))
	f.Add([]byte(`{"manifests":[{"annotations":{"vnd.docker.reference.type":"attestation-manifest"}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		descs, err := runnable(b)
		if err == nil && (len(descs) == 0 || len(descs) > maxPlatforms) {
			t.Errorf("%d manifests of %q", len(descs), b)
		}
	})
}
