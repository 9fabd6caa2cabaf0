package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// maxRecorded bounds how many questions about sources the claims of one input may record; a build asks at most 1000.
const maxRecorded = 10_000

// inRecord is where a provenance claim records what a build asked (docs/buildtypes/container-v1.md).
var inRecord = refOf("predicate", "buildDefinition", "internalParameters", "sealyard_sources")

// recordedSources are the questions that builds asked about their sources, as the provenance in an input records them, to be asked again at
// the time now. There are none when no provenance records any. A record that no question can be made of is an error.
func recordedSources(input ast.Value, now time.Time) ([]ast.Value, error) {
	claims, _ := input.Find(refOf("claims"))
	list, ok := claims.(*ast.Array)
	if !ok {
		return nil, nil // what has no claims is for the rules to judge
	}
	var out []ast.Value
	for i := range list.Len() {
		claim := list.Elem(i).Value
		kind, err := claim.Find(refOf("predicateType"))
		if err != nil || kind.Compare(ast.String(typeProvenance)) != 0 {
			continue
		}
		record, err := claim.Find(inRecord)
		if err != nil {
			continue
		}
		sources, ok := record.(*ast.Array)
		if !ok || sources.Len()+len(out) > maxRecorded {
			return nil, fmt.Errorf("sealyard_sources in provenance is no list of at most %d sources", maxRecorded)
		}
		for j := range sources.Len() {
			source, err := recordedSource(sources.Elem(j).Value, now)
			if err != nil {
				return nil, fmt.Errorf("source in provenance: %w", err)
			}
			out = append(out, source)
		}
	}
	return out, nil
}

// recordedSource is one question as it was asked, at another time.
func recordedSource(record ast.Value, now time.Time) (ast.Value, error) {
	question := map[string]any{"schemaVersion": SchemaVersion, "time": now.UTC().Truncate(time.Second)}
	for _, name := range []string{"source", "signatures"} {
		value, err := record.Find(refOf(name))
		if err != nil {
			return nil, fmt.Errorf("it has no %s", name)
		}
		if question[name], err = ast.JSON(value); err != nil {
			return nil, err
		}
	}
	data, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	in, err := ParseSourceInput(data)
	if err != nil {
		return nil, err
	}
	if data, err = in.JSON(); err != nil {
		return nil, err
	}
	return ast.ValueFromReader(bytes.NewReader(data))
}

// refOf is the reference to a member of members.
func refOf(names ...string) ast.Ref {
	var out ast.Ref
	for _, name := range names {
		out = append(out, ast.StringTerm(name))
	}
	return out
}

// judgeRecorded adds what package sealyard.source says about the sources that a build recorded: so whoever verifies an image holds what
// went into it to a policy of their own, and the builder's policy is held to what it answered.
func (b *Bundle) judgeRecorded(ctx context.Context, v *verdict, q question) error {
	if !b.aboutSources {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.timeout, fmt.Errorf("no answer about %d sources within %s", len(q.sources), b.timeout))
	defer cancel()
	var denials, warnings []Finding
	for _, source := range q.sources {
		w, _, err := b.askSource(ctx, question{input: source, now: q.now})
		if err != nil {
			return fmt.Errorf("package %s.%s: %w", entryPackage, sourcePackage, err)
		}
		v.allowed = v.allowed && w.allowed
		denials, warnings = append(denials, w.denials...), append(warnings, w.warnings...)
	}
	v.denials, v.warnings = append(v.denials, distinct(denials)...), append(v.warnings, distinct(warnings)...)
	return nil
}

// distinct leaves out findings that are there already: a source that is named by tag is asked about twice.
func distinct(findings []Finding) []Finding {
	slices.SortFunc(findings, compareFindings)
	return slices.CompactFunc(findings, func(a, b Finding) bool { return compareFindings(a, b) == 0 })
}
