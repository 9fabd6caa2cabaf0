package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/sealyard/sealyard/internal/hint"
)

// testTimeout bounds one test of a bundle, and maxTests how many there are.
const (
	testTimeout = 10 * time.Second
	maxTests    = 10_000
	testSuffix  = "_test.rego"
)

// Tested is what the tests of a bundle gave.
type Tested struct {
	Passed   int
	Failures []TestFailure
	Coverage []FileCoverage // of every file of rules, sorted
}

// TestFailure is a test that did not hold.
type TestFailure struct {
	Test  string // its name
	Where string // file:line
	Why   string // an error of it, or what it printed; may be ""
}

// FileCoverage says how much of a file the tests reached.
type FileCoverage struct {
	File    string
	Percent float64
	Missing []string // lines that no test reached: "12" or "12-15"
}

// Test runs the tests of a bundle, the rules test_… in its files *_test.rego, in the same Rego as the bundle's own, and measures what
// they reach of it. The bundle must load. Errors are as those of [Load].
func Test(ctx context.Context, name string) (Tested, error) {
	s, err := readSource(ctx, name)
	if err != nil {
		return Tested{}, err
	}
	out, err := s.test(ctx)
	return out, hint.Wrap(err, "docs/policy.md shows a rule that compiles, and sealyard policy init writes one with its test")
}

func (s source) test(ctx context.Context) (Tested, error) {
	modules, err := s.parse()
	if err != nil {
		return Tested{}, err
	}
	if err := s.checkData(modules); err != nil {
		return Tested{}, err
	}
	c, err := s.compiler()
	if err != nil {
		return Tested{}, err
	}
	store := inmem.NewFromObject(s.data)
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return Tested{}, err
	}
	defer store.Abort(ctx, txn)
	reached := cover.New()
	results, err := runTests(ctx, tester.NewRunner().SetStore(store).SetCompiler(c).SetModules(modules).SetCoverageQueryTracer(reached), txn)
	if err != nil {
		return Tested{}, err
	}
	results.Coverage = coverage(reached.Report(modules))
	return results, nil
}

func runTests(ctx context.Context, r *tester.Runner, txn storage.Transaction) (Tested, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // those that nobody waits for any more
	all, err := r.SetTimeout(testTimeout).RaiseBuiltinErrors(true).CapturePrintOutput(true).RunTests(ctx, txn)
	if err != nil {
		return Tested{}, tidy(err)
	}
	var out Tested
	for r := range all {
		if out.Passed+len(out.Failures) >= maxTests {
			return Tested{}, fmt.Errorf("more than %d tests", maxTests)
		}
		if r.Pass() {
			out.Passed++
			continue
		}
		f := TestFailure{Test: r.Package + "." + r.Name, Where: strings.TrimSuffix(at(r.Location), ": "), Why: cut(oneLine(string(r.Output)), 300)}
		if r.Error != nil {
			f.Why = cut(tidy(r.Error).Error(), 300)
		}
		out.Failures = append(out.Failures, f)
	}
	return out, ctx.Err()
}

func coverage(r cover.Report) []FileCoverage {
	var out []FileCoverage
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		if strings.HasSuffix(name, testSuffix) {
			continue
		}
		f := FileCoverage{File: name, Percent: r.Files[name].Coverage}
		for _, gap := range r.Files[name].NotCovered {
			lines := fmt.Sprint(gap.Start.Row)
			if gap.End.Row != gap.Start.Row {
				lines += fmt.Sprintf("-%d", gap.End.Row)
			}
			f.Missing = append(f.Missing, lines)
		}
		out = append(out, f)
	}
	return out
}

// WithoutOne takes an input that all bundles allow and leaves out one claim, or one platform of the image, after another. It returns
// what the image is still allowed without, and how many things were left out. An input that is not allowed to begin with is an error.
func WithoutOne(ctx context.Context, bundles []*Bundle, in Input) (allowed []string, tried int, err error) {
	d, err := DecideAll(ctx, bundles, in)
	if err != nil {
		return nil, 0, err
	}
	if !d.Allowed {
		return nil, 0, &NotAllowedError{d.Denials[0]}
	}
	ask := func(less Input, what string) error {
		tried++
		d, err := DecideAll(ctx, bundles, less)
		if err == nil && d.Allowed {
			allowed = append(allowed, what)
		}
		return ctx.Err() // any other error is no answer, and so no pass
	}
	for i, c := range in.Claims {
		less := in
		less.Claims = slices.Delete(slices.Clone(in.Claims), i, i+1)
		if err := ask(less, fmt.Sprintf("the claim %s about %s", c.PredicateType, strings.Join(names(in, c.Subjects), ", "))); err != nil {
			return nil, tried, err
		}
	}
	for i, p := range in.Image.Platforms {
		less := in
		less.Image.Platforms = slices.Delete(slices.Clone(in.Image.Platforms), i, i+1)
		if err := ask(less, "the platform "+p.Platform); err != nil {
			return nil, tried, err
		}
	}
	return allowed, tried, nil
}

// NotAllowedError says that an input that should be allowed is not.
type NotAllowedError struct {
	Finding Finding // the first reason
}

// Error implements error.
func (e *NotAllowedError) Error() string {
	return fmt.Sprintf("the input is not allowed as it is: rule %q of %q: %s", e.Finding.Rule, e.Finding.Bundle, e.Finding.Message)
}

// names are the parts of an image that digests stand for.
func names(in Input, digests []string) []string {
	var out []string
	for _, d := range digests {
		name := d
		if d == in.Image.Digest {
			name = "the image index"
		}
		for _, p := range in.Image.Platforms {
			if p.Digest == d {
				name = p.Platform
			}
		}
		out = append(out, name)
	}
	return out
}
