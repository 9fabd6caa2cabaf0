package build

import (
	"context"
	"errors"
	"strings"
	"testing"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
)

func request(id string, attrs map[string]string) *policysession.CheckPolicyRequest {
	return &policysession.CheckPolicyRequest{Source: &gatewaypb.ResolveSourceMetaResponse{Source: &pb.SourceOp{Identifier: id, Attrs: attrs}}}
}

// An engine that takes what it did not ask about, or what was denied, has built nothing that is believed.
func TestEngineThatDoesNotAsk(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	took := func(uri string, digest map[string]string) []*image {
		m := &image{}
		m.statement.Predicate.BuildDefinition.ResolvedDependencies = []resource{{URI: uri, Digest: digest}}
		return []*image{m}
	}
	allow := Plan{Ask: func(_ context.Context, f Fetch) (Answer, error) {
		return Answer{Allow: !strings.Contains(f.URI, "evil")}, nil
	}}
	byDigest := map[string]string{"sha256": sum}
	for uri, ask := range map[string]string{
		"pkg:docker/debian@12?platform=linux%2Famd64": "docker-image://docker.io/library/debian:12@sha256:" + sum,
		"https://example.test/a.tgz":                  "https://example.test/a.tgz",
		"https://example.test/b.git#main":             "git://example.test/b.git#main",
	} {
		g := newGatekeeper(allow, namedContexts{}, "Dockerfile")
		if err := g.covers(took(uri, byDigest)); err == nil || !strings.Contains(err.Error(), uri) {
			t.Errorf("%s was not asked about: %v", uri, err)
		}
		if _, _, err := g.check(t.Context(), request(ask, nil)); err != nil {
			t.Fatal(err)
		}
		if err := g.covers(took(uri, byDigest)); err != nil {
			t.Errorf("%s was asked about: %v", uri, err)
		}
		if err := g.covers(took(uri, map[string]string{"sha256": strings.Repeat("cd", 32)})); strings.HasPrefix(uri, "pkg:") && err == nil {
			t.Error("another image was asked about")
		}
		if _, _, err := g.check(t.Context(), request(strings.ReplaceAll(ask, "example.test", "evil.test")+"evil", nil)); !strings.HasPrefix(uri, "pkg:") && err != nil {
			t.Fatal(err)
		}
		if err := g.covers(took(uri, byDigest)); !strings.HasPrefix(uri, "pkg:") && !errors.Is(err, ErrDenied) {
			t.Errorf("the engine went on after a denial: %v", err)
		}
	}
}

// The same question has the same answer, and what a build may ask has limits.
func TestQuestionsAreBounded(t *testing.T) {
	n := 0
	g := newGatekeeper(Plan{Ask: func(context.Context, Fetch) (Answer, error) { n++; return Answer{Allow: true}, nil }}, namedContexts{}, "Dockerfile")
	for range 3 {
		if _, _, err := g.check(t.Context(), request("https://example.test/a", nil)); err != nil || n != 1 {
			t.Fatal(n, err)
		}
	}
	for name, r := range map[string]*policysession.CheckPolicyRequest{
		"long": request("https://example.test/"+strings.Repeat("a", maxFetchID), nil), "no scheme": request("debian", nil), "nothing": {},
		"reference": request("docker-image://UPPER case", nil), "no host": request("https:///a", nil),
		"other remote": request("git://good.test/a.git", map[string]string{pb.AttrFullRemoteURL: "https://evil.test/a.git"}),
	} {
		if _, _, err := newGatekeeper(Plan{Ask: g.ask}, namedContexts{}, "Dockerfile").check(t.Context(), r); err == nil {
			t.Errorf("%s was answered", name)
		}
	}
	var err error
	for i := 0; i <= maxFetches && err == nil; i++ {
		_, _, err = g.check(t.Context(), request("https://example.test/"+strings.Repeat("b", i+1), nil))
	}
	if err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("error %v", err)
	}
}

func FuzzFetch(f *testing.F) {
	f.Add("docker-image://docker.io/library/debian:12@sha256:"+strings.Repeat("ab", 32), "", "frontend")
	f.Add("git://example.test/a.git#main:sub", "https://example.test/a.git", "")
	f.Add("https://example.test/a?b#c", "", "")
	f.Fuzz(func(t *testing.T, id, remote, record string) {
		got, err := parseFetch(&pb.SourceOp{Identifier: id, Attrs: map[string]string{pb.AttrFullRemoteURL: remote, pb.AttrImageRecordType: record}}, nil)
		if err == nil && (got.Kind == "" || got.URI != id) {
			t.Errorf("%q is read as %+v", id, got)
		}
	})
}
