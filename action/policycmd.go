package action

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

func policyCommand(env Env) *cobra.Command {
	return group("policy", "Write, test, show, sign and publish policies",
		policyInitCommand(env), policyCheckCommand(env), policyFmtCommand(env), policyTestCommand(env), policyEvalCommand(env), policyExplainCommand(env),
		policyListCommand(env), policyShowCommand(env), policySignCommand(env), policyPushCommand(env), policyPullCommand(env))
}

func policyEvalCommand(env Env) *cobra.Command {
	var input, now string
	eval := &cobra.Command{
		Use: "eval", Short: "Ask policy bundles about a saved policy input",
		Long:    "Decide on a saved input, of a run's evidence directory or an input.json, and print the decision. Exit 0 when it is allowed, 1 when denied.",
		Example: "  sealyard policy eval --input sealyard-evidence\n  sealyard policy eval --policy ./acme --input input.json", Args: exactly(),
	}
	eval.Flags().StringVar(&input, "input", "", "the policy input: input.json, or the evidence of a run")
	eval.Flags().StringVar(&now, "now", "", nowHelp+"; the default is the time in the input")
	return staged("policy-eval", eval, func(ctx context.Context, in values, _ []string) error {
		s := newSession(env, in, "policy")
		if err := s.setNow(now); err != nil {
			return err
		}
		return s.evaluate(ctx, input, now != "")
	})
}

func (s *session) evaluate(ctx context.Context, name string, another bool) error {
	bundles, in, err := s.question(ctx, name)
	if err != nil {
		return err
	}
	if another {
		in.Time = s.now
	}
	let, err := s.exceptionsFrom(ctx, bundles)
	if err != nil {
		return err
	}
	d, err := policy.DecideWith(ctx, bundles, in, let)
	if err != nil {
		return err
	}
	doc, err := d.JSON()
	if err != nil {
		return err
	}
	if _, err := s.env.Stdout.Write(indented(doc)); err != nil {
		return err
	}
	if !d.Allowed {
		return errDenied
	}
	return nil
}

func policyListCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the built-in policies, which all have the baseline's rules",
		Long: `List what is built in: the baseline, and presets, which are its rules with settings that --policy-data cannot change. What a preset allows is
evidence for what its title says; nothing is compliant because of it.`,
		Example: "  sealyard policy list\n  sealyard build . --policy baseline --policy cis", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			all, err := policy.Presets()
			if err != nil {
				return err
			}
			p := &printer{w: env.Stdout}
			for _, preset := range all {
				p.line("", "%-15s %s", preset.Name, preset.Title)
				for _, key := range keys(preset.Settings) {
					value, err := json.Marshal(preset.Settings[key])
					if err != nil {
						return err
					}
					p.line("                  ", "%s: %s", key, value)
				}
			}
			return p.err
		},
	}
}

// shownPolicy is what policy show tells of a bundle.
type shownPolicy struct {
	Name     string          `json:"name"`
	Revision string          `json:"revision"`
	Digest   string          `json:"digest"`
	NotAfter string          `json:"notAfter"` // RFC 3339, or "" when it does not end
	Origin   policy.Origin   `json:"origin"`
	Settings json.RawMessage `json:"settings"`
	Rules    []policy.Rule   `json:"rules"`
}

func policyShowCommand(env Env) *cobra.Command {
	return staged("policy-show", &cobra.Command{
		Use: "show SOURCE", Short: "Show what a policy bundle is: who signed it, its settings, its rules",
		Long: `Load a bundle from wherever policy takes one, held to the same demands, and print it as JSON: name, revision, digest, when it ends, where it came
from and who signed it, its settings with their defaults, and each rule. "baseline" and the other built-in ones are what policy list shows.`,
		Example: "  sealyard policy show baseline\n  sealyard policy show ./acme\n  sealyard policy show oci://ghcr.io/acme/policy:1 --policy-key policy.pub",
		Args:    exactly("SOURCE"),
	}, func(ctx context.Context, in values, args []string) error {
		s := newSession(env, in, "policy")
		b, err := s.named(ctx, args[0])
		if err != nil {
			return err
		}
		out := shownPolicy{Name: b.Name(), Revision: b.Revision(), Digest: b.Digest(), Origin: b.Origin(), Rules: b.Rules()}
		if !b.NotAfter().IsZero() {
			out.NotAfter = b.NotAfter().Format(time.RFC3339)
		}
		if out.Settings, err = b.Settings(); err != nil {
			return err
		}
		return printJSON(env.Stdout, out)
	})
}

// named loads the one bundle that an argument names, as the input policy would, and as it lies there even where a change proposes it.
func (s *session) named(ctx context.Context, source string) (*policy.Bundle, error) {
	alone := *s
	alone.in, alone.proposed = maps.Clone(s.in), true
	alone.in["policy"] = []string{source}
	all, err := alone.policies(ctx, nil)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func policySignCommand(env Env) *cobra.Command {
	var out string
	sign := &cobra.Command{
		Use: "sign SOURCE", Short: "Sign a policy bundle in OPA's way, as one file",
		Long: `Compile a bundle and write it as tar.gz with a .signatures.json in it, made with --key, which opa verifies too. Tests are left out.
Nothing is overwritten.`,
		Example: "  sealyard policy sign ./acme --key policy.key\n  sealyard policy sign ./acme --key policy.key --output acme-7.tar.gz", Args: exactly("SOURCE"),
	}
	sign.Flags().StringVar(&out, "output", "", "file to write (default: the bundle's name, .tar.gz)")
	return staged("policy-sign", sign, func(ctx context.Context, in values, args []string) error {
		return newSession(env, in, "policy").signPolicy(ctx, args[0], out)
	})
}

func (s *session) signPolicy(ctx context.Context, source, out string) error {
	b, err := s.named(ctx, source)
	if err != nil {
		return err
	}
	key, err := s.keySigner(ctx)
	if err != nil {
		return err
	}
	signed, err := b.Signed(ctx, key.Token)
	if err != nil {
		return err
	}
	if out == "" {
		out = b.Name() + ".tar.gz"
	}
	if _, err := os.Lstat(out); !errors.Is(err, os.ErrNotExist) {
		return hint.Misuse(fmt.Errorf("%q is there already", out), "choose another name with --output")
	}
	if err := writeNew(out, signed, 0o644); err != nil {
		return err
	}
	p := &printer{w: s.env.Stdout}
	p.line("", "wrote %s: %s, revision %q, %s", out, b.Name(), b.Revision(), b.Digest())
	return p.err
}

func policyPushCommand(env Env) *cobra.Command {
	return staged("policy-push", &cobra.Command{
		Use: "push SOURCE REFERENCE", Short: "Publish a policy bundle in a registry, signed",
		Long: `Compile a bundle, push it as an OCI artifact that opa can pull as well, and sign it with a Sigstore bundle attached to it: with --key, or with the
job's identity. It is verified again in the registry; the tag moves last. Tests are left out. The same bundle gives the same digest.
Without a signer it is only good for those who pin its digest, which is printed.`,
		Example: "  sealyard policy push ./acme ghcr.io/acme/policy:7 --key policy.key\n  sealyard policy push ./acme ghcr.io/acme/policy:7 --sign keyless",
		Args:    exactly("SOURCE", "REFERENCE"),
	}, func(ctx context.Context, in values, args []string) error {
		return newSession(env, in, "policy").pushPolicy(ctx, args[0], args[1])
	})
}

func (s *session) pushPolicy(ctx context.Context, source, to string) error {
	b, err := s.named(ctx, source)
	if err != nil {
		return err
	}
	to = strings.TrimPrefix(to, inRegistry)
	ref, err := oci.ParseReference(to)
	if err != nil {
		return err
	}
	if ref.Digest != "" {
		return hint.Misuse(fmt.Errorf("%q names a digest, and that is for the content to say", to), "name a tag, or none")
	}
	signer, err := s.signer(ctx)
	if err != nil {
		return err
	}
	forget, err := s.login(to)
	if err != nil {
		return err
	}
	defer forget()
	remote, err := s.remote()
	if err != nil {
		return err
	}
	defer remote.Close()
	repo, err := remote.Repository(to)
	if err != nil {
		return err
	}
	img, err := repo.PushArtifact(ctx, oci.Artifact{
		Annotations: map[string]string{"org.opencontainers.image.title": b.Name(), "org.opencontainers.image.version": b.Revision()},
		Layers:      []oci.Layer{{MediaType: typeLayer, Content: b.Archive(), Annotations: map[string]string{layerTitle: b.Name() + ".tar.gz"}}},
	})
	if err != nil {
		return err
	}
	pinned := inRegistry + ref.Repository + "@" + img.Digest
	if err := s.signPushed(ctx, repo, signer, img.Digest, pinned); err != nil {
		return err
	}
	if err := remote.Tag(ctx, img, []string{ref.Repository + ":" + ref.Tag}); err != nil {
		return err
	}
	p := &printer{w: s.env.Stdout}
	p.line("", "pushed %s %s, revision %q, %s", pinned, b.Name(), b.Revision(), b.Digest())
	return p.err
}

// signPushed attaches a signature to a policy and loads it from there as those will who trust that signer (R96).
func (s *session) signPushed(ctx context.Context, repo *oci.Repository, signer attest.Signer, digest, pinned string) error {
	if signer == nil {
		fmt.Fprintln(s.env.Stderr, "nobody signs: this policy is only good for those who pin its digest")
		return nil
	}
	id, err := signer.Identity(ctx)
	if err != nil {
		return err
	}
	trust, err := s.trustIn(signer, id)
	if err != nil {
		return err
	}
	v := voucher{trust: trust}
	if _, err := v.attached(ctx, repo, digest); err == nil || !errors.Is(err, attest.ErrUntrusted) {
		return err // it is signed already, or nothing can be learned
	}
	st, err := attest.Signature(attest.Subject{Digest: digest})
	if err != nil {
		return err
	}
	signature, err := signer.Sign(ctx, st)
	if err != nil {
		return err
	}
	if _, err := repo.Attach(ctx, digest, bundleArtifact(st.PredicateType(), signature, s.now)); err != nil {
		return err
	}
	_, err = s.bundleInRegistry(ctx, pinned, v)
	return err
}

func policyPullCommand(env Env) *cobra.Command {
	return staged("policy-pull", &cobra.Command{
		Use: "pull SOURCE DIRECTORY", Short: "Fetch a policy bundle to read it",
		Long:    "Load a bundle from wherever policy takes one, held to the same demands, and write its files into a new directory.",
		Example: "  sealyard policy pull oci://ghcr.io/acme/policy:7 acme-7 --policy-key policy.pub\n  sealyard policy pull baseline baseline",
		Args:    exactly("SOURCE", "DIRECTORY"),
	}, func(ctx context.Context, in values, args []string) error {
		s := newSession(env, in, "policy")
		b, err := s.named(ctx, args[0])
		if err != nil {
			return err
		}
		if err := unpackPolicy(b, args[1]); err != nil {
			return err
		}
		p := &printer{w: env.Stdout}
		p.line("", "wrote %s: %s, revision %q, %s", args[1], b.Name(), b.Revision(), b.Digest())
		return p.err
	})
}

// unpackPolicy writes the files of a bundle, which loading it found harmless, into a directory that is not there yet.
func unpackPolicy(b *policy.Bundle, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return hint.Misuse(fmt.Errorf("make %q: %w", dir, errors.Unwrap(err)), "name a directory that does not exist, in one that does")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	zr, err := gzip.NewReader(bytes.NewReader(b.Archive()))
	if err != nil {
		return err
	}
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			return err
		}
		if strings.HasSuffix(h.Name, ".json") || h.Name == ".manifest" {
			content = indented(content)
		}
		if err := errors.Join(root.MkdirAll(path.Dir(h.Name), 0o755), root.WriteFile(h.Name, content, 0o644)); err != nil {
			return err
		}
	}
}
