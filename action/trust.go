package action

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

// trust says whom verify believes: a public key, or a trusted root and an identity.
func (s *session) trust(ctx context.Context) (*attest.Trust, error) {
	var o attest.TrustOptions
	var err error
	if o.Thresholds, err = s.thresholds(); err != nil {
		return nil, err
	}
	if name := s.in.one("key"); name != "" {
		pem, err := s.publicKey(ctx, name)
		if err != nil {
			return nil, err
		}
		o.PublicKeys = []attest.File{{Name: name, Data: pem}}
	}
	who := attest.ExpectedIdentity{
		SAN: s.in.one("certificate-identity"), SANPattern: s.in.one("certificate-identity-regexp"),
		Issuer: s.in.one("certificate-oidc-issuer"), IssuerPattern: s.in.one("certificate-oidc-issuer-regexp"),
		Repository: s.in.one("repo"), Workflow: s.in.one("workflow"), Ref: s.in.one("ref"),
		SignerWorkflow: s.in.one("signer-workflow"), Runner: s.in.one("runner"), Event: s.in.one("event"),
	}
	if who != (attest.ExpectedIdentity{}) {
		o.Identities = []attest.ExpectedIdentity{who}
	}
	if len(o.PublicKeys) > 0 && len(o.Identities) > 0 {
		return nil, hint.Misuse(errors.New("a key and an identity: either of them would be enough"), "a statement is signed by the one or the other; verify once with each")
	}
	if len(o.Identities) > 0 || len(s.in.all("trusted-root")) > 0 {
		if o.TrustedRoots, err = s.roots(); err != nil {
			return nil, err
		}
	}
	return attest.LoadTrust(o)
}

// trustIn says whom to believe when the gate checks what a signer just signed: that signer and nobody else.
func (s *session) trustIn(signer attest.Signer, id attest.Identity) (*attest.Trust, error) {
	least, err := s.thresholds()
	if err != nil {
		return nil, err
	}
	if k, ok := signer.(*attest.Key); ok {
		pem, err := k.PublicKey()
		if err != nil {
			return nil, err
		}
		return attest.LoadTrust(attest.TrustOptions{PublicKeys: []attest.File{{Name: "the signing key", Data: pem}}, Thresholds: least})
	}
	o := attest.TrustOptions{Identities: []attest.ExpectedIdentity{{SAN: id.ID, Issuer: id.Issuer}}, Thresholds: least}
	if o.TrustedRoots, err = s.roots(); err != nil {
		return nil, err
	}
	return attest.LoadTrust(o)
}

// rootNames are the trusted roots that were named, else the one that trust update keeps for this user.
func (s *session) rootNames() ([]string, error) {
	if given := s.in.all("trusted-root"); len(given) > 0 {
		return given, nil
	}
	kept, err := s.env.keptRoot()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(kept); errors.Is(err, os.ErrNotExist) {
		return nil, hint.Misuse(errors.New("an identity needs a trusted root: the authorities that vouch for it"),
			"run sealyard trust update once, for Sigstore's public instance, or give the trusted_root.json of another one with --trusted-root")
	}
	return []string{kept}, nil
}

// roots reads the trusted roots.
func (s *session) roots() ([]attest.File, error) {
	names, err := s.rootNames()
	if err != nil {
		return nil, err
	}
	out, err := files(names, readFile)
	if err != nil {
		return nil, err
	}
	s.warnOfAge(out)
	return out, nil
}

// warnOfAge tells of trusted roots that should be refreshed.
func (s *session) warnOfAge(roots []attest.File) {
	for _, f := range roots {
		if old := rootAge(f.Name, f.Data).old(s.now); old != "" {
			fmt.Fprintf(s.env.Stderr, "warning: trusted root %q %s; to refresh it: sealyard trust update\n", f.Name, report.Clean(old))
		}
	}
}

// thresholds are how many witnesses a keyless signature needs.
func (s *session) thresholds() (t attest.Thresholds, err error) {
	if t.Logs, err = s.in.number("log-threshold"); err != nil {
		return t, err
	}
	t.Unlogged = s.in.one("degrade") == timestampOnly
	t.Clocks, err = s.in.number("timestamp-threshold")
	return t, err
}
