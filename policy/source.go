package policy

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/version"
)

// The package of a bundle that is asked about each source of a build, and the rule that only it has.
const (
	sourcePackage = "source" // below entryPackage
	ruleConvert   = "convert"
)

// maxSourceInput bounds the question about one source, in bytes.
const maxSourceInput = 1 << 20

// sourceSchema describes [SourceInput] as JSON Schema, like inputSchema.
//
//go:embed source.schema.json
var sourceSchema []byte

// SourceInput is everything that package sealyard.source of a bundle may look at: one source of a build, before any of it is fetched.
type SourceInput struct {
	SchemaVersion string    `json:"schemaVersion"` // always [SchemaVersion]
	Time          time.Time `json:"time"`          // of the run; written in UTC, whole seconds
	Source        Source    `json:"source"`
	// Signatures are those found on an image whose setting baseSigners asks for one, by whom that setting names; a set.
	Signatures []Signature `json:"signatures"`
}

// Source is one thing that a build would take in. What does not apply to its kind is "".
type Source struct {
	Kind     string   `json:"kind"`     // image, oci-layout, local, git, http, or another scheme of BuildKit's
	URI      string   `json:"uri"`      // as BuildKit writes it: "docker-image://docker.io/library/debian:12"
	Scheme   string   `json:"scheme"`   // of git and http: as it is fetched, "https"
	Host     string   `json:"host"`     // registry, git or web server, with its port
	Name     string   `json:"name"`     // "docker.io/library/debian", "github.com/acme/app.git", "example.com/file.tgz"; of a context its name
	Tag      string   `json:"tag"`      // of an image
	Digest   string   `json:"digest"`   // what it is named by: "sha256:<64 hex>" of an image or file, the commit of git; "" is none
	Ref      string   `json:"ref"`      // of git: branch, tag or commit
	Platform string   `json:"platform"` // of an image: "linux/amd64"
	Frontend bool     `json:"frontend"` // an image that runs as frontend of the build
	Context  string   `json:"context"`  // the named context that it stands for
	Location Location `json:"location"` // where the Dockerfile names it
}

// Signature is one that was verified, over an image or over the manifest of its platform.
type Signature struct {
	Signer        Signer `json:"signer"`
	PredicateType string `json:"predicateType"` // of the signed statement; "" when the artifact itself is signed
	Subject       string `json:"subject"`       // the digest that is signed: the image's, or that of its platform's manifest
}

// SourceDecision is the answer of one or several bundles about one source. The zero SourceDecision denies.
type SourceDecision struct {
	Passed   bool         `json:"passed"`  // every bundle that has a say lets it in
	Pin      string       `json:"pin"`     // digest to take an image by, "" is as it is named
	Bundles  []BundleInfo `json:"bundles"` // those that were asked, in order; none has a say when it is empty
	Denials  []Finding    `json:"denials"` // sorted; empty if and only if Passed
	Warnings []Finding    `json:"warnings"`
}

// JSON returns the canonical bytes of the question: every field present, sets sorted.
func (in SourceInput) JSON() ([]byte, error) {
	in.Time = in.Time.UTC().Truncate(time.Second)
	in.Signatures = slices.Clone(in.Signatures)
	slices.SortFunc(in.Signatures, func(a, b Signature) int {
		return cmp.Or(cmp.Compare(a.PredicateType, b.PredicateType), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Signer.Kind, b.Signer.Kind),
			cmp.Compare(a.Signer.ID, b.Signer.ID), cmp.Compare(a.Signer.Issuer, b.Signer.Issuer), compareWorkflows(a.Signer.Workflow, b.Signer.Workflow))
	})
	data, err := jsonv2.Marshal(in, jsonv2.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("write source input: %s", oneLine(err.Error()))
	}
	if len(data) > maxSourceInput {
		return nil, fmt.Errorf("source input has %d bytes, at most %d are judged", len(data), maxSourceInput)
	}
	return canonical(data)
}

// ParseSourceInput reads a question back, as strictly as [ParseInput].
func ParseSourceInput(data []byte) (SourceInput, error) {
	var in SourceInput
	if len(data) > maxSourceInput {
		return in, fmt.Errorf("source input has %d bytes, at most %d are judged", len(data), maxSourceInput)
	}
	data, err := canonical(data)
	if err != nil {
		return in, err
	}
	s, err := parseSchema(sourceSchema)
	if err != nil {
		return in, err
	}
	v, err := decodeAny(data)
	if err != nil {
		return in, err
	}
	if bad := s.check("", v); bad != nil {
		return in, bad
	}
	return in, json.Unmarshal(data, &in)
}

// JudgesSources reports whether the bundle has package sealyard.source.
func (b *Bundle) JudgesSources() bool { return b.aboutSources }

// DecideSource asks every bundle that judges sources about one of them; all of these must allow. An error means that there is no answer.
func DecideSource(ctx context.Context, bundles []*Bundle, in SourceInput) (SourceDecision, error) {
	if in.SchemaVersion != SchemaVersion || in.Time.IsZero() {
		return SourceDecision{}, errors.New("source input has no schema version or no time")
	}
	data, err := in.JSON()
	if err != nil {
		return SourceDecision{}, err
	}
	value, err := ast.ValueFromReader(bytes.NewReader(data))
	if err != nil {
		return SourceDecision{}, fmt.Errorf("read source input: %s", oneLine(err.Error()))
	}
	d, every := SourceDecision{}, true
	for _, b := range bundles {
		if !b.aboutSources {
			continue
		}
		v, pin, err := b.askSource(ctx, question{input: value, now: in.Time.UTC().Truncate(time.Second)})
		if err == nil && pin != "" && d.Pin != "" && pin != d.Pin {
			err = fmt.Errorf("convert says %s, another bundle %s", pin, d.Pin)
		}
		if err != nil {
			return SourceDecision{}, fmt.Errorf("policy bundle %q: package %s.%s: %w", b.name, entryPackage, sourcePackage, err)
		}
		d.Pin = cmp.Or(d.Pin, pin)
		every = every && v.allowed
		d.Bundles = append(d.Bundles, BundleInfo{Name: b.name, Revision: b.revision, Digest: b.digest, Engine: "opa v" + version.Version, Allowed: v.allowed, Origin: b.origin})
		d.Denials, d.Warnings = append(d.Denials, v.denials...), append(d.Warnings, v.warnings...)
	}
	slices.SortFunc(d.Denials, compareFindings)
	slices.SortFunc(d.Warnings, compareFindings)
	if d.Passed = every && len(d.Denials) == 0; !d.Passed {
		d.Pin = ""
	}
	return d, nil
}

// askSource asks one bundle.
func (b *Bundle) askSource(ctx context.Context, q question) (verdict, string, error) {
	result, err := b.bounded(ctx, func(ctx context.Context) (rego.ResultSet, error) {
		return b.aboutSource.Eval(ctx, rego.EvalParsedInput(q.input), rego.EvalTime(q.now), rego.EvalSeed(bytes.NewReader(nil)))
	})
	if err != nil {
		return verdict{}, "", err
	}
	allow, ok := result[ruleAllow].(bool)
	if !ok {
		return verdict{}, "", fmt.Errorf("allow is %s, want a boolean", kindOf(result[ruleAllow]))
	}
	v := verdict{allowed: allow}
	if v.denials, err = b.sourceFindings(ruleDeny, result[ruleDeny]); err != nil {
		return verdict{}, "", err
	}
	if v.warnings, err = b.sourceFindings(ruleWarn, result[ruleWarn]); err != nil {
		return verdict{}, "", err
	}
	if !v.allowed && len(v.denials) == 0 {
		v.denials = []Finding{b.unexplained()}
	}
	v.allowed = v.allowed && len(v.denials) == 0
	pin, err := pinIn(result[ruleConvert])
	return v, pin, err
}

// sourceFindings are findings of rules that package sealyard.source describes.
func (b *Bundle) sourceFindings(set string, v any) ([]Finding, error) {
	out, err := b.findings(set, v)
	for _, f := range out {
		if err == nil && !b.rules[f.Rule].Source {
			err = fmt.Errorf("%s gave a finding of rule %q, which is not described in that package", set, clip(f.Rule))
		}
	}
	return out, err
}

var validPin = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// pinIn reads the set convert: at most one object with the digest to take an image by.
func pinIn(v any) (string, error) {
	list, err := listOf(ruleConvert, v)
	if err != nil || len(list) == 0 {
		return "", err
	}
	m, _ := list[0].(map[string]any)
	pin, _ := m["digest"].(string)
	if len(list) > 1 || len(m) != 1 || !validPin.MatchString(pin) {
		return "", errors.New("convert is not a set of at most one object with the digest, sha256:<64 hex>, to take the image by")
	}
	return pin, nil
}

// isSourcePackage tells the package that is asked about sources, and those below it.
func isSourcePackage(p []string) bool {
	return len(p) > 1 && p[0] == entryPackage && p[1] == sourcePackage
}

// sourceRules checks that package sealyard.source, if the bundle has it, can answer, and returns the rules of it that are asked.
func sourceRules(modules map[string]*ast.Module) ([]string, error) {
	found, has := map[string]bool{}, false
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		m := modules[file]
		if p := packagePath(m); !isSourcePackage(p) || len(p) > 2 || strings.HasSuffix(file, testSuffix) {
			continue
		}
		has = true
		for _, r := range m.Rules {
			name := r.Head.Ref()[0].Value.String()
			if !slices.Contains([]string{ruleAllow, ruleDeny, ruleWarn, ruleConvert}, name) {
				continue
			}
			if err := checkEntry(name, r); err != nil {
				return nil, err
			}
			found[name] = true
		}
	}
	if !has {
		return nil, nil
	}
	for _, name := range []string{ruleDeny, ruleAllow} {
		if !found[name] {
			return nil, fmt.Errorf("package %s.%s has no rule %s", entryPackage, sourcePackage, name)
		}
	}
	return slices.Sorted(maps.Keys(found)), checkAllow(modules, []string{entryPackage, sourcePackage})
}

// shapeInputs tells the compiler which package sees which input. What authors wrote about that in METADATA does not count: it could
// make a misspelt field compile.
func shapeInputs(modules map[string]*ast.Module) {
	shaped := map[string]bool{}
	annotate := func(m *ast.Module, a *ast.Annotations) {
		a.Schemas = []*ast.SchemaAnnotation{{Path: ast.InputRootRef, Schema: ast.SchemaRootRef.Append(ast.StringTerm(sourcePackage))}}
		shaped[m.Package.Path.String()] = true
	}
	names := slices.Sorted(maps.Keys(modules))
	for _, file := range names {
		for _, a := range modules[file].Annotations {
			a.Schemas = nil
			if a.Scope == "package" && isSourcePackage(packagePath(modules[file])) {
				annotate(modules[file], a)
			}
		}
	}
	for _, file := range names {
		if m := modules[file]; isSourcePackage(packagePath(m)) && !shaped[m.Package.Path.String()] {
			a := (&ast.Annotations{Scope: "package", Location: m.Package.Location}).Copy(m.Package)
			annotate(m, a)
			m.Annotations = append(m.Annotations, a)
		}
	}
}
