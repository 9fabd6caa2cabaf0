package policy

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/util"
	"github.com/sealyard/sealyard/internal/hint"
)

// signatureFile holds OPA's own signature of a bundle: a JWT that names every file of it with its digest.
const signatureFile = ".signatures.json"

// maxKeys bounds the public keys that one bundle is tried with.
const maxKeys = 16

// contents is all of a bundle before anything of it is believed.
type contents struct {
	files     files  // what is read
	rest      files  // what is not: README, tests. Only kept where a signature must cover it
	signature []byte // .signatures.json
}

// vouched returns the files of a bundle when they are as somebody signed them, if that is demanded, and who it was (R66, T15).
func (c contents) vouched(opts LoadOptions) (files, Origin, error) {
	origin := opts.Origin
	switch {
	case len(opts.Keys) > 0:
		id, err := c.signedBy(opts.Keys)
		if err != nil {
			return nil, origin, hint.Wrap(err, "sign the bundle with opa sign or sealyard policy sign, and give the public half of that key")
		}
		origin.Signer = Signer{Kind: SignerKey, ID: id}
	case c.signature != nil && origin == (Origin{}):
		return nil, origin, hint.Misuse(errors.New("the bundle is signed, and no key is given to verify it with"), "name the public key with --policy-key")
	}
	return c.files, origin, nil
}

// signedBy verifies the signature with OPA's own code, by any of the keys, and returns that key's id. Every file must be
// signed as it is, and every signed file must be there.
func (c contents) signedBy(keys []byte) (string, error) {
	if c.signature == nil {
		return "", errors.New("the bundle is not signed: it has no " + signatureFile)
	}
	all, err := publicKeys(keys)
	if err != nil {
		return "", hint.Misuse(err, "give the public key as PEM")
	}
	var sc bundle.SignaturesConfig
	if err := checkDepth(c.signature); err != nil {
		return "", fmt.Errorf("%s: %w", signatureFile, err)
	}
	if err := json.Unmarshal(c.signature, &sc); err != nil || len(sc.Signatures) != 1 || sc.Plugin != "" && sc.Plugin != "_default" {
		return "", errors.New(signatureFile + ": does not hold exactly one signature of OPA's form")
	}
	var last error
	for _, k := range all {
		signed, err := k.verify(sc)
		if err == nil {
			return k.id, c.match(signed)
		}
		last = err
	}
	return "", fmt.Errorf("%s: none of %d keys made the signature: %s", signatureFile, len(all), oneLine(last.Error()))
}

// Signed returns the bundle as tar.gz with OPA's signature in it, which opa and [Load] verify. token signs a payload as a compact JWS.
func (b *Bundle) Signed(ctx context.Context, token func(ctx context.Context, payload []byte) (string, error)) ([]byte, error) {
	c, err := readArchive(ctx, b.Archive(), false)
	if err != nil {
		return nil, err
	}
	h, err := bundle.NewSignatureHasher(bundle.SHA256)
	if err != nil {
		return nil, err
	}
	list := []bundle.FileInfo{}
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		var v any = c.files[name]
		if bundle.IsStructuredDoc(name) {
			if err := util.Unmarshal(c.files[name], &v); err != nil {
				return nil, fmt.Errorf("%s: %s", name, oneLine(err.Error()))
			}
		}
		sum, err := h.HashFile(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, bundle.NewFile(name, hex.EncodeToString(sum), bundle.SHA256.String()))
	}
	payload, err := json.Marshal(bundle.DecodedSignature{Files: list})
	if err != nil {
		return nil, err
	}
	jwt, err := token(ctx, payload)
	if err != nil {
		return nil, err
	}
	if c.files[signatureFile], err = json.Marshal(bundle.SignaturesConfig{Signatures: []string{jwt}}); err != nil {
		return nil, err
	}
	plain, err := tarball(c.files)
	return gzipped(plain), err
}

// match holds the files to what was signed.
func (c contents) match(signed map[string]bundle.FileInfo) error {
	for _, f := range signed {
		if !slices.Contains([]string{"SHA-256", "SHA-384", "SHA-512", "SHA-512-256"}, f.Algorithm) {
			return fmt.Errorf("%s: %q is named by a digest of %q", signatureFile, clip(f.Name), clip(f.Algorithm))
		}
	}
	for _, part := range []files{c.files, c.rest} {
		for _, name := range slices.Sorted(maps.Keys(part)) {
			if err := bundle.VerifyBundleFile(name, *bytes.NewBuffer(part[name]), signed); err != nil {
				return errors.New(oneLine(err.Error()))
			}
		}
	}
	if len(signed) > 0 {
		return fmt.Errorf("file %q is signed and not in the bundle", clip(slices.Sorted(maps.Keys(signed))[0]))
	}
	return c.unambiguous()
}

// unambiguous refuses data that we would read in another way than OPA, whose reading is what was signed: YAML has several.
func (c contents) unambiguous() error {
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		if !bundle.IsStructuredDoc(name) || name == manifestFile {
			continue
		}
		ours, err := decodeObject(c.files[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var theirs any
		if err := util.Unmarshal(c.files[name], &theirs); err != nil {
			return fmt.Errorf("%s: %s", name, oneLine(err.Error()))
		}
		a, errA := json.Marshal(ours)
		b, errB := json.Marshal(theirs)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			return fmt.Errorf("%s: OPA, whose signature it is, reads it in another way; write it as JSON", name)
		}
	}
	return nil
}

// publicKey is a key that bundles may be signed with.
type publicKey struct {
	id    string // hex SHA-256 of its SubjectPublicKeyInfo, as statements name keys
	pem   string
	names []string // of the algorithms it signs in, as JWTs call them
}

// verify verifies the one JWT. The algorithm is one of the key's own: a header cannot make a public key a shared secret.
func (k publicKey) verify(sc bundle.SignaturesConfig) (map[string]bundle.FileInfo, error) {
	head, _, _ := strings.Cut(sc.Signatures[0], ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return nil, errors.New("its JWT has no header")
	}
	var header struct {
		Alg string `json:"alg"`
	}
	if err := json.Unmarshal(raw, &header); err != nil || !slices.Contains(k.names, header.Alg) {
		return nil, fmt.Errorf("the algorithm %q is not of that key", clip(header.Alg))
	}
	const only = "policy-key"
	config := bundle.NewVerificationConfig(map[string]*bundle.KeyConfig{only: {Key: k.pem, Algorithm: header.Alg}}, only, "", nil)
	return bundle.VerifyBundleSignature(sc, config)
}

// publicKeys reads PEM public keys.
func publicKeys(data []byte) ([]publicKey, error) {
	var out []publicKey
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("policy key: a PEM block %q, want PUBLIC KEY", clip(block.Type))
		}
		pub, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("policy key: %w", err)
		}
		sum := sha256.Sum256(block.Bytes)
		k := publicKey{id: hex.EncodeToString(sum[:]), pem: string(pem.EncodeToMemory(block))}
		if k.names, err = algorithms(pub); err != nil {
			return nil, fmt.Errorf("policy key: %w", err)
		}
		if out = append(out, k); len(out) > maxKeys {
			return nil, fmt.Errorf("policy key: more than %d keys", maxKeys)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("policy key: holds no PEM public key")
	}
	return out, nil
}

// algorithms are the names in JWTs (RFC 7518, RFC 8037) of what a key signs in.
func algorithms(pub crypto.PublicKey) ([]string, error) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("RSA key of %d bits is too short", k.N.BitLen())
		}
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, nil
	case *ecdsa.PublicKey:
		if name, ok := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[k.Curve.Params().Name]; ok {
			return []string{name}, nil
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	}
	return nil, fmt.Errorf("keys of type %T sign no bundles", pub)
}
