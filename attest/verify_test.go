package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/sealyard/sealyard/internal/hint"
)

// envelope signs payload as it is, well formed or not, and returns a bundle.
func envelope(t testing.TB, payload string) []byte {
	t.Helper()
	s := Statement{claim{json: []byte(payload), predicateType: "test"}}
	return signed(t, s)
}

const goodStatement = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"DIGEST"}}],"predicateType":"https://example.com/p","predicate":{"a":1}}`

func aStatement() string {
	return strings.ReplaceAll(goodStatement, "DIGEST", strings.TrimPrefix(indexDigest, "sha256:"))
}

// R4 R5 R19 R20 T19 T24: a well signed payload is refused unless it is exactly an in-toto statement v1 about the digest.
func TestStrictStatement(t *testing.T) {
	trust := keyTrust(t)
	if _, err := trust.Verify(envelope(t, aStatement()), indexDigest); err != nil {
		t.Fatal(err)
	}
	hexDigest := strings.TrimPrefix(indexDigest, "sha256:")
	change := func(old, new string) string {
		s := strings.Replace(aStatement(), old, new, 1)
		if s == aStatement() {
			t.Fatalf("%q is not in the statement", old)
		}
		return s
	}
	sha256of := `"sha256":"` + hexDigest + `"`
	for name, c := range map[string]struct {
		payload string
		want    error
	}{
		"trailing object":          {aStatement() + "{}", ErrMalformed},
		"trailing text":            {aStatement() + "x", ErrMalformed},
		"cut":                      {aStatement()[:len(aStatement())-1], ErrMalformed},
		"not an object":            {"[" + aStatement() + "]", ErrMalformed},
		"twice a name":             {change(`"predicate":`, `"predicate":{},"predicate":`), ErrMalformed},
		"twice a name inside":      {change(`{"a":1}`, `{"a":1,"a":2}`), ErrMalformed},
		"twice a name, escaped":    {change(`{"a":1}`, `{"a":1,"\u0061":2}`), ErrMalformed},
		"twice a digest":           {change(sha256of, sha256of+`,`+sha256of), ErrMalformed},
		"unknown field":            {change(`"predicate":`, `"x":1,"predicate":`), ErrMalformed},
		"unknown subject field":    {change(`"name":"a"`, `"name":"a","x":1`), ErrMalformed},
		"other case":               {change(`"subject"`, `"Subject"`), ErrMalformed},
		"other case of predTyp":    {change(`"predicateType"`, `"predicatetype"`), ErrMalformed},
		"statement v0.2":           {change(`Statement/v1`, `Statement/v0.2`), ErrMalformed},
		"no _type":                 {change(`"_type":"https://in-toto.io/Statement/v1",`, ``), ErrMalformed},
		"no predicate type":        {change(`"https://example.com/p"`, `""`), ErrMalformed},
		"no predicate":             {change(`,"predicate":{"a":1}`, ``), ErrMalformed},
		"predicate is a list":      {change(`{"a":1}`, `[]`), ErrMalformed},
		"predicate is null":        {change(`{"a":1}`, `null`), ErrMalformed},
		"no subject":               {change(`[{"name":"a","digest":{`+sha256of+`}}]`, `[]`), ErrMalformed},
		"subject without digest":   {change(sha256of, ``), ErrMalformed},
		"digest in capitals":       {change(hexDigest, strings.ToUpper(hexDigest)), ErrMalformed},
		"short digest":             {change(hexDigest, hexDigest[:62]), ErrMalformed},
		"invalid UTF-8":            {change(`"a":1`, "\"a\":\"\xff\""), ErrMalformed},
		"deep":                     {change(`{"a":1}`, `{"a":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}`), ErrMalformed},
		"1025 subjects":            {change(`[{`, `[`+strings.Repeat(`{"digest":{`+sha256of+`}},`, maxSubjects)+`{`), ErrMalformed},
		"33 digests":               {change(sha256of, sha256of+digests(32)), ErrMalformed},
		"only sha1":                {change(sha256of, `"sha1":"`+hexDigest[:40]+`"`), ErrSubject},
		"two sha512 of one sha256": {change(`"subject":[`, `"subject":[{"digest":{"sha256":"`+hexDigest+`","sha512":"`+hexDigest+hexDigest+`"}},{"digest":{"sha256":"`+hexDigest+`","sha512":"`+strings.Repeat("0", 128)+`"}},`), ErrMalformed},
		"digest as sha512":         {change(sha256of, `"sha512":"`+hexDigest+hexDigest+`"`), ErrSubject},
		"digest as dirHash":        {change(sha256of, `"dirHash":"`+hexDigest+`"`), ErrSubject},
		"digest in the name":       {change(`"name":"a","digest":{`+sha256of, `"name":"`+indexDigest+`","digest":{"sha256":"`+strings.Repeat("0", 64)+`"`), ErrSubject},
	} {
		v, err := trust.Verify(envelope(t, c.payload), indexDigest)
		if !errors.Is(err, c.want) || !errors.Is(err, ErrUntrusted) || v.JSON() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, err := trust.Verify(envelope(t, change(`Statement/v1`, `Statement/v0.1`)), indexDigest); err != nil || v.PredicateType() != "https://example.com/p" {
		t.Errorf("statement v0.1, as cosign 2 writes it: %v", err)
	}
}

func digests(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"x%d":"ab"`, i)
	}
	return b.String()
}

// R20 R42 R43 T19 T25: a bundle is refused unless it is strictly one envelope of the right type with one signature.
func TestStrictBundle(t *testing.T) {
	trust, good := keyTrust(t), string(envelope(t, aStatement()))
	change := func(old, new string) string {
		s := strings.Replace(good, old, new, 1)
		if s == good {
			t.Fatalf("%q is not in the bundle %s", old, good)
		}
		return s
	}
	sigAt := strings.Index(good, `"signatures":[`) + len(`"signatures":[`)
	sig := good[sigAt : strings.Index(good[sigAt:], "]")+sigAt]
	payloadAt := strings.Index(good, `"payload":"`)
	payload := good[payloadAt : payloadAt+strings.Index(good[payloadAt+11:], `"`)+12]
	for name, b := range map[string]string{
		"empty":                     "",
		"not JSON":                  "payload",
		"trailing object":           good + good,
		"trailing text":             good + "x",
		"no signature":              change(sig, ``),
		"two signatures":            change(sig, sig+","+sig),
		"two payloads":              change(payload, payload+","+payload),
		"payload first, then other": change(payload, payload+`,"payload":"e30="`),
		"payload outside":           change(`"mediaType"`, payload+`,"mediaType"`),
		"payload as a name":         change(payload, `"p\u0061yload`+payload[8:]),
		"payload in URL base64":     change(payload, strings.ReplaceAll(payload, "e", "-")),
		"payload with a line break": change(payload, payload[:20]+"\n"+payload[20:]),
		"payload with a return":     change(payload, payload[:20]+"\r"+payload[20:]),
		"payload after a quote":     change(payload, `"\"payload`+payload[8:]),
		"payload escaped":           change(payload, payload[:20]+`\u0041`+payload[20:]),
		"payload unpadded":          change(payload, strings.ReplaceAll(payload, "=", "")+strings.Repeat(" ", 1)+"x"),
		"unknown field":             change(`"mediaType"`, `"x":1,"mediaType"`),
		"unknown envelope field":    change(`"payloadType"`, `"x":1,"payloadType"`),
		"twice a field":             change(`"mediaType"`, `"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","mediaType"`),
		"other payload type":        change(`application/vnd.in-toto+json`, `application/vnd.in-toto.provenance+json`),
		"payload type of JSON":      change(`application/vnd.in-toto+json`, `application/json`),
		"other media type":          change(`bundle.v0.3`, `bundle.v0.9`),
		"no media type":             change(`application/vnd.dev.sigstore.bundle.v0.3+json`, ``),
		"no verification material":  `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"` + good[strings.Index(good, `,"dsseEnvelope"`):],
		"message signature":         `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"x"}},"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AA=="},"signature":"AA=="},"payload":""}`,
		"deep":                      change(`"mediaType"`, `"x":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`,"mediaType"`),
		"larger than the limit":     good + strings.Repeat(" ", MaxBundle),
	} {
		if v, err := trust.Verify([]byte(b), indexDigest); !errors.Is(err, ErrMalformed) || v.JSON() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Base64 whose unused bits are not zero would be a second spelling of the same payload.
	padded := string(envelope(t, aStatement()+strings.Repeat(" ", (5-len(aStatement())%3)%3)))
	at := strings.Index(padded, `=",`)
	if at < 0 || padded[at-1] == 'x' {
		t.Fatalf("no padding in %s", padded)
	}
	if _, err := trust.Verify([]byte(padded[:at-1]+string(padded[at-1]+1)+padded[at:]), indexDigest); !errors.Is(err, ErrMalformed) {
		t.Errorf("base64 with unused bits: %v", err)
	}
	// White space and another order of fields change nothing.
	spaced := strings.Replace(strings.Replace(good, `"payload":`, "\"payload\" :\n ", 1), `{`, "{ ", 1) + "\n"
	if _, err := trust.Verify([]byte(spaced), indexDigest); err != nil {
		t.Errorf("with white space: %v", err)
	}
}

// R4 T24: the digest asked about must itself be one.
func TestVerifyMisuse(t *testing.T) {
	b := envelope(t, aStatement())
	for _, d := range []string{"", "latest", "sha256:", indexDigest[7:], strings.ToUpper(indexDigest), "sha1:" + strings.Repeat("a", 40), indexDigest + "\n"} {
		if _, err := keyTrust(t).Verify(b, d); !hint.IsMisuse(err) || errors.Is(err, ErrUntrusted) {
			t.Errorf("%q: %v", d, err)
		}
	}
}

// T20 T21 T25: whatever single byte of a bundle is changed, Verify refuses it or returns the very statement that was signed.
func TestEveryFlippedByte(t *testing.T) {
	trust, good, want := keyTrust(t), envelope(t, aStatement()), []byte(aStatement())
	refused := 0
	for i := range good {
		for _, x := range []byte{0x01, 0x02, 0x10, 0x20, 0x80, 0xff} {
			b := bytes.Clone(good)
			b[i] ^= x
			v, err := trust.Verify(b, indexDigest)
			switch {
			case err != nil && !errors.Is(err, ErrUntrusted):
				t.Fatalf("byte %d ^ %#x: %v", i, x, err)
			case err != nil:
				refused++
			case !bytes.Equal(v.JSON(), want) || v.Signer().ID != signingKey().id:
				t.Fatalf("byte %d ^ %#x: verified %s by %+v", i, x, v.JSON(), v.Signer())
			}
		}
	}
	if all := len(good) * 6; refused < all*9/10 {
		t.Errorf("only %d of %d were refused", refused, all)
	}
}

// R44: the key that signed is found by trying, whatever the bundle says; another key is not believed.
func TestKeys(t *testing.T) {
	_, public := pair()
	_, other, err := GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	good := envelope(t, aStatement())
	trust := func(files ...[]byte) *Trust {
		t.Helper()
		o := TrustOptions{}
		for _, f := range files {
			o.PublicKeys = append(o.PublicKeys, File{"k.pub", f})
		}
		tr, err := LoadTrust(o)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	for name, c := range map[string]struct {
		trust *Trust
		ok    bool
	}{
		"this key": {trust(public), true}, "other key": {trust(other), false}, "one of two": {trust(other, public), true},
		"two in one file": {trust(append(bytes.Clone(other), public...)), true},
	} {
		hinted := bytes.ReplaceAll(good, []byte(signingKey().hint), []byte(parsed(t, other).hint))
		for _, b := range [][]byte{good, hinted} {
			v, err := c.trust.Verify(b, indexDigest)
			if (err == nil) != c.ok || (err != nil && (!errors.Is(err, ErrUntrusted) || errors.Is(err, ErrMalformed))) {
				t.Errorf("%s: %v", name, err)
			}
			if c.ok && v.Signer().ID != parsed(t, public).id {
				t.Errorf("%s: signer %+v", name, v.Signer())
			}
		}
	}
	if _, err := trust(public).Verify(append([]byte(nil), bytes.Replace(good, []byte(`"publicKey":{"hint":"`+signingKey().hint+`"}`), []byte(`"certificate":{"rawBytes":"AAAA"}`), 1)...), indexDigest); !errors.Is(err, ErrUntrusted) {
		t.Errorf("certificate where only keys are trusted: %v", err)
	}
}

func parsed(t *testing.T, public []byte) trustedKey {
	t.Helper()
	k, err := parseKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// encryptKey writes any private key as a cosign key file.
func encryptKey(t *testing.T, key crypto.Signer) (private, public []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := encrypted.EncryptWithCustomKDFParameters(der, []byte("pw"), encrypted.Legacy)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED COSIGN PRIVATE KEY", Bytes: secret}), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub})
}

// R43 R44: cosign v2.6.5 accepts our bundles with --key, for each kind of key: ours, and keys that cosign imports.
func TestCosignAccepts(t *testing.T) {
	private, public := pair()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edPrivate, edPublic := encryptKey(t, ed)
	rsaPrivate, rsaPublic := encryptKey(t, rsaKey)
	for name, c := range map[string]struct{ private, public, password []byte }{
		"ecdsa": {private, public, []byte("correct horse")}, "ed25519": {edPrivate, edPublic, []byte("pw")}, "rsa": {rsaPrivate, rsaPublic, []byte("pw")},
	} {
		k, err := NewKey(c.private, c.password)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		trust, err := LoadTrust(TrustOptions{PublicKeys: []File{{name, c.public}}})
		if err != nil {
			t.Fatal(err)
		}
		for uri, s := range statements(t) {
			b, err := k.Sign(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := trust.Verify(b, s.Subjects()[0]); err != nil {
				t.Errorf("%s %s: our own verification: %v", name, uri, err)
			}
			if err := cosignVerify(t, b, c.public, s.Subjects()[0]); err != nil {
				t.Errorf("%s %s: %v", name, uri, err)
			}
			if err := cosignVerify(t, b, c.public, sum([]byte("else"))); err == nil {
				t.Errorf("%s %s: cosign accepts any digest: the check is void", name, uri)
			}
		}
	}
}

// cosignVerify does what `cosign verify-attestation --new-bundle-format --insecure-ignore-tlog --key` does with one
// bundle. It asks for --trusted-root even then: one that names nothing will do.
func cosignVerify(t *testing.T, b Bundle, public []byte, digest string) error {
	t.Helper()
	pub, err := cryptoutils.UnmarshalPEMToPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signature.LoadVerifier(pub, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var sb bundle.Bundle
	if err := sb.UnmarshalJSON(b); err != nil {
		return err
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	if err != nil {
		t.Fatal(err)
	}
	empty, err := root.NewTrustedRootFromJSON([]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = cosign.VerifyNewBundle(t.Context(), &cosign.CheckOpts{
		SigVerifier: verifier, NewBundleFormat: true, IgnoreTlog: true, Offline: true, TrustedMaterial: empty,
	}, verify.WithArtifactDigest("sha256", raw), &sb)
	return err
}

// A key file that cannot be used is the user's to mend, and no message shows the password or the file.
func TestNewKeyRefusals(t *testing.T) {
	private, public := pair()
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(weak)
	if err != nil {
		t.Fatal(err)
	}
	weakFile, _ := encryptKey(t, weak)
	for name, c := range map[string]struct {
		file, password []byte
		want           string
	}{
		"wrong password": {private, []byte("s3cret"), "wrong password"},
		"no password":    {private, nil, "no password"},
		"damaged":        {bytes.Replace(private, []byte("eyJ"), []byte("eyK"), 1), []byte("correct horse"), "damaged"},
		"public key":     {public, nil, "public key"},
		"plain PKCS 8":   {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil, "not an encrypted cosign key"},
		"not PEM":        {[]byte("s3cret"), []byte("s3cret"), "not PEM"},
		"empty":          {nil, nil, "not PEM"},
		"P-224":          {weakFile, []byte("pw"), "key"},
		"large":          {bytes.Repeat([]byte("x"), maxKeyFile+1), nil, "bytes"},
	} {
		_, err := NewKey(c.file, c.password)
		if !hint.IsMisuse(err) || hint.Of(err) == "" || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(fmt.Sprint(err, hint.Of(err)), "s3cret") {
			t.Errorf("%s: the message shows a secret: %v", name, err)
		}
	}
}

// R24 R25 R48 T17 T23 T26: a Trust that could not decide, or would accept anybody, cannot be made.
func TestLoadTrustRefusals(t *testing.T) {
	_, public := pair()
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, shortPublic := encryptKey(t, short)
	seed, err := os.ReadFile(filepath.Join("testdata", "trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	rootJSON := string(seed)
	key := []File{{"k.pub", public}}
	rootOf := func(s string) []File { return []File{{"r.json", []byte(s)}} }
	who := func(e ExpectedIdentity) TrustOptions {
		return TrustOptions{TrustedRoots: rootOf(rootJSON), Identities: []ExpectedIdentity{e}}
	}
	exact := []ExpectedIdentity{{SAN: "s", Issuer: "i"}}
	without := func(field string) string {
		start := strings.Index(rootJSON, `"`+field+`":[`)
		if start < 0 {
			t.Fatalf("no %s in the root", field)
		}
		depth := 0
		for i := start; ; i++ {
			switch rootJSON[i] {
			case '[':
				depth++
			case ']':
				if depth--; depth == 0 {
					return rootJSON[:start] + `"` + field + `":[]` + rootJSON[i+1:]
				}
			}
		}
	}
	for name, c := range map[string]struct {
		o    TrustOptions
		want string
	}{
		"nothing":                 {TrustOptions{}, "nothing to trust"},
		"root without identity":   {TrustOptions{TrustedRoots: rootOf(rootJSON)}, "accept anybody"},
		"and with a key":          {TrustOptions{TrustedRoots: rootOf(rootJSON), PublicKeys: key}, "accept anybody"},
		"identity without root":   {TrustOptions{PublicKeys: key, Identities: exact}, "needs a trusted root"},
		"no subject":              {who(ExpectedIdentity{Issuer: "i"}), "no subject"},
		"no issuer":               {who(ExpectedIdentity{SAN: "s"}), "no issuer"},
		"exact and pattern":       {who(ExpectedIdentity{SAN: "s", SANPattern: "s", Issuer: "i"}), "both"},
		"pattern of all":          {who(ExpectedIdentity{SANPattern: ".*", Issuer: "i"}), "anybody"},
		"pattern of all but none": {who(ExpectedIdentity{SANPattern: "(?s).+", Issuer: "i"}), "anybody"},
		"issuer pattern of all":   {who(ExpectedIdentity{SAN: "s", IssuerPattern: ".*"}), "anybody"},
		"half a pattern":          {who(ExpectedIdentity{SANPattern: "a)|(b", Issuer: "i"}), "pattern"},
		"repository as a URL":     {who(ExpectedIdentity{Repository: "https://github.com/acme/widget"}), "repository \""},
		"repository, no owner":    {who(ExpectedIdentity{Repository: "widget"}), "repository \""},
		"repository as a pattern": {who(ExpectedIdentity{Repository: "acme/.*"}), "repository \""},
		"workflow by its name":    {who(ExpectedIdentity{Repository: "acme/widget", Workflow: "build.yml"}), "workflow \""},
		"workflow of nothing":     {who(ExpectedIdentity{SAN: "s", Issuer: "i", Workflow: ".github/workflows/build.yml"}), "no repository"},
		"short ref":               {who(ExpectedIdentity{Repository: "acme/widget", Ref: "main"}), "ref \""},
		"only a ref":              {who(ExpectedIdentity{Issuer: "i", Ref: "refs/heads/main"}), "no subject"},
		"only a runner":           {who(ExpectedIdentity{Issuer: "i", Runner: "github-hosted"}), "no subject"},
		"unknown runner":          {who(ExpectedIdentity{Repository: "acme/widget", Runner: "hosted"}), "runner \""},
		"two events":              {who(ExpectedIdentity{Repository: "acme/widget", Event: "push,schedule"}), "event \""},
		"signer without path":     {who(ExpectedIdentity{SignerWorkflow: "acme/builder"}), "signer workflow \""},
		"subject and signer":      {who(ExpectedIdentity{SAN: "s", Issuer: "i", SignerWorkflow: "acme/builder/.github/workflows/b.yml"}), "the same"},
		"two issuers":             {who(ExpectedIdentity{Repository: "acme/widget", Issuer: "i", IssuerPattern: "i"}), "both"},
		"repository, bad pattern": {who(ExpectedIdentity{Repository: "acme/widget", SANPattern: ".*"}), "anybody"},
		"key not PEM":             {TrustOptions{PublicKeys: []File{{"k.pub", []byte("x")}}}, "k.pub"},
		"key empty":               {TrustOptions{PublicKeys: []File{{"k.pub", nil}}}, "no key"},
		"key after text":          {TrustOptions{PublicKeys: []File{{"k.pub", append([]byte("x\n"), public...)}}}, "not PEM"},
		"damaged, then good":      {TrustOptions{PublicKeys: []File{{"k.pub", append([]byte("-----BEGIN PUBLIC KEY-----\nx\n"), public...)}}}, "damaged"},
		"certificate as key":      {TrustOptions{PublicKeys: []File{{"k.pub", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}}}, "CERTIFICATE"},
		"short RSA key":           {TrustOptions{PublicKeys: []File{{"k.pub", shortPublic}}}, "1024"},
		"root not JSON":           {TrustOptions{TrustedRoots: rootOf("x"), Identities: exact}, "r.json"},
		"root empty":              {TrustOptions{TrustedRoots: rootOf("  "), Identities: exact}, "empty"},
		"root of another type":    {TrustOptions{TrustedRoots: rootOf(`{"mediaType":"x"}`), Identities: exact}, "media type"},
		"root without CA":         {TrustOptions{TrustedRoots: rootOf(without("certificateAuthorities")), Identities: exact}, "certificate authority"},
		"root without clock":      {TrustOptions{TrustedRoots: rootOf(without("timestampAuthorities")), Identities: exact}, "source of time"},
		"root, then rubbish":      {TrustOptions{TrustedRoots: rootOf(rootJSON + "x"), Identities: exact}, "r.json"},
		"root twice a name":       {TrustOptions{TrustedRoots: rootOf(`{"tlogs":[],` + rootJSON[1:len(rootJSON)-2] + `,"tlogs":[]}`), Identities: exact}, "r.json"},
		"root too large":          {TrustOptions{TrustedRoots: rootOf(strings.Repeat(" ", maxRootFile+1)), Identities: exact}, "bytes"},
		"65 keys":                 {TrustOptions{PublicKeys: slicesRepeat(key[0], 65)}, "more than 64"},
	} {
		if tr, err := LoadTrust(c.o); tr != nil || !hint.IsMisuse(err) || hint.Of(err) == "" || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, mediaType := range []string{
		"application/vnd.dev.sigstore.trustedroot+json;version=0.1", "application/vnd.dev.sigstore.trustedroot.v0.1+json", "application/vnd.dev.sigstore.trustedroot.v0.2+json",
	} {
		one := strings.Replace(rootJSON, "application/vnd.dev.sigstore.trustedroot+json;version=0.1", mediaType, 1)
		tr, err := LoadTrust(TrustOptions{TrustedRoots: rootOf(one + "\n" + one), Identities: exact})
		if err != nil || len(tr.roots) != 2 {
			t.Errorf("%s: %v", mediaType, err)
		}
	}
}

func slicesRepeat(f File, n int) []File {
	var out []File
	for range n {
		out = append(out, f)
	}
	return out
}

func FuzzVerify(f *testing.F) {
	trust := keyTrust(f)
	good := envelope(f, aStatement())
	f.Add([]byte(good))
	f.Add(bytes.Replace(good, []byte(`"payload":`), []byte("\"payload\" : "), 1))
	f.Add(bytes.Replace(good, []byte(`"payload"`), []byte(`"payload":"","payload"`), 1))
	f.Add(bytes.Replace(good, []byte(`"publicKey":{"hint":`), []byte(`"certificate":{"rawBytes":`), 1))
	f.Add([]byte(`{"dsseEnvelope":{"payload":""}}`))
	want := []byte(aStatement())
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := trust.Verify(b, indexDigest)
		if err == nil && !bytes.Equal(v.JSON(), want) {
			t.Fatalf("verified what was never signed: %s", v.JSON())
		}
		if err != nil && (!errors.Is(err, ErrUntrusted) || v.JSON() != nil) {
			t.Fatalf("%v", err)
		}
		if _, payload, err := open(b); err == nil { // what is taken out is what a plain reader finds
			var sb bundle.Bundle
			if err := sb.UnmarshalJSON(b); err != nil {
				t.Fatalf("sigstore-go refuses: %v", err)
			}
			if got := sb.GetDsseEnvelope().GetPayload(); !bytes.Equal(got, payload) {
				t.Fatalf("sigstore-go reads %s, we read %s", base64.StdEncoding.EncodeToString(got), base64.StdEncoding.EncodeToString(payload))
			}
		}
	})
}

func FuzzStatement(f *testing.F) {
	f.Add([]byte(aStatement()))
	for _, s := range statements(f) {
		f.Add(s.JSON())
	}
	f.Add([]byte(`{"subject":[{"digest":{"sha256":"","sha256":""}}]}`))
	f.Add([]byte(`{"predicate":{"a":{"a":[{}]}},"_type":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if err := strictObject(c.predicate); err != nil {
			t.Fatalf("predicate %s: %v", c.predicate, err)
		}
		if err := strictObject(b); err != nil {
			t.Fatalf("statement %s: %v", b, err)
		}
		for _, s := range c.subjects {
			if _, err := digestSet(s, "sha256", "sha512"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzTrustedRoot(f *testing.F) {
	seed, err := os.ReadFile(filepath.Join("testdata", "trusted_root.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(append(bytes.Clone(seed), seed...))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		roots, err := parseRoots(b, Thresholds{})
		if err == nil && len(roots) == 0 {
			t.Fatal("no root and no error")
		}
		shown, why := DescribeRoots(File{Name: "r.json", Data: b})
		if (why == nil) != (err == nil) || len(shown) != len(roots) && err == nil {
			t.Fatalf("trusted: %v, shown: %v", err, why)
		}
	})
}

func FuzzPublicKey(f *testing.F) {
	_, public := pair()
	f.Add(public)
	f.Add(append(bytes.Clone(public), public...))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if err == nil && len(keys) == 0 {
			t.Fatal("no key and no error")
		}
		for _, k := range keys {
			if len(k.id) != 64 || len(k.verifiers) == 0 {
				t.Fatalf("%+v", k)
			}
		}
	})
}
