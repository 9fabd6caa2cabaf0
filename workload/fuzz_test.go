package workload_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/workload"
)

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// Whatever is in a file: it is refused as the user's mistake, or gives facts that are JSON, the same ones again, each with a line of
// the file.
func FuzzRead(f *testing.F) {
	app, err := os.ReadFile("testdata/app.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(app)
	for _, seed := range []string{
		"", "---", "a: &a [*a]\n", "{}", "[]", "\ufeff{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{}]}", "apiVersion: v1\nkind: PodList\nitems: [null, {spec: {containers: [null]}}]\n",
		"apiVersion: v1\nkind: Pod\n<<: {spec: {containers: [{}], volumes: [{hostPath: null}, null], resources: {limits: {cpu: 1e3}}}}\n",
	} {
		f.Add([]byte(seed))
	}
	file := filepath.Join(f.TempDir(), "a.yaml")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(file, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		facts, err := workload.Read(t.Context(), []string{file})
		if err != nil {
			if !hint.IsMisuse(err) {
				t.Errorf("not the user's mistake: %v", err)
			}
			return
		}
		for _, d := range facts.Documents {
			if d.Line < 1 || d.Line > len(raw)+1 {
				t.Errorf("line %d", d.Line)
			}
		}
		first, err := facts.JSON()
		if err != nil || !jsontext.Value(first).IsValid() {
			t.Fatalf("%v: %s", err, first)
		}
		again, err := workload.Read(t.Context(), []string{file})
		if err != nil {
			t.Fatal(err)
		}
		if second, err := again.JSON(); err != nil || string(second) != string(first) {
			t.Errorf("%v: %s then %s", err, first, second)
		}
	})
}

// Whatever a nodes file and an amount say: it is refused as the user's mistake, or counted, and what is said to be enough is enough.
func FuzzNodes(f *testing.F) {
	f.Add([]byte("lost: 1\nkinds: [{name: a, count: 2, cpu: 4, memory: 8Gi, pods: 10, cost: 0.5}]"), "250m")
	f.Add([]byte(`{"lost":0,"kinds":[{"name":"a","count":0,"cpu":"1e3","memory":".5E","pods":1},{"name":"b","cpu":1,"memory":"1n","pods":1}]}`), "1e-9")
	f.Add([]byte("kinds: []"), "+9999999999999999.Ki")
	file := filepath.Join(f.TempDir(), "nodes")
	f.Fuzz(func(t *testing.T, raw []byte, cpu string) {
		if err := os.WriteFile(file, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		nodes, err := workload.ReadNodes(file)
		if err == nil {
			pod := workload.PodSpec{Containers: []workload.Container{{Resources: &workload.Resources{Requests: workload.Quantities{"cpu": workload.Quantity(cpu)}}}}}
			two := int64(2)
			facts := workload.Facts{Documents: []workload.Document{{Kind: "Deployment", Replicas: &two, Pod: &workload.Pod{Spec: pod}}}}
			if err = facts.Fit(nodes); err == nil {
				if c := facts.Capacity; c.Fits != (c.Lacks == "") || c.CPU < 0 || c.Cost < 0 {
					t.Errorf("%+v", c)
				}
			}
		}
		if err != nil && !hint.IsMisuse(err) {
			t.Errorf("not the user's mistake: %v", err)
		}
	})
}
