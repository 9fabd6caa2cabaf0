package attest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The steps of our own pipeline, in order. Which artifacts tie them together is said here once: for the links that a
// run makes, and for the layouts that hold them together (rules).
const (
	stepFetch = "fetch" // takes the source
	stepBuild = "build" // makes the image
	stepScan  = "scan"  // says what is in it
	stepGate  = "gate"  // decides
)

const (
	sourceCommit  = "source/commit"
	scanDatabase  = "vulndb/grype"
	slsaStatement = "provenance/slsa"
	theDecision   = "decision/statement"
)

// Run is what there is to say about one run of our pipeline.
type Run struct {
	Image      []Subject  // the image index, and every runnable manifest by its platform
	Commit     string     // that was built, and nothing else; empty when that is not known
	Materials  []Material // what BuildKit took into the build
	Database   string     // sha256:<hex> of the vulnerability database
	Policies   []Reference
	Statements []Statement // provenance, SBOMs and vulnerabilities: what was decided on
	Decision   Statement
}

// Links makes the link statement of every step: fetch, build, scan, gate. Each names the image among its products, also
// the first: a link is attached to the image and verified by its digest, and so belongs to the chain of this image.
// Statements are named by the digest of their bytes.
func Links(r Run) ([]Statement, error) {
	image, found, judged := r.image(), r.found(), r.policies()
	source := []Artifact{}
	if r.Commit != "" {
		source = append(source, Artifact{sourceCommit, map[string]string{"gitCommit": r.Commit}})
	}
	provenance := found[PredicateProvenance]
	reports := slices.Concat(found[PredicateVulns], found[PredicateSPDX], found[PredicateCycloneDX])
	decision := digested(theDecision, r.Decision.Digest())
	var out []Statement
	for _, f := range []StepFacts{
		{Name: stepFetch, Products: slices.Concat(source, image)},
		{Name: stepBuild, Materials: slices.Concat(source, r.inputs()), Products: slices.Concat(image, provenance)},
		{Name: stepScan, Materials: append(slices.Clone(image), digested(scanDatabase, r.Database)), Products: slices.Concat(image, reports)},
		{Name: stepGate, Materials: slices.Concat(image, provenance, reports, judged), Products: append(slices.Clone(image), decision)},
	} {
		f.Command = []string{"sealyard", "build"}
		st, err := Link(f)
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

func digested(name, digest string) Artifact {
	alg, value, _ := strings.Cut(digest, ":")
	return Artifact{name, map[string]string{alg: value}}
}

func (r Run) image() []Artifact {
	var out []Artifact
	for _, s := range r.Image {
		out = append(out, digested("image/"+plainName(s.Name), s.Digest))
	}
	return out
}

// found names the statements by what they are and which part of the image they are about.
func (r Run) found() map[string][]Artifact {
	part := map[string]string{}
	for _, s := range r.Image {
		part[s.Digest] = plainName(s.Name)
	}
	out := map[string][]Artifact{}
	for _, st := range r.Statements {
		name := reportName(st.predicateType, part[st.subjects[0]])
		out[st.predicateType] = append(out[st.predicateType], digested(name, st.digest))
	}
	return out
}

// reportName is what a statement about one part of the image is called in links; provenance is about all of them.
func reportName(predicateType, part string) string {
	switch predicateType {
	case PredicateProvenance:
		return slsaStatement
	case PredicateVulns:
		return "report/" + part + ".vulns"
	case PredicateSPDX:
		return "sbom/" + part + ".spdx"
	default:
		return "sbom/" + part + ".cdx"
	}
}

func (r Run) policies() []Artifact {
	var out []Artifact
	for _, p := range r.Policies {
		out = append(out, digested("policy/"+plainName(p.Name), p.Digest))
	}
	return out
}

// inputs are the materials of a build: images as base/…, everything else as input/….
func (r Run) inputs() []Artifact {
	out := map[string]Artifact{}
	for _, m := range r.Materials {
		if len(m.Digests) == 0 {
			continue // a link has room for nothing without digest; provenance names it
		}
		uri, isImage := m.URI, false
		for _, scheme := range []string{"pkg:docker/", "pkg:oci/"} {
			if rest, ok := strings.CutPrefix(m.URI, scheme); ok {
				uri, isImage = rest, true
			}
		}
		name := "input/" + plainName(uri)
		if isImage {
			name = "base/" + plainName(uri)
		}
		for _, taken := out[name]; taken; _, taken = out[name] {
			name += "-"
		}
		out[name] = Artifact{name, m.Digests}
	}
	var all []Artifact
	for _, name := range slices.Sorted(maps.Keys(out)) {
		all = append(all, out[name])
	}
	return all
}

// plainName makes one element of a path out of a name that others gave.
func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, s)
}

// rules are the steps' rules for an image of these platforms: what each step must have used and made, one by one
// (R37), how it is tied to the step it comes from, and nothing else. MATCH alone holds only what a link names: a step
// that left something out would pass, so REQUIRE goes before it.
func rules(platforms, policies []string) map[string]stepRules {
	parts := []string{"index"}
	for _, p := range platforms {
		parts = append(parts, plainName(p))
	}
	var image, reports, judged []string
	for _, p := range parts {
		image = append(image, "image/"+p)
		for _, t := range []string{PredicateVulns, PredicateSPDX, PredicateCycloneDX} {
			reports = append(reports, reportName(t, p))
		}
	}
	for _, p := range policies {
		judged = append(judged, "policy/"+plainName(p))
	}
	built := from(image, stepBuild)
	source, provenance := from([]string{sourceCommit}, stepFetch), from([]string{slsaStatement}, stepBuild)
	return map[string]stepRules{
		stepFetch: {closed(), closed(required("CREATE", sourceCommit), built)},
		stepBuild: {closed(source, [][]string{{"ALLOW", "base/*"}, {"ALLOW", "input/*"}}), closed(required("CREATE", image...), required("CREATE", slsaStatement))},
		stepScan:  {closed(built, required("ALLOW", scanDatabase)), closed(built, required("CREATE", reports...))},
		stepGate:  {closed(built, provenance, from(reports, stepScan), required("ALLOW", judged...)), closed(built, required("CREATE", theDecision))},
	}
}

type stepRules struct{ materials, products [][]string }

// closed ends lists of rules: whatever they leave is not allowed.
func closed(lists ...[][]string) [][]string {
	return append(slices.Concat(lists...), []string{"DISALLOW", "*"})
}

// from requires artifacts, as an earlier step made them.
func from(names []string, step string) (out [][]string) {
	for _, n := range names {
		out = append(out, []string{"REQUIRE", n}, []string{"MATCH", n, "WITH", "PRODUCTS", "FROM", step})
	}
	return out
}

// required requires artifacts, which a rule consumes.
func required(rule string, names ...string) (out [][]string) {
	for _, n := range names {
		out = append(out, []string{"REQUIRE", n}, []string{rule, n})
	}
	return out
}

// orderedSteps are the names of the steps, first to last.
func orderedSteps() []string { return []string{stepFetch, stepBuild, stepScan, stepGate} }

// distinct refuses platforms that would be called the same.
func distinct(platforms []string) error {
	seen := map[string]bool{"index": true}
	for _, p := range platforms {
		if name := plainName(p); seen[name] {
			return fmt.Errorf("platform %q: another one is called %q too", p, name)
		}
		seen[plainName(p)] = true
	}
	return nil
}
