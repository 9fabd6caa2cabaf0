package attest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// aPipeline is a run that made statements of every kind about every part of the image.
func aPipeline(t testing.TB) Run {
	t.Helper()
	image := subjects()
	image[0].Name = "index"
	b := aBuild()
	r := Run{Image: image, Commit: b.Origin.Commit, Materials: b.Materials, Database: sum([]byte("db")), Policies: []Reference{{"baseline", sum([]byte("policy"))}}}
	add := func(s Statement, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		r.Statements = append(r.Statements, s)
	}
	add(Provenance(b))
	for _, s := range image {
		scan := aScan()
		scan.Subjects = []Subject{s}
		add(Vulns(scan))
		add(SPDX([]Subject{s}, spdxDoc(1)))
		add(CycloneDX([]Subject{s}, []byte(cycloneDoc)))
	}
	var err error
	if r.Decision, err = Decision(aDecision()); err != nil {
		t.Fatal(err)
	}
	return r
}

func linksOf(t testing.TB, r Run) []Statement {
	t.Helper()
	links, err := Links(r)
	if err != nil {
		t.Fatal(err)
	}
	return links
}

// Every step says what it used and what it made, each by digest, and names every part of the image.
func TestLinks(t *testing.T) {
	r := aPipeline(t)
	r.Materials = append(r.Materials, Material{URI: "https://example.com/x.tar", Digests: map[string]string{"sha256": strings.Repeat("1e", 32)}},
		Material{URI: "https://example.com/x_tar", Digests: map[string]string{"sha256": strings.Repeat("2e", 32)}}, Material{URI: "no digest"})
	const image = "image/index image/linux-amd64 image/linux-arm64"
	const reports = "report/index.vulns report/linux-amd64.vulns report/linux-arm64.vulns sbom/index.cdx sbom/index.spdx sbom/linux-amd64.cdx sbom/linux-amd64.spdx sbom/linux-arm64.cdx sbom/linux-arm64.spdx"
	want := []struct{ name, materials, products string }{
		{"fetch", "", image + " source/commit"},
		{"build", "base/debian-12-platform-linux-2Famd64 input/https---example.com-x.tar input/https---example.com-x_tar source/commit", image + " provenance/slsa"},
		{"scan", image + " vulndb/grype", image + " " + reports},
		{"gate", image + " policy/baseline provenance/slsa " + reports, "decision/statement " + image},
	}
	for i, st := range linksOf(t, r) {
		l, err := toLink(st.claim)
		if err != nil {
			t.Fatal(err)
		}
		materials, products := strings.Join(slices.Sorted(maps.Keys(l.Materials)), " "), strings.Join(slices.Sorted(maps.Keys(l.Products)), " ")
		if w := want[i]; l.Name != w.name || materials != w.materials || products != w.products {
			t.Errorf("%s\nuses  %s\nnot   %s\nmakes %s\nnot   %s", l.Name, materials, w.materials, products, w.products)
		}
		for _, s := range r.Image {
			if !slices.Contains(st.Subjects(), s.Digest) {
				t.Errorf("%s is not about %s", l.Name, s.Name)
			}
		}
	}
	r.Materials = []Material{{URI: "a b", Digests: map[string]string{"sha256": strings.Repeat("1e", 32)}}, {URI: "a-b", Digests: map[string]string{"sha256": strings.Repeat("2e", 32)}}}
	l, err := toLink(linksOf(t, r)[1].claim)
	if err != nil || l.Materials["input/a-b"]["sha256"] != strings.Repeat("1e", 32) || l.Materials["input/a-b-"]["sha256"] != strings.Repeat("2e", 32) {
		t.Errorf("two inputs of one name: %v %v", l.Materials, err)
	}
}

// R36 T41: a link is neither made nor read with names that cleaning would change, twice a name, or without good digests.
func TestLinkNames(t *testing.T) {
	hex := strings.Repeat("ab", 32)
	for name, c := range map[string]struct{ materials, subject, want string }{
		"good":        {`[{"name":"a/b","digest":{"sha256":"` + hex + `"}}]`, "image/index", ""},
		"none":        {`[]`, "image/index", ""},
		"dots":        {`[{"name":"a/../b","digest":{"sha256":"` + hex + `"}}]`, "image/index", `"a/../b" is not a clean name`},
		"above":       {`[{"name":"../b","digest":{"sha256":"` + hex + `"}}]`, "image/index", "clean"},
		"absolute":    {`[{"name":"/b","digest":{"sha256":"` + hex + `"}}]`, "image/index", "clean"},
		"slashes":     {`[{"name":"git+https://x/b","digest":{"sha256":"` + hex + `"}}]`, "image/index", "clean"},
		"dot":         {`[{"name":".","digest":{"sha256":"` + hex + `"}}]`, "image/index", "clean"},
		"no name":     {`[{"digest":{"sha256":"` + hex + `"}}]`, "image/index", "clean"},
		"product":     {`[]`, "image/./index", `products: "image/./index" is not a clean name`},
		"twice":       {`[{"name":"a","digest":{"sha256":"` + hex + `"}},{"name":"a","digest":{"sha256":"` + hex + `"}}]`, "image/index", "twice"},
		"no digest":   {`[{"name":"a"}]`, "image/index", "no digest"},
		"half digest": {`[{"name":"a","digest":{"sha256":"abc"}}]`, "image/index", "sha256"},
		"not a list":  {`{}`, "image/index", "artifact"},
		"number":      {`[{"name":1}]`, "image/index", "name"},
	} {
		predicate := `{"name":"scan","command":[],"materials":` + c.materials + `}`
		st, err := decode([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"` + c.subject + `","digest":{"sha256":"` + hex + `"}}],"predicateType":"` + PredicateLink + `","predicate":` + predicate + `}`))
		if err != nil {
			t.Fatal(err)
		}
		l, err := toLink(st)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err == nil && (l.Name != "scan" || l.Type != "link") {
			t.Errorf("%s: %+v", name, l)
		}
	}
	for _, f := range []StepFacts{
		{Name: "", Products: []Artifact{{"a", map[string]string{"sha256": hex}}}}, {Name: "x"},
		{Name: "x", Products: []Artifact{{"a/", map[string]string{"sha256": hex}}}}, {Name: "x", Products: []Artifact{{"a", nil}}},
	} {
		if st, err := Link(f); err == nil {
			t.Errorf("made %s", st.JSON())
		}
	}
}

// A link's predicate has every field of link v0.3, so that other tools can convert it.
func TestLinkForm(t *testing.T) {
	var p map[string]json.RawMessage
	if err := json.Unmarshal(linksOf(t, aPipeline(t))[0].Predicate(), &p); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(p)); strings.Join(got, " ") != "byproducts command environment materials name" || string(p["materials"]) != "[]" {
		t.Errorf("%v %s", got, p["materials"])
	}
}
