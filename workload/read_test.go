package workload_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/workload"
)

var update = flag.Bool("update", false, "write testdata/*.json")

// write puts files into a new directory and returns it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t testing.TB, paths ...string) (string, error) {
	t.Helper()
	f, err := workload.Read(t.Context(), paths)
	if err != nil {
		return "", err
	}
	out, err := f.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(out), nil
}

// R89 R91 T5: every kind that facts are made of, with file and line; of secrets the names, of values nothing at all.
func TestFacts(t *testing.T) {
	got, err := read(t, "testdata/app.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(got), "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	if *update {
		if err := os.WriteFile("testdata/app.json", pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/app.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pretty.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", pretty.Bytes(), want)
	}
	for _, secret := range []string{"hunter2", "aHVudGVy", "4711", "not kept", "fast"} {
		if strings.Contains(got, secret) {
			t.Errorf("the facts hold %q", secret)
		}
	}
}

// R89: a Pod is found in every kind that has one, in the same form, whether it came as YAML or JSON, alone or in a list.
func TestEveryKindWithPods(t *testing.T) {
	const spec = `{"hostNetwork":true,"containers":[{"name":"c","image":"i"}]}`
	bodies := map[string]string{
		"v1 Pod":                   `"spec":` + spec,
		"v1 PodTemplate":           `"template":{"spec":` + spec + `}`,
		"v1 ReplicationController": `"spec":{"template":{"spec":` + spec + `}}`,
		"apps/v1 Deployment":       `"spec":{"template":{"spec":` + spec + `}}`,
		"apps/v1 StatefulSet":      `"spec":{"template":{"spec":` + spec + `}}`,
		"apps/v1beta2 DaemonSet":   `"spec":{"template":{"spec":` + spec + `}}`,
		"extensions/v1 ReplicaSet": `"spec":{"template":{"spec":` + spec + `}}`,
		"batch/v1 Job":             `"spec":{"template":{"spec":` + spec + `}}`,
		"batch/v1 CronJob":         `"spec":{"jobTemplate":{"spec":{"template":{"spec":` + spec + `}}}}`,
	}
	for what, body := range bodies {
		version, kind, _ := strings.Cut(what, " ")
		object := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"x"},%s}`, version, kind, body)
		typed := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"items":[{"metadata":{"name":"x"},%s}]}`, version, kind+"List", body)
		for form, text := range map[string]string{
			"JSON": object, "two": "\n" + object + "\n" + object, "YAML": "---\n" + strings.ReplaceAll(object, ",", ",\n  "), "list": `{"apiVersion":"v1","kind":"List","items":[` + object + `]}`, "typed list": typed,
		} {
			got, err := read(t, write(t, map[string]string{"a.yaml": text}))
			if err != nil || !strings.Contains(got, `"pod":{"spec":{"containers":[{"line":`) || !strings.Contains(got, `"name":"c","image":"i"}],"hostNetwork":true}}`) {
				t.Errorf("%s as %s: %v: %s", what, form, err, got)
			}
		}
	}
}

// What Kubernetes could understand in another way, or not at all, is refused in one line with file and line.
func TestRefused(t *testing.T) {
	pod := "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: c, image: i}]\n"
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'i'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10), ", "))
	}
	for name, c := range map[string]struct{ text, want string }{
		"chart template":    {"kind: {{ .Values.kind }}\n", `a.yaml:1: .*`},
		"twice":             {pod + "kind: Pod\n", "already"},
		"twice in JSON":     {`{"kind":"Pod","kind":"Job"}`, "duplicate"},
		"hidden document":   {pod + "...\n" + pod, "a second document"},
		"hidden by CR":      {pod + "x: y\r---\rkind: Job\n", "a second document"},
		"beside dashes":     {"--- {kind: Pod}\n", "dashes"},
		"no kind":           {pod + "---\nreplicas: 3\n", "a.yaml:6: it is not a Kubernetes object"},
		"no object":         {"- a\n", "not a Kubernetes object"},
		"wrong type":        {strings.Replace(pod, "spec:", "spec:\n  hostNetwork: \"true\"", 1), "a.yaml:4: .*hostNetwork"},
		"wrong type inside": {pod + "metadata: {annotations: {a: 1}}\n", "a.yaml:5: .*annotations"},
		"wrong in a list":   {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec:\n    containers:\n    - name: a\n    - name: []\n", "a.yaml:9: item 1 of the list: Pod"},
		"no containers":     {"apiVersion: v1\nkind: Pod\nspec: {}\n", "no container"},
		"no template":       {"apiVersion: apps/v1\nkind: Deployment\nspec: {}\n", "no Pod template"},
		"binary":            {"kind: \xff\n", "UTF-8"},
		"NUL":               {"kind: \x00\n", "UTF-8"},
		"bomb":              {bomb, "(?i)alias|anchor|unfold"},
		"heavy bomb":        {"a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a, ", 4000) + "]\n", "unfold to more than"},
		"endless anchor":    {"a: &a [*a]\n", "(?i)unfold|contains itself"},
		"deep":              {"a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested"},
		"deep JSON":         {`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}", "nested"},
		"very deep":         {"a: " + strings.Repeat("[", 1_000_000), "a.yaml:1"},
		"lists in lists":    {strings.Repeat(`{"apiVersion":"v1","kind":"List","items":[`, 6) + strings.Repeat("]}", 6), "lists are nested"},
		"cut off JSON":      {`{"apiVersion":"v1","kind":"Pod"`, "a.yaml:1"},
		"empty":             {"# nothing\n", "no Kubernetes object"},
		"too many":          {strings.Repeat("apiVersion: v1\nkind: Service\n---\n", workload.MaxDocuments+1), "more than 10000 objects"},
	} {
		start := time.Now()
		_, err := read(t, write(t, map[string]string{"a.yaml": c.text}))
		switch {
		case err == nil:
			t.Errorf("%s: not refused", name)
		case !hint.IsMisuse(err) || hint.Of(err) == "" || strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: %q, hint %q", name, err, hint.Of(err))
		case !matches(c.want, err.Error()):
			t.Errorf("%s: %q, want %s", name, err, c.want)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
}

// A directory gives its manifests in order and nothing else; a link in it, a file that is missing or too large is an error.
func TestFiles(t *testing.T) {
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\n"
	dir := write(t, map[string]string{
		"b.yml": fmt.Sprintf(service, "two"), "a/z.yaml": fmt.Sprintf(service, "one"), "c.json": `{"apiVersion":"v1","kind":"Service","metadata":{"name":"three"}}`,
		"README.md": "no manifest",
	})
	got, err := read(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Base(dir)
	for _, want := range []string{`{"name":"` + base + `/a/z.yaml","digest":{"sha256":"`, `{"file":"` + base + `/b.yml","line":1,`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	if one, two, three := strings.Index(got, `"one"`), strings.Index(got, `"two"`), strings.Index(got, `"three"`); one < 0 || one > two || two > three {
		t.Errorf("not in order: %s", got)
	}
	if strings.Contains(got, filepath.Dir(dir)) {
		t.Errorf("%s tells of this machine", got)
	}
	refused := func(want string, paths ...string) {
		t.Helper()
		if _, err := read(t, paths...); err == nil || !hint.IsMisuse(err) || !matches(want, err.Error()) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	refused("no such file", filepath.Join(dir, "absent"))
	refused("neither", os.DevNull)
	refused("two files", filepath.Join(dir, "b.yml"), filepath.Join(dir, "b.yml"))
	if err := os.Symlink("b.yml", filepath.Join(dir, "d.yaml")); err != nil {
		t.Fatal(err)
	}
	refused("d.yaml.*link", dir)
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 100<<20); err != nil {
		t.Fatal(err)
	}
	refused("more than 33554432 bytes", large)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := workload.Read(ctx, []string{dir}); err == nil || hint.IsMisuse(err) {
		t.Errorf("%v, want the end of the context", err)
	}
}

// T35: what lies on a node behind a claim, and what a role takes from others, is told.
func TestVolumesAndRoles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	text := "apiVersion: v1\nkind: PersistentVolume\nspec: {hostPath: {path: /}}\n---\n# nothing\n---\n" +
		"apiVersion: v1\nkind: PersistentVolume\nspec: {local: {path: /a}}\n---\n" +
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\naggregationRule: {clusterRoleSelectors: []}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := workload.Read(t.Context(), []string{file})
	if err != nil || len(f.Documents) != 3 {
		t.Fatalf("%+v, %v", f, err)
	}
	d := f.Documents
	if !slices.Equal(d[0].HostPaths, []string{"/"}) || !slices.Equal(d[1].HostPaths, []string{"/a"}) || !d[2].Aggregates || d[1].Line != 7 {
		t.Errorf("%+v", d)
	}
}

// R89: what has items is a list to kubectl, whatever it calls itself; nothing hides in one.
func TestItemsAreNoHidingPlace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nitems: [{apiVersion: v1, kind: Pod, metadata: {name: p}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := workload.Read(t.Context(), []string{file}); err == nil || !strings.Contains(err.Error(), "items of a") {
		t.Errorf("items of a ConfigMap: %v", err)
	}
}
