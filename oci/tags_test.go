package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/testkit"
)

// Every kind of registry lists the tags of an image, page by page, and what is attached to it is not among them.
func TestTags(t *testing.T) {
	ctx := context.Background()
	for _, kind := range testkit.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			d, img := good(t, "")
			if _, err := d.Attach(ctx, img.Digest, bundle("claim")); err != nil {
				t.Fatal(err)
			}
			ref := testkit.Registry(t, kind) + "/acme/app"
			r := newRemote(t, RemoteOptions{})
			if err := r.Push(ctx, d, img, ref); err != nil {
				t.Fatal(err)
			}
			if err := r.Tag(ctx, img, []string{ref + ":1", ref + ":2", ref + ":latest"}); err != nil {
				t.Fatal(err)
			}
			p, err := r.Repository(ref)
			if err != nil {
				t.Fatal(err)
			}
			tags, left, err := p.Tags(ctx)
			if err != nil || strings.Join(tags, " ") != "1 2 latest" || (left > 0) != (kind != testkit.Olareg) {
				t.Errorf("%q, %d left out, %v", tags, left, err)
			}
			absent, err := r.Repository(ref + "/absent")
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := absent.Tags(ctx); !errors.Is(err, ErrNotFound) && kind != testkit.Olareg {
				t.Errorf("a repository that is not there: %v", err)
			}
		})
	}
}

// tagServer answers a request for tags with what f says: the body and the Link.
func tagServer(t *testing.T, f func(page int) (body, link string)) *Repository {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		body, link := f(page)
		if link != "" {
			w.Header().Set("Link", "<"+link+`>; rel="next"`)
		}
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(srv.Close)
	p, err := newRemote(t, RemoteOptions{}).Repository(srv.Listener.Addr().String() + "/app")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// T28 T31: pages are followed on the same host and as long as they bring something new; the list is bounded; what is no tag is no answer.
func TestTagPages(t *testing.T) {
	ctx := context.Background()
	next := func(page int) string { return "/v2/app/tags/list?page=" + strconv.Itoa(page+1) }
	p := tagServer(t, func(page int) (string, string) {
		if page == 3 {
			return `{"name":"app","tags":null}`, ""
		}
		return fmt.Sprintf(`{"name":"app","tags":["v%d","both","sha256-%064d","sha256-%064d.sig"]}`, page, page, page), next(page)
	})
	if tags, left, err := p.Tags(ctx); err != nil || strings.Join(tags, " ") != "both v0 v1 v2" || left != 6 {
		t.Errorf("%q, %d left out, %v", tags, left, err)
	}
	many := make([]string, 1000)
	for name, c := range map[string]struct {
		answer func(page int) (string, string)
		want   error
		text   string
	}{
		"elsewhere":     {func(int) (string, string) { return `{"tags":["a"]}`, "http://127.0.0.1:1/more" }, errGuard, "next page"},
		"for ever":      {func(page int) (string, string) { return `{"tags":["a"]}`, next(page) }, ErrCorrupt, "nothing new"},
		"endless pages": {func(page int) (string, string) { return fmt.Sprintf(`{"tags":["v%d"]}`, page), next(page) }, nil, "more than 2000 pages"},
		"endless tags": {func(page int) (string, string) {
			for i := range many {
				many[i] = fmt.Sprintf(`"v%d-%d"`, page, i)
			}
			return `{"tags":[` + strings.Join(many, ",") + `]}`, next(page)
		}, nil, "more than 100000 tags"},
		"no tag":     {func(int) (string, string) { return `{"tags":["a b"]}`, "" }, ErrCorrupt, `"a b"`},
		"a long tag": {func(int) (string, string) { return `{"tags":["` + strings.Repeat("a", 129) + `"]}`, "" }, ErrCorrupt, "lists the tag"},
		"no list":    {func(int) (string, string) { return `<html>`, "" }, ErrCorrupt, "tags/list"},
		"twice":      {func(int) (string, string) { return `{"tags":["a"],"tags":["b"]}`, "" }, ErrCorrupt, "duplicate"},
		"huge":       {func(int) (string, string) { return strings.Repeat(" ", maxManifest+1), "" }, ErrCorrupt, "more than"},
	} {
		_, _, err := tagServer(t, c.answer).Tags(ctx)
		wantText(t, err, c.text)
		if c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
