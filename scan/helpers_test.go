package scan

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/testdb"
)

// now is the time of every test's run; the test database is two hours older.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociGzip     = "application/vnd.oci.image.layer.v1.tar+gzip"
	ociTar      = "application/vnd.oci.image.layer.v1.tar"
)

// file is one entry of a layer: a regular file, or a symbolic link when link is set.
type file struct{ name, content, link string }

// layerOf makes a layer's tar.
func layerOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.content)), Format: tar.FormatPAX}
		if f.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// layoutWriter builds an image layout blob by blob.
type layoutWriter struct {
	t   testing.TB
	dir string
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

func newLayout(t testing.TB) layoutWriter {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	return layoutWriter{t, dir}
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func (l layoutWriter) path(digest string) string {
	return filepath.Join(l.dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

func (l layoutWriter) blob(mediaType string, b []byte) descriptor {
	l.t.Helper()
	d := digestOf(b)
	if err := os.WriteFile(l.path(d), b, 0o644); err != nil {
		l.t.Fatal(err)
	}
	return descriptor{MediaType: mediaType, Digest: d, Size: len(b)}
}

func (l layoutWriter) json(mediaType string, v any) descriptor {
	l.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.blob(mediaType, b)
}

// image writes an image for linux/arch that runs as user, with gzipped layers.
func (l layoutWriter) image(arch, user string, layers ...[]byte) descriptor {
	l.t.Helper()
	var diffs []string
	var descs []descriptor
	for _, layer := range layers {
		var buf bytes.Buffer
		zw := gzip.NewWriter(&buf)
		zw.Write(layer)
		zw.Close()
		diffs = append(diffs, digestOf(layer))
		descs = append(descs, l.blob(ociGzip, buf.Bytes()))
	}
	return l.assemble(arch, user, diffs, descs)
}

// assemble writes config and manifest over layers that are there already.
func (l layoutWriter) assemble(arch, user string, diffs []string, layers []descriptor) descriptor {
	l.t.Helper()
	config := l.json(ociConfig, map[string]any{
		"os": "linux", "architecture": arch, "config": map[string]any{"User": user},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	d := l.json(ociManifest, map[string]any{"schemaVersion": 2, "mediaType": ociManifest, "config": config, "layers": layers})
	d.Platform = &platform{"linux", arch}
	return d
}

func (l layoutWriter) index(manifests ...descriptor) string {
	l.t.Helper()
	return l.json(ociIndex, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": append([]descriptor{}, manifests...)}).Digest
}

const osRelease = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME=bookworm\n"

// debianFiles are a Debian 12 with the given packages, each "name source version".
func debianFiles(pkgs ...string) []file {
	files := []file{{name: "etc/os-release", content: osRelease}, {name: "etc/passwd", content: "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:\n"}}
	var status strings.Builder
	for _, p := range pkgs {
		f := strings.Fields(p)
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nSource: %s\nArchitecture: amd64\nVersion: %s\nMaintainer: x <x@example.test>\nDescription: x\n\n", f[0], f[1], f[2])
		files = append(files,
			file{name: "var/lib/dpkg/info/" + f[0] + ".md5sums", content: "d41d8cd98f00b204e9800998ecf8427e  usr/share/doc/" + f[0] + "/copyright\n"},
			file{name: "usr/share/doc/" + f[0] + "/copyright", content: "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: MIT\n"})
	}
	return append(files, file{name: "var/lib/dpkg/status", content: status.String()})
}

func npmFile(dir, name, version string) file {
	return file{name: dir + "/" + name + "/package.json", content: fmt.Sprintf(`{"name":%q,"version":%q,"license":"MIT"}`, name, version)}
}

// jarFile is a Java archive that says it is the given Maven artifact.
func jarFile(t testing.TB, path, group, artifact, version string) file {
	t.Helper()
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	for name, content := range map[string]string{
		"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n",
		"META-INF/maven/" + group + "/" + artifact + "/pom.properties": "groupId=" + group + "\nartifactId=" + artifact + "\nversion=" + version + "\n",
	} {
		w, err := zw.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(content))
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return file{name: path, content: buf.String()}
}

// goFile is a Go program whose build info names golang.org/x/text at the given version. What it links is a stand-in
// from a vendor directory, so that nothing is fetched.
func goFile(t testing.TB, path, version string) file {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":                                 "module example.test/app\n\ngo 1.21\n\nrequire golang.org/x/text " + version + "\n",
		"main.go":                                "package main\n\nimport \"golang.org/x/text/language\"\n\nfunc main() { language.Parse() }\n",
		"vendor/modules.txt":                     "# golang.org/x/text " + version + "\n## explicit; go 1.21\ngolang.org/x/text/language\n",
		"vendor/golang.org/x/text/language/l.go": "package language\n\nfunc Parse() { println() }\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-mod=vendor", "-buildvcs=false", "-o", "app", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "app"))
	if err != nil {
		t.Fatal(err)
	}
	return file{name: path, content: string(b)}
}

// archiveOf writes a database archive of facts; nil are the committed ones.
func archiveOf(t testing.TB, built time.Time, facts []testdb.Fact) string {
	t.Helper()
	if facts == nil {
		var err error
		if facts, err = testdb.Facts(); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := testdb.Archive(t.TempDir(), built, facts)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// testDB opens a database of facts; nil are the committed ones, in a database that all tests share.
func testDB(t testing.TB, facts []testdb.Fact) *DB {
	t.Helper()
	if facts == nil {
		db, err := sharedDB()
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	root := t.TempDir()
	if _, err := Import(t.Context(), archiveOf(t, now.Add(-2*time.Hour), facts), "", root); err != nil {
		t.Fatal(err)
	}
	db, err := OpenDB(root, now, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// sharedDB spares tests the second that a new database costs. TestMain removes it.
var sharedDB = sync.OnceValues(func() (*DB, error) {
	facts, err := testdb.Facts()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(sharedRoot, 0o755); err != nil {
		return nil, err
	}
	archive, err := testdb.Archive(sharedRoot, now.Add(-2*time.Hour), facts)
	if err != nil {
		return nil, err
	}
	if _, err := Import(context.Background(), archive, "", sharedRoot); err != nil {
		return nil, err
	}
	return OpenDB(sharedRoot, now, 24*time.Hour)
})

var sharedRoot = filepath.Join(os.TempDir(), fmt.Sprintf("sealyard-scan-test-%d", os.Getpid()))

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(sharedRoot)
	os.Exit(code)
}

// wantError fails unless err says all of the words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error where one saying %q is due", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}
