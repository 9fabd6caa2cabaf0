package attest

import (
	"crypto/x509"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// github is where workflows live whose identity GitHub's issuer vouches for.
const (
	github       = "https://github.com/"
	githubIssuer = "https://token.actions.githubusercontent.com"
)

// Workflow is the run of a CI workflow that an identity stands for, in the words of its issuer: claims of a token, and
// after that extensions of the certificate (1.3.6.1.4.1.57264.1.N, here .N). The zero Workflow is a signer who is none.
type Workflow struct {
	Signer       string // .9: the workflow that holds the identity, https://github.com/OWNER/NAME/PATH@REF; it is the subject as well
	Runner       string // .11: github-hosted or self-hosted
	Repository   string // .12: https://github.com/OWNER/NAME that the run belongs to
	Commit       string // .13: of Repository, in hex
	Ref          string // .14: of Repository, in full
	RepositoryID string // .15
	OwnerID      string // .17
	Config       string // .18: the workflow that started the run, like Signer; another one when Signer is reusable
	Event        string // .20: what started it, such as push
	Run          string // .21: https://github.com/OWNER/NAME/actions/runs/ID/attempts/N
	Visibility   string // .22: of Repository at the time of signing: public, private or internal
}

// certified reads an identity out of a certificate that was verified. The summary has the first subject alternative
// name only, so a certificate with several is refused, and so is one that contradicts itself.
func certified(leaf *x509.Certificate, c *certificate.Summary) (Identity, error) {
	if n := len(leaf.URIs) + len(leaf.EmailAddresses) + len(leaf.DNSNames) + len(leaf.IPAddresses); n > 1 {
		return Identity{}, fmt.Errorf("the certificate names %d subjects, not 1", n)
	}
	if c.BuildSignerURI != "" && c.BuildSignerURI != c.SubjectAlternativeName {
		return Identity{}, fmt.Errorf("the certificate's subject is %q, and its signer %q", c.SubjectAlternativeName, c.BuildSignerURI)
	}
	return Identity{Kind: KindKeyless, ID: c.SubjectAlternativeName, Issuer: c.Issuer, Workflow: Workflow{
		Signer: c.BuildSignerURI, Runner: c.RunnerEnvironment, Repository: c.SourceRepositoryURI, Commit: c.SourceRepositoryDigest,
		Ref: c.SourceRepositoryRef, RepositoryID: c.SourceRepositoryIdentifier, OwnerID: c.SourceRepositoryOwnerIdentifier,
		Config: c.BuildConfigURI, Event: c.BuildTrigger, Run: c.RunInvocationURI,
		Visibility: c.SourceRepositoryVisibilityAtSigning,
	}}, nil
}

// githubClaims are the claims of a GitHub token that Fulcio makes extensions of.
type githubClaims struct {
	JobWorkflowRef string `json:"job_workflow_ref"`
	Runner         string `json:"runner_environment"`
	Repository     string `json:"repository"`
	Commit         string `json:"sha"`
	Ref            string `json:"ref"`
	RepositoryID   string `json:"repository_id"`
	OwnerID        string `json:"repository_owner_id"`
	WorkflowRef    string `json:"workflow_ref"`
	Event          string `json:"event_name"`
	RunID          string `json:"run_id"`
	Attempt        string `json:"run_attempt"`
	Visibility     string `json:"repository_visibility"`
}

// workflow is what a certificate for these claims will say.
func (c githubClaims) workflow() Workflow {
	at := func(path string) string {
		if path == "" {
			return ""
		}
		return github + path
	}
	w := Workflow{
		Signer: at(c.JobWorkflowRef), Runner: c.Runner, Repository: at(c.Repository), Commit: c.Commit, Ref: c.Ref,
		RepositoryID: c.RepositoryID, OwnerID: c.OwnerID, Config: at(c.WorkflowRef), Event: c.Event, Visibility: c.Visibility,
	}
	if c.Repository != "" && c.RunID != "" {
		w.Run = w.Repository + "/actions/runs/" + c.RunID + "/attempts/" + c.Attempt
	}
	return w
}
