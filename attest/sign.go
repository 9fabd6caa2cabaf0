package attest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sealyard/sealyard/internal/hint"
)

// Bundle is a Sigstore bundle v0.3 in JSON: one statement, one signature and what is needed to verify it.
type Bundle []byte

// Signer signs statements. Sign returns a bundle that holds exactly the bytes of the statement, of at most MaxBundle
// bytes; it can be called from several goroutines at once, and returns ctx.Err, wrapped, soon after ctx ends.
// attesttest.Signer holds an implementation to this.
type Signer interface {
	Sign(ctx context.Context, s Statement) (Bundle, error)
	// Identity says, before anything is signed, who will have signed: the identity that Trust.Verify finds in the bundles. The
	// gate needs it to decide on unsigned statements as an auditor will on signed ones.
	Identity(ctx context.Context) (Identity, error)
}

// room is what a bundle may hold beside the payload: certificate, timestamps, log entry with inclusion proof.
const room = 64_000

// seal signs a statement. keyid goes into the envelope; it must be the key hint for keys (R44) and empty for certificates.
func seal(s Statement, keyid string, keys sign.Keypair, opts sign.BundleOptions) (Bundle, error) {
	if err := signable(s); err != nil {
		return nil, err
	}
	pb, err := sign.Bundle(&sign.DSSEData{Data: s.json, PayloadType: payloadType}, keys, opts)
	if err != nil {
		return nil, err
	}
	// The payload is spliced in last: it may be megabytes, and protojson is slow.
	envelope := pb.GetDsseEnvelope()
	envelope.GetSignatures()[0].Keyid = keyid
	envelope.Payload = []byte("x")
	shell, err := protojson.Marshal(pb)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	small := jsontext.Value(shell)
	if err := small.Compact(); err != nil { // protojson varies its white space on purpose
		return nil, fmt.Errorf("bundle: %w", err)
	}
	start, end, err := payloadSpan(small)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	out := make([]byte, 0, len(small)+base64.StdEncoding.EncodedLen(len(s.json)))
	out = append(out, small[:start]...)
	out = base64.StdEncoding.AppendEncode(out, s.json)
	out = append(out, small[end:]...)
	if len(out) > MaxBundle {
		return nil, tooLarge(s, len(out))
	}
	return out, nil
}

// signable refuses, before anything is asked of a network service, what could not be published afterwards.
func signable(s Statement) error {
	if len(s.json) == 0 {
		return errors.New("statement is empty")
	}
	if n := base64.StdEncoding.EncodedLen(len(s.json)) + room; n > MaxBundle {
		return tooLarge(s, n)
	}
	return nil
}

func tooLarge(s Statement, n int) error {
	return hint.Wrap(fmt.Errorf("%w: %s of %d bytes makes a bundle of %d, and clients of registries read no more than %d", ErrTooLarge, s.predicateType, len(s.json), n, MaxBundle),
		"an SBOM without its list of files fits; sealyard does not publish an SBOM by reference yet")
}
