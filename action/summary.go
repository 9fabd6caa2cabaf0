package action

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

// docs is where the pages are that URIs of ours point to.
const docs = "https://github.com/sealyard/sealyard/blob/main/docs/"

// summarizer writes down what came of a verification, for those who rely on the verifier instead of verifying themselves.
type summarizer struct {
	vsa, svr string // files; "" is none
	attach   bool
	verifier string // URI
	resource string // URI
	signer   attest.Signer
	mixed    bool // may be attached where the other kind of signer has been
}

// attacher is where a summary can be attached: a directory or a repository.
type attacher interface {
	Attach(ctx context.Context, subject string, a oci.Artifact) (oci.Artifact, error)
}

// summarizer prepares what was asked for, or is nil. Old files are removed at once: a run that ends without an answer must not
// leave the answer of another.
func (s *session) summarizer(ctx context.Context, target string, store oci.Store) (*summarizer, error) {
	z := &summarizer{vsa: s.in.one("vsa"), svr: s.in.one("svr"), attach: s.in.on("attach-vsa"), verifier: s.in.one("verifier-id"), mixed: s.in.on("mixed-signers")}
	if z.vsa == "" && z.svr == "" && !z.attach {
		for _, name := range []string{"verifier-id", "resource-uri", "summary-key"} {
			if s.in.one(name) != "" {
				return nil, hint.Misuse(fmt.Errorf("--%s is for a summary, and none is asked for", name), "ask for one: --vsa FILE, --svr FILE or --attach-vsa")
			}
		}
		return nil, nil
	}
	if s.in.one("db") != "" {
		return nil, hint.Misuse(errors.New("a summary says what the signed evidence gives, and --db asks what it would give today"), "ask for one of the two")
	}
	for _, file := range []string{z.vsa, z.svr} {
		if err := removeSummary(file); err != nil {
			return nil, err
		}
	}
	var err error
	if z.resource, err = s.resource(store); err != nil {
		return nil, err
	}
	if z.signer, err = s.summarySigner(ctx); err != nil {
		return nil, err
	}
	if z.verifier == "" {
		if z.verifier, err = verifierOf(ctx, z.signer); err != nil {
			return nil, err
		}
	}
	if !z.attach {
		return z, nil
	}
	if info, err := os.Stat(target); err == nil && !info.IsDir() {
		return nil, hint.Misuse(fmt.Errorf("--attach-vsa: %q is a tar, which is only read", target), "attach it in a directory or in the registry")
	}
	if z.signer == nil {
		return nil, hint.Misuse(errors.New("--attach-vsa: nobody signs the summary"), "give the verifier's own key with --summary-key, or --signing-config where keyless signing is possible")
	}
	return z, nil
}

// removeSummary removes the summary of an earlier run, and nothing that cannot be one.
func removeSummary(file string) error {
	if _, err := os.Lstat(file); file == "" || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if !looksLikeJSON(file) {
		return hint.Misuse(fmt.Errorf("a summary would replace %q, which is none", file), "name another file")
	}
	if err := os.Remove(file); err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	return nil
}

// resource is the URI that the image is known by: the one given, or a package URL of its repository.
func (s *session) resource(store oci.Store) (string, error) {
	if uri := s.in.one("resource-uri"); uri != "" {
		return uri, nil
	}
	name := s.in.one("expect-image")
	if repo, ok := store.(*oci.Repository); ok && name == "" {
		name = repo.Name()
	}
	if name == "" {
		return "", hint.Misuse(errors.New("--resource-uri is missing: a summary names the image by one, and in a directory or a tar it has no name"), "give it, such as pkg:oci/app?repository_url=ghcr.io/acme/app, or the name with --expect-image")
	}
	ref, err := oci.ParseReference(name)
	if err != nil {
		return "", fmt.Errorf("--expect-image: %w", err)
	}
	return resourceURI(ref.Repository), nil
}

// resourceURI is the package URL of an image without its digest, which is the subject already.
func resourceURI(repository string) string {
	return "pkg:oci/" + path.Base(repository) + "?repository_url=" + repository
}

// summarySigner is who signs summaries: the inputs that name the signer of a build, with summary-key in place of key, which is the
// key to verify with. Nil is nobody.
func (s *session) summarySigner(ctx context.Context) (attest.Signer, error) {
	signing := *s
	signing.in = maps.Clone(s.in)
	signing.in["key"] = s.in.all("summary-key")
	switch {
	case s.in.one("summary-key") != "":
		signing.in["sign"] = []string{"key"}
	case s.in.one("signing-config") != "":
		signing.in["sign"] = []string{"keyless"}
	default:
		return nil, nil
	}
	signer, err := signing.signer(ctx)
	if err != nil {
		return nil, err
	}
	if s.in.one("key") != "" && s.in.one("summary-key") == "" {
		return signer, nil // no trusted root is given where the image is verified by a key: whoever relies on the summary has one
	}
	id, err := signer.Identity(ctx)
	if err != nil {
		return nil, err
	}
	trust, err := signing.trustIn(signer, id)
	if err != nil {
		return nil, err
	}
	return checked{signer, trust}, nil
}

// verifierOf is the verifier that a signer stands for by itself: a workflow.
func verifierOf(ctx context.Context, signer attest.Signer) (string, error) {
	if signer != nil {
		id, err := signer.Identity(ctx)
		if err != nil {
			return "", err
		}
		if id.Workflow.Signer != "" {
			return id.Workflow.Signer, nil
		}
	}
	return "", hint.Misuse(errors.New("--verifier-id is missing: a summary says who verified, and no workflow signs it"), "give a URI of your own that stands for whoever verifies here, such as https://acme.example/verifier")
}

// write makes the summaries of what was found, and attaches that of an allowed image if it is to be.
func (z *summarizer) write(ctx context.Context, u unsealed, store oci.Store, now time.Time) error {
	f := z.facts(u, now)
	if z.svr != "" {
		st, err := attest.SimpleResult(f)
		if err != nil {
			return err
		}
		if _, err := z.file(ctx, z.svr, st); err != nil {
			return err
		}
	}
	if z.vsa == "" && !z.attach {
		return nil
	}
	st, err := attest.VerificationSummary(f)
	if err != nil {
		return err
	}
	content, err := z.file(ctx, z.vsa, st)
	if err != nil || !z.attach || !f.Passed {
		return err
	}
	to, ok := store.(attacher)
	if !ok {
		return fmt.Errorf("attach-vsa: nothing can be attached in a %T", store)
	}
	if !z.mixed {
		if err := unmixed(ctx, u.image, store, alone(content)); err != nil {
			return fmt.Errorf("attach-vsa: %w", err)
		}
	}
	for _, subject := range wholeImage(u.image) {
		if _, err := to.Attach(ctx, subject.Digest, bundleArtifact(st.PredicateType(), content, now)); err != nil {
			return fmt.Errorf("attach-vsa: %w", err)
		}
	}
	return nil
}

// facts are what there is to say. A broken seal is a failure like any other.
func (z *summarizer) facts(u unsealed, now time.Time) attest.Summary {
	f := attest.Summary{
		Subjects: wholeImage(u.image), Verifier: z.verifier, Versions: map[string]string{"sealyard": version().Version}, Time: now,
		Resource: z.resource, Passed: u.decision.Allowed, Levels: u.decision.Levels,
	}
	if u.record.self.Digest() != "" {
		f.Inputs = append(f.Inputs, attest.Reference{Name: u.record.self.PredicateType(), Digest: u.record.self.Digest()})
	}
	for _, v := range u.judged {
		f.Inputs = append(f.Inputs, attest.Reference{Name: v.PredicateType(), Digest: v.Digest()})
	}
	for _, b := range u.decision.Bundles {
		f.Policies = append(f.Policies, attest.Policy{URI: policyURI(b), Digest: b.Digest, Notes: policyNotes(b)})
		f.Versions["policy-engine"] = b.Engine
	}
	if u.decision.Exceptions != "" {
		f.Policies = append(f.Policies, attest.Policy{URI: docs + "exceptions.md", Digest: u.decision.Exceptions, Notes: exceptionsNotes(u.decision)})
	}
	f.Policy = together(f.Policies)
	for _, r := range u.decision.Rules {
		if r.Outcome == policy.OutcomePass {
			f.Passing = append(f.Passing, "SEALYARD_"+r.Bundle+"."+r.Rule)
		}
	}
	return f
}

// policyURI names a policy bundle. Of one that is not ours only name and digest are known.
func policyURI(b policy.BundleInfo) string {
	if b.Name == baselineWord {
		return docs + "rules.md"
	}
	return "pkg:generic/" + url.PathEscape(b.Name) + "?checksum=" + b.Digest
}

// policyNotes say which bundle it was and who vouched for it, where that is known (R78).
func policyNotes(b policy.BundleInfo) map[string]string {
	notes := map[string]string{"name": b.Name}
	for key, v := range map[string]string{
		"revision": b.Revision, "source": b.Origin.Source, "sourceDigest": b.Origin.Digest, "signer": b.Origin.Signer.ID, "issuer": b.Origin.Signer.Issuer,
	} {
		if v != "" {
			notes[key] = v
		}
	}
	return notes
}

// together is one policy that stands for all that were asked, for several have to allow: its digest is that of their digests.
func together(all []attest.Policy) attest.Policy {
	switch len(all) {
	case 0:
		return attest.Policy{URI: docs + "summaries.md#no-policy"}
	case 1:
		return all[0]
	}
	var digests []string
	for _, p := range all {
		digests = append(digests, p.Digest+"\n")
	}
	return attest.Policy{URI: docs + "summaries.md#several-policies", Digest: sha256of([]byte(strings.Join(digests, "")))}
}

// file writes a summary: the bundle, when somebody signs it, else the bare statement. Without a name it only signs.
func (z *summarizer) file(ctx context.Context, name string, st attest.Statement) ([]byte, error) {
	content := slices.Clone(st.JSON())
	if z.signer != nil {
		b, err := z.signer.Sign(ctx, st)
		if err != nil {
			return nil, err
		}
		content = b
	}
	if name == "" {
		return content, nil
	}
	if err := os.WriteFile(name, append(slices.Clip(content), '\n'), 0o644); err != nil {
		return nil, fmt.Errorf("summary: %w", err)
	}
	return content, nil
}

// bundleArtifact is a signed statement as it is attached to an image (R53).
func bundleArtifact(predicateType string, bundle []byte, created time.Time) oci.Artifact {
	return oci.Artifact{Type: typeBundle, Annotations: map[string]string{
		"dev.sigstore.bundle.content":       "dsse-envelope",
		"dev.sigstore.bundle.predicateType": predicateType,
		"org.opencontainers.image.created":  created.UTC().Format(time.RFC3339),
	}, Layers: []oci.Layer{{MediaType: typeBundle, Content: bundle}}}
}

// summaryReport is what verify-vsa says. It is the JSON document as well.
type summaryReport struct {
	SchemaVersion string             `json:"schemaVersion"`
	Digest        string             `json:"digest"`
	Passed        bool               `json:"passed"`
	Summary       *attest.Summarized `json:"summary"` // null unless it passed
	Reasons       []string           `json:"reasons"` // why not, of each summary that there is
}

// latest prefers the newer of two summaries that hold.
func latest(a, b *attest.Summarized) *attest.Summarized {
	if a == nil || b.Time.After(a.Time) {
		return b
	}
	return a
}

// line says in a line what a summary that holds says.
func line(s attest.Summarized) string {
	when := "at an unknown time"
	if !s.Time.IsZero() {
		when = s.Time.UTC().Format(time.RFC3339)
	}
	return strings.TrimSpace(fmt.Sprintf("%s, verified %s by %s under %s %s", strings.Join(s.Levels, " "), when, s.Verifier, s.Policy, s.Digest))
}
