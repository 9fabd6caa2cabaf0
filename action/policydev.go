package action

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
)

func policyInitCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "init DIRECTORY", Short: "Write a first policy bundle with one rule, its test and a setting",
		Long:    "Write a bundle that works: a manifest, one rule, its tests, and a setting with its schema. The directory must not exist; the bundle gets its name.",
		Example: "  sealyard policy init acme\n  sealyard policy test acme", Args: exactly("DIRECTORY"),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := policy.Scaffold(policy.NameOf(args[0]))
			if err != nil {
				return err
			}
			if err := os.Mkdir(args[0], 0o755); err != nil {
				return hint.Misuse(fmt.Errorf("make %q: %w", args[0], errors.Unwrap(err)), "name a directory that does not exist, in one that does")
			}
			p := &printer{w: env.Stdout}
			for _, name := range keys(files) {
				if err := writeNew(filepath.Join(args[0], name), files[name], 0o644); err != nil {
					return err
				}
				p.line("", "wrote %s", filepath.Join(args[0], name))
			}
			return p.err
		},
	}
}

func policyCheckCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "check SOURCE...", Short: "Compile policy bundles as a run would, and advise on them",
		Long: `Load each bundle, a directory or a tar.gz, as a run would: strictly, against the schema of the input and the allowed functions. What is wrong is an
error with file and line (exit 3). What a reader would miss is advice: untested rules, rules without a solution, files that fmt would change.`,
		Example: "  sealyard policy check ./acme\n  sealyard policy check ./acme acme.tar.gz",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := &printer{w: env.Stdout}
			for _, source := range args {
				b, err := policy.Load(cmd.Context(), source, policy.LoadOptions{Origin: policy.Origin{Source: source}}) // whoever signed it
				if err != nil {
					return err
				}
				advice, err := policy.Advice(cmd.Context(), source)
				if err != nil {
					return err
				}
				p.line("", "%s: good: %s, revision %q, %d rules, %s", source, b.Name(), b.Revision(), len(b.Rules()), b.Digest())
				for _, a := range advice {
					p.line("  ", "advice: %s", a)
				}
			}
			return p.err
		},
	}
}

func policyFmtCommand(env Env) *cobra.Command {
	check := false
	cmd := &cobra.Command{
		Use: "fmt PATH...", Short: "Format Rego files in place, as opa fmt does",
		Long:    "Format every *.rego file below each path, in place, and name those that changed. With --check none is written, and the exit code is 1 when one would be.",
		Example: "  sealyard policy fmt ./acme\n  sealyard policy fmt --check ./acme", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return formatPolicies(env, args, check) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "write nothing; exit 1 when something would be written")
	return cmd
}

func formatPolicies(env Env, paths []string, check bool) error {
	changed := false
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return hint.Misuse(fmt.Errorf("%q: %w", path, errors.Unwrap(err)), "name a bundle's directory or a file of Rego")
		}
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(name, ".rego") {
				return err
			}
			src, err := readUpTo(name, policy.MaxBundle)
			if err != nil {
				return err
			}
			out, err := policy.Format(name, src)
			if err != nil || bytes.Equal(out, src) {
				return err
			}
			changed = true
			fmt.Fprintln(env.Stdout, name)
			if check {
				return nil
			}
			return os.WriteFile(name, out, 0o644)
		})
		if err != nil {
			return err
		}
	}
	if changed && check {
		return errDenied
	}
	return nil
}

func policyTestCommand(env Env) *cobra.Command {
	var input string
	var least float64
	test := &cobra.Command{
		Use: "test SOURCE", Short: "Run a bundle's tests, and see that nothing can be left out of the evidence",
		Long: `Run the rules test_… in the files *_test.rego of a bundle, in the same strict Rego, and measure what they reach of it.

Then take an input that is allowed, of a run (--input, a file or its evidence directory) or a built-in example, and leave out one claim or platform after
another: without any of them the image must not be allowed any more by the bundle and --policy (default: the baseline) together. An example that
the bundle denies is not tried, and said to be not. Exit 1 when a test fails or there is none, too little is reached, or something can be left out.`,
		Example: "  sealyard policy test ./acme\n  sealyard policy test ./acme --coverage 90 --input sealyard-evidence --policy baseline", Args: exactly("SOURCE"),
	}
	test.Flags().StringVar(&input, "input", "", "an input that is allowed: input.json, or the evidence of a run (default: a built-in example)")
	test.Flags().Float64Var(&least, "coverage", 0, "percentage of each file that the tests must reach")
	return staged("policy-test", test, func(ctx context.Context, in values, args []string) error {
		s := newSession(env, in, "policy")
		good, err := s.testPolicy(ctx, args[0], least)
		if err != nil {
			return err
		}
		whole, err := s.testLeavingOut(ctx, args[0], input)
		if err != nil {
			return err
		}
		if !good || !whole {
			return errDenied
		}
		return nil
	})
}

// testPolicy runs the tests of a bundle and reports whether they are enough.
func (s *session) testPolicy(ctx context.Context, source string, least float64) (bool, error) {
	r, err := policy.Test(ctx, source)
	if err != nil {
		return false, err
	}
	p := &printer{w: s.env.Stdout}
	for _, f := range r.Failures {
		p.line("", "FAIL %s at %s %s", f.Test, f.Where, f.Why)
	}
	p.line("", "%s passed, %d failed", report.Plural(r.Passed, "test"), len(r.Failures))
	good := len(r.Failures) == 0 && r.Passed > 0
	if r.Passed+len(r.Failures) == 0 {
		p.line("", "FAIL there is no test: name rules test_… in files …_test.rego")
	}
	for _, f := range r.Coverage {
		missing := ""
		if len(f.Missing) > 0 {
			missing = "; not reached: " + strings.Join(f.Missing, ", ")
		}
		if f.Percent < least {
			good = false
			missing += fmt.Sprintf("; %.0f %% are demanded", least)
		}
		p.line("  ", "%s: %.1f %%%s", f.File, f.Percent, missing)
	}
	return good, p.err
}

// testLeavingOut takes an allowed input and reports whether nothing can be left out of it.
func (s *session) testLeavingOut(ctx context.Context, source, input string) (bool, error) {
	in, err := policy.Example()
	if input != "" {
		in, err = readInput(input)
	}
	if err != nil {
		return false, err
	}
	b, err := policy.Load(ctx, source, policy.LoadOptions{Origin: policy.Origin{Source: source}}) // whoever signed it
	if err != nil {
		return false, err
	}
	others, err := s.policies(ctx, nil)
	if err != nil {
		return false, err
	}
	p := &printer{w: s.env.Stdout}
	allowed, tried, err := policy.WithoutOne(ctx, append(others, b), in)
	var not *policy.NotAllowedError
	switch {
	case errors.As(err, &not) && input == "":
		p.line("", "leaving out: not tried, for %v; give an input that is allowed with --input", err)
		return true, p.err
	case err != nil:
		return false, advise(err, "give the evidence of a run that was allowed by these policies")
	}
	for _, what := range allowed {
		p.line("", "FAIL still allowed without %s", what)
	}
	p.line("", "leaving out: of %d claims and platforms none can be missing", tried-len(allowed))
	if policy.CanDecide([]*policy.Bundle{b}) != nil {
		return len(allowed) == 0, p.err
	}
	alone, _, err := policy.WithoutOne(ctx, []*policy.Bundle{b}, in)
	if err != nil {
		return false, err
	}
	if len(alone) > 0 {
		p.line("", "alone, %s allows without %d of them: ask it beside a policy that says what evidence must be there", b.Name(), len(alone))
	}
	return len(allowed) == 0, p.err
}

func policyExplainCommand(env Env) *cobra.Command {
	var input string
	explain := &cobra.Command{
		Use: "explain", Short: "Say in words why policy bundles deny a saved input",
		Long: `Decide on a saved input, of a run's evidence directory or an input.json, and trace each denial to the lines of the rule that gave it: what
they say, and what their variables stood for. Exit 0 when it is allowed, 1 when denied.`,
		Example: "  sealyard policy explain --input sealyard-evidence\n  sealyard policy explain --policy baseline --policy ./acme --input input.json", Args: exactly(),
	}
	explain.Flags().StringVar(&input, "input", "", "the policy input: input.json, or the evidence of a run")
	return staged("policy-explain", explain, func(ctx context.Context, in values, _ []string) error {
		return newSession(env, in, "policy").explainDenials(ctx, input)
	})
}

func (s *session) explainDenials(ctx context.Context, name string) error {
	bundles, in, err := s.question(ctx, name)
	if err != nil {
		return err
	}
	p := &printer{w: s.env.Stdout}
	n := 0
	for _, b := range bundles {
		all, err := b.Explain(ctx, in)
		if err != nil {
			return err
		}
		for _, e := range all {
			n++
			explainOne(p, n, e)
		}
	}
	if n == 0 {
		p.line("", "ALLOWED: none of %d policies denies", len(bundles))
		return p.err
	}
	return errors.Join(p.err, errDenied)
}

func explainOne(p *printer, n int, e policy.Explanation) {
	f := e.Finding
	p.line("", "%d. %s (%s of %s, %s)", n, f.Title, f.Rule, f.Bundle, f.Severity)
	about := ""
	if f.Platform != "" {
		about = f.Platform + ": "
	}
	p.line("   ", "%s%s", about, f.Message)
	if e.Where != "" {
		p.line("   ", "so says %s, for:", e.Where)
	}
	for _, c := range e.Because {
		p.line("     ", "%4d  %s%s", c.Line, map[bool]string{true: "", false: "does not hold: "}[c.Holds], c.Text)
		for _, v := range c.Values {
			p.line("           ", "where %s", v)
		}
	}
	if f.Solution != "" {
		p.line("   ", "what to do: %s", f.Solution)
	}
	if len(f.Controls) > 0 {
		p.line("   ", "evidence for: %s", strings.Join(f.Controls, ", "))
	}
}

// question is a saved input, and the bundles to ask about it.
func (s *session) question(ctx context.Context, name string) ([]*policy.Bundle, policy.Input, error) {
	bundles, err := s.policies(ctx, nil)
	if err != nil {
		return nil, policy.Input{}, err
	}
	in, err := readInput(name)
	return bundles, in, err
}

// readInput reads a policy input: the file itself, or the one in the evidence of a run.
func readInput(name string) (policy.Input, error) {
	if name == "" {
		return policy.Input{}, hint.Misuse(errors.New("no input is given"), "name it with --input: the evidence of a run, or its %s", filepath.Join(evidenceDir, "input.json"))
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		inside := filepath.Join(name, evidenceDir, "input.json")
		if _, err := os.Stat(inside); err != nil {
			inside = filepath.Join(name, "input.json")
		}
		name = inside
	}
	raw, err := readUpTo(name, policy.MaxInputSize)
	if err != nil {
		return policy.Input{}, err
	}
	in, err := policy.ParseInput(raw)
	if err != nil {
		return policy.Input{}, fmt.Errorf("%q: %w", name, err)
	}
	return in, nil
}
