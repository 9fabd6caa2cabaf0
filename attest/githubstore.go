package attest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/sealyard/sealyard/internal/hint"
)

// GitHubStore is where GitHub keeps attestations of a repository's artifacts, for `gh attestation verify` and its web pages.
type GitHubStore struct {
	API        string // https://api.github.com
	Repository string // OWNER/NAME
	Token      string // with the permission attestations: write
}

// Add stores a bundle (REST API, "Create an attestation"). Storing the same bundle again is no error. No error holds the token.
func (g GitHubStore) Add(ctx context.Context, b Bundle) error {
	u, err := url.Parse(g.API)
	if err != nil {
		return errors.New("the URL of GitHub's API is malformed")
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme != "https" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("GitHub's API at %q without TLS", u.Host)
	}
	body, err := json.Marshal(map[string]json.RawMessage{"bundle": json.RawMessage(b)})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.JoinPath("repos", g.Repository, "attestations").String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+g.Token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	client := &http.Client{Transport: patient{ctx, "GitHub's attestation store"}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusCreated {
		return nil
	}
	why, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	if err != nil {
		return err
	}
	return hint.Wrap(fmt.Errorf("GitHub's attestation store of %q answered %d %q", g.Repository, res.StatusCode, why),
		"the job needs `permissions: attestations: write`, and github-token a token with it")
}
