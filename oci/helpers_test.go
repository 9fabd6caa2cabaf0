package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/testkit"
)

const (
	bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	policyType = "application/vnd.sealyard.policy.v1"
)

// maker writes layouts for tests, also bad ones.
type maker struct {
	t   testing.TB
	dir string
}

func newMaker(t testing.TB) maker {
	t.Helper()
	m := maker{t: t, dir: filepath.Join(t.TempDir(), "layout")}
	m.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return m
}

func (m maker) file(name string, b []byte) {
	m.t.Helper()
	p := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(p, b, 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m maker) blob(mediaType string, b []byte) descriptor {
	m.t.Helper()
	d := describe(mediaType, b)
	m.file(blobFile(d.Digest), b)
	return d
}

func (m maker) json(mediaType string, v any) descriptor {
	m.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.blob(mediaType, b)
}

// image writes a runnable manifest with one layer.
func (m maker) image(arch, content string) descriptor {
	config := m.json(typeConfig, map[string]any{"os": "linux", "architecture": arch, "config": map[string]any{"User": "1000"}})
	layer := m.blob("application/vnd.oci.image.layer.v1.tar+gzip", []byte(content))
	d := m.json(typeManifest, document{SchemaVersion: 2, MediaType: typeManifest, Config: &config, Layers: []descriptor{layer},
		Annotations: map[string]string{"arch": arch}})
	d.Platform = &platform{OS: "linux", Architecture: arch}
	return d
}

// attestation writes what BuildKit adds to an index.
func (m maker) attestation(about descriptor) descriptor {
	config := m.blob(typeEmpty, []byte("{}"))
	layer := m.blob("application/vnd.in-toto+json", []byte(`{"about":"`+about.Digest+`"}`))
	about.Platform = nil
	d := m.json(typeManifest, document{SchemaVersion: 2, MediaType: typeManifest, ArtifactType: "application/vnd.docker.attestation.manifest.v1+json",
		Config: &config, Layers: []descriptor{layer}, Subject: &about})
	d.Platform = &platform{OS: "unknown", Architecture: "unknown"}
	return d
}

func (m maker) index(entries ...descriptor) descriptor {
	return m.json(typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": entries,
		"annotations": map[string]string{"org.opencontainers.image.created": "2026-01-02T03:04:05Z"}})
}

func (m maker) list(entries ...descriptor) {
	m.t.Helper()
	b, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": entries})
	if err != nil {
		m.t.Fatal(err)
	}
	m.file("index.json", b)
}

func (m maker) open() *Dir {
	m.t.Helper()
	d, err := OpenDir(m.dir)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = d.Close() })
	return d
}

// good writes a layout with an index of two platforms; salt makes its digests differ from another's.
func good(t testing.TB, salt string) (*Dir, Image) {
	t.Helper()
	m := newMaker(t)
	m.list(m.index(m.image("amd64", "layer one "+salt), m.image("arm64", "layer two "+salt)))
	d := m.open()
	return d, resolve(t, d, "")
}

func resolve(t testing.TB, s Store, ref string) Image {
	t.Helper()
	img, err := s.Resolve(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func bundle(text string) Artifact {
	return Artifact{Type: bundleType, Annotations: map[string]string{
		"dev.sigstore.bundle.content":       "dsse-envelope",
		"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1",
		"org.opencontainers.image.created":  "2026-01-02T03:04:05Z",
	}, Layers: []Layer{{MediaType: bundleType, Content: []byte(text)}}}
}

// attach puts one bundle on the index and on each manifest, and a policy on the index.
func attach(t testing.TB, d *Dir, img Image, text string) {
	t.Helper()
	subjects := []string{img.Digest}
	for _, p := range img.Platforms {
		subjects = append(subjects, p.Digest)
	}
	for _, s := range subjects {
		if _, err := d.Attach(context.Background(), s, bundle(text+" about "+s)); err != nil {
			t.Fatal(err)
		}
	}
	policy := Artifact{Type: policyType, Layers: []Layer{{MediaType: "application/gzip", Content: []byte("policy " + text)}}}
	if _, err := d.Attach(context.Background(), img.Digest, policy); err != nil {
		t.Fatal(err)
	}
}

// newRemote is a Remote that does not make tests wait.
func newRemote(t testing.TB, o RemoteOptions) *Remote {
	t.Helper()
	r, err := NewRemote(o)
	if err != nil {
		t.Fatal(err)
	}
	r.backoff, r.settle = time.Millisecond, 20*time.Millisecond
	t.Cleanup(r.Close)
	return r
}

func repository(t testing.TB, r *Remote, ref string) *Repository {
	t.Helper()
	p, err := r.Repository(ref)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func everyRegistry(t *testing.T, f func(t *testing.T, addr string, api bool)) {
	t.Helper()
	for _, kind := range testkit.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			f(t, testkit.Registry(t, kind), kind == testkit.Olareg)
		})
	}
}

// same compares what two stores say is attached.
func same(t *testing.T, a, b Store, digest, artifactType string) {
	t.Helper()
	x, errX := a.Attached(context.Background(), digest, artifactType)
	y, errY := b.Attached(context.Background(), digest, artifactType)
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	if got, want := fmt.Sprintf("%#v", x), fmt.Sprintf("%#v", y); got != want {
		t.Errorf("attached to %s:\n%s\n%s", digest, got, want)
	}
}

// tree returns every file of a directory with its content.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		out[strings.TrimPrefix(p, dir+"/")] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// flip changes one bit of a file.
func flip(t testing.TB, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantText(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !bytes.Contains([]byte(err.Error()), []byte(p)) {
			t.Errorf("error %q has no %q", err, p)
		}
	}
}

// dialLoopback makes every name lead to loopback.
func dialLoopback(r *Remote) {
	r.base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, network, "127.0.0.1:"+port)
	}
	r.base.TLSClientConfig.ServerName = "example.com" // httptest's certificate
}
