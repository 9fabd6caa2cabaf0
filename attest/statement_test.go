package attest

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	ita "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

func parse(t *testing.T, doc []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(doc, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// at follows keys and indices into a JSON document.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// R1 R2 R5 R59: every statement made is a valid in-toto Statement v1 with the exact predicate type, strictly parsed.
func TestStatementForm(t *testing.T) {
	made := statements(t)
	if len(made) != 7 {
		t.Fatalf("%d types made", len(made))
	}
	for _, uri := range []string{
		"https://slsa.dev/provenance/v1", "https://spdx.dev/Document", "https://cyclonedx.org/bom",
		"https://in-toto.io/attestation/vulns/v0.2", "https://in-toto.io/attestation/test-result/v0.1", "https://in-toto.io/attestation/link/v0.3",
		"https://github.com/sealyard/sealyard/blob/main/docs/predicates/workloads-v1.md",
	} {
		s, ok := made[uri]
		if !ok {
			t.Fatalf("%s is not made", uri)
		}
		var pb ita.Statement
		if err := protojson.Unmarshal(s.JSON(), &pb); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
		if err := pb.Validate(); err != nil || pb.GetType() != "https://in-toto.io/Statement/v1" || pb.GetPredicateType() != uri {
			t.Errorf("%s: %v, _type %s, predicateType %s", uri, err, pb.GetType(), pb.GetPredicateType())
		}
		c, err := decode(s.JSON())
		if err != nil || !reflect.DeepEqual(c, s.claim) {
			t.Errorf("%s: read back differently: %v", uri, err)
		}
		if s.Digest() != sum(s.JSON()) {
			t.Errorf("%s: digest %s", uri, s.Digest())
		}
	}
}

// R2 R3 R9 R10 R12 R14: provenance holds every fact in its place, with times in UTC.
func TestProvenance(t *testing.T) {
	s, err := Provenance(aBuild())
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, s.Predicate())
	for _, c := range []struct {
		path []any
		want any
	}{
		{[]any{"buildDefinition", "buildType"}, "https://github.com/sealyard/sealyard/blob/main/docs/buildtypes/container-v1.md"},
		{[]any{"buildDefinition", "externalParameters", "source"}, "https://github.com/acme/widget"},
		{[]any{"buildDefinition", "externalParameters", "buildArgs", "A"}, "<1>"},
		{[]any{"buildDefinition", "externalParameters", "policy", 0, "name"}, "baseline"},
		{[]any{"buildDefinition", "externalParameters", "policy", 0, "digest", "sha256"}, strings.TrimPrefix(sum([]byte("policy")), "sha256:")},
		{[]any{"buildDefinition", "externalParameters", "network"}, ""},
		{[]any{"buildDefinition", "internalParameters", "sealyard_mode"}, "cli"},
		{[]any{"buildDefinition", "resolvedDependencies", 0, "uri"}, "git+https://github.com/acme/widget@refs/heads/main"},
		{[]any{"buildDefinition", "resolvedDependencies", 0, "digest", "gitCommit"}, strings.Repeat("ab", 20)},
		{[]any{"buildDefinition", "resolvedDependencies", 0, "annotations", "sealyard_clean"}, "true"},
		{[]any{"buildDefinition", "resolvedDependencies", 0, "annotations", "sealyard_verified"}, nil},
		{[]any{"buildDefinition", "resolvedDependencies", 1, "digest", "sha256"}, strings.Repeat("0f", 32)},
		{[]any{"buildDefinition", "resolvedDependencies", 1, "annotations", "sealyard_dockerfileLine"}, "3"},
		{[]any{"buildDefinition", "resolvedDependencies", 1, "annotations", "sealyard_pinned"}, "true"},
		{[]any{"runDetails", "builder", "id"}, "https://github.com/sealyard/sealyard/blob/main/docs/builders/cli.md"},
		{[]any{"runDetails", "builder", "version", "buildkit"}, "v0.34.2"},
		{[]any{"runDetails", "metadata", "startedOn"}, "2026-11-23T15:00:00Z"},
		{[]any{"runDetails", "metadata", "finishedOn"}, "2026-11-23T15:01:00Z"},
		{[]any{"runDetails", "metadata", "invocationId"}, "https://github.com/acme/widget/actions/runs/1/attempts/1"},
		{[]any{"runDetails", "metadata", "buildkit_completeness", "request"}, true},
		{[]any{"runDetails", "metadata", "buildkit_completeness", "resolvedDependencies"}, false},
		{[]any{"runDetails", "byproducts", 0, "digest", "sha256"}, strings.TrimPrefix(sum([]byte("buildkit")), "sha256:")},
	} {
		if got := at(p, c.path...); got != c.want {
			t.Errorf("%v: %v, not %v", c.path, got, c.want)
		}
	}
}

// R9 R15: each mode has a builder.id of its own, and only hosted modes take one from a token.
func TestModes(t *testing.T) {
	seen := map[string]bool{}
	levels := map[Mode]int{ModeCLI: 1, ModeSelfHosted: 1, ModeAction: 2}
	const named = "https://github.com/acme/widget/.github/workflows/b.yml@refs/heads/main"
	for _, m := range Modes() {
		b := aBuild()
		b.Mode = m
		s, err := Provenance(b)
		if err != nil {
			t.Fatal(err)
		}
		id, _ := at(parse(t, s.Predicate()), "runDetails", "builder", "id").(string)
		if seen[id] || id == "" {
			t.Errorf("%s: builder.id %q is taken", m, id)
		}
		seen[id] = true
		if m.Level() != levels[m] {
			t.Errorf("%s: level %d", m, m.Level())
		}
		b.BuilderID = named
		if _, err := Provenance(b); (err == nil) != (m == ModeAction) {
			t.Errorf("%s with a workflow: %v", m, err)
		}
	}
	for _, bad := range []Build{{Mode: "else"}, {}, {Mode: ModeAction, BuilderID: "http://x"}, {Mode: ModeAction, BuilderID: "https://X.example/y"}} {
		b := aBuild()
		b.Mode, b.BuilderID = bad.Mode, bad.BuilderID
		if _, err := Provenance(b); err == nil {
			t.Errorf("mode %q, builder %q: accepted", bad.Mode, bad.BuilderID)
		}
	}
}

// R80: scans without findings say so with an empty list; database, times and scores are always there.
func TestVulns(t *testing.T) {
	s, err := Vulns(aScan())
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, s.Predicate())
	for _, c := range []struct {
		path []any
		want any
	}{
		{[]any{"scanner", "uri"}, "https://github.com/sealyard/sealyard"},
		{[]any{"scanner", "db", "lastUpdate"}, "2026-11-23T15:00:00Z"},
		{[]any{"scanner", "db", "sealyard_digest", "sha256"}, strings.TrimPrefix(sum([]byte("db")), "sha256:")},
		{[]any{"scanner", "result", 0, "id"}, "CVE-2024-1"},
		{[]any{"scanner", "result", 0, "severity", 0, "method"}, "vendor"},
		{[]any{"scanner", "result", 0, "severity", 0, "score"}, "unknown"},
		{[]any{"scanner", "result", 0, "annotations", 0, "epss"}, nil},
		{[]any{"scanner", "result", 1, "severity", 0, "score"}, "9.8"},
		{[]any{"scanner", "result", 1, "annotations", 0, "package"}, "openssl"},
		{[]any{"scanner", "result", 1, "annotations", 0, "binaries", 0}, "libssl3"},
		{[]any{"scanner", "result", 1, "annotations", 0, "fixState"}, "fixed"},
		{[]any{"scanner", "result", 1, "annotations", 0, "fixedIn", 0}, "3.0.2-1"},
		{[]any{"scanner", "result", 1, "annotations", 0, "epss"}, 0.25},
		{[]any{"scanner", "result", 1, "annotations", 0, "kev"}, true},
		{[]any{"metadata", "scanStartedOn"}, "2026-11-23T15:00:00Z"},
		{[]any{"metadata", "scanFinishedOn"}, "2026-11-23T15:00:01Z"},
		{[]any{"sealyard_coverage", "distro"}, "debian 12"},
	} {
		if got := at(p, c.path...); got != c.want {
			t.Errorf("%v: %v, not %v", c.path, got, c.want)
		}
	}
	index := aScan()
	index.Findings, index.Platforms = nil, []PlatformScan{{"linux/amd64", amd64Digest, s.Digest()}}
	if s, err = Vulns(index); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(s.Predicate()), `"result":[]`) {
		t.Errorf("no findings: %s", s.Predicate())
	}
	if got := at(parse(t, s.Predicate()), "sealyard_platforms", 0, "vulns"); got != index.Platforms[0].Statement {
		t.Errorf("index: %v", got)
	}
}

// The decision is recorded with what an auditor needs to replay it, and the zero decision is a failed one.
func TestDecision(t *testing.T) {
	f := aDecision()
	for _, c := range []struct {
		allowed        bool
		warned, failed []string
		want           string
	}{
		{true, nil, nil, "PASSED"}, {true, []string{"w"}, nil, "WARNED"}, {false, nil, []string{"f"}, "FAILED"}, {false, nil, nil, "FAILED"}, {true, nil, []string{"f"}, ""},
	} {
		f.Allowed, f.Warned, f.Failed = c.allowed, c.warned, c.failed
		s, err := Decision(f)
		if (err == nil) != (c.want != "") {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if err == nil && at(parse(t, s.Predicate()), "result") != c.want {
			t.Errorf("%+v: %s", c, s.Predicate())
		}
	}
	s, err := Decision(aDecision())
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, s.Predicate())
	if got := "sha256:" + at(p, "sealyard_decisionDigest", "sha256").(string); got != sum(aDecision().Document) {
		t.Errorf("digest of the document: %s", got)
	}
	if at(p, "sealyard_decision", "why") != "a < b" || at(p, "sealyard_time") != "2026-11-23T15:00:00.0000005Z" || at(p, "configuration", 1, "name") != "input" {
		t.Errorf("decision: %s", s.Predicate())
	}
	if !strings.Contains(string(s.Predicate()), `"failedTests":[]`) {
		t.Errorf("lists are not explicit: %s", s.Predicate())
	}
}

// R2 R3 R4: facts that would make a malformed or misleading statement are refused before anything is signed.
func TestRefusedFacts(t *testing.T) {
	build := func(change func(*Build)) error {
		b := aBuild()
		change(&b)
		_, err := Provenance(b)
		return err
	}
	scan := func(change func(*VulnScan)) error {
		s := aScan()
		change(&s)
		_, err := Vulns(s)
		return err
	}
	decision := func(change func(*DecisionFacts)) error {
		f := aDecision()
		change(&f)
		_, err := Decision(f)
		return err
	}
	doc := func(make func([]Subject, []byte) (Statement, error), doc string) error {
		_, err := make(subjects(), []byte(doc))
		return err
	}
	two := 2.0
	for name, err := range map[string]error{
		"no subject":            build(func(b *Build) { b.Subjects = nil }),
		"subject in capitals":   build(func(b *Build) { b.Subjects[0].Digest = strings.ToUpper(indexDigest) }),
		"subject hex capitals":  build(func(b *Build) { b.Subjects[0].Digest = "sha256:" + strings.Repeat("A", 64) }),
		"short subject":         build(func(b *Build) { b.Subjects[0].Digest = indexDigest[:70] }),
		"sha1 subject":          build(func(b *Build) { b.Subjects[0].Digest = "sha1:" + strings.Repeat("a", 40) }),
		"too many subjects":     build(func(b *Build) { b.Subjects = many(maxSubjects + 1) }),
		"short commit":          build(func(b *Build) { b.Origin.Commit = "abcdef" }),
		"no start":              build(func(b *Build) { b.Started = time.Time{} }),
		"ends before its start": build(func(b *Build) { b.Finished = b.Started.Add(-time.Second) }),
		"policy digest":         build(func(b *Build) { b.External.Policy[0].Digest = "sha256:x" }),
		"byproduct digest":      build(func(b *Build) { b.Byproducts[0].Digest = "" }),
		"material digest":       build(func(b *Build) { b.Materials[0].Digests["sha256"] = "AB" }),
		"material algorithm":    build(func(b *Build) { b.Materials[0].Digests["crc"] = "ab" }),
		"no database time":      scan(func(s *VulnScan) { s.DB.Updated = time.Time{} }),
		"no database digest":    scan(func(s *VulnScan) { s.DB.Digest = "" }),
		"no scan time":          scan(func(s *VulnScan) { s.Started = time.Time{} }),
		"finding without id":    scan(func(s *VulnScan) { s.Findings[0].ID = "" }),
		"severity":              scan(func(s *VulnScan) { s.Findings[0].Severity = "High" }),
		"fix state":             scan(func(s *VulnScan) { s.Findings[0].FixState = "" }),
		"EPSS":                  scan(func(s *VulnScan) { s.Findings[0].EPSS = &two }),
		"index with findings":   scan(func(s *VulnScan) { s.Platforms = []PlatformScan{{"x", indexDigest, indexDigest}} }),
		"platform digest":       scan(func(s *VulnScan) { s.Findings = nil; s.Platforms = []PlatformScan{{"x", "", indexDigest}} }),
		"no policy":             decision(func(f *DecisionFacts) { f.Policies = nil }),
		"no evaluation time":    decision(func(f *DecisionFacts) { f.Time = time.Time{} }),
		"no input":              decision(func(f *DecisionFacts) { f.Input = "" }),
		"no document":           decision(func(f *DecisionFacts) { f.Document = nil }),
		"SPDX 3":                doc(SPDX, `{"@graph":[]}`),
		"SPDX twice a name":     doc(SPDX, `{"spdxVersion":"SPDX-2.3","SPDXID":"x","SPDXID":"y"}`),
		"SPDX and more":         doc(SPDX, `{"spdxVersion":"SPDX-2.3","SPDXID":"x"}{}`),
		"SPDX list":             doc(SPDX, `[]`),
		"SPDX depth":            doc(SPDX, `{"spdxVersion":"SPDX-2.3","SPDXID":"x","y":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}`),
		"CycloneDX as SPDX":     doc(SPDX, cycloneDoc),
		"SPDX as CycloneDX":     doc(CycloneDX, string(spdxDoc(1))),
		"null as CycloneDX":     doc(CycloneDX, `null`),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := newStatement("https://example.com/other", subjects(), []byte("{}")); err == nil {
		t.Error("a predicate type outside the table was made")
	}
	for uri, bad := range map[string]string{
		PredicateProvenance: `{"buildDefinition":{"buildType":"x","externalParameters":{"a":"b"}},"runDetails":{"builder":{}}}`,
		PredicateVulns:      `{"scanner":{"uri":"x","db":{"lastUpdate":"2020-01-01T00:00:00Z"}},"metadata":{"scanStartedOn":"2020-01-01T00:00:00Z","scanFinishedOn":"2020-01-01T00:00:00Z"}}`,
		PredicateDecision:   `{"result":["PASSED"]}`,
	} {
		if _, err := newStatement(uri, subjects(), []byte(bad)); err == nil {
			t.Errorf("%s: the table let %s through", uri, bad)
		}
	}
}

func many(n int) []Subject {
	var out []Subject
	for i := range n {
		out = append(out, Subject{Digest: sum([]byte{byte(i), byte(i >> 8)})})
	}
	return out
}

// R57: a statement whose bundle clients would not read is refused before it is signed, and the error says so.
func TestTooLarge(t *testing.T) {
	s, err := SPDX(subjects(), spdxDoc(21000))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = signingKey().Sign(t.Context(), s); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "10000000") {
		t.Errorf("%d bytes: %v", len(s.JSON()), err)
	}
	if s, err = SPDX(subjects(), spdxDoc(19000)); err != nil {
		t.Fatal(err)
	}
	if b := signed(t, s); len(b) > MaxBundle || len(b) < MaxBundle*9/10 {
		t.Errorf("bundle of %d bytes", len(b))
	}
}
