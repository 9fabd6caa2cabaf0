package action_test

import (
	"bytes"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/internal/testkit"
)

// R95 R96 T39: a registry that refuses, answers with an error, hangs up, does not answer or gives back something else: one line that
// names it, inside the deadline, and no tag; and the same command, when the registry is well again, publishes.
func TestRegistryFaults(t *testing.T) {
	t.Parallel()
	w, backend := shared(t), testkit.Registry(t, testkit.Olareg)
	build := func(t *testing.T, args ...string) outcome {
		return w.run(t.Context(), &bytes.Buffer{}, append([]string{"build", w.context(t, plain), "--buildkit-host", w.engine, "--progress", "quiet", "--key", w.key}, args...)...)
	}
	sealed, name := filepath.Join(t.TempDir(), "e"), backend+"/faults"
	if out := build(t, "--tag", name+":1", "--evidence-path", sealed); out.code != action.Allowed {
		t.Fatalf("exit %d: %s", out.code, out.stderr)
	}
	manifest, referrers := regexp.MustCompile(`/manifests/`), regexp.MustCompile(`/referrers/`)
	content := regexp.MustCompile(`/blobs/|/manifests/sha256:`) // not a tag: that is taken, so only who pushes can leave it alone
	type fault struct {
		rule testkit.Rule
		want string
	}
	sideBySide(t, map[string]fault{
		"500":                {testkit.Rule{Method: "PUT", Path: content, Status: 500}, "500"},
		"429":                {testkit.Rule{Method: "PUT", Path: content, Status: 429, Header: http.Header{"Retry-After": {"1"}}}, "429"},
		"cut":                {testkit.Rule{Method: "PUT", Path: content, Cut: true}, "EOF|reset|broken pipe|closed network connection"},
		"cut in the middle":  {testkit.Rule{Method: "GET", Path: manifest, CutDown: 20}, "EOF|reset|broken pipe|closed network connection"},
		"slow":               {testkit.Rule{Method: "PUT", Path: content, Delay: 15 * time.Second}, "longer than 8s"},
		"lies":               {testkit.Rule{Method: "GET", Path: manifest, Flip: true}, "corrupt|digest|read back"},
		"lists no evidence":  {testkit.Rule{Method: "GET", Path: referrers, Status: 200, Header: http.Header{"Content-Type": {"application/vnd.oci.image.index.v1+json"}}, Body: `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`}, "referrers"},
		"tag cannot be made": {testkit.Rule{Method: "PUT", Path: regexp.MustCompile(`/manifests/1$`), Status: 403}, "403"},
	}, func(t *testing.T, kind string, fault fault) {
		p := testkit.Flaky(t, backend)
		ref := p.Addr + "/" + strings.ReplaceAll(kind, " ", "-") + ":1"
		p.Set(fault.rule)
		publish := func(limit string) outcome {
			return w.run(t.Context(), &bytes.Buffer{}, "publish", sealed, "--key", w.public(), "--expect-image", name, "--tag", ref, "--timeout", limit)
		}
		began, code, limit := time.Now(), action.Failed, "1m"
		switch kind {
		case "lies":
			code = action.Denied
		case "slow":
			limit = "8s"
		}
		out := publish(limit)
		if lines := strings.Count(out.stderr, "sealyard: "); out.code != code || lines != 1 || !regexp.MustCompile("sealyard: .*(?:"+fault.want+")").MatchString(out.stderr) {
			t.Errorf("exit %d, want one line that says %q:\n%s", out.code, fault.want, out.stderr)
		}
		if !strings.Contains(out.stderr, p.Addr) {
			t.Errorf("no word of which registry:\n%s", out.stderr)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %s", took)
		}
		p.Set()
		if out := w.run(t.Context(), &bytes.Buffer{}, "inspect", ref); out.code != action.Failed {
			t.Errorf("there is a tag: %s", out.stdout)
		}
		if out := publish("1m"); out.code != action.Allowed {
			t.Errorf("well again: exit %d: %s", out.code, out.stderr)
		}
	})
	p := testkit.Flaky(t, backend)
	for _, c := range []struct {
		rule testkit.Rule
		code int
	}{
		{testkit.Rule{Method: "PUT", Status: 403}, action.Failed},
		{testkit.Rule{Method: "PUT", Status: 429, Times: 2, Header: http.Header{"Retry-After": {"1"}}}, action.Allowed}, // busy at first
	} {
		p.Set(c.rule)
		if out := build(t, "--push", "--tag", p.Addr+"/built:1", "--evidence-path", filepath.Join(t.TempDir(), "e")); out.code != c.code || strings.Count(out.stderr, "sealyard: ") > 1 {
			t.Errorf("build: exit %d, want %d: %s", out.code, c.code, out.stderr)
		}
	}
}
