package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/testkit"
)

// R62 T28: memory stays flat while a layer of 200 MB is pushed, fetched and checked.
func TestMemoryStaysFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 200 MB")
	}
	ctx := context.Background()
	const size, limit = 200 << 20, 32 << 20
	m := newMaker(t)
	layer := bigBlob(t, m, size)
	config := m.json(typeConfig, map[string]any{"os": "linux", "architecture": "amd64"})
	manifest := m.json(typeManifest, document{SchemaVersion: 2, MediaType: typeManifest, Config: &config, Layers: []descriptor{layer}})
	m.list(m.index(manifest))
	d := m.open()
	img := resolve(t, d, "")
	var events atomic.Int64
	r := newRemote(t, RemoteOptions{Progress: func(e Event) {
		if e.Digest == layer.Digest && e.Total == size {
			events.Add(1)
		}
	}})
	ref := testkit.Registry(t, testkit.Distribution) + "/app" // a process of its own: its memory is not ours
	peak := watchHeap(t)
	if err := r.Push(ctx, d, img, ref); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if _, err := r.Fetch(ctx, ref+"@"+img.Digest, out); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(ctx); err != nil {
		t.Fatal(err)
	}
	if got := peak(); got > limit {
		t.Errorf("the heap grew by %d bytes", got)
	}
	if events.Load() < 2*size/(progressStep+copyBuffer) { // a step ends with the read that reaches it
		t.Errorf("%d progress events", events.Load())
	}
}

// bigBlob writes a blob of pseudo-random bytes without holding it.
func bigBlob(t testing.TB, m maker, size int) descriptor {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(m.dir, "blobs/sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(m.dir, "blobs/sha256/big")
	f, err := os.Create(tmp)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	chunk := make([]byte, 1<<20)
	for i := range size / len(chunk) {
		for j := range chunk {
			chunk[j] = byte(i * j)
		}
		if _, err := io.MultiWriter(f, sum).Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d := descriptor{MediaType: typeLayer, Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: int64(size)}
	if err := os.Rename(tmp, filepath.Join(m.dir, blobFile(d.Digest))); err != nil {
		t.Fatal(err)
	}
	return d
}

// watchHeap samples the heap until the returned function is called, which says how far it grew.
func watchHeap(t testing.TB) func() uint64 {
	t.Helper()
	runtime.GC()
	var start, now runtime.MemStats
	runtime.ReadMemStats(&start)
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			select {
			case <-stop:
				done <- most
				return
			case <-time.After(2 * time.Millisecond):
				runtime.ReadMemStats(&now)
				if now.HeapAlloc > start.HeapAlloc {
					most = max(most, now.HeapAlloc-start.HeapAlloc)
				}
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-done
	}
}
