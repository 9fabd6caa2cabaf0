package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sealyard/sealyard/internal/hint"
)

// apiRequest is one call of the distribution API. It can be made again: body makes a new reader each time.
type apiRequest struct {
	scope  string // pull or push
	method string
	path   string   // below the repository: "manifests/latest"
	url    *url.URL // instead of path: where the registry sent us
	header map[string]string
	size   int64
	body   func() (io.ReadCloser, error) // nil for none
}

// statusError is an answer that is not the hoped-for one.
type statusError struct {
	method, url string
	status      int
	code        string // the registry's word for what is wrong
	message     string // the registry's words, bounded
	after       string // Retry-After
}

// Error implements error.
func (e *statusError) Error() string {
	s := fmt.Sprintf("%s %s: status %d %s", e.method, e.url, e.status, http.StatusText(e.status))
	if e.message != "" {
		s += fmt.Sprintf(": %q", e.message)
	}
	return s
}

// hasStatus reports whether err is an answer with one of these statuses.
func hasStatus(err error, statuses ...int) bool {
	var e *statusError
	if !errors.As(err, &e) {
		return false
	}
	for _, s := range statuses {
		if e.status == s {
			return true
		}
	}
	return false
}

// do makes the request once. use sees the response when its status is one of ok; the body is closed afterwards.
func (p *Repository) do(ctx context.Context, q apiRequest, use func(*http.Response) error, ok ...int) error {
	client, err := p.client(ctx, q.scope)
	if err != nil {
		return err
	}
	u := q.url
	if u == nil {
		path, query, _ := strings.Cut(q.path, "?")
		u = &url.URL{Scheme: p.repo.Scheme(), Host: p.repo.RegistryStr(), Path: "/v2/" + p.repo.RepositoryStr() + "/" + path, RawQuery: query}
	}
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), nil)
	if err != nil {
		return err
	}
	for k, v := range q.header {
		req.Header.Set(k, v)
	}
	if q.body != nil && q.size > 0 {
		if req.Body, err = q.body(); err != nil {
			return err
		}
		req.GetBody, req.ContentLength = q.body, q.size
	}
	resp, err := client.Do(req)
	if err != nil {
		return withoutQuery(err)
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody) // so that the connection can be used again
		_ = resp.Body.Close()
	}()
	for _, s := range ok {
		if resp.StatusCode == s {
			return use(resp)
		}
	}
	return refusal(q.method, resp)
}

// call is do with retries and with errors that say what to do.
func (p *Repository) call(ctx context.Context, q apiRequest, use func(*http.Response) error, ok ...int) error {
	return p.explain(p.r.retry(ctx, func() error { return p.do(ctx, q, use, ok...) }))
}

func nothing(*http.Response) error { return nil }

// head asks which manifest a tag or digest means now, and reads it.
func (p *Repository) head(ctx context.Context, id string) (descriptor, []byte, error) {
	var d descriptor
	var raw []byte
	q := apiRequest{scope: pull, method: http.MethodGet, path: "manifests/" + id,
		header: map[string]string{"Accept": strings.Join(manifestTypes(), ",")}}
	err := p.call(ctx, q, func(resp *http.Response) (err error) {
		if raw, err = readLimited(resp, maxManifest); err != nil {
			return err
		}
		d = describe(mediaTypeOf(resp), raw)
		if validDigest(id) && d.Digest != id {
			return fmt.Errorf("%s: %w: content is %s", place(resp), ErrCorrupt, d.Digest)
		}
		return nil
	}, http.StatusOK)
	if hasStatus(err, http.StatusNotFound) {
		what := "tag"
		if validDigest(id) {
			what = "manifest"
		}
		err = hint.Wrap(fmt.Errorf("no %s %q in %s: %w: %w", what, id, p.Name(), ErrNotFound, err),
			"check the name; some registries say this of what one may not see: docker login %s", p.repo.RegistryStr())
	}
	return d, raw, err
}

// manifest implements source.
func (p *Repository) manifest(ctx context.Context, want descriptor) ([]byte, error) {
	if want.Size > maxManifest {
		return nil, fmt.Errorf("manifest %s: %w: %d bytes, at most %d are read", want.Digest, ErrCorrupt, want.Size, maxManifest)
	}
	got, raw, err := p.head(ctx, want.Digest)
	if err != nil {
		return nil, err
	}
	if got.Size != want.Size || got.MediaType != want.MediaType {
		return nil, fmt.Errorf("manifest %s: %w: %d bytes of %q, the descriptor says %d of %q",
			want.Digest, ErrCorrupt, got.Size, got.MediaType, want.Size, want.MediaType)
	}
	return raw, nil
}

// read implements source.
func (p *Repository) read(ctx context.Context, want descriptor, sink func(io.Reader) error) error {
	q := apiRequest{scope: pull, method: http.MethodGet, path: "blobs/" + want.Digest}
	err := p.call(ctx, q, func(resp *http.Response) error {
		v := newVerifier(p.r.progress(want, resp.Body), want)
		err := sink(v)
		if err == nil {
			err = v.check()
		}
		if errors.Is(err, ErrCorrupt) {
			return fmt.Errorf("%s: %w", place(resp), err)
		}
		return err
	}, http.StatusOK)
	if hasStatus(err, http.StatusNotFound) {
		err = fmt.Errorf("%s: no blob %s: %w: %w", p.Name(), want.Digest, ErrNotFound, err)
	}
	if err == nil {
		p.r.event(want, want.Size)
	}
	return err
}

// exists reports whether the repository has that blob or manifest.
func (p *Repository) exists(ctx context.Context, kind string, d descriptor) (bool, error) {
	q := apiRequest{scope: push, method: http.MethodHead, path: kind + "/" + d.Digest,
		header: map[string]string{"Accept": strings.Join(manifestTypes(), ",")}}
	err := p.call(ctx, q, nothing, http.StatusOK)
	if hasStatus(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil, err
}

// put sends a manifest under a tag or its digest. about is the subject that the registry says it took note of, ""
// when it says nothing, as one without the referrers API does.
func (p *Repository) put(ctx context.Context, id string, mediaType string, raw []byte) (about string, err error) {
	q := apiRequest{scope: push, method: http.MethodPut, path: "manifests/" + id, size: int64(len(raw)),
		header: map[string]string{"Content-Type": mediaType},
		body:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }}
	err = p.call(ctx, q, func(resp *http.Response) error {
		about = resp.Header.Get("OCI-Subject")
		return nil
	}, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	return about, err
}

// upload sends a blob unless it is there: one request to begin, one with all the bytes.
func (p *Repository) upload(ctx context.Context, d descriptor, open func() (io.ReadCloser, error)) error {
	there, err := p.exists(ctx, "blobs", d)
	if err != nil || there {
		if there {
			p.r.event(d, d.Size)
		}
		return err
	}
	err = p.r.retry(ctx, func() error {
		var to *url.URL
		begin := apiRequest{scope: push, method: http.MethodPost, path: "blobs/uploads/"}
		err := p.do(ctx, begin, func(resp *http.Response) (err error) {
			to, err = p.location(resp)
			return err
		}, http.StatusAccepted)
		if err != nil {
			return err
		}
		query := to.Query()
		query.Set("digest", d.Digest)
		to.RawQuery = query.Encode()
		return p.do(ctx, apiRequest{scope: push, method: http.MethodPut, url: to, size: d.Size, body: open,
			header: map[string]string{"Content-Type": "application/octet-stream"}}, nothing, http.StatusCreated, http.StatusNoContent)
	})
	if err == nil {
		p.r.event(d, d.Size)
	}
	return p.explain(err)
}

// location is where an upload goes on.
func (p *Repository) location(resp *http.Response) (*url.URL, error) {
	u, err := resp.Location()
	if err != nil {
		return nil, fmt.Errorf("%s: an upload begins without a place to go on: %w", place(resp), err)
	}
	g := guard{r: p.r, registry: p.repo.RegistryStr()}
	return u, g.reachable(u.Host)
}

// place is where a response came from, without a query: that may hold a signature that lets its bearer in.
func place(resp *http.Response) string { return bare(*resp.Request.URL) }

func bare(u url.URL) string {
	u.RawQuery, u.Fragment = "", ""
	return u.Redacted()
}

// withoutQuery does for net/http's errors what place does.
func withoutQuery(err error) error {
	var e *url.Error
	if !errors.As(err, &e) {
		return err
	}
	u, parseErr := url.Parse(e.URL)
	if parseErr != nil {
		return e.Err
	}
	return fmt.Errorf("%s %s: %w", strings.ToUpper(e.Op), bare(*u), e.Err)
}

func mediaTypeOf(resp *http.Response) string {
	t, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(t)
}

// readLimited reads a body of at most limit bytes.
func readLimited(resp *http.Response, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", place(resp), ErrCorrupt, limit)
	}
	return raw, nil
}
