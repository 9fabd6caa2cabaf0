package attest

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sealyard/sealyard/internal/hint"
)

// ExpectedIdentity says who must have signed, for certificates. Everything that is set must hold. Values are compared
// whole; what a certificate does not say is never what was expected.
//
// Who signs is named by the subject, exactly or by a pattern, or for GitHub workflows by Repository or SignerWorkflow.
// A Repository without any of the others is held to its own workflows: with Workflow, that one must itself have signed.
// A pattern is a Go regular expression that must match the whole value (R25).
type ExpectedIdentity struct {
	SAN           string // the certificate's subject alternative name
	SANPattern    string
	Issuer        string // the OIDC issuer; GitHub's, when Repository or SignerWorkflow is set and neither this nor the pattern
	IssuerPattern string

	Repository     string // OWNER/NAME that the run belongs to
	Workflow       string // path in Repository of the workflow that started the run: .github/workflows/FILE
	Ref            string // full git ref of Repository that was built: refs/heads/main
	SignerWorkflow string // OWNER/NAME/.github/workflows/FILE that signed, at any ref, or with @REF at that one
	Runner         string // github-hosted or self-hosted
	Event          string // what started the run, such as push
}

// A want is one thing that an identity must say.
type want struct {
	what  string // for messages
	value string // for messages
	found func(Identity) string
	holds func(string) bool
}

// expectation is everything that an identity must say.
type expectation []want

// check names the first difference. It compares what was verified, so its message can be believed.
func (e expectation) check(id Identity) error {
	for _, w := range e {
		switch found := w.found(id); {
		case found == "":
			return fmt.Errorf("the certificate names no %s, expected %q", w.what, w.value)
		case !w.holds(found):
			return fmt.Errorf("the certificate's %s is %q, expected %q", w.what, found, w.value)
		}
	}
	if len(e) == 0 {
		return errors.New("nobody is expected to sign")
	}
	return nil
}

var (
	repositoryForm = regexp.MustCompile(`\A[A-Za-z0-9_-]+/[A-Za-z0-9._-]+\z`)
	workflowForm   = regexp.MustCompile(`\A\.github/workflows/[^/@\s]+\.ya?ml\z`)
	signerForm     = regexp.MustCompile(`\A([A-Za-z0-9_-]+/[A-Za-z0-9._-]+/\.github/workflows/[^/@\s]+\.ya?ml)(@\S+)?\z`)
	refForm        = regexp.MustCompile(`\Arefs/\S+\z`)
	eventForm      = regexp.MustCompile(`\A[a-z_]+\z`)
	runnerForm     = regexp.MustCompile(`\A(github|self)-hosted\z`)
	atRef          = regexp.MustCompile(`\A@(refs/\S+|[0-9a-f]{40}|[0-9a-f]{64})\z`) // what follows a workflow's path
)

// compile makes an expectation, or says what about it cannot be meant.
func (e ExpectedIdentity) compile() (expectation, error) {
	if err := e.sensible(); err != nil {
		return nil, err
	}
	var out expectation
	add := func(what, value string, found func(Identity) string, holds func(string) bool) {
		out = append(out, want{what, value, found, holds})
	}
	exact := func(what, value string, found func(Identity) string) {
		if value != "" {
			add(what, value, found, func(s string) bool { return s == value })
		}
	}
	pattern := func(what, pattern string, found func(Identity) string) error {
		re, err := anchored(what, pattern)
		if err == nil && re != nil {
			add(what, pattern, found, re.MatchString)
		}
		return err
	}
	issuer := e.Issuer
	if cmp.Or(e.Repository, e.SignerWorkflow) != "" && e.IssuerPattern == "" {
		issuer = cmp.Or(issuer, githubIssuer)
	}
	exact("issuer", issuer, issuerOf)
	if err := pattern("issuer", e.IssuerPattern, issuerOf); err != nil {
		return nil, err
	}
	repository := ""
	if e.Repository != "" {
		repository = github + e.Repository
	}
	exact("repository", repository, func(id Identity) string { return id.Workflow.Repository })
	if e.Workflow != "" {
		path := repository + "/" + e.Workflow
		add("workflow", path, func(id Identity) string { return id.Workflow.Config }, workflowAt(path))
	}
	exact("ref", e.Ref, func(id Identity) string { return id.Workflow.Ref })
	if value, holds := e.signer(); holds != nil {
		add("signer workflow", value, func(id Identity) string { return id.Workflow.Signer }, holds)
	}
	exact("runner environment", e.Runner, func(id Identity) string { return id.Workflow.Runner })
	exact("event", e.Event, func(id Identity) string { return id.Workflow.Event })
	exact("subject", e.SAN, subjectOf)
	return out, pattern("subject", e.SANPattern, subjectOf)
}

func issuerOf(id Identity) string  { return id.Issuer }
func subjectOf(id Identity) string { return id.ID }

// workflowAt holds a workflow to its path, at whatever ref.
func workflowAt(path string) func(string) bool {
	return func(s string) bool {
		ref, ok := strings.CutPrefix(s, path)
		return ok && atRef.MatchString(ref)
	}
}

// signer is who must hold the identity; without SignerWorkflow or subject, the repository's own workflows.
func (e ExpectedIdentity) signer() (value string, holds func(string) bool) {
	parts := signerForm.FindStringSubmatch(e.SignerWorkflow)
	switch {
	case parts != nil && parts[2] != "":
		value = github + e.SignerWorkflow
		return value, func(s string) bool { return s == value }
	case parts != nil:
		return github + parts[1], workflowAt(github + parts[1])
	case cmp.Or(e.SAN, e.SANPattern) != "":
		return "", nil
	case e.Workflow != "":
		value = github + e.Repository + "/" + e.Workflow
		return value, workflowAt(value)
	default:
		value = github + e.Repository + "/.github/workflows/"
		return value, func(s string) bool { return strings.HasPrefix(s, value) }
	}
}

// sensible refuses what is malformed, what contradicts itself and what would leave open who signs.
func (e ExpectedIdentity) sensible() error {
	for _, f := range []struct {
		what, value string
		form        *regexp.Regexp
		hint        string
	}{
		{"repository", e.Repository, repositoryForm, "write it as OWNER/NAME"},
		{"workflow", e.Workflow, workflowForm, "write its path in the repository: .github/workflows/FILE.yml"},
		{"ref", e.Ref, refForm, "write it in full: refs/heads/BRANCH or refs/tags/TAG"},
		{"signer workflow", e.SignerWorkflow, signerForm, "write it as OWNER/NAME/.github/workflows/FILE.yml, or with @refs/tags/TAG"},
		{"runner", e.Runner, runnerForm, "write github-hosted or self-hosted"},
		{"event", e.Event, eventForm, "write the event as the workflow's `on` has it, such as push"},
	} {
		if f.value != "" && !f.form.MatchString(f.value) {
			return hint.Misuse(fmt.Errorf("%s %q is not one", f.what, f.value), "%s", f.hint)
		}
	}
	subject := cmp.Or(e.SAN, e.SANPattern)
	switch named := cmp.Or(e.Repository, e.SignerWorkflow); {
	case e.SAN != "" && e.SANPattern != "":
		return hint.Misuse(errors.New("both an exact subject and a pattern"), "give one of them")
	case e.Issuer != "" && e.IssuerPattern != "":
		return hint.Misuse(errors.New("both an exact issuer and a pattern"), "give one of them")
	case subject != "" && e.SignerWorkflow != "":
		return hint.Misuse(errors.New("both a subject and a signer workflow: of a workflow they are the same"), "give one of them")
	case e.Workflow != "" && e.Repository == "":
		return hint.Misuse(fmt.Errorf("workflow %q of no repository", e.Workflow), "name the repository as well")
	case subject == "" && named == "":
		return hint.Misuse(errors.New("no subject: anybody could have signed"), "name the repository that signs, or the certificate's subject and its OIDC issuer")
	case named == "" && cmp.Or(e.Issuer, e.IssuerPattern) == "":
		return hint.Misuse(errors.New("no issuer: a subject means nothing without who vouches for it"), "name the certificate's OIDC issuer; of GitHub workflows it is %s", githubIssuer)
	}
	return nil
}

// anchored makes a pattern match whole values only, and refuses one that would match anything (T23). Of no pattern it
// makes nil.
func anchored(what, pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, fmt.Errorf("%s pattern %q: %w", what, pattern, err)
	}
	re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("%s pattern %q: %w", what, pattern, err)
	}
	if re.MatchString("") || re.MatchString("mailto:nobody\x00") {
		return nil, fmt.Errorf("%s pattern %q matches anybody", what, pattern)
	}
	return re, nil
}
