package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

// baseSigner is an entry of the setting baseSigners: who must have signed which images.
type baseSigner struct {
	Image  string `json:"image"`
	Key    string `json:"key"`
	ID     string `json:"id"`
	Issuer string `json:"issuer"`
}

// baseSigners finds out who signed the images that a build takes in. Which of them must have is the policies' word. Nil looks nothing up.
type baseSigners struct {
	entries []baseSigner
	trust   *attest.Trust
	remote  func() (*oci.Remote, error)
}

// baseSigners reads whom the policies want to have signed base images.
func (s *session) baseSigners(policies []*policy.Bundle) (*baseSigners, error) {
	out := &baseSigners{remote: s.remote}
	o := attest.TrustOptions{}
	for _, b := range policies {
		doc, err := b.Settings()
		if err != nil {
			return nil, err
		}
		var set struct {
			BaseSigners []baseSigner `json:"baseSigners"`
		}
		if err := json.Unmarshal(doc, &set); err != nil {
			return nil, fmt.Errorf("policy bundle %q: settings: %w", b.Name(), err)
		}
		for i, e := range set.BaseSigners {
			if err := e.into(&o, fmt.Sprintf("baseSigners[%d] of %q", i, b.Name())); err != nil {
				return nil, err
			}
			out.entries = append(out.entries, e)
		}
	}
	if len(out.entries) == 0 {
		return nil, nil
	}
	var err error
	if len(o.Identities) > 0 {
		if o.TrustedRoots, err = s.roots(); err != nil {
			return nil, err
		}
	}
	out.trust, err = attest.LoadTrust(o)
	return out, err
}

// into adds whom an entry names to those who are believed.
func (e baseSigner) into(o *attest.TrustOptions, name string) error {
	switch byKey := e.Key != ""; {
	case byKey && e.ID == "" && e.Issuer == "":
		o.PublicKeys = append(o.PublicKeys, attest.File{Name: name, Data: []byte(e.Key)})
	case !byKey && e.ID != "" && e.Issuer != "":
		who := attest.ExpectedIdentity{SAN: e.ID, Issuer: e.Issuer}
		if strings.HasPrefix(e.ID, "https://") && strings.Contains(e.ID, "/.github/workflows/") && !strings.Contains(e.ID, "@") {
			who.SAN, who.SANPattern = "", regexp.QuoteMeta(e.ID)+"@.*" // a workflow at any ref
		}
		o.Identities = append(o.Identities, who)
	default:
		return hint.Misuse(fmt.Errorf("%s names neither a key nor an identity with its issuer, or both", name), "give image and key, or image, id and issuer")
	}
	return nil
}

// about reports whether an entry is about an image.
func (b *baseSigners) about(image string) bool {
	for _, e := range b.entries {
		if e.Image == "*" || strings.HasPrefix(image+"/", e.Image+"/") {
			return true
		}
	}
	return false
}

// of finds the signatures of an image, and of its manifest for the platform, that hold. Others are as if they were not there.
func (b *baseSigners) of(ctx context.Context, f build.Fetch) ([]policy.Signature, error) {
	if b == nil || f.Kind != build.FetchImage || !b.about(f.Name) {
		return nil, nil
	}
	remote, err := b.remote()
	if err != nil {
		return nil, err
	}
	defer remote.Close()
	ref := f.Name + ":" + f.Tag
	if f.Digest != "" {
		ref = f.Name + "@" + f.Digest
	}
	repo, err := remote.Repository(ref)
	if err != nil {
		return nil, err
	}
	image, err := repo.Resolve(ctx, "")
	if errors.Is(err, oci.ErrNotFound) {
		return nil, nil // the build will say that there is none
	}
	if err != nil {
		return nil, err
	}
	subjects := []string{image.Digest}
	for _, p := range image.Platforms {
		if p.Platform == f.Platform && p.Digest != image.Digest {
			subjects = append(subjects, p.Digest)
		}
	}
	var out []policy.Signature
	for _, subject := range subjects {
		attached, err := repo.Attached(ctx, subject, typeBundle)
		if err != nil {
			return nil, err
		}
		for _, a := range attached {
			if len(a.Layers) != 1 {
				continue
			}
			if s, ok := b.verify(a.Layers[0].Content, subject); ok {
				out = append(out, s)
			}
		}
	}
	return out, nil
}

// verify reads one Sigstore bundle: the signature of a digest, or a statement about it.
func (b *baseSigners) verify(bundle []byte, digest string) (policy.Signature, bool) {
	if m, err := b.trust.VerifyMessage(bundle, digest); err == nil {
		return policy.Signature{Signer: policySigner(m.Signer()), Subject: digest}, true
	}
	st, err := b.trust.Verify(bundle, digest)
	if err != nil {
		return policy.Signature{}, false
	}
	return policy.Signature{Signer: policySigner(st.Signer()), PredicateType: st.PredicateType(), Subject: digest}, true
}
