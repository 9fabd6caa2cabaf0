package oci

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// T28 T31: an image to which anybody attached ten thousand artifacts, or one of 50 MB, is refused with one line that says so, in
// bounded memory.
func TestAttackedByReferrers(t *testing.T) {
	ctx := context.Background()
	m := newMaker(t)
	image := m.index(m.image("amd64", "layer"))
	config := m.blob(typeEmpty, []byte("{}"))
	about := image
	refers := func(i int, layers ...descriptor) descriptor {
		d := m.json(typeManifest, document{SchemaVersion: 2, MediaType: typeManifest, ArtifactType: bundleType, Config: &config, Layers: layers, Subject: &about,
			Annotations: map[string]string{"n": strconv.Itoa(i), "pad": strings.Repeat("x", 4096)}})
		d.ArtifactType = bundleType
		return d
	}
	var entries []descriptor
	for i := range 10_000 {
		entries = append(entries, describe(typeManifest, []byte(strconv.Itoa(i))))
	}
	m.list(append([]descriptor{image}, entries...)...)
	_, err := m.open().Resolve(ctx, "")
	wantText(t, err, "index.json: corrupt content: more than 1000 entries")
	nested := []descriptor{image}
	for i := range 10 {
		nested = append(nested, m.index(entries[i*1000:(i+1)*1000-1]...))
	}
	m.list(nested...)
	_, err = m.open().Attached(ctx, image.Digest, bundleType)
	wantText(t, err, "index.json: corrupt content: more than 1000 manifests")

	// Indexes that list one another a thousand times each: a billion paths in four small files.
	inner := m.index(refers(0))
	for range maxIndexNest {
		inner = m.index(slices.Repeat([]descriptor{inner}, 1000)...)
	}
	m.list(image, inner)
	began := time.Now()
	if got, err := m.open().Attached(ctx, image.Digest, bundleType); err != nil && !errors.Is(err, ErrCorrupt) || len(got) > 1 || time.Since(began) > 30*time.Second {
		t.Errorf("%d found after %s: %v", len(got), time.Since(began), err)
	}

	large := descriptor{MediaType: bundleType, Size: 50 << 20, Digest: "sha256:" + strings.Repeat("a", 64)}
	m.file(blobFile(large.Digest), nil)
	if err := os.Truncate(m.dir+"/"+blobFile(large.Digest), large.Size); err != nil {
		t.Fatal(err)
	}
	m.list(image, refers(0, large))
	peak := watchHeap(t)
	_, err = m.open().Attached(ctx, image.Digest, bundleType)
	wantText(t, err, "52428800 bytes, at most 33554432")
	if got := peak(); got > 16<<20 {
		t.Errorf("the heap grew by %d bytes", got)
	}
}

// T28: a registry that takes the request and never answers, or never ends its answer, holds nobody longer than they wait.
func TestRegistryNeverAnswers(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"silent": func(http.ResponseWriter) {},
		"drips": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", typeIndex)
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
		},
	} {
		done := make(chan struct{})
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				answer(w)
				<-done
			}
		}))
		p, err := newRemote(t, RemoteOptions{}).Repository(srv.Listener.Addr().String() + "/app:1")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		began := time.Now()
		for _, ask := range []func() error{
			func() error { _, err := p.Resolve(ctx, ""); return err },
			func() error { _, err := p.Attached(ctx, digestOf(nil), bundleType); return err },
			func() error { _, _, err := p.Tags(ctx); return err },
		} {
			if err := ask(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
		cancel()
		close(done)
		srv.Close()
	}
}
