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

// write puts a blob into the layout.
func (l layout) write(mediaType string, content []byte) (descriptor, error) {
	d := descriptor{MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(content)), Size: int64(len(content))}
	return d, os.WriteFile(l.path(d.Digest), content, 0o644)
}

// foreign makes a layout of the sealed image as docker buildx leaves it: an index with an unsigned attestation manifest for each
// platform, and nothing attached.
func (l layout) foreign(t *testing.T) {
	t.Helper()
	put := func(mediaType string, v any) descriptor {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.write(mediaType, raw)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	top, err := l.top()
	if err != nil {
		t.Fatal(err)
	}
	index, err := l.read(l.path(top.Manifests[0].Digest))
	if err != nil {
		t.Fatal(err)
	}
	empty := put("application/vnd.oci.empty.v1+json", struct{}{})
	for _, d := range index.Manifests {
		statement := put("application/vnd.in-toto+json", map[string]any{"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1"})
		statement.Annotations = map[string]string{"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}
		subject := descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
		m := put(d.MediaType, manifest{SchemaVersion: 2, MediaType: d.MediaType, ArtifactType: "application/vnd.docker.attestation.manifest.v1+json",
			Config: &empty, Layers: []descriptor{statement}, Subject: &subject})
		unknown := *d.Platform
		unknown.OS, unknown.Architecture, unknown.Variant = "unknown", "unknown", ""
		m.Platform = &unknown
		m.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": d.Digest}
		index.Manifests = append(index.Manifests, m)
	}
	top.Manifests = []descriptor{put(top.Manifests[0].MediaType, index)}
	raw, err := json.Marshal(top)
	if err == nil {
		err = os.WriteFile(filepath.Join(string(l), "index.json"), raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// T17 T20 T26: what BuildKit attests without a signature, and what cosign signed in the way it did before bundles, is shown, proves
// nothing, and where it is all there is, the denial says so.
func TestForeignAttestations(t *testing.T) {
	t.Parallel()
	cosign := peer(t, "cosign")
	w := shared(t)
	l := layout(filepath.Join(t.TempDir(), "foreign"))
	if out, err := exec.Command("cp", "-r", string(w.sealed), string(l)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l.foreign(t)
	ref := testkit.Registry(t, testkit.Distribution) + "/foreign:1"
	if err := pushLayout(string(l), ref); err != nil {
		t.Fatal(err)
	}
	has := func(out outcome, code int, parts ...string) {
		t.Helper()
		if out.code != code {
			t.Errorf("exit %d: %s%s", out.code, out.stdout, out.stderr)
		}
		for _, part := range parts {
			if !strings.Contains(out.stdout, part) {
				t.Errorf("%q is not in %s%s", part, out.stdout, out.stderr)
			}
		}
	}
	run := func(args ...string) outcome { return w.run(t.Context(), &bytes.Buffer{}, args...) }
	has(run("inspect", string(l)), action.Allowed, "unsigned, by BuildKit  sha256:", "https://slsa.dev/provenance/v1", "linux/arm64", "source  not stated")
	has(run("verify", string(l), "--key", w.public()), action.Denied,
		"no verified decision about this image is attached to it; there are 2 unsigned BuildKit attestations, which prove nothing here")

	predicate := filepath.Join(t.TempDir(), "predicate.json")
	if err := os.WriteFile(predicate, []byte(`{"a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"sign", "--yes", "--key", w.key, "--tlog-upload=false", "--new-bundle-format=false", ref},
		{"attest", "--yes", "--key", w.key, "--tlog-upload=false", "--new-bundle-format=false", "--type", "https://example.com/p", "--predicate", predicate, ref},
	} {
		cmd := exec.Command(cosign, args...)
		cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "COSIGN_PASSWORD=" + password}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cosign %v: %v\n%s", args, err, out)
		}
	}
	has(run("inspect", ref), action.Allowed, "unsigned, by BuildKit", "legacy cosign signature, not read", "legacy cosign attestation, not read", "https://example.com/p")
	has(run("inspect", ref, "--format", "json"), action.Allowed, `"kind": "cosign-signature"`, `"kind": "buildkit"`)
	has(run("verify", ref, "--key", w.public()), action.Denied, "there are 2 unsigned BuildKit attestations and 2 legacy cosign attachments, which prove nothing here")
	// What is verified is not told about what is not needed.
	out := w.must(t, "verify", string(w.sealed), "--key", w.public())
	if strings.Contains(out.stdout+out.stderr, "BuildKit attestation") {
		t.Errorf("%s%s", out.stdout, out.stderr)
	}
}
