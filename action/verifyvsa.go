package action

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

func verifyVSACommand(env Env) *cobra.Command {
	return staged("verify-vsa", &cobra.Command{
		Use:   "verify-vsa TARGET",
		Short: "Rely on a verifier's summary of an image instead of its evidence",
		Long: `Check a SLSA verification summary of an image in a registry, a directory or a tar: who signed it, for which verifier, about which
digest and resource, with which result and levels. No policy is asked and no other evidence is read. The summary is one that is attached to
the image, or with --bundle one in a file of bundles; with a file, TARGET may be the digest alone.`,
		Example: `  sealyard verify-vsa ghcr.io/acme/app:1.2 --key verifier.pub --verifier-id https://acme.example/verifier
  sealyard verify-vsa sha256:… --bundle vsa.json --key verifier.pub --verifier-id https://acme.example/verifier --resource-uri pkg:oci/app?repository_url=ghcr.io/acme/app
  sealyard verify-vsa ./app --verified-level SLSA_BUILD_LEVEL_2 --repo acme/verifier --trusted-root trusted_root.json --verifier-id https://github.com/acme/verifier/.github/workflows/verify.yml@refs/heads/main --resource-uri pkg:oci/app?repository_url=ghcr.io/acme/app`,
		Args: exactly("TARGET"),
	}, func(ctx context.Context, in values, args []string) error { return runVerifyVSA(ctx, env, in, args[0]) })
}

// runVerifyVSA relies on a verification summary.
func runVerifyVSA(ctx context.Context, env Env, in values, target string) error {
	s := newSession(env, in, "verify-vsa")
	trust, err := s.trust(ctx)
	if err != nil {
		return err
	}
	if in.one("verifier-id") == "" {
		return hint.Misuse(errors.New("--verifier-id is missing: a summary is worth what its verifier is"), "give the URI that the verifier you rely on has for itself, such as https://acme.example/verifier")
	}
	want := attest.ExpectedSummary{Verifier: in.one("verifier-id"), Resource: in.one("resource-uri"), Levels: in.all("verified-level")}
	if len(want.Levels) == 0 {
		want.Levels = []string{"SLSA_BUILD_LEVEL_1"}
	}
	r := summaryReport{SchemaVersion: report.SchemaVersion, Digest: target, Reasons: []string{}}
	summaries, err := s.summaries(ctx, target, &want, &r.Digest)
	if err != nil {
		return err
	}
	if err := want.Validate(); err != nil {
		return err
	}
	if err := r.read(trust, want, summaries); err != nil {
		return err
	}
	return s.reportSummary(r)
}

// read takes from the summaries that hold what they say. One that says FAILED is outlived only by a newer one that says PASSED.
func (r *summaryReport) read(trust *attest.Trust, want attest.ExpectedSummary, summaries [][]byte) error {
	var failed *attest.Summarized
	for _, raw := range summaries {
		var found attest.Summarized
		v, err := trust.Verify(raw, r.Digest)
		if err == nil {
			found, err = want.Check(v)
		}
		switch {
		case err == nil:
			r.Summary = latest(r.Summary, &found)
			continue
		case !errors.Is(err, attest.ErrUntrusted):
			return err
		case found.Failed:
			failed = latest(failed, &found)
		}
		r.Reasons = append(r.Reasons, err.Error())
	}
	if failed != nil && r.Summary != nil && !r.Summary.Time.After(failed.Time) {
		r.Summary = nil
	}
	r.Passed = r.Summary != nil
	return nil
}

// summaries finds the bundles that may be summaries, and the digest and resource they must be about.
func (s *session) summaries(ctx context.Context, target string, want *attest.ExpectedSummary, digest *string) ([][]byte, error) {
	file := s.in.one("bundle")
	if file != "" && strings.HasPrefix(target, "sha256:") {
		return summariesIn(file)
	}
	store, done, err := s.open(ctx, target)
	if err != nil {
		return nil, err
	}
	defer done()
	if want.Resource == "" {
		if want.Resource, err = s.resource(store); err != nil {
			return nil, err
		}
	}
	img, err := store.Resolve(ctx, "")
	if err != nil {
		return nil, err
	}
	*digest = img.Digest
	if file != "" {
		return summariesIn(file)
	}
	var out [][]byte
	attached, err := store.Attached(ctx, img.Digest, typeBundle)
	if err != nil {
		return nil, err
	}
	for _, a := range attached {
		kind := a.Annotations["dev.sigstore.bundle.predicateType"] // nobody vouches for it: it only saves work
		if len(a.Layers) == 1 && (kind == attest.PredicateVSA || kind == "") {
			out = append(out, a.Layers[0].Content)
		}
	}
	return out, nil
}

// summariesIn are the bundles of a file. A document in it that is none will not verify as one.
func summariesIn(file string) ([][]byte, error) {
	raw, err := readUpTo(file, attest.MaxBundleFile)
	if err != nil {
		return nil, err
	}
	all, err := attest.ReadBundles(raw)
	if err != nil {
		return nil, hint.Misuse(fmt.Errorf("bundle file %q: %w", file, err), "give only the bundles of this image")
	}
	var out [][]byte
	for _, b := range all {
		out = append(out, b.JSON)
	}
	return out, nil
}

// reportSummary tells what came of it, and makes a summary that does not hold the error that becomes its exit code.
func (s *session) reportSummary(r summaryReport) error {
	if s.in.one("format") == "json" {
		if err := printJSON(s.env.Stdout, r); err != nil {
			return err
		}
	} else if err := r.text(s); err != nil {
		return err
	}
	if !r.Passed {
		return errDenied
	}
	return nil
}

func (r summaryReport) text(s *session) error {
	p := &printer{w: s.env.Stdout}
	if r.Passed {
		p.line("", "PASSED  %s", r.Digest)
		p.line("  ", "%s", line(*r.Summary))
		return p.err
	}
	p.line("", "DENIED  %s", r.Digest)
	if len(r.Reasons) == 0 {
		p.line("  ", "no verification summary is attached to it")
	}
	for _, why := range r.Reasons[:min(len(r.Reasons), maxIgnored)] {
		p.line("  ", "%s", why)
	}
	return p.err
}
