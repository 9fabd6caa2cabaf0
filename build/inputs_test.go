package build_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/internal/testkit"
	"golang.org/x/crypto/ssh/agent"
)

// git runs git in dir with a fixed author and no settings of the user's.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// gitServer serves the repositories below dir over HTTP.
func gitServer(t testing.TB, dir string) string {
	t.Helper()
	execPath := git(t, dir, "--exec-path")
	srv := httptest.NewServer(&cgi.Handler{Path: filepath.Join(execPath, "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}})
	t.Cleanup(srv.Close)
	return srv.URL
}

// R12 R13: a git context is fetched and pinned by BuildKit, so source and dependencies are evidence and complete.
func TestGitContext(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	repo := filepath.Join(root, "repo.git")
	if err := os.MkdirAll(filepath.Join(repo, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"sub/Dockerfile": lines("FROM scratch AS one", "COPY data /data", "FROM one"), "sub/data": "from git"} {
		if err := os.WriteFile(filepath.Join(repo, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git(t, repo, "init", "-q")
	git(t, repo, "add", ".")
	git(t, repo, "commit", "-qm", "one")
	commit := git(t, repo, "rev-parse", "HEAD")
	url := gitServer(t, root) + "/repo.git"

	engine := newEngine(t)
	plan := build.Plan{Context: url + "#main:sub", Engine: engine, BuildContexts: map[string]string{"again": url + "#" + commit}}
	r, out := mustBuild(t, plan)
	if content(t, out, r.Manifests[0].Digest)["/data"] != "from git" {
		t.Error("wrong content")
	}
	if want := (build.Source{URI: url, Revision: commit, Ref: "main", Clean: true, Verified: true}); r.Source != want {
		t.Errorf("source %+v, want %+v", r.Source, want)
	}
	if !r.Complete.Request || !r.Complete.ResolvedDependencies {
		t.Errorf("completeness %+v", r.Complete)
	}
	if len(r.Materials) != 1 || r.Materials[0].Digests["sha1"] != commit || r.Materials[0].Pinned {
		t.Errorf("materials %+v", r.Materials)
	}
	a := decode[ocispec.Index](t, blob(t, out, r.Digest)).Annotations
	if a[ocispec.AnnotationRevision] != commit || a[ocispec.AnnotationSource] != url {
		t.Errorf("annotations %q", a)
	}
	plan.Context = url + "#" + commit + ":sub"
	if r, _ := mustBuild(t, plan); len(r.Materials) != 1 || !r.Materials[0].Pinned {
		t.Errorf("a context named by commit is pinned: %+v", r.Materials)
	}

	for name, test := range map[string]struct {
		change func(*build.Plan)
		want   string
		misuse bool
	}{
		"missing Dockerfile": {func(p *build.Plan) { p.Context = url + "#main" }, "no Dockerfile at", true},
		"missing ref":        {func(p *build.Plan) { p.Context = url + "#nothing" }, "nothing", false},
		"outside":            {func(p *build.Plan) { p.File = "../Dockerfile" }, "outside the git context", true},
		"missing target":     {func(p *build.Plan) { p.Target = "onne" }, `no stage "onne"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan
			test.change(&p)
			_, err := image(t, p, filepath.Join(t.TempDir(), "out"))
			if err == nil || !strings.Contains(err.Error(), test.want) || hint.IsMisuse(err) != test.misuse {
				t.Errorf("error %v", err)
			}
		})
	}
}

// R13: a local context's revision is looked up in its work tree, as a hint, with changes and without credentials.
func TestWorkTreeIsAHint(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"app/file": "x", "docker/Dockerfile": lines("FROM scratch", "COPY file /file")})
	git(t, dir, "init", "-q")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "one")
	git(t, dir, "remote", "add", "origin", "https://user:password@example.test/o/r.git")
	commit := git(t, dir, "rev-parse", "HEAD")
	plan := build.Plan{Context: filepath.Join(dir, "app"), File: filepath.Join(dir, "docker", "Dockerfile"), Engine: newEngine(t)}
	r, out := mustBuild(t, plan)
	if want := (build.Source{URI: "https://example.test/o/r.git", Revision: commit, Clean: true}); r.Source != want {
		t.Errorf("source %+v, want %+v", r.Source, want)
	}
	if a := decode[ocispec.Manifest](t, blob(t, out, r.Manifests[0].Digest)).Annotations; a[ocispec.AnnotationRevision] != commit {
		t.Errorf("annotations %q", a)
	}
	if err := os.WriteFile(filepath.Join(dir, "app", "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r, out = mustBuild(t, plan)
	if a := decode[ocispec.Index](t, blob(t, out, r.Digest)).Annotations; r.Source.Clean || a[ocispec.AnnotationRevision] != "" {
		t.Errorf("changed work tree: %+v %q", r.Source, a)
	}
}

// An ssh agent reaches the steps that ask for it.
func TestSSH(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key, Comment: "the key"}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(tempDir(t), "agent"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() { _ = agent.ServeAgent(keyring, c) }()
		}
	}()
	ssh, err := build.ParseSSH("default", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dir := files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool", `RUN --mount=type=ssh ["/tool","agent","/keys"]`)})
	plan := build.Plan{Context: dir, Engine: newEngine(t), SSH: []build.SSH{ssh}}
	r, out := mustBuild(t, plan)
	if got := content(t, out, r.Manifests[0].Digest)["/keys"]; got != "the key" {
		t.Errorf("keys %q", got)
	}
	plan.SSH[0].Paths = []string{"/nonexistent"}
	if _, err := image(t, plan, filepath.Join(t.TempDir(), "out")); !hint.IsMisuse(err) {
		t.Errorf("missing agent: %v", err)
	}
}

// Cache in a directory and in a registry serves an engine that has never seen the build; a cache that cannot be written fails it only when asked to.
func TestCache(t *testing.T) {
	t.Parallel()
	registry := testkit.Registry(t, testkit.Olareg)
	dir := files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool", `RUN ["/tool","stamp","/stamp"]`)})
	store := filepath.Join(t.TempDir(), "cache")
	parse := func(s string) []build.Cache {
		c, err := build.ParseCache(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		return []build.Cache{c}
	}
	plan := build.Plan{Context: dir, Engine: newEngine(t), InsecureRegistries: []string{registry}}
	plan.CacheTo = append(parse("type=local,mode=max,dest="+store), parse("type=registry,mode=max,ref="+registry+"/cache:1")...)
	first, _ := mustBuild(t, plan)
	for name, from := range map[string]string{"local": "type=local,src=" + store, "registry": registry + "/cache:1"} {
		t.Run(name, func(t *testing.T) {
			plan := build.Plan{Context: dir, Engine: newEngine(t), InsecureRegistries: []string{registry}, CacheFrom: parse(from)}
			second, _ := mustBuild(t, plan)
			if first.Manifests[0].Config != second.Manifests[0].Config {
				t.Error("cache was not used")
			}
		})
	}
	plan.CacheTo = parse("type=registry,ref=127.0.0.1:1/cache")
	if _, err := image(t, plan, filepath.Join(t.TempDir(), "out")); err != nil {
		t.Errorf("cache that cannot be written: %v", err)
	}
	plan.CacheTo = parse("type=registry,ref=127.0.0.1:1/cache,ignore-error=false")
	if _, err := image(t, plan, filepath.Join(t.TempDir(), "out")); err == nil {
		t.Error("ignore-error=false was ignored")
	}
	plan.CacheTo, plan.CacheFrom = nil, parse("type=local,src="+filepath.Join(dir, "nothing"))
	if _, err := image(t, plan, filepath.Join(t.TempDir(), "out")); err != nil {
		t.Errorf("cache that is not there: %v", err)
	}
}

// Credentials from the docker config reach the registry that they are for.
func TestRegistryCredentials(t *testing.T) {
	t.Parallel()
	var asked, sent bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		asked, sent = true, sent || ok && user == "u" && password == "p"
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	dir := files(t, map[string]string{"Dockerfile": "FROM " + host + "/private\n", "config/config.json": `{"auths":{"` + host + `":{"auth":"dTpw"}}}`})
	plan := build.Plan{Context: dir, Engine: newEngine(t), InsecureRegistries: []string{host}, DockerConfig: filepath.Join(dir, "config")}
	_, err := image(t, plan, filepath.Join(t.TempDir(), "out"))
	if err == nil || hint.IsMisuse(err) || !strings.Contains(err.Error(), "Dockerfile:1") {
		t.Errorf("error %v", err)
	}
	if !asked || !sent {
		t.Errorf("registry asked: %t, got the credentials: %t", asked, sent)
	}
	if err := os.WriteFile(filepath.Join(dir, "config", "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := build.Image(context.Background(), plan, filepath.Join(t.TempDir(), "out"), nil); !hint.IsMisuse(err) {
		t.Errorf("broken docker config: %v", err)
	}
}
