package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/sealyard/sealyard/internal/hint"
)

// maxKeyFile is the most bytes of a key file; the largest, RSA 4096 encrypted, has 5 kB.
const maxKeyFile = 64 << 10

// Key signs with a private key: held in this process (NewKey), or where it stays (OpenKey). It uses no clock and no transparency log,
// and of the network no more than the key needs.
type Key struct {
	signer  signature.SignerVerifier
	public  crypto.PublicKey
	details signature.AlgorithmDetails
	id      string
	hint    string
}

// NewKey opens a cosign key file: PEM of type ENCRYPTED SIGSTORE (or COSIGN) PRIVATE KEY. As in cosign, a key that is
// not encrypted is refused. It takes about 0.2 s and 64 MB, which is what the file format asks of a password check.
// Errors are marked with hint.Misuse; none quotes the file or the password.
func NewKey(pemFile, password []byte) (*Key, error) {
	if len(pemFile) > maxKeyFile {
		return nil, hint.Misuse(fmt.Errorf("private key: file of %d bytes", len(pemFile)), "give the key file that `sealyard key generate` or cosign wrote")
	}
	block, _ := pem.Decode(pemFile)
	if block == nil {
		return nil, hint.Misuse(errors.New("private key: not PEM"), "give the key file that `sealyard key generate` or cosign wrote")
	}
	switch block.Type {
	case cosign.SigstorePrivateKeyPemType, cosign.CosignPrivateKeyPemType:
	case "PUBLIC KEY":
		return nil, hint.Misuse(errors.New("private key: the file holds a public key"), "give the other file of the pair")
	default:
		return nil, hint.Misuse(fmt.Errorf("private key: %q is not an encrypted cosign key", block.Type), "`cosign import-key-pair --key FILE` encrypts a key of your own")
	}
	// No load options: plain Ed25519, because that is what verifiers expect in a DSSE envelope.
	sv, err := cosign.LoadPrivateKey(pemFile, password, &[]signature.LoadOption{})
	switch {
	case err != nil && len(password) == 0:
		return nil, hint.Misuse(fmt.Errorf("private key: no password given: %w", err), "set COSIGN_PASSWORD or name a password file")
	case err != nil:
		return nil, hint.Misuse(fmt.Errorf("private key: wrong password or damaged file: %w", err), "check the password; `sealyard key generate` makes a new pair")
	}
	return newKey(sv)
}

func newKey(sv signature.SignerVerifier) (*Key, error) {
	pub, err := sv.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	id, err := keyID(pub)
	if err != nil {
		return nil, hint.Misuse(fmt.Errorf("private key: %w", err), "use ECDSA P-256, which `sealyard key generate` makes")
	}
	details, err := signature.GetDefaultAlgorithmDetails(pub)
	if err != nil {
		return nil, hint.Misuse(fmt.Errorf("private key: %w", err), "use ECDSA P-256, which `sealyard key generate` makes")
	}
	hinted, err := keyHint(pub)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return &Key{signer: sv, public: pub, details: details, id: id, hint: hinted}, nil
}

// GenerateKey makes a new ECDSA P-256 pair in cosign's file formats: the private key encrypted with the password,
// which may be empty, and the public key as PEM.
func GenerateKey(password []byte) (private, public []byte, err error) {
	pair, err := cosign.GenerateKeyPair(func(bool) ([]byte, error) { return password, nil })
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	return pair.PrivateBytes, pair.PublicBytes, nil
}

// PublicKey is the public half as PEM.
func (k *Key) PublicKey() ([]byte, error) {
	b, err := cryptoutils.MarshalPublicKeyToPEM(k.public)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return b, nil
}

// Identity is the key's id.
func (k *Key) Identity(context.Context) (Identity, error) {
	return Identity{Kind: KindKey, ID: k.id}, nil
}

// Sign signs s.
func (k *Key) Sign(ctx context.Context, s Statement) (Bundle, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("sign %s: %w", s.predicateType, err)
	}
	b, err := seal(s, k.hint, keypair{k}, sign.BundleOptions{Context: ctx})
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", s.predicateType, err)
	}
	return b, nil
}

// keyID is the lower-case hex sha256 of a public key's SubjectPublicKeyInfo. It refuses keys that are too weak.
func keyID(pub crypto.PublicKey) (string, error) {
	if r, ok := pub.(*rsa.PublicKey); ok && r.N.BitLen() < 2048 {
		return "", fmt.Errorf("RSA key of %d bits is too short", r.N.BitLen())
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", err
	}
	h := sha256.Sum256(der)
	return hex.EncodeToString(h[:]), nil
}

// keyHint is the name of a key in bundles: hint and DSSE keyid (R44). It is OpenSSH's fingerprint, because the DSSE
// library of sigstore-go, cosign and Kyverno skips a signature whose keyid is neither that nor empty.
func keyHint(pub crypto.PublicKey) (string, error) { return dsse.SHA256KeyID(pub) }

// keypair shows a Key to sigstore-go.
type keypair struct{ k *Key }

func (p keypair) GetHashAlgorithm() protocommon.HashAlgorithm { return p.k.details.GetProtoHashType() }
func (p keypair) GetHint() []byte                             { return []byte(p.k.hint) }
func (p keypair) GetPublicKey() crypto.PublicKey              { return p.k.public }
func (p keypair) GetSigningAlgorithm() protocommon.PublicKeyDetails {
	return p.k.details.GetSignatureAlgorithm()
}

func (p keypair) GetPublicKeyPem() (string, error) {
	b, err := p.k.PublicKey()
	return string(b), err
}

// GetKeyAlgorithm is for certificate requests, which a Key does not make.
func (p keypair) GetKeyAlgorithm() string { return "" }

// SignData signs data. The second result, a digest, is only for signatures over messages, which are not made here.
func (p keypair) SignData(ctx context.Context, data []byte) ([]byte, []byte, error) {
	sig, err := within(ctx, func() ([]byte, error) { return p.k.signer.SignMessage(bytes.NewReader(data), options.WithContext(ctx)) })
	return sig, nil, err
}
