package workload

import (
	"fmt"
	"os"

	jsonv2 "github.com/go-json-experiment/json"
	"sigs.k8s.io/yaml"

	"github.com/sealyard/sealyard/internal/hint"
)

// Limits on a nodes file. A larger cluster has more nodes, hardly more kinds of them.
const (
	maxNodesFile = 1 << 20 // bytes
	maxNodeKinds = 10
	maxNodes     = 1000
	maxPods      = 50_000 // that are placed
)

// Nodes are the nodes that Pods are to run on: what a nodes file says.
type Nodes struct {
	Lost  int        `json:"lost"` // how many may be gone, 0 or 1, of whatever kind
	Kinds []NodeKind `json:"kinds"`
}

// NodeKind is one kind of nodes, and how much a Pod can have of one of them.
type NodeKind struct {
	Name   string   `json:"name"`
	Count  int      `json:"count"` // how many there are
	CPU    Quantity `json:"cpu"`
	Memory Quantity `json:"memory"`
	Pods   int      `json:"pods"` // how many Pods one can run
	Cost   float64  `json:"cost"` // of one, in any unit; 1 when none is given
}

// What a [Capacity] may lack.
const (
	LacksCPU    = "cpu"
	LacksMemory = "memory"
	LacksPods   = "pods"
	LacksRoom   = "room" // there is enough of everything, and no way was found to share it out
)

// Capacity says whether the Pods of manifests fit on nodes.
type Capacity struct {
	Nodes    Nodes          `json:"nodes"`
	Pods     int            `json:"pods"`       // how many there are to place
	CPU      int64          `json:"cpuMilli"`   // what they request together, in thousandths of a core
	Memory   int64          `json:"memory"`     // bytes
	Unasked  int            `json:"unasked"`    // how many of them request no CPU or no memory: they count as nothing
	Fits     bool           `json:"fits"`       // there is room for every Pod, also when nodes are lost
	Lacks    string         `json:"lacks"`      // one of the Lacks constants; "" when it fits
	Cheapest map[string]int `json:"cheapest"`   // how many nodes of each kind are enough at the least cost found; empty when no number is
	Cost     float64        `json:"cost"`       // of those
	Bound    float64        `json:"lowestCost"` // no numbers of nodes that are enough cost less
}

// ReadNodes reads a nodes file, YAML or JSON. Every error is marked with hint.Misuse.
func ReadNodes(name string) (Nodes, error) {
	n, err := readNodes(name)
	if err != nil {
		return n, hint.Misuse(fmt.Errorf("nodes %q: %w", name, err), "docs/workloads.md shows a nodes file")
	}
	return n, nil
}

func readNodes(name string) (Nodes, error) {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxNodesFile {
		return Nodes{}, fmt.Errorf("it is not a regular file of at most %d bytes", maxNodesFile)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return Nodes{}, err
	}
	doc, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return Nodes{}, oneLine(err)
	}
	n := Nodes{Lost: 1}
	if err := jsonv2.Unmarshal(doc, &n, jsonv2.RejectUnknownMembers(true)); err != nil {
		return Nodes{}, oneLine(err)
	}
	for i := range n.Kinds {
		if n.Kinds[i].Cost == 0 {
			n.Kinds[i].Cost = 1
		}
	}
	return n, n.check()
}

func (n Nodes) check() error {
	if len(n.Kinds) == 0 || len(n.Kinds) > maxNodeKinds || n.Lost < 0 || n.Lost > 1 {
		return fmt.Errorf("it needs 1 to %d kinds of nodes, and lost of 0 or 1", maxNodeKinds)
	}
	seen, total := map[string]bool{}, 0
	for _, k := range n.Kinds {
		switch {
		case k.Name == "" || seen[k.Name]:
			return fmt.Errorf("kind %q has no name of its own", k.Name)
		case k.Count < 0 || k.Count > maxNodes || k.Pods < 1 || k.Pods > maxPods || k.Cost < 0 || k.Cost > 1e9:
			return fmt.Errorf("kind %q: count, pods or cost is not a number that can be used; pods is at least 1", k.Name)
		}
		seen[k.Name], total = true, total+k.Count
		if s, err := k.size(); err != nil || s[0] == 0 || s[1] == 0 || s[0] > maxAmount || s[1] > maxAmount {
			return fmt.Errorf("kind %q: cpu or memory is missing or no amount that a node has", k.Name)
		}
	}
	if total > maxNodes {
		return fmt.Errorf("there are %d nodes, at most %d are counted", total, maxNodes)
	}
	return nil
}

// size is how much one Pod needs, or one node has: thousandths of cores, bytes, Pods.
type size [3]int64

// plus adds up to maxMilli, which is more than there is.
func (s size) plus(o size) size {
	return size{min(s[0]+o[0], maxMilli), min(s[1]+o[1], maxMilli), min(s[2]+o[2], maxMilli)}
}

func (s size) minus(o size) size { return size{s[0] - o[0], s[1] - o[1], s[2] - o[2]} }

func (s size) times(n int64) size { return size{s[0] * n, s[1] * n, s[2] * n} }

func (s size) within(o size) bool { return s[0] <= o[0] && s[1] <= o[1] && s[2] <= o[2] }

// most takes the larger of each.
func (s size) most(o size) size { return size{max(s[0], o[0]), max(s[1], o[1]), max(s[2], o[2])} }

func (k NodeKind) size() (size, error) {
	cpu, err := k.CPU.milli()
	if err != nil {
		return size{}, err
	}
	memory, err := k.Memory.milli()
	return size{cpu, (memory + 999) / 1000, int64(k.Pods)}, err
}

// asks is what a container requests; without a request its limit counts, as for Kubernetes.
func (r *Resources) asks() (size, error) {
	var s size
	if r == nil {
		return s, nil
	}
	for i, name := range []string{"cpu", "memory"} {
		q, ok := r.Requests[name]
		if !ok {
			q, ok = r.Limits[name]
		}
		if !ok {
			continue
		}
		v, err := q.milli()
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
		s[i] = v
	}
	s[1] = (s[1] + 999) / 1000
	return s, nil
}

// asks is what the scheduler keeps free for a Pod: the containers that stay, or the init container that needs most beside the
// sidecars started before it, and the overhead. What a Pod asks for as a whole counts instead.
func (p PodSpec) asks() (size, error) {
	var stay, start size
	for _, c := range p.InitContainers {
		s, err := c.Resources.asks()
		if err != nil {
			return s, err
		}
		if c.RestartPolicy == "Always" {
			stay = stay.plus(s)
			start = start.most(stay)
			continue
		}
		start = start.most(stay.plus(s))
	}
	for _, c := range p.Containers {
		s, err := c.Resources.asks()
		if err != nil {
			return s, err
		}
		stay = stay.plus(s)
	}
	all := stay.most(start)
	whole, err := p.Resources.asks()
	if err != nil {
		return all, err
	}
	for i := range all {
		if whole[i] > 0 {
			all[i] = whole[i]
		}
	}
	over, err := (&Resources{Requests: p.Overhead}).asks()
	all = all.plus(over)
	all[2] = 1
	return all, err
}
