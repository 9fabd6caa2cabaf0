package attest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// Hearsay is what a bundle says of itself. Anybody can write anything there, so it is for showing and nothing else may be
// made of it: what is decided on is Verified.
type Hearsay struct {
	PredicateType string          // empty for a signature over an artifact itself
	Statement     string          // digest of the statement, or empty
	Subjects      []string        // digests
	Predicate     json.RawMessage // or nil
	Signer        Identity        // as the certificate says; of a key, what the bundle hints at
	Time          time.Time       // when the certificate begins; zero for a key
}

// Unverified reads a bundle without verifying anything of it but its form. Errors wrap ErrMalformed.
func Unverified(bundleJSON []byte) (Hearsay, error) {
	var h Hearsay
	b, payload, err := open(bundleJSON)
	if err != nil {
		m, notMessage := openMessage(bundleJSON)
		if notMessage != nil {
			return Hearsay{}, fmt.Errorf("%w bundle: %w", ErrMalformed, oneLine{err})
		}
		b, h.Subjects = m, []string{messageDigest(m)}
	} else {
		c, err := decode(payload)
		if err != nil {
			return Hearsay{}, err
		}
		h = Hearsay{PredicateType: c.predicateType, Statement: c.digest, Subjects: c.subjects, Predicate: c.predicate}
	}
	if h.Signer, h.Time, err = saysSigner(b); err != nil {
		return Hearsay{}, fmt.Errorf("%w bundle: %w", ErrMalformed, oneLine{err})
	}
	return h, nil
}

func saysSigner(b *bundle.Bundle) (Identity, time.Time, error) {
	content, err := b.VerificationContent()
	if err != nil {
		return Identity{}, time.Time{}, err
	}
	leaf := content.Certificate()
	if leaf == nil {
		return Identity{Kind: KindKey, ID: b.GetVerificationMaterial().GetPublicKey().GetHint()}, time.Time{}, nil
	}
	summary, err := certificate.SummarizeCertificate(leaf)
	if err != nil {
		return Identity{}, time.Time{}, err
	}
	id, err := certified(leaf, &summary)
	return id, leaf.NotBefore.UTC(), err
}
