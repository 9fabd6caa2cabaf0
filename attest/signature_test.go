package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

// A token is a JWS in the algorithm of its key, whatever the key, and names it.
func TestToken(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	halves := func(sig []byte) (*big.Int, *big.Int) {
		return new(big.Int).SetBytes(sig[:len(sig)/2]), new(big.Int).SetBytes(sig[len(sig)/2:])
	}
	for alg, c := range map[string]struct {
		key   crypto.Signer
		holds func(signed, sig []byte) bool
	}{
		"ES256": {p256, func(signed, sig []byte) bool {
			sum := sha256.Sum256(signed)
			x, y := halves(sig)
			return len(sig) == 64 && ecdsa.Verify(&p256.PublicKey, sum[:], x, y)
		}},
		"ES384": {p384, func(signed, sig []byte) bool {
			sum := sha512.Sum384(signed)
			x, y := halves(sig)
			return len(sig) == 96 && ecdsa.Verify(&p384.PublicKey, sum[:], x, y)
		}},
		"EdDSA": {ed, func(signed, sig []byte) bool { return ed25519.Verify(ed.Public().(ed25519.PublicKey), signed, sig) }},
		"RS256": {r, func(signed, sig []byte) bool {
			sum := sha256.Sum256(signed)
			return rsa.VerifyPKCS1v15(&r.PublicKey, crypto.SHA256, sum[:], sig) == nil
		}},
	} {
		private, _ := encryptKey(t, c.key)
		k, err := NewKey(private, []byte("pw"))
		if err != nil {
			t.Fatal(err)
		}
		token, err := k.Token(t.Context(), []byte(`{"files":[]}`))
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		parts := strings.Split(token, ".")
		var decoded [3][]byte
		for i := range decoded {
			if decoded[i], err = base64.RawURLEncoding.DecodeString(parts[i]); err != nil {
				t.Fatal(err)
			}
		}
		var header struct{ Alg, Kid, Typ string }
		if err := json.Unmarshal(decoded[0], &header); err != nil || header.Alg != alg || header.Kid != k.id || header.Typ != "JWT" {
			t.Errorf("%s: header %s", alg, decoded[0])
		}
		if string(decoded[1]) != `{"files":[]}` || !c.holds([]byte(parts[0]+"."+parts[1]), decoded[2]) {
			t.Errorf("%s: the signature of %s does not hold", alg, decoded[1])
		}
	}
}

// A signature that is none, or of numbers that are too long, is not made into one.
func TestFixedSize(t *testing.T) {
	for _, sig := range []string{"", "\x30\x00", "\x30\x06\x02\x01\x01\x02\x01\x01\x00", "\x30\x07\x02\x02\x01\x00\x02\x01\x01", "\x30\x06\x02\x01\xff\x02\x01\x01"} {
		if out, err := fixedSize([]byte(sig), 1); err == nil {
			t.Errorf("%x became %x", sig, out)
		}
	}
	if out, err := fixedSize([]byte("\x30\x06\x02\x01\x01\x02\x01\x02"), 2); err != nil || string(out) != "\x00\x01\x00\x02" {
		t.Errorf("%x, %v", out, err)
	}
}
