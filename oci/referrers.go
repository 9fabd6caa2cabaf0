package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxPages bounds the pages of one referrers answer.
const maxPages = 100

// errNoReferrersAPI says that the registry does not know the referrers API.
var errNoReferrersAPI = errors.New("no referrers API")

// fallbackTag is the tag that lists a subject's referrers where there is no API for it (distribution-spec, "referrers
// tag schema").
func fallbackTag(digest string) string { return strings.Replace(digest, ":", "-", 1) }

// referrers implements source.
func (p *Repository) referrers(ctx context.Context, digest, artifactType string) ([]descriptor, error) {
	out, err := p.askReferrers(ctx, digest, artifactType)
	if errors.Is(err, errNoReferrersAPI) {
		out, _, err = p.fallback(ctx, digest)
	}
	return out, err
}

// askReferrers asks the API, page by page. The registry may filter by artifactType or not: who called filters anyway.
func (p *Repository) askReferrers(ctx context.Context, digest, artifactType string) ([]descriptor, error) {
	path := "referrers/" + digest
	if artifactType != "" {
		path += "?" + url.Values{"artifactType": {artifactType}}.Encode()
	}
	q := apiRequest{scope: pull, method: http.MethodGet, path: path, header: map[string]string{"Accept": typeIndex}}
	var out []descriptor
	for range maxPages {
		var raw []byte
		var next *url.URL
		err := p.call(ctx, q, func(resp *http.Response) (err error) {
			if mediaTypeOf(resp) != typeIndex {
				return errNoReferrersAPI
			}
			if next, err = p.nextPage(resp); err != nil {
				return err
			}
			raw, err = readLimited(resp, maxManifest)
			return err
		}, http.StatusOK)
		if hasStatus(err, http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented) {
			return nil, errNoReferrersAPI
		}
		if err != nil {
			return nil, err
		}
		doc, err := parseManifest(raw, typeIndex)
		if err != nil {
			return nil, fmt.Errorf("%s: referrers of %s: %w: %w", p.Name(), digest, ErrCorrupt, err)
		}
		if out = append(out, doc.Manifests...); len(out) > maxManifests {
			return nil, fmt.Errorf("%s: more than %d referrers of %s", p.Name(), maxManifests, digest)
		}
		if next == nil {
			return out, nil
		}
		q.url = next
	}
	return nil, fmt.Errorf("%s: more than %d pages of referrers of %s", p.Name(), maxPages, digest)
}

// nextPage is where the Link header leads; nil when there is none. It must be the same host.
func (p *Repository) nextPage(resp *http.Response) (*url.URL, error) {
	link := resp.Header.Get("Link")
	if link == "" {
		return nil, nil
	}
	target, rel, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.Contains(rel, `rel="next"`) && !strings.Contains(rel, "rel=next") {
		return nil, nil
	}
	u, err := resp.Request.URL.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("%s: Link header: %w", place(resp), err)
	}
	if u.Host != resp.Request.URL.Host || u.Scheme != resp.Request.URL.Scheme {
		return nil, fmt.Errorf("%w: %s has its next page at %q", errGuard, place(resp), u.Host)
	}
	return u, nil
}

// fallback reads the fallback tag; a tag that is not there is an empty list, and raw is then nil.
func (p *Repository) fallback(ctx context.Context, digest string) (list []descriptor, raw []byte, err error) {
	d, raw, err := p.head(ctx, fallbackTag(digest))
	if errors.Is(err, ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if d.MediaType != typeIndex {
		return nil, nil, fmt.Errorf("%s: tag %q is a %q, it should list referrers", p.Name(), fallbackTag(digest), d.MediaType)
	}
	doc, err := parseManifest(raw, typeIndex)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: tag %q: %w: %w", p.Name(), fallbackTag(digest), ErrCorrupt, err)
	}
	return doc.Manifests, raw, nil
}

// maxLosses is how often another's update of the fallback tag may undo ours before we give up.
const maxLosses = 8

// settleFactor is how many times longer than our own read and write we wait before reading the tag again. Another
// pusher that read before our write, and writes after it, undoes it; one whose gap between reading and writing is
// shorter than our wait has done so by then, and we see it.
const settleFactor = 3

// addFallback adds to the fallback tag what it does not list yet, keeps what it lists, and reads it again until
// nothing of ours is missing (spec R55).
func (p *Repository) addFallback(ctx context.Context, subject string, add []descriptor) error {
	for range maxLosses {
		began := time.Now()
		_, raw, err := p.fallback(ctx, subject)
		if err != nil {
			return err
		}
		out, added, err := addEntries(raw, add)
		if err != nil {
			return err
		}
		if added == 0 {
			return nil
		}
		if _, err := p.put(ctx, fallbackTag(subject), typeIndex, out); err != nil {
			return err
		}
		if err := sleep(ctx, jitter(max(p.r.settle, settleFactor*time.Since(began)))); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: others kept overwriting the tag %q, which lists referrers", p.Name(), fallbackTag(subject))
}

// listed makes sure that all of want are listed as referrers of subject. Where a tag lists them and another's update
// undid ours after all, it mends the tag.
func (p *Repository) listed(ctx context.Context, subject string, want []descriptor) error {
	list, err := p.askReferrers(ctx, subject, "")
	if errors.Is(err, errNoReferrersAPI) {
		return p.addFallback(ctx, subject, want)
	}
	if err != nil {
		return err
	}
	for _, w := range want {
		if !slices.ContainsFunc(list, func(d descriptor) bool { return d.Digest == w.Digest }) {
			return fmt.Errorf("registry %q does not list %s", p.repo.RegistryStr(), w.Digest)
		}
	}
	return nil
}
