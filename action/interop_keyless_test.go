package action_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/internal/testkit"
)

const (
	jobWorkflow  = "https://github.com/acme/widget/.github/workflows/build.yml@refs/heads/main"
	githubIssuer = "https://token.actions.githubusercontent.com"
)

// keyless are the kinds of claim that cosign has a name for, with the predicate type of each.
func keyless() map[string]string {
	return map[string]string{
		"slsaprovenance1": "https://slsa.dev/provenance/v1", "spdxjson": "https://spdx.dev/Document", "cyclonedx": "https://cyclonedx.org/bom",
		"https://in-toto.io/attestation/vulns/v0.2": "https://in-toto.io/attestation/vulns/v0.2",
	}
}

// R43 R44 R45 R53 R54: what a job signs with its identity, cosign accepts on the index and on each platform's manifest, and gh
// as well: of that repository and workflow, and of no other.
func TestInteropKeyless(t *testing.T) {
	t.Parallel()
	j := newJob(t, shared(t), testkit.Tool(t, "sigstack"))
	ref := testkit.Registry(t, testkit.Distribution) + "/keyless"
	sealed := filepath.Join(t.TempDir(), "sealed")
	if out := j.build(t, sealed, "--platform", "linux/amd64,linux/arm64", "--tag", ref+":1", "--push"); out.code != action.Allowed {
		t.Fatal(out.stderr)
	}
	subjects, err := layout(sealed).subjects()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("cosign", func(t *testing.T) {
		cosign := peer(t, "cosign")
		verify := func(digest, kind, identity string) ([]byte, error) {
			cmd := exec.Command(cosign, "verify-attestation", "--new-bundle-format", "--trusted-root", filepath.Join(j.sigstore, "trusted_root.json"), "--use-signed-timestamps",
				"--certificate-identity", identity, "--certificate-oidc-issuer", githubIssuer, "--type", kind, ref+"@"+digest)
			cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
			return cmd.CombinedOutput()
		}
		for name, digest := range subjects {
			for kind, predicate := range keyless() {
				out, err := verify(digest, kind, jobWorkflow)
				var envelope struct{ Payload []byte }
				if i := bytes.IndexByte(out, '{'); err != nil || i < 0 || json.Unmarshal(bytes.SplitN(out[i:], []byte("\n"), 2)[0], &envelope) != nil {
					t.Fatalf("%s %s: %v\n%s", name, kind, err, out)
				}
				for _, want := range []string{`"predicateType":"` + predicate + `"`, strings.TrimPrefix(digest, "sha256:")} {
					if !bytes.Contains(envelope.Payload, []byte(want)) {
						t.Errorf("%s %s: %s is not in %s", name, kind, want, envelope.Payload)
					}
				}
			}
		}
		if out, err := verify(subjects["index"], "slsaprovenance1", strings.Replace(jobWorkflow, "widget", "other", 1)); err == nil {
			t.Errorf("cosign accepts anybody, so the tests above say nothing: %s", out)
		}
	})
	t.Run("gh", func(t *testing.T) {
		gh := peer(t, "gh")
		root, err := os.ReadFile(filepath.Join(j.sigstore, "trusted_root.json"))
		if err != nil {
			t.Fatal(err)
		}
		lines := filepath.Join(t.TempDir(), "trusted_root.jsonl") // gh reads whole lines only
		if err := os.WriteFile(lines, append(root, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		verify := func(digest, bundle, kind string, who ...string) ([]byte, error) {
			args := []string{"attestation", "verify", layout(sealed).path(digest), "--bundle", bundle, "--custom-trusted-root", lines, "--predicate-type", kind, "--format", "json"}
			cmd := exec.Command(gh, append(args, who...)...)
			cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "GH_NO_UPDATE_NOTIFIER=1"}
			return cmd.CombinedOutput()
		}
		mine := []string{"--repo", "acme/widget", "--signer-workflow", "acme/widget/.github/workflows/build.yml", "--source-ref", "refs/heads/main", "--deny-self-hosted-runners"}
		for name, digest := range subjects {
			for _, kind := range keyless() {
				a, err := layout(sealed).attached(name, kind)
				if err != nil {
					t.Fatal(err)
				}
				bundle := filepath.Join(t.TempDir(), "bundle.json") // gh asks for the ending
				if err := os.Link(layout(sealed).path(a.layer), bundle); err != nil {
					t.Fatal(err)
				}
				if out, err := verify(digest, bundle, kind, mine...); err != nil || !bytes.Contains(out, []byte(strings.TrimPrefix(digest, "sha256:"))) {
					t.Errorf("%s %s: %v\n%s", name, kind, err, out)
				}
				if out, err := verify(digest, bundle, kind, "--repo", "acme/other"); err == nil {
					t.Errorf("gh accepts any repository, so the tests above say nothing: %s", out)
				}
			}
		}
	})
}

// workflowPredicate is provenance as GitHub's own action makes it, of the stack's job.
const workflowPredicate = `{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1","externalParameters":{"workflow":{"ref":"refs/heads/main",
"repository":"https://github.com/acme/widget","path":".github/workflows/build.yml"}},"internalParameters":{"github":{"event_name":"push","repository_id":"1001",
"repository_owner_id":"2002","runner_environment":"github-hosted"}},"resolvedDependencies":[{"uri":"git+https://github.com/acme/widget@refs/heads/main",
"digest":{"gitCommit":"1111111111111111111111111111111111111111"}}]},"runDetails":{"builder":{"id":"` + jobWorkflow + `"},
"metadata":{"invocationId":"https://github.com/acme/widget/actions/runs/4004/attempts/1"}}}`

// generatorPredicate is provenance as slsa-github-generator makes it for a container, of the same job.
const generatorPredicate = `{"builder":{"id":"https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.0.0"},
"buildType":"https://github.com/slsa-framework/slsa-github-generator/container@v1","invocation":{"configSource":{"uri":"git+https://github.com/acme/widget@refs/heads/main",
"digest":{"sha1":"1111111111111111111111111111111111111111"},"entryPoint":".github/workflows/build.yml"},"parameters":{},"environment":{"github_event_name":"push",
"github_ref":"refs/heads/main","github_repository_id":"1001","github_repository_owner_id":"2002","github_run_attempt":"1","github_run_id":"4004",
"github_sha1":"1111111111111111111111111111111111111111"}},"metadata":{"buildInvocationID":"4004-1"},
"materials":[{"uri":"git+https://github.com/acme/widget@refs/heads/main","digest":{"sha1":"1111111111111111111111111111111111111111"}}]}`

// R21 R23 R41 R42: what cosign signs for a job is verified here: provenance in the shape of GitHub's action and of
// slsa-github-generator, and an inventory. What provenance says of another run than the certificate is refused.
func TestInteropCosignSigned(t *testing.T) {
	t.Parallel()
	cosign := peer(t, "cosign")
	j := newJob(t, shared(t), testkit.Tool(t, "sigstack"))
	generator := "slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml"
	for name, c := range map[string]struct {
		kind, uri, predicate string
		claims               string // of the token, beside the job's own
		who                  []string
		want                 int
		says                 string
	}{
		"GitHub's action":   {"slsaprovenance1", "https://slsa.dev/provenance/v1", workflowPredicate, "", nil, action.Allowed, ""},
		"the generator":     {"slsaprovenance", "https://slsa.dev/provenance/v0.2", generatorPredicate, "&job_workflow_ref=" + generator + "@refs/tags/v2.0.0", []string{"--signer-workflow", generator}, action.Allowed, ""},
		"an inventory":      {"cyclonedx", "https://cyclonedx.org/bom", `{"bomFormat":"CycloneDX","specVersion":"1.6"}`, "", nil, action.Allowed, ""},
		"another's run":     {"slsaprovenance1", "https://slsa.dev/provenance/v1", workflowPredicate, "&run_id=5", nil, action.Denied, `provenance says that the run is`},
		"another commit":    {"slsaprovenance1", "https://slsa.dev/provenance/v1", workflowPredicate, "&sha=2222222222222222222222222222222222222222", nil, action.Denied, "is at commit"},
		"generator, forged": {"slsaprovenance", "https://slsa.dev/provenance/v0.2", generatorPredicate, "", nil, action.Denied, `provenance says that the builder is`},
		"another workflow":  {"slsaprovenance1", "https://slsa.dev/provenance/v1", workflowPredicate, "", []string{"--workflow", ".github/workflows/other.yml"}, action.Denied, "the certificate's workflow is"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := func(name, content string) string {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			artifact, bundle := file("artifact", "an artifact"), filepath.Join(dir, "bundle.json")
			cmd := exec.Command(cosign, "attest-blob", "--yes", "--new-bundle-format", "--identity-token", file("token", j.token(t, c.claims)),
				"--signing-config", filepath.Join(j.sigstore, "rekor-v1", "signing_config.json"), "--trusted-root", filepath.Join(j.sigstore, "trusted_root.json"),
				"--predicate", file("predicate.json", c.predicate), "--type", c.kind, "--bundle", bundle, artifact)
			cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("cosign: %v\n%s", err, out)
			}
			args := append([]string{"verify", bundle, "--subject", artifact, "--trusted-root", filepath.Join(j.sigstore, "trusted_root.json"), "--repo", "acme/widget",
				"--predicate-type", c.uri}, c.who...)
			if out := j.run(t.Context(), &bytes.Buffer{}, args...); out.code != c.want || !strings.Contains(out.stdout, c.says) {
				t.Errorf("exit %d, want %d and %q:\n%s%s", out.code, c.want, c.says, out.stdout, out.stderr)
			}
		})
	}
}
