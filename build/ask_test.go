package build_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/testkit"
)

// asked notes every question and answers it.
type asked struct {
	answer func(build.Fetch) (build.Answer, error)

	mu  sync.Mutex
	all []build.Fetch
}

func (a *asked) ask(_ context.Context, f build.Fetch) (build.Answer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, f)
	if a.answer == nil {
		return build.Answer{Allow: true}, nil
	}
	return a.answer(f)
}

// find returns the question about a URI that ends like this.
func (a *asked) find(suffix string) build.Fetch {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.all {
		if strings.HasSuffix(f.URI, suffix) {
			return f
		}
	}
	return build.Fetch{}
}

// repository makes a git repository with one file.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	repo := filepath.Join(root, "repo.git")
	if err := errors.Join(os.MkdirAll(repo, 0o755), os.WriteFile(filepath.Join(repo, "file"), []byte("git"), 0o644)); err != nil {
		t.Fatal(err)
	}
	git(t, repo, "init", "-q")
	git(t, repo, "add", ".")
	git(t, repo, "commit", "-qm", "one")
	return gitServer(t, root) + "/repo.git"
}

// R12 T30: whatever comes into a build is asked about first, with what names it, and nothing that provenance lists is left out.
func TestEverySourceIsAskedAbout(t *testing.T) {
	t.Parallel()
	registry := testkit.Registry(t, testkit.Olareg)
	engine := newEngine(t)
	br, layout := mustBuild(t, build.Plan{Context: files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY data /data"), "data": "image"}), Engine: engine})
	pinned := push(t, layout, registry, "ctx", "1")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }))
	t.Cleanup(web.Close)
	sum := "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	repo := repository(t)
	dir := files(t, map[string]string{"extra/file": "directory", "Dockerfile": lines("FROM "+registry+"/ctx:1", "COPY --from=d /file /d", "COPY --from=i /data /i",
		"COPY --from=l /data /l", "ADD "+web.URL+"/f.txt /f", "ADD --checksum="+sum+" "+web.URL+"/g.txt /g", "ADD "+repo+"#main /h", runnable)})
	var a asked
	r, _ := mustBuild(t, build.Plan{Context: dir, Engine: engine, InsecureRegistries: []string{registry}, Ask: a.ask, BuildContexts: map[string]string{
		"d": filepath.Join(dir, "extra"), "i": "docker-image://" + pinned, "l": "oci-layout://" + layout,
	}})
	host, gitHost := strings.TrimPrefix(web.URL, "http://"), strings.Split(repo, "/")[2]
	for _, want := range []build.Fetch{
		{Kind: build.FetchImage, URI: "docker-image://" + registry + "/ctx:1", Host: registry, Name: registry + "/ctx", Tag: "1", Platform: r.Manifests[0].Platform, File: "Dockerfile", Line: 1},
		{Kind: build.FetchImage, URI: "docker-image://" + registry + "/ctx:1@" + br.Digest, Host: registry, Name: registry + "/ctx", Tag: "1", Digest: br.Digest, Platform: r.Manifests[0].Platform, File: "Dockerfile", Line: 1},
		{Kind: build.FetchImage, URI: "docker-image://" + pinned, Host: registry, Name: registry + "/ctx", Digest: br.Digest, Platform: r.Manifests[0].Platform, Context: "i", File: "Dockerfile", Line: 3},
		{Kind: build.FetchLayout, URI: "oci-layout://docker.io/library/l@" + br.Digest, Name: "l", Digest: br.Digest, Context: "l"},
		{Kind: build.FetchLocal, URI: "local://context", Name: "context"},
		{Kind: build.FetchLocal, URI: "local://d", Name: "d", Context: "d"},
		{Kind: build.FetchHTTP, URI: web.URL + "/f.txt", Scheme: "http", Host: host, Name: host + "/f.txt", File: "Dockerfile", Line: 5},
		{Kind: build.FetchHTTP, URI: web.URL + "/g.txt", Scheme: "http", Host: host, Name: host + "/g.txt", Digest: sum, File: "Dockerfile", Line: 6},
		{Kind: build.FetchGit, URI: "git://" + gitHost + "/repo.git#main", Scheme: "http", Host: gitHost, Name: gitHost + "/repo.git", Ref: "main", File: "Dockerfile", Line: 7},
	} {
		if got := a.find(strings.TrimPrefix(want.URI, "docker-image://")); got != want {
			t.Errorf("asked %+v\n want %+v", got, want)
		}
	}
	if len(r.Materials) != 6 {
		t.Errorf("materials %+v", r.Materials)
	}
	// the same through a git context
	var b asked
	plan := build.Plan{Context: repo + "#main", Engine: engine, Ask: b.ask}
	if _, err := image(t, plan, filepath.Join(t.TempDir(), "out")); err == nil || b.find("/repo.git#main").Kind != build.FetchGit {
		t.Errorf("%v; asked %+v", err, b.all)
	}
}

// T30: what is denied is not fetched: no byte of the image, the frontend, the file or the repository is asked for.
func TestDeniedSourceIsNotFetched(t *testing.T) {
	t.Parallel()
	registry := testkit.Flaky(t, testkit.Registry(t, testkit.Olareg))
	engine := newEngine(t)
	_, layout := mustBuild(t, build.Plan{Context: files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool")}), Engine: engine})
	push(t, layout, registry.Addr, "base", "1")
	heard := 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { heard++; _, _ = w.Write([]byte("x")) }))
	t.Cleanup(web.Close)
	before := registry.Count("", regexp.MustCompile(`/base/`))
	for name, test := range map[string]struct{ dockerfile, kind string }{
		"base":      {lines("FROM "+registry.Addr+"/base:1", runnable), build.FetchImage},
		"copy from": {lines("FROM scratch", "COPY --from="+registry.Addr+"/base:1 /tool /t", runnable), build.FetchImage},
		"frontend":  {lines("# syntax="+registry.Addr+"/base:1", "FROM scratch", runnable), build.FetchImage},
		"file":      {lines("FROM scratch", "ADD "+web.URL+"/f /f", runnable), build.FetchHTTP},
		"git":       {lines("FROM scratch", "ADD "+web.URL+"/repo.git#main /f", runnable), build.FetchGit},
		"context":   {lines("FROM scratch", "COPY tool /tool", runnable), build.FetchLocal},
	} {
		t.Run(name, func(t *testing.T) {
			a := asked{answer: func(f build.Fetch) (build.Answer, error) {
				return build.Answer{Allow: f.Kind != test.kind || f.Name == "dockerfile"}, nil
			}}
			plan := build.Plan{Context: files(t, map[string]string{"Dockerfile": test.dockerfile}), Engine: engine, InsecureRegistries: []string{registry.Addr}, Ask: a.ask}
			out := filepath.Join(t.TempDir(), "out")
			_, err := image(t, plan, out)
			if !errors.Is(err, build.ErrDenied) {
				t.Errorf("error %v", err)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("there is an image")
			}
			if name == "frontend" && !a.find("/base:1").Frontend {
				t.Errorf("not known to be a frontend: %+v", a.all)
			}
		})
	}
	if n := registry.Count("", regexp.MustCompile(`/base/`)) - before; n != 0 || heard != 0 {
		t.Errorf("the registry was asked %d times, the web server %d times", n, heard)
	}
}

// An image that is named by tag can be taken by the digest that the answer gives. What cannot be answered stops the build.
func TestAnswers(t *testing.T) {
	t.Parallel()
	registry := testkit.Registry(t, testkit.Olareg)
	engine := newEngine(t)
	old, layout := mustBuild(t, build.Plan{Context: files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY data /data"), "data": "old"}), Engine: engine})
	push(t, layout, registry, "base", "1")
	_, layout = mustBuild(t, build.Plan{Context: files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY data /data"), "data": "new"}), Engine: engine})
	push(t, layout, registry, "base", "1")
	dir := files(t, map[string]string{"Dockerfile": lines("FROM "+registry+"/base:1", runnable)})
	a := asked{answer: func(f build.Fetch) (build.Answer, error) {
		if f.Kind == build.FetchImage {
			return build.Answer{Allow: true, Pin: old.Digest}, nil
		}
		return build.Answer{Allow: true}, nil
	}}
	plan := build.Plan{Context: dir, Engine: engine, InsecureRegistries: []string{registry}, Ask: a.ask}
	r, out := mustBuild(t, plan)
	if got := content(t, out, r.Manifests[0].Digest); got["/data"] != "old" {
		t.Errorf("built from %q", got["/data"])
	}
	if a.find("/base:1@"+old.Digest).Digest != old.Digest {
		t.Errorf("not asked about what it was taken as: %+v", a.all)
	}
	for name, test := range map[string]struct {
		answer build.Answer
		err    error
		want   string
	}{
		"no answer": {build.Answer{}, errors.New("the policy is broken"), "the policy is broken"},
		"no digest": {build.Answer{Allow: true, Pin: "latest"}, nil, `cannot be taken as "latest"`},
	} {
		t.Run(name, func(t *testing.T) {
			a := asked{answer: func(f build.Fetch) (build.Answer, error) {
				if f.Kind != build.FetchImage {
					return build.Answer{Allow: true}, nil
				}
				return test.answer, test.err
			}}
			plan.Ask = a.ask
			if _, err := image(t, plan, filepath.Join(t.TempDir(), "out")); err == nil || errors.Is(err, build.ErrDenied) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}
