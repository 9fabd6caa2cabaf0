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
	w := shared(t)
	backend := testkit.Registry(t, testkit.Olareg)
	p := testkit.Flaky(t, backend)
	ref := p.Addr + "/faults:1"
	build := func(args ...string) outcome {
		return w.run(t.Context(), &bytes.Buffer{}, append([]string{"build", w.context(t, plain), "--buildkit-host", w.engine, "--progress", "quiet", "--key", w.key,
			"--evidence-path", filepath.Join(t.TempDir(), "e"), "--push", "--tag", ref}, args...)...)
	}
	manifest, referrers := regexp.MustCompile(`/manifests/`), regexp.MustCompile(`/referrers/`)
	for name, fault := range map[string]struct {
		rule testkit.Rule
		want string
	}{
		"500":                {testkit.Rule{Method: "PUT", Status: 500}, "500"},
		"429":                {testkit.Rule{Method: "PUT", Status: 429, Header: http.Header{"Retry-After": {"1"}}}, "429"},
		"cut":                {testkit.Rule{Method: "PUT", Path: manifest, Cut: true}, "EOF|reset"},
		"cut in the middle":  {testkit.Rule{Method: "GET", Path: manifest, CutDown: 20}, "EOF|reset"},
		"slow":               {testkit.Rule{Method: "PUT", Delay: time.Minute}, "longer than 8s"},
		"lies":               {testkit.Rule{Method: "GET", Path: manifest, Flip: true}, "corrupt|digest|read back"},
		"lists no evidence":  {testkit.Rule{Method: "GET", Path: referrers, Status: 200, Header: http.Header{"Content-Type": {"application/vnd.oci.image.index.v1+json"}}, Body: `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`}, "referrers"},
		"tag cannot be made": {testkit.Rule{Method: "PUT", Path: regexp.MustCompile(`/manifests/1$`), Status: 403}, "403"},
	} {
		p.Set(fault.rule)
		began := time.Now()
		code := map[bool]int{true: action.Denied, false: action.Failed}[name == "lies"]
		out := build("--timeout", map[bool]string{true: "8s", false: "1m"}[name == "slow"])
		if lines := strings.Count(out.stderr, "sealyard: "); out.code != code || lines != 1 || !regexp.MustCompile("sealyard: .*(?:"+fault.want+")").MatchString(out.stderr) {
			t.Errorf("%s: exit %d, want one line that says %q:\n%s", name, out.code, fault.want, out.stderr)
		}
		if !strings.Contains(out.stderr, p.Addr) {
			t.Errorf("%s: no word of which registry:\n%s", name, out.stderr)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%s: took %s", name, took)
		}
		p.Set()
		if out := w.run(t.Context(), &bytes.Buffer{}, "inspect", ref); out.code != action.Failed {
			t.Errorf("%s: there is a tag: %s", name, out.stdout)
		}
	}
	p.Set(testkit.Rule{Method: "PUT", Status: 429, Times: 2, Header: http.Header{"Retry-After": {"1"}}})
	if out := build(); out.code != action.Allowed {
		t.Errorf("busy at first: exit %d: %s", out.code, out.stderr)
	}
}
