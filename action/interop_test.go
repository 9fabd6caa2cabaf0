package action_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/internal/testkit"
)

// peer returns the path of a program that is not ours, or skips the test.
func peer(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(testkit.Root(t), ".tools", "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not there: tools/tools.sh %s builds it", name, name)
	}
	return path
}

// R43 R44 R53 R54 R59: cosign finds and accepts every claim that cosign has a name for, on the index and on each platform's
// manifest, in registries with and without the referrers API, and with our public key only.
func TestInteropCosign(t *testing.T) {
	t.Parallel()
	cosign := peer(t, "cosign")
	w := shared(t)
	v3, olareg := testkit.Registry(t, testkit.Distribution)+"/app", testkit.Registry(t, testkit.Olareg)+"/app"
	sealed := filepath.Join(t.TempDir(), "sealed")
	w.must(t, "build", w.context(t, plain), "--buildkit-host", w.engine, "--key", w.key, "--progress", "quiet", "--evidence-path", sealed,
		"--platform", "linux/amd64,linux/arm64", "--tag", v3+":1", "--tag", olareg+":1", "--push")
	subjects, err := layout(sealed).subjects()
	if err != nil {
		t.Fatal(err)
	}
	// cosign insists on a trusted root even where a key is all that is asked for: one that names nothing.
	root := filepath.Join(t.TempDir(), "root.json")
	if err := os.WriteFile(root, []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	mallory := filepath.Join(t.TempDir(), "mallory")
	w.must(t, "key", "generate", "--output-key-prefix", mallory)
	verify := func(ref, kind, key string) ([]byte, error) {
		cmd := exec.Command(cosign, "verify-attestation", "--new-bundle-format", "--trusted-root", root, "--key", key,
			"--insecure-ignore-tlog", "--type", kind, ref)
		cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
		return cmd.CombinedOutput()
	}
	for _, repo := range []string{v3, olareg} {
		for name, digest := range subjects {
			ref := repo + "@" + digest
			for kind, predicate := range map[string]string{
				"slsaprovenance1": "https://slsa.dev/provenance/v1", "spdxjson": "https://spdx.dev/Document", "cyclonedx": "https://cyclonedx.org/bom",
				"https://in-toto.io/attestation/vulns/v0.2":       "https://in-toto.io/attestation/vulns/v0.2",
				"https://in-toto.io/attestation/test-result/v0.1": "https://in-toto.io/attestation/test-result/v0.1",
			} {
				t.Run(strings.Join([]string{repo, name, filepath.Base(kind)}, " "), func(t *testing.T) {
					t.Parallel()
					out, err := verify(ref, kind, w.public())
					if err != nil {
						t.Fatalf("%v\n%s", err, out)
					}
					var envelope struct{ Payload []byte }
					if i := bytes.IndexByte(out, '{'); i < 0 || json.Unmarshal(bytes.SplitN(out[i:], []byte("\n"), 2)[0], &envelope) != nil {
						t.Fatalf("cosign says %s", out)
					}
					for _, want := range []string{`"predicateType":"` + predicate + `"`, strings.TrimPrefix(digest, "sha256:")} {
						if !bytes.Contains(envelope.Payload, []byte(want)) {
							t.Errorf("%s is not in %s", want, envelope.Payload)
						}
					}
				})
			}
		}
	}
	t.Run("another key", func(t *testing.T) {
		if out, err := verify(v3+"@"+subjects["index"], "slsaprovenance1", mallory+".pub"); err == nil {
			t.Errorf("cosign accepts any key, so the tests above say nothing: %s", out)
		}
	})
	t.Run("a claim that is not there", func(t *testing.T) {
		if out, err := verify(v3+"@"+subjects["index"], "openvex", w.public()); err == nil {
			t.Errorf("cosign accepts any type, so the tests above say nothing: %s", out)
		}
	})
}

// T20 T26: what cosign sign-blob and attest-blob write is verified, with a key and with a job's identity: the one as a signature over
// the artifact, which is no statement, the other as the statement it is.
func TestInteropCosignBlob(t *testing.T) {
	t.Parallel()
	cosign := peer(t, "cosign")
	j := newJob(t, shared(t), testkit.Tool(t, "sigstack"))
	dir := t.TempDir()
	artifact, other, statement := filepath.Join(dir, "app.tar.gz"), filepath.Join(dir, "other"), filepath.Join(dir, "statement.json")
	for name, content := range map[string]string{artifact: "an artifact", other: "another", statement: fmt.Sprintf(
		`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%x"}}],"predicateType":"https://example.com/p","predicate":{}}`, sha256.Sum256([]byte("an artifact")))} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	byKey := []string{"--key", j.key, "--tlog-upload=false"}
	byJob := []string{"--identity-token", j.token(t, ""), "--signing-config", filepath.Join(j.sigstore, "rekor-v1", "signing_config.json"), "--trusted-root", filepath.Join(j.sigstore, "rekor-v1", "trusted_root.json")}
	keyTrust := []string{"--key", j.public()}
	jobTrust := []string{"--trusted-root", filepath.Join(j.sigstore, "trusted_root.json"), "--repo", "acme/widget"}
	for _, c := range []struct {
		name        string // of cosign's command
		sign, trust []string
		want        string
	}{
		{"sign-blob", byKey, keyTrust, "signed, and nothing said about it\n    by key "},
		{"sign-blob", byJob, jobTrust, "signed, and nothing said about it\n    by https://github.com/acme/widget/"},
		{"attest-blob", byKey, keyTrust, "https://example.com/p\n    by key "},
		{"attest-blob", byJob, jobTrust, "https://example.com/p\n    by https://github.com/acme/widget/"},
	} {
		bundle := filepath.Join(t.TempDir(), "bundle.json")
		args := append([]string{c.name, "--yes", "--new-bundle-format", "--bundle", bundle}, c.sign...)
		if c.name == "attest-blob" {
			args = append(args, "--statement", statement) // exactly this one; of a predicate alone cosign 2 makes a statement v0.1
		} else {
			args = append(args, artifact)
		}
		cmd := exec.Command(cosign, args...)
		cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "COSIGN_PASSWORD=" + password}, j.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cosign %v: %v\n%s", args, err, out)
		}
		out := j.must(t, append([]string{"verify", artifact, "--bundle", bundle}, c.trust...)...)
		if !strings.Contains(out.stdout, c.want) {
			t.Errorf("%s: %s", c.name, out.stdout)
		}
		for _, args := range [][]string{
			append([]string{"verify", other, "--bundle", bundle}, c.trust...),
			append([]string{"verify", artifact, "--bundle", bundle, "--predicate-type", "https://example.com/q"}, c.trust...),
		} {
			if out := j.run(t.Context(), &bytes.Buffer{}, args...); out.code != action.Denied {
				t.Errorf("%v: exit %d: %s%s", args, out.code, out.stdout, out.stderr)
			}
		}
	}
}

// vulnerable is an image with one known flaw in it.
const vulnerable = "FROM scratch\nCOPY tool /tool\nCOPY minimist.json /usr/lib/node_modules/minimist/package.json\nUSER 65532\n"

// R59: grype finds in our SBOMs, of both kinds, what we found in the image; syft reads and converts them.
func TestInteropSBOM(t *testing.T) {
	t.Parallel()
	grype, syft := peer(t, "grype"), peer(t, "syft")
	w := shared(t)
	dir := w.context(t, vulnerable)
	if err := os.WriteFile(filepath.Join(dir, "minimist.json"), []byte(`{"name": "minimist", "version": "1.2.5", "license": "MIT"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	evidence := filepath.Join(t.TempDir(), "evidence")
	w.must(t, "build", dir, "--buildkit-host", w.engine, "--progress", "quiet", "--evidence-path", evidence, "--mode", "warn")
	home := t.TempDir()
	env := []string{
		"HOME=" + home, "XDG_CACHE_HOME=" + home, "PATH=" + os.Getenv("PATH"),
		"GRYPE_DB_AUTO_UPDATE=false", "GRYPE_DB_CACHE_DIR=" + filepath.Join(home, "db"), "GRYPE_CHECK_FOR_APP_UPDATE=false", "SYFT_CHECK_FOR_APP_UPDATE=false",
	}
	output := func(name string, args ...string) []byte {
		cmd := exec.Command(name, args...)
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v %s", args, err, err.(*exec.ExitError).Stderr)
		}
		return out
	}
	output(grype, "db", "import", w.archive)
	for _, kind := range []string{"spdx", "cdx"} {
		sbom := filepath.Join(evidence, "evidence", "sbom", "linux-amd64."+kind+".json")
		var found struct {
			Matches []struct {
				Vulnerability struct{ ID string }
				Artifact      struct{ Name, Version string }
			}
		}
		if err := json.Unmarshal(output(grype, "sbom:"+sbom, "-o", "json", "-q"), &found); err != nil {
			t.Fatal(err)
		}
		if len(found.Matches) != 1 || found.Matches[0].Vulnerability.ID != "GHSA-xvch-5gv4-984h" || found.Matches[0].Artifact.Version != "1.2.5" {
			t.Errorf("grype on %s: %+v", kind, found.Matches)
		}
		for _, to := range []string{"syft-json", "spdx-json", "cyclonedx-json"} {
			if out := string(output(syft, "convert", sbom, "-o", to, "-q")); !strings.Contains(out, "minimist") || !strings.Contains(out, "stdlib") {
				t.Errorf("syft convert of %s to %s loses packages: %s", kind, to, out)
			}
		}
	}
}
