package workload

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize/convex/lp"

	"github.com/sealyard/sealyard/internal/hint"
)

// demand is what there is to place.
type demand struct {
	pods    []size // the largest first
	daemons []size // one of each on every node
	total   size   // of pods
	unasked int
}

// Fit adds to the facts whether the Pods of all objects fit on nodes. "Fits" is found by placing every Pod, the largest first, so it is
// true when it is said; that nothing lacks and there is no room means that this way found none.
func (f *Facts) Fit(n Nodes) error {
	d, err := f.demand()
	if err != nil {
		return hint.Misuse(fmt.Errorf("manifests: %w", err), "mend the amount, or leave --nodes out")
	}
	kinds := make([]size, len(n.Kinds))
	counts := make([]int, len(n.Kinds))
	for i, k := range n.Kinds {
		if kinds[i], err = k.size(); err != nil {
			return err
		}
		counts[i] = k.Count
	}
	for _, daemon := range d.daemons {
		for i := range kinds {
			kinds[i] = kinds[i].minus(daemon)
		}
	}
	c := Capacity{
		Nodes: n, Pods: len(d.pods) + len(d.daemons)*total(counts), CPU: d.total[0], Memory: d.total[1],
		Unasked: d.unasked, Cheapest: map[string]int{}, Lacks: lacks(d, kinds, counts, n.Lost),
	}
	c.Fits = c.Lacks == ""
	if best, bound := cheapest(d, kinds, n); best != nil {
		c.Bound = bound
		for i, k := range n.Kinds {
			c.Cheapest[k.Name] = best[i]
			c.Cost += float64(best[i]) * k.Cost
		}
	}
	f.Capacity = &c
	return nil
}

func total(counts []int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

func (f *Facts) demand() (demand, error) {
	var d demand
	for _, doc := range f.Documents {
		if doc.Pod == nil || doc.Kind == "PodTemplate" {
			continue
		}
		s, err := doc.Pod.Spec.asks()
		if err == nil && (s[0] > maxAmount || s[1] > maxAmount) {
			err = errors.New("a Pod asks for more than can be counted")
		}
		if err != nil {
			return d, fmt.Errorf("%s:%d: %w", doc.File, doc.Line, err)
		}
		n := int64(1)
		if doc.Replicas != nil {
			n = max(0, *doc.Replicas)
		}
		if n > maxPods || int64(len(d.pods))+n > maxPods {
			return d, fmt.Errorf("%s:%d: there are more than %d Pods", doc.File, doc.Line, maxPods)
		}
		if n > 0 && (s[0] == 0 || s[1] == 0) {
			d.unasked += int(n)
		}
		if doc.Kind == "DaemonSet" {
			d.daemons = append(d.daemons, s)
			continue
		}
		d.pods = append(d.pods, slices.Repeat([]size{s}, int(n))...)
		d.total = d.total.plus(s.times(n))
	}
	return d, nil
}

// lacks says what is missing on that many nodes of each kind, whichever of them is lost; "" when every Pod was placed.
func lacks(d demand, kinds []size, counts []int, lost int) string {
	worst := ""
	for _, left := range losses(counts, lost) {
		what := lacking(d, kinds, left)
		if what != "" && (worst == "" || worst == LacksRoom) {
			worst = what
		}
	}
	return worst
}

// losses are the numbers of nodes that may be left. Without a node there is nothing to lose.
func losses(counts []int, lost int) [][]int {
	if lost == 0 || total(counts) == 0 {
		return [][]int{counts}
	}
	var all [][]int
	for i, n := range counts {
		if n > 0 {
			left := slices.Clone(counts)
			left[i]--
			all = append(all, left)
		}
	}
	return all
}

// lacking is lacks without loss.
func lacking(d demand, kinds []size, counts []int) string {
	var free []size
	have, largest := size{}, size{1, 1, 1}
	for i, n := range counts {
		if n > 0 && !usable(kinds[i]) {
			return LacksRoom // for a Pod of a DaemonSet
		}
		free = append(free, slices.Repeat(kinds[i:i+1], n)...)
		have, largest = have.plus(kinds[i].times(int64(n))), largest.most(kinds[i])
	}
	for i, name := range []string{LacksCPU, LacksMemory, LacksPods} {
		if d.total[i] > have[i] {
			return name
		}
	}
	pods := slices.Clone(d.pods)
	slices.SortStableFunc(pods, func(a, b size) int { return -compareShare(a, b, largest) })
	if !placed(pods, free) {
		return LacksRoom
	}
	return ""
}

// usable reports whether the Pods of all DaemonSets fit on a node of a kind.
func usable(kind size) bool { return kind[0] >= 0 && kind[1] >= 0 && kind[2] >= 0 }

// compareShare compares by the largest part that they are of a node.
func compareShare(a, b, node size) int {
	share := func(s size) float64 {
		return max(float64(s[0])/float64(node[0]), float64(s[1])/float64(node[1]), float64(s[2])/float64(node[2]))
	}
	return cmp.Compare(share(a), share(b))
}

// placed puts every Pod on the first node that has room for it.
func placed(pods, free []size) bool {
	first, last := 0, size{}
	for _, pod := range pods {
		if pod != last { // where one like it found no room there is none
			first, last = 0, pod
		}
		for first < len(free) && !pod.within(free[first]) {
			first++
		}
		if first == len(free) {
			return false
		}
		free[first] = free[first].minus(pod)
	}
	return true
}

// maxSteps is how many nodes are added to the optimum of the linear programme before it is given up.
const maxSteps = 100

// cheapest finds how many nodes of each kind are enough, and a cost below which none are. It starts at the optimum of the linear
// programme, rounded up, and adds nodes of the kind that gives most for its cost until every Pod is placed; nil when that does not end.
func cheapest(d demand, kinds []size, n Nodes) ([]int, float64) {
	counts, bound := relaxed(d, kinds, n)
	if counts == nil {
		return nil, 0
	}
	for range maxSteps {
		if total(counts) > maxNodes {
			break
		}
		what := lacks(d, kinds, counts, n.Lost)
		if what == "" {
			return counts, bound
		}
		best := mostFor(what, d, kinds, n)
		if best < 0 {
			break
		}
		counts[best]++
	}
	return nil, 0
}

// mostFor is the kind that gives most of what is lacking for its cost, among those that have room for the largest Pod.
func mostFor(what string, d demand, kinds []size, n Nodes) int {
	at := slices.Index([]string{LacksCPU, LacksMemory, LacksPods}, what)
	var need size
	for _, p := range d.pods {
		need = need.most(p)
	}
	best, value := -1, 0.0
	for i, k := range kinds {
		v := 1.0
		if at >= 0 {
			v = float64(k[at])
		}
		v /= n.Kinds[i].Cost
		if need.within(k) && v > value {
			best, value = i, v
		}
	}
	return best
}

// relaxed solves min c'x subject to Ax >= b, x >= 0: the least cost of x nodes, as fractions, such that there is as much of every
// resource as the Pods need. No whole nodes that are enough cost less. It returns x rounded up, and nil when no x is enough.
func relaxed(d demand, kinds []size, n Nodes) ([]int, float64) {
	counts := make([]int, len(kinds))
	if len(d.pods) == 0 {
		return counts, 0
	}
	var used []int
	for i, k := range kinds {
		if usable(k) && k != (size{}) {
			used = append(used, i)
		}
	}
	const resources = 3
	vars := len(used) + resources // the nodes, and what is left over of each resource
	a, b, c := mat.NewDense(resources, vars, nil), make([]float64, resources), make([]float64, vars)
	for r := range resources {
		scale := 1 / max(1, float64(d.total[r])) // so that bytes and cores are of one order
		for col, i := range used {
			a.Set(r, col, float64(kinds[i][r])*scale)
			c[col] = n.Kinds[i].Cost
		}
		a.Set(r, len(used)+r, -1)
		b[r] = float64(d.total[r]) * scale
	}
	bound, x, err := lp.Simplex(c, a, b, 1e-9, nil)
	if err != nil {
		return nil, 0
	}
	for col, i := range used {
		if v := math.Ceil(x[col] - 1e-6); v <= maxNodes {
			counts[i] = int(v)
		} else {
			return nil, 0
		}
	}
	return counts, math.Round(bound*1e6) / 1e6
}
