package policy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/version"
)

// maxHeapGrowth bounds, in bytes, how much the process may grow while one bundle is asked. Rego has no memory
// limit of its own; a runaway comprehension is stopped when this is passed. The largest input needs about half.
const maxHeapGrowth = 1 << 30

// Decide asks one bundle. See [DecideAll].
func (b *Bundle) Decide(ctx context.Context, in Input) (Decision, error) {
	return DecideAll(ctx, []*Bundle{b}, in)
}

// DecideAll asks every bundle; all of them must allow. An error means that no decision was reached: a rule
// failed, gave something that is not a finding, took too long, or the input could not be judged at all.
func DecideAll(ctx context.Context, bundles []*Bundle, in Input) (Decision, error) {
	return decideAll(ctx, bundles, in, nil)
}

func decideAll(ctx context.Context, bundles []*Bundle, in Input, of *facts) (Decision, error) {
	if err := CanDecide(bundles); err != nil {
		return Decision{}, err
	}
	if in.SchemaVersion != SchemaVersion {
		return Decision{}, fmt.Errorf("policy input has schemaVersion %q, want %q", clip(in.SchemaVersion), SchemaVersion)
	}
	if in.Time.IsZero() {
		return Decision{}, errors.New("policy input has no evaluation time")
	}
	data, err := in.JSON()
	if err != nil {
		return Decision{}, err
	}
	value, err := ast.ValueFromReader(bytes.NewReader(data))
	if err != nil {
		return Decision{}, fmt.Errorf("read policy input: %s", oneLine(err.Error()))
	}
	d := Decision{Time: in.Time.UTC().Truncate(time.Second), InputDigest: digestOf(data)}
	return decide(ctx, bundles, value, d, of)
}

// decide asks the bundles about an input document and adds their answers to d.
func decide(ctx context.Context, bundles []*Bundle, value ast.Value, d Decision, of *facts) (Decision, error) {
	every := len(bundles) > 0
	var sources []ast.Value
	if slices.ContainsFunc(bundles, (*Bundle).JudgesSources) {
		var err error
		if sources, err = recordedSources(value, d.Time); err != nil {
			return Decision{}, err
		}
	}
	for _, b := range bundles {
		if err := b.Fresh(d.Time); err != nil {
			return Decision{}, err
		}
		v, err := b.ask(ctx, question{value, d.Time, sources}, of)
		if err != nil {
			return Decision{}, fmt.Errorf("policy bundle %q: %w", b.name, err)
		}
		every = every && v.allowed
		d.Bundles = append(d.Bundles, BundleInfo{Name: b.name, Revision: b.revision, Digest: b.digest, Engine: "opa v" + version.Version, Allowed: v.allowed, Origin: b.origin})
		d.Denials = append(d.Denials, v.denials...)
		d.Warnings = append(d.Warnings, v.warnings...)
		d.Excepted = append(d.Excepted, v.excepted...)
		d.Rules = append(d.Rules, v.rules...)
		d.Levels = lower(d.Levels, v.levels)
	}
	slices.SortFunc(d.Denials, compareFindings)
	slices.SortFunc(d.Warnings, compareFindings)
	slices.SortStableFunc(d.Excepted, compareExcepted)
	slices.SortStableFunc(d.Rules, func(x, y RuleResult) int { return cmp.Or(cmp.Compare(x.Bundle, y.Bundle), cmp.Compare(x.Rule, y.Rule)) })
	if every && len(d.Denials) == 0 {
		d.Allowed = true
		return d, nil
	}
	d.Levels = nil // what is denied reaches nothing
	return d, nil
}

// verdict is the answer of one bundle.
type verdict struct {
	allowed           bool
	denials, warnings []Finding
	excepted          []Excepted
	levels            []string
	rules             []RuleResult
}

// question is what a bundle is asked.
type question struct {
	input   ast.Value
	now     time.Time
	sources []ast.Value // questions about sources that are recorded in input
}

func (b *Bundle) ask(ctx context.Context, q question, of *facts) (verdict, error) {
	result, err := b.eval(ctx, q)
	if err != nil {
		return verdict{}, err
	}
	allow, ok := result[ruleAllow].(bool)
	if b.partial {
		allow = true
	} else if !ok {
		return verdict{}, fmt.Errorf("allow is %s, want a boolean", kindOf(result[ruleAllow]))
	}
	v := verdict{allowed: allow}
	if v.denials, err = b.findings(ruleDeny, result[ruleDeny]); err != nil {
		return verdict{}, err
	}
	if v.warnings, err = b.findings(ruleWarn, result[ruleWarn]); err != nil {
		return verdict{}, err
	}
	if err := b.addForeign(&v, result, q.now); err != nil {
		return verdict{}, err
	}
	skipped, err := b.skipped(result[ruleSkip])
	if err != nil {
		return verdict{}, err
	}
	if v.levels, err = levels(result[ruleLevels]); err != nil {
		return verdict{}, err
	}
	if err := b.except(ctx, &v, result, of, q); err != nil {
		return verdict{}, err
	}
	if err := b.judgeRecorded(ctx, &v, q); err != nil {
		return verdict{}, err
	}
	v.rules = b.outcomes(v, skipped, len(q.sources) > 0)
	if !v.allowed && len(v.denials) == 0 {
		v.denials = []Finding{b.unexplained()}
	}
	v.allowed = v.allowed && len(v.denials) == 0
	return v, nil
}

// unexplained is the reason given when allow is false and no rule says why.
func (b *Bundle) unexplained() Finding {
	return Finding{
		Rule: ruleAllow, Bundle: b.name, Title: "The bundle does not allow", Severity: SeverityHigh, Controls: []string{},
		Message:  fmt.Sprintf("allow of bundle %q is false, and no deny rule says why", b.name),
		Solution: "Give every condition of allow a deny rule that names what is missing.",
	}
}

func (b *Bundle) eval(ctx context.Context, q question) (map[string]any, error) {
	return b.bounded(ctx, func(ctx context.Context) (rego.ResultSet, error) {
		return b.query.Eval(ctx, rego.EvalParsedInput(q.input), rego.EvalTime(q.now), rego.EvalSeed(bytes.NewReader(nil)))
	})
}

// bounded evaluates a query within the limits of time and memory and returns its result.
func (b *Bundle) bounded(ctx context.Context, run func(context.Context) (rego.ResultSet, error)) (map[string]any, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.timeout, fmt.Errorf("no answer within %s", b.timeout))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan struct{})
	defer close(done)
	go watchMemory(done, stop)
	rs, err := run(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, tidy(err)
	}
	if len(rs) != 1 {
		return nil, errors.New("a rule of the entry package is undefined")
	}
	result, ok := rs[0].Bindings["result"].(map[string]any)
	if !ok {
		return nil, errors.New("a rule of the entry package is undefined")
	}
	return result, nil
}

// watchMemory stops the evaluation when the process grows too far.
func watchMemory(done <-chan struct{}, stop context.CancelCauseFunc) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	limit := sample[0].Value.Uint64() + maxHeapGrowth
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if metrics.Read(sample); sample[0].Value.Uint64() > limit {
			stop(fmt.Errorf("evaluation needs more than %d MiB", maxHeapGrowth>>20))
			return
		}
	}
}

// outcomes says how each rule came out. Findings beat a claim to have been skipped.
func (b *Bundle) outcomes(v verdict, skipped map[string]RuleResult, sources bool) []RuleResult {
	outcome := map[string]string{}
	for _, e := range v.excepted {
		outcome[e.Finding.Rule] = OutcomeExcepted
	}
	for _, f := range v.warnings {
		outcome[f.Rule] = OutcomeWarn
	}
	for _, f := range v.denials {
		outcome[f.Rule] = OutcomeDeny
	}
	out := make([]RuleResult, 0, len(b.rules))
	for _, id := range slices.Sorted(maps.Keys(b.rules)) {
		if b.rules[id].Source && !sources {
			out = append(out, RuleResult{Rule: id, Bundle: b.name, Outcome: OutcomeSkip, Kind: SkipUndecidable, Reason: "no provenance records what the build took in"})
			continue
		}
		r := RuleResult{Rule: id, Bundle: b.name, Outcome: cmp.Or(outcome[id], OutcomePass)}
		if skip, ok := skipped[id]; ok && outcome[id] == "" {
			r = skip
		}
		out = append(out, r)
	}
	return out
}
