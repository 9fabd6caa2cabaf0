package oci

import (
	"context"
	"errors"
	"reflect"
	"regexp"
	"testing"

	"github.com/sealyard/sealyard/internal/testkit"
)

// R53 R55 R63: what is attached in a registry, with and without the referrers API, is what a directory would have: the same bytes,
// found by everybody, once, beside what was there.
func TestAttachInRegistry(t *testing.T) {
	everyRegistry(t, func(t *testing.T, addr string, _ bool) {
		ctx := context.Background()
		d, img := good(t, "")
		attach(t, d, img, "claim")
		proxy := testkit.Flaky(t, addr)
		r := newRemote(t, RemoteOptions{})
		if err := r.Push(ctx, d, img, proxy.Addr+"/team/late:1"); err != nil {
			t.Fatal(err)
		}
		p := repository(t, r, proxy.Addr+"/team/late:1")
		for _, subject := range []string{img.Digest, img.Platforms[0].Digest} {
			got, err := p.Attach(ctx, subject, bundle("summary"))
			if err != nil {
				t.Fatal(err)
			}
			want, err := d.Attach(ctx, subject, bundle("summary"))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v: %+v\nwant\n%+v", err, got, want)
			}
			same(t, p, d, subject, bundleType)
		}
		proxy.Set()
		if _, err := p.Attach(ctx, img.Digest, bundle("summary")); err != nil {
			t.Fatal(err)
		}
		if n := proxy.Count("PUT", regexp.MustCompile(".")); n != 0 {
			t.Errorf("attaching again sent %d things again", n)
		}
		same(t, p, d, img.Digest, bundleType)
		if _, err := p.Attach(ctx, digestOf([]byte("nothing")), bundle("x")); !errors.Is(err, ErrNotFound) {
			t.Errorf("attached to nothing: %v", err)
		}
		for _, a := range []Artifact{{}, {Type: bundleType}} {
			if _, err := p.Attach(ctx, img.Digest, a); err == nil {
				t.Errorf("attached %+v", a)
			}
		}
	})
}
