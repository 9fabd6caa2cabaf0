package attest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
)

// tokenTimeout is for the runner's token endpoint, which is on the same network, and all tries together.
const tokenTimeout = 10 * time.Second

// GitHubToken fetches OIDC tokens from the endpoint that GitHub gives to a job with `permissions: id-token: write`.
// The arguments are the values of ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN; without them the
// error says which permission is missing (R93). A refusal is an error, never an empty token. No error holds the token.
func GitHubToken(requestURL, requestToken string) TokenSource {
	return func(ctx context.Context, audience string) (string, error) {
		if requestURL == "" || requestToken == "" {
			return "", hint.Misuse(errors.New("this job may not ask GitHub for an identity"),
				"add `permissions: id-token: write` to the job; pull requests from forks never get it")
		}
		u, err := url.Parse(requestURL)
		if err != nil {
			return "", errors.New("the token endpoint's URL is malformed")
		}
		q := u.Query()
		q.Set("audience", audience)
		u.RawQuery = q.Encode()
		ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return "", err
		}
		req.Header.Set("Authorization", "Bearer "+requestToken)
		client := &http.Client{Transport: patient{ctx, "token endpoint"}, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the bearer token is for this endpoint
		}}
		res, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return "", fmt.Errorf("token endpoint of %q answered %s", u.Host, res.Status)
		}
		var answer struct {
			Value string `json:"value"`
		}
		if err := json.NewDecoder(io.LimitReader(res.Body, maxToken)).Decode(&answer); err != nil {
			return "", fmt.Errorf("token endpoint of %q: %w", u.Host, err)
		}
		if answer.Value == "" {
			return "", fmt.Errorf("token endpoint of %q answered without a token", u.Host)
		}
		return answer.Value, nil
	}
}
