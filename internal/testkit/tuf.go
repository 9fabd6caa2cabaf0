package testkit

import (
	"crypto"
	"crypto/ed25519"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// TUF is a repository as a mirror serves it (The Update Framework), with keys of its own. It has consistent snapshots.
type TUF struct {
	URL  string
	Root []byte // the first root.json

	Keys      map[string][]ed25519.PrivateKey // who signs, by role
	Threshold map[string]int                  // keys that must sign a role; 1 where there is none
	Expires   map[string]time.Time            // of a role; tomorrow where there is none

	t       testing.TB
	version map[string]int64

	mu    sync.Mutex
	files map[string][]byte // by path
	// Endless are paths under which data comes until the client hangs up.
	Endless map[string]bool
}

// NewTUF starts a repository on loopback, with a key for each role. Nothing is in it before Publish.
func NewTUF(t testing.TB) *TUF {
	t.Helper()
	r := &TUF{
		t: t, Keys: map[string][]ed25519.PrivateKey{}, Threshold: map[string]int{}, Expires: map[string]time.Time{},
		version: map[string]int64{}, files: map[string][]byte{}, Endless: map[string]bool{},
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		r.AddKey(role)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// AddKey makes another key for a role, and whoever signs the role from now on signs with it as well.
func (r *TUF) AddKey(role string) {
	r.t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	r.check(err)
	r.Keys[role] = append(r.Keys[role], key)
}

// ServeHTTP implements http.Handler.
func (r *TUF) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	content, ok := r.files[req.URL.Path]
	endless := r.Endless[req.URL.Path]
	r.mu.Unlock()
	if endless {
		chunk := make([]byte, 1<<16)
		for req.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	if !ok {
		http.NotFound(w, req)
		return
	}
	_, _ = w.Write(content)
}

// State is what the mirror serves now; Restore makes it serve that again.
func (r *TUF) State() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.files)
}

// Restore makes the mirror serve a state.
func (r *TUF) Restore(state map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = maps.Clone(state)
}

// Publish makes new versions of all metadata, with these targets, signed by everybody who should.
func (r *TUF) Publish(targets map[string][]byte) {
	r.publish(targets, func(string) int { return 1 << 10 })
}

// PublishWith is Publish with at most so many signatures of a role.
func (r *TUF) PublishWith(targets map[string][]byte, role string, signatures int) {
	r.publish(targets, func(name string) int {
		if name == role {
			return signatures
		}
		return 1 << 10
	})
}

func (r *TUF) publish(targets map[string][]byte, most func(role string) int) {
	r.t.Helper()
	files := r.State()
	root := metadata.Root(r.expires(metadata.ROOT))
	for role, keys := range r.Keys {
		for _, key := range keys {
			public, err := metadata.KeyFromPublicKey(key.Public())
			r.check(err)
			r.check(root.Signed.AddKey(public, role))
		}
		root.Signed.Roles[role].Threshold = max(1, r.Threshold[role])
	}
	root.Signed.Version = r.next(metadata.ROOT)
	raw := sealed(r, root, metadata.ROOT, most)
	files[fmt.Sprintf("/%d.root.json", root.Signed.Version)] = raw
	if r.Root == nil {
		r.Root = raw
	}
	list := metadata.Targets(r.expires(metadata.TARGETS))
	list.Signed.Version = r.next(metadata.TARGETS)
	for name, content := range targets {
		info, err := metadata.TargetFile().FromBytes(name, content, "sha256")
		r.check(err)
		list.Signed.Targets[name] = info
		files[path.Join("/targets", info.Hashes["sha256"].String()+"."+name)] = content
	}
	files[fmt.Sprintf("/%d.targets.json", list.Signed.Version)] = sealed(r, list, metadata.TARGETS, most)
	snapshot := metadata.Snapshot(r.expires(metadata.SNAPSHOT))
	snapshot.Signed.Version = r.next(metadata.SNAPSHOT)
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(list.Signed.Version)
	files[fmt.Sprintf("/%d.snapshot.json", snapshot.Signed.Version)] = sealed(r, snapshot, metadata.SNAPSHOT, most)
	timestamp := metadata.Timestamp(r.expires(metadata.TIMESTAMP))
	timestamp.Signed.Version = r.next(metadata.TIMESTAMP)
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(snapshot.Signed.Version)
	files["/timestamp.json"] = sealed(r, timestamp, metadata.TIMESTAMP, most)
	r.Restore(files)
}

func (r *TUF) next(role string) int64 {
	r.version[role]++
	return r.version[role]
}

func (r *TUF) expires(role string) time.Time {
	if when, ok := r.Expires[role]; ok {
		return when.UTC()
	}
	return time.Now().UTC().AddDate(0, 0, 1)
}

func sealed[T metadata.Roles](r *TUF, m *metadata.Metadata[T], role string, most func(string) int) []byte {
	r.t.Helper()
	for i, key := range r.Keys[role] {
		if i == most(role) {
			break
		}
		signer, err := signature.LoadSigner(key, crypto.Hash(0))
		r.check(err)
		_, err = m.Sign(signer)
		r.check(err)
	}
	raw, err := m.ToBytes(false)
	r.check(err)
	return raw
}

func (r *TUF) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}
