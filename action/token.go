package action

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

// Where the identity of a job comes from, when no input says it.
const (
	tokenURL    = "ACTIONS_ID_TOKEN_REQUEST_URL" // GitHub's endpoint, and
	tokenBearer = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
	tokenWord   = "SIGSTORE_ID_TOKEN" // the token itself, as GitLab is asked for it
)

// hasToken reports whether this job has an identity to sign with.
func (s *session) hasToken() bool {
	return s.in.one("identity-token") != "" || s.env.getenv(tokenURL) != "" || s.env.getenv(tokenWord) != ""
}

// identityToken is the source of this job's identity: what the input names, or what the CI offers. Nothing is read before it is needed.
func (s *session) identityToken() attest.TokenSource {
	given := s.in.one("identity-token")
	switch {
	case given != "":
		return func(context.Context, string) (string, error) { return s.givenToken(given) }
	case s.env.getenv(tokenURL) == "" && s.env.getenv(tokenWord) != "":
		return func(context.Context, string) (string, error) { return s.env.getenv(tokenWord), nil }
	default:
		fetch := attest.GitHubToken(s.env.getenv(tokenURL), s.env.getenv(tokenBearer))
		return func(ctx context.Context, audience string) (string, error) {
			token, err := fetch(ctx, audience)
			return token, advise(err, "this machine must reach the host of "+tokenURL+", as a job's runner does: check the proxy and firewall between, and that the job still runs")
		}
	}
}

// givenToken reads what the input identity-token names. It may be a secret that was meant to be something else, so no error quotes it.
func (s *session) givenToken(given string) (string, error) {
	if name, ok := strings.CutPrefix(given, "env:"); ok {
		name = strings.TrimPrefix(name, "//")
		if v := s.env.getenv(name); v != "" {
			return v, nil
		}
		return "", hint.Misuse(errors.New("--identity-token: the environment variable that it names is not set"), "set it in the environment of the job")
	}
	if attest.IsToken(given) {
		return given, nil
	}
	if info, err := os.Stat(given); err != nil || !info.Mode().IsRegular() {
		return "", hint.Misuse(errors.New("--identity-token: neither a token nor a file that is there"), "give the OIDC token, the path of a file that holds it, or env:NAME")
	}
	raw, err := readFile(given)
	return string(raw), err
}

// tokens are those that were given, for hiding them. What the token endpoint gives out is never written, and the runner itself hides
// what is asked with.
func (s *session) tokens() []string {
	out := []string{s.env.getenv(tokenWord)}
	if given := s.in.one("identity-token"); given != "" {
		if v, err := s.givenToken(given); err == nil { // when it cannot be read, signing says so
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}
