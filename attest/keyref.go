package attest

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/aws" // each makes its scheme known to kms
	_ "github.com/sigstore/sigstore/pkg/signature/kms/azure"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/gcp"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/hashivault"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/sealyard/sealyard/internal/hint"
)

// IsPKCS11 reports whether a key is in a PKCS#11 token: an RFC 7512 URI.
func IsPKCS11(uri string) bool { return strings.HasPrefix(uri, "pkcs11:") }

// OpenKey opens a key that stays where it is and signs there, by the URI that cosign has for it: awskms://, azurekms://, gcpkms://,
// hashivault://, NAME:// of a program sigstore-kms-NAME in PATH that speaks Sigstore's plugin protocol, or pkcs11:. Where the service is
// and who asks it say the environment and files of its own tools. pin is asked for PKCS#11 only. A service is asked for the
// public key at once, which ctx ends; each signature has the context of its own.
func OpenKey(ctx context.Context, uri string, pin func() ([]byte, error)) (*Key, error) {
	if IsPKCS11(uri) {
		if strings.Contains(uri, "pin-value=") || strings.Contains(uri, "pin-source=") {
			return nil, hint.Misuse(errors.New("key: the PKCS#11 URI holds a PIN, which everybody on this machine can read"), "set COSIGN_PKCS11_PIN, key-password or key-password-file")
		}
		sv, err := openPKCS11(uri, pin)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", uri, err)
		}
		return newKey(sv)
	}
	k, err := openKMS(ctx, uri, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	if h := k.details.GetHashType(); h != crypto.SHA256 && h != 0 {
		return openKMS(ctx, uri, h) // what verifiers expect of such a key
	}
	return k, nil
}

// scheme is what a program in PATH may be named after: with a slash in it, one elsewhere would run.
var scheme = regexp.MustCompile(`\A[a-z0-9][a-z0-9-]*://`)

func openKMS(ctx context.Context, uri string, hash crypto.Hash) (*Key, error) {
	if !scheme.MatchString(uri) {
		return nil, hint.Misuse(fmt.Errorf("key %q: not a reference of any kind", uri), "it is a file, env://NAME, k8s://NAMESPACE/NAME, or SERVICE://KEY")
	}
	sv, err := within(ctx, func() (kms.SignerVerifier, error) { return kms.Get(ctx, uri, hash) })
	var unknown *kms.ProviderNotFoundError
	switch service, _, _ := strings.Cut(uri, "://"); {
	case errors.As(err, &unknown):
		return nil, hint.Misuse(fmt.Errorf("key %q: nothing here knows what %s:// is", uri, service),
			"it is a file, env://, k8s://, awskms://, azurekms://, gcpkms://, hashivault:// or pkcs11:; else put the program sigstore-kms-%s in PATH", service)
	case err != nil:
		return nil, hint.Wrap(oneLine{fmt.Errorf("key %q: %w", uri, err)}, "check the reference, and the address and credentials that the service's own tools take from the environment")
	}
	k, err := newKey(inContext{sv, ctx})
	if err != nil {
		return nil, hint.Wrap(oneLine{fmt.Errorf("key %q: %w", uri, err)}, "check that the key is there and that you may use it to sign")
	}
	k.signer = sv
	return k, nil
}

// inContext asks for the public key while a context lasts.
type inContext struct {
	signature.SignerVerifier
	ctx context.Context
}

// PublicKey implements signature.PublicKeyProvider.
func (c inContext) PublicKey(opts ...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return within(c.ctx, func() (crypto.PublicKey, error) {
		return c.SignerVerifier.PublicKey(append(opts, options.WithContext(c.ctx))...)
	})
}

// within returns when ctx ends, whether or not work does: of the services, Vault's client and PKCS#11 modules know no context.
func within[T any](ctx context.Context, work func() (T, error)) (T, error) {
	var value T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		value, err = work()
	}()
	select {
	case <-done:
		return value, err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}
