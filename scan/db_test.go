package scan

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/klauspost/compress/gzip"

	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/internal/testdb"
)

// wantMend fails unless err says all of the words and comes with a hint that names the command that mends it.
func wantMend(t *testing.T, err error, words ...string) {
	t.Helper()
	wantError(t, err, words...)
	if h := hint.Of(err); !strings.Contains(h, "sealyard db ") {
		t.Errorf("error %q has hint %q", err, h)
	}
}

func importInto(t *testing.T, root, archive string) DBInfo {
	t.Helper()
	info, err := Import(t.Context(), archive, "", root)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// entries are the names under root, without the lock.
func entries(t *testing.T, root string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Name() != ".lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

// R81 T33: a database is imported whole, described by digest and build time, and can only be read.
func TestImport(t *testing.T) {
	built := now.Add(-time.Hour)
	archive := archiveOf(t, built, nil)
	b, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "deep", "root")
	info, err := Import(t.Context(), archive, digestOf(b), root)
	if err != nil {
		t.Fatal(err)
	}
	if info.Digest != digestOf(b) || !info.Built.Equal(built) || info.Source != testdb.ArchiveName || !strings.HasPrefix(info.Schema, "6.") {
		t.Errorf("info %+v", info)
	}
	if len(info.Providers) == 0 || info.Age(now) != time.Hour {
		t.Errorf("providers %v, age %v", info.Providers, info.Age(now))
	}
	status, err := Status(root)
	if err != nil || status.Digest != info.Digest || status.Path != info.Path {
		t.Errorf("status %+v, %v", status, err)
	}
	file, err := os.Stat(filepath.Join(info.Path, v6.VulnerabilityDBFileName))
	if err != nil || file.Mode().Perm() != 0o444 {
		t.Errorf("file %v, %v", file.Mode(), err)
	}
	if again := importInto(t, root, archive); again.Digest != info.Digest {
		t.Errorf("second import: %+v", again)
	}
	if got := entries(t, root); len(got) != 2 {
		t.Errorf("left: %v", got)
	}
}

// R81 T33: no database, an edited, emptied, old or future one is an error that names what mends it.
func TestUnsoundDatabases(t *testing.T) {
	const age = 5 * 24 * time.Hour
	fresh := archiveOf(t, now.Add(-time.Hour), nil)
	for name, c := range map[string]struct {
		archive string
		harm    func(root string, info DBInfo)
		want    string
	}{
		"too old":     {archiveOf(t, now.Add(-age-time.Minute), nil), nil, "too old"},
		"from future": {archiveOf(t, now.Add(time.Hour), nil), nil, "future"},
		"edited": {fresh, func(_ string, info DBInfo) {
			file := filepath.Join(info.Path, v6.VulnerabilityDBFileName)
			os.Chmod(file, 0o644)
			b, _ := os.ReadFile(file)
			b[len(b)-1] ^= 1
			os.WriteFile(file, b, 0o644)
		}, "changed since it was imported"},
		"removed":        {fresh, func(root string, _ DBInfo) { os.RemoveAll(root) }, "no vulnerability database"},
		"file removed":   {fresh, func(_ string, info DBInfo) { os.RemoveAll(info.Path) }, "no import metadata"},
		"record emptied": {fresh, func(_ string, info DBInfo) { os.WriteFile(filepath.Join(info.Path, "import.json"), nil, 0o644) }, "no import metadata"},
		"current edited": {fresh, func(root string, _ DBInfo) { os.WriteFile(filepath.Join(root, currentFile), []byte("../x"), 0o644) }, "does not name one"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			info := importInto(t, root, c.archive)
			if c.harm != nil {
				c.harm(root, info)
			}
			_, err := OpenDB(root, now, age)
			wantMend(t, err, c.want)
		})
	}
	_, err := OpenDB(t.TempDir(), now, 0)
	if !hint.IsMisuse(err) {
		t.Errorf("no maximum age: %v", err)
	}
	root := t.TempDir()
	importInto(t, root, archiveOf(t, now.Add(time.Minute), nil))
	db, err := OpenDB(root, now, age)
	if err != nil {
		t.Fatalf("a minute of clock difference: %v", err)
	}
	db.Close()
}

// tarball packs entries as they are given.
func tarball(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, h := range headers {
		h.Mode = 0o644
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			tw.Write(make([]byte, h.Size))
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// T29 T31: what is no sound archive changes nothing: no file appears, the database before stays in use.
func TestImportRefuses(t *testing.T) {
	good := archiveOf(t, now.Add(-time.Hour), nil)
	db := v6.VulnerabilityDBFileName
	var many []tar.Header
	for range maxDBEntries + 1 {
		many = append(many, tar.Header{Name: "x", Typeflag: tar.TypeReg})
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty file":     {nil, "too short"},
		"text":           {[]byte(strings.Repeat("no archive ", 100)), "tar"},
		"empty tar":      {tarball(t), "holds no"},
		"other files":    {tarball(t, tar.Header{Name: "x/" + db, Typeflag: tar.TypeReg, Size: 10}), "holds no"},
		"symbolic link":  {tarball(t, tar.Header{Name: db, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), "not one regular file"},
		"two of them":    {tarball(t, tar.Header{Name: db, Typeflag: tar.TypeReg, Size: 1}, tar.Header{Name: "./" + db, Typeflag: tar.TypeReg}), "not one regular file"},
		"too many files": {tarball(t, many...), "more than"},
		"no database":    {tarball(t, tar.Header{Name: db, Typeflag: tar.TypeReg, Size: 8192}), ""},
		"cut off":        {tarball(t, tar.Header{Name: db, Typeflag: tar.TypeReg, Size: 8192})[:2000], "unexpected EOF"},
		"path traversal": {tarball(t, tar.Header{Name: "../../" + db, Typeflag: tar.TypeReg, Size: 8192}), ""},
		"empty database": {read(t, archiveOf(t, now, []testdb.Fact{})), "it is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			before := importInto(t, root, good)
			archive := filepath.Join(t.TempDir(), "archive.tar")
			if err := os.WriteFile(archive, c.content, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Import(t.Context(), archive, "", root)
			wantError(t, err, "archive.tar", c.want)
			after, err := Status(root)
			if err != nil || after.Digest != before.Digest || len(entries(t, root)) != 2 {
				t.Errorf("afterwards: %+v, %v, %v", after, err, entries(t, root))
			}
		})
	}
	root := t.TempDir()
	_, err := Import(t.Context(), good, digestOf(nil), root)
	wantError(t, err, "expected")
	_, err = Import(t.Context(), good, "md5:1", root)
	if !hint.IsMisuse(err) {
		t.Errorf("digest of another kind: %v", err)
	}
	_, err = Import(t.Context(), filepath.Dir(good), "", root)
	wantError(t, err, "not a regular file")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Import(ended, good, "", root)
	wantError(t, err, "canceled")
	if got := entries(t, root); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The database that an import replaces stays for one import more, because a run may be reading it; leftovers of killed
// imports go.
func TestImportReplaces(t *testing.T) {
	root := t.TempDir()
	os.Mkdir(filepath.Join(root, importPrefix+"killed"), 0o755)
	var digests []string
	for i := range 3 {
		digests = append(digests, strings.TrimPrefix(importInto(t, root, archiveOf(t, now.Add(-time.Duration(i)*time.Hour), nil)).Digest, "sha256:"))
	}
	want := append(slices.Clone(digests[1:]), currentFile)
	slices.Sort(want)
	if got := entries(t, root); !slices.Equal(got, want) {
		t.Errorf("entries %v, want %v", got, want)
	}
	if info, err := Status(root); err != nil || info.Digest != "sha256:"+digests[2] {
		t.Errorf("%+v, %v", info, err)
	}
}

// Archives are told by their content, gzip too.
func TestImportGzip(t *testing.T) {
	plain, err := decompressAll(archiveOf(t, now, nil))
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	zw.Write(plain)
	zw.Close()
	for _, b := range [][]byte{plain, buf.Bytes()} {
		archive := filepath.Join(t.TempDir(), "db")
		os.WriteFile(archive, b, 0o644)
		if info := importInto(t, t.TempDir(), archive); info.Digest != digestOf(b) {
			t.Errorf("%+v", info)
		}
	}
}

func decompressAll(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := decompress(bufio.NewReader(f))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// mirror serves files, counting how often each is asked for.
func mirror(t *testing.T, files map[string][]byte) (*httptest.Server, map[string]int) {
	t.Helper()
	asked := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		b, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(b)
	}))
	t.Cleanup(s.Close)
	return s, asked
}

func listing(path, checksum string) []byte {
	return []byte(`{"status":"active","schemaVersion":"v6.1.10","built":"2026-11-23T10:00:00Z","path":"` + path + `","checksum":"` + checksum + `"}`)
}

// T33: update takes a mirror's listing, the listing's address or an archive's, and fetches nothing that is there already.
func TestUpdate(t *testing.T) {
	archive := read(t, archiveOf(t, now.Add(-time.Hour), nil))
	s, asked := mirror(t, map[string][]byte{
		"/m/v6/latest.json": listing("db.tar.zst?x=1", digestOf(archive)),
		"/m/v6/db.tar.zst":  archive,
	})
	for _, source := range []string{"/m", "/m/v6/latest.json", "/m/v6/db.tar.zst"} {
		root := t.TempDir()
		info, err := Update(t.Context(), s.URL+source, root, UpdateOptions{Digest: digestOf(archive)})
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		if info.Digest != digestOf(archive) || !strings.HasPrefix(info.Source, s.URL) || len(entries(t, root)) != 2 {
			t.Errorf("%s: %+v, %v", source, info, entries(t, root))
		}
	}
	root, before := t.TempDir(), asked["/m/v6/db.tar.zst"]
	for range 3 {
		if _, err := Update(t.Context(), s.URL+"/m", root, UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := asked["/m/v6/db.tar.zst"] - before; got != 1 {
		t.Errorf("archive fetched %d times", got)
	}
}

// T33: whatever a mirror does, an unsound answer leaves root as it was.
func TestUpdateRefuses(t *testing.T) {
	archive := read(t, archiveOf(t, now.Add(-time.Hour), nil))
	sum := digestOf(archive)
	s, _ := mirror(t, map[string][]byte{
		"/db.tar.zst":        archive,
		"/wrong.json":        listing("db.tar.zst", digestOf(nil)),
		"/missing.json":      listing("none.tar.zst", sum),
		"/elsewhere.json":    listing("https://example.test/db.tar.zst", sum),
		"/host.json":         listing("//example.test/db.tar.zst", sum),
		"/nosum.json":        listing("db.tar.zst", ""),
		"/schema.json":       bytes.Replace(listing("db.tar.zst", sum), []byte("v6."), []byte("v5."), 1),
		"/text.json":         []byte("<html>"),
		"/large.json":        make([]byte, maxListing+1),
		"/truncated.tar.zst": archive[:len(archive)/2],
	})
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for source, want := range map[string]string{
		s.URL + "/wrong.json":        "expected",
		s.URL + "/missing.json":      "404",
		s.URL + "/elsewhere.json":    "not relative",
		s.URL + "/host.json":         "not relative",
		s.URL + "/nosum.json":        "no sha256 digest",
		s.URL + "/schema.json":       "schema",
		s.URL + "/text.json":         "invalid character",
		s.URL + "/large.json":        "larger than",
		s.URL + "/truncated.tar.zst": "EOF",
		s.URL + "/nowhere":           "404",
		closed.URL:                   "refused",
	} {
		root := t.TempDir()
		_, err := Update(t.Context(), source, root, UpdateOptions{})
		wantError(t, err, want)
		if got := entries(t, root); len(got) != 0 {
			t.Errorf("%s left %v", source, got)
		}
	}
	for _, source := range []string{"ftp://example.test/x.tar", "file:///x.tar", "x.tar", "https:///x", "http://example.test/db.tar.zst", "http://%"} {
		root := filepath.Join(t.TempDir(), "root")
		_, err := Update(t.Context(), source, root, UpdateOptions{})
		if !hint.IsMisuse(err) {
			t.Errorf("%s: %v", source, err)
		}
		if _, err := os.Stat(root); err == nil {
			t.Errorf("%s made %s", source, root)
		}
	}
	_, err := Update(t.Context(), s.URL+"/db.tar.zst", t.TempDir(), UpdateOptions{Digest: digestOf(nil)})
	wantError(t, err, "expected")
}

// An answer over TLS is not taken from a place without it.
func TestRedirects(t *testing.T) {
	at := func(s string) *http.Request {
		r, err := http.NewRequest(http.MethodGet, s, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := []*http.Request{at("https://a.test/")}
	if err := checkRedirect(at("https://b.test/"), first); err != nil {
		t.Error(err)
	}
	wantError(t, checkRedirect(at("http://b.test/"), first), "from https")
	wantError(t, checkRedirect(at("https://b.test/"), slices.Repeat(first, maxRedirects+1)), "redirects")
}

func FuzzParseListing(f *testing.F) {
	f.Add(listing("db.tar.zst", digestOf(nil)))
	f.Add(listing("../../x?y#z", digestOf(nil)))
	f.Add(listing("//host/x", digestOf(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		base, _ := url.Parse("https://example.test/databases/v6/latest.json")
		u, sum, err := parseListing(b, base)
		if err == nil && (u.Scheme != "https" || u.Host != "example.test" || !isHex256(strings.TrimPrefix(sum, "sha256:"))) {
			t.Errorf("%q gives %v %q", b, u, sum)
		}
	})
}

func FuzzExtractDB(f *testing.F) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	tw.WriteHeader(&tar.Header{Name: v6.VulnerabilityDBFileName, Typeflag: tar.TypeReg, Size: 3, Mode: 0o644})
	tw.Write([]byte("abc"))
	tw.Close()
	f.Add(buf.Bytes())
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		err = extractDB(root, bytes.NewReader(b), 1<<20)
		list, _ := os.ReadDir(dir)
		if err == nil && (len(list) != 1 || list[0].Name() != v6.VulnerabilityDBFileName || !list[0].Type().IsRegular()) {
			t.Errorf("extracted %v", list)
		}
	})
}

// FuzzDecompress reads archives of any compression.
func FuzzDecompress(f *testing.F) {
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0})
	f.Add([]byte("a tar"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if hex, err := extract(t.Context(), file, t.TempDir()); err == nil && "sha256:"+hex != digestOf(b) {
			t.Errorf("digest %s", hex)
		}
	})
}
