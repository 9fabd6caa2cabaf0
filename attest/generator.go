package attest

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Provenance of slsa-github-generator: what its workflows make is v0.2, or v1 with a build type of theirs.
const (
	predicateProvenance02 = "https://slsa.dev/provenance/v0.2"

	generator          = "https://github.com/slsa-framework/slsa-github-generator/"
	delegatorBuildType = generator + "delegator-generic@v0"                  // a build in a workflow that it calls
	containerBuildType = "https://slsa.dev/container-based-build/v0.1?draft" // a command in an image
)

// provenance02 is saying in the words of v0.2.
type provenance02 struct {
	Builder struct {
		ID string `json:"id"`
	} `json:"builder"`
	BuildType  string `json:"buildType"`
	Invocation struct {
		Source struct {
			URI        string            `json:"uri"`
			Digest     map[string]string `json:"digest"`
			EntryPoint string            `json:"entryPoint"`
		} `json:"configSource"`
		Environment runnerVariables `json:"environment"`
	} `json:"invocation"`
	Metadata struct {
		InvocationID string `json:"buildInvocationId,case:ignore"`
	} `json:"metadata"`
	Materials []dependency `json:"materials"`
}

// runnerVariables are those of GitHub's runner; v0.2 has most of them in lower case.
type runnerVariables struct {
	Event        string `json:"GITHUB_EVENT_NAME,case:ignore"`
	Repository   string `json:"GITHUB_REPOSITORY,case:ignore"`
	RepositoryID string `json:"GITHUB_REPOSITORY_ID,case:ignore"`
	OwnerID      string `json:"GITHUB_REPOSITORY_OWNER_ID,case:ignore"`
	Ref          string `json:"GITHUB_REF,case:ignore"`
	WorkflowRef  string `json:"GITHUB_WORKFLOW_REF,case:ignore"`
	Commit       string `json:"GITHUB_SHA,case:ignore"`
	Commit02     string `json:"github_sha1"`
	RunID        word   `json:"GITHUB_RUN_ID,case:ignore"`
	RunAttempt   word   `json:"GITHUB_RUN_ATTEMPT,case:ignore"`
}

// word is a string that some versions write as a number.
type word string

// UnmarshalJSON implements json.Unmarshaler.
func (w *word) UnmarshalJSON(raw []byte) error {
	switch v := jsontext.Value(raw); v.Kind() {
	case '"':
		var s string
		err := jsonv2.Unmarshal(raw, &s)
		*w = word(s)
		return err
	case '0':
		*w = word(raw)
		return nil
	}
	return errors.New("neither a string nor a number")
}

// run is what the variables say, in the words of a certificate.
func (v runnerVariables) run() Workflow {
	w := Workflow{
		Repository: github + v.Repository, Commit: cmp.Or(v.Commit, v.Commit02), Ref: v.Ref, RepositoryID: v.RepositoryID, OwnerID: v.OwnerID,
		Config: github + v.WorkflowRef, Event: v.Event,
	}
	w.Run = w.Repository + "/actions/runs/" + string(v.RunID) + "/attempts/" + string(v.RunAttempt)
	return w
}

// generated holds provenance v1 of slsa-github-generator to the certificate.
func (p *saying) generated(w Workflow) error {
	said := p.BuildDefinition.Internal.run()
	if id := p.RunDetails.Metadata.InvocationID; id != "" && id != said.Run {
		return fmt.Errorf("provenance says that the run is %q, and %q", id, said.Run)
	}
	return generatorAgrees(said, p.RunDetails.Builder.ID, p.BuildDefinition.BuildType, p.BuildDefinition.Dependencies, w)
}

// agree02 holds provenance v0.2 of slsa-github-generator to the certificate. Of other builders, nothing can be compared.
func agree02(predicate []byte, id Identity) error {
	var p provenance02
	if err := jsonv2.Unmarshal(predicate, &p); err != nil {
		return fmt.Errorf("provenance: %w", err)
	}
	if !strings.HasPrefix(p.BuildType, generator) {
		return fmt.Errorf("provenance v0.2 of build type %q cannot be compared with a certificate", p.BuildType)
	}
	source, env := p.Invocation.Source, p.Invocation.Environment
	repository, ref, _ := strings.Cut(strings.TrimPrefix(source.URI, "git+"), "@")
	env.Repository = cmp.Or(env.Repository, strings.TrimPrefix(repository, github))
	workflow := env.Repository + "/" + source.EntryPoint + "@" + ref
	env.WorkflowRef = cmp.Or(env.WorkflowRef, workflow)
	said := env.run()
	switch number := string(env.RunID) + "-" + string(env.RunAttempt); {
	case source.URI != gitURI(said.Repository, said.Ref):
		return fmt.Errorf("provenance says that the source is %q, and %q at %q", source.URI, said.Repository, said.Ref)
	case env.WorkflowRef != workflow:
		return fmt.Errorf("provenance says that the workflow is %q, and %q", workflow, env.WorkflowRef)
	case source.Digest["sha1"] != said.Commit:
		return fmt.Errorf("provenance says that the commit is %q, and %q", source.Digest["sha1"], said.Commit)
	case p.Metadata.InvocationID != "" && p.Metadata.InvocationID != number:
		return fmt.Errorf("provenance says that the run is %q, and %q", p.Metadata.InvocationID, number)
	}
	return generatorAgrees(said, p.Builder.ID, p.BuildType, p.Materials, id.Workflow)
}

// generatorAgrees holds everything these formats say of a run to the certificate. They do not say which runner it was.
// The builder is the workflow that signed; or one that it calls, when the generator itself delegated to it: then its
// word is all there is.
func generatorAgrees(said Workflow, builder, buildType string, from []dependency, w Workflow) error {
	if w == (Workflow{}) {
		return fmt.Errorf("provenance says that %q built it, and the certificate names no workflow", builder)
	}
	fields := append(said.fields(w), field{"commit", said.Commit, w.Commit})
	if buildType == delegatorBuildType {
		if !strings.HasPrefix(w.Signer, generator+".github/workflows/delegator_") || builder == "" {
			return fmt.Errorf("provenance says that the generator called the builder %q, and the certificate is of %q", builder, w.Signer)
		}
	} else {
		fields = append(fields, field{"builder", builder, w.Signer})
	}
	if err := hold(fields); err != nil {
		return err
	}
	return source(from, w)
}
