package oci

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/internal/testkit"
)

const secret = "s3cret-password"

// login writes a docker configuration with a password for that registry.
func login(t testing.TB, keys ...string) string {
	t.Helper()
	dir := t.TempDir()
	var entries []string
	for _, k := range keys {
		entries = append(entries, fmt.Sprintf("%q:{\"auth\":%q}", k, base64.StdEncoding.EncodeToString([]byte("me:"+secret))))
	}
	writeConfig(t, dir, `{"auths":{`+strings.Join(entries, ",")+`}}`)
	return dir
}

func writeConfig(t testing.TB, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// listener is a server that notes what secrets it was told.
type listener struct {
	*httptest.Server
	mu   sync.Mutex
	told []string
	f    http.HandlerFunc
}

func listen(t testing.TB, tls bool, f http.HandlerFunc) *listener {
	t.Helper()
	l := &listener{f: f}
	l.Server = httptest.NewUnstartedServer(l)
	if tls {
		l.StartTLS()
	} else {
		l.Start()
	}
	t.Cleanup(l.Close)
	return l
}

// ServeHTTP implements http.Handler.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	l.mu.Lock()
	if a := r.Header.Get("Authorization"); a != "" {
		l.told = append(l.told, a)
	}
	if v := r.Form.Get("refresh_token"); v != "" {
		l.told = append(l.told, v)
	}
	l.mu.Unlock()
	l.f(w, r)
}

func (l *listener) heard() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.told...)
}

// addr is the server's host:port.
func (l *listener) addr() string { return l.Listener.Addr().String() }

func (l *listener) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.Certificate().Raw})
}

// T28: basic credentials reach the registry they are for, and no other.
func TestCredentialsReachTheirRegistryOnly(t *testing.T) {
	ctx := context.Background()
	f := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}
	mine, other := listen(t, false, f), listen(t, false, f)
	r := newRemote(t, RemoteOptions{DockerConfig: login(t, mine.addr())})
	_, err := repository(t, r, mine.addr()+"/app:1").Resolve(ctx, "")
	wantText(t, err, "not found")
	if got := mine.heard(); len(got) == 0 || !strings.HasPrefix(got[0], "Basic ") {
		t.Errorf("mine heard %q", got)
	}
	_, err = repository(t, r, other.addr()+"/app:1").Resolve(ctx, "")
	wantText(t, err, "refuses access", "401")
	if !strings.Contains(hint.Of(err), "docker login "+other.addr()) {
		t.Errorf("hint %q", hint.Of(err))
	}
	if got := other.heard(); len(got) != 0 {
		t.Errorf("other heard %q", got)
	}
}

// T28 T44: neither a redirect of a blob, nor the place where an upload goes on, nor a token realm on another host gets a password or a token of the registry.
func TestSecretsStayWithTheirHost(t *testing.T) {
	ctx := context.Background()
	evil := listen(t, true, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/token"):
			_, _ = fmt.Fprint(w, `{"token":"stolen"}`)
		case r.Method == http.MethodPut:
			w.WriteHeader(http.StatusCreated)
		default:
			_, _ = fmt.Fprint(w, "blob")
		}
	})
	evilHost := strings.Replace(evil.URL, "127.0.0.1", "example.com", 1)
	for name, c := range map[string]struct {
		challenge string
		work      func(p *Repository) error
		wantErr   string
	}{
		"redirect, basic": {`Basic realm="x"`, func(p *Repository) error {
			_, err := readAll(ctx, p, descriptor{Digest: digestOf([]byte("blob")), Size: 4})
			return err
		}, ""},
		"redirect, bearer": {`Bearer realm="%s/token",service="x"`, func(p *Repository) error {
			_, err := readAll(ctx, p, descriptor{Digest: digestOf([]byte("blob")), Size: 4})
			return err
		}, ""},
		"upload": {`Bearer realm="%s/token",service="x"`, func(p *Repository) error {
			return p.upload(ctx, descriptor{Digest: digestOf(nil)}, nil)
		}, ""},
		"realm": {`Bearer realm="` + evilHost + `/token",service="x"`, func(p *Repository) error {
			_, err := p.Resolve(ctx, "")
			return err
		}, "credentials sent to"},
	} {
		t.Run(name, func(t *testing.T) {
			var own *listener
			own = listen(t, true, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/token":
					_, _ = fmt.Fprint(w, `{"token":"short-lived"}`)
				case r.Header.Get("Authorization") == "":
					challenge := c.challenge
					if strings.Contains(challenge, "%s") {
						challenge = fmt.Sprintf(challenge, strings.Replace(own.URL, "127.0.0.1", "registry.example.net", 1))
					}
					w.Header().Set("WWW-Authenticate", challenge)
					w.WriteHeader(http.StatusUnauthorized)
				case r.Method == http.MethodPost:
					w.Header().Set("Location", evilHost+"/upload?state=1")
					w.WriteHeader(http.StatusAccepted)
				case r.Method == http.MethodHead:
					w.WriteHeader(http.StatusNotFound)
				case strings.Contains(r.URL.Path, "/blobs/"):
					http.Redirect(w, r, evilHost+"/blob?sig=1", http.StatusTemporaryRedirect)
				default:
					w.WriteHeader(http.StatusOK)
				}
			})
			before := len(evil.heard())
			p := namedHost(t, own)
			err := c.work(p)
			if c.wantErr == "" && err != nil {
				t.Errorf("%v", err)
			}
			if c.wantErr != "" {
				wantText(t, err, c.wantErr)
			}
			if got := evil.heard()[before:]; len(got) != 0 {
				t.Errorf("the other host heard %q", got)
			}
			if c.wantErr == "" && len(own.heard()) == 0 {
				t.Error("the registry itself heard nothing: the test proves nothing")
			}
		})
	}
}

// namedHost is a repository on own, reached as registry.example.net. Every name leads to loopback.
func namedHost(t testing.TB, own *listener) *Repository {
	t.Helper()
	_, port, _ := strings.Cut(own.addr(), ":")
	host := "registry.example.net:" + port
	r := newRemote(t, RemoteOptions{DockerConfig: login(t, host), CA: own.pem()})
	dialLoopback(r)
	return repository(t, r, host+"/app:1")
}

// T28: what the guard lets a registry's password go to.
func TestGuardTrusts(t *testing.T) {
	for _, c := range []struct {
		registry, host string
		want           bool
	}{
		{"index.docker.io", "auth.docker.io", true},
		{"registry.gitlab.com", "gitlab.com", true},
		{"ghcr.io", "ghcr.io", true},
		{"registry.example.co.uk", "evil.co.uk", false},
		{"docker.io", "docker.io.evil.com", false},
		{"one.github.io", "two.github.io", false},
		{"10.0.0.1:5000", "10.0.0.1:5001", true},
		{"10.0.0.1:5000", "10.0.0.2:5000", false},
		{"registry:5000", "registry:5001", true},
		{"registry:5000", "auth:5001", false},
		{"registry.example.com", "sso.example.org", true}, // listed below
	} {
		r := newRemote(t, RemoteOptions{TokenHosts: []string{"sso.example.org"}})
		g := guard{r: r, registry: c.registry}
		if got := g.trusts(c.host); got != c.want {
			t.Errorf("%s sends to %s: %v", c.registry, c.host, got)
		}
	}
}

// T28: without TLS only to loopback and to listed hosts, whatever go-containerregistry would try; a public registry cannot send us inside.
func TestGuardRefusesPlainHTTP(t *testing.T) {
	r := newRemote(t, RemoteOptions{PlainHTTP: []string{"registry.lan:5000", "other.lan"}})
	r.base.Proxy = nil
	for host, want := range map[string]bool{
		"127.0.0.1:5000": true, "localhost:5000": true, "[::1]:5000": true, "registry.lan:5000": true, "other.lan:80": true,
		"registry.lan:5001": false, "10.0.0.1:5000": false, "app.localhost": false, "example.com": false,
	} {
		if got := r.plain(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
	g := &guard{r: r, registry: "registry.example.com", next: r.base}
	req := httptest.NewRequest(http.MethodGet, "http://10.0.0.1:5000/v2/", nil)
	if _, err := g.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "without TLS") {
		t.Errorf("%v", err)
	}
	for host, want := range map[string]bool{"127.0.0.1": false, "169.254.169.254": false, "10.1.2.3:443": false, "localhost": false, "cdn.example.org": true, "8.8.8.8": true} {
		if err := g.reachable(host); (err == nil) != want {
			t.Errorf("redirect to %s: %v", host, err)
		}
	}
}

// T28: credentials are found for exactly the repository, a namespace above it or its host.
func TestCredentialsLookup(t *testing.T) {
	for key, want := range map[string]map[string]bool{
		"registry.example.com":          {"registry.example.com/a/b": true, "registry.example.com:5000/a": false, "example.com/a": false},
		"https://registry.example.com":  {"registry.example.com/a": true},
		"registry.example.com/team":     {"registry.example.com/team/app": true, "registry.example.com/teammate/app": false, "registry.example.com/other": false},
		"https://index.docker.io/v1/":   {"debian": true, "docker.io/me/app": true, "quay.io/me/app": false},
		"registry.example.com:5000":     {"registry.example.com:5000/a": true, "registry.example.com/a": false},
		"https://evil.com/?x=docker.io": {"docker.io/me/app": false},
	} {
		r := newRemote(t, RemoteOptions{DockerConfig: login(t, key)})
		for ref, found := range want {
			auth, err := r.credentials(context.Background(), repository(t, r, ref).repo)
			if err != nil {
				t.Fatal(err)
			}
			conf, err := auth.Authorization()
			if err != nil || (conf.Password == secret) != found {
				t.Errorf("%q for %q: %v %v", key, ref, conf.Password != "", err)
			}
		}
	}
}

// T28: a credential helper is asked for the registry's host and nothing else.
func TestCredentialHelper(t *testing.T) {
	ctx := context.Background()
	dir, bin := t.TempDir(), t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	script := func(name, text string) {
		if err := os.WriteFile(filepath.Join(bin, "docker-credential-"+name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script("good", `read -r host || :; echo "$1 $host" >>"`+dir+`/asked"; echo '{"Username":"me","Secret":"`+secret+`"}'`)
	script("token", `echo '{"Username":"<token>","Secret":"`+secret+`"}'`)
	script("none", `echo 'credentials not found in native keychain'; exit 1`)
	script("broken", `echo 'oops'; exit 1`)
	script("flood", `yes`)
	writeConfig(t, dir, `{"credsStore":"none","credHelpers":{"a.example.com":"good","b.example.com":"token","c.example.com":"broken","d.example.com":"flood","e.example.com":"missing","f.example.com":"../evil"}}`)
	r := newRemote(t, RemoteOptions{DockerConfig: dir})
	for host, want := range map[string]string{"a": "password", "b": "token", "c": "error", "d": "error", "e": "error", "f": "error", "z": "nothing"} {
		auth, err := r.credentials(ctx, repository(t, r, host+".example.com/app").repo)
		got := "nothing"
		if err != nil {
			got = "error"
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the secret is in the error: %v", err)
			}
		} else if conf, err := auth.Authorization(); err != nil {
			t.Fatal(err)
		} else if conf.Password == secret {
			got = "password"
		} else if conf.IdentityToken == secret {
			got = "token"
		}
		if got != want {
			t.Errorf("%s: %s, want %s (%v)", host, got, want, err)
		}
	}
	if asked, _ := os.ReadFile(filepath.Join(dir, "asked")); string(asked) != "get a.example.com\n" {
		t.Errorf("asked %q", asked)
	}
}

func TestBrokenDockerConfig(t *testing.T) {
	for _, text := range []string{"{", `{"auths":{"registry.example.com":{"auth":"%%"}}}`} {
		dir := t.TempDir()
		writeConfig(t, dir, text)
		r := newRemote(t, RemoteOptions{DockerConfig: dir})
		_, err := r.credentials(context.Background(), repository(t, r, "registry.example.com/app").repo)
		if err == nil || hint.Of(err) == "" {
			t.Errorf("%s: %v", text, err)
		}
	}
	r := newRemote(t, RemoteOptions{DockerConfig: filepath.Join(t.TempDir(), "none")})
	if _, err := r.credentials(context.Background(), repository(t, r, "registry.example.com/app").repo); err != nil {
		t.Errorf("no configuration: %v", err)
	}
}

func TestUnreachableRegistry(t *testing.T) {
	ctx := context.Background()
	p := testkit.Flaky(t, "127.0.0.1:1")
	gone := listen(t, false, func(http.ResponseWriter, *http.Request) {})
	addr := gone.addr()
	gone.Close()
	for _, host := range []string{addr, "registry.invalid", p.Addr} {
		_, err := repository(t, newRemote(t, RemoteOptions{}), host+"/app:1").Resolve(ctx, "")
		wantText(t, err, host)
		if err != nil && hint.Of(err) == "" && host != p.Addr {
			t.Errorf("no hint: %v", err)
		}
	}
}
