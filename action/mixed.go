package action

import (
	"context"
	"errors"
	"fmt"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
)

// unmixed refuses to put bundles on an image beside those of the other kind of signer, keys and certificates: clients that look for one
// kind, such as older versions of gh, fail over the other (R58). Each place is asked what is attached to a part of the image.
func unmixed(ctx context.Context, img oci.Image, places ...attachedTo) error {
	for _, part := range wholeImage(img) {
		kinds := map[string]bool{}
		for _, place := range places {
			if err := signersOf(ctx, place, part.Digest, kinds); err != nil {
				return err
			}
		}
		if len(kinds) > 1 {
			err := fmt.Errorf("%s would bear statements signed with a key and others signed keyless, and some clients fail over one of them", part.Digest)
			return hint.Wrap(err, "sign as it was signed before, publish to another repository, or set mixed-signers: true when no client of yours minds")
		}
	}
	return nil
}

// signersOf adds the kinds of signer of the bundles on digest, as they say themselves. What cannot be read nobody reads.
func signersOf(ctx context.Context, place attachedTo, digest string, kinds map[string]bool) error {
	attached, err := place.Attached(ctx, digest, typeBundle)
	if err != nil && !errors.Is(err, oci.ErrNotFound) {
		return err
	}
	for _, a := range attached {
		for _, l := range a.Layers {
			if said, err := attest.Unverified(l.Content); err == nil {
				kinds[said.Signer.Kind] = true
			}
		}
	}
	return nil
}

// attachedTo says what is attached to a manifest: a store, or one bundle that is still to be attached to every part.
type attachedTo interface {
	Attached(ctx context.Context, digest, artifactType string) ([]oci.Artifact, error)
}

// alone is that bundle.
type alone attest.Bundle

func (b alone) Attached(context.Context, string, string) ([]oci.Artifact, error) {
	return []oci.Artifact{{Layers: []oci.Layer{{Content: b}}}}, nil
}
