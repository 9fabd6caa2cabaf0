package action

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

// R87: what the policy sees of a configuration is what a runtime makes of it: one that could be read in two ways is refused.
func TestConfigIsReadInOneWay(t *testing.T) {
	facts := func(config string) (string, error) {
		img, err := imageFacts(oci.Image{Platforms: []oci.Platform{{Platform: "linux/amd64", Config: []byte(config)}}})
		if err != nil {
			return "", err
		}
		return img.Platforms[0].Config.User, nil
	}
	user, err := facts(`{"config":{"User":"65532","Env":["PATH=/bin"],"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["NONE"]},"x":1},"history":[]}`)
	if err != nil || user != "65532" {
		t.Errorf("%q %v", user, err)
	}
	if user, err := facts(`{"config":{"us_er":"65532"}}`); err != nil || user != "" {
		t.Errorf("%q %v", user, err)
	}
	for _, config := range []string{
		`{"config":{"User":"65532","user":"0"}}`, `{"config":{"user":"65532"}}`, `{"config":{"User":"65532"},"Config":{"User":"0"}}`,
		`{"config":{"User":"65532","User":"0"}}`, `{"config":{"User":"1"},"config":{"User":"0"}}`, `{"config":[]}`, `{`, ``,
	} {
		if user, err := facts(config); err == nil {
			t.Errorf("%s: user %q", config, user)
		}
	}
}

// T18: of two decisions of one second the denial counts, in whatever order they are found; of others the newer.
func TestDecisionsOfOneSecond(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	allowed, denied := record{time: at, decision: policy.Decision{Allowed: true}}, record{time: at}
	later := record{time: at.Add(time.Second), decision: policy.Decision{Allowed: true}}
	if !denied.outlives(allowed) || allowed.outlives(denied) || !later.outlives(denied) || denied.outlives(later) || !allowed.outlives(record{}) {
		t.Error("a decision outlives one that it should not")
	}
}

// T24: a file is the subject of a statement by both digests that the statement gives it, or not at all.
func TestFileHasBothDigests(t *testing.T) {
	private, public, err := attest.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := attest.NewKey(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := attest.LoadTrust(attest.TrustOptions{PublicKeys: []attest.File{{Name: "key", Data: public}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	digests, err := artifactDigests(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sha512 string
		want   string
	}{"both": {digests[1][7:], ""}, "another": {strings.Repeat("0", 128), "the file has not"}} {
		st, err := attest.Link(attest.StepFacts{Name: "build", Products: []attest.Artifact{{Name: "file", Digests: map[string]string{"sha256": digests[0][7:], "sha512": c.sha512}}}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := key.Sign(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		all, err := attest.ReadBundles(b)
		if err != nil {
			t.Fatal(err)
		}
		_, err = prove(trust, all[0], digests)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A branch may have any name: what is printed to be pasted into a shell is one word there.
func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"https://github.com/acme/app/.github/workflows/b.yml@refs/heads/main": "https://github.com/acme/app/.github/workflows/b.yml@refs/heads/main",
		"": "''", "a b": "'a b'", "$(id)": "'$(id)'", "it's": `'it'\''s'`, "a;b": "'a;b'",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
