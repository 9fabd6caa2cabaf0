//go:build !pkcs11key

package attest

import (
	"errors"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/sealyard/sealyard/internal/hint"
)

// openPKCS11 says that this program is a static one: a PKCS#11 module is a library that only a C program can load.
func openPKCS11(string, func() ([]byte, error)) (signature.SignerVerifier, error) {
	return nil, hint.Misuse(errors.New("this sealyard was built without PKCS#11"),
		"build one with it: CGO_ENABLED=1 go build -tags pkcs11key . (docs/signing.md); or sign with a program of Sigstore's plugin protocol, sigstore-kms-NAME in PATH")
}
