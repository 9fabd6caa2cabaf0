package attest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// bundleVersion is the one that is read, by the name it has now and the one it had. Older ones may lack what proves that
// an entry is in a log, and bring certificates of their own (T26).
func bundleVersion(mediaType string) error {
	switch mediaType {
	case "application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3":
		return nil
	}
	return fmt.Errorf("media type %q is not of a bundle v0.3", mediaType)
}

// proven refuses a log entry with a promise alone: sigstore-go is content when another entry of the bundle has a proof (R45).
func proven(material *protobundle.VerificationMaterial) error {
	for _, e := range material.GetTlogEntries() {
		if e.GetInclusionProof() == nil {
			return errors.New("a log entry without inclusion proof")
		}
	}
	return nil
}

// trustedRoot is a root and what bundles must carry to be verified against it.
type trustedRoot struct {
	*verify.Verifier
	unlogged  *verify.Verifier                 // of bundles without log entry; nil when they must have one
	logs      map[string]*root.TransparencyLog // by key id in hex
	witnesses witnesses
	least     Thresholds
}

// verifier is the one for b: an entry that is there must hold, also where none is asked for.
func (r trustedRoot) verifier(b *bundle.Bundle) *verify.Verifier {
	if entries, err := b.TlogEntries(); r.unlogged == nil || err != nil || len(entries) > 0 {
		return r.Verifier
	}
	return r.unlogged
}

// logged checks what sigstore-go leaves out of the log entries of a bundle that it verified: that every entry, also of
// a log it does not know, is of this signature (T25); that what an entry of Rekor v2 says is what the log has, and not
// only what sigstore-go made anew from the bundle (T21); that a log was in use at the trusted times, for entries of
// Rekor v2 have no time of their own (R47); and that there are as many witnesses as are asked for (R46).
func (r trustedRoot) logged(b *bundle.Bundle, times []verify.TimestampVerificationResult) error {
	entries, err := b.TlogEntries()
	if err != nil {
		return err
	}
	var logs []*root.TransparencyLog
	for _, e := range entries {
		if !ofThis(b, e.Signature()) {
			return errors.New("a log entry is of another signature")
		}
		l := r.logs[hex.EncodeToString([]byte(e.LogKeyID()))]
		if l == nil {
			continue // it proves nothing, and takes nothing away
		}
		logs = append(logs, l)
		if len(entries) > 1 { // a single one was verified, or the bundle would not have been
			if err := r.promised(e); err != nil {
				return fmt.Errorf("log %q: %w", l.BaseURL, err)
			}
		}
		if e.IsRekorV2() {
			if err := contains(l, e); err != nil {
				return fmt.Errorf("log %q: %w", l.BaseURL, err)
			}
		}
		for _, t := range times {
			if t.Timestamp.Before(l.ValidityPeriodStart) || !l.ValidityPeriodEnd.IsZero() && t.Timestamp.After(l.ValidityPeriodEnd) {
				return fmt.Errorf("log %q is trusted from %s, and the signature is of %s", l.BaseURL, period(l), stamp(t.Timestamp))
			}
		}
	}
	return r.witnesses.count(r.least, logs, times)
}

// contains proves that the body of an entry of Rekor v2 is in its log.
func contains(l *root.TransparencyLog, e *tlog.Entry) error {
	key, err := signature.LoadVerifier(l.PublicKey, l.SignatureHashFunc)
	if err != nil {
		return err
	}
	u, err := url.Parse(l.BaseURL)
	if err != nil {
		return err
	}
	return tlog.VerifyCheckpointAndInclusion(e, key, u.Hostname())
}

func period(l *root.TransparencyLog) string {
	if l.ValidityPeriodEnd.IsZero() {
		return stamp(l.ValidityPeriodStart)
	}
	return stamp(l.ValidityPeriodStart) + " to " + stamp(l.ValidityPeriodEnd)
}
