package build

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/hint"
)

// Every parser of an input: what it makes of good words, and that bad ones are misuse with a hint.
func TestParsers(t *testing.T) {
	env := func(name string) (string, bool) {
		return "env-" + name, strings.HasPrefix(name, "ACTIONS_") || name == "AWS_REGION"
	}
	parsers := map[string]func(string) (any, error){
		"platform":    func(s string) (any, error) { return ParsePlatform(s) },
		"annotation":  func(s string) (any, error) { return ParseAnnotation(s) },
		"ulimit":      func(s string) (any, error) { return ParseUlimit(s) },
		"shm":         func(s string) (any, error) { return ParseShmSize(s) },
		"ssh":         func(s string) (any, error) { return ParseSSH(s, "/agent") },
		"ssh, none":   func(s string) (any, error) { return ParseSSH(s, "") },
		"host":        func(s string) (any, error) { return ParseAddHost(s) },
		"network":     func(s string) (any, error) { return ParseNetwork(s) },
		"entitlement": func(s string) (any, error) { return ParseEntitlement(s) },
		"epoch":       func(s string) (any, error) { return ParseEpoch(s) },
		"buildkit":    func(s string) (any, error) { return ParseHost(s) },
		"cache":       func(s string) (any, error) { return ParseCache(s, env) },
		"context": func(s string) (any, error) {
			name, source, err := ParseBuildContext(s)
			return []string{name, source}, err
		},
		"arg": func(s string) (any, error) {
			name, value, ok, err := ParseBuildArg(s, env)
			return []any{name, value, ok}, err
		},
		"pair": func(s string) (any, error) { k, v, err := ParsePair("secret", s); return []string{k, v}, err },
	}
	const bad = "-"
	for _, test := range []struct{ parser, in, want string }{
		{"platform", "linux/amd64", `"linux/amd64"`},
		{"platform", " linux/x86_64 ", `"linux/amd64"`},
		{"platform", "linux/arm64/v8", `"linux/arm64"`},
		{"platform", "linux/arm", `"linux/arm/v7"`},
		{"platform", "linux/amd64/v3", `"linux/amd64/v3"`},
		{"platform", "windows/amd64", `"windows/amd64"`},
		{"platform", "linux/amd46", bad}, {"platform", "", bad}, {"platform", "linux", bad + "only on amd64"}, {"platform", "linux/amd64/v8/x", bad},
		{"platform", "plan9/amd64", bad}, {"platform", "windows(10.0.1)/amd64", bad},

		{"annotation", "a=b", `[{"Type":"manifest","Platform":"","Key":"a","Value":"b"}]`},
		{"annotation", "index:a.b/c=d=e", `[{"Type":"index","Platform":"","Key":"a.b/c","Value":"d=e"}]`},
		{"annotation", "index,manifest[linux/arm64]:a=", `[{"Type":"index","Platform":"","Key":"a","Value":""},{"Type":"manifest","Platform":"linux/arm64","Key":"a","Value":""}]`},
		{"annotation", "manifest-descriptor[linux/amd64]:k=v", `[{"Type":"manifest-descriptor","Platform":"linux/amd64","Key":"k","Value":"v"}]`},
		{"annotation", "x:y=z", `[{"Type":"manifest","Platform":"","Key":"x:y","Value":"z"}]`},
		{"annotation", "a", bad}, {"annotation", "=b", bad}, {"annotation", "index[linux/amd64]:a=b", bad}, {"annotation", "manifest[linux/amd64:a=b", bad},
		{"annotation", "manifest[nothing/else]:a=b", bad}, {"annotation", "manifests:a=b", bad}, {"annotation", "a b=c", bad},

		{"ulimit", "nofile=1024:2048", `{"Name":"nofile","Soft":1024,"Hard":2048}`},
		{"ulimit", "nproc=3", `{"Name":"nproc","Soft":3,"Hard":3}`},
		{"ulimit", "nofile", bad}, {"ulimit", "files=1", bad}, {"ulimit", "nofile=9:1", bad},

		{"shm", "64m", `67108864`}, {"shm", "1g", `1073741824`}, {"shm", "512", `512`}, {"shm", "much", bad}, {"shm", "0", bad}, {"shm", "-1", bad},

		{"ssh", "default", `{"ID":"default","Paths":["/agent"]}`},
		{"ssh", "a=/x,/y", `{"ID":"a","Paths":["/x","/y"]}`},
		{"ssh, none", "default", bad}, {"ssh", "=x", bad}, {"ssh", "a=", bad},

		{"host", "a:1.2.3.4", `{"Host":"a","IP":"1.2.3.4"}`}, {"host", "a=::1", `{"Host":"a","IP":"::1"}`}, {"host", "a:[::1]", `{"Host":"a","IP":"::1"}`},
		{"host", "a:::1", `{"Host":"a","IP":"::1"}`}, {"host", "a", bad}, {"host", "a:b", bad}, {"host", ":1.2.3.4", bad}, {"host", "a,b:1.2.3.4", bad}, {"host", "a:host-gateway", bad},

		{"network", "none", `"none"`}, {"network", "", `""`}, {"network", "bridge", bad},
		{"entitlement", "network.host", `"network.host"`}, {"entitlement", "security.insecure", `"security.insecure"`}, {"entitlement", "device", bad}, {"entitlement", "", bad},
		{"epoch", "0", `0`}, {"epoch", "1700000000", `1700000000`}, {"epoch", "-1", bad}, {"epoch", "1e9", bad}, {"epoch", "9999999999999", bad},

		{"buildkit", "unix:///run/x", `{"Platform":"","Address":"unix:///run/x","CA":"","Cert":"","Key":"","Name":""}`},
		{"buildkit", "linux/arm64=tcp://h:1", `{"Platform":"linux/arm64","Address":"tcp://h:1","CA":"","Cert":"","Key":"","Name":""}`},
		{"buildkit", "docker-container://b?context=x", `{"Platform":"","Address":"docker-container://b?context=x","CA":"","Cert":"","Key":"","Name":""}`},
		{"buildkit", "kube-pod://p", `{"Platform":"","Address":"kube-pod://p","CA":"","Cert":"","Key":"","Name":""}`},
		{"buildkit", "ssh://u@h", `{"Platform":"","Address":"ssh://u@h","CA":"","Cert":"","Key":"","Name":""}`},
		{"buildkit", "docker://", bad}, {"buildkit", "docker://x", bad}, {"buildkit", "/run/x", bad}, {"buildkit", "unix://run/x", bad}, {"buildkit", "tcp://", bad}, {"buildkit", "", bad}, {"buildkit", "sparc=unix:///x", bad}, {"buildkit", "http://h", bad},

		{"cache", "user/app:cache", `{"Type":"registry","Attrs":{"ref":"user/app:cache"}}`},
		{"cache", "type=registry,ref=a/b,mode=max", `{"Type":"registry","Attrs":{"mode":"max","ref":"a/b"}}`},
		{"cache", `type=local,"dest=a,b"`, `{"Type":"local","Attrs":{"dest":"a,b"}}`},
		{"cache", "type=gha,scope=x", `{"Type":"gha","Attrs":{"scope":"x","token":"env-ACTIONS_RUNTIME_TOKEN","url":"env-ACTIONS_CACHE_URL","url_v2":"env-ACTIONS_RESULTS_URL"}}`},
		{"cache", "type=s3,bucket=b", `{"Type":"s3","Attrs":{"bucket":"b","region":"env-AWS_REGION"}}`},
		{"cache", "type=s3,bucket=b,region=mine", `{"Type":"s3","Attrs":{"bucket":"b","region":"mine"}}`},
		{"cache", "type=inline", `{"Type":"inline","Attrs":{}}`},
		{"cache", "type=ftp", bad}, {"cache", "mode=max", bad}, {"cache", "type=registry,x", bad}, {"cache", "type=a\nb", bad}, {"cache", `type="x`, bad}, {"cache", "", bad},

		{"context", "alpine=docker-image://alpine:3", `["alpine","docker-image://alpine:3"]`}, {"context", "docker.io/library/alpine:latest=./x", `["alpine","./x"]`},
		{"context", "a", bad}, {"context", "a=", bad}, {"context", "A B=x", bad},
		{"arg", "A=b=c", `["A","b=c",true]`}, {"arg", "A=", `["A","",true]`}, {"arg", "ACTIONS_X", `["ACTIONS_X","env-ACTIONS_X",true]`}, {"arg", "UNSET", `["UNSET","env-UNSET",false]`}, {"arg", "=x", bad}, {"arg", "A B=x", bad},
		{"pair", "a=b=c", `["a","b=c"]`}, {"pair", "a", bad}, {"pair", "=b", bad}, {"pair", " a=b", bad},
	} {
		got, err := parsers[test.parser](test.in)
		if strings.HasPrefix(test.want, bad) {
			if test.want != bad && err == nil {
				continue // depends on the machine
			}
			if err == nil || !hint.IsMisuse(err) || hint.Of(err) == "" {
				t.Errorf("%s %q: got %v, %v; want misuse with a hint", test.parser, test.in, got, err)
			}
			continue
		}
		data, _ := json.Marshal(got)
		if err != nil || string(data) != test.want {
			t.Errorf("%s %q: got %s, %v; want %s", test.parser, test.in, data, err, test.want)
		}
	}
}

// What the parsers accept, they accept again in their own words, and they never fail without saying what to write.
func FuzzParsers(f *testing.F) {
	for _, s := range []string{"linux/arm64", "index[linux/amd64]:a=b", "nofile=1:2", "64m", "default=/x,/y", "a:[::1]", "tcp://h:1", "type=gha,scope=\"a,b\"", "a=oci-layout://x@sha256:0", "A=b", "\x00=\xff", "=", ":", "manifest[:=", "type=\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		check := func(what string, err error) {
			if err != nil && (!hint.IsMisuse(err) || hint.Of(err) == "") {
				t.Errorf("%s: %v has no hint", what, err)
			}
		}
		if p, err := ParsePlatform(s); err == nil {
			if again, err := ParsePlatform(p); err != nil || again != p {
				t.Errorf("platform %q became %q, %v", p, again, err)
			}
		} else {
			check("platform", err)
		}
		as, err := ParseAnnotation(s)
		check("annotation", err)
		for _, a := range as {
			if a.Key == "" || strings.ContainsAny(a.Key, " \t\n") {
				t.Errorf("annotation %+v", a)
			}
		}
		_, err = ParseUlimit(s)
		check("ulimit", err)
		_, err = ParseShmSize(s)
		check("shm", err)
		_, err = ParseSSH(s, "")
		check("ssh", err)
		if h, err := ParseAddHost(s); err == nil {
			if again, err := ParseAddHost(h.Host + "=" + h.IP); err != nil || again != h {
				t.Errorf("host %+v became %+v, %v", h, again, err)
			}
		} else {
			check("add-hosts", err)
		}
		if h, err := ParseHost(s); err == nil {
			_ = h.check()
		} else {
			check("host", err)
		}
		if c, err := ParseCache(s, nil); err == nil {
			check("cache", c.check(true))
		} else {
			check("cache", err)
		}
		_, _, err = ParseBuildContext(s)
		check("context", err)
		_, err = ParseEpoch(s)
		check("epoch", err)
		_ = hasCredentials(s)
		_ = redactURL(s)
	})
}

// R11 T5: what is a secret by name or by form, and what only looks a little like one.
func TestSecretLike(t *testing.T) {
	a := strings.Repeat("aB3dE5gH7j", 6)
	for name, want := range map[string]bool{
		"TOKEN": true, "NPM_TOKEN": true, "github-token": true, "API_KEY": true, "APIKEY": true, "DB_PASSWORD": true, "AWS_SECRET_ACCESS_KEY": true, "Client_Secret": true, "SIGNING_KEY": true, "HTTP_AUTH": true, "credentials": true,
		"TOKENIZER": false, "VERSION": false, "PUBLIC_KEY": false, "SECRET_NAME": false, "TOKEN_FILE": false, "AUTHOR": false, "KEYBOARD": false, "CACHE_KEY": false, "PUBLIC_TOKEN": false, "AUTH_URL": false,
	} {
		err := checkSecrets(Plan{BuildArgs: map[string]string{name: "value"}})
		if (err != nil) != want {
			t.Errorf("name %s: %v", name, err)
		}
		if err := checkSecrets(Plan{BuildArgs: map[string]string{name: ""}}); err != nil {
			t.Errorf("empty %s: %v", name, err)
		}
	}
	for value, want := range map[string]bool{
		"ghp_" + a[:36]: true, "x ghs_" + a[:36]: true, "github_pat_" + a: true, "glpat-" + a[:20]: true, "AKIA" + "ABCDEFGHIJKLMNOP": true, "AIza" + a[:35]: true,
		"xoxb-1234567890-abc": true, "sk_live_" + a[:24]: true, "npm_" + a[:36]: true, "dckr_pat_" + a[:27]: true, "-----BEGIN RSA PRIVATE KEY-----\nx": true, "-----BEGIN PRIVATE KEY": true,
		"eyJhbGciOiJI" + a[:9] + ".eyJzdWIiOiIx" + a[:9] + "." + a: true, "https://user:pass@host/x": true, "Bearer " + a[:20]: true,
		"-----BEGIN CERTIFICATE-----": false, "v1.2.3": false, "https://host/path": false, "https://host:8443/a@b": false, "git@github.com:a/b.git": false, strings.Repeat("0", 64): false, "sha256:" + strings.Repeat("a", 64): false, "basic": false,
	} {
		if err := checkSecrets(Plan{BuildArgs: map[string]string{"X": value}}); (err != nil) != want {
			t.Errorf("value %q: %v", value, err)
		}
	}
	for _, test := range []struct {
		value, masked string
		want          bool
	}{{"longenough", "longenough", true}, {"has longenough in", "longenough", true}, {"yes", "yes", false}, {"true", "true", true}, {"untrue", "true", false}, {"x", "", false}} {
		if err := checkSecrets(Plan{BuildArgs: map[string]string{"X": test.value}, Masked: []string{test.masked}}); (err != nil) != test.want {
			t.Errorf("%q masked %q: %v", test.value, test.masked, err)
		}
	}
}
