package action_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/action"
)

// A key in a Secret of Kubernetes, as cosign makes it, signs and verifies: kubectl asks a server that has that one Secret. The
// password is in the Secret, and nothing of it is shown.
func TestKubernetesKey(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("kubectl is missing: apt-get install kubernetes-client")
	}
	w, data := *shared(t), map[string][]byte{"cosign.password": []byte(password)}
	for entry, file := range map[string]string{"cosign.key": w.key, "cosign.pub": strings.TrimSuffix(w.key, ".key") + ".pub"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data[entry] = raw
	}
	cluster := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		var answer any
		switch r.URL.Path {
		case "/api":
			answer = map[string]any{"kind": "APIVersions", "versions": []string{"v1"}}
		case "/apis":
			answer = map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": []string{}}
		case "/api/v1":
			answer = map[string]any{"kind": "APIResourceList", "groupVersion": "v1", "resources": []any{
				map[string]any{"name": "secrets", "singularName": "", "namespaced": true, "kind": "Secret", "verbs": []string{"get"}},
			}}
		case "/api/v1/namespaces/ci/secrets/release":
			answer = map[string]any{"kind": "Secret", "apiVersion": "v1", "metadata": map[string]any{"name": "release", "namespace": "ci"}, "data": data}
		default:
			rw.WriteHeader(http.StatusNotFound)
			answer = map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "secrets not found"}
		}
		_ = json.NewEncoder(rw).Encode(answer)
	}))
	t.Cleanup(cluster.Close)
	home := t.TempDir()
	config := filepath.Join(home, "config")
	if err := os.WriteFile(config, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: '"+cluster.URL+"'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = append(slices.Clip(w.env), "KUBECONFIG="+config)
	evidence := filepath.Join(home, "evidence")
	build := func(key string) outcome {
		return w.run(t.Context(), &bytes.Buffer{}, "build", w.context(t, plain), "--buildkit-host", w.engine, "--progress", "quiet", "--evidence-path", evidence, "--key", key)
	}
	out := build("k8s://ci/release")
	if out.code != action.Allowed || strings.Contains(out.stdout+out.stderr, password) {
		t.Fatalf("exit %d: %s%s", out.code, out.stdout, out.stderr)
	}
	if out := w.run(t.Context(), &bytes.Buffer{}, "verify", evidence, "--key", "k8s://ci/release"); out.code != action.Allowed {
		t.Errorf("exit %d: %s%s", out.code, out.stdout, out.stderr)
	}
	if out := build("k8s://ci/other"); out.code != action.Failed || !strings.Contains(out.stderr, "kubectl") {
		t.Errorf("exit %d: %s", out.code, out.stderr)
	}
}
