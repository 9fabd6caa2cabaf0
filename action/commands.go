package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/internal/hint"
)

// commands builds the command tree. Nothing is done here but declaring it.
func commands(env Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "sealyard",
		Short: "Build an image, prove what it is, decide, and only then let anyone see it",
		Example: `  sealyard key generate
  sealyard db update
  sealyard build . --tag ghcr.io/acme/app:1.2 --key cosign.key --push
  sealyard verify ghcr.io/acme/app:1.2 --key cosign.pub
  sealyard verify ghcr.io/acme/app:1.2 --repo acme/app
  sealyard scan debian:12`,
		SilenceErrors: true, SilenceUsage: true, Version: version().Version,
		Args: func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hint.Misuse(err, "%s", nearestFlag(cmd, err))
	})
	root.AddCommand(
		imageCommands(env), scanCommand(env), verifyCommand(env), verifyVSACommand(env), auditCommand(env), inspectCommand(env), reportCommand(env), fetchCommand(env), publishCommand(env),
		policyCommand(env), waiverCommand(env), vexCommand(env), dbCommand(env), keyCommand(env), layoutCommand(env), trustCommand(env), actionCommand(env), versionCommand(env), engineCommand(env),
	)
	strict(root)
	return root
}

// strict makes the commands that cobra adds refuse what they do not know, as ours do.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, args []string) error {
				of, rest, err := root.Find(args)
				if err != nil {
					return err
				}
				return unknownCommand(of, rest)
			}
		case "completion":
			c.Args, c.RunE = unknownCommand, func(c *cobra.Command, _ []string) error { return c.Help() }
			for _, shell := range c.Commands() {
				shell.Args = exactly()
			}
		}
	}
}

// nearestFlag says what a mistyped flag may have meant, else where the flags are listed. Other programs call the format of a report --json
// or --output.
func nearestFlag(cmd *cobra.Command, err error) string {
	var typo *pflag.NotExistError
	if errors.As(err, &typo) {
		name, names := typo.GetSpecifiedName(), []string{}
		if cmd.Flags().Lookup("format") != nil && slices.Contains([]string{"json", "output", "o"}, name) {
			return "did you mean --format json?"
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if near := hint.Nearest(name, names); near != "" {
			return fmt.Sprintf("did you mean --%s?", near)
		}
	}
	return "run " + cmd.CommandPath() + " --help"
}

// unknownCommand refuses arguments a command group does not know.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	tip := "run " + cmd.CommandPath() + " --help"
	cmd.SuggestionsMinimumDistance = 2 // cobra sets its default only where it makes this error itself
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		tip = fmt.Sprintf("did you mean %q?", near[0])
	}
	return hint.Misuse(fmt.Errorf("unknown command %q", args[0]), "%s", tip)
}

// group is a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(children...)
	return cmd
}

// exactly asks for the named positional arguments; one that starts with "[" may be left out.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		least := 0
		for _, n := range names {
			if !strings.HasPrefix(n, "[") {
				least++
			}
		}
		if len(args) < least || len(args) > len(names) {
			return hint.Misuse(fmt.Errorf("%s takes %s, got %s", cmd.CommandPath(), cmp.Or(strings.Join(names, " "), "no arguments"), report.Plural(len(args), "argument")),
				"run %s --help", cmd.CommandPath())
		}
		return nil
	}
}

// staged makes a command whose flags come from the table of inputs and whose work is bounded by the timeout input.
func staged(command string, cmd *cobra.Command, work func(ctx context.Context, in values, args []string) error) *cobra.Command {
	addFlags(cmd, command)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := fromFlags(cmd, command)
		if err != nil {
			return err
		}
		return bounded(cmd.Context(), in, func(ctx context.Context) error { return work(ctx, in, args) })
	}
	return cmd
}

// bounded runs work under the deadline of the timeout input and says which of the two ended it.
func bounded(ctx context.Context, in values, work func(context.Context) error) error {
	limit, err := in.duration("timeout")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = work(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return hint.Wrap(fmt.Errorf("the run took longer than %s: %w", limit, err), "give more time with --timeout")
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("interrupted: %w", err)
	}
	return err
}

func imageCommands(env Env) *cobra.Command {
	return staged("build", &cobra.Command{
		Use:   "build [CONTEXT]",
		Short: "Build an image, scan it, decide, and on allow sign and publish it",
		Long: `Build an image into a directory, write provenance and SBOMs, scan it and let the policy decide.
On allow the evidence is signed and attached, and with --push the image is published: by digest first, the tags last.
On deny nothing leaves this machine and the exit code is 1. Exit codes: 0 allowed, 1 denied, 2 wrong input, 3 no decision.

Without --key a job with an identity (on GitHub: permissions id-token: write) signs with that. Where nobody signs, it is a rehearsal:
nothing can be published.`,
		Example: `  sealyard build .
  sealyard build . --tag ghcr.io/acme/app:1.2 --key cosign.key --push
  sealyard build https://github.com/acme/app.git#main --platform linux/amd64,linux/arm64 --tag ghcr.io/acme/app:1.2`,
		Args: exactly("[CONTEXT]"),
	}, func(ctx context.Context, in values, args []string) error {
		if len(args) == 1 {
			in["context"] = args
		}
		return runBuild(ctx, env, in, false)
	})
}

func scanCommand(env Env) *cobra.Command {
	return staged("scan", &cobra.Command{
		Use:   "scan TARGET",
		Short: "List what is in an image that exists already and decide on it",
		Long: `Read an image from a registry, an OCI layout directory, or a tar (OCI or docker save), write SBOMs and vulnerabilities
of every platform, and let the policy decide. Nothing is signed or published.`,
		Example: `  sealyard scan debian:12
  sealyard scan ./layout --format json
  sealyard scan image.tar --severity-cutoff critical`,
		Args: exactly("TARGET"),
	}, func(ctx context.Context, in values, args []string) error { return runScan(ctx, env, in, args[0]) })
}

func verifyCommand(env Env) *cobra.Command {
	return staged("verify", &cobra.Command{
		Use:   "verify TARGET",
		Short: "Check the signed evidence of an image and decide again",
		Long: `Verify what is attached to an image in a registry, a directory or a tar, and replay the decision over it.
Without --policy the recorded policies are replayed; with it the image is held to yours. Directories and tars need no network.
Name whom you trust: --key, or --repo and the like for what a workflow signed, which needs sealyard trust update once.
Exit codes: 0 allowed, 1 denied, 2 wrong input, 3 no decision.

With --layout the image must have been made as an in-toto layout says, which each --layout-key has signed.

Of a file of Sigstore bundles (one, JSON lines, or the answer of GitHub's API) about --subject nothing is decided: the answer is who
signed which statements about it, exit 0 when there is one, and of every --predicate-type if given.`,
		Example: `  sealyard verify ghcr.io/acme/app:1.2 --key cosign.pub
  sealyard verify ghcr.io/acme/app:1.2 --repo acme/app --workflow .github/workflows/image.yml --ref refs/heads/main
  sealyard verify ./sealyard-evidence --key cosign.pub --format json
  sealyard verify ghcr.io/acme/app:1.2 --key cosign.pub --layout app.layout --layout-key owner.pub
  sealyard verify app.tar.gz --bundle app.sigstore.json --key cosign.pub
  sealyard verify attestations.jsonl --subject app.tar.gz --trusted-root trusted_root.json --repo acme/app --predicate-type https://slsa.dev/provenance/v1`,
		Args: exactly("TARGET"),
	}, func(ctx context.Context, in values, args []string) error { return runVerify(ctx, env, in, args[0]) })
}

func inspectCommand(env Env) *cobra.Command {
	return staged("inspect", &cobra.Command{
		Use:   "inspect TARGET",
		Short: "Show what an image is and what is attached to it, verified or not",
		Long: `Show an image as a tree: source, build, image, platforms, and what is claimed of each. With a key, or a trusted root and an identity,
each claim is marked as verified or with the reason why not; without, none is. Nothing is decided: that is for verify.`,
		Example: `  sealyard inspect ghcr.io/acme/app:1.2
  sealyard inspect ./sealyard-evidence --key cosign.pub --format json`,
		Args: exactly("TARGET"),
	}, func(ctx context.Context, in values, args []string) error { return runInspect(ctx, env, in, args[0]) })
}

func fetchCommand(env Env) *cobra.Command {
	return staged("fetch", &cobra.Command{
		Use:     "fetch REFERENCE DIRECTORY",
		Short:   "Bring an image and everything attached to it to a directory",
		Example: `  sealyard fetch ghcr.io/acme/app:1.2 ./app`,
		Args:    exactly("REFERENCE", "DIRECTORY"),
	}, func(ctx context.Context, in values, args []string) error {
		return runFetch(ctx, env, in, args[0], args[1])
	})
}

func publishCommand(env Env) *cobra.Command {
	return staged("publish", &cobra.Command{
		Use:   "publish DIRECTORY",
		Short: "Publish the signed evidence of an earlier build, again or elsewhere",
		Long: `Verify a directory as verify does and, when it is allowed, publish the image with everything attached to it: by digest first, the tags last.
What a registry has already is not sent again, so this completes a publication that broke off. Nothing is signed, removed or replaced.`,
		Example: `  sealyard publish ./sealyard-evidence --key cosign.pub --tag ghcr.io/acme/app:1.2
  sealyard publish ./sealyard-evidence --key cosign.pub --tag registry.example.com/mirror/app:1.2 --expect-image ghcr.io/acme/app`,
		Args: exactly("DIRECTORY"),
	}, func(ctx context.Context, in values, args []string) error { return runPublish(ctx, env, in, args[0]) })
}

func actionCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use:     "action",
		Short:   "Run build with the inputs of a GitHub workflow step (INPUT_ variables)",
		Example: "  INPUT_TAGS=ghcr.io/acme/app:1.2 INPUT_PUSH=true sealyard action",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := fromRunner(env.Environ, "build")
			if err == nil {
				err = bounded(cmd.Context(), in, func(ctx context.Context) error { return runBuild(ctx, env, in, true) })
			}
			return asInputs(err)
		},
	}
}
