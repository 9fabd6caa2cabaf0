package action

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

// bundleFile says which file of bundles is to be verified, about which artifact; none when target is an image.
func (s *session) bundleFile(target string) (file, artifact string, err error) {
	bundle, subject := s.in.one("bundle"), s.in.one("subject")
	switch {
	case bundle != "" && subject != "":
		return "", "", hint.Misuse(errors.New("both --bundle and --subject: either names the other half"), "write FILE --subject ARTIFACT, or ARTIFACT --bundle FILE")
	case bundle != "":
		file, artifact = bundle, target
	case looksLikeJSON(target):
		file, artifact = target, subject
	case subject != "" || len(s.in.all("predicate-type")) > 0:
		if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
			return "", "", hint.Misuse(fmt.Errorf("no such file: %q; --subject and --predicate-type are for a file of bundles", target), "check the path, or of an image leave them out")
		}
		return "", "", hint.Misuse(fmt.Errorf("%q is no file of bundles, and --subject and --predicate-type are for those", target), "of an image every claim is verified; leave them out")
	default:
		return "", "", nil
	}
	if artifact == "" {
		return "", "", hint.Misuse(fmt.Errorf("%q is a file of bundles, and they are about some artifact", file), "name it with --subject sha256:DIGEST or --subject FILE")
	}
	return file, artifact, s.decidesNothing()
}

// decidesNothing refuses inputs that are for a decision, which a file of bundles gets none of.
func (s *session) decidesNothing() error {
	names := []string{"expect-image", "layout", "layout-key"}
	for _, in := range slices.Concat(gateInputs(), summaryInputs()) {
		if in.takes("verify") && s.in.one(in.name) != in.value {
			names = append(names, in.name)
		}
	}
	for _, name := range names {
		if len(s.in.all(name)) > 0 {
			return hint.Misuse(fmt.Errorf("--%s has no meaning for a file of bundles: nothing is decided about it", name), "leave it out, or verify the image")
		}
	}
	return nil
}

// looksLikeJSON reports whether a file begins as a JSON object, which no tar does that a tool writes.
func looksLikeJSON(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	return bytes.HasPrefix(bytes.TrimSpace(head[:n]), []byte("{"))
}

// verifyBundles verifies a file of bundles. There is no image and no decision: the answer is what is proven about the artifact.
func (s *session) verifyBundles(ctx context.Context, file, artifact string) error {
	trust, err := s.trust(ctx)
	if err != nil {
		return err
	}
	digests, err := artifactDigests(ctx, artifact)
	if err != nil {
		return err
	}
	raw, err := readUpTo(file, attest.MaxBundleFile)
	if err != nil {
		return err
	}
	all, err := attest.ReadBundles(raw)
	if err != nil {
		return hint.Misuse(fmt.Errorf("bundle file %q: %w", file, err), "give only the bundles of this artifact")
	}
	out := report.Bundles{SchemaVersion: report.SchemaVersion, Version: version().Version, File: file, Subject: digests[0]}
	for _, b := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := prove(trust, b, digests)
		switch {
		case err == nil:
			out.Proven = append(out.Proven, p)
		case errors.Is(err, attest.ErrUntrusted):
			out.Ignored = append(out.Ignored, report.IgnoredBundle{Number: b.Number, Reason: err.Error()})
		default:
			return err
		}
	}
	out.Reason = s.lacking(out.Proven)
	out.Verified = out.Reason == ""
	render := out.Text
	if s.in.one("format") == "json" {
		render = out.JSON
	}
	if err := render(s.env.Stdout); err != nil {
		return err
	}
	if !out.Verified {
		return errDenied
	}
	return nil
}

// lacking says what would have to be proven and is not; "" when nothing is lacking.
func (s *session) lacking(proven []report.ProvenBundle) string {
	if len(proven) == 0 {
		return "nothing in the file is signed by whom you trust and about this artifact"
	}
	for _, want := range s.in.all("predicate-type") {
		if !slices.ContainsFunc(proven, func(p report.ProvenBundle) bool { return p.PredicateType == want }) {
			return fmt.Sprintf("no statement of type %q is verified", want)
		}
	}
	return ""
}

// prove verifies one bundle against an artifact, which goes by several digests. Errors are those of attest.
func prove(trust *attest.Trust, b attest.FileBundle, digests []string) (report.ProvenBundle, error) {
	if b.Other != "" {
		return report.ProvenBundle{}, fmt.Errorf("%w: %s", attest.ErrUntrusted, b.Other)
	}
	var first error
	for _, digest := range digests {
		p, err := proveOne(trust, b, digest, digests)
		if err == nil || !errors.Is(err, attest.ErrSubject) {
			return p, err
		}
		if first == nil {
			first = err
		}
	}
	return report.ProvenBundle{}, first
}

// proveOne verifies a bundle by one of the digests that an artifact goes by.
func proveOne(trust *attest.Trust, b attest.FileBundle, digest string, all []string) (report.ProvenBundle, error) {
	if b.Message {
		m, err := trust.VerifyMessage(b.JSON, digest)
		if err != nil {
			return report.ProvenBundle{}, err
		}
		return report.ProvenBundle{Number: b.Number, Subjects: []string{m.Digest()}, Signer: signerOf(m.Signer()), Times: stamps(m.Times())}, nil
	}
	v, err := trust.Verify(b.JSON, digest)
	if err != nil {
		return report.ProvenBundle{}, err
	}
	if twin := v.Twin(digest); twin != "" && len(all) > 1 && !slices.Contains(all, twin) {
		return report.ProvenBundle{}, fmt.Errorf("%w: its subject has %s too, and the file has not", attest.ErrUntrusted, twin)
	}
	return report.ProvenBundle{
		Number: b.Number, PredicateType: v.PredicateType(), Statement: v.Digest(), Subjects: v.Subjects(), Signer: signerOf(v.Signer()), Times: stamps(v.Times()),
	}, nil
}

func signerOf(id attest.Identity) report.Signer {
	return report.Signer{Kind: id.Kind, ID: id.ID, Issuer: id.Issuer}
}

func stamps(times []time.Time) []string {
	out := []string{}
	for _, t := range times {
		if text := t.UTC().Format(time.RFC3339); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// artifactDigests returns the digests that an artifact goes by, sha256 first: of a digest itself, of a file both.
func artifactDigests(ctx context.Context, artifact string) ([]string, error) {
	if strings.HasPrefix(artifact, "sha256:") || strings.HasPrefix(artifact, "sha512:") {
		return []string{artifact}, nil
	}
	info, err := os.Stat(artifact)
	if err != nil || !info.Mode().IsRegular() {
		return nil, hint.Misuse(fmt.Errorf("%q is neither a file nor a digest", artifact), "name the file that was signed, or its digest: sha256:HEX; of an image, the digest of its manifest or index")
	}
	f, err := os.Open(artifact)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", artifact, err)
	}
	defer f.Close()
	short, long := sha256.New(), sha512.New()
	if _, err := io.Copy(io.MultiWriter(short, long), interruptible{ctx, f}); err != nil {
		return nil, fmt.Errorf("read %q: %w", artifact, err)
	}
	return []string{fmt.Sprintf("sha256:%x", short.Sum(nil)), fmt.Sprintf("sha512:%x", long.Sum(nil))}, nil
}

// interruptible ends reading when ctx ends.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}
