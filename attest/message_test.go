package attest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

const message = "an artifact, whatever it is"

func messageOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// signedMessage signs the message as cosign sign-blob does, and returns the public key.
func signedMessage(t testing.TB, o sign.BundleOptions) (bundle, public []byte) {
	t.Helper()
	pair := must(sign.NewEphemeralKeypair(nil))(t)
	b := must(sign.Bundle(&sign.PlainData{Data: []byte(message)}, pair, o))(t)
	return must(protojson.Marshal(b))(t), []byte(must(pair.GetPublicKeyPem())(t))
}

func (s *sigstore) signsMessage(t testing.TB) []byte {
	t.Helper()
	b, _ := signedMessage(t, sign.BundleOptions{
		Context:             context.Background(),
		CertificateProvider: sign.NewFulcio(&sign.FulcioOptions{BaseURL: s.URL}), CertificateProviderOptions: &sign.CertificateProviderOptions{IDToken: must(githubToken(context.Background(), ""))(t)},
		TimestampAuthorities: []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: s.URL + "/timestamp"})},
	})
	return b
}

// R25 R45 T20 T24: a signature over an artifact itself is held to the same signers and times as a statement, and to the artifact.
func TestMessageSignature(t *testing.T) {
	s := newSigstore(t)
	byKey, public := signedMessage(t, sign.BundleOptions{})
	_, other := signedMessage(t, sign.BundleOptions{})
	byJob := s.signsMessage(t)
	key := func(pem []byte) *attest.Trust {
		return must(attest.LoadTrust(attest.TrustOptions{PublicKeys: []attest.File{{Name: "k.pub", Data: pem}}}))(t)
	}
	job := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer))
	wrong := func(b *protobundle.Bundle) { b.GetMessageSignature().MessageDigest.Digest[0] ^= 1 }
	for name, c := range map[string]struct {
		trust  *attest.Trust
		bundle []byte
		digest string
		want   error
	}{
		"key":                    {key(public), byKey, messageOf(message), nil},
		"key, second of two":     {key(append(append([]byte{}, other...), public...)), byKey, messageOf(message), nil},
		"job":                    {job, byJob, messageOf(message), nil},
		"other key":              {key(other), byKey, messageOf(message), attest.ErrUntrusted},
		"other artifact":         {key(public), byKey, messageOf("else"), attest.ErrSubject},
		"other artifact, job":    {job, byJob, messageOf("else"), attest.ErrSubject},
		"key, and no root":       {key(public), byJob, messageOf(message), attest.ErrUntrusted},
		"root, and no key":       {job, byKey, messageOf(message), attest.ErrUntrusted},
		"other identity":         {trustIn(t, s.roots(t, nil), exactly(workflowSAN+"x", githubIssuer)), byJob, messageOf(message), attest.ErrUntrusted},
		"other instance":         {trustIn(t, newSigstore(t).roots(t, nil), exactly(workflowSAN, githubIssuer)), byJob, messageOf(message), attest.ErrUntrusted},
		"another digest claimed": {key(public), edit(t, byKey, wrong), messageOf(message), attest.ErrSubject},
		"signature edited": {key(public), edit(t, byKey, func(b *protobundle.Bundle) {
			b.GetMessageSignature().Signature[9] ^= 1
		}), messageOf(message), attest.ErrUntrusted},
		"algorithm relabelled": {key(public), edit(t, byKey, func(b *protobundle.Bundle) {
			b.GetMessageSignature().MessageDigest.Algorithm = protocommon.HashAlgorithm_SHA2_512
		}), messageOf(message), attest.ErrSubject},
		"no signature": {key(public), edit(t, byKey, func(b *protobundle.Bundle) { b.GetMessageSignature().Signature = nil }), messageOf(message), attest.ErrMalformed},
		"no time": {job, edit(t, byJob, func(b *protobundle.Bundle) {
			b.VerificationMaterial.TimestampVerificationData = nil
		}), messageOf(message), attest.ErrUntrusted},
		"bundle v0.2":   {key(public), []byte(strings.Replace(string(byKey), "bundle.v0.3+json", "bundle+json;version=0.2", 1)), messageOf(message), attest.ErrMalformed},
		"unknown field": {key(public), []byte(strings.Replace(string(byKey), `{`, `{"x":1,`, 1)), messageOf(message), attest.ErrMalformed},
		"twice a name":  {key(public), []byte(strings.Replace(string(byKey), `{`, `{"mediaType":"x",`, 1)), messageOf(message), attest.ErrMalformed},
		"a statement":   {job, must(s.signer(t).Sign(context.Background(), bom(t)))(t), messageOf(message), attest.ErrMalformed},
	} {
		got, err := c.trust.VerifyMessage(c.bundle, c.digest)
		if !errors.Is(err, c.want) || (err != nil) != (got.Digest() == "") || err != nil && !errors.Is(err, attest.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got := must(job.VerifyMessage(byJob, messageOf(message)))(t)
	if id := got.Signer(); id.ID != workflowSAN || id.Workflow.Commit != commit || len(got.Times()) != 1 || time.Since(got.Times()[0]) > time.Hour {
		t.Errorf("%+v at %v", id, got.Times())
	}
	if _, err := job.VerifyMessage(byJob, "sha1:abc"); !hint.IsMisuse(err) {
		t.Errorf("%v", err)
	}
	// T21 T25: a log entry of something else is refused, also when the log is not known.
	var logged protobundle.Bundle
	if err := protojson.Unmarshal(s.logged(t, bom(t), newTestLog(t, false)), &logged); err != nil {
		t.Fatal(err)
	}
	stray := edit(t, byJob, func(b *protobundle.Bundle) {
		b.VerificationMaterial.TlogEntries = logged.GetVerificationMaterial().GetTlogEntries()
	})
	if _, err := job.VerifyMessage(stray, messageOf(message)); !errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), "of another signature") {
		t.Errorf("a stray log entry: %v", err)
	}
	// A statement is never taken for a signature over an artifact, nor the other way round.
	if _, err := job.Verify(byJob, messageOf(message)); !errors.Is(err, attest.ErrMalformed) {
		t.Errorf("%v", err)
	}
}

// A statement says when it was signed, by whom its root trusts for the time.
func TestVerifiedTimes(t *testing.T) {
	s, st := newSigstore(t), bom(t)
	when := time.Now().Add(-30 * time.Second).Truncate(time.Second)
	s.at(when)
	good := must(s.signer(t).Sign(context.Background(), st))(t)
	v := must(trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer)).Verify(good, st.Subjects()[0]))(t)
	if len(v.Times()) != 1 || !v.Times()[0].Equal(when) {
		t.Errorf("%v, want %v", v.Times(), when)
	}
}
