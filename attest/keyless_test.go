package attest_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/attest/attesttest"
	"github.com/sealyard/sealyard/internal/hint"
)

func (s *sigstore) signer(t *testing.T) *attest.Keyless {
	t.Helper()
	return must(attest.NewKeyless(attest.KeylessOptions{Token: githubToken, SigningConfig: s.config(t, "", "/timestamp"), Now: time.Now()}))(t)
}

func exactly(san, issuer string) []attest.ExpectedIdentity {
	return []attest.ExpectedIdentity{{SAN: san, Issuer: issuer}}
}

func trustIn(t testing.TB, rootJSON []byte, who []attest.ExpectedIdentity) *attest.Trust {
	t.Helper()
	return must(attest.LoadTrust(attest.TrustOptions{TrustedRoots: []attest.File{{Name: "trusted_root.json", Data: rootJSON}}, Identities: who}))(t)
}

// R41 R45: the conformance of Keyless, against an instance with certificate and timestamp authority.
func TestKeylessSigner(t *testing.T) {
	s := newSigstore(t)
	attesttest.Signer(t, s.signer(t), trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer)))
}

// The conformance of Key.
func TestKeySigner(t *testing.T) {
	private, public := must2(attest.GenerateKey(nil))(t)
	k := must(attest.NewKey(private, nil))(t)
	trust := must(attest.LoadTrust(attest.TrustOptions{PublicKeys: []attest.File{{Name: "k.pub", Data: public}}}))(t)
	attesttest.Signer(t, k, trust)
}

func bom(t testing.TB) attest.Statement {
	t.Helper()
	return must(attest.CycloneDX([]attest.Subject{{Digest: "sha256:" + strings.Repeat("a", 64)}}, []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6"}`)))(t)
}

// R25 R45 R47 T22 T23: only the expected identity, vouched for by the trusted root at a trusted time, is believed.
func TestKeylessTrust(t *testing.T) {
	s, other := newSigstore(t), newSigstore(t)
	st := bom(t)
	good := must(s.signer(t).Sign(context.Background(), st))(t)
	for name, c := range map[string]struct {
		root []byte
		who  attest.ExpectedIdentity
		ok   bool
	}{
		"exact":               {s.roots(t, nil), attest.ExpectedIdentity{SAN: workflowSAN, Issuer: githubIssuer}, true},
		"whole pattern":       {s.roots(t, nil), attest.ExpectedIdentity{SANPattern: `https://github\.com/acme/widget/.*`, Issuer: githubIssuer}, true},
		"second root of two":  {append(other.roots(t, nil), s.roots(t, nil)...), attest.ExpectedIdentity{SAN: workflowSAN, Issuer: githubIssuer}, true},
		"other workflow":      {s.roots(t, nil), attest.ExpectedIdentity{SAN: workflowSAN + "x", Issuer: githubIssuer}, false},
		"other issuer":        {s.roots(t, nil), attest.ExpectedIdentity{SAN: workflowSAN, Issuer: "https://gitlab.com"}, false},
		"pattern of the head": {s.roots(t, nil), attest.ExpectedIdentity{SANPattern: `https://github\.com/acme/widget`, Issuer: githubIssuer}, false},
		"pattern of the tail": {s.roots(t, nil), attest.ExpectedIdentity{SANPattern: `acme/widget/.*main`, Issuer: githubIssuer}, false},
		"issuer of the head":  {s.roots(t, nil), attest.ExpectedIdentity{SAN: workflowSAN, IssuerPattern: `https://token\.actions`}, false},
		"other instance":      {other.roots(t, nil), attest.ExpectedIdentity{SAN: workflowSAN, Issuer: githubIssuer}, false},
		"authority expired": {s.roots(t, func(f *root.FulcioCertificateAuthority, _ *root.SigstoreTimestampingAuthority) {
			f.ValidityPeriodEnd = time.Now().Add(-time.Minute)
		}), attest.ExpectedIdentity{SAN: workflowSAN, Issuer: githubIssuer}, false},
		"clock expired": {s.roots(t, func(_ *root.FulcioCertificateAuthority, c *root.SigstoreTimestampingAuthority) {
			c.ValidityPeriodEnd = time.Now().Add(-time.Minute)
		}), attest.ExpectedIdentity{SAN: workflowSAN, Issuer: githubIssuer}, false},
	} {
		v, err := trustIn(t, c.root, []attest.ExpectedIdentity{c.who}).Verify(good, st.Subjects()[0])
		if c.ok != (err == nil) || (err != nil && !errors.Is(err, attest.ErrUntrusted)) {
			t.Errorf("%s: %v", name, err)
		}
		if id := v.Signer(); c.ok && (id.Kind != attest.KindKeyless || id.ID != workflowSAN || id.Issuer != githubIssuer || id.Workflow.Commit != commit) {
			t.Errorf("%s: signer %+v", name, id)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q is not one line", name, err)
		}
	}
	s.at(time.Now().Add(30 * time.Minute)) // after the certificate's ten minutes
	late := must(s.signer(t).Sign(context.Background(), st))(t)
	if _, err := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer)).Verify(late, st.Subjects()[0]); !errors.Is(err, attest.ErrUntrusted) {
		t.Errorf("signed after the certificate expired: %v", err)
	}
}

// R45 T26: whatever a root has an authority for, a bundle must carry: no certificate without SCT where there is a CT
// log, no signature without log entry where there is a transparency log.
func TestRootDemands(t *testing.T) {
	s := newSigstore(t)
	st := bom(t)
	good := must(s.signer(t).Sign(context.Background(), st))(t)
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	id := sha256.Sum256(must(x509.MarshalPKIXPublicKey(&key.PublicKey))(t))
	log := map[string]*root.TransparencyLog{hex.EncodeToString(id[:]): {
		BaseURL: "https://log.example", ID: id[:], ValidityPeriodStart: time.Now().Add(-time.Hour), HashFunc: crypto.SHA256, PublicKey: &key.PublicKey, SignatureHashFunc: crypto.SHA256,
	}}
	for name, c := range map[string]struct {
		ct, rekor map[string]*root.TransparencyLog
		want      string
	}{
		"no log": {nil, nil, ""}, "CT log": {log, nil, "signed certificate timestamp"}, "transparency log": {nil, log, "log"},
	} {
		s.ct, s.rekor = c.ct, c.rekor
		_, err := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer)).Verify(good, st.Subjects()[0])
		if (c.want == "") != (err == nil) || (err != nil && (!errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), c.want))) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// R48: the public instance's trusted root, as Sigstore publishes it, is understood.
func TestPublicGoodRoot(t *testing.T) {
	trustIn(t, must(os.ReadFile(filepath.Join("testdata", "public_good.json")))(t), exactly(workflowSAN, githubIssuer))
}

// R45 T26: a bundle without its timestamp is not judged by the current time, although its certificate is still valid.
func TestStrippedTimestamp(t *testing.T) {
	s := newSigstore(t)
	st := bom(t)
	var b map[string]map[string]any
	raw := map[string]json.RawMessage{}
	good := must(s.signer(t).Sign(context.Background(), st))(t)
	if err := json.Unmarshal(good, &raw); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"m":`+string(raw["verificationMaterial"])+`}`), &b); err != nil {
		t.Fatal(err)
	}
	if b["m"]["timestampVerificationData"] == nil {
		t.Fatal("there is no timestamp to strip")
	}
	delete(b["m"], "timestampVerificationData")
	raw["verificationMaterial"] = must(json.Marshal(b["m"]))(t)
	stripped := must(json.Marshal(raw))(t)
	_, err := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer)).Verify(stripped, st.Subjects()[0])
	if !errors.Is(err, attest.ErrUntrusted) || errors.Is(err, attest.ErrMalformed) {
		t.Errorf("without timestamp: %v", err)
	}
}

// A service that does not answer ends with the deadline, not with sigstore-go's own.
func TestKeylessDeadline(t *testing.T) {
	s := newSigstore(t)
	for _, paths := range [][2]string{{"/stall", "/timestamp"}, {"", "/stall/x"}} {
		k := must(attest.NewKeyless(attest.KeylessOptions{
			Token: githubToken, SigningConfig: s.config(t, paths[0], paths[1]), Now: time.Now(), Timeout: 200 * time.Millisecond,
		}))(t)
		began := time.Now()
		_, err := k.Sign(context.Background(), bom(t))
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 3*time.Second {
			t.Errorf("%v: %v after %s", paths, err, took)
		}
	}
}

// What cannot be published is refused before a token is fetched, so that no certificate and no log entry are spent on it.
func TestKeylessSpendsNothing(t *testing.T) {
	k := must(attest.NewKeyless(attest.KeylessOptions{
		Token:         func(context.Context, string) (string, error) { return "", errors.New("a token was fetched") },
		SigningConfig: newSigstore(t).config(t, "", "/timestamp"), Now: time.Now(),
	}))(t)
	if _, err := k.Sign(context.Background(), attest.Statement{}); err == nil || strings.Contains(err.Error(), "token") {
		t.Errorf("the zero statement: %v", err)
	}
	if _, err := k.Sign(context.Background(), bom(t)); err == nil || !strings.Contains(err.Error(), "a token was fetched") {
		t.Errorf("a good statement: %v", err)
	}
}

// R50 R51: a signing config that names nothing usable, or no source of time, is refused before anything is signed.
func TestSigningConfig(t *testing.T) {
	const valid = `"validFor":{"start":"2020-01-01T00:00:00Z"},"operator":"x"`
	config := func(ca, log, tsa string) []byte {
		list := func(s string) string {
			if s == "" {
				return "[]"
			}
			return fmt.Sprintf(`[{"url":"https://x.example",%s,"majorApiVersion":%s}]`, valid, s)
		}
		return []byte(`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":` + list(ca) + `,"rekorTlogUrls":` + list(log) +
			`,"tsaUrls":` + list(tsa) + `,"rekorTlogConfig":{"selector":"ANY"},"tsaConfig":{"selector":"ANY"}}`)
	}
	for name, c := range map[string]struct {
		config []byte
		want   string
	}{
		"log v1":            {config("1", "1", ""), ""},
		"log v2 and clock":  {config("1", "2", "1"), ""},
		"clock":             {config("1", "", "1"), ""},
		"log v2 alone":      {config("1", "2", ""), "gives no time"},
		"no time":           {config("1", "", ""), "no source of time"},
		"no authority":      {config("", "1", ""), "certificate authority"},
		"version of tomorr": {config("9", "1", ""), "certificate authority"},
		"log of tomorrow":   {config("1", "9", "1"), "transparency log"},
		"not JSON":          {[]byte("x"), "signing config"},
		"another type":      {[]byte(`{"mediaType":"x"}`), "media type"},
	} {
		_, err := attest.NewKeyless(attest.KeylessOptions{Token: githubToken, SigningConfig: c.config, Now: time.Now()})
		if (c.want == "") != (err == nil) || (err != nil && (!strings.Contains(err.Error(), c.want) || !hint.IsMisuse(err))) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := attest.NewKeyless(attest.KeylessOptions{Token: githubToken, SigningConfig: config("1", "", "1"), Now: time.Unix(0, 0)}); err == nil {
		t.Error("a service that is not valid yet was chosen")
	}
}

// R93: what a token says about its bearer is read before signing; refusals of the token endpoint are errors.
func TestTokens(t *testing.T) {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer runner":
			http.Error(w, `{"value":"not for you"}`, http.StatusUnauthorized)
		case r.URL.Query().Get("api-version") != "2.0" || r.URL.Query().Get("audience") != "sigstore":
			_, _ = io.WriteString(w, `{"value":""}`)
		default:
			_ = json.NewEncoder(w).Encode(map[string]string{"value": "a.b.c"})
		}
	}))
	defer endpoint.Close()
	for name, c := range map[string]struct{ url, token, audience, want, err string }{
		"granted":       {endpoint.URL + "?api-version=2.0", "runner", "sigstore", "a.b.c", ""},
		"refused":       {endpoint.URL + "?api-version=2.0", "someone", "sigstore", "", "401"},
		"empty":         {endpoint.URL, "runner", "sigstore", "", "without a token"},
		"no permission": {"", "", "sigstore", "", "may not ask"},
		"unreachable":   {"http://127.0.0.1:1", "runner", "sigstore", "", "refused"},
	} {
		got, err := attest.GitHubToken(c.url, c.token)(context.Background(), c.audience)
		if got != c.want || (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	s := newSigstore(t)
	for claims, want := range map[string]string{
		`{"iss":"i","job_workflow_ref":"a/b/.github/workflows/c.yml@refs/tags/v1"}`: "https://github.com/a/b/.github/workflows/c.yml@refs/tags/v1",
		`{"iss":"i","email":"a@b.example"}`:                                         "a@b.example",
		`{"iss":"i","sub":"x"}`:                                                     "",
		`[]`:                                                                        "",
	} {
		k := must(attest.NewKeyless(attest.KeylessOptions{
			Token:         func(context.Context, string) (string, error) { return token(claims), nil },
			SigningConfig: s.config(t, "", "/timestamp"), Now: time.Now(),
		}))(t)
		id, err := k.Identity(context.Background())
		if id.ID != want || (err == nil) != (want != "") || (want != "" && id.Issuer != "i") {
			t.Errorf("%s: %+v, %v", claims, id, err)
		}
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func must2[A, B any](a A, b B, err error) func(testing.TB) (A, B) {
	return func(t testing.TB) (A, B) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a, b
	}
}
