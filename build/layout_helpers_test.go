package build_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blob reads a blob of a layout and checks its digest.
func blob(t testing.TB, layout, digest string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(layout, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:")))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(data)); got != digest {
		t.Fatalf("blob %s has digest %s", digest, got)
	}
	return data
}

func decode[T any](t testing.TB, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// content is what the files of an image hold, by absolute path. Later layers win.
func content(t testing.TB, layout, manifest string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, l := range decode[ocispec.Manifest](t, blob(t, layout, manifest)).Layers {
		gz, err := gzip.NewReader(bytes.NewReader(blob(t, layout, l.Digest.String())))
		if err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(gz); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg && h.Name != "tool" {
				data, err := io.ReadAll(tr)
				if err != nil {
					t.Fatal(err)
				}
				out["/"+h.Name] = string(data)
			}
		}
	}
	return out
}

// push puts every blob of a layout and its index into a registry and returns the reference by digest.
func push(t testing.TB, layout, registry, name, tag string) string {
	t.Helper()
	top := decode[ocispec.Index](t, read(t, filepath.Join(layout, "index.json"))).Manifests[0]
	index := decode[ocispec.Index](t, blob(t, layout, top.Digest.String()))
	base := "http://" + registry + "/v2/" + name
	for _, d := range index.Manifests {
		m := decode[ocispec.Manifest](t, blob(t, layout, d.Digest.String()))
		for _, b := range append(m.Layers, m.Config) {
			resp, err := http.Post(base+"/blobs/uploads/", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			location, err := resp.Location()
			if err != nil {
				t.Fatal(err)
			}
			q := location.Query()
			q.Set("digest", b.Digest.String())
			location.RawQuery = q.Encode()
			put(t, location.String(), "application/octet-stream", blob(t, layout, b.Digest.String()))
		}
		put(t, base+"/manifests/"+d.Digest.String(), d.MediaType, blob(t, layout, d.Digest.String()))
	}
	put(t, base+"/manifests/"+tag, top.MediaType, blob(t, layout, top.Digest.String()))
	return registry + "/" + name + "@" + top.Digest.String()
}

func put(t testing.TB, url, mediaType string, data []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("PUT %s: %s", url, resp.Status)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
