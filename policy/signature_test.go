package policy

import (
	"archive/tar"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/util"
	"github.com/sealyard/sealyard/internal/hint"
)

// pair is a key as OPA takes it: PEM, unencrypted.
type pair struct{ private, public, alg string }

func newPair(t testing.TB, alg string) pair {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "RS256", "PS512":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "short":
		key, err = rsa.GenerateKey(rand.Reader, 1024)
	default:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return pair{encode("PRIVATE KEY", private), encode("PUBLIC KEY", public), alg}
}

// sign makes what opa sign makes of these files, with its code; hash is the name of the digest.
func (p pair) sign(t testing.TB, f map[string]string, hash string) string {
	t.Helper()
	h, err := bundle.NewSignatureHasher(bundle.HashingAlgorithm(hash))
	if err != nil {
		t.Fatal(err)
	}
	var list []bundle.FileInfo
	for _, name := range slices.Sorted(maps.Keys(f)) {
		var v any = []byte(f[name])
		if bundle.IsStructuredDoc(name) {
			if err := util.Unmarshal([]byte(f[name]), &v); err != nil {
				t.Fatal(err)
			}
		}
		sum, err := h.HashFile(v)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, bundle.NewFile(name, fmt.Sprintf("%x", sum), hash))
	}
	token, err := bundle.GenerateSignedToken(list, bundle.NewSigningConfig(p.private, p.alg, ""), "any")
	if err != nil {
		t.Fatal(err)
	}
	return mustMarshal(t, map[string]any{"signatures": []string{token}})
}

func mustMarshal(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func archiveOf(t testing.TB, f map[string]string) []byte {
	t.Helper()
	var entries []entry
	for _, name := range slices.Sorted(maps.Keys(f)) {
		entries = append(entries, entry{name: name, typ: tar.TypeReg, data: f[name]})
	}
	return tarGz(t, entries...)
}

func signedFiles() map[string]string {
	return map[string]string{
		"a.rego": tightens, "a_test.rego": "package sealyard_test\n", "README.md": "acme",
		"lists/data.json": `{"bad": ["x"]}`, "more/data.yaml": "since: '2026-01-01'\n", ".manifest": `{"revision": "7", "metadata": {"name": "acme"}}`,
	}
}

// R66 R78: what OPA signs is accepted with every kind of key, from a directory and from an archive, and the key is recorded as
// signer. The decision is otherwise the one of the same bundle without a signature.
func TestSignedBundle(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "RS256", "PS512", "EdDSA"} {
		p := newPair(t, alg)
		f := signedFiles()
		f[signatureFile] = p.sign(t, f, "SHA-256")
		keys := []byte(newPair(t, "ES256").public + p.public)
		fromDir, err := Load(t.Context(), writeBundle(t, f), LoadOptions{Keys: keys})
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		b, err := LoadArchive(t.Context(), archiveOf(t, f), LoadOptions{Keys: keys})
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		block, _ := pem.Decode([]byte(p.public))
		want := Signer{Kind: SignerKey, ID: strings.TrimPrefix(digestOf(block.Bytes), "sha256:")}
		if b.Origin().Signer != want || fromDir.Origin() != b.Origin() || fromDir.Digest() != b.Digest() {
			t.Errorf("%s: signer %+v, want %+v", alg, b.Origin().Signer, want)
		}
		d := decideOrFail(t, b, allowedInput())
		if d.Bundles[0].Origin.Signer != want {
			t.Errorf("%s: the decision names %+v", alg, d.Bundles[0].Origin)
		}
		// What travels with the evidence needs no key: the decision that is signed binds its digest.
		again, err := LoadArchive(t.Context(), b.Archive(), LoadOptions{})
		if err != nil || again.Digest() != b.Digest() {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// R66 T15: with a key, what is not exactly as somebody signed it is refused: unsigned, another key, files added, removed or edited,
// whether they are policy or not, a signature of another form, and delta bundles.
func TestSignedBundleRefuses(t *testing.T) {
	p, other := newPair(t, "ES256"), newPair(t, "ES256")
	rsaPair := newPair(t, "RS256")
	edited := func(edit func(f map[string]string)) map[string]string {
		f := signedFiles()
		f[signatureFile] = p.sign(t, f, "SHA-256")
		edit(f)
		return f
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	shared := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`))
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"unsigned":        {edited(func(f map[string]string) { delete(f, signatureFile) }), "the bundle is not signed: it has no .signatures.json"},
		"wrong key":       {edited(func(f map[string]string) { f[signatureFile] = other.sign(t, signedFiles(), "SHA-256") }), "none of 1 keys made the signature"},
		"rule edited":     {edited(func(f map[string]string) { f["a.rego"] += "\n" }), "a.rego: digest mismatch"},
		"test edited":     {edited(func(f map[string]string) { f["a_test.rego"] += "\n" }), "a_test.rego: digest mismatch"},
		"data edited":     {edited(func(f map[string]string) { f["lists/data.json"] = `{"bad": []}` }), "lists/data.json: digest mismatch"},
		"manifest edited": {edited(func(f map[string]string) { f[".manifest"] = `{"revision": "8", "metadata": {"name": "acme"}}` }), ".manifest: digest mismatch"},
		"rule added":      {edited(func(f map[string]string) { f["b.rego"] = "package sealyard.lib\nx := 1" }), "file b.rego not included in bundle signature"},
		"page added":      {edited(func(f map[string]string) { f["LICENSE"] = "" }), "file LICENSE not included in bundle signature"},
		"rule removed":    {edited(func(f map[string]string) { delete(f, "a_test.rego") }), `file "a_test.rego" is signed and not in the bundle`},
		"manifest gone":   {edited(func(f map[string]string) { delete(f, ".manifest") }), `file ".manifest" is signed and not in the bundle`},
		"delta":           {edited(func(f map[string]string) { f["patch.json"] = `{"data": []}` }), "patch.json: delta bundles"},
		"no JWT":          {edited(func(f map[string]string) { f[signatureFile] = `{"signatures": []}` }), "does not hold exactly one signature"},
		"two JWTs":        {edited(func(f map[string]string) { f[signatureFile] = strings.Replace(f[signatureFile], "[", `["x",`, 1) }), "does not hold exactly one signature"},
		"plugin": {edited(func(f map[string]string) {
			f[signatureFile] = strings.Replace(f[signatureFile], "{", `{"plugin": "acme",`, 1)
		}), "does not hold exactly one signature"},
		"not JSON": {edited(func(f map[string]string) { f[signatureFile] = "x" }), ".signatures.json: "},
		"key twice": {edited(func(f map[string]string) {
			f[signatureFile] = strings.Replace(f[signatureFile], "{", `{"signatures": [],`, 1)
		}), ".signatures.json: "},
		"not a JWT":      {edited(func(f map[string]string) { f[signatureFile] = `{"signatures": ["x.y.z"]}` }), "none of 1 keys"},
		"alg none":       {edited(func(f map[string]string) { f[signatureFile] = fmt.Sprintf(`{"signatures": ["%s.e30."]}`, none) }), `the algorithm "none" is not of that key`},
		"alg shared":     {edited(func(f map[string]string) { f[signatureFile] = fmt.Sprintf(`{"signatures": ["%s.e30.e30"]}`, shared) }), `the algorithm "HS256" is not of that key`},
		"alg of another": {edited(func(f map[string]string) { f[signatureFile] = rsaPair.sign(t, signedFiles(), "SHA-256") }), `the algorithm "RS256" is not of that key`},
		"weak digests":   {edited(func(f map[string]string) { delete(f, signatureFile); f[signatureFile] = p.sign(t, f, "MD5") }), `is named by a digest of "MD5"`},
		// A date without quotes is text to OPA and a time to us: the digest of its reading says nothing about ours.
		"two readings": {edited(func(f map[string]string) { f["more/data.yaml"] = "since: 2026-01-01\n" }), "more/data.yaml: OPA, whose signature it is, reads it in another way"},
	} {
		_, err := LoadArchive(t.Context(), archiveOf(t, c.files), LoadOptions{Keys: []byte(p.public)})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// Only public keys that sign safely are taken, and a private one is not.
func TestPolicyKeys(t *testing.T) {
	for name, c := range map[string]struct{ keys, want string }{
		"private":   {newPair(t, "ES256").private, `a PEM block "PRIVATE KEY"`},
		"not PEM":   {"x", "no PEM public key"},
		"short RSA": {newPair(t, "short").public, "RSA key of 1024 bits"},
		"too many":  {strings.Repeat(newPair(t, "ES256").public, 17), "more than 16 keys"},
	} {
		_, err := LoadArchive(t.Context(), archiveOf(t, map[string]string{"a.rego": tightens, signatureFile: "{}"}), LoadOptions{Keys: []byte(c.keys)})
		if err == nil || !strings.Contains(err.Error(), c.want) || !hint.IsMisuse(err) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Who vouches otherwise, by a digest or a signature over the whole archive, needs no key for the signature in it.
func TestVouchedBundle(t *testing.T) {
	f := signedFiles()
	f[signatureFile] = `{"signatures": ["x"]}`
	origin := Origin{Source: "oci://registry.example/acme/policy", Digest: digestN(1)}
	b, err := LoadArchive(t.Context(), archiveOf(t, f), LoadOptions{Origin: origin})
	if err != nil || b.Origin() != origin {
		t.Errorf("%+v, %v", b, err)
	}
	_, err = LoadArchive(t.Context(), archiveOf(t, f), LoadOptions{})
	if err == nil || !hint.IsMisuse(err) {
		t.Errorf("error %v", err)
	}
}

// R66 T15: whatever the bytes of a signature, it is refused in one line unless it is the one that was made.
func FuzzSignature(f *testing.F) {
	p := newPair(f, "ES256")
	all := signedFiles()
	good := p.sign(f, all, "SHA-256")
	f.Add([]byte(good))
	f.Add([]byte(`{"signatures": ["e30.e30.e30"]}`))
	f.Add([]byte(`{"signatures": ["eyJhbGciOiJFUzI1NiJ9.e30.AAAA"], "plugin": ""}`))
	f.Add([]byte(`{"signatures": ["..", ""]}`))
	c := contents{files: files{}, rest: files{}}
	for name, data := range all {
		if kind, _ := kindOfFile(name); kind == kindPolicy {
			c.files[name] = []byte(data)
		} else {
			c.rest[name] = []byte(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c.signature = append([]byte{}, data...)
		_, err := c.signedBy([]byte(p.public))
		switch {
		case err == nil && !strings.Contains(string(data), strings.Split(good, `"`)[3]):
			t.Errorf("accepted: %s", data)
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("error of several lines: %q", err)
		}
	})
}
