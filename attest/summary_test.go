package attest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/hint"
)

func aSummary() Summary {
	policy := Policy{URI: "https://acme.example/policy", Digest: indexDigest}
	return Summary{
		Subjects: subjects(), Verifier: "https://acme.example/verifier", Versions: map[string]string{"sealyard": "v1"}, Time: someTime,
		Resource: "pkg:oci/app?repository_url=ghcr.io/acme/app", Policy: policy, Policies: []Policy{policy},
		Inputs: []Reference{{PredicateProvenance, amd64Digest}}, Passed: true, Levels: []string{"ACME_SUPPORTED", "SLSA_BUILD_LEVEL_2"}, Passing: []string{"rule"},
	}
}

func anExpectation() ExpectedSummary {
	return ExpectedSummary{Verifier: aSummary().Verifier, Resource: aSummary().Resource, Levels: []string{"SLSA_BUILD_LEVEL_1"}}
}

// R27: a summary has the verifier, the resource, the policy and all inputs by digest; its exact bytes.
func TestSummary(t *testing.T) {
	s, err := VerificationSummary(aSummary())
	if err != nil {
		t.Fatal(err)
	}
	digest := func(d string) string { return strings.TrimPrefix(d, "sha256:") }
	want := `{"verifier":{"id":"https://acme.example/verifier","version":{"sealyard":"v1"}},"timeVerified":"2026-11-23T15:00:00Z",` +
		`"resourceUri":"pkg:oci/app?repository_url=ghcr.io/acme/app","policy":{"uri":"https://acme.example/policy","digest":{"sha256":"` + digest(indexDigest) + `"}},` +
		`"inputAttestations":[{"name":"https://slsa.dev/provenance/v1","digest":{"sha256":"` + digest(amd64Digest) + `"}}],` +
		`"verificationResult":"PASSED","verifiedLevels":["ACME_SUPPORTED","SLSA_BUILD_LEVEL_2"],"slsaVersion":"1.2",` +
		`"sealyard_policies":[{"uri":"https://acme.example/policy","digest":{"sha256":"` + digest(indexDigest) + `"}}]}`
	if string(s.Predicate()) != want {
		t.Errorf("%s\nwant\n%s", s.Predicate(), want)
	}
}

// R28 R30: whatever else is said, what did not pass is FAILED and nothing but that; a track without a level is not evaluated.
func TestSummaryLevels(t *testing.T) {
	failed, none := aSummary(), aSummary()
	failed.Passed, none.Levels = false, nil
	for name, c := range map[string]struct {
		f    Summary
		want string
	}{
		"zero":     {Summary{Subjects: subjects(), Verifier: "https://a.example", Time: someTime, Resource: "https://a.example/app", Policy: Policy{URI: "https://a.example/p"}}, `"FAILED","verifiedLevels":["FAILED"]`},
		"failed":   {failed, `"FAILED","verifiedLevels":["FAILED"]`},
		"no level": {none, `"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_UNEVALUATED"]`},
	} {
		if s, err := VerificationSummary(c.f); err != nil || !strings.Contains(string(s.Predicate()), c.want) {
			t.Errorf("%s: %v %s", name, err, s.Predicate())
		}
	}
	for _, levels := range [][]string{
		{"SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_2"}, {"SLSA_SOURCE_LEVEL_1"}, {"SLSA_GREAT"}, {"SLSA_BUILD_LEVEL_4"}, {"FAILED"}, {""}, {"ACME_LEVEL_1", "ACME_LEVEL_2"},
	} {
		f := aSummary()
		f.Levels = levels
		if s, err := VerificationSummary(f); err == nil {
			t.Errorf("%q: %s", levels, s.Predicate())
		}
	}
	for name, edit := range map[string]func(*Summary){
		"verifier": func(f *Summary) { f.Verifier = "acme" }, "resource": func(f *Summary) { f.Resource = "" }, "policy": func(f *Summary) { f.Policy.URI = "/p" },
		"time": func(f *Summary) { f.Time = Summary{}.Time }, "input": func(f *Summary) { f.Inputs[0].Digest = "" }, "digest": func(f *Summary) { f.Policy.Digest = "sha1:00" },
	} {
		f := aSummary()
		edit(&f)
		if s, err := VerificationSummary(f); err == nil {
			t.Errorf("%s: %s", name, s.Predicate())
		}
	}
}

// R32: policies are there, also when there are none, and of what failed no property is told.
func TestSimpleResult(t *testing.T) {
	failed, bare := aSummary(), aSummary()
	failed.Passed, bare.Policies = false, nil
	for _, c := range []struct {
		f    Summary
		want string
	}{
		{aSummary(), `"properties":["ACME_SUPPORTED","SLSA_BUILD_LEVEL_2","rule"]}`}, {failed, `"properties":[]}`}, {bare, `"id":"https://acme.example/verifier","policies":[]}`},
	} {
		if s, err := SimpleResult(c.f); err != nil || !strings.Contains(string(s.Predicate()), c.want) {
			t.Errorf("%v %s, want %s", err, s.Predicate(), c.want)
		}
	}
}

// summarized verifies a summary that somebody signed whose predicate is that text.
func summarized(t testing.TB, trust *Trust, predicateType, predicate string, want ExpectedSummary) error {
	t.Helper()
	payload := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + strings.TrimPrefix(indexDigest, "sha256:") + `"}}],"predicateType":"` + predicateType + `","predicate":` + predicate + `}`
	v, err := trust.Verify(envelope(t, payload), indexDigest)
	if err != nil {
		return err
	}
	_, err = want.Check(v)
	return err
}

// R29 T17 T19: each step that SLSA prescribes is a reason to refuse, and so is each required field that is missing.
func TestExpectedSummary(t *testing.T) {
	trust, s, want := keyTrust(t), sure(VerificationSummary(aSummary()))(t), anExpectation()
	good := string(s.Predicate())
	if err := summarized(t, trust, PredicateVSA, good, want); err != nil {
		t.Fatal(err)
	}
	if v := sure(trust.Verify(signed(t, s), arm64Digest))(t); sure(want.Check(v))(t).Digest != indexDigest {
		t.Error("the policy's digest is not told")
	}
	for _, c := range []struct{ old, new, why string }{
		{"https://acme.example/verifier", "https://other.example", "by verifier"}, {"ghcr.io/acme/app", "ghcr.io/acme/App", "about resource"},
		{"PASSED", "FAILED", "FAILED"}, {"PASSED", "passed", "neither"}, {"SLSA_BUILD_LEVEL_2", "SLSA_BUILD_LEVEL_0", "not SLSA_BUILD_LEVEL_1"},
		{"SLSA_BUILD_LEVEL_2", "SLSA_SOURCE_LEVEL_2", "not SLSA_BUILD_LEVEL_1"}, {"SLSA_BUILD_LEVEL_2", "SLSA_BUILD_LEVEL_UNEVALUATED", "not SLSA_BUILD_LEVEL_1"},
		{`"ACME_SUPPORTED"`, `"FAILED"`, "cannot all be true"}, {`"ACME_SUPPORTED"`, `"SLSA_BUILD_LEVEL_3"`, "cannot all be true"},
		{`["ACME_SUPPORTED","SLSA_BUILD_LEVEL_2"]`, `[]`, "not SLSA_BUILD_LEVEL_1"}, {`"verifiedLevels"`, `"verifiedlevels"`, "not SLSA_BUILD_LEVEL_1"},
		{`"2026-11-23T15:00:00Z"`, `"today"`, "summary"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if err := summarized(t, trust, PredicateVSA, text, want); text == good || !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %s", c.new, err, c.why)
		}
	}
	if err := summarized(t, trust, PredicateSVR, good, want); !errors.Is(err, ErrUntrusted) {
		t.Errorf("another type of statement: %v", err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(good), &all); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"verifier", "resourceUri", "policy", "verificationResult", "verifiedLevels"} {
		kept := all[name]
		delete(all, name)
		if err := summarized(t, trust, PredicateVSA, string(sure(json.Marshal(all))(t)), want); !errors.Is(err, ErrUntrusted) {
			t.Errorf("without %s: %v", name, err)
		}
		all[name] = kept
	}
}

// R29 R31: what an expectation leaves open is refused before anything is verified; levels are compared within their track.
func TestExpectationIsComplete(t *testing.T) {
	for _, e := range []ExpectedSummary{
		{}, {Verifier: "https://a.example", Resource: "https://a.example"}, {Verifier: "https://a.example", Levels: []string{"A"}}, {Resource: "https://a.example", Levels: []string{"A"}},
		{Verifier: "https://a.example", Resource: "https://a.example", Levels: []string{""}}, {Verifier: "https://a.example", Resource: "https://a.example", Levels: []string{"SLSA_BUILD_LEVEL_2", "SLSA_SOURCE_LEVEL_2"}},
		{Verifier: "a", Resource: "https://a.example", Levels: []string{"A"}},
	} {
		if err := e.Validate(); !hint.IsMisuse(err) {
			t.Errorf("%+v: %v", e, err)
		}
		if _, err := e.Check(Verified{}); err == nil {
			t.Errorf("%+v relies on anything", e)
		}
	}
	for _, c := range []struct {
		level, want string
		ok          bool
	}{
		{"SLSA_BUILD_LEVEL_3", "SLSA_BUILD_LEVEL_2", true}, {"SLSA_BUILD_LEVEL_2", "SLSA_BUILD_LEVEL_2", true}, {"SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_2", false},
		{"SLSA_SOURCE_LEVEL_3", "SLSA_BUILD_LEVEL_2", false}, {"ACME_LEVEL_3", "ACME_LEVEL_2", false}, {"ACME", "ACME", true}, {"SLSA_BUILD_LEVEL_10", "SLSA_BUILD_LEVEL_1", false},
	} {
		if reaches(c.level, c.want) != c.ok {
			t.Errorf("%s for %s", c.level, c.want)
		}
	}
}

// R29 T31: no predicate makes reading a summary panic, and none passes that does not say so.
func FuzzSummary(f *testing.F) {
	s, err := VerificationSummary(aSummary())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(s.Predicate()))
	for _, seed := range []string{`{}`, `{"verificationResult":"PASSED"}`, `{"verifiedLevels":[1]}`, `{"policy":{"digest":{"sha256":1}}}`, `[]`, `{"verificationResult":"FAILED","verifiedLevels":["FAILED"]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, predicate string) {
		v := Verified{claim: claim{predicateType: PredicateVSA, predicate: []byte(predicate)}}
		found, err := anExpectation().Check(v)
		if err == nil && (!strings.Contains(predicate, "PASSED") || found.Verifier != anExpectation().Verifier || found.Resource != anExpectation().Resource) {
			t.Errorf("passed: %s", predicate)
		}
	})
}

// sure is what there is no error about.
func sure[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
