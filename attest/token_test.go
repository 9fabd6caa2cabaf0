package attest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

func source(token string) attest.TokenSource {
	return func(context.Context, string) (string, error) { return token, nil }
}

// R93: of a token that Fulcio would refuse without a reason the reason is given, and nothing of the token is.
func TestTokenRefused(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	const who = `"iss":"https://ci.example","sub":"s","email":"a@b.example"`
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, c := range map[string]struct{ token, want string }{
		"good":                   {token(fmt.Sprintf(`{%s,"aud":"sigstore","exp":%d}`, who, in(time.Minute))), ""},
		"one of two audiences":   {token(fmt.Sprintf(`{%s,"aud":["vault","sigstore"],"exp":%d,"nbf":%d}`, who, in(time.Minute), in(0))), ""},
		"space around it":        {" " + token(fmt.Sprintf(`{%s,"aud":"sigstore","exp":%d}`, who, in(time.Minute))) + "\n", ""},
		"a clock a little slow":  {token(fmt.Sprintf(`{%s,"aud":"sigstore","exp":%d,"nbf":%d}`, who, in(time.Hour), in(4*time.Minute))), ""},
		"expired":                {token(fmt.Sprintf(`{%s,"aud":"sigstore","exp":%d}`, who, in(0))), "expired at 2026-11-25T12:00:00Z, and here it is 2026-11-25T12:00:00Z"},
		"never expires":          {token(`{` + who + `,"aud":"sigstore"}`), "expired at 1970"},
		"not yet":                {token(fmt.Sprintf(`{%s,"aud":"sigstore","exp":%d,"nbf":%d}`, who, in(time.Hour), in(6*time.Minute))), "not valid before 2026-11-25T12:06:00Z"},
		"another audience":       {token(fmt.Sprintf(`{%s,"aud":"vault","exp":%d}`, who, in(time.Minute))), `made it for ["vault"]`},
		"no audience":            {token(fmt.Sprintf(`{%s,"exp":%d}`, who, in(time.Minute))), `made it for []`},
		"no issuer":              {token(fmt.Sprintf(`{"sub":"s","email":"a@b.example","aud":"sigstore","exp":%d}`, in(time.Minute))), "no issuer"},
		"an issuer of no kind":   {token(fmt.Sprintf(`{"iss":"https://ci.example","sub":"s","aud":"sigstore","exp":%d}`, in(time.Minute))), "cannot be foretold"},
		"an address not checked": {token(fmt.Sprintf(`{%s,"email_verified":false,"aud":"sigstore","exp":%d}`, who, in(time.Minute))), "did not verify"},
		"a claim twice":          {token(`{` + who + `,"aud":"vault","aud":"sigstore"}`), "not what OpenID Connect"},
		"empty":                  {"", "empty"},
		"access token":           {"ghs_0123456789abcdef", "access token"},
		"one word":               {"secretsecret", "not a JWT"},
		"not base64":             {"secret.secret!.secret", "not base64"},
		"too long":               {strings.Repeat("secret", 20_000), "120000 bytes"},
	} {
		got, err := source(c.token).Checked(func() time.Time { return now })(context.Background(), "sigstore")
		switch {
		case c.want == "" && (err != nil || got != strings.TrimSpace(c.token)):
			t.Errorf("%s: %q, %v", name, got, err)
		case c.want != "" && (err == nil || got != "" || !strings.Contains(err.Error(), c.want) || !hint.IsMisuse(err) || hint.Of(err) == ""):
			t.Errorf("%s: %q, %v", name, got, err)
		case err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "ghs_") || strings.Contains(err.Error(), "eyJ")):
			t.Errorf("%s: the token is shown: %v", name, err)
		}
	}
	failing := attest.TokenSource(func(context.Context, string) (string, error) { return "", errors.New("no way there") })
	if _, err := failing.Checked(time.Now)(context.Background(), "sigstore"); err == nil || err.Error() != "no way there" {
		t.Error(err)
	}
}

// R8 R10: what a certificate will say follows from the claims, by the rules of Sigstore's public instance; test/sigstack shows
// that Fulcio has them (action/testdata/script/token.txtar).
func TestForetoldByClaims(t *testing.T) {
	s := newSigstore(t)
	for name, c := range map[string]struct {
		claims string
		want   attest.Identity
	}{
		"GitLab, a tag": {`{"iss":"https://gitlab.com","ci_config_ref_uri":"gitlab.com/a/b//.gitlab-ci.yml@refs/tags/v1","project_path":"a/b","project_id":"7","namespace_id":"8","sha":"c","ref":"v1",
			"ref_type":"tag","runner_environment":"gitlab-hosted","pipeline_source":"push","job_id":"9","project_visibility":"private"}`,
			attest.Identity{Kind: attest.KindKeyless, Issuer: "https://gitlab.com", ID: "https://gitlab.com/a/b//.gitlab-ci.yml@refs/tags/v1", Workflow: attest.Workflow{
				Signer: "https://gitlab.com/a/b//.gitlab-ci.yml@refs/tags/v1", Config: "https://gitlab.com/a/b//.gitlab-ci.yml@refs/tags/v1", Runner: "gitlab-hosted",
				Repository: "https://gitlab.com/a/b", Commit: "c", Ref: "refs/tags/v1", RepositoryID: "7", OwnerID: "8", Event: "push", Run: "https://gitlab.com/a/b/-/jobs/9", Visibility: "private",
			}}},
		"Buildkite": {`{"iss":"https://agent.buildkite.com","organization_slug":"a","pipeline_slug":"b","build_number":3,"build_commit":"c","build_source":"ui","job_id":"j","runner_environment":"self-hosted"}`,
			attest.Identity{Kind: attest.KindKeyless, Issuer: "https://agent.buildkite.com", ID: "https://buildkite.com/a/b", Workflow: attest.Workflow{
				Runner: "self-hosted", Commit: "c", Event: "ui", Run: "https://buildkite.com/a/b/builds/3#j",
			}}},
		"a person, by a go-between": {`{"iss":"https://oauth2.sigstore.dev/auth","email":"a@b.example","email_verified":true,"federated_claims":{"connector_id":"https://accounts.google.com"}}`,
			attest.Identity{Kind: attest.KindKeyless, Issuer: "https://accounts.google.com", ID: "a@b.example"}},
		"SPIFFE":     {`{"iss":"i","sub":"spiffe://a.example/b"}`, attest.Identity{Kind: attest.KindKeyless, Issuer: "i", ID: "spiffe://a.example/b"}},
		"Kubernetes": {`{"iss":"i","sub":"x","kubernetes.io":{"namespace":"n","serviceaccount":{"name":"a"}}}`, attest.Identity{Kind: attest.KindKeyless, Issuer: "i", ID: "https://kubernetes.io/namespaces/n/serviceaccounts/a"}},
	} {
		k := must(attest.NewKeyless(attest.KeylessOptions{Token: source(token(c.claims)), SigningConfig: s.config(t, "", "/timestamp"), Now: time.Now()}))(t)
		if got, err := k.Identity(context.Background()); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A token is told from the name of a file.
func TestIsToken(t *testing.T) {
	for s, want := range map[string]bool{"eyJhbGciOiJub25lIn0.e30.": true, "token.jwt": false, "eyJ.txt.gz": true, "./eyJ.a.b": false, "eyJ": false, "": false} {
		if attest.IsToken(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

// A token is foreign bytes: whatever is in it, it is refused or foretells somebody.
func FuzzToken(f *testing.F) {
	for _, claims := range []string{`{"iss":"i","email":"a@b.example","aud":"sigstore","exp":9e9}`, `{"aud":[1,{}],"exp":-1e300,"kubernetes.io":{}}`, `[]`, `{"exp":"x"}`} {
		f.Add(claims)
	}
	f.Fuzz(func(t *testing.T, claims string) {
		word := "eyJ." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x"
		got, err := source(word).Checked(time.Now)(context.Background(), "sigstore")
		if (err == nil) != (got == word) || err != nil && !hint.IsMisuse(err) {
			t.Errorf("%q, %v", got, err)
		}
	})
}
