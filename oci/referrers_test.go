package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/testkit"
)

// scripted is a registry that has these manifests and blobs, and answers the referrers API as told.
type scripted struct {
	manifests map[string][]byte // by digest or tag
	types     map[string]string
	blobs     map[string][]byte
	referrers http.HandlerFunc
}

func newScripted() *scripted {
	return &scripted{manifests: map[string][]byte{}, types: map[string]string{}, blobs: map[string][]byte{}}
}

func (s *scripted) put(id, mediaType string, v any) descriptor {
	raw, err := json.Marshal(v)
	if err != nil {
		return descriptor{}
	}
	d := describe(mediaType, raw)
	for _, k := range []string{id, d.Digest} {
		s.manifests[k], s.types[k] = raw, mediaType
	}
	return d
}

func (s *scripted) artifact(subject descriptor, artifactType, text string) descriptor {
	for _, b := range []string{"{}", text} {
		s.blobs[digestOf([]byte(b))] = []byte(b)
	}
	config := describe(typeEmpty, []byte("{}"))
	d := s.put("", typeManifest, document{SchemaVersion: 2, MediaType: typeManifest, ArtifactType: artifactType, Config: &config,
		Layers: []descriptor{describe(artifactType, []byte(text))}, Subject: &subject})
	d.ArtifactType = artifactType
	return d
}

// ServeHTTP implements http.Handler.
func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	var raw []byte
	switch {
	case r.URL.Path == "/v2/":
		return
	case strings.Contains(r.URL.Path, "/referrers/") && s.referrers != nil:
		s.referrers(w, r)
		return
	case strings.Contains(r.URL.Path, "/manifests/"):
		raw = s.manifests[id]
		w.Header().Set("Content-Type", s.types[id])
	case strings.Contains(r.URL.Path, "/blobs/"):
		raw = s.blobs[id]
	}
	if raw == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = w.Write(raw)
}

func answer(w http.ResponseWriter, entries ...descriptor) {
	w.Header().Set("Content-Type", typeIndex)
	_ = json.NewEncoder(w).Encode(map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": entries})
}

func serve(t testing.TB, s *scripted) *Repository {
	t.Helper()
	srv := listen(t, false, s.ServeHTTP)
	return repository(t, newRemote(t, RemoteOptions{}), srv.addr()+"/app:1")
}

// R56 T20 T26 T27: whatever the registry lists, filtered or not, only artifacts of the type that are about the subject count, and what the list says of them is not believed.
func TestAttachedFiltersItself(t *testing.T) {
	subject := describe(typeIndex, []byte("subject"))
	other := describe(typeIndex, []byte("other"))
	for name, listed := range map[string]bool{"filter applied": true, "filter ignored": false} {
		s := newScripted()
		want := s.artifact(subject, bundleType, "mine")
		elsewhere := s.artifact(other, bundleType, "about something else")
		sbom := s.artifact(subject, "application/sbom", "other type")
		liar := s.artifact(subject, "application/other", "calls itself a bundle in the list only")
		liar.ArtifactType, liar.Annotations = bundleType, map[string]string{"x": "y"}
		gone := descriptor{MediaType: typeManifest, Digest: digestOf([]byte("gone")), Size: 4, ArtifactType: "application/junk"}
		s.referrers = func(w http.ResponseWriter, r *http.Request) {
			if listed && r.URL.Query().Get("artifactType") == bundleType {
				w.Header().Set("OCI-Filters-Applied", "artifactType")
				answer(w, want, elsewhere, liar, want)
				return
			}
			answer(w, sbom, want, elsewhere, liar, gone, want)
		}
		got, err := serve(t, s).Attached(context.Background(), subject.Digest, bundleType)
		if err != nil || len(got) != 1 || got[0].Digest != want.Digest || string(got[0].Layers[0].Content) != "mine" {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

// R56: a registry that answers 404, 405, 406 or with a web page has no referrers API; the tag lists them.
func TestAttachedFallsBackToTag(t *testing.T) {
	subject := describe(typeIndex, []byte("subject"))
	for name, f := range map[string]http.HandlerFunc{
		"404":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"405":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(405) },
		"406":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(406) },
		"page": func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>hello") },
	} {
		s := newScripted()
		s.referrers = f
		p := serve(t, s)
		if got, err := p.Attached(context.Background(), subject.Digest, bundleType); err != nil || len(got) != 0 {
			t.Errorf("%s, no tag: %v %v", name, got, err)
		}
		want := s.artifact(subject, bundleType, "mine")
		s.put(fallbackTag(subject.Digest), typeIndex, map[string]any{"schemaVersion": 2, "manifests": []descriptor{want}})
		if got, err := p.Attached(context.Background(), subject.Digest, bundleType); err != nil || len(got) != 1 {
			t.Errorf("%s: %v %v", name, got, err)
		}
		s.put(fallbackTag(subject.Digest), typeManifest, map[string]any{"schemaVersion": 2})
		if _, err := p.Attached(context.Background(), subject.Digest, bundleType); err == nil {
			t.Errorf("%s: a tag that is no index", name)
		}
	}
}

// T17: a referrers API that fails or refuses is no empty list.
func TestAttachedFailsClosed(t *testing.T) {
	for _, status := range []int{401, 403, 429, 500, 503} {
		s := newScripted()
		s.referrers = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		if got, err := serve(t, s).Attached(context.Background(), digestOf(nil), bundleType); err == nil {
			t.Errorf("%d: %v", status, got)
		}
	}
}

// T27 T28 T31: pages are followed, on the same host and up to a number; the list is bounded.
func TestReferrerPages(t *testing.T) {
	subject := describe(typeIndex, []byte("subject"))
	s := newScripted()
	var all []descriptor
	for i := range 5 {
		all = append(all, s.artifact(subject, bundleType, strconv.Itoa(i)))
	}
	s.referrers = func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("page"))
		if n < 4 {
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, n+1))
		}
		answer(w, all[n])
	}
	p := serve(t, s)
	if got, err := p.Attached(context.Background(), subject.Digest, bundleType); err != nil || len(got) != 5 {
		t.Errorf("%d of 5, %v", len(got), err)
	}
	s.referrers = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", `<http://127.0.0.1:1/more>; rel="next"`)
		answer(w)
	}
	if _, err := p.Attached(context.Background(), subject.Digest, bundleType); !errors.Is(err, errGuard) {
		t.Errorf("next page elsewhere: %v", err)
	}
	s.referrers = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "<"+r.URL.Path+`>; rel="next"`)
		answer(w)
	}
	_, err := p.Attached(context.Background(), subject.Digest, bundleType)
	wantText(t, err, "pages")
	s.referrers = func(w http.ResponseWriter, _ *http.Request) {
		many := make([]descriptor, maxManifests+1)
		for i := range many {
			many[i] = describe(typeManifest, []byte(strconv.Itoa(i)))
		}
		answer(w, many...)
	}
	_, err = p.Attached(context.Background(), subject.Digest, bundleType)
	wantText(t, err, "more than 1000")
}

// R62 T8 T28: a registry that answers with other bytes, other sizes or without end is not believed.
func TestRegistryLies(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	if _, err := d.Attach(ctx, img.Digest, bundle("claim")); err != nil {
		t.Fatal(err)
	}
	addr := testkit.Registry(t, testkit.Olareg)
	r := newRemote(t, RemoteOptions{})
	if err := r.Push(ctx, d, img, addr+"/app"); err != nil {
		t.Fatal(err)
	}
	for name, rule := range map[string]testkit.Rule{
		"manifest flipped":     {Path: regexp.MustCompile("manifests"), Flip: true},
		"manifest without end": {Path: regexp.MustCompile("manifests"), Endless: true},
		"blob flipped":         {Path: regexp.MustCompile("blobs"), Flip: true},
		"blob without end":     {Path: regexp.MustCompile("blobs"), Endless: true},
	} {
		proxy := testkit.Flaky(t, addr, rule)
		out := t.TempDir() + "/out"
		_, err := r.Fetch(ctx, proxy.Addr+"/app@"+img.Digest, out)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	proxy := testkit.Flaky(t, addr, testkit.Rule{Path: regexp.MustCompile("blobs|manifests"), CutDown: 5, Times: 3})
	if _, err := r.Fetch(ctx, proxy.Addr+"/app@"+img.Digest, t.TempDir()+"/out"); err != nil {
		t.Errorf("cut three times: %v", err)
	}
}

// R61: of a tag that moves while it is used, one image is seen.
func TestTagIsResolvedOnce(t *testing.T) {
	ctx := context.Background()
	addr := testkit.Registry(t, testkit.Olareg)
	r := newRemote(t, RemoteOptions{})
	d, img := good(t, "")
	ref := addr + "/app:1"
	for _, err := range []error{r.Push(ctx, d, img, ref), r.Tag(ctx, img, []string{ref})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	proxy := testkit.Flaky(t, addr)
	if _, err := r.Fetch(ctx, proxy.Addr+"/app:1", t.TempDir()+"/out"); err != nil {
		t.Fatal(err)
	}
	if n := proxy.Count("", regexp.MustCompile("manifests/1$")); n != 1 {
		t.Errorf("the tag was asked for %d times", n)
	}
}

func TestParseReference(t *testing.T) {
	hex := strings.Repeat("a", 64)
	for in, want := range map[string]Reference{
		"debian":                    {"docker.io", "docker.io/library/debian", "latest", ""},
		"docker.io/me/app:1":        {"docker.io", "docker.io/me/app", "1", ""},
		"127.0.0.1:5000/app":        {"127.0.0.1:5000", "127.0.0.1:5000/app", "latest", ""},
		"ghcr.io/a/b@sha256:" + hex: {"ghcr.io", "ghcr.io/a/b", "", "sha256:" + hex},
		"a/b:1@sha256:" + hex:       {"docker.io", "docker.io/a/b", "", "sha256:" + hex},
	} {
		got, err := ParseReference(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v %v", in, got, err)
		}
		if again, err := ParseReference(got.String()); err != nil || again != got {
			t.Errorf("%q: %+v %v", got, again, err)
		}
	}
}

// T2: a tag with a newline, or another reference that is none, is refused before anything is asked.
func TestBadReference(t *testing.T) {
	for _, in := range []string{"", "app:1\n", "app:\n1", "app 1", "app:1:2", "UPPER/app", "app@sha256:00", "app@sha512:" + strings.Repeat("a", 128), "app:ünicode", "http://x/y", "a\x00b", "app:" + strings.Repeat("x", 129)} {
		if _, err := ParseReference(in); err == nil || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q: %v", in, err)
		}
		if _, err := newRemote(t, RemoteOptions{}).Repository(in); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
	r := newRemote(t, RemoteOptions{})
	if err := r.Tag(context.Background(), Image{}, []string{"127.0.0.1:1/app@" + digestOf(nil)}); err == nil {
		t.Error("a digest for a tag")
	}
}

// R62: content of the right digest is still refused when its descriptor promised another size.
func TestSizeMustMatchToo(t *testing.T) {
	s := newScripted()
	s.blobs[digestOf([]byte("blob"))] = []byte("blob")
	p := serve(t, s)
	for size, good := range map[int64]bool{3: false, 4: true, 5: false} {
		_, err := readAll(context.Background(), p, descriptor{Digest: digestOf([]byte("blob")), Size: size})
		if (err == nil) != good || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("size %d: %v", size, err)
		}
	}
}
