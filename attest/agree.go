package attest

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
)

// githubBuildType is the provenance that GitHub's own action makes. Its first versions named the runner as the builder.
const (
	githubBuildType = "https://actions.github.io/buildtypes/workflow/v1"
	npmBuildType    = "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1" // its runner is in builder.id only
	githubRunner    = "https://github.com/actions/runner/"
)

// saying is what provenance says of the run that made it: everything that a certificate says as well (R23).
type saying struct {
	BuildDefinition struct {
		BuildType string `json:"buildType"`
		External  struct {
			Workflow struct {
				Repository string `json:"repository"`
				Ref        string `json:"ref"`
				Path       string `json:"path"`
			} `json:"workflow"`
		} `json:"externalParameters"`
		Internal struct {
			Mode         string `json:"sealyard_mode"`
			Event        string `json:"sealyard_event"`
			Runner       string `json:"sealyard_runner"`
			RepositoryID string `json:"sealyard_repositoryId"`
			OwnerID      string `json:"sealyard_ownerId"`
			runnerVariables
			GitHub struct {
				Event        string `json:"event_name"`
				Runner       string `json:"runner_environment"`
				RepositoryID string `json:"repository_id"`
				OwnerID      string `json:"repository_owner_id"`
			} `json:"github"`
		} `json:"internalParameters"`
		Dependencies []dependency `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string `json:"invocationId,case:ignore"` // cosign 2 writes invocationID
		} `json:"metadata"`
	} `json:"runDetails"`
}

// A dependency is one that the build took in.
type dependency struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// agree holds provenance to the identity that signed it with a certificate: every value that the certificate has an
// extension for must be in both, and the same (R23, T9). What a certificate says nothing about, provenance may not say
// either. Of a build type that is not known, nothing can be compared, so it is refused. Other types of predicate say
// nothing of a run.
func agree(predicateType string, predicate []byte, id Identity) error {
	switch predicateType {
	case PredicateProvenance:
	case predicateProvenance02:
		return agree02(predicate, id)
	default:
		if strings.HasPrefix(predicateType, "https://slsa.dev/provenance/") {
			return fmt.Errorf("provenance %q cannot be compared with a certificate", predicateType)
		}
		return nil
	}
	var p saying
	if err := jsonv2.Unmarshal(predicate, &p); err != nil {
		return fmt.Errorf("provenance: %w", err)
	}
	d := &p.BuildDefinition
	switch d.BuildType {
	case BuildType:
	case githubBuildType, npmBuildType:
		g := d.Internal.GitHub
		if d.BuildType == npmBuildType {
			g.Runner = strings.TrimPrefix(p.RunDetails.Builder.ID, githubRunner)
		}
		d.Internal.Mode, d.Internal.Event, d.Internal.Runner = string(ModeAction), g.Event, g.Runner
		d.Internal.RepositoryID, d.Internal.OwnerID = g.RepositoryID, g.OwnerID
	case delegatorBuildType, containerBuildType:
		return p.generated(id.Workflow)
	default:
		return fmt.Errorf("provenance of build type %q cannot be compared with a certificate", d.BuildType)
	}
	switch w := id.Workflow; {
	case w == (Workflow{}):
		return p.byPerson()
	case id.Issuer != githubIssuer && w.Repository == "" && w.Signer == "" && w.Commit != "":
		return p.byJob(w)
	}
	if err := hold(p.fields(id.Workflow)); err != nil {
		return err
	}
	if err := p.builtBy(id.Workflow); err != nil {
		return err
	}
	return source(p.BuildDefinition.Dependencies, id.Workflow)
}

// A field is one value in provenance and in the certificate.
type field struct{ what, said, certified string }

// hold names the first field that is not in both, and the same.
func hold(fields []field) error {
	for _, f := range fields {
		switch {
		case f.certified == "":
			return fmt.Errorf("the certificate names no %s, and provenance says %q", f.what, f.said)
		case f.said != f.certified:
			return fmt.Errorf("provenance says that the %s is %q, and the certificate %q", f.what, f.said, f.certified)
		}
	}
	return nil
}

func (p *saying) fields(w Workflow) []field {
	flow, in := p.BuildDefinition.External.Workflow, p.BuildDefinition.Internal
	said := Workflow{
		Repository: flow.Repository, Ref: flow.Ref, Config: flow.Repository + "/" + flow.Path + "@" + flow.Ref,
		Event: in.Event, RepositoryID: in.RepositoryID, OwnerID: in.OwnerID, Run: p.RunDetails.Metadata.InvocationID,
	}
	return append(said.fields(w), field{"runner environment", in.Runner, w.Runner})
}

// fields are those that every format has.
func (said Workflow) fields(w Workflow) []field {
	return []field{
		{"repository", said.Repository, w.Repository},
		{"ref", said.Ref, w.Ref},
		{"workflow", said.Config, w.Config},
		{"event", said.Event, w.Event},
		{"repository id", said.RepositoryID, w.RepositoryID},
		{"owner id", said.OwnerID, w.OwnerID},
		{"run", said.Run, w.Run},
	}
}

// builtBy holds builder.id to who signed. A mode that may claim less has its own, and may only be what the runner is.
func (p *saying) builtBy(w Workflow) error {
	mode, id := Mode(p.BuildDefinition.Internal.Mode), p.RunDetails.Builder.ID
	expected := w.Signer
	switch mode {
	case ModeAction:
	case ModeCLI, ModeSelfHosted:
		expected = BuilderID(mode)
	default:
		return fmt.Errorf("provenance says that the mode is %q, which is none", mode)
	}
	hosted := w.Runner == "github-hosted"
	switch {
	case w.Signer == "":
		return errors.New("the certificate names no signer workflow")
	case id != expected && (p.BuildDefinition.BuildType == BuildType || id != githubRunner+w.Runner):
		return fmt.Errorf("provenance says that the builder is %q, and the certificate %q", id, expected)
	case p.BuildDefinition.BuildType == BuildType && mode == ModeAction && !hosted, mode == ModeSelfHosted && hosted:
		return fmt.Errorf("provenance says that the mode is %q, and the certificate that the runner is %q", mode, w.Runner)
	}
	return nil
}

// source holds every git dependency of the run's own repository, however its address is written, to the commit that the
// certificate names; one must name repository and ref as the certificate does.
func source(from []dependency, w Workflow) error {
	want, found := gitURI(w.Repository, w.Ref), false
	for _, d := range from {
		if !ofRepository(d.URI, w.Repository) {
			continue
		}
		commit := cmp.Or(d.Digest["gitCommit"], d.Digest["sha1"]) // the older name
		if commit != w.Commit || commit == "" || cmp.Or(d.Digest["sha1"], commit) != commit {
			return fmt.Errorf("provenance says that %q is at commit %q, and the certificate %q", d.URI, commit, w.Commit)
		}
		found = found || d.URI == want
	}
	if !found {
		return fmt.Errorf("provenance does not say that %q at %q was built, which the certificate names", want, w.Commit)
	}
	return nil
}

// ofRepository reports whether a dependency is fetched from a repository with git: by https or ssh, with .git or without.
func ofRepository(uri, repository string) bool {
	host := strings.TrimPrefix(repository, "https://")
	_, rest, ok := strings.Cut(strings.ToLower(strings.ReplaceAll(uri, ":", "/")), strings.ToLower(host))
	rest = strings.TrimPrefix(rest, ".git")
	return ok && strings.HasPrefix(uri, "git") && (rest == "" || strings.ContainsAny(rest[:1], "@#/?"))
}

// byJob is provenance signed by a job of a CI whose certificates name neither a repository nor what defines the job, such as
// Buildkite's: what they do name must be the same, and the commit must be one that was built.
func (p *saying) byJob(w Workflow) error {
	if mode := p.BuildDefinition.Internal.Mode; mode != string(ModeCLI) || p.RunDetails.Builder.ID != BuilderID(ModeCLI) {
		return fmt.Errorf("provenance says that %q built it in mode %q, and the certificate names no workflow", p.RunDetails.Builder.ID, mode)
	}
	for _, f := range p.fields(w) {
		if f.said != f.certified && f.said != "/@" {
			return fmt.Errorf("provenance says that the %s is %q, and the certificate %q", f.what, f.said, f.certified)
		}
	}
	for _, d := range p.BuildDefinition.Dependencies {
		if d.Digest["gitCommit"] == w.Commit {
			return nil
		}
	}
	return fmt.Errorf("provenance does not say that commit %q was built, which the certificate names", w.Commit)
}

// byPerson is provenance signed by somebody who is no workflow: a build on a machine of theirs, and nothing more.
func (p *saying) byPerson() error {
	if mode := p.BuildDefinition.Internal.Mode; mode != string(ModeCLI) || p.RunDetails.Builder.ID != BuilderID(ModeCLI) {
		return fmt.Errorf("provenance says that %q built it in mode %q, and the certificate names no workflow", p.RunDetails.Builder.ID, mode)
	}
	for _, f := range p.fields(Workflow{}) {
		if f.said != "" && f.said != "/@" {
			return fmt.Errorf("provenance says that the %s is %q, and the certificate names no workflow", f.what, f.said)
		}
	}
	return nil
}
