package attest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	indexDigest = sum([]byte("index"))
	amd64Digest = sum([]byte("amd64"))
	arm64Digest = sum([]byte("arm64"))
	someTime    = time.Date(2026, 11, 23, 16, 0, 0, 500, time.FixedZone("CET", 3600))
)

// pair is a key pair of the tests: made once, because the password check of the file format is slow on purpose.
var pair = sync.OnceValues(func() (private, public []byte) {
	private, public, err := GenerateKey([]byte("correct horse"))
	if err != nil {
		panic(err)
	}
	return private, public
})

var signingKey = sync.OnceValue(func() *Key {
	private, _ := pair()
	k, err := NewKey(private, []byte("correct horse"))
	if err != nil {
		panic(err)
	}
	return k
})

func keyTrust(t testing.TB) *Trust {
	t.Helper()
	_, public := pair()
	trust, err := LoadTrust(TrustOptions{PublicKeys: []File{{Name: "cosign.pub", Data: public}}})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func subjects() []Subject {
	return []Subject{{"registry.example/app", indexDigest}, {"linux/amd64", amd64Digest}, {"linux/arm64", arm64Digest}}
}

func aBuild() Build {
	return Build{
		Subjects: subjects(), Mode: ModeCLI,
		External: External{
			Image: "registry.example/app", Source: "https://github.com/acme/widget", Ref: "refs/heads/main", Dockerfile: "Dockerfile",
			Context: ".", Platforms: []string{"linux/amd64", "linux/arm64"}, BuildArgs: map[string]string{"A": "<1>"},
			Policy: []Reference{{"baseline", sum([]byte("policy"))}},
		},
		Origin: Origin{Commit: strings.Repeat("ab", 20), Clean: true},
		Materials: []Material{{
			URI: "pkg:docker/debian@12?platform=linux%2Famd64", Digests: map[string]string{"sha256": strings.Repeat("0f", 32)}, Line: 3, Pinned: true,
		}},
		Byproducts: []Reference{{"linux/amd64", sum([]byte("buildkit"))}},
		Complete:   Completeness{Request: true},
		Versions:   Versions{Sealyard: "v1.0.0", BuildKit: "v0.34.2", Frontend: "1.20.0"},
		Started:    someTime, Finished: someTime.Add(time.Minute), InvocationID: "https://github.com/acme/widget/actions/runs/1/attempts/1",
	}
}

func aScan() VulnScan {
	epss := 0.25
	return VulnScan{
		Subjects: []Subject{{"linux/amd64", amd64Digest}}, Version: "v1.0.0",
		DB: VulnDB{URI: "https://db.example/v6.tar.zst", Version: "v6.1.0", Updated: someTime, Digest: sum([]byte("db"))},
		Findings: []Finding{
			{ID: "CVE-2024-2", Package: "openssl", Version: "3.0.1-1", PURL: "pkg:deb/debian/openssl@3.0.1-1", Binaries: []string{"libssl3"}, Type: "deb", FixState: "fixed",
				FixedIn: []string{"3.0.2-1"}, Severity: "critical", Scores: []Score{{"CVSS:3.1", "9.8"}}, EPSS: &epss, KEV: true, Layer: sum([]byte("layer"))},
			{ID: "CVE-2024-1", Package: "zlib", Version: "1", Type: "deb", FixState: "unknown", Severity: "unknown"},
		},
		Coverage: Coverage{Packages: 105, Distro: "debian 12"}, Started: someTime, Finished: someTime.Add(time.Second),
	}
}

func aDecision() DecisionFacts {
	return DecisionFacts{
		Subjects: subjects(), Allowed: true, Policies: []Reference{{"baseline", sum([]byte("policy"))}}, Input: sum([]byte("input")), Time: someTime,
		Passed: []string{"baseline.kev"}, Warned: []string{"baseline.age"}, Document: []byte("{\n  \"allowed\": true, \"why\": \"a < b\"\n}\n"),
	}
}

// spdxDoc is an SPDX document like syft's, with about 330 bytes for each file.
func spdxDoc(files int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"app","files":[`)
	for i := range files {
		if i > 0 {
			b.WriteByte(',')
		}
		h := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		fmt.Fprintf(&b, `{"fileName":"usr/share/doc/package-%d/copyright","SPDXID":"SPDXRef-File-%x","checksums":[{"algorithm":"SHA256","checksumValue":"%x"}],"licenseConcluded":"NOASSERTION","copyrightText":"NOASSERTION","comment":"layerID: sha256:%x"}`, i, h[:8], h, h)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

const cycloneDoc = `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}`

// statements is one of each type that is made.
func statements(t testing.TB) map[string]Statement {
	t.Helper()
	out := map[string]Statement{}
	add := func(s Statement, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		out[s.PredicateType()] = s
	}
	add(Provenance(aBuild()))
	add(SPDX(subjects()[1:2], spdxDoc(3)))
	add(CycloneDX(subjects()[1:2], []byte(cycloneDoc)))
	add(Vulns(aScan()))
	add(Decision(aDecision()))
	add(Link(StepFacts{Name: "build", Products: []Artifact{digested("image/index", indexDigest), {"source/commit", map[string]string{"gitCommit": strings.Repeat("ab", 20)}}}}))
	add(Workloads(subjects(), []byte(`{"files": [{"name": "app.yaml"}], "documents": [{"kind": "Pod"}]}`)))
	return out
}

func signed(t testing.TB, s Statement) Bundle {
	t.Helper()
	b, err := signingKey().Sign(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// R42 R43 R44: sign and verify of every type made gives back the exact bytes, subjects and signer.
func TestRoundTrip(t *testing.T) {
	trust := keyTrust(t)
	foretold, err := signingKey().Identity(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for uri, s := range statements(t) {
		b := signed(t, s)
		v, err := trust.Verify(b, s.Subjects()[0])
		if err != nil {
			t.Fatalf("%s: %v", uri, err)
		}
		if !bytes.Equal(v.JSON(), s.JSON()) || !bytes.Equal(v.Predicate(), s.Predicate()) || v.Digest() != s.Digest() || v.PredicateType() != uri {
			t.Errorf("%s: other bytes came back", uri)
		}
		if fmt.Sprint(v.Subjects()) != fmt.Sprint(s.Subjects()) {
			t.Errorf("%s: subjects %v, not %v", uri, v.Subjects(), s.Subjects())
		}
		if v.Signer() != foretold || foretold.Kind != KindKey || len(foretold.ID) != 64 {
			t.Errorf("%s: signer %+v, foretold %+v", uri, v.Signer(), foretold)
		}
		var shape struct {
			MediaType            string
			VerificationMaterial struct{ PublicKey struct{ Hint string } }
			DSSEEnvelope         struct {
				PayloadType string
				Signatures  []struct{ KeyID string }
			}
		}
		if err := json.Unmarshal(b, &shape); err != nil {
			t.Fatal(err)
		}
		hint := shape.VerificationMaterial.PublicKey.Hint
		if shape.MediaType != "application/vnd.dev.sigstore.bundle.v0.3+json" || shape.DSSEEnvelope.PayloadType != "application/vnd.in-toto+json" ||
			len(shape.DSSEEnvelope.Signatures) != 1 || hint != signingKey().hint || !strings.HasPrefix(hint, "SHA256:") || shape.DSSEEnvelope.Signatures[0].KeyID != hint {
			t.Errorf("%s: bundle of the wrong form: %+v", uri, shape)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	for _, files := range []int{3, 15000} {
		s, err := SPDX(subjects(), spdxDoc(files))
		if err != nil {
			b.Fatal(err)
		}
		signingKey()
		b.Run(fmt.Sprintf("%dkB", len(s.JSON())/1000), func(b *testing.B) {
			for b.Loop() {
				signed(b, s)
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	trust := keyTrust(b)
	for _, files := range []int{3, 1500, 15000} {
		s, err := SPDX(subjects(), spdxDoc(files))
		if err != nil {
			b.Fatal(err)
		}
		bundle := signed(b, s)
		b.Run(fmt.Sprintf("%dkB", len(s.JSON())/1000), func(b *testing.B) {
			b.SetBytes(int64(len(s.JSON())))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := trust.Verify(bundle, indexDigest); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNewKey(b *testing.B) {
	private, _ := pair()
	for b.Loop() {
		if _, err := NewKey(private, []byte("correct horse")); err != nil {
			b.Fatal(err)
		}
	}
}
