package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// asked puts a document to a bundle as rules see it, past the checks of ParseInput.
func asked(t testing.TB, b *Bundle, doc any) (Decision, error) {
	t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	v, err := ast.ValueFromReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return decide(context.Background(), []*Bundle{b}, v, Decision{Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}, nil)
}

// mayBeMissing are the fields of the allowed input that no rule of the baseline needs, each with the reason. The
// schema check of ParseInput still refuses an input without one of those outside predicates.
func mayBeMissing() map[string]string {
	const free = "free text of the image; it vouches for nothing"
	const shape = "how the image starts, not how dangerous it is; no baseline rule judges it"
	m := map[string]string{
		"schemaVersion":     "checked before any rule is asked (TestDecideRefusesInput)",
		"image.annotations": free, "image.annotations.*": free,
		"image.platforms.annotations": free, "image.platforms.annotations.*": free, "image.platforms.config.labels.*": free,
		"image.platforms.size": shape, "image.platforms.layers": shape,
	}
	for _, name := range []string{"entrypoint", "cmd", "envNames", "exposedPorts", "volumes", "labels", "workingDir", "healthcheck", "created"} {
		m["image.platforms.config."+name] = shape
	}
	const hint = "helps a reader, decides nothing"
	for kind, names := range map[string][]string{
		"provenance": {
			"buildDefinition.externalParameters.source", "buildDefinition.externalParameters.dockerfile", "buildDefinition.internalParameters",
			"buildDefinition.internalParameters.sealyard_mode", "buildDefinition.resolvedDependencies.annotations",
			"buildDefinition.resolvedDependencies.annotations.sealyard_dockerfileLine", "runDetails.metadata", "runDetails.metadata.startedOn",
		},
		"spdx":      {"name", "packages.versionInfo"},
		"cyclonedx": {"components.version"},
		"vulns": {
			"scanner.db.uri", "scanner.db.version", "scanner.result.severity", "scanner.result.severity.method", "scanner.result.severity.score",
			"scanner.result.annotations.purl", "scanner.result.annotations.binaries", "scanner.result.annotations.type",
			"scanner.result.annotations.fixedIn", "scanner.result.annotations.aliases", "scanner.result.annotations.layer", "scanner.result.annotations.dataSource",
		},
	} {
		for _, name := range names {
			m["claims."+kind+"."+name] = hint
		}
	}
	m["claims.vulns.scanner.result.annotations.epss"] = "most vulnerabilities have none, and none is no reason; here it is low"
	m["claims.vulns.sealyard_coverage"] = "of the index: it has no packages of its own"
	for _, name := range []string{"packages", "distro", "covered", "uncomparable"} {
		m["claims.vulns.sealyard_coverage."+name] = "of the index: it has no packages of its own"
	}
	return m
}

// R79 R91 T17 T27: take evidence that is allowed and remove any one claim, platform or field: it is not allowed any more.
func TestRemoveOne(t *testing.T) {
	b := baseline(t, "")
	doc, err := decodeAny(mustJSON(t, allowedInput()))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := asked(t, b, doc); err != nil || !d.Allowed {
		t.Fatalf("the whole input is not allowed: %v %+v", err, d.Denials)
	}
	reasons, used, tried := mayBeMissing(), map[string]bool{}, 0
	for remove := range everyField(doc, "", "") {
		tried++
		path, restore := remove()
		d, err := asked(t, b, doc)
		restore()
		if err != nil || !d.Allowed {
			continue
		}
		if reasons[path] == "" {
			t.Errorf("still allowed without %s", path)
		}
		used[path] = true
	}
	for path := range maps.Keys(reasons) {
		if !used[path] && path != "schemaVersion" {
			t.Errorf("%s is listed as optional, but removing it denies", path)
		}
	}
	if tried < 300 {
		t.Errorf("only %d removals were tried", tried)
	}
	t.Logf("%d removals", tried)
}

// R91: of an image without any evidence only rules about the image itself pass; all others say that they judged nothing, or deny.
func TestNothingPassesWithoutEvidence(t *testing.T) {
	in := allowedInput()
	in.Claims = nil
	for _, p := range presets(t) {
		b, err := p.Bundle(LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range decideOrFail(t, b, in).Rules {
			if r.Outcome == OutcomePass && !slices.Contains([]string{"image-shape", "user-nonroot", "user-numbered"}, r.Rule) {
				t.Errorf("%s: rule %s passes without evidence", p.Name, r.Rule)
			}
			if r.Outcome == OutcomeSkip && r.Kind == "" {
				t.Errorf("%s: rule %s is skipped, and not said to be undecidable, off or inapplicable: %s", p.Name, r.Rule, r.Reason)
			}
		}
	}
}

// everyField yields, for each member of each object and each element of each list in doc, a function that removes
// it, and returns its path and what puts it back. Elements of a predicate's lists are left: that a list was once
// longer is not to be seen.
func everyField(v any, path, kind string) func(func(func() (string, func())) bool) {
	return func(yield func(func() (string, func())) bool) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		if uri, ok := m["predicateType"].(string); ok {
			kind = kindName(uri)
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			at := join(path, name)
			switch path {
			case "image.annotations", "image.platforms.annotations", "image.platforms.config.labels":
				at = path + ".*"
			case "claims":
				if name == "predicate" {
					at = "claims." + kind
				}
			}
			old := m[name]
			remove := func() (string, func()) { delete(m, name); return at, func() { m[name] = old } }
			if !yield(remove) {
				return
			}
			list, ok := old.([]any)
			if !ok {
				list = []any{old}
			}
			for i, item := range list {
				if ok && (at == "claims" || at == "image.platforms" || at == "claims.subjects") {
					cut := slices.Delete(slices.Clone(list), i, i+1)
					if !yield(func() (string, func()) { m[name] = cut; return at + "[]", func() { m[name] = old } }) {
						return
					}
				}
				for inner := range everyField(item, at, kind) {
					if !yield(inner) {
						return
					}
				}
			}
		}
	}
}

func kindName(uri string) string {
	for part, name := range map[string]string{"slsa.dev": "provenance", "spdx.dev": "spdx", "cyclonedx": "cyclonedx", "/vulns/": "vulns"} {
		if strings.Contains(uri, part) {
			return name
		}
	}
	return uri
}

// R71: the order in which evidence was found does not show in one byte of the decision, and asking twice gives the same.
func TestOrderDoesNotShow(t *testing.T) {
	b := baseline(t, "")
	for _, in := range []Input{allowedInput(), deniedInput()} {
		want, err := decideOrFail(t, b, in).JSON()
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			shuffle(r, in.Claims)
			shuffle(r, in.Image.Platforms)
			for i := range in.Claims {
				shuffle(r, in.Claims[i].Subjects)
			}
			got, err := decideOrFail(t, b, in).JSON()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("shuffled:\n%s\nwant:\n%s", got, want)
			}
		}
	}
}

func shuffle[T any](r *rand.Rand, s []T) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

// deniedInput gives many reasons at once.
func deniedInput() Input {
	in := allowedInput()
	for i := range in.Image.Platforms {
		in.Image.Platforms[i].Config.User = "root"
	}
	for i := range in.Claims {
		c := &in.Claims[i]
		edits := strings.NewReplacer("digest=sha256:", "was=", `"severity":"low"`, `"severity":"critical","kev":true`, `"entitlements":[]`, `"entitlements":["security.insecure"]`)
		c.Predicate = json.RawMessage(edits.Replace(string(c.Predicate)))
	}
	in.Claims = append(in.Claims, in.Claims[0])
	in.Claims[len(in.Claims)-1].Digest = digestN(0x77)
	return in
}

// An input that is denied for many reasons keeps every one, with rule, solution, controls and the line of the Dockerfile.
func TestDenialsAreExplained(t *testing.T) {
	d := decideOrFail(t, baseline(t, ""), deniedInput())
	data, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/denied.decision.json", append(data, '\n'))
	if d.Allowed || len(d.Denials) < 8 {
		t.Errorf("allowed %v with %d denials", d.Allowed, len(d.Denials))
	}
	for _, f := range d.Denials {
		if f.Title == "" || f.Solution == "" || len(f.Controls) == 0 {
			t.Errorf("finding is not explained: %+v", f)
		}
	}
	found := fmt.Sprint(d.Denials)
	for _, want := range []string{"{Dockerfile 3}", `"docker.io/library/debian:12"`, "known to be exploited", "security.insecure", `user "root"`, "2 different statements"} {
		if !strings.Contains(found, want) {
			t.Errorf("no denial says %q", want)
		}
	}
}
