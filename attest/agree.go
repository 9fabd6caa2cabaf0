package attest

import (
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
)

// githubBuildType is the provenance that GitHub's own action makes.
const githubBuildType = "https://actions.github.io/buildtypes/workflow/v1"

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
			GitHub       struct {
				Event        string `json:"event_name"`
				Runner       string `json:"runner_environment"`
				RepositoryID string `json:"repository_id"`
				OwnerID      string `json:"repository_owner_id"`
			} `json:"github"`
		} `json:"internalParameters"`
		Dependencies []struct {
			URI    string            `json:"uri"`
			Digest map[string]string `json:"digest"`
		} `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string `json:"invocationId"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

// agree holds provenance to the identity that signed it with a certificate: every value that the certificate has an
// extension for must be in both, and the same (R23, T9). What a certificate says nothing about, provenance may not say
// either. Of a build type that is not known, nothing can be compared, so it is refused.
func agree(predicate []byte, id Identity) error {
	var p saying
	if err := jsonv2.Unmarshal(predicate, &p); err != nil {
		return fmt.Errorf("provenance: %w", err)
	}
	d := &p.BuildDefinition
	switch d.BuildType {
	case BuildType:
	case githubBuildType:
		g := d.Internal.GitHub
		d.Internal.Mode, d.Internal.Event, d.Internal.Runner = string(ModeAction), g.Event, g.Runner
		d.Internal.RepositoryID, d.Internal.OwnerID = g.RepositoryID, g.OwnerID
	default:
		return fmt.Errorf("provenance of build type %q cannot be compared with a certificate", d.BuildType)
	}
	switch w := id.Workflow; {
	case w == (Workflow{}):
		return p.byPerson()
	case id.Issuer != githubIssuer && w.Repository == "" && w.Signer == "" && w.Commit != "":
		return p.byJob(w)
	}
	for _, f := range p.fields(id.Workflow) {
		switch {
		case f.certified == "":
			return fmt.Errorf("the certificate names no %s, and provenance says %q", f.what, f.said)
		case f.said != f.certified:
			return fmt.Errorf("provenance says that the %s is %q, and the certificate %q", f.what, f.said, f.certified)
		}
	}
	if err := p.builtBy(id.Workflow); err != nil {
		return err
	}
	return p.source(id.Workflow)
}

// A field is one value in provenance and in the certificate.
type field struct{ what, said, certified string }

func (p *saying) fields(w Workflow) []field {
	flow, in := p.BuildDefinition.External.Workflow, p.BuildDefinition.Internal
	return []field{
		{"repository", flow.Repository, w.Repository},
		{"ref", flow.Ref, w.Ref},
		{"workflow", flow.Repository + "/" + flow.Path + "@" + flow.Ref, w.Config},
		{"event", in.Event, w.Event},
		{"runner environment", in.Runner, w.Runner},
		{"repository id", in.RepositoryID, w.RepositoryID},
		{"owner id", in.OwnerID, w.OwnerID},
		{"run", p.RunDetails.Metadata.InvocationID, w.Run},
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
	case id != expected:
		return fmt.Errorf("provenance says that the builder is %q, and the certificate %q", id, expected)
	case p.BuildDefinition.BuildType == BuildType && mode == ModeAction && !hosted, mode == ModeSelfHosted && hosted:
		return fmt.Errorf("provenance says that the mode is %q, and the certificate that the runner is %q", mode, w.Runner)
	}
	return nil
}

// source holds every git dependency of the run's own repository, however its address is written, to the commit that the
// certificate names; one must name repository and ref as the certificate does.
func (p *saying) source(w Workflow) error {
	want, found := gitURI(w.Repository, w.Ref), false
	for _, d := range p.BuildDefinition.Dependencies {
		if !ofRepository(d.URI, w.Repository) {
			continue
		}
		if commit := d.Digest["gitCommit"]; commit != w.Commit || commit == "" {
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
