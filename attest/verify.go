package attest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sealyard/sealyard/internal/hint"
)

// Verify says what a Sigstore bundle proves about digest (sha256:<hex> or sha512:<hex>). It is a pure function of
// bytes. All of these must hold, or the error wraps ErrUntrusted:
//
//   - the bundle, its envelope and the statement in it are strictly of their formats (ErrMalformed), with one signature;
//   - a trusted key made the signature, or a certificate that a trusted root vouches for at the time of signing, for
//     an expected identity. The bundle's key hint decides nothing;
//   - the statement is about digest (ErrSubject);
//   - provenance that was signed with a certificate says nothing about the run but what the certificate says, and all of it.
//
// The statement is parsed only after its signature was verified. An error that does not wrap ErrUntrusted means that
// digest itself is not one.
func (t *Trust) Verify(bundleJSON []byte, digest string) (Verified, error) {
	if _, err := digestSet(digest, "sha256", "sha512"); err != nil {
		return Verified{}, hint.Misuse(err, "an image's digest looks like sha256:<64 hex digits>")
	}
	b, payload, err := open(bundleJSON)
	if err != nil {
		return Verified{}, fmt.Errorf("%w bundle: %w", ErrMalformed, err)
	}
	var p proof
	if b.GetVerificationMaterial().GetPublicKey() != nil {
		p, err = t.byKey(b, payload)
	} else {
		p, err = t.byCertificate(b, digest)
	}
	if err != nil {
		return Verified{}, fmt.Errorf("%w: %w", ErrUntrusted, oneLine{err})
	}
	c, err := decode(payload)
	if err != nil {
		return Verified{}, err
	}
	if !slices.Contains(c.subjects, digest) {
		return Verified{}, fmt.Errorf("%w: the statement names %q, not %q", ErrSubject, first(c.subjects, 3), digest)
	}
	if p.signer.Kind == KindKeyless {
		if err := agree(c.predicateType, c.predicate, p.signer); err != nil {
			return Verified{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
		}
	}
	return Verified{claim: c, proof: p}, nil
}

// open reads a bundle strictly, and the payload out of it, which is not parsed.
func open(raw []byte) (*bundle.Bundle, []byte, error) {
	if len(raw) > MaxBundle {
		return nil, nil, fmt.Errorf("%d bytes, at most %d are read", len(raw), MaxBundle)
	}
	encoded, rest, err := cut(raw)
	if err != nil {
		return nil, nil, err
	}
	var pb protobundle.Bundle
	if err := protojson.Unmarshal(rest, &pb); err != nil {
		return nil, nil, err
	}
	if err := both(bundleVersion(pb.GetMediaType()), proven(pb.GetVerificationMaterial())); err != nil {
		return nil, nil, err
	}
	envelope := pb.GetDsseEnvelope()
	switch {
	case envelope == nil:
		return nil, nil, errors.New("no DSSE envelope")
	case envelope.GetPayloadType() != payloadType:
		return nil, nil, fmt.Errorf("payload type %q, not %q", envelope.GetPayloadType(), payloadType)
	case len(envelope.GetSignatures()) != 1:
		return nil, nil, fmt.Errorf("%d signatures, not 1", len(envelope.GetSignatures()))
	}
	if bytes.IndexByte(encoded, '\n') >= 0 || bytes.IndexByte(encoded, '\r') >= 0 { // which the decoder would skip, and JSON does not allow
		return nil, nil, errors.New("payload: line break")
	}
	payload, err := base64.StdEncoding.Strict().AppendDecode(nil, encoded)
	if err != nil {
		return nil, nil, fmt.Errorf("payload: %w", err)
	}
	envelope.Payload = payload
	b, err := bundle.NewBundle(&pb)
	if err != nil {
		return nil, nil, err
	}
	return b, payload, nil
}

// byKey tries every trusted key, the one that the bundle hints at first. Keys need no source of time: they are trusted
// until they are taken out of the Trust.
func (t *Trust) byKey(b *bundle.Bundle, payload []byte) (proof, error) {
	hinted := b.GetVerificationMaterial().GetPublicKey().GetHint()
	keys := slices.Clone(t.keys)
	slices.SortStableFunc(keys, func(x, y trustedKey) int { return order(y.hint == hinted) - order(x.hint == hinted) })
	// The pre-authentication encoding of DSSE, streamed: payloads may be megabytes.
	head := "DSSEv1 " + strconv.Itoa(len(payloadType)) + " " + payloadType + " " + strconv.Itoa(len(payload)) + " "
	sig := b.GetDsseEnvelope().GetSignatures()[0].GetSig()
	for _, k := range keys {
		for _, v := range k.verifiers {
			message := io.MultiReader(bytes.NewReader([]byte(head)), bytes.NewReader(payload))
			if v.VerifySignature(bytes.NewReader(sig), message) == nil {
				return proof{signer: Identity{Kind: KindKey, ID: k.id}}, nil
			}
		}
	}
	return proof{}, fmt.Errorf("none of %d trusted keys made the signature (it hints at %q)", len(t.keys), hinted)
}

// byCertificate tries every trusted root. sigstore-go verifies time, certificate, log entry and signature.
func (t *Trust) byCertificate(b *bundle.Bundle, digest string) (proof, error) {
	if len(t.roots) == 0 {
		return proof{}, errors.New("signed with a certificate, and only keys are trusted")
	}
	alg, value := digest[:len("sha256")], digest[len("sha256:"):]
	raw, err := hex.DecodeString(value)
	if err != nil {
		return proof{}, err
	}
	// Who signed is held to what is expected by identify, after everything else holds: sigstore-go knows patterns that are
	// not anchored, compares only what both sides name, and does not say what differs.
	policy := verify.NewPolicy(verify.WithArtifactDigest(alg, raw), verify.WithoutIdentitiesUnsafe())
	var all error
	for _, r := range t.roots {
		res, err := r.verifier(b).Verify(b, policy)
		if err != nil {
			all = both(all, err)
			continue
		}
		if err := r.logged(b, res.VerifiedTimestamps); err != nil {
			all = both(all, err)
			continue
		}
		id, err := t.identify(b, res)
		if err != nil {
			return proof{}, err
		}
		p := proof{signer: id}
		for _, ts := range res.VerifiedTimestamps {
			p.times = append(p.times, ts.Timestamp.UTC())
		}
		return p, nil
	}
	return proof{}, all
}

// identify says who holds the certificate that was verified, if it is somebody expected.
func (t *Trust) identify(b *bundle.Bundle, res *verify.VerificationResult) (Identity, error) {
	content, err := b.VerificationContent()
	if err != nil {
		return Identity{}, err
	}
	leaf := content.Certificate()
	if leaf == nil || res.Signature == nil || res.Signature.Certificate == nil {
		return Identity{}, errors.New("no certificate was verified")
	}
	id, err := certified(leaf, res.Signature.Certificate)
	if err != nil {
		return Identity{}, err
	}
	var all error
	for _, who := range t.who {
		err := who.check(id)
		if err == nil {
			return id, nil
		}
		all = both(all, err)
	}
	if all == nil {
		return Identity{}, errors.New("nobody is expected to sign")
	}
	return Identity{}, all
}

// oneLine is an error of a library that may write several.
type oneLine struct{ error }

// Error is the message with every white space a blank.
func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

// Unwrap is the error itself.
func (e oneLine) Unwrap() error { return e.error }

// both keeps two errors on one line.
func both(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return fmt.Errorf("%w; %w", a, b)
}

func order(b bool) int {
	if b {
		return 1
	}
	return 0
}

func first(l []string, n int) []string { return l[:min(n, len(l))] }
