package action_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/testkit"
)

// startSigstack starts the whole Sigstore of test/sigstack, which writes what to sign and verify with into dir. It returns the
// environment of a job on GitHub with the claims in args, and what ends it.
func startSigstack(bin, dir string, args ...string) (env map[string]string, stop func(), err error) {
	cmd := exec.Command(bin, append([]string{"-dir", dir}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var log bytes.Buffer
	cmd.Stderr = &log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}
	if word, err := bufio.NewReader(stdout).ReadString('\n'); word != "ready\n" {
		stop()
		return nil, nil, fmt.Errorf("sigstack: %w: %s", err, log.String())
	}
	raw, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		stop()
		return nil, nil, err
	}
	env = map[string]string{}
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = strings.Trim(value, "'")
	}
	return env, stop, nil
}

// sigstack DIR [CLAIMS]...: starts a Sigstore for this script, and makes its environment that of a job with these claims, such as
// -repository acme/other.
func sigstack(bin string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		env, stop, err := startSigstack(bin, ts.MkAbs(args[0]), args[1:]...)
		ts.Check(err)
		ts.Defer(stop)
		for name, value := range env {
			ts.Setenv(name, value)
		}
	}
}

// token FILE [QUERY]: writes a token of this job into a file; QUERY changes its claims, as test/sigstack/github.go says.
func token(ts *testscript.TestScript, _ bool, args []string) {
	raw, err := fetchToken(ts.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL")+"&audience=sigstore&"+strings.Join(args[1:], "&"), ts.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(raw+"\n"), 0o600))
}

func fetchToken(url, bearer string) (string, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var answer struct{ Value string }
	err = json.NewDecoder(res.Body).Decode(&answer)
	return answer.Value, err
}

// R95 T39: a service of Sigstore that refuses, answers with an error, hangs up, does not answer or answers about something else: no
// decision, one line that says what happened, inside the deadline, and nothing is published.
func TestSigstoreFaults(t *testing.T) {
	t.Parallel()
	w, bin, registry := shared(t), testkit.Tool(t, "sigstack"), testkit.Registry(t, testkit.Olareg)
	for _, service := range []struct {
		name  string
		wants map[string]string // by fault
	}{
		{"github", map[string]string{
			"refuse": "identity token: .*connection refused", "500": "identity token: .* answered 500", "429": "identity token: .* answered 429",
			"cut": "identity token: .*unexpected EOF", "slow 1m": "longer than 8s: .*identity token: .*deadline",
		}},
		{"fulcio", map[string]string{
			"refuse": "certificate authority: .*connection refused", "500": `certificate authority: it answered 500 "injected`, "429": `certificate authority: it answered 429 "injected`,
			"cut": "certificate authority: .*unexpected EOF", "slow 1m": "longer than 8s: .*certificate authority: .*deadline", "lie": "certificate authority: it certified another key",
		}},
		{"ctlog", map[string]string{
			"500": "certificate authority: it answered 500 .*CTL", "slow 1m": "longer than 8s: .*certificate authority: .*deadline", "lie": "certificate timestamp|CTL",
		}},
		{"tsa", map[string]string{
			"refuse": "timestamp authority: .*connection refused", "500": `timestamp authority: it answered 500 "injected`, "429": `timestamp authority: it answered 429 "injected`,
			"cut": "timestamp authority: .*unexpected EOF", "slow 1m": "longer than 8s: .*timestamp.*deadline", "lie": "what was signed does not verify: .*timestamp",
		}},
		{"rekor", map[string]string{
			"refuse": "transparency log: .*connection refused", "500": `transparency log: it answered 500 "injected`, "429": `transparency log: it answered 429 "injected`,
			"cut": "transparency log: .*unexpected EOF", "slow 1m": "longer than 8s: .*rekor v2 entry: .*deadline", "lie": "what was signed does not verify: .*(log|entry)",
		}},
	} {
		t.Run(service.name, func(t *testing.T) {
			sideBySide(t, service.wants, func(t *testing.T, fault, want string) {
				s, kind := newJob(t, w, bin), strings.Fields(fault)[0]
				s.bears(t, service.name, fault, want, registry+"/"+service.name+"-"+kind+":1")
			})
		})
	}
}

// bears shows that a job fails with a fault of a service, publishes nothing, and does when the service is well again, or has that
// fault only once.
func (j *job) bears(t *testing.T, service, fault, want, ref string) {
	t.Helper()
	limit, after := "1m", map[string]string{"lie": "ok", "429": "429?times=1", "cut": "cut?times=1"}[fault]
	if strings.HasPrefix(fault, "slow") {
		limit = "8s"
	}
	build := func(limit string) outcome {
		return j.build(t, filepath.Join(t.TempDir(), "e"), "--push", "--tag", ref, "--timeout", limit)
	}
	if fault == "lie" { // with what it said before
		if out := j.build(t, filepath.Join(t.TempDir(), "e")); out.code != action.Allowed {
			t.Fatalf("exit %d: %s", out.code, out.stderr)
		}
	}
	j.fault(t, service, fault)
	out := build(limit)
	if lines := strings.Count(out.stderr, "sealyard: "); out.code != action.Failed || lines != 1 || !regexp.MustCompile("sealyard: .*(?:"+want+")").MatchString(out.stderr) {
		t.Errorf("exit %d, want one line that says %q:\n%s", out.code, want, out.stderr)
	}
	if out := j.run(t.Context(), &bytes.Buffer{}, "inspect", ref); out.code != action.Failed {
		t.Errorf("there is a tag: %s", out.stdout)
	}
	if after == "" {
		return
	}
	j.fault(t, service, after)
	if out := build(limit); out.code != action.Allowed {
		t.Errorf("%s: exit %d: %s", after, out.code, out.stderr)
	}
}

// sideBySide runs a subtest for each case, all at once: they wait, which needs none of the places that parallel tests share.
func sideBySide[T any](t *testing.T, cases map[string]T, test func(t *testing.T, name string, c T)) {
	t.Helper()
	var all sync.WaitGroup
	for name, c := range cases {
		all.Go(func() { t.Run(name, func(t *testing.T) { test(t, name, c) }) })
	}
	all.Wait()
}

// R50: an entry whose answer was lost is found again, or signed again, in a log of either version: nothing is lost and nothing fails.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	s := newJob(t, shared(t), testkit.Tool(t, "sigstack"))
	for service, dir := range map[string]string{"rekor": "", "rekor1": "rekor-v1"} {
		s.fault(t, service, "cut?times=2")
		before, home := s.asked(t)[service], filepath.Join(s.sigstore, dir)
		out := s.run(t.Context(), &bytes.Buffer{}, "build", s.context(t, plain), "--buildkit-host", s.engine, "--progress", "quiet", "--evidence-path", filepath.Join(t.TempDir(), "e"),
			"--sign", "keyless", "--signing-config", filepath.Join(home, "signing_config.json"), "--trusted-root", filepath.Join(home, "trusted_root.json"))
		if asked := s.asked(t)[service] - before; out.code != action.Allowed || asked < 8+2 {
			t.Errorf("%s: exit %d, asked %d times: %s", service, out.code, asked, out.stderr)
		}
	}
}

// The statements of a run are signed side by side, with one certificate: they wait for a slow log once, not once each.
func TestOneWait(t *testing.T) {
	t.Parallel()
	const delay = 4 * time.Second
	s := newJob(t, shared(t), testkit.Tool(t, "sigstack"))
	elapsed := func(fault string) time.Duration {
		t.Helper()
		s.fault(t, "rekor", fault)
		began := time.Now()
		if out := s.build(t, filepath.Join(t.TempDir(), "e")); out.code != action.Allowed {
			t.Fatalf("exit %d: %s", out.code, out.stderr)
		}
		return time.Since(began)
	}
	elapsed("ok")
	before := s.asked(t)
	quick, slow := elapsed("ok"), elapsed("slow "+delay.String())
	after := s.asked(t)
	if after["rekor"]-before["rekor"] < 2*4 {
		t.Fatalf("the log was asked %d times", after["rekor"]-before["rekor"])
	}
	if n := after["fulcio"] - before["fulcio"]; n != 2 {
		t.Errorf("two runs asked for %d certificates", n)
	}
	if slow-quick > delay*7/4 {
		t.Errorf("%s with a log that takes %s, %s with one that does not", slow, delay, quick)
	}
	t.Logf("log entries per run %d, certificates per run %d, run %s, with a log that takes %s: %s",
		(after["rekor"]-before["rekor"])/2, (after["fulcio"]-before["fulcio"])/2, quick, delay, slow)
}

// R41: a bundle has one certificate, of the signer, and it says what GitHub's token said: who built, from what, where and why.
func TestKeylessCertificate(t *testing.T) {
	t.Parallel()
	const commit, workflow = "89abcdef0123456789abcdef0123456789abcdef", "acme/widget/.github/workflows/build.yml@refs/heads/main"
	j := newJob(t, shared(t), testkit.Tool(t, "sigstack"), "-sha", commit, "-environment", "production")
	evidence := filepath.Join(t.TempDir(), "e")
	if out := j.build(t, evidence); out.code != action.Allowed {
		t.Fatal(out.stderr)
	}
	home := "https://github.com/"
	want := map[string]string{
		"1": "https://token.actions.githubusercontent.com", "2": "push", "3": commit, "4": "build", "5": "acme/widget", "6": "refs/heads/main", "8": "https://token.actions.githubusercontent.com",
		"9": home + workflow, "10": commit, "11": "github-hosted", "12": home + "acme/widget", "13": commit, "14": "refs/heads/main", "15": "1001",
		"16": home + "acme", "17": "2002", "18": home + workflow, "19": commit, "20": "push", "21": home + "acme/widget/actions/runs/4004/attempts/1",
		"22": "public", "23": "production", "24": "repo:acme/widget:environment:production",
	}
	found := 0
	for _, cert := range certificates(t, evidence) {
		if found++; len(cert.URIs) != 1 || cert.URIs[0].String() != home+workflow || cert.IsCA {
			t.Errorf("it certifies %v", cert.URIs)
		}
		got := map[string]string{}
		for _, e := range cert.Extensions {
			number, ok := strings.CutPrefix(e.Id.String(), "1.3.6.1.4.1.57264.1.")
			var text string
			if _, err := asn1.Unmarshal(e.Value, &text); err != nil {
				text = string(e.Value) // the old ones, up to 6, are bare
			}
			if ok {
				got[number] = text
			}
		}
		for number, value := range want {
			if got[number] != value {
				t.Errorf("extension %s says %q, want %q", number, got[number], value)
			}
		}
	}
	if found < 5 {
		t.Errorf("%d certificates in the evidence", found)
	}
}

// certificates are those of all bundles in a layout.
func certificates(t *testing.T, layout string) []*x509.Certificate {
	t.Helper()
	blobs, err := filepath.Glob(filepath.Join(layout, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*x509.Certificate
	for _, name := range blobs {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var bundle struct {
			MediaType            string
			VerificationMaterial struct{ Certificate struct{ RawBytes []byte } }
		}
		if json.Unmarshal(raw, &bundle) != nil || bundle.MediaType != "application/vnd.dev.sigstore.bundle.v0.3+json" {
			continue
		}
		cert, err := x509.ParseCertificate(bundle.VerificationMaterial.Certificate.RawBytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, cert)
	}
	return out
}

// job is a world in which builds are jobs that sign with a Sigstore of their own.
type job struct {
	world
	sigstore, admin string
}

func newJob(t *testing.T, w *world, bin string, claims ...string) *job {
	t.Helper()
	j := &job{world: *w, sigstore: filepath.Join(t.TempDir(), "sigstore")}
	env, stop, err := startSigstack(bin, j.sigstore, claims...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	j.admin = env["SIGSTACK_ADMIN"]
	for _, name := range []string{"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"} {
		j.env = append(slices.Clip(j.env), name+"="+env[name])
	}
	return j
}

// token is an identity token of the job, for Fulcio, with other claims: &name=value...
func (j *job) token(t *testing.T, claims string) string {
	t.Helper()
	at := map[string]string{}
	for _, kv := range j.env {
		name, value, _ := strings.Cut(kv, "=")
		at[name] = value
	}
	token, err := attest.GitHubToken(at["ACTIONS_ID_TOKEN_REQUEST_URL"]+claims, at["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])(t.Context(), "sigstore")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// fault makes a service misbehave until it is told otherwise, as test/sigstack/faults.go says.
func (j *job) fault(t *testing.T, service, fault string) {
	t.Helper()
	fault, times, _ := strings.Cut(fault, "?")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, j.admin+"/"+service+"?"+times, strings.NewReader(fault))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v: %s", err, text)
	}
}

// asked is how often each service was asked for something.
func (j *job) asked(t *testing.T) map[string]int {
	t.Helper()
	out, err := askedOf(j.admin)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func askedOf(admin string) (map[string]int, error) {
	res, err := http.Get(admin)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out := map[string]int{}
	for {
		var name, fault string
		var n int
		if _, err := fmt.Fscanln(res.Body, &name, &fault, &n); err != nil {
			return out, nil
		}
		out[name] = n
	}
}

// asks-none SERVICE...: none of these services of the script's Sigstore was asked for anything so far.
func asksNone(ts *testscript.TestScript, _ bool, args []string) {
	asked, err := askedOf(ts.Getenv("SIGSTACK_ADMIN"))
	ts.Check(err)
	for _, name := range args {
		if n, ok := asked[name]; n > 0 || !ok {
			ts.Fatalf("%s was asked %d times", name, n)
		}
	}
}

// [!] stored REPOSITORY DIGEST FILE: writes what GitHub's attestation store, as the script's Sigstore has it, answers about a digest.
func stored(ts *testscript.TestScript, neg bool, args []string) {
	res, err := http.Get(ts.Getenv("GITHUB_API_URL") + "/repos/" + args[0] + "/attestations/" + args[1])
	ts.Check(err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	ts.Check(err)
	if (res.StatusCode == http.StatusOK) == neg {
		ts.Fatalf("%s: %s", res.Status, raw)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), raw, 0o644))
}

func (j *job) build(t *testing.T, evidence string, args ...string) outcome {
	t.Helper()
	began := time.Now()
	args = append([]string{"build", j.context(t, plain), "--buildkit-host", j.engine, "--progress", "quiet", "--evidence-path", evidence, "--sign", "keyless",
		"--signing-config", filepath.Join(j.sigstore, "signing_config.json"), "--trusted-root", filepath.Join(j.sigstore, "trusted_root.json")}, args...)
	out := j.run(t.Context(), &bytes.Buffer{}, args...)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("took %s", took)
	}
	return out
}
