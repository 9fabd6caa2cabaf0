package attest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/internal/testkit"
)

// published is a repository with a trusted root and a signing config in it.
func published(t *testing.T) (r *testkit.TUF, targets map[string][]byte) {
	t.Helper()
	targets = map[string][]byte{
		"trusted_root.json":        must(os.ReadFile(filepath.Join("testdata", "trusted_root.json")))(t),
		"signing_config.v0.2.json": newSigstore(t).config(t, "", "/timestamp"),
	}
	r = testkit.NewTUF(t)
	return r, targets
}

func update(t *testing.T, r *testkit.TUF, last *attest.RootRecord) (trustedRoot []byte, record *attest.RootRecord, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	trustedRoot, _, record, err = attest.UpdateRoot(ctx, attest.RootUpdate{Mirror: r.URL, Root: r.Root, Last: last, Scratch: t.TempDir(), Now: time.Now()})
	if (err == nil) != (record != nil && len(trustedRoot) > 0) {
		t.Errorf("%d bytes, %v, %v", len(trustedRoot), record, err)
	}
	return trustedRoot, record, err
}

// R48 T42: a trusted root comes out of a TUF repository as it is in it, and so does a later one, also after its keys changed.
func TestUpdateRoot(t *testing.T) {
	r, targets := published(t)
	r.Publish(targets)
	got, signing, record, err := attest.UpdateRoot(t.Context(), attest.RootUpdate{Mirror: r.URL, Root: r.Root, Scratch: t.TempDir(), Now: time.Unix(1700000000, 0)})
	if err != nil || !bytes.Equal(got, targets["trusted_root.json"]) || !bytes.Equal(signing, targets["signing_config.v0.2.json"]) {
		t.Fatalf("%v: %s %s", err, got, signing)
	}
	if !record.Of(got) || record.Of(signing) || record.Updated.Unix() != 1700000000 || record.Mirror != r.URL {
		t.Errorf("record %+v", record)
	}
	raw := must(json.Marshal(record))(t)
	last := must(attest.ReadRootRecord(raw))(t)
	if _, _, err := update(t, r, last); err != nil {
		t.Errorf("nothing new: %v", err)
	}
	// Other keys, a threshold, and another trusted root.
	targets["trusted_root.json"] = must(os.ReadFile(filepath.Join("testdata", "public_good.json")))(t)
	delete(targets, "signing_config.v0.2.json")
	r.AddKey("timestamp")
	r.AddKey("root")
	r.Threshold["root"], r.Threshold["timestamp"] = 2, 2
	r.Publish(targets)
	got, signing, _, err = attest.UpdateRoot(t.Context(), attest.RootUpdate{Mirror: r.URL, Root: r.Root, Last: last, Scratch: t.TempDir(), Now: time.Now()})
	if err != nil || !bytes.Equal(got, targets["trusted_root.json"]) || signing != nil {
		t.Errorf("%v: %s %s", err, got, signing)
	}
}

// T42: a mirror that lies is refused, with a line that says how.
func TestUpdateRootLies(t *testing.T) {
	for name, c := range map[string]struct {
		lie  func(r *testkit.TUF, targets, before map[string][]byte)
		want string
	}{
		"an older state":     {func(r *testkit.TUF, _, before map[string][]byte) { r.Restore(before) }, "new timestamp version 1 must be >= 2"},
		"an older timestamp": {func(r *testkit.TUF, _, before map[string][]byte) { mix(r, before, "/timestamp.json") }, "new timestamp version 1 must be >= 2"},
		"expired timestamp": {func(r *testkit.TUF, targets, _ map[string][]byte) {
			r.Expires["timestamp"] = time.Now().Add(-time.Minute)
			r.Publish(targets)
		}, "timestamp.json is expired"},
		"expired root": {func(r *testkit.TUF, targets, _ map[string][]byte) {
			r.Expires["root"] = time.Now().Add(-time.Minute)
			r.Publish(targets)
		}, "root.json is expired"},
		"expired targets": {func(r *testkit.TUF, targets, _ map[string][]byte) {
			r.Expires["targets"] = time.Now().Add(-time.Minute)
			r.Publish(targets)
		}, "targets is expired"},
		"too few signatures of the timestamp": {func(r *testkit.TUF, targets, _ map[string][]byte) {
			r.AddKey("timestamp")
			r.Threshold["timestamp"] = 2
			r.PublishWith(targets, "timestamp", 1)
		}, "Verifying timestamp failed, not enough signatures, got 1, want 2"},
		"too few signatures of the root": {func(r *testkit.TUF, targets, _ map[string][]byte) {
			r.AddKey("root")
			r.Threshold["root"] = 2
			r.PublishWith(targets, "root", 1)
		}, "Verifying root failed, not enough signatures, got 1, want 2"},
		"unsigned targets":  {func(r *testkit.TUF, targets, _ map[string][]byte) { r.PublishWith(targets, "targets", 0) }, "Verifying targets failed"},
		"endless timestamp": {func(r *testkit.TUF, _, _ map[string][]byte) { r.Endless["/timestamp.json"] = true }, "is larger than expected"},
		"endless root":      {func(r *testkit.TUF, _, _ map[string][]byte) { r.Endless["/3.root.json"] = true }, "is larger than expected"},
		"endless target": {func(r *testkit.TUF, targets, _ map[string][]byte) {
			for path := range r.State() {
				r.Endless[path] = strings.HasSuffix(path, ".trusted_root.json")
			}
		}, "is larger than expected"},
		"another trusted root": {func(r *testkit.TUF, _, _ map[string][]byte) {
			state := r.State()
			for path, content := range state {
				if strings.HasSuffix(path, ".trusted_root.json") {
					state[path] = damage(content)
				}
			}
			r.Restore(state)
		}, "hash verification failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, targets := published(t)
			r.Publish(targets)
			before := r.State()
			r.Publish(targets)
			_, last, err := update(t, r, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.lie(r, targets, before)
			_, _, err = update(t, r, last)
			if !errors.Is(err, attest.ErrUntrusted) || !strings.Contains(fmt.Sprint(err), c.want) || strings.Contains(fmt.Sprint(err), "\n") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// T42: a mirror that keeps a later root.json to itself, and with it the change of a lost key, is found out by what was seen before.
func TestUpdateRootKeptBack(t *testing.T) {
	r, targets := published(t)
	r.Publish(targets)
	before := r.State()
	for _, role := range []string{"timestamp", "snapshot", "targets"} {
		r.Keys[role] = nil
		r.AddKey(role)
	}
	r.Publish(targets)
	_, last, err := update(t, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Restore(before)
	if _, _, err := update(t, r, nil); err != nil {
		t.Fatalf("who never saw the later one cannot know: %v", err)
	}
	_, _, err = update(t, r, last)
	if !errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), "its root.json has version 1, and had 2 at the update before") {
		t.Error(err)
	}
}

// mix makes a mirror serve one file of an earlier state.
func mix(r *testkit.TUF, before map[string][]byte, path string) {
	state := r.State()
	state[path] = before[path]
	r.Restore(state)
}

// T42: what is no lie and no repository either, or no answer.
func TestUpdateRootRefusals(t *testing.T) {
	r, targets := published(t)
	r.Publish(targets)
	other, _ := published(t)
	other.Publish(targets)
	rubbish, _ := published(t)
	rubbish.Publish(map[string][]byte{"trusted_root.json": []byte(`{"mediaType":"x"}`)})
	bare, _ := published(t)
	bare.Publish(nil)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }))
	defer silent.Close()
	for name, c := range map[string]struct {
		o      attest.RootUpdate
		want   string
		misuse bool
	}{
		"another's root":      {attest.RootUpdate{Mirror: r.URL, Root: other.Root}, "Verifying", false},
		"no root":             {attest.RootUpdate{Mirror: r.URL}, "no root.json to begin with", true},
		"root of nothing":     {attest.RootUpdate{Mirror: r.URL, Root: []byte("{}")}, "root.json", true},
		"a file":              {attest.RootUpdate{Mirror: "file:///etc", Root: r.Root}, "not an http address", true},
		"no repository":       {attest.RootUpdate{Mirror: r.URL + "/none", Root: r.Root}, "404", false},
		"no trusted root":     {attest.RootUpdate{Mirror: bare.URL, Root: bare.Root}, "target trusted_root.json not found", false},
		"rubbish for a root":  {attest.RootUpdate{Mirror: rubbish.URL, Root: rubbish.Root}, "media type", false},
		"nobody there":        {attest.RootUpdate{Mirror: "http://127.0.0.1:1", Root: r.Root}, "refused", false},
		"no answer":           {attest.RootUpdate{Mirror: silent.URL, Root: r.Root}, "deadline", false},
		"a record of rubbish": {attest.RootUpdate{Mirror: r.URL, Root: r.Root, Last: &attest.RootRecord{}}, "record of the update before", true},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Scratch, c.o.Now = t.TempDir(), time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			root, signing, record, err := attest.UpdateRoot(ctx, c.o)
			if root != nil || signing != nil || record != nil || !strings.Contains(fmt.Sprint(err), c.want) || hint.IsMisuse(err) != c.misuse {
				t.Errorf("%v", err)
			}
		})
	}
	for _, raw := range []string{"", "x", "{}", `{"updated":"yesterday"}`} {
		if _, err := attest.ReadRootRecord([]byte(raw)); err == nil {
			t.Errorf("%q is a record", raw)
		}
	}
}
