package attest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sealyard/sealyard/internal/hint"
)

// Signed is a signature over an artifact itself, which Trust.VerifyMessage found good. Whoever signed said nothing about
// the artifact: neither where it comes from nor that it is any good. So it is no claim, and no policy sees it.
type Signed struct {
	proof
	digest string
}

// Digest is what was signed: sha256:<hex> or sha512:<hex> of the artifact.
func (s Signed) Digest() string { return s.digest }

// VerifyMessage says who signed the artifact with this digest (sha256:<hex> or sha512:<hex>), by a Sigstore bundle with a
// message signature. Signers and times are held to the same rules as by Verify, and errors are the same. A plain
// ed25519 key signs artifacts and not their digests, so its signatures are not verified here.
func (t *Trust) VerifyMessage(bundleJSON []byte, digest string) (Signed, error) {
	if _, err := digestSet(digest, "sha256", "sha512"); err != nil {
		return Signed{}, hint.Misuse(err, "a digest looks like sha256:<64 hex digits>")
	}
	b, err := openMessage(bundleJSON)
	if err != nil {
		return Signed{}, fmt.Errorf("%w bundle: %w", ErrMalformed, err)
	}
	if signed := messageDigest(b); signed != digest {
		return Signed{}, fmt.Errorf("%w: the signature is of %q, not of %q", ErrSubject, signed, digest)
	}
	var p proof
	if b.GetVerificationMaterial().GetPublicKey() != nil {
		p, err = t.messageByKey(b, digest)
	} else {
		p, err = t.byCertificate(b, digest)
	}
	if err != nil {
		return Signed{}, fmt.Errorf("%w: %w", ErrUntrusted, oneLine{err})
	}
	return Signed{proof: p, digest: digest}, nil
}

// openMessage reads a bundle with a message signature strictly.
func openMessage(raw []byte) (*bundle.Bundle, error) {
	if len(raw) > MaxBundle {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(raw), MaxBundle)
	}
	if err := strictObject(raw); err != nil {
		return nil, err
	}
	var pb protobundle.Bundle
	if err := protojson.Unmarshal(raw, &pb); err != nil {
		return nil, err
	}
	if err := both(bundleVersion(pb.GetMediaType()), proven(pb.GetVerificationMaterial())); err != nil {
		return nil, err
	}
	if len(pb.GetMessageSignature().GetSignature()) == 0 {
		return nil, errors.New("no message signature")
	}
	return bundle.NewBundle(&pb)
}

// messageDigest is what the bundle says it signs; "" when that is in no algorithm of ours.
func messageDigest(b *bundle.Bundle) string {
	d := b.GetMessageSignature().GetMessageDigest()
	alg, ok := map[protocommon.HashAlgorithm]string{protocommon.HashAlgorithm_SHA2_256: "sha256:", protocommon.HashAlgorithm_SHA2_512: "sha512:"}[d.GetAlgorithm()]
	if !ok {
		return ""
	}
	return alg + hex.EncodeToString(d.GetDigest())
}

// messageByKey tries every trusted key; sigstore-go verifies the signature.
func (t *Trust) messageByKey(b *bundle.Bundle, digest string) (proof, error) {
	alg, value, _ := strings.Cut(digest, ":")
	raw, err := hex.DecodeString(value)
	if err != nil {
		return proof{}, err
	}
	policy := verify.NewPolicy(verify.WithArtifactDigest(alg, raw), verify.WithKey())
	for _, k := range t.keys {
		for _, v := range k.verifiers {
			forever := root.NewExpiringKey(v, time.Time{}, time.Time{})
			material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return forever, nil })
			sv, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps())
			if err != nil {
				return proof{}, err
			}
			if _, err := sv.Verify(b, policy); err == nil {
				return proof{signer: Identity{Kind: KindKey, ID: k.id}}, nil
			}
		}
	}
	return proof{}, fmt.Errorf("none of %d trusted keys made the signature", len(t.keys))
}

// ofThis reports whether a signature is the one of the bundle, be it over an envelope or over a message.
func ofThis(b *bundle.Bundle, sig []byte) bool {
	if m := b.GetMessageSignature(); m != nil {
		return bytes.Equal(sig, m.GetSignature())
	}
	all := b.GetDsseEnvelope().GetSignatures()
	return len(all) == 1 && bytes.Equal(sig, all[0].GetSig())
}
