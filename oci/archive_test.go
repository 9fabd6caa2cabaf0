package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/hint"
)

type entry struct {
	name, content string
	kind          byte // 0: a file
	link          string
}

// pack writes a tar.
func pack(t testing.TB, entries ...entry) string {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: 0o777, Size: int64(len(e.content))}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(file, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// packed is a layout as tar entries.
func packed(t testing.TB, dir, prefix string) []entry {
	t.Helper()
	var out []entry
	for name, content := range files(t, dir) {
		out = append(out, entry{name: prefix + name, content: content})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out
}

func zip(t testing.TB, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".gz", buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file + ".gz"
}

// R62: an archive of a layout is the layout, however it was packed.
func TestOpenArchiveOfLayout(t *testing.T) {
	ctx := context.Background()
	src, img := good(t, "")
	attach(t, src, img, "claim")
	for _, prefix := range []string{"", "./", "app/", "./some where/"} {
		file := pack(t, packed(t, src.Path(), prefix)...)
		for _, f := range []string{file, zip(t, file)} {
			d, err := OpenArchive(ctx, f, t.TempDir())
			if err != nil {
				t.Fatalf("%q: %v", prefix, err)
			}
			if got := resolve(t, d, ""); !reflect.DeepEqual(got, img) {
				t.Errorf("%q: %+v", prefix, got)
			}
			if err := d.Check(ctx); err != nil {
				t.Errorf("%q: %v", prefix, err)
			}
			same(t, d, src, img.Digest, bundleType)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// R62 T29: entries that are links or devices, lie outside or come twice are refused, and nothing of the archive stays.
func TestOpenArchiveRefuses(t *testing.T) {
	src, img := good(t, "")
	blob := blobFile(img.Digest)
	for name, bad := range map[string]entry{
		"parent":        {name: "../evil", content: "x"},
		"inner parent":  {name: "blobs/../../evil", content: "x"},
		"absolute":      {name: "/tmp/evil", content: "x"},
		"backslash":     {name: `blobs\evil`, content: "x"},
		"symlink":       {name: "blobs/sha256/" + strings.Repeat("0", 64), kind: tar.TypeSymlink, link: "/etc/passwd"},
		"layer symlink": {name: "x/layer.tar", kind: tar.TypeSymlink, link: "../y/layer.tar"},
		"hard link":     {name: "blobs/sha256/" + strings.Repeat("0", 64), kind: tar.TypeLink, link: blob},
		"device":        {name: "dev", kind: tar.TypeChar},
		"pipe":          {name: "pipe", kind: tar.TypeFifo},
		"twice":         {name: blob, content: "x"},
		"long name":     {name: strings.Repeat("n/", maxEntryName) + "n", content: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			scratch := t.TempDir()
			_, err := OpenArchive(context.Background(), pack(t, append(packed(t, src.Path(), ""), bad)...), scratch)
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v", err)
			}
			if list, _ := os.ReadDir(scratch); len(list) != 0 {
				t.Errorf("left %v", list)
			}
			if _, err := os.Stat("/tmp/evil"); err == nil {
				t.Error("it wrote outside")
			}
		})
	}
}

// T31: an entry with holes, a few bytes that would unpack to any number, is refused.
func TestOpenArchiveSparse(t *testing.T) {
	file := pack(t, entry{name: "oci-layout", content: strings.Repeat("x", 512)})
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	records := ""
	for _, kv := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=huge", "GNU.sparse.realsize=100000000000"} {
		n := len(kv) + 4
		records += strconv.Itoa(n) + " " + kv + "\n"
	}
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: "PaxHeaders.0/x", Typeflag: tar.TypeReg, Size: int64(len(records))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, records); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	head := buf.Bytes()
	setType(head, tar.TypeXHeader)
	body := raw
	copy(body[512:1024], "1\n0\n0\n"+strings.Repeat("\x00", 506))
	if err := os.WriteFile(file, append(head, body...), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = OpenArchive(context.Background(), file, t.TempDir())
	wantText(t, err, "has holes")
}

// setType changes the type of a raw tar header and mends its checksum.
func setType(header []byte, kind byte) {
	header[156] = kind
	copy(header[148:156], "        ")
	sum := 0
	for _, b := range header[:512] {
		sum += int(b)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// T29: a link is not followed on the way to a file either.
func TestOpenArchiveThroughLink(t *testing.T) {
	out := t.TempDir()
	_, err := OpenArchive(context.Background(), pack(t,
		entry{name: "d/layer.tar", kind: tar.TypeSymlink, link: out},
		entry{name: "d/layer.tar/evil", content: "x"}), t.TempDir())
	if err == nil {
		t.Error("no error")
	}
	if list, _ := os.ReadDir(out); len(list) != 0 {
		t.Errorf("it wrote %v", list)
	}
}

// T31: a small archive that unpacks to far more is given up early.
func TestOpenArchiveBomb(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bomb.tar.gz")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	const size = 2 * ratioFreely
	if err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: size}); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range size / len(zeros) {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []io.Closer{w, z, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	scratch := t.TempDir()
	_, err = OpenArchive(context.Background(), file, scratch)
	wantText(t, err, "times its size")
	if list, _ := os.ReadDir(scratch); len(list) != 0 {
		t.Errorf("left %v", list)
	}
}

func TestOpenArchiveEndsWithContext(t *testing.T) {
	src, _ := good(t, "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	scratch := t.TempDir()
	_, err := OpenArchive(ctx, pack(t, packed(t, src.Path(), "")...), scratch)
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if list, _ := os.ReadDir(scratch); len(list) != 0 {
		t.Errorf("left %v", list)
	}
}

func TestOpenArchiveOfSomethingElse(t *testing.T) {
	scratch := t.TempDir()
	for name, file := range map[string]string{
		"other files": pack(t, entry{name: "README", content: "x"}),
		"missing":     filepath.Join(scratch, "none.tar"),
		"directory":   scratch,
	} {
		if _, err := OpenArchive(context.Background(), file, scratch); !hint.IsMisuse(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no tar ", 200)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenArchive(context.Background(), text, scratch); !hint.IsMisuse(err) {
		t.Errorf("text: %v", err)
	}
	cut := pack(t, entry{name: "oci-layout", content: strings.Repeat("x", 4096)})
	if err := os.Truncate(cut, 2000); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenArchive(context.Background(), cut, scratch); !errors.Is(err, ErrCorrupt) {
		t.Errorf("cut: %v", err)
	}
}

// savedImage is what docker save wrote before it wrote layouts.
func savedImage(t testing.TB, layers ...string) []entry {
	t.Helper()
	var ids, names []string
	var out []entry
	for _, l := range layers {
		ids = append(ids, digestOf([]byte(l)))
		name := ids[len(ids)-1][7:17] + "/layer.tar"
		names = append(names, name)
		out = append(out, entry{name: name, content: l})
	}
	config, err := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal([]saved{{Config: "conf.json", RepoTags: []string{"app:1"}, Layers: names}})
	if err != nil {
		t.Fatal(err)
	}
	return append(out, entry{name: "conf.json", content: string(config)}, entry{name: "manifest.json", content: string(manifest)},
		entry{name: "repositories", content: "{}"})
}

func TestOpenArchiveOfDockerSave(t *testing.T) {
	ctx := context.Background()
	d, err := OpenArchive(ctx, pack(t, savedImage(t, "first", "second")...), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	img := resolve(t, d, "")
	if p := img.Platforms[0]; p.Platform != "linux/amd64" || len(p.Layers) != 2 || p.Layers[1].Digest != digestOf([]byte("second")) || p.Layers[1].MediaType != typeLayer {
		t.Errorf("%+v", p)
	}
	if got := resolve(t, d, "app:1"); got.Digest != img.Digest {
		t.Errorf("by name: %s", got.Digest)
	}
	if err := d.Check(ctx); err != nil {
		t.Error(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	got, err := Fetch(ctx, d, "", out)
	if err != nil || got.Index == "" {
		t.Fatalf("%+v %v", got, err)
	}
}

// T29: older docker save wrote a layer that comes twice as a link; the link is not followed, the layer is found by its id.
func TestOpenArchiveOfDockerSaveWithLinks(t *testing.T) {
	entries := savedImage(t, "first", "empty", "empty")
	entries[2] = entry{name: "twice/layer.tar", kind: tar.TypeSymlink, link: "../" + entries[1].name}
	d, err := OpenArchive(context.Background(), pack(t, entries...), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if n := len(resolve(t, d, "").Platforms[0].Layers); n != 3 {
		t.Errorf("%d layers", n)
	}
}

// R62: a layer that is not what the configuration names is refused.
func TestOpenArchiveOfWrongDockerSave(t *testing.T) {
	good := func() []entry { return savedImage(t, "first", "second") }
	for name, change := range map[string]func(e []entry) []entry{
		"layer changed":   func(e []entry) []entry { e[0].content = "other"; return e },
		"layer missing":   func(e []entry) []entry { return e[1:] },
		"config missing":  func(e []entry) []entry { return append(e[:2:2], e[3:]...) },
		"config no JSON":  func(e []entry) []entry { e[2].content = "{"; return e },
		"one layer fewer": func(e []entry) []entry { e[2].content = `{"rootfs":{"diff_ids":[]}}`; return e },
		"config outside":  func(e []entry) []entry { e[3].content = `[{"Config":"../../etc/passwd"}]`; return e },
		"layer outside": func(e []entry) []entry {
			e[3].content = `[{"Config":"conf.json","Layers":["/etc/passwd","../x"]}]`
			return e
		},
		"two of everything": func(e []entry) []entry { return append(e, e[0]) },
	} {
		_, err := OpenArchive(context.Background(), pack(t, change(good())...), t.TempDir())
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := good()
	e[3].content = `[{},{}]`
	if _, err := OpenArchive(context.Background(), pack(t, e...), t.TempDir()); !hint.IsMisuse(err) {
		t.Errorf("two images: %v", err)
	}
}
