package attest_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	trustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	githubIssuer = "https://token.actions.githubusercontent.com"
	workflow     = "acme/widget/.github/workflows/build.yml@refs/heads/main"
	workflowSAN  = "https://github.com/" + workflow
	commit       = "5c3a1f0d9b7e46280f1d3c5b7a9e8d6f4b2a0c1e"
)

// sigstore is an instance like GitHub's own: a certificate authority and a timestamp authority, no public log. It
// checks no token: the certificates say what the token says, in the way of Fulcio's github-workflow provider.
type sigstore struct {
	*httptest.Server
	roots     func(t testing.TB, change func(*root.FulcioCertificateAuthority, *root.SigstoreTimestampingAuthority)) []byte
	ct, rekor map[string]*root.TransparencyLog // that roots names
	leaf      func(*x509.Certificate)          // changes a certificate before it is signed; may be nil
	clock     atomic.Pointer[time.Time]        // of the timestamp authority
	stall     chan struct{}                    // a request to /stall waits for it
}

func newSigstore(t testing.TB) *sigstore {
	t.Helper()
	s := &sigstore{stall: make(chan struct{})}
	s.at(time.Now())
	rootCert, rootKey := must2(ca.GenerateRootCa())(t)
	fulcio, fulcioKey := must2(ca.GenerateFulcioIntermediate(rootCert, rootKey))(t)
	tsa, tsaKey := must2(ca.GenerateTSAIntermediate(rootCert, rootKey))(t)
	clockKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	clock := must(ca.GenerateTSALeafCert(time.Now().Add(-5*time.Minute), clockKey, tsa, tsaKey))(t)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", func(w http.ResponseWriter, r *http.Request) { s.certify(w, r, fulcio, fulcioKey) })
	mux.HandleFunc("POST /timestamp", func(w http.ResponseWriter, r *http.Request) { s.stamp(w, r, clock, clockKey) })
	mux.HandleFunc("/stall/", func(http.ResponseWriter, *http.Request) { <-s.stall })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() { close(s.stall); s.Close() })
	s.roots = func(t testing.TB, change func(*root.FulcioCertificateAuthority, *root.SigstoreTimestampingAuthority)) []byte {
		t.Helper()
		start := time.Now().Add(-time.Hour)
		f := &root.FulcioCertificateAuthority{Root: rootCert, Intermediates: []*x509.Certificate{fulcio}, ValidityPeriodStart: start, URI: s.URL}
		c := &root.SigstoreTimestampingAuthority{Root: rootCert, Intermediates: []*x509.Certificate{tsa}, Leaf: clock, ValidityPeriodStart: start, URI: s.URL}
		if change != nil {
			change(f, c)
		}
		tr := must(root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{f}, s.ct, []root.TimestampingAuthority{c}, s.rekor))(t)
		return must(tr.MarshalJSON())(t)
	}
	return s
}

func (s *sigstore) at(now time.Time) { s.clock.Store(&now) }

func (s *sigstore) certify(w http.ResponseWriter, r *http.Request, parent *x509.Certificate, parentKey crypto.Signer) {
	var req struct {
		PublicKeyRequest struct{ PublicKey struct{ Content string } }
	}
	bearer := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || len(bearer) != 3 {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	payload, _ := base64.RawURLEncoding.DecodeString(bearer[1])
	block, _ := pem.Decode([]byte(req.PublicKeyRequest.PublicKey.Content))
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var all map[string]any
	if err := json.Unmarshal(payload, &all); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	claims := map[string]string{}
	for name, v := range all {
		claims[name], _ = v.(string)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(9 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: extensions(claims),
	}
	if claims["email"] != "" {
		cert.EmailAddresses = []string{claims["email"]}
	} else {
		san, _ := url.Parse("https://github.com/" + claims["job_workflow_ref"])
		cert.URIs = []*url.URL{san}
	}
	if s.leaf != nil {
		s.leaf(cert)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, pub, parentKey)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	leaf := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	answer := map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": []string{leaf}}}}
	_ = json.NewEncoder(w).Encode(answer)
}

// extensions are Fulcio's, by their last number (fulcio docs/oid-info.md).
func extensions(claims map[string]string) []pkix.Extension {
	at := func(path string) string {
		if path == "" {
			return ""
		}
		return "https://github.com/" + path
	}
	values := map[int]string{
		8: claims["iss"], 9: at(claims["job_workflow_ref"]), 10: claims["job_workflow_sha"], 11: claims["runner_environment"],
		12: at(claims["repository"]), 13: claims["sha"], 14: claims["ref"], 15: claims["repository_id"],
		16: at(claims["repository_owner"]), 17: claims["repository_owner_id"], 18: at(claims["workflow_ref"]),
		19: claims["workflow_sha"], 20: claims["event_name"], 22: claims["repository_visibility"],
	}
	if claims["run_id"] != "" {
		values[21] = at(claims["repository"]) + "/actions/runs/" + claims["run_id"] + "/attempts/" + claims["run_attempt"]
	}
	var out []pkix.Extension
	for n := 8; n <= 22; n++ {
		if values[n] != "" {
			out = append(out, extension(n, values[n]))
		}
	}
	return out
}

func extension(n int, value string) pkix.Extension {
	der, _ := asn1.MarshalWithParams(value, "utf8")
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}, Value: der}
}

// without takes an extension out of a certificate, and with puts another value in.
func without(n int) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		kept := c.ExtraExtensions[:0]
		for _, e := range c.ExtraExtensions {
			if e.Id[len(e.Id)-1] != n {
				kept = append(kept, e)
			}
		}
		c.ExtraExtensions = kept
	}
}

func with(n int, value string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		without(n)(c)
		c.ExtraExtensions = append(c.ExtraExtensions, extension(n, value))
	}
}

func (s *sigstore) stamp(w http.ResponseWriter, r *http.Request, cert *x509.Certificate, key crypto.Signer) {
	body, _ := io.ReadAll(r.Body)
	req, err := timestamp.ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := (&timestamp.Timestamp{
		HashAlgorithm: req.HashAlgorithm, HashedMessage: req.HashedMessage, Time: *s.clock.Load(), Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
	}).CreateResponseWithOpts(cert, key, crypto.SHA256)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(answer)
}

// config is a signing config with the given paths of fulcio and timestamp authority.
func (s *sigstore) config(t testing.TB, fulcio, clock string) []byte {
	t.Helper()
	service := func(path string) []root.Service {
		return []root.Service{{URL: s.URL + path, MajorAPIVersion: 1, ValidityPeriodStart: time.Now().Add(-time.Hour), Operator: "test"}}
	}
	anyone := root.ServiceConfiguration{Selector: trustroot.ServiceSelector_ANY}
	sc := must(root.NewSigningConfig(root.SigningConfigMediaType02, service(fulcio), nil, nil, anyone, service(clock), anyone))(t)
	return must(sc.MarshalJSON())(t)
}

func token(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".e30"
}

// claims are those of a token of GitHub's, changed by pairs of name and value.
func claims(pairs ...string) map[string]string {
	all := map[string]string{
		"iss": githubIssuer, "sub": "repo:acme/widget:ref:refs/heads/main", "job_workflow_ref": workflow, "workflow_ref": workflow,
		"job_workflow_sha": commit, "workflow_sha": commit, "sha": commit, "ref": "refs/heads/main", "repository": "acme/widget",
		"repository_id": "42", "repository_owner": "acme", "repository_owner_id": "7", "repository_visibility": "public",
		"runner_environment": "github-hosted", "event_name": "push", "run_id": "1001", "run_attempt": "1",
	}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

func githubToken(context.Context, string) (string, error) { return tokenOf(claims())(nil, "") }

func tokenOf(claims map[string]string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) {
		raw, err := json.Marshal(claims)
		if claims["email"] != "" { // without which sigstore-go does not ask for a certificate
			raw = []byte(strings.Replace(string(raw), "{", `{"email_verified":true,`, 1))
		}
		return token(string(raw)), err
	}
}

// testLog is a transparency log of two entries, of which any bundle's is the first.
type testLog struct {
	key *ecdsa.PrivateKey
	id  []byte
	v2  bool
}

func newTestLog(t testing.TB, v2 bool) testLog {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	id := sha256.Sum256(must(x509.MarshalPKIXPublicKey(&key.PublicKey))(t))
	return testLog{key: key, id: id[:], v2: v2}
}

// in is how a trusted root names the log.
func (l testLog) in(start, end time.Time) map[string]*root.TransparencyLog {
	return map[string]*root.TransparencyLog{hex.EncodeToString(l.id): {
		BaseURL: "https://log.example", ID: l.id, HashFunc: crypto.SHA256, PublicKey: &l.key.PublicKey, SignatureHashFunc: crypto.SHA256,
		ValidityPeriodStart: start, ValidityPeriodEnd: end,
	}}
}

func (l testLog) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(message)
	return must(ecdsa.SignASN1(rand.Reader, l.key, sum[:]))(t)
}

// entry logs the signature in a bundle: as hashedrekord 0.0.2 of Rekor v2, or as dsse 0.0.1 of Rekor v1 with a signed time.
func (l testLog) entry(t testing.TB, b *protobundle.Bundle, when time.Time) *protorekor.TransparencyLogEntry {
	t.Helper()
	return l.entryAt(t, b, when, 0)
}

// entryAt is entry as the first or the second of the two.
func (l testLog) entryAt(t testing.TB, b *protobundle.Bundle, when time.Time, index int64) *protorekor.TransparencyLogEntry {
	t.Helper()
	kind, body := "dsse", dsseBody(t, b)
	if l.v2 {
		kind, body = "hashedrekord", hashedBody(t, b)
	}
	e := &protorekor.TransparencyLogEntry{
		LogIndex: index, LogId: &protocommon.LogId{KeyId: l.id}, KindVersion: &protorekor.KindVersion{Kind: kind, Version: "0.0.1"}, CanonicalizedBody: body,
	}
	leaf, sibling := sha256.Sum256(append([]byte{0}, body...)), sha256.Sum256([]byte("another entry"))
	halves := [][]byte{leaf[:], sibling[:]}
	tree := sha256.Sum256(append(append([]byte{1}, halves[index]...), halves[1-index]...))
	origin := "log.example"
	if l.v2 {
		e.KindVersion.Version = "0.0.2"
	} else {
		origin += " - 123"
		e.IntegratedTime = when.Unix()
		set := must(json.Marshal(map[string]any{"body": body, "integratedTime": e.IntegratedTime, "logID": hex.EncodeToString(l.id), "logIndex": index}))(t)
		e.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: l.sign(t, set)}
	}
	text := fmt.Sprintf("%s\n2\n%s\n", origin, base64.StdEncoding.EncodeToString(tree[:]))
	note := base64.StdEncoding.EncodeToString(append(append([]byte(nil), l.id[:4]...), l.sign(t, []byte(text))...))
	e.InclusionProof = &protorekor.InclusionProof{
		LogIndex: index, TreeSize: 2, RootHash: tree[:], Hashes: [][]byte{sibling[:]},
		Checkpoint: &protorekor.Checkpoint{Envelope: text + "\n\u2014 log.example " + note + "\n"},
	}
	return e
}

func dsseBody(t testing.TB, b *protobundle.Bundle) []byte {
	t.Helper()
	hash := func(v []byte) map[string]string {
		sum := sha256.Sum256(v)
		return map[string]string{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])}
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.GetVerificationMaterial().GetCertificate().GetRawBytes()})
	return must(json.Marshal(map[string]any{"apiVersion": "0.0.1", "kind": "dsse", "spec": map[string]any{
		"envelopeHash": hash([]byte("the envelope as it was sent")), "payloadHash": hash(b.GetDsseEnvelope().GetPayload()),
		"signatures": []any{map[string]any{"signature": base64.StdEncoding.EncodeToString(b.GetDsseEnvelope().GetSignatures()[0].GetSig()), "verifier": cert}},
	}}))(t)
}

func hashedBody(t testing.TB, b *protobundle.Bundle) []byte {
	t.Helper()
	payload := b.GetDsseEnvelope().GetPayload()
	pae := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 28 application/vnd.in-toto+json %d %s", len(payload), payload))
	return must(json.Marshal(map[string]any{"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": map[string]any{"hashedRekordV002": map[string]any{
		"data": map[string]any{"algorithm": "SHA2_256", "digest": pae[:]},
		"signature": map[string]any{"content": b.GetDsseEnvelope().GetSignatures()[0].GetSig(), "verifier": map[string]any{
			"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": map[string]any{"rawBytes": b.GetVerificationMaterial().GetCertificate().GetRawBytes()},
		}},
	}}}))(t)
}

// edit changes a bundle.
func edit(t testing.TB, b []byte, change func(*protobundle.Bundle)) []byte {
	t.Helper()
	var pb protobundle.Bundle
	if err := protojson.Unmarshal(b, &pb); err != nil {
		t.Fatal(err)
	}
	change(&pb)
	return must(protojson.Marshal(&pb))(t)
}
