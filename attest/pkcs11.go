//go:build pkcs11key

package attest

import (
	"github.com/sigstore/cosign/v2/pkg/cosign/pkcs11key"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/sealyard/sealyard/internal/hint"
)

// openPKCS11 loads the module that the URI names into this process. cosign has the same build tag for the same code.
func openPKCS11(uri string, pin func() ([]byte, error)) (signature.SignerVerifier, error) {
	c := pkcs11key.NewPkcs11UriConfig()
	if err := c.Parse(uri); err != nil {
		return nil, hint.Misuse(err, "write it as pkcs11:token=LABEL;object=LABEL?module-path=/PATH/TO/MODULE.so")
	}
	word, err := pin()
	if err != nil {
		return nil, err
	}
	c.Pin = string(word)
	k, err := pkcs11key.GetKeyWithURIConfig(c, false)
	if err != nil {
		return nil, hint.Wrap(err, "check token and module-path, and the PIN in COSIGN_PKCS11_PIN, key-password or key-password-file")
	}
	sv, err := k.SignerVerifier()
	if err != nil {
		return nil, hint.Wrap(err, "check that the token has a private key with that object or id")
	}
	return sv, nil
}
