package oci

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	"github.com/sealyard/sealyard/internal/testkit"
)

// R55 R56 R61 R95 R96 T8: an image with referrers, pushed by digest to registries with and without the referrers API, tagged last, fetched back: everything is the same, byte for byte.
func TestPushTagFetch(t *testing.T) {
	everyRegistry(t, func(t *testing.T, addr string, api bool) {
		ctx := context.Background()
		d, img := good(t, "")
		attach(t, d, img, "claim")
		proxy := testkit.Flaky(t, addr)
		r := newRemote(t, RemoteOptions{Version: "test"})
		ref := proxy.Addr + "/team/app:1"
		if err := r.Push(ctx, d, img, ref); err != nil {
			t.Fatal(err)
		}
		p := repository(t, r, ref)
		if _, err := p.Resolve(ctx, ""); !errors.Is(err, ErrNotFound) {
			t.Fatalf("before tagging: %v", err)
		}
		proxy.Set()
		if err := r.Push(ctx, d, img, ref); err != nil {
			t.Fatal(err)
		}
		if n := proxy.Count("", regexp.MustCompile("uploads")) + proxy.Count("PUT", regexp.MustCompile(".")); n != 0 {
			t.Errorf("pushing again sent %d things again", n)
		}
		if err := r.Tag(ctx, img, []string{ref, proxy.Addr + "/team/app:latest"}); err != nil {
			t.Fatal(err)
		}
		for _, q := range proxy.Requests() {
			if q.UserAgent != "sealyard/test" {
				t.Fatalf("user agent %q", q.UserAgent)
			}
		}
		there := resolve(t, p, "")
		if !reflect.DeepEqual(there, img) {
			t.Errorf("resolved\n%+v\nwant\n%+v", there, img)
		}
		for _, s := range []string{img.Digest, img.Platforms[0].Digest, img.Platforms[1].Digest} {
			same(t, p, d, s, bundleType)
			same(t, p, d, s, policyType)
			same(t, p, d, s, "application/none")
		}
		_, raw, err := p.fallback(ctx, img.Digest)
		if err != nil || (raw == nil) != api {
			t.Errorf("fallback tag: %s %v", raw, err)
		}
		out := filepath.Join(t.TempDir(), "out")
		if _, err := r.Fetch(ctx, ref, out); err != nil {
			t.Fatal(err)
		}
		if got, want := files(t, out), files(t, d.Path()); len(got) != len(want) {
			t.Errorf("fetched %d files, want %d", len(got), len(want))
		}
		back, err := OpenDir(out)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = back.Close() }()
		if err := back.Check(ctx); err != nil {
			t.Error(err)
		}
		if got := resolve(t, back, ""); !reflect.DeepEqual(got, img) {
			t.Errorf("fetched\n%+v\nwant\n%+v", got, img)
		}
		same(t, back, d, img.Digest, bundleType)
		same(t, back, d, img.Digest, "")
	})
}

// R55: the fallback tag's descriptors carry the artifact type and all annotations, once each.
func TestFallbackTagContent(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	want, err := d.Attach(ctx, img.Digest, bundle("x"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRemote(t, RemoteOptions{})
	p := repository(t, r, testkit.Registry(t, testkit.Distribution)+"/app")
	for range 2 {
		if err := r.Push(ctx, d, img, p.Name()); err != nil {
			t.Fatal(err)
		}
	}
	list, _, err := p.fallback(ctx, img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Digest != want.Digest || list[0].ArtifactType != bundleType || !reflect.DeepEqual(list[0].Annotations, want.Annotations) {
		t.Errorf("%+v", list)
	}
}

// R55: a registry that does not say OCI-Subject gets the fallback tag too, whatever else it answers.
func TestNoSubjectHeaderMeansFallbackTag(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	want, err := d.Attach(ctx, img.Digest, bundle("x"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := testkit.Flaky(t, testkit.Registry(t, testkit.Olareg), testkit.Rule{Method: "PUT", DropHead: "OCI-Subject"})
	r := newRemote(t, RemoteOptions{})
	if err := r.Push(ctx, d, img, proxy.Addr+"/app"); err != nil {
		t.Fatal(err)
	}
	list, _, err := repository(t, r, proxy.Addr+"/app").fallback(ctx, img.Digest)
	if err != nil || len(list) != 1 || list[0].Digest != want.Digest {
		t.Errorf("%+v %v", list, err)
	}
}

// R55 R63: pushers that update one fallback tag at the same time lose none of their referrers, nor those that were there.
func TestConcurrentPushersLoseNothing(t *testing.T) {
	ctx := context.Background()
	for _, kind := range []testkit.Kind{testkit.Distribution, testkit.Debian} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			addr := testkit.Registry(t, kind)
			ref := addr + "/app"
			errs := make(chan error)
			const pushers = 4
			var digest string
			for i := range pushers {
				d, img := good(t, "same")
				digest = img.Digest
				if _, err := d.Attach(ctx, img.Digest, bundle(string(rune('a'+i)))); err != nil {
					t.Fatal(err)
				}
				r := newRemote(t, RemoteOptions{})
				r.settle *= 5
				go func() { errs <- r.Push(ctx, d, img, ref) }()
			}
			for range pushers {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			got, err := repository(t, newRemote(t, RemoteOptions{}), ref).Attached(ctx, digest, bundleType)
			if err != nil || len(got) != pushers {
				t.Errorf("%d referrers of %d, %v", len(got), pushers, err)
			}
		})
	}
}

// R55: an update that another pusher overwrites is noticed and made again; one that never lasts is an error.
func TestLostUpdateIsNoticed(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	if _, err := d.Attach(ctx, img.Digest, bundle("x")); err != nil {
		t.Fatal(err)
	}
	r := newRemote(t, RemoteOptions{})
	proxy := testkit.Flaky(t, testkit.Registry(t, testkit.Distribution))
	tag := regexp.MustCompile("manifests/sha256-")
	lose := testkit.Rule{Method: "PUT", Path: tag, Status: 201, Times: 2}
	proxy.Set(lose)
	if err := r.Push(ctx, d, img, proxy.Addr+"/app"); err != nil {
		t.Fatal(err)
	}
	if n := proxy.Count("PUT", tag); n != 3 {
		t.Errorf("%d updates, want 3", n)
	}
	lose.Times = 0
	proxy.Set(lose)
	err := r.Push(ctx, d, img, proxy.Addr+"/other")
	wantText(t, err, "overwriting the tag", "sha256-")
}

// T8 R96 T39: what a registry does to a push, and what state it leaves.
func TestPushFaults(t *testing.T) {
	manifest := regexp.MustCompile("/manifests/")
	blob := regexp.MustCompile("/blobs/")
	upload := regexp.MustCompile("/blobs/uploads/.+")
	for _, c := range []struct {
		name string
		rule testkit.Rule
		want []string // parts of the error; none: it succeeds
	}{
		{"told to slow down", testkit.Rule{Status: 429, Header: map[string][]string{"Retry-After": {"0"}}, First: 3, Times: 3}, nil},
		{"server errors", testkit.Rule{Status: 503, First: 2, Times: 3}, nil},
		{"says the digest is wrong once", testkit.Rule{Method: "PUT", Path: manifest, Status: 400, Body: `{"errors":[{"code":"DIGEST_INVALID","message":"x"}]}`, Times: 1}, nil},
		{"says so for ever", testkit.Rule{Method: "PUT", Path: manifest, Status: 400, Body: `{"errors":[{"code":"DIGEST_INVALID","message":"x"}]}`}, []string{"DIGEST_INVALID"}},
		{"for ever told to slow down", testkit.Rule{Method: "POST", Status: 429}, []string{"429"}},
		{"upload cut once", testkit.Rule{Method: "PUT", Path: upload, CutUp: 3, Times: 1}, nil},
		{"uploads cut for ever", testkit.Rule{Method: "PUT", Path: upload, CutUp: 3}, []string{"PUT", "blobs/sha256"}},
		{"dies in mid-push", testkit.Rule{Method: "PUT", Path: manifest, First: 2, Die: true}, []string{"registry"}},
		{"refuses credentials", testkit.Rule{Status: 401}, []string{"refuses access", "app", "401"}},
		{"forbids", testkit.Rule{Method: "POST", Status: 403, Body: `{"errors":[{"code":"DENIED","message":"no\nway"}]}`}, []string{"refuses access", `"DENIED: no\nway"`}},
		{"manifest not stored", testkit.Rule{Method: "PUT", Path: manifest, Status: 201, Times: 1}, []string{"manifest"}},
		{"blob not stored", testkit.Rule{Method: "HEAD", Path: blob, Status: 200}, []string{"manifest"}},
		{"manifest read back wrong", testkit.Rule{Method: "GET", Path: manifest, Flip: true}, []string{"read back", "corrupt"}},
		{"referrer not listed", testkit.Rule{Method: "GET", Path: regexp.MustCompile("/referrers/"), Status: 200, Body: `{"schemaVersion":2,"manifests":[]}`,
			Header: map[string][]string{"Content-Type": {typeIndex}}}, []string{"read back", "does not list"}},
		{"manifest without end", testkit.Rule{Method: "GET", Path: manifest, Endless: true}, []string{"read back", "corrupt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			d, img := good(t, "")
			if _, err := d.Attach(ctx, img.Digest, bundle("x")); err != nil {
				t.Fatal(err)
			}
			addr := testkit.Registry(t, testkit.Olareg)
			proxy := testkit.Flaky(t, addr, c.rule)
			r := newRemote(t, RemoteOptions{})
			err := r.Push(ctx, d, img, proxy.Addr+"/app:1")
			if len(c.want) > 0 {
				wantText(t, err, c.want...)
			} else if err != nil {
				t.Fatal(err)
			}
			if _, err := repository(t, r, addr+"/app:1").Resolve(ctx, ""); !errors.Is(err, ErrNotFound) {
				t.Errorf("the tag must not exist: %v", err)
			}
		})
	}
}

// T39: all repositories are asked before the first tag moves; a tag that fails later is reported with the state of all.
func TestTagReportsPartialState(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	r := newRemote(t, RemoteOptions{})
	one := testkit.Registry(t, testkit.Olareg)
	two := testkit.Flaky(t, testkit.Registry(t, testkit.Olareg))
	refs := []string{one + "/app:1", two.Addr + "/app:1", two.Addr + "/app:2"}
	if err := r.Push(ctx, d, img, one+"/app"); err != nil {
		t.Fatal(err)
	}
	err := r.Tag(ctx, img, refs)
	if !errors.Is(err, ErrNotFound) {
		t.Fatalf("second registry has nothing: %v", err)
	}
	if _, err := repository(t, r, refs[0]).Resolve(ctx, ""); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a tag moved although another repository lacks the image: %v", err)
	}
	if err := r.Push(ctx, d, img, two.Addr+"/app"); err != nil {
		t.Fatal(err)
	}
	two.Set(testkit.Rule{Method: "PUT", Path: regexp.MustCompile("manifests/1$"), Status: 403})
	err = r.Tag(ctx, img, refs)
	var partial *PartialError
	if !errors.As(err, &partial) || !reflect.DeepEqual(partial.Moved, refs[:1]) || !reflect.DeepEqual(partial.Unmoved, refs[1:]) {
		t.Fatalf("%v", err)
	}
	wantText(t, err, refs[0], refs[2], "403")
}

// T8: a tag that reads back as another image is an error.
func TestTagReadsBack(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	other, img2 := good(t, "other")
	r := newRemote(t, RemoteOptions{})
	proxy := testkit.Flaky(t, testkit.Registry(t, testkit.Olareg))
	ref := proxy.Addr + "/app:1"
	for _, err := range []error{r.Push(ctx, other, img2, ref), r.Tag(ctx, img2, []string{ref}), r.Push(ctx, d, img, ref)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	proxy.Set(testkit.Rule{Method: "PUT", Status: 201})
	if err := r.Tag(ctx, img, []string{ref}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the tag names another image: %v", err)
	}
}

// T7: a blob that changes between scan and push is not pushed as what it was.
func TestPushRefusesChangedBlob(t *testing.T) {
	ctx := context.Background()
	d, img := good(t, "")
	layer := img.Platforms[0].Layers[0].Digest
	flip(t, filepath.Join(d.Path(), blobFile(layer)))
	r := newRemote(t, RemoteOptions{})
	addr := testkit.Registry(t, testkit.Olareg)
	err := r.Push(ctx, d, img, addr+"/app")
	if !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	wantText(t, err, blobFile(layer))
	flip(t, filepath.Join(d.Path(), blobFile(layer)))
	if err := os.Remove(filepath.Join(d.Path(), blobFile(img.Platforms[1].Digest))); err != nil {
		t.Fatal(err)
	}
	if err := r.Push(ctx, d, img, addr+"/app"); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if _, err := repository(t, r, addr+"/app").Resolve(ctx, img.Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("the index must not be there: %v", err)
	}
}

func TestPushEndsWithContext(t *testing.T) {
	d, img := good(t, "")
	proxy := testkit.Flaky(t, testkit.Registry(t, testkit.Olareg))
	ctx, cancel := context.WithCancel(context.Background())
	r := newRemote(t, RemoteOptions{Progress: func(Event) { cancel() }})
	if err := r.Push(ctx, d, img, proxy.Addr+"/app"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
