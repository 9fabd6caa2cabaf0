package attest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/sealyard/sealyard/internal/hint"
)

const (
	sigstoreAudience = "sigstore"      // of the token that Fulcio takes
	maxToken         = 64 << 10        // bytes; GitHub's have 2 kB
	leeway           = 5 * time.Minute // that Fulcio gives to a token that is not valid yet; it gives none to one that expired
)

// TokenSource fetches an OIDC token for an audience, anew at every call, so that it is called as late as possible. No
// error of it holds the token.
type TokenSource func(ctx context.Context, audience string) (string, error)

// Checked is f, but for tokens that Fulcio would refuse, which it does without saying why: these are errors that do, marked
// with hint.Misuse. now is called when a token was fetched. The signature is Fulcio's to check.
func (f TokenSource) Checked(now func() time.Time) TokenSource {
	return func(ctx context.Context, audience string) (string, error) {
		token, err := f(ctx, audience)
		if err != nil {
			return "", err
		}
		token = strings.TrimSpace(token)
		c, err := readToken(token)
		if err == nil {
			err = c.current(audience, now())
		}
		if err != nil {
			return "", err
		}
		return token, nil
	}
}

// IsToken reports whether s has the form of a token, and is not the name of a file that holds one.
func IsToken(s string) bool {
	return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2 && !strings.ContainsAny(s, "/\\")
}

// claims are what a token says.
type claims struct {
	issuer    string
	audience  []string
	expires   time.Time
	notBefore time.Time         // zero is always
	words     map[string]string // every claim as Fulcio's templates see it
	account   string            // NAMESPACE/NAME of a Kubernetes service account
	connector string            // whom a go-between asked: it is the issuer in the certificate
}

// readToken reads the claims of a JWT. Errors are marked with hint.Misuse and quote nothing of it.
func readToken(token string) (claims, error) {
	refuse := func(why, how string) (claims, error) {
		return claims{}, hint.Misuse(errors.New("identity token: "+why), "%s", how)
	}
	const how = "give the OIDC token of the job, which its CI makes for audience sigstore"
	parts := strings.Split(token, ".")
	switch {
	case token == "":
		return refuse("it is empty", how)
	case len(token) > maxToken:
		return refuse(fmt.Sprintf("%d bytes, at most %d are read", len(token), maxToken), how)
	case slices.ContainsFunc([]string{"ghp_", "ghs_", "gho_", "ghu_", "github_pat_", "glpat-", "glcbt-"}, func(p string) bool { return strings.HasPrefix(token, p) }):
		return refuse("it is an access token, which says nothing about who has it", how)
	case len(parts) != 3:
		return refuse("it is not a JWT", how)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return refuse("it is not a JWT: its claims are not base64", how)
	}
	var known struct {
		Audience  any     `json:"aud"`
		Expires   float64 `json:"exp"`
		NotBefore float64 `json:"nbf"`
		Federated struct {
			Connector string `json:"connector_id"`
		} `json:"federated_claims"`
		Kubernetes struct {
			Namespace string `json:"namespace"`
			Account   struct {
				Name string `json:"name"`
			} `json:"serviceaccount"`
		} `json:"kubernetes.io"`
	}
	var all map[string]any
	if jsonv2.Unmarshal(raw, &known) != nil || jsonv2.Unmarshal(raw, &all) != nil {
		return refuse("its claims are not what OpenID Connect has them to be", how)
	}
	c := claims{words: map[string]string{}, connector: known.Federated.Connector, expires: time.Unix(int64(known.Expires), 0).UTC()}
	if known.NotBefore != 0 {
		c.notBefore = time.Unix(int64(known.NotBefore), 0).UTC()
	}
	if k := known.Kubernetes; k.Namespace != "" && k.Account.Name != "" {
		c.account = k.Namespace + "/" + k.Account.Name
	}
	switch aud := known.Audience.(type) {
	case string:
		c.audience = []string{aud}
	case []any:
		for _, a := range aud {
			c.audience = append(c.audience, fmt.Sprint(a))
		}
	}
	for name, v := range all {
		c.words[name] = fmt.Sprint(v) // also of a number: that is how Fulcio writes it
	}
	c.issuer = c.words["iss"]
	return c, nil
}

// current says why Fulcio would refuse a token now.
func (c claims) current(audience string, now time.Time) error {
	now = now.UTC().Truncate(time.Second)
	switch {
	case c.issuer == "":
		return hint.Misuse(errors.New("identity token: it names no issuer"), "give the OIDC token of the job, which its CI makes for audience %s", audience)
	case !slices.Contains(c.audience, audience):
		return hint.Misuse(fmt.Errorf("identity token: %q made it for %q, and Fulcio takes tokens for %q", c.issuer, c.audience, audience),
			"ask the CI for a token with that audience; GitLab: id_tokens: SIGSTORE_ID_TOKEN: aud: %s", audience)
	case !now.Before(c.expires):
		return hint.Misuse(fmt.Errorf("identity token: it expired at %s, and here it is %s", stamp(c.expires), stamp(now)),
			"take a token when the job starts that lives as long as the build, or look at the clock of this machine")
	case now.Add(leeway).Before(c.notBefore):
		return hint.Misuse(fmt.Errorf("identity token: it is not valid before %s, and here it is %s", stamp(c.notBefore), stamp(now)),
			"look at the clock of this machine")
	}
	_, err := c.identity()
	return err
}

// identity says what Fulcio will certify: the rules that Sigstore's public instance has for each kind of issuer (Fulcio
// config/identity/config.yaml and pkg/identity). A private instance may have others, and then the gate does not publish.
func (c claims) identity() (Identity, error) {
	id := Identity{Kind: KindKeyless, Issuer: c.issuer}
	switch subject := c.words["sub"]; {
	case c.words["job_workflow_ref"] != "":
		id.Workflow = c.github()
		id.ID = id.Workflow.Signer
	case c.words["ci_config_ref_uri"] != "":
		id.Workflow = c.gitlab()
		id.ID = id.Workflow.Signer
	case c.words["organization_slug"] != "" && c.words["pipeline_slug"] != "":
		id.Workflow = c.buildkite()
		id.ID = buildkite + c.words["organization_slug"] + "/" + c.words["pipeline_slug"]
	case c.account != "":
		namespace, name, _ := strings.Cut(c.account, "/")
		id.ID = "https://kubernetes.io/namespaces/" + namespace + "/serviceaccounts/" + name
	case strings.HasPrefix(subject, "spiffe://"):
		id.ID = subject
	case c.words["email"] != "" && c.words["email_verified"] == "false":
		return Identity{}, hint.Misuse(fmt.Errorf("identity token: %q did not verify the e-mail address %q", c.issuer, c.words["email"]), "verify the address with the issuer, then ask for a new token")
	case c.words["email"] != "":
		id.ID = c.words["email"]
		if c.connector != "" {
			id.Issuer = c.connector
		}
	default:
		return Identity{}, hint.Misuse(fmt.Errorf("identity token: what Fulcio would certify for %q of issuer %q cannot be foretold", subject, c.issuer),
			"it is known of GitHub, GitLab, Buildkite, Kubernetes, SPIFFE, and issuers that vouch for e-mail addresses (Google: ask for the token with the e-mail address in it)")
	}
	return id, nil
}

// tokenIdentity reads what Fulcio will put into the certificate out of a token, whose signature is Fulcio's to check.
func tokenIdentity(token string) (Identity, error) {
	c, err := readToken(token)
	if err != nil {
		return Identity{}, err
	}
	return c.identity()
}
