package action_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/attest"
)

// decisionOf reads the decision claim of a sealed layout as the facts it was made from.
func decisionOf(t *testing.T, l layout) attest.DecisionFacts {
	t.Helper()
	a, err := l.attached("index", attest.PredicateDecision)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(l.path(a.layer))
	if err != nil {
		t.Fatal(err)
	}
	var bundle struct {
		Envelope struct{ Payload string } `json:"dsseEnvelope"`
	}
	var statement struct {
		Subject []struct {
			Name   string
			Digest map[string]string
		}
		Predicate struct {
			Configuration []struct {
				Name   string
				Digest map[string]string
			}
			Time     time.Time       `json:"sealyard_time"`
			Document json.RawMessage `json:"sealyard_decision"`
		}
	}
	if err := json.Unmarshal(raw, &bundle); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(bundle.Envelope.Payload)
	if err == nil {
		err = json.Unmarshal(payload, &statement)
	}
	if err != nil {
		t.Fatal(err)
	}
	f := attest.DecisionFacts{Allowed: true, Time: statement.Predicate.Time, Document: statement.Predicate.Document}
	for _, s := range statement.Subject {
		f.Subjects = append(f.Subjects, attest.Subject{Name: s.Name, Digest: "sha256:" + s.Digest["sha256"]})
	}
	for _, c := range statement.Predicate.Configuration {
		if c.Name == "input" {
			f.Input = "sha256:" + c.Digest["sha256"]
			continue
		}
		f.Policies = append(f.Policies, attest.Reference{Name: c.Name, Digest: "sha256:" + c.Digest["sha256"]})
	}
	return f
}

// decide puts another signed decision in the place of the one that is attached.
func (l layout) decide(t *testing.T, w *world, f attest.DecisionFacts) {
	t.Helper()
	file, err := os.ReadFile(w.key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := attest.NewKey(file, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	statement, err := attest.Decision(f)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := key.Sign(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	subjects, err := l.subjects()
	if err != nil {
		t.Fatal(err)
	}
	for subject, digest := range subjects {
		a, err := l.attached(subject, attest.PredicateDecision)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.detach(a); err != nil {
			t.Fatal(err)
		}
		if err := l.attach(digest, typeBundle, signed); err != nil {
			t.Fatal(err)
		}
	}
}

// T17 T27: nobody is believed for holding the key: a decision that its signer did not come by, from fewer claims, by a policy that is
// not there, at another time or about other images, is made again by whoever verifies, and denied.
func TestSignedDecisionIsNotBelieved(t *testing.T) {
	t.Parallel()
	w := shared(t)
	without := func(f *attest.DecisionFacts, part string) {
		f.Policies = slices.DeleteFunc(f.Policies, func(r attest.Reference) bool { return strings.Contains(r.Name, part) })
	}
	for name, c := range map[string]struct {
		lie  func(f *attest.DecisionFacts)
		code int
	}{
		"nothing": {func(*attest.DecisionFacts) {}, action.Allowed},
		"no warnings": {func(f *attest.DecisionFacts) {
			f.Document = bytes.ReplaceAll(f.Document, []byte("scan-distro"), []byte("scan-dist"))
		}, action.Denied},
		"no provenance":       {func(f *attest.DecisionFacts) { without(f, attest.PredicateProvenance) }, action.Denied},
		"no scan":             {func(f *attest.DecisionFacts) { without(f, attest.PredicateVulns) }, action.Denied},
		"no claims":           {func(f *attest.DecisionFacts) { without(f, "claim:") }, action.Denied},
		"no policy":           {func(f *attest.DecisionFacts) { without(f, "policy:") }, action.Denied},
		"another policy":      {func(f *attest.DecisionFacts) { f.Policies[0].Digest = f.Input }, action.Denied},
		"another time":        {func(f *attest.DecisionFacts) { f.Time = f.Time.AddDate(1, 0, 0) }, action.Denied},
		"another image":       {func(f *attest.DecisionFacts) { f.Subjects[0].Digest = f.Input }, action.Denied},
		"less than all of it": {func(f *attest.DecisionFacts) { f.Subjects = f.Subjects[:2] }, action.Denied},
		"a claim nobody signs": {func(f *attest.DecisionFacts) {
			f.Policies = append(f.Policies, attest.Reference{Name: "claim:x", Digest: f.Input})
		}, action.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := w.sealed.copy(t)
			f := decisionOf(t, l)
			c.lie(&f)
			l.decide(t, w, f)
			if out := w.run(t.Context(), &bytes.Buffer{}, "verify", string(l), "--key", w.public()); out.code != c.code {
				t.Errorf("exit %d, want %d\n%s%s", out.code, c.code, out.stdout, out.stderr)
			}
		})
	}
}
