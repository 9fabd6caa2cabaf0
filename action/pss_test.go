package action_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/testkit"
	"github.com/sealyard/sealyard/policy"
	"github.com/sealyard/sealyard/workload"
)

// upstream is what Kubernetes' own Pod security admission says of a Pod.
type upstream struct {
	File       string
	Name       string
	Baseline   bool
	Restricted bool
}

func (u upstream) allowed(level string) bool {
	return level == "baseline" && u.Baseline || level == "restricted" && u.Restricted
}

func psscheck(t *testing.T, dir string) (all []upstream) {
	t.Helper()
	out, err := exec.Command(testkit.Tool(t, "psscheck"), dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(out))
	for d.More() {
		var u upstream
		if err := d.Decode(&u); err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// podDenials reads manifests and says of each file which rules of a level deny it.
func podDenials(t *testing.T, dir, level string) map[string][]string {
	t.Helper()
	facts, err := workload.Read(t.Context(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := facts.JSON()
	if err != nil {
		t.Fatal(err)
	}
	b, err := policy.Baseline(policy.LoadOptions{Data: []byte("podSecurity: " + level), Timeout: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	digest := "sha256:" + strings.Repeat("ab", 32)
	d, err := b.Decide(t.Context(), policy.Input{
		SchemaVersion: policy.SchemaVersion, Time: time.Unix(1e9, 0), Image: policy.Image{Digest: digest},
		Claims: []policy.Claim{{PredicateType: "https://github.com/sealyard/sealyard/blob/main/docs/predicates/workloads-v1.md", Subjects: []string{digest}, Digest: digest, Predicate: doc}},
	})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, f := range d.Denials {
		if strings.HasPrefix(f.Rule, "pss-") {
			_, file, _ := strings.Cut(f.Location.File, "/")
			out[file] = append(out[file], f.Rule)
		}
	}
	return out
}

// agree holds our decisions about the Pods in one directory to upstream's about those, in the same files, in another.
func agree(t *testing.T, ours, theirs string) {
	t.Helper()
	pods := psscheck(t, theirs)
	for _, level := range []string{"baseline", "restricted"} {
		found, allowed := podDenials(t, ours, level), 0
		for _, u := range pods {
			if u.allowed(level) {
				allowed++
			}
			if rules := found[u.File]; u.allowed(level) != (len(rules) == 0) {
				t.Errorf("%s at %s: upstream allows it: %v, here it is denied by %v", u.File, level, u.allowed(level), rules)
			}
		}
		t.Logf("%s: %d Pods, the same verdict on each; %d allowed, %d denied", level, len(pods), allowed, len(pods)-allowed)
	}
}

// R90: every fixture of Kubernetes' own Pod security admission, of all versions of the standards, gets the verdict that it gives
// today; and those of the newest version the one that they were made for.
func TestPodSecurityFixtures(t *testing.T) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission")
	list.Dir = filepath.Join(testkit.Root(t), "test", "psscheck")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "test", "testdata")
	distinct, n := t.TempDir(), 0
	seen := map[string]bool{}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".yaml" {
			return err
		}
		raw, err := os.ReadFile(name)
		if n++; err != nil || seen[string(raw)] {
			return err
		}
		seen[string(raw)] = true
		return os.WriteFile(filepath.Join(distinct, fmt.Sprintf("%04d-%s", n, filepath.Base(name))), raw, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d fixtures, %d of them distinct", n, len(seen))
	agree(t, distinct, distinct)
	const newest = "v1.37"
	for _, level := range []string{"baseline", "restricted"} {
		for verdict, want := range map[string]bool{"pass": true, "fail": false} {
			of := filepath.Join(dir, level, newest, verdict)
			entries, err := os.ReadDir(of)
			if err != nil || len(entries) < 10 {
				t.Fatalf("%v: %d fixtures", err, len(entries))
			}
			found := podDenials(t, of, level)
			for _, e := range entries {
				if rules := found[e.Name()]; (len(rules) == 0) != want {
					t.Errorf("%s/%s is made to %s, it is denied by %v", level, e.Name(), verdict, rules)
				}
			}
			t.Logf("%s %s: %d of %d", level, verdict, len(entries), len(entries))
		}
	}
}

// choice is one of some values, each as likely as another; the first means that the field is not there.
func choice(r *rand.Rand, values ...any) any { return values[r.IntN(len(values))] }

func object(fields map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range fields {
		if v != nil {
			out[name] = v
		}
	}
	return out
}

// randomContext is a security context as likely good as bad in each of its fields.
func randomContext(r *rand.Rand, container bool) any {
	profile := func() any {
		return choice(r, nil, nil, obj("type", "RuntimeDefault"), obj("type", "Localhost"), obj("type", "Unconfined"))
	}
	c := map[string]any{
		"runAsNonRoot": choice(r, nil, true, true, true, true, true, false), "runAsUser": choice(r, nil, nil, nil, nil, nil, 0, 1),
		"seccompProfile":  choice(r, nil, profile(), obj("type", "RuntimeDefault"), obj("type", "RuntimeDefault"), obj("type", "RuntimeDefault")),
		"appArmorProfile": choice(r, nil, nil, nil, nil, nil, nil, nil, nil, profile()), "windowsOptions": choice(r, nil, nil, nil, nil, nil, nil, nil, nil, nil, obj("hostProcess", r.IntN(2) == 0)),
		"seLinuxOptions": choice(r, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, obj("type", choice(r, "", "container_t", "container_engine_t", "spc_t")), obj("user", choice(r, "", "u")), obj("role", choice(r, "", "r"))),
	}
	if container {
		c["privileged"], c["procMount"] = choice(r, nil, nil, nil, nil, nil, nil, false, true), choice(r, nil, nil, nil, nil, nil, nil, "Default", "Unmasked")
		c["allowPrivilegeEscalation"] = choice(r, false, false, false, false, false, false, false, false, nil, true)
		c["capabilities"] = choice(r, nil, obj("drop", []any{"ALL"}), obj("drop", []any{"ALL"}), obj("drop", []any{"ALL"}), obj("drop", []any{"ALL"}), object(map[string]any{"drop": choice(r, nil, []any{"NET_RAW", "ALL"}, []any{"all"}), "add": choice(r, nil, []any{"NET_BIND_SERVICE"}, []any{"CHOWN"}, []any{"SYS_ADMIN"})}))
	} else {
		c["sysctls"] = choice(r, nil, nil, nil, nil, nil, nil, []any{map[string]any{"name": choice(r, "net.ipv4.tcp_rmem", "kernel.msgmax"), "value": "1"}})
	}
	return choice(r, object(c), object(c), object(c), object(c), object(c), object(c), object(c), object(c), nil)
}

func obj(name string, v any) map[string]any { return map[string]any{name: v} }

func randomContainers(r *rand.Rand, least int) any {
	var out []any
	for i := range least + r.IntN(2) {
		handler := func() any {
			return obj(choice(r, "httpGet", "tcpSocket").(string), map[string]any{"port": 80, "host": choice(r, "", "", "", "10.0.0.1")})
		}
		out = append(out, object(map[string]any{
			"name": fmt.Sprintf("c%d", i), "image": "image", "securityContext": randomContext(r, true),
			"ports":         choice(r, nil, nil, nil, nil, nil, nil, nil, []any{map[string]any{"containerPort": 80, "hostPort": choice(r, 0, 0, 80)}}),
			"livenessProbe": choice(r, nil, nil, nil, nil, nil, nil, handler()), "startupProbe": choice(r, nil, nil, nil, nil, handler()),
			"lifecycle": choice(r, nil, nil, nil, nil, obj("preStop", handler())),
		}))
	}
	if out == nil {
		return nil
	}
	return out
}

func randomSpec(r *rand.Rand) map[string]any {
	rarely := func(v any) any { return choice(r, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, v) }
	source := choice(r, "configMap", "csi", "emptyDir", "image", "projected", "secret", "ephemeral", "downwardAPI", "nfs", "hostPath", "iscsi").(string)
	return object(map[string]any{
		"containers": randomContainers(r, 1), "initContainers": rarely(randomContainers(r, 1)), "ephemeralContainers": rarely(randomContainers(r, 1)),
		"securityContext": randomContext(r, false), "hostNetwork": rarely(r.IntN(2) == 0), "hostPID": rarely(true), "hostIPC": rarely(false),
		"hostUsers": choice(r, nil, nil, true, false), "os": rarely(obj("name", choice(r, "linux", "windows"))),
		"volumes": choice(r, nil, nil, []any{map[string]any{"name": "v", source: map[string]any{}}, map[string]any{"name": "w"}}[:1+r.IntN(10)/9]),
	})
}

// inKind puts a Pod into an object of one of the kinds that have one.
func inKind(r *rand.Rand, name string, pod map[string]any) any {
	template := map[string]any{"metadata": pod["metadata"], "spec": pod["spec"]}
	version, kind := choice(r, "v1 Pod", "v1 PodTemplate", "v1 ReplicationController", "apps/v1 Deployment", "apps/v1 StatefulSet", "apps/v1 DaemonSet", "apps/v1 ReplicaSet", "batch/v1 Job", "batch/v1 CronJob").(string), ""
	version, kind, _ = strings.Cut(version, " ")
	out := map[string]any{"apiVersion": version, "kind": kind, "metadata": obj("name", name), "spec": obj("template", template)}
	switch kind {
	case "Pod":
		return pod
	case "PodTemplate":
		return map[string]any{"apiVersion": version, "kind": kind, "metadata": obj("name", name), "template": template}
	case "CronJob":
		out["spec"] = obj("jobTemplate", obj("spec", out["spec"]))
	}
	return choice(r, out, map[string]any{"apiVersion": "v1", "kind": "List", "items": []any{out}})
}

// R89 R90: Pods that are good and bad in any mixture get upstream's verdict, in whatever kind of object they are.
func TestPodSecurityOfRandomPods(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 90))
	ours, theirs := t.TempDir(), t.TempDir()
	write := func(dir, name string, v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 500 {
		name := fmt.Sprintf("p%04d", i)
		meta := object(map[string]any{"name": name, "annotations": choice(r, nil, nil, nil, nil, nil, obj("container.apparmor.security.beta.kubernetes.io/c0", choice(r, "", "runtime/default", "localhost/a", "unconfined")))})
		pod := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": randomSpec(r)}
		write(theirs, name, pod)
		write(ours, name, inKind(r, name, pod))
	}
	agree(t, ours, theirs)
}
