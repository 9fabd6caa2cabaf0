package oci

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/sealyard/sealyard/internal/hint"
)

const (
	maxTags     = 100_000 // of one repository; the largest public ones have some ten thousand
	maxTagPages = 2000    // registries give 50 to 1000 tags at once
	maxTagName  = 128     // distribution-spec, "Pulling manifests"
)

// tagName is what a tag looks like (distribution-spec, "Pulling manifests").
var tagName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]*$`)

// attachedTag matches the tags under which others keep what refers to an image: the fallback tag of the referrers API, and those of
// cosign.
var attachedTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.(sig|att|sbom))?$`)

// Tags lists the tags of the repository, sorted; it reads them page by page. Tags that name no image but what is attached to
// one (sha256-<hex>, also with .sig, .att or .sbom) are counted in left and not listed. A repository that is not there is
// [ErrNotFound].
func (p *Repository) Tags(ctx context.Context) (tags []string, left int, err error) {
	q := apiRequest{scope: pull, method: http.MethodGet, path: "tags/list?n=1000", header: map[string]string{"Accept": "application/json"}}
	seen := map[string]bool{}
	for range maxTagPages {
		page, next, err := p.tagPage(ctx, q)
		if err != nil {
			return nil, 0, err
		}
		before := len(seen)
		for _, tag := range page {
			if len(tag) > maxTagName || !tagName.MatchString(tag) {
				return nil, 0, fmt.Errorf("%s: %w: it lists the tag %.200q", p.Name(), ErrCorrupt, tag)
			}
			if seen[tag] {
				continue
			}
			seen[tag] = true
			if attachedTag.MatchString(tag) {
				left++
			} else {
				tags = append(tags, tag)
			}
		}
		switch {
		case len(seen) > maxTags:
			return nil, 0, fmt.Errorf("%s: more than %d tags", p.Name(), maxTags)
		case next == nil:
			slices.Sort(tags)
			return tags, left, nil
		case len(seen) == before:
			return nil, 0, fmt.Errorf("%s: %w: a page of its list of tags has nothing new, and there are more", p.Name(), ErrCorrupt)
		}
		q.url = next
	}
	return nil, 0, fmt.Errorf("%s: more than %d pages of tags", p.Name(), maxTagPages)
}

// tagPage asks for one page of the list of tags.
func (p *Repository) tagPage(ctx context.Context, q apiRequest) (tags []string, next *url.URL, err error) {
	var list struct {
		Tags []string `json:"tags"`
	}
	err = p.call(ctx, q, func(resp *http.Response) error {
		raw, err := readLimited(resp, maxManifest)
		if err != nil {
			return err
		}
		if next, err = p.nextPage(resp); err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &list); err != nil {
			return fmt.Errorf("%s: %w: %s", place(resp), ErrCorrupt, strings.Join(strings.Fields(err.Error()), " "))
		}
		return nil
	}, http.StatusOK)
	if hasStatus(err, http.StatusNotFound) {
		err = hint.Wrap(fmt.Errorf("%s: no such repository: %w: %w", p.Name(), ErrNotFound, err),
			"check the name; some registries say this of what one may not see: docker login %s", p.repo.RegistryStr())
	}
	return list.Tags, next, err
}
