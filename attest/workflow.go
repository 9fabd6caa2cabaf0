package attest

import (
	"crypto/x509"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// Where the workflows of a CI live, as certificates name them, and who vouches for GitHub's.
const (
	github       = "https://github.com/"
	githubIssuer = "https://token.actions.githubusercontent.com"
	gitlab       = "https://gitlab.com/"
	buildkite    = "https://buildkite.com/"
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

// github is what a certificate for a GitHub workflow's claims will say.
func (c claims) github() Workflow {
	at := func(path string) string {
		if path == "" {
			return ""
		}
		return github + path
	}
	w := Workflow{
		Signer: at(c.words["job_workflow_ref"]), Runner: c.words["runner_environment"], Repository: at(c.words["repository"]), Commit: c.words["sha"],
		Ref: c.words["ref"], RepositoryID: c.words["repository_id"], OwnerID: c.words["repository_owner_id"], Config: at(c.words["workflow_ref"]), Event: c.words["event_name"],
		Visibility: c.words["repository_visibility"],
	}
	if c.words["repository"] != "" && c.words["run_id"] != "" {
		w.Run = w.Repository + "/actions/runs/" + c.words["run_id"] + "/attempts/" + c.words["run_attempt"]
	}
	return w
}

// gitlab is what a certificate for a GitLab pipeline's claims will say. Whatever instance it is, Sigstore's writes of
// gitlab.com: that the issuer is another one is said only by the issuer.
func (c claims) gitlab() Workflow {
	config, ref := "https://"+c.words["ci_config_ref_uri"], "refs/tags/"
	if c.words["ref_type"] == "branch" {
		ref = "refs/heads/"
	}
	repository := gitlab + c.words["project_path"]
	return Workflow{
		Signer: config, Runner: c.words["runner_environment"], Repository: repository, Commit: c.words["sha"], Ref: ref + c.words["ref"],
		RepositoryID: c.words["project_id"], OwnerID: c.words["namespace_id"], Config: config, Event: c.words["pipeline_source"],
		Run: repository + "/-/jobs/" + c.words["job_id"], Visibility: c.words["project_visibility"],
	}
}

// buildkite is what a certificate for a Buildkite job's claims will say: no repository, and no definition of the pipeline.
func (c claims) buildkite() Workflow {
	return Workflow{
		Runner: c.words["runner_environment"], Commit: c.words["build_commit"], Event: c.words["build_source"],
		Run: buildkite + c.words["organization_slug"] + "/" + c.words["pipeline_slug"] + "/builds/" + c.words["build_number"] + "#" + c.words["job_id"],
	}
}
