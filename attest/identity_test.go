package attest_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/attest"
)

// signedBy signs a statement as the bearer of a token, with the certificate changed before it is issued.
func (s *sigstore) signedBy(t testing.TB, st attest.Statement, claims map[string]string, leaf func(*x509.Certificate)) []byte {
	t.Helper()
	s.leaf = leaf
	defer func() { s.leaf = nil }()
	k := must(attest.NewKeyless(attest.KeylessOptions{Token: tokenOf(claims), SigningConfig: s.config(t, "", "/timestamp"), Now: time.Now()}))(t)
	return must(k.Sign(context.Background(), st))(t)
}

const reusable = "acme/builder/.github/workflows/image.yml"

// R24 R25 T23: a structured identity is exact, and what it asks for must be in the certificate: a value that is not there is
// no match. A denial names the field, what was expected and what was found.
func TestStructuredIdentity(t *testing.T) {
	s := newSigstore(t)
	st, root := bom(t), s.roots(t, nil)
	all := attest.ExpectedIdentity{
		Repository: "acme/widget", Workflow: ".github/workflows/build.yml", Ref: "refs/heads/main", Runner: "github-hosted", Event: "push",
	}
	but := func(change func(*attest.ExpectedIdentity)) attest.ExpectedIdentity {
		e := all
		change(&e)
		return e
	}
	own := claims()
	called := claims("job_workflow_ref", reusable+"@refs/tags/v1")
	pinned := claims("job_workflow_ref", reusable+"@"+commit)
	for name, c := range map[string]struct {
		who    attest.ExpectedIdentity
		claims map[string]string
		leaf   func(*x509.Certificate)
		want   string // of the denial; "" is none
	}{
		"everything":              {all, own, nil, ""},
		"repository alone":        {attest.ExpectedIdentity{Repository: "acme/widget"}, own, nil, ""},
		"subject, held to more":   {attest.ExpectedIdentity{SAN: workflowSAN, Issuer: githubIssuer, Ref: "refs/heads/main", Event: "push"}, own, nil, ""},
		"issuer of an enterprise": {attest.ExpectedIdentity{Repository: "acme/widget", Issuer: githubIssuer + "/acme"}, claims("iss", githubIssuer+"/acme"), nil, ""},
		"reusable, at any ref":    {but(func(e *attest.ExpectedIdentity) { e.SignerWorkflow = reusable }), called, nil, ""},
		"reusable, by commit":     {but(func(e *attest.ExpectedIdentity) { e.SignerWorkflow = reusable }), pinned, nil, ""},
		"reusable, at its tag":    {but(func(e *attest.ExpectedIdentity) { e.SignerWorkflow = reusable + "@refs/tags/v1" }), called, nil, ""},
		"signer, any repository":  {attest.ExpectedIdentity{SignerWorkflow: reusable}, called, nil, ""},

		"wrong issuer":          {all, claims("iss", "https://gitlab.com"), nil, `issuer is "https://gitlab.com", expected "https://token.actions.githubusercontent.com"`},
		"issuer of enterprise":  {all, claims("iss", githubIssuer+"/acme"), nil, `issuer is "https://token.actions.githubusercontent.com/acme"`},
		"wrong repository":      {all, claims("repository", "acme/gadget"), nil, `repository is "https://github.com/acme/gadget", expected "https://github.com/acme/widget"`},
		"longer repository":     {all, claims("repository", "acme/widget2"), nil, `repository is`},
		"repository in capital": {all, claims("repository", "acme/Widget"), nil, `repository is`},
		"wrong workflow":        {all, claims("workflow_ref", "acme/widget/.github/workflows/evil.yml@refs/heads/main"), nil, `workflow is "https://github.com/acme/widget/.github/workflows/evil.yml@refs/heads/main", expected "https://github.com/acme/widget/.github/workflows/build.yml"`},
		"longer workflow":       {all, claims("workflow_ref", "acme/widget/.github/workflows/build.yml@x.yml@refs/heads/main"), nil, `workflow is`},
		"wrong ref":             {all, claims("ref", "refs/heads/dev"), nil, `ref is "refs/heads/dev", expected "refs/heads/main"`},
		"longer ref":            {all, claims("ref", "refs/heads/main2"), nil, `ref is`},
		"self-hosted":           {all, claims("runner_environment", "self-hosted"), nil, `runner environment is "self-hosted", expected "github-hosted"`},
		"wrong event":           {all, claims("event_name", "pull_request_target"), nil, `event is "pull_request_target", expected "push"`},
		"signer unasked":        {all, called, nil, `signer workflow is "https://github.com/acme/builder/.github/workflows/image.yml@refs/tags/v1", expected "https://github.com/acme/widget/.github/workflows/build.yml"`},
		"signer elsewhere":      {attest.ExpectedIdentity{Repository: "acme/widget"}, called, nil, `expected "https://github.com/acme/widget/.github/workflows/"`},
		"other signer":          {but(func(e *attest.ExpectedIdentity) { e.SignerWorkflow = reusable }), own, nil, `signer workflow is`},
		"signer at other tag":   {but(func(e *attest.ExpectedIdentity) { e.SignerWorkflow = reusable + "@refs/tags/v2" }), called, nil, `expected "https://github.com/acme/builder/.github/workflows/image.yml@refs/tags/v2"`},
		"longer signer":         {but(func(e *attest.ExpectedIdentity) { e.SignerWorkflow = reusable }), claims("job_workflow_ref", reusable+"@evil.yml@refs/tags/v1"), nil, `signer workflow is`},
		"subject, other ref":    {attest.ExpectedIdentity{SAN: workflowSAN, Issuer: githubIssuer, Ref: "refs/tags/v1"}, own, nil, `ref is "refs/heads/main", expected "refs/tags/v1"`},

		"no issuer":       {all, own, without(8), "names no issuer"},
		"no signer":       {all, own, without(9), "names no signer workflow"},
		"no runner":       {all, claims("runner_environment", ""), nil, `names no runner environment, expected "github-hosted"`},
		"empty runner":    {all, own, with(11, ""), "names no runner environment"},
		"no repository":   {all, own, without(12), "names no repository"},
		"no ref":          {all, own, without(14), "names no ref"},
		"no workflow":     {all, own, without(18), "names no workflow"},
		"no event":        {all, own, without(20), "names no event"},
		"a person":        {attest.ExpectedIdentity{Repository: "acme/widget"}, map[string]string{"iss": githubIssuer, "email": "a@acme.example"}, nil, "names no repository"},
		"two subjects":    {all, own, func(c *x509.Certificate) { c.URIs = append(c.URIs, &url.URL{Scheme: "https", Host: "evil.example"}) }, "2 subjects"},
		"and an address":  {all, own, func(c *x509.Certificate) { c.EmailAddresses = []string{"a@acme.example"} }, "2 subjects"},
		"subject differs": {all, own, with(9, "https://github.com/acme/widget/.github/workflows/other.yml@refs/heads/main"), "subject is"},
	} {
		_, err := trustIn(t, root, []attest.ExpectedIdentity{c.who}).Verify(s.signedBy(t, st, c.claims, c.leaf), st.Subjects()[0])
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	both := []attest.ExpectedIdentity{{Repository: "acme/gadget"}, all}
	if _, err := trustIn(t, root, both).Verify(s.signedBy(t, st, own, nil), st.Subjects()[0]); err != nil {
		t.Errorf("the second of two: %v", err)
	}
	_, err := trustIn(t, root, both).Verify(s.signedBy(t, st, claims("repository", "x/y"), nil), st.Subjects()[0])
	if err == nil || !strings.Contains(err.Error(), "acme/gadget") || !strings.Contains(err.Error(), "acme/widget") {
		t.Errorf("neither of two: %v", err)
	}
}

// R8 R23 T9: whole bundles: what a step of the job writes into provenance does not verify under the certificate of another run.
func TestForgedProvenance(t *testing.T) {
	s := newSigstore(t)
	now := time.Now()
	st := func(claims map[string]string) attest.Statement {
		k := must(attest.NewKeyless(attest.KeylessOptions{Token: tokenOf(claims), SigningConfig: s.config(t, "", "/timestamp"), Now: now}))(t)
		id := must(k.Identity(context.Background()))(t)
		return must(attest.Provenance(attest.Build{
			Subjects: []attest.Subject{{Digest: "sha256:" + strings.Repeat("a", 64)}}, Mode: attest.ModeAction, BuilderID: id.ID, Workflow: id.Workflow,
			Started: now, Finished: now,
		}))(t)
	}
	trust := trustIn(t, s.roots(t, nil), []attest.ExpectedIdentity{{Repository: "acme/widget"}})
	honest := st(claims())
	if _, err := trust.Verify(s.signedBy(t, honest, claims(), nil), honest.Subjects()[0]); err != nil {
		t.Fatal(err)
	}
	for name, forged := range map[string]map[string]string{
		"commit": claims("sha", strings.Repeat("e", 40)), "event": claims("event_name", "release"), "run": claims("run_id", "1"),
		"attempt": claims("run_attempt", "2"), "repository id": claims("repository_id", "1"), "owner id": claims("repository_owner_id", "1"),
		"ref":    claims("ref", "refs/tags/v1", "workflow_ref", "acme/widget/.github/workflows/build.yml@refs/tags/v1"),
		"signer": claims("job_workflow_ref", reusable+"@refs/tags/v1"), "workflow": claims("workflow_ref", "acme/widget/.github/workflows/release.yml@refs/heads/main"),
		"repository": claims("repository", "acme/gadget", "workflow_ref", "acme/gadget/.github/workflows/build.yml@refs/heads/main"),
	} {
		lie := st(forged)
		_, err := trust.Verify(s.signedBy(t, lie, claims(), nil), lie.Subjects()[0])
		if !errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), "provenance says") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{9, 11, 12, 13, 14, 15, 17, 18, 20, 21} {
		trust := trustIn(t, s.roots(t, nil), exactly(workflowSAN, githubIssuer))
		if _, err := trust.Verify(s.signedBy(t, honest, claims(), without(n)), honest.Subjects()[0]); !errors.Is(err, attest.ErrUntrusted) {
			t.Errorf("certificate without extension .%d: %v", n, err)
		}
	}
}
