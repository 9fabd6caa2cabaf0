package action

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
)

// pinned is the name of a file with the digest that it must have.
var pinned = regexp.MustCompile(`\A(.+)@(sha256:[0-9a-f]{64})\z`)

// vexFiles reads the VEX documents that the inputs name, each with who vouches for it: its digest was known before, or whom vex-key or
// vex-identity names has signed the Sigstore bundle beside it. What a stranger says is no exception (R82, T34).
func (s *session) vexFiles(ctx context.Context) ([]policy.VEXFile, error) {
	names := s.in.all("vex")
	v, err := s.voucher(ctx, "vex")
	if err != nil {
		return nil, err
	}
	if v.demands() && len(names) == 0 {
		return nil, hint.Misuse(errors.New("--vex names no document that somebody could have signed"), "name the documents that --vex-key or --vex-identity is for")
	}
	var out []policy.VEXFile
	for _, name := range names {
		f, err := s.vexFile(name, v)
		if err != nil {
			return nil, fmt.Errorf("VEX document %w", err)
		}
		out = append(out, f)
	}
	return out, nil
}

func (s *session) vexFile(name string, v voucher) (policy.VEXFile, error) {
	var want string
	if m := pinned.FindStringSubmatch(name); m != nil {
		name, want = m[1], m[2]
	}
	if want == "" && !v.demands() {
		return policy.VEXFile{}, hint.Misuse(fmt.Errorf("%q: nobody vouches for it", name), "name who must have signed it with --vex-key or --vex-identity, or pin what you have read: %s@sha256:HEX", name)
	}
	raw, err := s.readDeciding(name)
	if err != nil {
		return policy.VEXFile{}, err
	}
	f := policy.VEXFile{File: policy.File{Name: name, Data: raw}}
	switch got := sha256of(raw); {
	case want == "":
		f.Signer, err = s.vexSigner(name, got, v)
	case got != want:
		err = hint.Misuse(fmt.Errorf("%q: its digest is %s, and %s is expected", name, got, want), "read what has changed before you pin it again")
	}
	return f, err
}

// vexSigner finds out who signed a document.
func (s *session) vexSigner(name, digest string, v voucher) (policy.Signer, error) {
	const mend = "sign it with sealyard vex sign or cosign sign-blob, or use the document of who does"
	signature, err := s.readDeciding(name + besideSuffix)
	if err != nil {
		return policy.Signer{}, hint.Misuse(fmt.Errorf("%q: nothing says who signed it: %w", name, err), mend)
	}
	id, err := v.signer(signature, digest)
	if err != nil {
		return policy.Signer{}, hint.Misuse(fmt.Errorf("%q: it is not signed by whom --vex-key or --vex-identity names: %v", name, err), mend)
	}
	return policySigner(id), nil
}

func vexCommand(env Env) *cobra.Command {
	return group("vex", "Sign VEX documents, which say what vulnerabilities do not matter in what", vexSignCommand(env))
}

func vexSignCommand(env Env) *cobra.Command {
	return staged("vex-sign", &cobra.Command{
		Use: "sign FILE", Short: "Check a VEX document and sign it",
		Long: `Check a document as a run with it would, and write the signature into a Sigstore bundle beside it, FILE.sigstore.json: with --key, or with the
job's identity. cosign sign-blob makes one as well. Nothing is overwritten.`,
		Example: "  sealyard vex sign app.openvex.json --key vex.key\n  sealyard vex sign app.openvex.json --sign keyless", Args: exactly("FILE"),
	}, func(ctx context.Context, in values, args []string) error {
		return newSession(env, in, "vex").signVEX(ctx, args[0])
	})
}

func (s *session) signVEX(ctx context.Context, name string) error {
	raw, err := readFile(name)
	if err != nil {
		return err
	}
	e, err := policy.LoadExceptions(nil, []policy.VEXFile{{File: policy.File{Name: name, Data: raw}}})
	if err != nil {
		return err
	}
	out := name + besideSuffix
	if _, err := os.Lstat(out); !errors.Is(err, os.ErrNotExist) {
		return hint.Misuse(fmt.Errorf("%q is there already", out), "remove it to sign again")
	}
	signer, err := s.signer(ctx)
	if err != nil {
		return err
	}
	if signer == nil {
		return hint.Misuse(errors.New("nobody signs"), "give --key, or in a job with an identity --sign keyless")
	}
	id, err := signer.Identity(ctx)
	if err != nil {
		return err
	}
	trust, err := s.trustIn(signer, id)
	if err != nil {
		return err
	}
	st, err := attest.Signature(attest.Subject{Digest: sha256of(raw)})
	if err != nil {
		return err
	}
	signature, err := checked{signer, trust}.Sign(ctx, st)
	if err != nil {
		return err
	}
	if err := writeNew(out, signature, 0o644); err != nil {
		return err
	}
	p := &printer{w: s.env.Stdout}
	for _, d := range e.VEX() {
		p.line("", "wrote %s: %s of %s, %d statements, %s", out, d.ID, d.Author, len(d.Statements), d.Digest)
	}
	return p.err
}
