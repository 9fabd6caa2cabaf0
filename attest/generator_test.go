package attest

import (
	"strings"
	"testing"
)

// generated is a run in which slsa-github-generator made the provenance.
func generated(workflow string) Workflow {
	w := aRun()
	w.Signer = generator + ".github/workflows/" + workflow + "@refs/tags/v2.0.0"
	return w
}

// variables are what GitHub's runner says of a run.
func variables(w Workflow, runID string) string {
	return `{"GITHUB_ACTOR_ID":"3","GITHUB_EVENT_NAME":"` + w.Event + `","GITHUB_REF":"` + w.Ref + `","GITHUB_REPOSITORY":"acme/widget","GITHUB_REPOSITORY_ID":"` + w.RepositoryID +
		`","GITHUB_REPOSITORY_OWNER_ID":"` + w.OwnerID + `","GITHUB_RUN_ATTEMPT":"1","GITHUB_RUN_ID":` + runID + `,"GITHUB_SHA":"` + w.Commit +
		`","GITHUB_WORKFLOW_REF":"acme/widget/.github/workflows/build.yml@refs/heads/main","GITHUB_EVENT_PAYLOAD":{"ref":"x"}}`
}

func generatedV1(w Workflow, buildType, builder, commitName, metadata string) string {
	return `{"buildDefinition":{"buildType":"` + buildType + `","externalParameters":{"inputs":{}},"internalParameters":` + variables(w, `1001`) +
		`,"resolvedDependencies":[{"uri":"git+` + w.Repository + `@` + w.Ref + `","digest":{"` + commitName + `":"` + w.Commit + `"}}]},"runDetails":{"builder":{"id":"` + builder + `"}` + metadata + `}}`
}

func generatedV02(w Workflow, kind, environment, builder string) string {
	return `{"builder":{"id":"` + builder + `"},"buildType":"` + generator + kind + `","invocation":{"configSource":{"uri":"git+` + w.Repository + `@` + w.Ref + `","digest":{"sha1":"` + w.Commit +
		`"},"entryPoint":".github/workflows/build.yml"},"parameters":{},"environment":` + environment + `},"metadata":{"buildInvocationID":"1001-1"},"materials":[{"uri":"git+` + w.Repository +
		`@` + w.Ref + `","digest":{"sha1":"` + w.Commit + `"}}]}`
}

// R23 T9: provenance of slsa-github-generator, v0.2 and v1, is held to what its formats say of the run: changed or missing in
// provenance or in the certificate, it is refused.
func TestGeneratorAgrees(t *testing.T) {
	container, image, delegator := generated("generator_container_slsa3.yml"), generated("builder_container-based_slsa3.yml"), generated("delegator_generic_slsa3.yml")
	called := "https://github.com/acme/builder/.github/workflows/b.yml@refs/tags/v1"
	lower := `{"github_event_name":"push","github_ref":"refs/heads/main","github_repository_id":"42","github_repository_owner":"acme","github_repository_owner_id":"7",` +
		`"github_run_attempt":"1","github_run_id":"1001","github_sha1":"` + container.Commit + `"}`
	for name, c := range map[string]struct {
		kind, predicate string
		run             Workflow
		delegated       bool
	}{
		"container v0.2": {predicateProvenance02, generatedV02(container, "container@v1", lower, container.Signer), container, false},
		"delegated v0.2": {predicateProvenance02, generatedV02(delegator, "delegator-generic@v0", variables(delegator, `"1001"`), called), delegator, true},
		"image v1":       {PredicateProvenance, generatedV1(image, containerBuildType, image.Signer, "sha1", ""), image, false},
		"delegated v1": {PredicateProvenance, generatedV1(delegator, delegatorBuildType, called, "gitCommit",
			`,"metadata":{"invocationId":"`+delegator.Run+`"}`), delegator, true},
	} {
		if err := agree(c.kind, []byte(c.predicate), runOf(c.run)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for what, field := range map[string]func(*Workflow) *string{
			"signer": func(w *Workflow) *string { return &w.Signer }, "repository": func(w *Workflow) *string { return &w.Repository },
			"commit": func(w *Workflow) *string { return &w.Commit }, "ref": func(w *Workflow) *string { return &w.Ref },
			"repository id": func(w *Workflow) *string { return &w.RepositoryID }, "owner id": func(w *Workflow) *string { return &w.OwnerID },
			"config": func(w *Workflow) *string { return &w.Config }, "event": func(w *Workflow) *string { return &w.Event },
			"run": func(w *Workflow) *string { return &w.Run },
		} {
			for _, value := range []string{"", "x", *field(&c.run) + "x"} {
				w := c.run
				*field(&w) = value
				anyRef := c.delegated && what == "signer" && strings.HasPrefix(value, generator) // who may call others, at whatever tag
				if err := agree(c.kind, []byte(c.predicate), runOf(w)); anyRef == (err != nil) {
					t.Errorf("%s: certificate with %s %q: %v", name, what, value, err)
				}
			}
		}
		for _, value := range []string{`"push"`, `"refs/heads/main"`, `"42"`, `"7"`, `1001`, `acme/widget`, `build.yml`, `"1"`, c.run.Commit, `"git+https://github.com`} {
			for n := range strings.Count(c.predicate, value) {
				parts := strings.Split(c.predicate, value)
				changed := strings.Join(parts[:n+1], value) + strings.Replace(value, value[len(value)-2:], "99", 1) + strings.Join(parts[n+1:], value)
				if strings.HasSuffix(value, `"`) {
					changed = strings.Join(parts[:n+1], value) + value[:len(value)-1] + `9"` + strings.Join(parts[n+1:], value)
				}
				if err := agree(c.kind, []byte(changed), runOf(c.run)); err == nil {
					t.Errorf("%s: believed with the %d. %s changed: %s", name, n+1, value, changed)
				}
			}
		}
		if err := agree(c.kind, []byte(c.predicate), Identity{Kind: KindKeyless, ID: "a@acme.example", Issuer: "https://accounts.example"}); err == nil {
			t.Errorf("%s: believed of a person", name)
		}
	}
	for name, c := range map[string]struct{ kind, predicate string }{
		"delegated by a workflow of one's own":   {PredicateProvenance, generatedV1(container, delegatorBuildType, called, "gitCommit", "")},
		"two commits":                            {PredicateProvenance, strings.Replace(generatedV1(image, containerBuildType, image.Signer, "sha1", ""), `{"sha1"`, `{"gitCommit":"`+strings.Repeat("d", 40)+`","sha1"`, 1)},
		"a build type of v0.2 that nobody knows": {predicateProvenance02, strings.Replace(generatedV02(container, "container@v1", lower, container.Signer), generator, "https://x.example/", 1)},
		"not an object":                          {predicateProvenance02, `[]`},
		"a run that is neither text nor number":  {PredicateProvenance, strings.Replace(generatedV1(image, containerBuildType, image.Signer, "sha1", ""), "1001", "[1001]", 1)},
	} {
		if err := agree(c.kind, []byte(c.predicate), runOf(container)); err == nil {
			t.Errorf("%s: believed", name)
		}
	}
	if err := agree(PredicateCycloneDX, []byte(`{}`), runOf(container)); err != nil {
		t.Errorf("an inventory says nothing of a run: %v", err)
	}
	run := aRun()
	cosign := strings.Replace(string(githubProvenance(run)), "invocationId", "invocationID", 1)
	if err := agree(PredicateProvenance, []byte(cosign), runOf(run)); err != nil {
		t.Errorf("GitHub's action, written again by cosign: %v", err)
	}
	npm := strings.NewReplacer(githubBuildType, npmBuildType, `,"runner_environment":"github-hosted"`, "", `"builder":{"id":"`+run.Signer, `"builder":{"id":"`+githubRunner+`github-hosted`).Replace(string(githubProvenance(run)))
	if err := agree(PredicateProvenance, []byte(npm), runOf(run)); err != nil {
		t.Errorf("npm's: %v", err)
	}
	if err := agree(PredicateProvenance, []byte(strings.Replace(npm, "runner/github-hosted", "runner/self-hosted", 1)), runOf(run)); err == nil {
		t.Error("npm's, of another runner: believed")
	}
	twice := strings.Replace(cosign, `"invocationID"`, `"invocationId":"x","invocationID"`, 1)
	if err := agree(PredicateProvenance, []byte(twice), runOf(run)); err == nil {
		t.Error("two runs: believed")
	}
	old := strings.Replace(string(githubProvenance(aRun())), `"builder":{"id":"`+aRun().Signer, `"builder":{"id":"`+githubRunner+`github-hosted`, 1)
	if err := agree(PredicateProvenance, []byte(old), runOf(aRun())); err != nil {
		t.Errorf("GitHub's first action: %v", err)
	}
	if err := agree(PredicateProvenance, []byte(strings.Replace(old, githubRunner+"github-hosted", githubRunner+"self-hosted", 1)), runOf(aRun())); err == nil {
		t.Error("GitHub's first action, of another runner: believed")
	}
}
