package action_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/internal/testkit"
	"github.com/sealyard/sealyard/oci"
)

// tight is a policy that allows what has no reason against it.
const tight = `package sealyard

# METADATA
# title: The image has a digest
# custom:
#   id: named
deny contains {"rule": "named", "message": "no digest"} if input.image.digest == ""

allow := true
`

// R66 R67: what others sign a policy with is as good as our own signature: cosign sign on the artifact, with a key and with a
// job's identity, and cosign sign-blob beside a file. cosign verifies ours.
func TestInteropPolicy(t *testing.T) {
	t.Parallel()
	cosign := peer(t, "cosign")
	j := newJob(t, shared(t), testkit.Tool(t, "sigstack"))
	reg, dir := testkit.Registry(t, testkit.Olareg), t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "acme"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "acme", "main.rego"), []byte(tight), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) error {
		cmd := exec.Command(cosign, args...)
		cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "COSIGN_PASSWORD=" + password}, j.env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("cosign %v: %v\n%s", args, err, out)
		}
		return err
	}
	must := func(args ...string) {
		t.Helper()
		if err := run(args...); err != nil {
			t.Fatal(err)
		}
	}
	pushed := regexp.MustCompile(`oci://(\S+@sha256:[0-9a-f]{64})`)
	push := func(name string, args ...string) string {
		t.Helper()
		out := j.must(t, append([]string{"policy", "push", filepath.Join(dir, "acme"), reg + "/" + name + ":1"}, args...)...)
		return pushed.FindStringSubmatch(out.stdout)[1]
	}
	who := "https://github.com/acme/widget/.github/workflows/build.yml@refs/heads/main"
	root := filepath.Join(j.sigstore, "trusted_root.json")
	services := []string{"--identity-token", j.token(t, ""), "--signing-config", filepath.Join(j.sigstore, "rekor-v1", "signing_config.json"), "--trusted-root", filepath.Join(j.sigstore, "rekor-v1", "trusted_root.json")}
	byJob := []string{"--policy-identity", who, "--trusted-root", root}
	byPattern := []string{"--policy-identity", "^https://github.com/acme/widget/.*", "--policy-issuer", "https://token.actions.githubusercontent.com", "--trusted-root", root}
	byOther := []string{"--policy-identity", strings.Replace(who, "main", "dev", 1), "--trusted-root", root}
	byKey := []string{"--policy-key", j.public()}
	show := func(want int, source string, trust []string) {
		t.Helper()
		out := j.run(t.Context(), &bytes.Buffer{}, append([]string{"policy", "show", source}, trust...)...)
		if out.code != want || want == action.Allowed && !strings.Contains(out.stdout, `"signer": {`) {
			t.Errorf("show %s %v: exit %d, want %d: %s%s", source, trust, out.code, want, out.stdout, out.stderr)
		}
	}

	theirs := push("theirs")
	show(action.Failed, "oci://"+theirs, byKey)
	must("sign", "--yes", "--key", j.key, "--tlog-upload=false", "--new-bundle-format", theirs)
	show(action.Allowed, "oci://"+theirs, byKey)
	show(action.Failed, "oci://"+theirs, byJob)
	must(append([]string{"sign", "--yes", "--new-bundle-format", theirs}, services...)...)
	show(action.Allowed, "oci://"+theirs, byJob)
	show(action.Allowed, "oci://"+theirs, byPattern)
	show(action.Failed, "oci://"+theirs, byOther)
	// Another statement by the same key, such as one that a scanner made of the policy, is no signature.
	other := push("other")
	must("attest", "--yes", "--key", j.key, "--tlog-upload=false", "--new-bundle-format", "--type", "https://example.com/p", "--predicate", filepath.Join(j.sigstore, "trusted_root.json"), other)
	show(action.Failed, "oci://"+other, byKey)

	ours := push("ours", "--key", j.key)
	empty := filepath.Join(dir, "root.json")
	if err := os.WriteFile(empty, []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	must("verify", "--new-bundle-format", "--trusted-root", empty, "--key", j.public(), "--insecure-ignore-tlog", ours)
	keyless := push("keyless", "--sign", "keyless", "--signing-config", filepath.Join(j.sigstore, "signing_config.json"), "--trusted-root", root)
	show(action.Allowed, "oci://"+keyless, byJob)
	show(action.Failed, "oci://"+keyless, byKey)

	file := filepath.Join(dir, "acme.tar.gz")
	if out, err := exec.Command("tar", "-C", filepath.Join(dir, "acme"), "-czf", file, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	show(action.Failed, file, byJob)
	must(append([]string{"sign-blob", "--yes", "--new-bundle-format", "--bundle", file + ".sigstore.json"}, append(services, file)...)...)
	show(action.Allowed, file, byJob)
	show(action.Failed, file, byOther)
	show(action.Failed, filepath.Join(dir, "acme"), byJob)
}

// What OPA and conftest push is read: an archive under either of two types, single files by their titles, and an index around one.
func TestPolicyArtifacts(t *testing.T) {
	t.Parallel()
	w, reg := shared(t), testkit.Registry(t, testkit.Olareg)
	remote, err := oci.NewRemote(oci.RemoteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rego, data := "application/vnd.cncf.openpolicyagent.policy.layer.v1+rego", "application/vnd.cncf.openpolicyagent.data.layer.v1+json"
	title := func(name string) map[string]string {
		return map[string]string{"org.opencontainers.image.title": name}
	}
	for name, c := range map[string]struct {
		layers []oci.Layer
		code   int
		want   string
	}{
		"conftest":  {[]oci.Layer{{MediaType: rego, Annotations: title("policy/main.rego"), Content: []byte(tight)}, {MediaType: data, Annotations: title("lists/data.json"), Content: []byte(`{"x": [1]}`)}}, action.Allowed, `"name": "conftest"`},
		"no-title":  {[]oci.Layer{{MediaType: rego, Content: []byte(tight)}}, action.Misused, "which is no policy"},
		"same":      {[]oci.Layer{{MediaType: rego, Annotations: title("a.rego"), Content: []byte(tight)}, {MediaType: rego, Annotations: title("a.rego"), Content: []byte("package x")}}, action.Failed, `two layers named \"a.rego\"`},
		"escapes":   {[]oci.Layer{{MediaType: rego, Annotations: title("../a.rego"), Content: []byte(tight)}}, action.Failed, `unsafe path \"../a.rego\"`},
		"data":      {[]oci.Layer{{MediaType: rego, Annotations: title("a.rego"), Content: []byte(tight)}, {MediaType: data, Annotations: title("lists.json"), Content: []byte("{}")}}, action.Failed, "lists.json: only"},
		"image":     {[]oci.Layer{{MediaType: "application/vnd.oci.image.layer.v1.tar", Content: []byte("x")}}, action.Misused, "which is no policy"},
		"not-a-tar": {[]oci.Layer{{MediaType: "application/vnd.cncf.openpolicyagent.layer.v1.tar+gzip", Content: []byte("x")}}, action.Failed, "not a tar.gz"},
	} {
		repo, err := remote.Repository(reg + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		img, err := repo.PushArtifact(context.Background(), oci.Artifact{Type: "application/vnd.cncf.openpolicyagent.config.v1+json", Layers: c.layers})
		if err != nil {
			t.Fatal(err)
		}
		out := w.run(t.Context(), &bytes.Buffer{}, "policy", "show", "oci://"+reg+"/"+name+"@"+img.Digest)
		if out.code != c.code || !strings.Contains(out.stdout+strings.ReplaceAll(out.stderr, `"`, `\"`), c.want) && !strings.Contains(out.stdout, c.want) {
			t.Errorf("%s: exit %d, want %d and %q: %s%s", name, out.code, c.code, c.want, out.stdout, out.stderr)
		}
	}
}
