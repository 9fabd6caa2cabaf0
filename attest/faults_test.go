package attest_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/sealyard/sealyard/attest"
)

// logged signs a statement and has the signature logged: what a signer leaves in a bundle.
func (s *sigstore) logged(t testing.TB, st attest.Statement, log testLog) []byte {
	t.Helper()
	return edit(t, s.signedBy(t, st, claims(), nil), func(b *protobundle.Bundle) {
		m := b.GetVerificationMaterial()
		m.TlogEntries = append(m.TlogEntries, log.entry(t, b, time.Now()))
	})
}

func since(d time.Duration) time.Time { return time.Now().Add(-d) }

// damage changes one byte in the middle.
func damage(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// R45 T20 T21 T25: of each part of a bundle, a changed byte is enough to be refused, with a log of either version.
func TestTampered(t *testing.T) {
	s, st := newSigstore(t), bom(t)
	other := must(attest.CycloneDX([]attest.Subject{{Digest: "sha256:" + strings.Repeat("b", 64)}}, []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6"}`)))(t)
	for _, v2 := range []bool{false, true} {
		log := newTestLog(t, v2)
		s.rekor = log.in(since(time.Hour), time.Time{})
		trust := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer))
		good, another, elsewhere := s.logged(t, st, log), s.logged(t, st, log), s.logged(t, other, log)
		if _, err := trust.Verify(good, st.Subjects()[0]); err != nil {
			t.Fatalf("v2 %t: %v", v2, err)
		}
		from := func(b []byte, change func(to, from *protobundle.Bundle)) func(*protobundle.Bundle) {
			return func(to *protobundle.Bundle) { edit(t, b, func(from *protobundle.Bundle) { change(to, from) }) }
		}
		material := func(b *protobundle.Bundle) *protobundle.VerificationMaterial { return b.GetVerificationMaterial() }
		faults := map[string]func(*protobundle.Bundle){
			"payload":     func(b *protobundle.Bundle) { b.GetDsseEnvelope().Payload = damage(b.GetDsseEnvelope().Payload) },
			"signature":   func(b *protobundle.Bundle) { sig := b.GetDsseEnvelope().Signatures[0]; sig.Sig = damage(sig.Sig) },
			"certificate": func(b *protobundle.Bundle) { c := material(b).GetCertificate(); c.RawBytes = damage(c.RawBytes) },
			"proof": func(b *protobundle.Bundle) {
				p := material(b).TlogEntries[0].InclusionProof
				p.Hashes[0] = damage(p.Hashes[0])
			},
			"no proof":      func(b *protobundle.Bundle) { material(b).TlogEntries[0].InclusionProof = nil },
			"shorter proof": func(b *protobundle.Bundle) { material(b).TlogEntries[0].InclusionProof.Hashes = nil },
			"log index": func(b *protobundle.Bundle) {
				e := material(b).TlogEntries[0]
				e.LogIndex, e.InclusionProof.LogIndex = 1, 1
			},
			"no checkpoint": func(b *protobundle.Bundle) { material(b).TlogEntries[0].InclusionProof.Checkpoint = nil },
			"log id":        func(b *protobundle.Bundle) { id := material(b).TlogEntries[0].LogId; id.KeyId = damage(id.KeyId) },
			"no entry":      func(b *protobundle.Bundle) { material(b).TlogEntries = nil },
			"entry twice":   func(b *protobundle.Bundle) { m := material(b); m.TlogEntries = append(m.TlogEntries, m.TlogEntries[0]) },
			"entry body": func(b *protobundle.Bundle) {
				e := material(b).TlogEntries[0]
				e.CanonicalizedBody = damage(e.CanonicalizedBody)
			},
			"checkpoint": func(b *protobundle.Bundle) {
				c := material(b).TlogEntries[0].InclusionProof.Checkpoint
				c.Envelope = string(damage([]byte(c.Envelope)))
			},
			"checkpoint sum": func(b *protobundle.Bundle) {
				c := material(b).TlogEntries[0].InclusionProof.Checkpoint
				c.Envelope = strings.Replace(c.Envelope, "\n2\n", "\n3\n", 1)
			},
			"timestamp": func(b *protobundle.Bundle) {
				ts := material(b).TimestampVerificationData.Rfc3161Timestamps[0]
				ts.SignedTimestamp = damage(ts.SignedTimestamp)
				if !v2 { // whose signed time would do as well
					material(b).TlogEntries[0].InclusionPromise = nil
				}
			},
			"two signatures": func(b *protobundle.Bundle) {
				e := b.GetDsseEnvelope()
				e.Signatures = append(e.Signatures, e.Signatures[0])
			},
			"another's entry": from(another, func(to, from *protobundle.Bundle) { material(to).TlogEntries = material(from).TlogEntries }),
			"another's entry as well": from(another, func(to, from *protobundle.Bundle) {
				m := material(to)
				m.TlogEntries = append(m.TlogEntries, material(from).TlogEntries...)
			}),
			"another's certificate": from(another, func(to, from *protobundle.Bundle) { material(to).Content = material(from).Content }),
			"another's timestamp": from(another, func(to, from *protobundle.Bundle) {
				material(to).TimestampVerificationData = material(from).TimestampVerificationData
				if !v2 {
					material(to).TlogEntries[0].InclusionPromise = nil
				}
			}),
			"another image's envelope": from(elsewhere, func(to, from *protobundle.Bundle) { to.Content = from.Content }),
			"another image's bundle": from(elsewhere, func(to, from *protobundle.Bundle) {
				to.Content, to.VerificationMaterial = from.Content, from.VerificationMaterial
			}),
			"bundle v0.1":   func(b *protobundle.Bundle) { b.MediaType = "application/vnd.dev.sigstore.bundle+json;version=0.1" },
			"bundle v0.2":   func(b *protobundle.Bundle) { b.MediaType = "application/vnd.dev.sigstore.bundle+json;version=0.2" },
			"bundle v0.3.1": func(b *protobundle.Bundle) { b.MediaType = "application/vnd.dev.sigstore.bundle.v0.3.1+json" },
		}
		if !v2 {
			faults["SET"] = func(b *protobundle.Bundle) {
				p := material(b).TlogEntries[0].InclusionPromise
				p.SignedEntryTimestamp = damage(p.SignedEntryTimestamp)
			}
			faults["SET's time"] = func(b *protobundle.Bundle) { material(b).TlogEntries[0].IntegratedTime++ }
		}
		for name, fault := range faults {
			v, err := trust.Verify(edit(t, good, fault), st.Subjects()[0])
			if !errors.Is(err, attest.ErrUntrusted) || v.JSON() != nil || strings.Contains(fmt.Sprint(err), "\n") {
				t.Errorf("v2 %t, %s: %v", v2, name, err)
			}
		}
		renamed := edit(t, good, func(b *protobundle.Bundle) { b.MediaType = "application/vnd.dev.sigstore.bundle+json;version=0.3" })
		if _, err := trust.Verify(renamed, st.Subjects()[0]); err != nil {
			t.Errorf("v2 %t, v0.3 by its old name: %v", v2, err)
		}
	}
}

// R41 T26: older bundles are a downgrade, refused as what they are.
func TestOlderBundles(t *testing.T) {
	s, st := newSigstore(t), bom(t)
	good := s.signedBy(t, st, claims(), nil)
	for _, version := range []string{"0.1", "0.2"} {
		old := edit(t, good, func(b *protobundle.Bundle) {
			b.MediaType = "application/vnd.dev.sigstore.bundle+json;version=" + version
		})
		_, err := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer)).Verify(old, st.Subjects()[0])
		if !errors.Is(err, attest.ErrMalformed) || !strings.Contains(err.Error(), `version=`+version+`" is not of a bundle v0.3`) {
			t.Errorf("%s: %v", version, err)
		}
	}
}

// R45 R47 R50 T22: a log counts only while the trusted root says that it was in use, at the trusted time, also one of Rekor v2,
// whose entries have no time.
func TestLogValidity(t *testing.T) {
	s, st := newSigstore(t), bom(t)
	for _, v2 := range []bool{false, true} {
		log, unknown := newTestLog(t, v2), newTestLog(t, v2)
		good := s.logged(t, st, log)
		both := maps.Clone(unknown.in(since(time.Hour), time.Time{}))
		maps.Copy(both, log.in(since(time.Hour), time.Time{}))
		for name, c := range map[string]struct {
			logs map[string]*root.TransparencyLog
			want string
		}{
			"in use":          {log.in(since(time.Hour), time.Time{}), ""},
			"in use until":    {log.in(since(time.Hour), since(-time.Hour)), ""},
			"with another":    {both, ""},
			"ended before":    {log.in(since(2*time.Hour), since(time.Hour)), "log"},
			"begins later":    {log.in(since(-time.Hour), time.Time{}), "log"},
			"not in the root": {unknown.in(since(time.Hour), time.Time{}), "not enough verified log entries"},
		} {
			s.rekor = c.logs
			_, err := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer)).Verify(good, st.Subjects()[0])
			if (c.want == "") != (err == nil) || err != nil && (!errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("v2 %t, %s: %v", v2, name, err)
			}
		}
	}
}

// R50: an entry of Rekor v2 gives no time, so a certificate needs a timestamp beside it.
func TestRekorV2NeedsTimestamp(t *testing.T) {
	s, st, log := newSigstore(t), bom(t), newTestLog(t, true)
	s.rekor = log.in(since(time.Hour), time.Time{})
	bare := edit(t, s.logged(t, st, log), func(b *protobundle.Bundle) {
		b.VerificationMaterial.TimestampVerificationData = nil
		b.VerificationMaterial.TlogEntries[0].IntegratedTime = time.Now().Unix() // which nobody signed
	})
	if _, err := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer)).Verify(bare, st.Subjects()[0]); !errors.Is(err, attest.ErrUntrusted) {
		t.Errorf("without timestamp: %v", err)
	}
}

// R45 R47 T22: a signature is judged at the time that a trusted clock gives it. A clock that is off puts it outside of the
// certificate's ten minutes, and so does a certificate that was not valid then.
func TestClocks(t *testing.T) {
	s, st := newSigstore(t), bom(t)
	hour, year := time.Hour, 365*24*time.Hour
	for name, c := range map[string]struct {
		clock time.Duration // of the timestamp authority, from now
		leaf  func(*x509.Certificate)
		ok    bool
	}{
		"right":                {0, nil, true},
		"an hour ahead":        {hour, nil, false},
		"an hour behind":       {-hour, nil, false},
		"a year ahead":         {year, nil, false},
		"a year behind":        {-year, nil, false},
		"certificate expired":  {0, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = since(hour), since(time.Minute) }, false},
		"certificate not yet":  {0, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = since(-time.Minute), since(-10*time.Minute) }, false},
		"not for code signing": {0, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, false},
	} {
		s.at(time.Now().Add(c.clock))
		wide := s.roots(t, func(f *root.FulcioCertificateAuthority, a *root.SigstoreTimestampingAuthority) {
			f.ValidityPeriodStart, a.ValidityPeriodStart = since(2*year), since(2*year)
		})
		_, err := trustIn(t, wide, exactly(workflowSAN, githubIssuer)).Verify(s.signedBy(t, st, claims(), c.leaf), st.Subjects()[0])
		if c.ok != (err == nil) || err != nil && !errors.Is(err, attest.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// R46 T21: one log is one witness. Its entries count once, and a second one that nobody trusts adds nothing.
func TestOneLogIsOneWitness(t *testing.T) {
	s, st := newSigstore(t), bom(t)
	log, unknown := newTestLog(t, true), newTestLog(t, true)
	s.rekor = log.in(since(time.Hour), time.Time{})
	trust := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer))
	good := s.logged(t, st, log)
	add := func(l testLog, b []byte) []byte {
		return edit(t, b, func(b *protobundle.Bundle) {
			b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, l.entry(t, b, time.Now()))
		})
	}
	if _, err := trust.Verify(add(unknown, good), st.Subjects()[0]); err != nil {
		t.Errorf("with an entry of an unknown log: %v", err)
	}
	if _, err := trust.Verify(add(log, good), st.Subjects()[0]); !errors.Is(err, attest.ErrUntrusted) {
		t.Errorf("one entry twice: %v", err)
	}
	if _, err := trust.Verify(add(unknown, s.signedBy(t, st, claims(), nil)), st.Subjects()[0]); !errors.Is(err, attest.ErrUntrusted) {
		t.Errorf("only an unknown log: %v", err)
	}
}

// R45 T22: a bundle without log entry is enough only for whoever says so, and only when it has a timestamp. An entry that is there must hold.
func TestUnlogged(t *testing.T) {
	s, st := newSigstore(t), bom(t)
	log := newTestLog(t, true)
	s.rekor = log.in(since(time.Hour), time.Time{})
	load := func(least attest.Thresholds) (*attest.Trust, error) {
		return attest.LoadTrust(attest.TrustOptions{
			TrustedRoots: []attest.File{{Name: "root", Data: s.roots(t, nil)}}, Identities: exactly(workflowSAN, githubIssuer), Thresholds: least,
		})
	}
	strict, lenient := must(load(attest.Thresholds{}))(t), must(load(attest.Thresholds{Unlogged: true}))(t)
	good := s.logged(t, st, log)
	bare := edit(t, good, func(b *protobundle.Bundle) { b.VerificationMaterial.TlogEntries = nil })
	timeless := edit(t, bare, func(b *protobundle.Bundle) { b.VerificationMaterial.TimestampVerificationData = nil })
	bad := edit(t, good, func(b *protobundle.Bundle) {
		p := b.VerificationMaterial.TlogEntries[0].InclusionProof
		p.Hashes[0] = damage(p.Hashes[0])
	})
	for name, c := range map[string]struct {
		trust *attest.Trust
		b     []byte
		ok    bool
	}{
		"logged": {strict, good, true}, "bare": {strict, bare, false}, "logged, allowed": {lenient, good, true}, "bare, allowed": {lenient, bare, true},
		"bad entry, allowed": {lenient, bad, false}, "no time, allowed": {lenient, timeless, false},
	} {
		if _, err := c.trust.Verify(c.b, st.Subjects()[0]); c.ok != (err == nil) || err != nil && !errors.Is(err, attest.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := load(attest.Thresholds{Unlogged: true, Logs: 2}); err == nil {
		t.Error("two logs and none")
	}
}

// R45 T21 T25: an entry that proves nothing by itself is no cover for one that does less: each entry has a proof and is of this
// very signature, also where another one would satisfy the library.
func TestEveryEntryHolds(t *testing.T) {
	s, st := newSigstore(t), bom(t)
	log, unknown := newTestLog(t, false), newTestLog(t, false)
	s.rekor = log.in(since(time.Hour), time.Time{})
	trust := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer))
	good, foreign := s.logged(t, st, log), s.logged(t, st, unknown)
	own := func(b *protobundle.Bundle) {
		b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, unknown.entry(t, b, time.Now()))
	}
	if _, err := trust.Verify(edit(t, good, own), st.Subjects()[0]); err != nil {
		t.Fatalf("with an entry of an unknown log: %v", err)
	}
	for name, c := range map[string]struct {
		fault func(*protobundle.Bundle)
		want  string
	}{
		"promise alone, beside a proof of an unknown log": {func(b *protobundle.Bundle) {
			own(b)
			b.VerificationMaterial.TlogEntries[0].InclusionProof = nil
		}, "without inclusion proof"},
		"another's entry of an unknown log": {func(b *protobundle.Bundle) {
			edit(t, foreign, func(f *protobundle.Bundle) {
				b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, f.VerificationMaterial.TlogEntries...)
			})
		}, "of another signature"},
	} {
		if _, err := trust.Verify(edit(t, good, c.fault), st.Subjects()[0]); !errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Bundles with a certificate are foreign bytes: never a panic, and never another statement than was signed. Each process has keys
// of its own, so this is about what is parsed; TestTampered is about what is believed. Run it with -fuzzminimizetime 1x: Go would
// spend a minute on making an input smaller whose path differs from run to run.
func FuzzVerifyCertificate(f *testing.F) {
	s, st := newSigstore(f), bom(f)
	v1, v2 := newTestLog(f, false), newTestLog(f, true)
	s.rekor = v1.in(since(time.Hour), time.Time{})
	maps.Copy(s.rekor, v2.in(since(time.Hour), time.Time{}))
	trust := trustIn(f, s.roots(f, nil), exactly(workflowSAN, githubIssuer))
	for _, b := range [][]byte{s.logged(f, st, v1), s.logged(f, st, v2), s.signedBy(f, st, claims(), nil)} {
		f.Add(b)
		f.Add(bytes.Replace(b, []byte(`"hashes"`), []byte(`"hashes":[],"x"`), 1))
		f.Add(bytes.Replace(b, []byte(`"certificate":`), []byte(`"x509CertificateChain":`), 1))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := trust.Verify(b, st.Subjects()[0])
		if err == nil && !bytes.Equal(v.JSON(), st.JSON()) {
			t.Fatalf("verified what was never signed: %s", v.JSON())
		}
		if err != nil && !errors.Is(err, attest.ErrUntrusted) {
			t.Fatal(err)
		}
	})
}
