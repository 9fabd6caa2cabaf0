package attest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	"github.com/sealyard/sealyard/internal/hint"
)

// PredicateSign is the type of a statement that says nothing but who signed its subject. cosign signs so since 2.6.
const PredicateSign = "https://sigstore.dev/cosign/sign/v1"

// GitHubIssuer vouches for the workflows of github.com.
const GitHubIssuer = githubIssuer

// Signature makes the statement with which somebody signs an artifact, whatever it is.
func Signature(s Subject) (Statement, error) {
	return newStatement(PredicateSign, []Subject{s}, []byte("{}"))
}

// Token signs a payload as a compact JWS (RFC 7515 7.1), the form of OPA's signatures of bundles: ES256, ES384, ES512, RS256 or EdDSA,
// whichever is the key's (RFC 7518 3.1, RFC 8037 3.1). kid names the key.
func (k *Key) Token(ctx context.Context, payload []byte) (string, error) {
	alg, err := k.tokenAlgorithm()
	if err != nil {
		return "", err
	}
	header, err := marshal(map[string]string{"alg": alg, "kid": k.id, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(header) + "." + encode(payload)
	sig, _, err := keypair{k}.SignData(ctx, []byte(signed))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	if pub, ok := k.public.(*ecdsa.PublicKey); ok {
		if sig, err = fixedSize(sig, (pub.Params().BitSize+7)/8); err != nil {
			return "", fmt.Errorf("sign a token: %w", err)
		}
	}
	return signed + "." + encode(sig), nil
}

func (k *Key) tokenAlgorithm() (string, error) {
	switch pub := k.public.(type) {
	case *ecdsa.PublicKey:
		if alg, ok := map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[pub.Params().BitSize]; ok {
			return alg, nil
		}
	case *rsa.PublicKey:
		if k.details.GetHashType() == crypto.SHA256 {
			return "RS256", nil
		}
	case ed25519.PublicKey:
		return "EdDSA", nil
	}
	return "", hint.Misuse(fmt.Errorf("a key of type %T signs no tokens", k.public), "use ECDSA P-256, which `sealyard key generate` makes")
}

// fixedSize makes of an ECDSA signature in ASN.1 its two numbers side by side, which is what JWS has (RFC 7518 3.4).
func fixedSize(sig []byte, size int) ([]byte, error) {
	var n struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(sig, &n); err != nil || len(rest) > 0 || n.R.Sign() < 0 || n.S.Sign() < 0 || n.R.BitLen() > 8*size || n.S.BitLen() > 8*size {
		return nil, errors.New("the signature is not of the key's form")
	}
	return append(n.R.FillBytes(make([]byte, size)), n.S.FillBytes(make([]byte, size))...), nil
}
