package attest

import (
	"encoding/json"
	"strings"
	"testing"
)

// aRun is a run of a workflow, as a certificate names it.
func aRun() Workflow {
	return Workflow{
		Signer: "https://github.com/acme/widget/.github/workflows/build.yml@refs/heads/main", Runner: "github-hosted",
		Repository: "https://github.com/acme/widget", Commit: strings.Repeat("c", 40), Ref: "refs/heads/main", RepositoryID: "42", OwnerID: "7",
		Config: "https://github.com/acme/widget/.github/workflows/build.yml@refs/heads/main", Event: "push",
		Run: "https://github.com/acme/widget/actions/runs/1001/attempts/1",
	}
}

func runOf(w Workflow) Identity {
	return Identity{Kind: KindKeyless, ID: w.Signer, Issuer: githubIssuer, Workflow: w}
}

// ourProvenance is what Provenance makes of a run in a mode, and githubProvenance what GitHub's own action makes.
func ourProvenance(t testing.TB, w Workflow, mode Mode) []byte {
	t.Helper()
	b := aBuild()
	b.Mode, b.BuilderID, b.Workflow = mode, "", w
	if mode == ModeAction {
		b.BuilderID = w.Signer
	}
	b.External.Source, b.External.Ref, b.Origin.Commit = w.Repository, w.Ref, w.Commit
	s, err := Provenance(b)
	if err != nil {
		t.Fatal(err)
	}
	return s.Predicate()
}

func githubProvenance(w Workflow) []byte {
	return []byte(`{"buildDefinition":{"buildType":"` + githubBuildType + `","externalParameters":{"workflow":{"repository":"` + w.Repository + `","ref":"` + w.Ref +
		`","path":".github/workflows/build.yml"}},"internalParameters":{"github":{"event_name":"` + w.Event + `","repository_id":"` + w.RepositoryID +
		`","repository_owner_id":"` + w.OwnerID + `","runner_environment":"` + w.Runner + `"}},"resolvedDependencies":[{"uri":"git+` + w.Repository + `@` + w.Ref +
		`","digest":{"gitCommit":"` + w.Commit + `"}}]},"runDetails":{"builder":{"id":"` + w.Signer + `"},"metadata":{"invocationId":"` + w.Run + `"}}}`)
}

// R9 R21 R23 T9: whatever provenance and certificate both speak of must be in both, and the same: changed or missing in either of
// them, it is refused. For our build type, in each mode, and for that of GitHub's own action.
func TestProvenanceAgreesWithCertificate(t *testing.T) {
	run, self := aRun(), aRun()
	self.Runner = "self-hosted"
	for name, c := range map[string]struct {
		predicate []byte
		run       Workflow
	}{
		"action": {ourProvenance(t, run, ModeAction), run}, "command line": {ourProvenance(t, run, ModeCLI), run},
		"self-hosted": {ourProvenance(t, self, ModeSelfHosted), self}, "GitHub's own": {githubProvenance(run), run},
	} {
		if err := agree(PredicateProvenance, c.predicate, runOf(c.run)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for what, field := range map[string]func(*Workflow) *string{
			"signer": func(w *Workflow) *string { return &w.Signer }, "runner": func(w *Workflow) *string { return &w.Runner },
			"repository": func(w *Workflow) *string { return &w.Repository }, "commit": func(w *Workflow) *string { return &w.Commit },
			"ref": func(w *Workflow) *string { return &w.Ref }, "repository id": func(w *Workflow) *string { return &w.RepositoryID },
			"owner id": func(w *Workflow) *string { return &w.OwnerID }, "config": func(w *Workflow) *string { return &w.Config },
			"event": func(w *Workflow) *string { return &w.Event }, "run": func(w *Workflow) *string { return &w.Run },
		} {
			for _, value := range []string{"", "x", *field(&c.run) + "x"} {
				w := c.run
				*field(&w) = value
				err := agree(PredicateProvenance, c.predicate, runOf(w))
				// A mode that claims less than the signer does not name it: any will do, but there must be one.
				if lesser := what == "signer" && value != "" && (name == "command line" || name == "self-hosted"); lesser == (err != nil) {
					t.Errorf("%s: certificate with %s %q: %v", name, what, value, err)
				}
			}
		}
		for _, path := range [][]string{
			{"externalParameters", "workflow", "repository"}, {"externalParameters", "workflow", "ref"}, {"externalParameters", "workflow", "path"}, {"externalParameters", "workflow"},
			{"internalParameters"}, {"internalParameters", "sealyard_event"}, {"internalParameters", "sealyard_runner"}, {"internalParameters", "sealyard_repositoryId"},
			{"internalParameters", "sealyard_ownerId"}, {"internalParameters", "sealyard_mode"}, {"internalParameters", "github", "event_name"},
			{"internalParameters", "github", "repository_id"}, {"internalParameters", "github", "repository_owner_id"}, {"internalParameters", "github", "runner_environment"},
			{"resolvedDependencies"}, {"buildType"},
		} {
			if changed, ok := without(t, c.predicate, append([]string{"buildDefinition"}, path...)...); ok && agree(PredicateProvenance, changed, runOf(c.run)) == nil {
				t.Errorf("%s: provenance without %q is believed", name, path)
			}
		}
		for _, path := range [][]string{{"runDetails", "builder", "id"}, {"runDetails", "metadata", "invocationId"}, {"runDetails"}} {
			if changed, ok := without(t, c.predicate, path...); !ok || agree(PredicateProvenance, changed, runOf(c.run)) == nil {
				t.Errorf("%s: provenance without %q is believed", name, path)
			}
		}
	}
}

// R9 T9: a mode is what the runner is; nothing is compared of a build type that nobody knows; a person vouches for no workflow.
func TestProvenanceOfAnotherKind(t *testing.T) {
	run, self := aRun(), aRun()
	self.Runner = "self-hosted"
	person := Identity{Kind: KindKeyless, ID: "a@acme.example", Issuer: "https://accounts.example"}
	mine := func(m Mode) []byte {
		b := aBuild()
		b.Mode, b.BuilderID, b.InvocationID = m, "", ""
		s, err := Provenance(b)
		if err != nil {
			t.Fatal(err)
		}
		return s.Predicate()
	}
	if err := agree(PredicateProvenance, mine(ModeCLI), person); err != nil {
		t.Errorf("a person's own build: %v", err)
	}
	hosted := strings.ReplaceAll(string(ourProvenance(t, run, ModeAction)), `"sealyard_runner":"github-hosted"`, `"sealyard_runner":"self-hosted"`)
	lesser := strings.ReplaceAll(string(ourProvenance(t, self, ModeSelfHosted)), `"sealyard_runner":"self-hosted"`, `"sealyard_runner":"github-hosted"`)
	other := strings.Replace(string(ourProvenance(t, run, ModeAction)), `"resolvedDependencies":[`, `"resolvedDependencies":[{"uri":"git+URI","digest":{"gitCommit":"`+strings.Repeat("d", 40)+`"}},`, 1)
	elsewhere := run
	elsewhere.Config = strings.Replace(run.Config, "refs/heads/main", "refs/tags/v9", 1)
	tagged := strings.Replace(string(ourProvenance(t, run, ModeAction)), `"ref":"refs/heads/main","repository"`, `"ref":"refs/tags/v9","repository"`, 1)
	for name, c := range map[string]struct {
		predicate string
		who       Identity
		want      string
	}{
		"action on a runner of its user":   {hosted, runOf(self), `mode is "action"`},
		"self-hosted on GitHub's":          {lesser, runOf(run), `mode is "self-hosted"`},
		"workflow at another ref":          {tagged, runOf(elsewhere), `the ref is "refs/tags/v9"`},
		"unknown build type":               {strings.Replace(string(githubProvenance(run)), githubBuildType, "https://x.example/v1", 1), runOf(run), `"https://x.example/v1"`},
		"no workflow in it":                {string(mine(ModeCLI)), runOf(run), "repository"},
		"a person's, as an action":         {string(mine(ModeAction)), person, "names no workflow"},
		"a person's, as a workflow":        {string(ourProvenance(t, run, ModeCLI)), person, "names no workflow"},
		"a person's, by GitHub's action":   {string(githubProvenance(run)), person, "names no workflow"},
		"a person's, in no mode of theirs": {strings.Replace(string(mine(ModeCLI)), `"sealyard_mode":"cli"`, `"sealyard_mode":"action"`, 1), person, "names no workflow"},
		"another commit":                   {strings.Replace(other, "URI", run.Repository+"@refs/heads/dev", 1), runOf(run), "is at commit"},
		"another commit, .git":             {strings.Replace(other, "URI", run.Repository+".git#dev", 1), runOf(run), "is at commit"},
		"another commit, by ssh":           {strings.Replace(other, "URI", "ssh://git@github.com:acme/Widget.git", 1), runOf(run), "is at commit"},
		"another repository":               {strings.Replace(other, "URI", run.Repository+"2@refs/heads/dev", 1), runOf(run), ""},
		"not an object":                    {`[]`, runOf(run), "provenance"},
	} {
		if err := agree(PredicateProvenance, []byte(c.predicate), c.who); (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := aBuild()
	b.Mode, b.BuilderID, b.Workflow = ModeAction, run.Signer, run
	b.External.Source, b.Origin.Commit = run.Repository, strings.Repeat("d", 40)
	if _, err := Provenance(b); err == nil || !strings.Contains(err.Error(), "nobody would believe it") {
		t.Errorf("provenance that its own certificate contradicts was made: %v", err)
	}
}

// without takes one value out of a predicate, if it is there.
func without(t testing.TB, predicate []byte, path ...string) ([]byte, bool) {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(predicate, &doc); err != nil {
		t.Fatal(err)
	}
	m := doc
	for _, name := range path[:len(path)-1] {
		next, ok := m[name].(map[string]any)
		if !ok {
			return nil, false
		}
		m = next
	}
	if _, ok := m[path[len(path)-1]]; !ok {
		return nil, false
	}
	delete(m, path[len(path)-1])
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out, true
}

// What provenance says is foreign bytes: never a panic, and never agreement with a certificate that names nothing. Run it with
// -fuzzminimizetime 1x.
func FuzzAgree(f *testing.F) {
	f.Add(ourProvenance(f, aRun(), ModeAction))
	f.Add(githubProvenance(aRun()))
	f.Add([]byte(`{"buildDefinition":{"buildType":"` + BuildType + `","resolvedDependencies":[{"uri":"git"}]}}`))
	f.Add([]byte(generatedV1(generated("delegator_generic_slsa3.yml"), delegatorBuildType, "b", "gitCommit", "")))
	f.Add([]byte(generatedV02(generated("g.yml"), "generic@v1", variables(aRun(), `"1"`), "b")))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range []string{PredicateProvenance, predicateProvenance02} {
			_ = agree(kind, b, runOf(aRun()))
			empty := Workflow{Run: "x"}
			if agree(kind, b, runOf(empty)) == nil {
				t.Fatalf("agrees with a certificate that names a run and nothing else: %s", b)
			}
		}
	})
}
