package attest

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/sign"
)

// certificateMargin is how long a certificate must still be valid for another signature to be made with it.
const certificateMargin = 2 * time.Minute

// credential is a key that lives in memory, and the certificate in which Fulcio binds it to an identity.
type credential struct {
	keys *sign.EphemeralKeypair
	cert *x509.Certificate
}

// wallet holds the credential that signatures share.
type wallet struct {
	turn chan struct{} // holds one value while somebody uses held
	held credential
}

// GetCertificate implements sign.CertificateProvider.
func (c credential) GetCertificate(context.Context, sign.Keypair, *sign.CertificateProviderOptions) ([]byte, error) {
	return c.cert.Raw, nil
}

// credential returns one that is good for another signature. Fulcio binds a key to an identity for ten minutes and not for one
// signature, so statements that are signed side by side wait for the same certificate, if somebody tells the time.
func (k *Keyless) credential(ctx context.Context) (credential, error) {
	select {
	case k.wallet.turn <- struct{}{}:
		defer func() { <-k.wallet.turn }()
	case <-ctx.Done():
		return credential{}, fmt.Errorf("certificate authority: %w", ctx.Err())
	}
	if c := k.wallet.held; k.clock != nil && c.cert != nil && k.clock().Add(certificateMargin).Before(c.cert.NotAfter) {
		return c, nil
	}
	c, err := k.certify(ctx)
	if err == nil {
		k.wallet.held = c
	}
	return c, err
}

// certify has Fulcio certify a new key.
func (k *Keyless) certify(ctx context.Context) (credential, error) {
	token, _, err := k.identified(ctx)
	if err != nil {
		return credential{}, err
	}
	keys, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return credential{}, err
	}
	fulcio := sign.NewFulcio(&sign.FulcioOptions{BaseURL: k.fulcio, Timeout: -1, Transport: patient{ctx, "certificate authority"}})
	der, err := fulcio.GetCertificate(ctx, keys, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		return credential{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return credential{}, fmt.Errorf("certificate authority: %w", err)
	}
	if key, ok := keys.GetPublicKey().(*ecdsa.PublicKey); !ok || !key.Equal(cert.PublicKey) {
		return credential{}, errors.New("certificate authority: it certified another key than ours")
	}
	return credential{keys, cert}, nil
}
