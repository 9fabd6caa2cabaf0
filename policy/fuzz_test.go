package policy

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/sealyard/sealyard/internal/hint"
)

// R77 T15 T31: whatever the bytes of an archive, loading ends, without a panic, and what loads is its own archive again.
func FuzzLoadArchive(f *testing.F) {
	b, err := Baseline(LoadOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Archive())
	f.Add(tarGz(f, entry{name: "a.rego", typ: tar.TypeReg, data: tightens}))
	f.Add(tarGz(f, entry{name: "a.rego", typ: tar.TypeReg, data: tightens}, entry{name: "b.rego", typ: tar.TypeSymlink, link: "a.rego"}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := LoadArchive(t.Context(), data, LoadOptions{})
		if err != nil {
			return
		}
		again, err := LoadArchive(t.Context(), b.Archive(), LoadOptions{})
		if err != nil || again.Digest() != b.Digest() {
			t.Errorf("the archive of %s loads as %v, %v", b.Digest(), again, err)
		}
	})
}

// T15 T16: whatever a rule says, loading it ends with an answer or one line.
func FuzzLoadRego(f *testing.F) {
	f.Add(tightens)
	f.Add("package sealyard\nallow := true\ndeny contains 1")
	f.Add("package sealyard.x\nimport data.settings\ndefault allow := false\n# METADATA\n# title: [\nallow if data[_]")
	f.Fuzz(func(t *testing.T, module string) {
		b, err := newBundle(t.Context(), files{"a.rego": []byte(module)}, "", LoadOptions{Timeout: 100 * time.Millisecond})
		if err != nil {
			if bytes.ContainsAny([]byte(err.Error()), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		if d, err := b.Decide(t.Context(), allowedInput()); err == nil && d.Allowed != (len(d.Denials) == 0) {
			t.Errorf("allowed %v with %d denials", d.Allowed, len(d.Denials))
		}
	})
}

// Whatever the policy data, it is taken, or refused as the caller's mistake, and what is taken is in the digest.
func FuzzPolicyData(f *testing.F) {
	f.Add([]byte("severity: critical\nsigners: [{id: a, issuer: b}]"))
	f.Add([]byte(`{"epss": 0.5}`))
	f.Add([]byte("severty: high"))
	f.Add([]byte("a: &a [x]\nb: [*a, *a]"))
	f.Add([]byte("1: 2"))
	f.Add([]byte("epss: .nan"))
	schemaData, err := baselineFS.ReadFile("baseline/data.schema.json")
	if err != nil {
		f.Fatal(err)
	}
	defaults, err := baselineFS.ReadFile("baseline/data.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSchema(schemaData)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := decodeObject(defaults)
		if err != nil {
			t.Fatal(err)
		}
		if err := overlay(doc, s, data); err != nil {
			if !hint.IsMisuse(err) || bytes.ContainsAny([]byte(err.Error()), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		if bad := s.check("", doc[settingsKey]); bad != nil {
			t.Errorf("accepted, and then %v", bad)
		}
	})
}

// T17: arbitrary evidence is never allowed, and never panics; only the bytes of the allowed input are.
func FuzzDecide(f *testing.F) {
	b, err := Baseline(LoadOptions{})
	if err != nil {
		f.Fatal(err)
	}
	good := mustJSON(f, allowedInput())
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"claims":[{"predicateType":"https://slsa.dev/provenance/v1","subjects":["x"],"predicate":{}}]}`))
	f.Add(mustJSON(f, deniedInput()))
	f.Add(bytes.Replace(good, []byte(`"user":"65532"`), []byte(`"user":"0"`), 1))
	f.Add(bytes.ReplaceAll(good, []byte(`"severity":"low"`), []byte(`"severity":null`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if in, err := ParseInput(data); err == nil {
			if _, err := b.Decide(t.Context(), in); err != nil && hint.IsMisuse(err) {
				t.Errorf("%v", err)
			}
		}
		if !json.Valid(data) {
			return
		}
		v, err := ast.ValueFromReader(bytes.NewReader(data))
		if err != nil {
			return
		}
		d, err := decide(context.Background(), []*Bundle{b}, v, Decision{}, nil)
		if err == nil && d.Allowed && !sound(data) {
			t.Errorf("allowed: %s", data)
		}
	})
}

// sound is a second opinion on what the baseline cannot have done without.
func sound(data []byte) bool {
	for _, must := range []string{"https://slsa.dev/provenance/v1", "https://in-toto.io/attestation/vulns/v0.2", "sealyard_platforms", "lastUpdate", "sha256:", "builder"} {
		if !bytes.Contains(data, []byte(must)) {
			return false
		}
	}
	return true
}

// R72 R73: whatever a rule of conftest's shape gives, it is a finding with a message of a rule that is described, or an error of one line.
func FuzzForeignFinding(f *testing.F) {
	for _, seed := range []string{`"text"`, `{"msg":"x","code":"main.known","term":"t","_loc":{"file":"a","line":1}}`, `{"msg":"x","effective_on":"2027-01-01T00:00:00Z"}`, `{"msg":1}`, `[]`, `{"code":"main.unknown","msg":"x"}`, `{"msg":"x","solution":["y"]}`} {
		f.Add(seed)
	}
	b := load(f, map[string]string{"a.rego": "package main\n# METADATA\n# custom: {short_name: known}\ndeny contains \"x\" if input.image.digest\ndeny_other contains \"y\" if input.image.digest"}, LoadOptions{})
	f.Fuzz(func(t *testing.T, gives string) {
		v, err := decodeAny([]byte(gives))
		if err != nil {
			return
		}
		for _, e := range b.foreign {
			found, _, err := b.foreignFinding(e, v)
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("error of several lines: %q", err)
				}
				continue
			}
			if _, known := b.rules[found.Rule]; !known || found.Message == "" || found.Bundle != b.name {
				t.Errorf("%s became %+v", gives, found)
			}
		}
	})
}

// T14: whatever a manifest says, it is read or refused in one line, and its end survives the way through the archive.
func FuzzManifest(f *testing.F) {
	for _, seed := range []string{`{"revision":"1","metadata":{"name":"acme","not_after":"2026-11-20T13:00:00+01:00"}}`, `{"metadata":{"Not-After":"x"}}`, `{"roots":["a"],"metadata":{"namespaces":["main"]}}`, `{"metadata":{"not_after":null}}`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data, "acme")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseManifest(raw, "other")
		if err != nil || !again.notAfter.Equal(m.notAfter) || again.name() != m.name() {
			t.Errorf("%s became %s: %v", data, raw, err)
		}
	})
}
