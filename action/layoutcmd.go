package action

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

func layoutCommand(env Env) *cobra.Command {
	var out string
	var policies []string
	var valid time.Duration
	first := &cobra.Command{
		Use: "init [TARGET]", Short: "Write an in-toto layout for images like this one",
		Long: `Write a layout of sealyard's own steps, fetch, build, scan and gate, for the platforms of an image or those that --platform names:
what each step must have used and made, for every platform. Whoever signs the images may take the steps: --key, or
--certificate-identity for keyless. Read it, change it, and sign it with layout sign. Nothing is overwritten.`,
		Example: `  sealyard layout init ghcr.io/acme/app:1.2 --key cosign.pub
  sealyard layout init --platform linux/amd64,linux/arm64 --key cosign.pub --output app.layout
  sealyard layout init --platform linux/amd64 --certificate-identity https://github.com/acme/app/.github/workflows/build.yml@refs/heads/main`,
		Args: exactly("[TARGET]"),
	}
	first.Flags().StringVar(&out, "output", "layout.json", "file to write")
	first.Flags().StringArrayVar(&policies, "require-policy", []string{"baseline"}, "name of a policy bundle that must have been asked; repeatable")
	first.Flags().DurationVar(&valid, "valid", 365*24*time.Hour, "how long the layout is valid from now on")
	sign := &cobra.Command{
		Use: "sign FILE", Short: "Sign a layout as one of its owners",
		Long:    "Add the signature of --key to a layout, in place. Whatever is changed afterwards must be signed again by every owner.",
		Example: "  sealyard layout sign layout.json --key owner.key", Args: exactly("FILE"),
	}
	return group("layout", "Make in-toto layouts, which say how an image must have been made",
		staged("layout-init", first, func(ctx context.Context, in values, args []string) error {
			s := newSession(env, in, "layout")
			p := attest.LayoutPlan{Policies: policies, Expires: s.now.Add(valid), Certificates: in.all("certificate-identity")}
			return s.writeLayout(ctx, p, args, out)
		}),
		staged("layout-sign", sign, func(ctx context.Context, in values, args []string) error {
			return newSession(env, in, "layout").signLayout(ctx, args[0])
		}))
}

func (s *session) writeLayout(ctx context.Context, p attest.LayoutPlan, target []string, out string) (err error) {
	if p.Platforms, err = s.layoutPlatforms(ctx, target); err != nil {
		return err
	}
	if !p.Expires.After(s.now) {
		return hint.Misuse(errors.New("the layout would have expired already"), "give --valid a length of time such as 2160h")
	}
	name := s.in.one("key")
	if name == "" && len(p.Certificates) == 0 {
		return hint.Misuse(errors.New("the layout names nobody who may take its steps"), "say who signs the images: --key with a public key, or --certificate-identity")
	}
	if name != "" {
		if p.Functionary, err = files([]string{name}, readFile); err != nil {
			return err
		}
	}
	doc, err := attest.NewLayout(p)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(out); !errors.Is(err, os.ErrNotExist) {
		return hint.Misuse(fmt.Errorf("%q is there already", out), "choose another name with --output")
	}
	if err := writeNew(out, doc, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(s.env.Stdout, "wrote %s for %s, valid until %s\n", out, report.Plural(len(p.Platforms), "platform"), p.Expires.Format(time.DateOnly))
	return nil
}

// layoutPlatforms are those given, or those of an image. Nothing of the image is believed: whoever signs the layout reads them there.
func (s *session) layoutPlatforms(ctx context.Context, target []string) ([]string, error) {
	given := s.in.all("platforms")
	if (len(target) == 0) == (len(given) == 0) {
		return nil, hint.Misuse(errors.New("a layout is for the platforms of an image, or for those given"), "name the image, or its platforms with --platform")
	}
	if len(given) > 0 {
		return given, nil
	}
	store, done, err := s.open(ctx, target[0])
	if err != nil {
		return nil, err
	}
	defer done()
	img, err := store.Resolve(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, p := range img.Platforms {
		given = append(given, p.Platform)
	}
	return given, nil
}

func (s *session) signLayout(ctx context.Context, name string) error {
	raw, err := readFile(name)
	if err != nil {
		return err
	}
	key, err := s.keySigner(ctx)
	if err != nil {
		return err
	}
	signed, err := attest.SignLayout(ctx, attest.File{Name: name, Data: raw}, key)
	if err != nil {
		return err
	}
	if err := replace(name, signed); err != nil {
		return err
	}
	fmt.Fprintf(s.env.Stdout, "signed %s\n", name)
	return nil
}
