package workload_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/workload"
)

// deployed is a manifest of one object with so many Pods, each with those resources.
func deployed(kind string, n int, resources string) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: %s\nmetadata: {name: x}\nspec: {replicas: %d, template: {spec: {containers: [{name: c, resources: %s}]}}}\n---\n", kind, n, resources)
}

func fit(t testing.TB, manifests, nodes string) (workload.Capacity, error) {
	t.Helper()
	dir := write(t, map[string]string{"a.yaml": manifests, "nodes": nodes})
	facts, err := workload.Read(t.Context(), []string{filepath.Join(dir, "a.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	n, err := workload.ReadNodes(filepath.Join(dir, "nodes"))
	if err == nil {
		err = facts.Fit(n)
	}
	if err != nil {
		return workload.Capacity{}, err
	}
	return *facts.Capacity, nil
}

const (
	one   = "{requests: {cpu: 1, memory: 1Gi}}"
	small = "{name: small, count: %d, cpu: 4, memory: 8Gi, pods: 10, cost: 1}"
	large = "{name: large, count: %d, cpu: 16, memory: 64Gi, pods: 100, cost: 3}"
)

// Whether Pods fit, with and without a lost node, what is short when they do not, and how few nodes would do.
func TestFit(t *testing.T) {
	kinds := func(smalls, larges int) string { return fmt.Sprintf("["+small+", "+large+"]", smalls, larges) }
	for name, c := range map[string]struct {
		manifests, nodes, lacks string
		cheapest                map[string]int
	}{
		"fits":                 {deployed("Deployment", 4, one), "lost: 0\nkinds: " + kinds(1, 0), "", map[string]int{"small": 0, "large": 1}},
		"not with one lost":    {deployed("Deployment", 4, one), "kinds: " + kinds(1, 0), "cpu", nil},
		"with one lost":        {deployed("Deployment", 4, one), "kinds: " + kinds(2, 0), "", nil},
		"whichever is lost":    {deployed("Deployment", 8, one), "kinds: " + kinds(3, 1), "", nil},
		"the largest is lost":  {deployed("Deployment", 9, one), "kinds: " + kinds(2, 1), "cpu", nil},
		"memory":               {deployed("StatefulSet", 2, "{requests: {cpu: 1m, memory: 6Gi}}"), "lost: 0\nkinds: " + kinds(1, 0), "memory", nil},
		"Pods":                 {deployed("ReplicaSet", 11, "{}"), "lost: 0\nkinds: " + kinds(1, 0), "pods", nil},
		"room":                 {deployed("Deployment", 3, "{limits: {cpu: 2.5, memory: 1Gi}}"), "lost: 0\nkinds: " + kinds(2, 0), "room", nil},
		"too large for any":    {deployed("Deployment", 1, "{limits: {cpu: 20}}"), "lost: 0\nkinds: " + kinds(9, 9), "room", map[string]int{}},
		"large amounts":        {deployed("Deployment", 1, "{limits: {cpu: 448, memory: 12Ti}}"), "lost: 0\nkinds: [{name: x, count: 1, cpu: 448, memory: 12Ti, pods: 1}]", "", nil},
		"no node":              {deployed("Deployment", 1, one), "kinds: " + kinds(0, 0), "cpu", nil},
		"no Pod":               {deployed("Deployment", 0, one), "kinds: " + kinds(0, 0), "", map[string]int{"small": 0, "large": 0}},
		"one on every node":    {deployed("DaemonSet", 1, one) + deployed("Deployment", 4, one), "lost: 0\nkinds: " + kinds(1, 0), "cpu", nil},
		"daemon has no room":   {deployed("DaemonSet", 1, "{limits: {cpu: 5}}"), "lost: 0\nkinds: " + kinds(1, 0), "room", map[string]int{"small": 0, "large": 0}},
		"the cheapest is many": {deployed("Deployment", 4, one), "lost: 0\nkinds: [{name: s, count: 0, cpu: 4, memory: 8Gi, pods: 10}, {name: l, count: 0, cpu: 16, memory: 64Gi, pods: 10, cost: 9}]", "cpu", map[string]int{"s": 1, "l": 0}},
	} {
		got, err := fit(t, c.manifests, c.nodes)
		if err != nil || got.Lacks != c.lacks || got.Fits != (c.lacks == "") {
			t.Errorf("%s: %v: %+v, want %q", name, err, got, c.lacks)
		}
		if c.cheapest != nil && !maps.Equal(got.Cheapest, c.cheapest) {
			t.Errorf("%s: the cheapest are %v, want %v", name, got.Cheapest, c.cheapest)
		}
		if len(got.Cheapest) > 0 && got.Cost < got.Bound-1e-6 {
			t.Errorf("%s: %v costs less than the bound %v", name, got.Cheapest, got.Bound)
		}
	}
}

// Of random Pods and nodes: the numbers that are said to be enough are enough, and none that cost less than the bound are.
func TestCheapestIsEnough(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	solved := 0
	for range 60 {
		var pods strings.Builder
		for range 1 + r.IntN(4) {
			pods.WriteString(deployed("Deployment", 1+r.IntN(20), fmt.Sprintf("{requests: {cpu: %dm, memory: %dMi}}", 100+r.IntN(3000), 64+r.IntN(6000))))
		}
		lost := r.IntN(2)
		nodes := func(smalls, larges int) string {
			return fmt.Sprintf("lost: %d\nkinds: ["+small+", "+large+"]", lost, smalls, larges)
		}
		got, err := fit(t, pods.String(), nodes(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Cheapest) == 0 {
			continue
		}
		solved++
		if again, err := fit(t, pods.String(), nodes(got.Cheapest["small"], got.Cheapest["large"])); err != nil || !again.Fits {
			t.Errorf("%v: %v are said to be enough, and lack %s", err, got.Cheapest, again.Lacks)
		}
		for smalls := 0; float64(smalls) < got.Bound; smalls++ {
			larges := int((got.Bound - 0.001 - float64(smalls)) / 3)
			if less, err := fit(t, pods.String(), nodes(smalls, larges)); err != nil || less.Fits {
				t.Errorf("%v: %d small and %d large are enough, and cost less than %v", err, smalls, larges, got.Bound)
			}
		}
	}
	if solved < 40 {
		t.Errorf("only %d were solved", solved)
	}
}

// What the scheduler keeps free: the larger of start and run, sidecars in both, the whole Pod's own amounts, and the overhead.
func TestAsks(t *testing.T) {
	for spec, want := range map[string]int64{
		"containers: [{resources: {requests: {cpu: 100m}, limits: {cpu: 9}}}, {resources: {limits: {cpu: 0.5}}}]":                                                            600,
		"containers: [{resources: {requests: {cpu: 1}}}], initContainers: [{resources: {requests: {cpu: 2}}}]":                                                               2000,
		"containers: [{resources: {requests: {cpu: 1}}}], initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 1}}}, {resources: {requests: {cpu: 1500m}}}]": 2500,
		"containers: [{resources: {requests: {cpu: 1}}}], resources: {requests: {cpu: 3}}, overhead: {cpu: 1e-1}":                                                            3100,
		"containers: [{resources: {requests: {cpu: 1n}}}]":                                                                                                                   1,
		"containers: [{resources: {requests: {cpu: 1k}}}]":                                                                                                                   1_000_000,
		"containers: [{}]": 0,
	} {
		got, err := fit(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {"+spec+"}\n", "kinds: ["+fmt.Sprintf(small, 1)+"]")
		if err != nil || got.CPU != want || got.Pods != 1 {
			t.Errorf("%s: %v: %d, want %d", spec, err, got.CPU, want)
		}
	}
	got, err := fit(t, deployed("Deployment", 3, "{requests: {memory: 1.5Gi}}"), "kinds: ["+fmt.Sprintf(small, 1)+"]")
	if err != nil || got.Memory != 3*1536<<20 || got.Unasked != 3 {
		t.Errorf("%v: %+v", err, got)
	}
}

// What cannot be counted is the user's mistake, and large clusters are counted within seconds.
func TestFitRefused(t *testing.T) {
	pod := deployed("Deployment", 1, one)
	for name, c := range map[string]struct{ manifests, nodes, want string }{
		"no YAML":       {pod, "kinds: [", "nodes"},
		"misspelt":      {pod, "kinds: [" + strings.Replace(fmt.Sprintf(small, 1), "memory", "memroy", 1) + "]", "memroy"},
		"no kinds":      {pod, "lost: 1", "1 to 10 kinds"},
		"two lost":      {pod, "lost: 2\nkinds: [" + fmt.Sprintf(small, 1) + "]", "lost of 0 or 1"},
		"twice":         {pod, "kinds: [" + fmt.Sprintf(small, 1) + ", " + fmt.Sprintf(small, 1) + "]", "no name of its own"},
		"no memory":     {pod, "kinds: [{name: a, count: 1, cpu: 1, pods: 1}]", "memory"},
		"negative":      {pod, "kinds: [" + fmt.Sprintf(small, -1) + "]", "count"},
		"too many":      {pod, "kinds: [" + fmt.Sprintf(small, 1000) + ", " + fmt.Sprintf(large, 1) + "]", "at most 1000"},
		"no amount":     {deployed("Deployment", 1, "{requests: {cpu: lots}}"), "kinds: [" + fmt.Sprintf(small, 1) + "]", `a.yaml:1: cpu: "lots"`},
		"huge amount":   {deployed("Deployment", 1, "{requests: {cpu: 9999E}}"), "kinds: [" + fmt.Sprintf(small, 1) + "]", "more than can be counted"},
		"huge together": {deployed("Deployment", 1, "{requests: {memory: 900Ti}}"), "kinds: [" + fmt.Sprintf(small, 1) + "]", "more than can be counted"},
		"sum":           {deployed("Deployment", 1, "{requests: {cpu: 1}}}, {resources: {limits: {cpu: 1E}}}, {resources: {limits: {cpu: 1E}}}, {resources: {limits: {cpu: 1E}}"), "kinds: [" + fmt.Sprintf(small, 1) + "]", "more than can be counted"},
		"huge node":     {pod, "kinds: [{name: a, count: 1, cpu: 1E, memory: 1, pods: 1}]", "no amount that a node has"},
		"too many Pods": {deployed("Deployment", 1_000_000_000, one), "kinds: [" + fmt.Sprintf(small, 1) + "]", "more than 50000 Pods"},
	} {
		if _, err := fit(t, c.manifests, c.nodes); err == nil || !hint.IsMisuse(err) || !matches(c.want, err.Error()) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	start := time.Now()
	var many strings.Builder
	for i := range 2000 {
		many.WriteString(deployed("Deployment", 10, fmt.Sprintf("{requests: {cpu: %dm, memory: %dMi}}", 1+i, 1+i)))
	}
	if _, err := fit(t, many.String(), "kinds: ["+fmt.Sprintf(small, 100)+", "+fmt.Sprintf(large, 900)+"]"); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("took %v", d)
	}
}
