package attest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"
)

// signatures is how many are on a bundle with a log entry of Rekor v1 and a timestamp: of the statement; of the certificate and its
// authority; of the log's promise and of its tree; of the timestamp, its authority's certificate and that one's issuer.
const signatures = 8

// What verifying a keyless bundle costs, beside nothing but checking as many signatures: the metric "x-raw" is to stay below 3.
func BenchmarkVerifyKeyless(b *testing.B) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(b)
	sum := sha256.Sum256([]byte("message"))
	sig := must(ecdsa.SignASN1(rand.Reader, key, sum[:]))(b)
	var raw time.Duration
	b.Run("signatures", func(b *testing.B) {
		for b.Loop() {
			for range signatures {
				if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
					b.Fatal("not verified")
				}
			}
		}
		raw = b.Elapsed() / time.Duration(b.N)
	})
	b.Run("bundle", func(b *testing.B) {
		s, st, log := newSigstore(b), bom(b), newTestLog(b, false)
		s.rekor = log.in(since(time.Hour), time.Time{})
		trust := trustIn(b, s.roots(b, nil), exactly(workflowSAN, githubIssuer))
		bundle, subject := s.logged(b, st, log), st.Subjects()[0]
		b.ReportAllocs()
		for b.Loop() {
			if _, err := trust.Verify(bundle, subject); err != nil {
				b.Fatal(err)
			}
		}
		if raw > 0 {
			b.ReportMetric(float64(b.Elapsed()/time.Duration(b.N))/float64(raw), "x-raw")
		}
	})
}
