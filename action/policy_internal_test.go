package action

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

// T28: a download is not led away from TLS, by a redirect either, and what is in an address besides the place is not told.
func TestDownloadStaysSecure(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/away", http.RedirectHandler("http://policy.example/acme.tar.gz?token=secret", http.StatusFound))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	s := newSession(Env{Now: time.Now}, values{}, "policy")
	for address, want := range map[string]string{
		srv.URL + "/away": `"policy.example" without TLS`, srv.URL + "/round": "more than 10 redirects", "http://user:secret@policy.example/x?token=secret": `"policy.example" without TLS`,
		"ftp://policy.example/x": `scheme "ftp"`, srv.URL + "/absent?token=secret": "status 404", "http://127.0.0.1:1/x?token=secret": "get it: ",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.download(t.Context(), u, 10)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

// T15 T31: whatever the layers of an artifact are called and hold, they are a policy or are refused in one line.
func FuzzPolicyArtifact(f *testing.F) {
	f.Add("main.rego", "package main\ndeny contains \"x\" if input.image.digest", "data.json", "{}")
	f.Add("../main.rego", "package main", "/etc/passwd", "x")
	f.Add("a\x00.rego", "\x1f\x8b", "", "{")
	f.Fuzz(func(t *testing.T, name1, content1, name2, content2 string) {
		layer := func(kind, name, content string) oci.Layer {
			return oci.Layer{MediaType: kind, Annotations: map[string]string{layerTitle: name}, Content: []byte(content)}
		}
		raw, err := archiveIn(oci.Artifact{Layers: []oci.Layer{layer(typePolicyRego, name1, content1), layer(typePolicyData, name2, content2)}})
		if err == nil {
			_, err = policy.LoadArchive(t.Context(), raw, policy.LoadOptions{})
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
	})
}

// T13 T31: whatever bytes lie where git keeps an object, they are not read unless they are what its name says.
func FuzzBaseObject(f *testing.F) {
	f.Add([]byte("x\x9cK\xca\xc9OR0d\x00\x00\t.\x01\xda"))
	f.Add([]byte(""))
	dir := f.TempDir()
	blob := []byte("package sealyard\n")
	name := plumbing.ComputeHash(plumbing.BlobObject, blob)
	store := func() *filesystem.Storage { return filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRUDefault()) }
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.BlobObject)
	if _, err := o.Write(blob); err != nil {
		f.Fatal(err)
	}
	if _, err := store().SetEncodedObject(o); err != nil {
		f.Fatal(err)
	}
	file := filepath.Join(dir, "objects", name.String()[:2], name.String()[2:])
	good, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		tree := &baseTree{objects: store(), left: 1 << 20}
		got, err := tree.object(plumbing.BlobObject, name)
		if err != nil {
			return
		}
		r, err := got.Reader()
		if err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if _, err := content.ReadFrom(r); err != nil || !bytes.Equal(content.Bytes(), blob) {
			t.Errorf("read %q, %v", content.Bytes(), err)
		}
	})
}
