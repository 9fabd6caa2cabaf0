package oci

import "sync"

// memory keeps the manifests that a layout gave, verified and parsed: one verification asks for each five times over. What a digest
// names does not change, so nothing kept is ever wrong.
type memory struct {
	mu    sync.Mutex
	bytes int
	nodes map[memoryKey]node
}

// memoryKey is all of a descriptor that reading depends on.
type memoryKey struct {
	digest, mediaType string
	size              int64
}

func (d descriptor) memoryKey() memoryKey { return memoryKey{d.Digest, d.MediaType, d.Size} }

// recall returns the node that was kept for d, described as d describes it.
func (m *memory) recall(d descriptor) (node, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.nodes[d.memoryKey()]
	n.descriptor = d
	return n, ok
}

// keep keeps a node as long as all of them together are not more than the manifests of one subject may be.
func (m *memory) keep(n node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.nodes[n.memoryKey()]; ok || m.bytes+len(n.raw) > maxReferrers {
		return
	}
	if m.nodes == nil {
		m.nodes = map[memoryKey]node{}
	}
	m.bytes += len(n.raw)
	m.nodes[n.memoryKey()] = n
}

// forgetful is a source without memory: it reads again what was read before.
type forgetful struct{ source }
