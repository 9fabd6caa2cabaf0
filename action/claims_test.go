package action

import (
	"testing"

	"github.com/sealyard/sealyard/oci"
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
