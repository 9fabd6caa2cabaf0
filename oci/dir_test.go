package oci

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/internal/testkit"
)

// R53: the manifest of an attached artifact, byte for byte.
func TestAttachWritesExactManifest(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	a, err := d.Attach(ctx, img.Digest, bundle("{}"))
	if err != nil {
		t.Fatal(err)
	}
	const empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"` + bundleType + `",` +
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + empty + `","size":2},` +
		`"layers":[{"mediaType":"` + bundleType + `","digest":"` + empty + `","size":2}],` +
		`"subject":{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"` + img.Digest + `","size":` + itoa(img.Size) + `},` +
		`"annotations":{"dev.sigstore.bundle.content":"dsse-envelope","dev.sigstore.bundle.predicateType":"https://slsa.dev/provenance/v1","org.opencontainers.image.created":"2026-01-02T03:04:05Z"}}`
	all := files(t, d.Path())
	if got := all[blobFile(a.Digest)]; got != want {
		t.Errorf("manifest\n%s\nwant\n%s", got, want)
	}
	if all[blobFile(empty)] != "{}" {
		t.Error("the empty config's blob is missing")
	}
	if !strings.Contains(all["index.json"], `"artifactType":"`+bundleType+`"`) {
		t.Errorf("index.json %s", all["index.json"])
	}
	again, err := d.Attach(ctx, img.Digest, bundle("{}"))
	if err != nil || !reflect.DeepEqual(again, a) {
		t.Errorf("again: %+v %v", again, err)
	}
	if got := files(t, d.Path()); !reflect.DeepEqual(got, all) {
		t.Error("attaching the same again changed the layout")
	}
	if err := d.Check(ctx); err != nil {
		t.Error(err)
	}
}

func itoa(n int64) string {
	var b []byte
	for ; n > 0; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

// R57: what others would not read is not written.
func TestAttachRefusesTooMuch(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	before := files(t, d.Path())
	_, err := d.Attach(ctx, img.Digest, bundle(strings.Repeat("x", maxWrittenLayer)))
	wantText(t, err, "10000000 bytes")
	_, err = d.Attach(ctx, "sha256:"+strings.Repeat("0", 64), bundle("x"))
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("another subject: %v", err)
	}
	if _, err = d.Attach(ctx, img.Digest, Artifact{}); err == nil {
		t.Error("an artifact without type")
	}
	if !reflect.DeepEqual(files(t, d.Path()), before) {
		t.Error("a refused artifact left something")
	}
	for i := range maxWrittenAttached + 1 {
		_, err = d.Attach(ctx, img.Digest, bundle(strings.Repeat("x", i)))
		if (err != nil) != (i == maxWrittenAttached) {
			t.Fatalf("artifact %d: %v", i, err)
		}
	}
	if _, err = d.Attach(ctx, img.Digest, bundle("")); err != nil {
		t.Errorf("one that is there already: %v", err)
	}
}

// R63: attaching keeps what index.json lists and members that we do not know.
func TestAttachKeepsIndex(t *testing.T) {
	ctx := context.Background()
	m := newMaker(t)
	idx := m.index(m.image("amd64", "x"))
	m.file("index.json", []byte(`{"schemaVersion":2,"x-own":{"a":[1,2.50]},"manifests":[{"mediaType":"`+idx.MediaType+`","digest":"`+idx.Digest+`","size":`+itoa(idx.Size)+`,"x-own":true}]}`))
	d := m.open()
	if _, err := d.Attach(ctx, idx.Digest, bundle("x")); err != nil {
		t.Fatal(err)
	}
	got := files(t, d.Path())["index.json"]
	for _, want := range []string{`"x-own":{"a":[1,2.50]}`, `"size":` + itoa(idx.Size) + `,"x-own":true}`, bundleType} {
		if !strings.Contains(got, want) {
			t.Errorf("index.json %s has no %s", got, want)
		}
	}
}

// R54 R62: indexes in indexes are followed; attestation entries for unknown/unknown are no platforms.
func TestResolveShapes(t *testing.T) {
	ctx := context.Background()
	m := newMaker(t)
	amd := m.image("amd64", "x")
	inner := m.index(amd, m.attestation(amd))
	arm := m.image("arm64", "y")
	arm.Platform.Variant = "v8"
	m.list(m.index(inner, arm))
	d := m.open()
	img := resolve(t, d, "")
	var got []string
	for _, p := range img.Platforms {
		got = append(got, p.Platform)
	}
	if want := []string{"linux/amd64", "linux/arm64/v8"}; !reflect.DeepEqual(got, want) || img.Index != img.Digest {
		t.Errorf("%q, index %q", got, img.Index)
	}
	if p := img.Platforms[0]; len(p.Layers) != 1 || p.Annotations["arch"] != "amd64" || !strings.Contains(string(p.Config), `"User":"1000"`) {
		t.Errorf("%+v", p)
	}
	if err := d.Check(ctx); err != nil {
		t.Error(err)
	}
	list, err := d.Attached(ctx, amd.Digest, "application/vnd.docker.attestation.manifest.v1+json")
	if err != nil || len(list) != 1 {
		t.Errorf("attestation manifest as referrer: %v %v", list, err)
	}
}

// R62 T31: documents that are ambiguous, deep, large or that contradict their descriptors are refused.
func TestResolveRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		make func(m maker)
		want string
	}{
		"platform twice":     {func(m maker) { m.list(m.index(m.image("amd64", "x"), m.image("amd64", "y"))) }, `platform "linux/amd64" twice`},
		"no platform at all": {func(m maker) { a := m.image("amd64", "x"); m.list(m.index(m.attestation(a))) }, "no runnable platform"},
		"no image":           {func(m maker) { m.list() }, "no image"},
		"two images":         {func(m maker) { m.list(m.index(m.image("amd64", "x")), m.index(m.image("arm64", "y"))) }, "2 images"},
		"index too deep": {func(m maker) {
			d := m.image("amd64", "x")
			for range 6 {
				d = m.index(d)
			}
			m.list(d)
		}, "nested deeper"},
		"duplicate name":     {func(m maker) { m.list(m.blob(typeIndex, []byte(`{"schemaVersion":2,"manifests":[],"manifests":[]}`))) }, "duplicate"},
		"index and manifest": {func(m maker) { m.list(m.blob(typeIndex, []byte(`{"schemaVersion":2,"manifests":[],"layers":[]}`))) }, "an index with"},
		"manifest and index": {func(m maker) { m.list(m.blob(typeManifest, []byte(`{"schemaVersion":2,"manifests":[],"layers":[]}`))) }, "a manifest with manifests"},
		"calls itself other": {func(m maker) {
			m.list(m.blob(typeIndex, []byte(`{"schemaVersion":2,"mediaType":"`+typeManifest+`","manifests":[]}`)))
		}, "calls itself"},
		"schema 1": {func(m maker) { m.list(m.blob(typeIndex, []byte(`{"schemaVersion":1,"manifests":[]}`))) }, "schema version 1"},
		"deep": {func(m maker) {
			m.list(m.blob(typeIndex, []byte(`{"schemaVersion":2,"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`)))
		}, "deeper"},
		"weak digest": {func(m maker) {
			m.list(m.blob(typeIndex, []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"`+typeManifest+`","digest":"sha1:00","size":1}]}`)))
		}, "not sha256"},
		"negative size": {func(m maker) { d := m.index(); d.Size = -1; m.list(d) }, "out of range"},
		"foreign media type": {func(m maker) {
			m.list(m.index(m.blob("application/vnd.docker.distribution.manifest.v1+prettyjws", []byte("{}"))))
		}, "is not an image's"},
		"path for a digest":  {func(m maker) { d := m.index(); d.Digest = "sha256:../../../../etc/passwd"; m.list(d) }, "not sha256"},
		"upper case digest":  {func(m maker) { d := m.index(); d.Digest = strings.ToUpper(d.Digest[7:]); m.list(d) }, "not sha256"},
		"index.json no JSON": {func(m maker) { m.file("index.json", []byte("{")) }, "index.json"},
		"index.json missing": {func(maker) {}, "index.json: corrupt content: it is missing"},
		"index.json too big": {func(m maker) { m.file("index.json", []byte(strings.Repeat(" ", maxManifest+1))) }, "at most"},
		"trailing data":      {func(m maker) { m.list(m.blob(typeIndex, []byte(`{"schemaVersion":2,"manifests":[]}{}`))) }, "after top-level value"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaker(t)
			c.make(m)
			_, err := m.open().Resolve(context.Background(), "")
			wantText(t, err, c.want)
		})
	}
}

// R62 T29: a blob that is flipped, missing, of another size, a link or a pipe is corrupt, and the error names its file.
func TestCorruptLayoutNamesTheFile(t *testing.T) {
	ctx := context.Background()
	replace := func(with func(file string) error) func(*testing.T, string) {
		return func(t *testing.T, file string) {
			t.Helper()
			if err := os.Rename(file, file+".was"); err != nil {
				t.Fatal(err)
			}
			if err := with(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	damage := map[string]func(*testing.T, string){
		"flipped byte": func(t *testing.T, f string) { flip(t, f) },
		"missing":      replace(func(string) error { return nil }),
		"longer": func(t *testing.T, f string) {
			b, _ := os.ReadFile(f)
			if err := os.WriteFile(f, append(b, ' '), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"shorter": func(t *testing.T, f string) {
			if err := os.Truncate(f, 1); err != nil {
				t.Fatal(err)
			}
		},
		"link inside":  replace(func(f string) error { return os.Symlink(filepath.Base(f)+".was", f) }),
		"link outside": replace(func(f string) error { return os.Symlink("/etc/passwd", f) }),
		"pipe":         replace(func(f string) error { return syscall.Mkfifo(f, 0o644) }),
		"directory":    replace(func(f string) error { return os.Mkdir(f, 0o755) }),
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			d, img := good(t, "")
			a, err := d.Attach(ctx, img.Platforms[1].Digest, bundle("claim"))
			if err != nil {
				t.Fatal(err)
			}
			victims := []string{img.Digest, img.Platforms[0].Digest, img.Platforms[1].Layers[0].Digest, a.Digest, a.Layers[0].Digest}
			for _, v := range victims {
				file := filepath.Join(d.Path(), blobFile(v))
				keep, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				do(t, file)
				if err := d.Check(ctx); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), blobFile(v)) {
					t.Errorf("%v", err)
				}
				_ = os.RemoveAll(file)
				if err := os.WriteFile(file, keep, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Check(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// T29: a directory that is a link is not followed, even inside the layout.
func TestLinkedDirectoryIsRefused(t *testing.T) {
	d, _ := good(t, "")
	if err := os.Rename(filepath.Join(d.Path(), "blobs"), filepath.Join(d.Path(), "real")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(d.Path(), "blobs")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Resolve(context.Background(), ""); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

// T27: artifacts that the layout lists but that are about something else are passed over; of those asked for, an unreadable one is an error.
func TestAttachedBelievesOnlyManifests(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	a, err := d.Attach(ctx, img.Digest, bundle("mine"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Attach(ctx, img.Platforms[0].Digest, bundle("about the platform")); err != nil {
		t.Fatal(err)
	}
	lie := describe(typeManifest, []byte(files(t, d.Path())[blobFile(a.Digest)]))
	lie.ArtifactType, lie.Annotations = "application/other", map[string]string{"evil": "yes"}
	junk := descriptor{MediaType: typeManifest, Digest: "sha256:" + strings.Repeat("1", 64), Size: 7, ArtifactType: "application/junk"}
	entries, err := d.index()
	if err != nil {
		t.Fatal(err)
	}
	m := maker{t: t, dir: d.Path()}
	list := []descriptor{lie, junk}
	for _, e := range entries {
		if e.Digest != lie.Digest {
			list = append(list, e)
		}
	}
	m.list(list...)
	got, err := d.Attached(ctx, img.Digest, bundleType)
	if err != nil || len(got) != 1 || string(got[0].Layers[0].Content) != "mine" || got[0].Annotations["evil"] != "" {
		t.Fatalf("%v %v", got, err)
	}
	list[1].ArtifactType = bundleType
	m.list(list...)
	if _, err := d.Attached(ctx, img.Digest, bundleType); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an unreadable bundle: %v", err)
	}
	m.list(append(make([]descriptor, 0), list[0], list[2])...)
	flip(t, filepath.Join(d.Path(), blobFile(a.Layers[0].Digest)))
	if _, err := d.Attached(ctx, img.Digest, bundleType); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an edited bundle: %v", err)
	}
}

// T31: artifacts larger than what fits are not read.
func TestAttachedIsBounded(t *testing.T) {
	ctx := context.Background()
	m := newMaker(t)
	idx := m.index(m.image("amd64", "x"))
	config := m.blob(typeEmpty, []byte("{}"))
	var layers []descriptor
	for i := range 5 {
		layers = append(layers, m.blob(bundleType, []byte(strings.Repeat(string(rune('a'+i)), 8<<20))))
	}
	a := m.json(typeManifest, document{SchemaVersion: 2, MediaType: typeManifest, ArtifactType: bundleType, Config: &config, Layers: layers, Subject: &idx})
	m.list(idx, a)
	_, err := m.open().Attached(ctx, idx.Digest, bundleType)
	wantText(t, err, a.Digest, "at most")
}

func TestResolveByName(t *testing.T) {
	m := newMaker(t)
	one, two := m.index(m.image("amd64", "x")), m.image("arm64", "y")
	one.Annotations = map[string]string{nameAnnotation: "v1"}
	m.list(one, two)
	d := m.open()
	for ref, want := range map[string]string{"v1": one.Digest, one.Digest: one.Digest, two.Digest: two.Digest} {
		if got := resolve(t, d, ref); got.Digest != want || got.Index != "" {
			t.Errorf("%q is %s in %q, want %s", ref, got.Digest, got.Index, want)
		}
	}
	_, err := d.Resolve(context.Background(), "v2")
	if !hint.IsMisuse(err) || !errors.Is(err, ErrNotFound) || !strings.Contains(hint.Of(err), `"v1"`) {
		t.Errorf("%v %s", err, hint.Of(err))
	}
}

func TestOpenDirRefuses(t *testing.T) {
	empty := t.TempDir()
	for _, dir := range []string{empty, filepath.Join(empty, "none"), "/etc/passwd"} {
		if _, err := OpenDir(dir); !hint.IsMisuse(err) {
			t.Errorf("%q: %v", dir, err)
		}
	}
	m := newMaker(t)
	m.file("oci-layout", []byte(`{"imageLayoutVersion":"2.0.0"}`))
	if _, err := OpenDir(m.dir); err == nil {
		t.Error("version 2.0.0")
	}
}

// The images under the shared test data are single manifests listed in index.json.
func TestFetchWrapsSingleManifest(t *testing.T) {
	ctx := context.Background()
	m := newMaker(t)
	single := m.image("amd64", "x")
	single.Platform = nil
	m.list(single)
	src := m.open()
	if _, err := src.Attach(ctx, single.Digest, bundle("claim")); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	img, err := Fetch(ctx, src, "", out)
	if err != nil {
		t.Fatal(err)
	}
	if img.Digest != single.Digest || img.Index == "" || img.Index == img.Digest || img.Platforms[0].Platform != "linux/amd64" {
		t.Errorf("%+v", img)
	}
	d, err := OpenDir(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	for _, ref := range []string{"", single.Digest, img.Index} {
		if got := resolve(t, d, ref); !reflect.DeepEqual(got, img) {
			t.Errorf("%q\n%+v\nwant\n%+v", ref, got, img)
		}
	}
	same(t, d, src, single.Digest, bundleType)
	entries, err := d.index()
	if err != nil || len(entries) != 2 || entries[0].MediaType != typeIndex || entries[0].Digest != img.Index {
		t.Errorf("%+v %v", entries, err)
	}
	if err := d.Check(ctx); err != nil {
		t.Error(err)
	}
	r := newRemote(t, RemoteOptions{})
	ref := testkit.Registry(t, testkit.Olareg) + "/app:1"
	if err := r.Push(ctx, d, img, ref); err != nil {
		t.Fatal(err)
	}
	if err := r.Tag(ctx, img, []string{ref}); err != nil {
		t.Fatal(err)
	}
	if got := resolve(t, repository(t, r, ref), ""); got.Digest != single.Digest || got.Index != "" {
		t.Errorf("%+v", got)
	}
}

// T29: a name that claims to wrap another manifest than it does is refused.
func TestFalseWrapIsRefused(t *testing.T) {
	m := newMaker(t)
	other := m.image("arm64", "y")
	idx := m.index(m.image("amd64", "x"))
	idx.Annotations = map[string]string{wrapsAnnotation: other.Digest}
	m.list(idx)
	if _, err := m.open().Resolve(context.Background(), ""); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

func TestFetchIsAllOrNothing(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	parent := t.TempDir()
	out := filepath.Join(parent, "out")
	flip(t, filepath.Join(d.Path(), blobFile(img.Platforms[0].Layers[0].Digest)))
	if _, err := Fetch(ctx, d, "", out); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if list, _ := os.ReadDir(parent); len(list) != 0 {
		t.Errorf("left %v", list)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	d2, _ := good(t, "2")
	if _, err := Fetch(ended, d2, "", out); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if list, _ := os.ReadDir(parent); len(list) != 0 {
		t.Errorf("left %v", list)
	}
	if _, err := Fetch(ctx, d2, "", d.Path()); !hint.IsMisuse(err) {
		t.Errorf("into a directory that is not empty: %v", err)
	}
}

func TestFetchOfSomeTypes(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	attach(t, d, img, "x")
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Fetch(ctx, d, "", out, policyType); err != nil {
		t.Fatal(err)
	}
	got, err := OpenDir(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = got.Close() }()
	all, err := got.Attached(ctx, img.Digest, "")
	if err != nil || len(all) != 1 || all[0].Type != policyType || all[0].Layers[0].Content != nil {
		t.Errorf("%v %v", all, err)
	}
}

func TestReadGivesUpWithContext(t *testing.T) {
	d, img := good(t, "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := d.read(ctx, descriptor{Digest: img.Platforms[0].Layers[0].Digest, Size: img.Platforms[0].Layers[0].Size}, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
