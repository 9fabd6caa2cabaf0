package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
)

func reportCommand(env Env) *cobra.Command {
	var controls bool
	var format string
	cmd := &cobra.Command{
		Use: "report TARGET", Short: "Report what the decision about an image is evidence of, control by control",
		Long: `With --controls, say for each control of CIS, SLSA, SSDF and the other frameworks that rules name what was found: evidence for it, against it, let pass by a
waiver, undecidable, not asked or not applicable, with the rules and findings behind it. It is evidence, and makes nothing compliant.

Name whom you trust, as for verify, and the signed evidence of an image in a registry, a directory or a tar is verified first. Without that the saved decision in
the evidence directory of a run is taken as it lies there, denied or not, and the report says so. With --policy it is decided anew.
Exit codes: 0 allowed, 1 denied, 2 wrong input, 3 no decision.`,
		Example: `  sealyard report sealyard-evidence --controls
  sealyard report ghcr.io/acme/app:1.2 --controls --key cosign.pub --format json
  sealyard report sealyard-evidence --controls --policy cis --format markdown`,
		Args: exactly("TARGET"),
	}
	cmd.Flags().BoolVar(&controls, "controls", false, "report by controls")
	cmd.Flags().StringVar(&format, "format", "text", "report on standard output: text, json or markdown")
	return staged("report", cmd, func(ctx context.Context, in values, args []string) error {
		if !controls {
			return hint.Misuse(errors.New("report of what?"), "add --controls")
		}
		if !slices.Contains([]string{"text", "json", "markdown"}, format) {
			return hint.Misuse(fmt.Errorf("--format: %q is not text, json or markdown", format), "use --format text")
		}
		s := newSession(env, in, "report")
		s.log = io.Discard
		out, err := s.controls(ctx, args[0])
		if err != nil {
			return err
		}
		if err := s.printControls(out, format); err != nil {
			return err
		}
		if !out.Decision.Allowed {
			return errDenied
		}
		return nil
	})
}

func (s *session) printControls(c report.Controls, format string) error {
	switch format {
	case "json":
		return c.JSON(s.env.Stdout)
	case "markdown":
		return c.Markdown(s.env.Stdout)
	}
	return c.Text(s.env.Stdout, s.textOptions())
}

// controls turns a decision around: that of verified evidence when inputs say whom to believe, else the one that was saved.
func (s *session) controls(ctx context.Context, target string) (report.Controls, error) {
	if s.namesTrust() {
		return s.verifiedControls(ctx, target)
	}
	if s.ownPolicy() {
		return s.askedControls(ctx, target)
	}
	if len(s.in.all("waivers")) > 0 {
		return report.Controls{}, hint.Misuse(errors.New("waivers without policy: the saved decision has its own"), "name the policy that they are exceptions from")
	}
	return savedControls(ctx, target)
}

func (s *session) verifiedControls(ctx context.Context, target string) (report.Controls, error) {
	a, _, err := s.standards(ctx)
	if err != nil {
		return report.Controls{}, err
	}
	store, done, err := s.open(ctx, target)
	if err != nil {
		return report.Controls{}, err
	}
	defer done()
	a.store = store
	u, err := a.examine(ctx, s.in.one("expect-image"))
	if err != nil {
		return report.Controls{}, err
	}
	if u.record.time.IsZero() || sealBroken(u.decision) {
		return report.Controls{}, unsound(u.decision)
	}
	return report.Controls{Digest: u.image.Digest, Basis: "verified evidence", Decision: u.decision, Controls: policy.Controls(u.decision, u.policies)}, nil
}

// unsound says that evidence does not verify, so that there is nothing to report of it.
func unsound(d policy.Decision) error {
	return hint.Wrap(fmt.Errorf("%w: %s", attest.ErrUntrusted, messages(d)), "sealyard verify says more; without --key and the like the report is of what was saved")
}

// askedControls decides anew on a saved input.
func (s *session) askedControls(ctx context.Context, target string) (report.Controls, error) {
	bundles, in, err := s.question(ctx, target)
	if err != nil {
		return report.Controls{}, err
	}
	let, err := s.exceptionsFrom(ctx, bundles)
	if err != nil {
		return report.Controls{}, err
	}
	d, err := policy.DecideWith(ctx, bundles, in, let)
	if err != nil {
		return report.Controls{}, err
	}
	return report.Controls{Digest: in.Image.Digest, Basis: "the saved input, not verified, asked anew", Decision: d, Controls: policy.Controls(d, bundles)}, nil
}

// savedControls reads the decision in the evidence of a run, and the policies beside it that made it.
func savedControls(ctx context.Context, target string) (report.Controls, error) {
	var none report.Controls
	dir := filepath.Join(target, evidenceDir)
	if _, err := os.Stat(filepath.Join(dir, decisionFile)); err != nil {
		return none, hint.Misuse(fmt.Errorf("%q is not the evidence directory of a run, and nobody is named to trust", target), "name whom you trust, such as --key cosign.pub or --repo OWNER/NAME")
	}
	in, err := readInput(target)
	if err != nil {
		return none, err
	}
	raw, err := readUpTo(filepath.Join(dir, decisionFile), policy.MaxInputSize)
	if err != nil {
		return none, err
	}
	var d policy.Decision
	if err := json.Unmarshal(raw, &d); err != nil {
		return none, mixedUp(fmt.Errorf("%q: %w", filepath.Join(dir, decisionFile), err))
	}
	if digest, err := in.Digest(); err != nil || digest != d.InputDigest {
		return none, mixedUp(fmt.Errorf("%q: the decision was made from another input than the one beside it", dir))
	}
	var bundles []*policy.Bundle
	for _, info := range d.Bundles {
		if policy.NameOf(info.Name) != info.Name {
			return none, mixedUp(fmt.Errorf("%q: %q is no name of a policy", dir, info.Name))
		}
		b, err := policy.Load(ctx, filepath.Join(dir, "policy", info.Name+".tar.gz"), policy.LoadOptions{Name: info.Name})
		if err != nil {
			return none, err
		}
		if b.Digest() != info.Digest {
			return none, mixedUp(fmt.Errorf("%q: the policy %s beside the decision is not the one that made it", dir, info.Name))
		}
		bundles = append(bundles, b)
	}
	return report.Controls{Digest: in.Image.Digest, Basis: "the saved decision, not verified", Decision: d, Controls: policy.Controls(d, bundles)}, nil
}

// mixedUp says of files that should be of one run that they are not.
func mixedUp(err error) error {
	return hint.Misuse(err, "take the evidence from its run again, or name whom you trust, such as --key cosign.pub")
}
