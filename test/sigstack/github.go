package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	githubIssuer = "https://token.actions.githubusercontent.com"
	tokenPath    = "/actions/idtoken"
	lifetime     = 5 * time.Minute // of a token, as at GitHub
)

// githubClaims are those of a job that builds a push to the main branch of a public repository. What is empty follows from the others.
func githubClaims() map[string]string {
	return map[string]string{
		"repository": "acme/widget", "repository_owner": "", "repository_id": "1001", "repository_owner_id": "2002", "repository_visibility": "public",
		"ref": "refs/heads/main", "ref_type": "", "ref_protected": "true", "sha": strings.Repeat("1", 40), "base_ref": "", "head_ref": "",
		"workflow": "build", "workflow_ref": "", "workflow_sha": "", "job_workflow_ref": "", "job_workflow_sha": "",
		"event_name": "push", "actor": "octocat", "actor_id": "3003", "run_id": "4004", "run_number": "5", "run_attempt": "1",
		"runner_environment": "github-hosted", "environment": "", "sub": "",
	}
}

// complete fills in what follows from other claims, as GitHub does.
func complete(c map[string]any) {
	word := func(name string) string { s, _ := c[name].(string); return s }
	follow := func(name, value string) {
		if word(name) == "" {
			c[name] = value
		}
	}
	repository, ref := word("repository"), word("ref")
	owner, _, _ := strings.Cut(repository, "/")
	kind := "branch"
	if strings.HasPrefix(ref, "refs/tags/") {
		kind = "tag"
	}
	subject := "repo:" + repository + ":ref:" + ref
	if word("event_name") == "pull_request" {
		subject = "repo:" + repository + ":pull_request"
	}
	if e := word("environment"); e != "" {
		subject = "repo:" + repository + ":environment:" + e
	} else {
		delete(c, "environment")
	}
	follow("repository_owner", owner)
	follow("ref_type", kind)
	follow("workflow_ref", repository+"/.github/workflows/build.yml@"+ref)
	follow("workflow_sha", word("sha"))
	follow("job_workflow_ref", word("workflow_ref"))
	follow("job_workflow_sha", word("workflow_sha"))
	follow("sub", subject)
}

// issuer is GitHub's part: who issues tokens, and the endpoint where a job with `permissions: id-token: write` gets them.
type issuer struct {
	http.ServeMux
	claims map[string]string
	bearer string
	key    jose.JSONWebKey
}

func newIssuer(claims map[string]string) (*issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	i := &issuer{claims: claims, bearer: rand.Text(), key: jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: string(jose.RS256), Use: "sig"}}
	i.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		self := "https://" + r.Host // GitHub, or one of the others
		answer(w, http.StatusOK, map[string]any{
			"issuer": self, "jwks_uri": self + "/.well-known/jwks", "id_token_signing_alg_values_supported": []string{"RS256"},
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public", "pairwise"}, "scopes_supported": []string{"openid"},
		})
	})
	i.HandleFunc("GET /.well-known/jwks", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Public()}})
	})
	i.HandleFunc("GET "+tokenPath, i.serveToken)
	(&store{bundles: map[string][]json.RawMessage{}}).serve(i)
	return i, nil
}

// serveToken answers as the runner's endpoint. A parameter of the URL is a claim of this token alone, so that a test can be another
// job without a stack of its own; exp, nbf and iat are durations from now, and ci names another issuer (ci.go).
func (i *issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+i.bearer {
		answer(w, http.StatusUnauthorized, map[string]string{"message": "bad credentials"})
		return
	}
	token, err := i.token(r)
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]any{"count": len(token), "value": token})
}

func (i *issuer) token(r *http.Request) (string, error) {
	now := time.Now()
	claims := map[string]any{"iss": githubIssuer, "jti": rand.Text(), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(lifetime).Unix()}
	other, elsewhere := others()[r.URL.Query().Get("ci")]
	if elsewhere {
		claims["iss"] = other.issuer
		maps.Copy(claims, other.claims)
	} else {
		for name, value := range i.claims {
			claims[name] = value
		}
	}
	for name, values := range r.URL.Query() {
		switch name {
		case "api-version", "ci":
		case "audience":
			if claims["aud"] == nil {
				claims["aud"] = values[0]
			}
		case "exp", "nbf", "iat":
			d, err := time.ParseDuration(values[0])
			if err != nil {
				return "", fmt.Errorf("claim %s: %w", name, err)
			}
			claims[name] = now.Add(d).Unix()
		default:
			claims[name] = values[0]
		}
	}
	if claims["aud"] == nil {
		owner, _, _ := strings.Cut(fmt.Sprint(claims["repository"]), "/")
		claims["aud"] = "https://github.com/" + owner
	}
	if !elsewhere {
		complete(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: i.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func answer(w http.ResponseWriter, status int, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}
