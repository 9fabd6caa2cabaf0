package scan

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// twice scans an image with an empty cache and again with what the first scan kept, and wants the same report.
func twice(t *testing.T, db *DB, dir, digest, cache string) Report {
	t.Helper()
	opts := Options{Time: now, TempDir: t.TempDir(), Cache: cache}
	first, err := Layout(t.Context(), dir, digest, db, opts)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Layout(t.Context(), dir, digest, db, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first.Platforms {
		if first.Platforms[i].Known || !second.Platforms[i].Known {
			t.Errorf("%s: known is %v, then %v", first.Platforms[i].Platform, first.Platforms[i].Known, second.Platforms[i].Known)
		}
		second.Platforms[i].Known = false
	}
	sameReport(t, second, first)
	return first
}

func sameReport(t *testing.T, got, want Report) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return
	}
	for i, w := range want.Platforms {
		g := got.Platforms[i]
		for j := range reflect.TypeFor[Platform]().NumField() {
			a, b := reflect.ValueOf(g).Field(j), reflect.ValueOf(w).Field(j)
			if !reflect.DeepEqual(a.Interface(), b.Interface()) {
				t.Errorf("%s: %s is\n%.3000s\nwas\n%.3000s", w.Platform, reflect.TypeFor[Platform]().Field(j).Name, text(a), text(b))
			}
		}
	}
	if !t.Failed() {
		t.Errorf("the reports differ:\n%.2000v\n%.2000v", got, want)
	}
}

func text(v reflect.Value) string {
	if b, ok := v.Interface().([]byte); ok {
		return string(b)
	}
	b, _ := json.MarshalIndent(v.Interface(), "", " ")
	return string(b)
}

// What an earlier scan found in the same layers is what reading them again would find, to the byte of every document.
func TestKnownLayers(t *testing.T) {
	l := newLayout(t)
	db := testDB(t, nil)
	cache := filepath.Join(t.TempDir(), "cache")
	twice(t, db, l.dir, l.index(rich(t, l)), cache)

	passwd := layerOf(t, file{name: "etc/passwd", content: "app:x:0:0::/:/bin/sh\n"})
	root := twice(t, db, l.dir, l.index(l.image("amd64", "app", passwd)), cache)
	if root.Platforms[0].User.UID != 0 {
		t.Errorf("app is user %d", root.Platforms[0].User.UID)
	}
	other, err := Layout(t.Context(), l.dir, l.index(l.image("amd64", "1000", passwd)), db, Options{Time: now, Cache: cache})
	if err != nil || !other.Platforms[0].Known || other.Platforms[0].User.UID != 1000 {
		t.Errorf("the same layers for another user: %+v, %v", other.Platforms[0].User, err)
	}
	if inventories, err := filepath.Glob(filepath.Join(cache, "*")); err != nil || len(inventories) != 2 {
		t.Errorf("kept %q, %v", inventories, err)
	}
	_, err = Layout(t.Context(), l.dir, l.index(l.image("amd64", "app", passwd)), db, Options{Time: now.Add(time.Hour), Cache: cache})
	must(t, err)
	if used := lastUsed(t, cache); !used.Equal(now.Add(time.Hour)) {
		t.Errorf("the inventory was used last at %s", used)
	}
	info, err := os.Stat(cache)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the cache is open to others: %v, %v", info.Mode(), err)
	}
}

// T7 T11: no kept inventory serves for layers that are not what they were, and none that is damaged or was left to others.
func TestKnownLayersAreChecked(t *testing.T) {
	layer := layerOf(t, debianFiles("libssl3 openssl 3.0.20-1~deb12u2")...)
	for name, c := range map[string]struct {
		harm func(t *testing.T, l layoutWriter, cache string)
		want string
	}{
		"flipped byte in the layer": {func(t *testing.T, l layoutWriter, _ string) {
			path := l.path(layerDigest(t, l))
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			must(t, os.WriteFile(path, b, 0o644))
		}, "content has digest sha256:"},
		"layer gone": {func(t *testing.T, l layoutWriter, _ string) { must(t, os.Remove(l.path(layerDigest(t, l)))) }, "no such file"},
		"flipped byte in the inventory": {func(t *testing.T, _ layoutWriter, cache string) {
			b, err := os.ReadFile(only(t, cache))
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			must(t, os.WriteFile(only(t, cache), b, 0o600))
		}, ""},
		"inventory cut off":         {func(t *testing.T, _ layoutWriter, cache string) { must(t, os.Truncate(only(t, cache), 100)) }, ""},
		"no inventory":              {func(t *testing.T, _ layoutWriter, cache string) { must(t, os.WriteFile(only(t, cache), nil, 0o600)) }, ""},
		"others may write":          {func(t *testing.T, _ layoutWriter, cache string) { must(t, os.Chmod(cache, 0o777)) }, ""},
		"others may replace":        {func(t *testing.T, _ layoutWriter, cache string) { must(t, os.Chmod(filepath.Dir(cache), 0o777)) }, ""},
		"somebody else's directory": {func(t *testing.T, _ layoutWriter, cache string) { disown(t, cache) }, ""},
		"somebody else's inventory": {func(t *testing.T, _ layoutWriter, cache string) { disown(t, only(t, cache)) }, ""},
		"a link": {func(t *testing.T, _ layoutWriter, cache string) {
			must(t, os.Rename(cache, cache+".real"))
			must(t, os.Symlink(cache+".real", cache))
		}, ""},
		"a named pipe": {func(t *testing.T, _ layoutWriter, cache string) {
			name := only(t, cache)
			must(t, os.Remove(name))
			must(t, syscall.Mkfifo(name, 0o600))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, cache := newLayout(t), filepath.Join(t.TempDir(), "cache")
			opts := Options{Time: now, Cache: cache}
			index := l.index(l.image("amd64", "", layer))
			before, err := Layout(t.Context(), l.dir, index, testDB(t, nil), opts)
			if err != nil {
				t.Fatal(err)
			}
			c.harm(t, l, cache)
			after, err := Layout(t.Context(), l.dir, index, testDB(t, nil), opts)
			if c.want != "" {
				wantError(t, err, c.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sameReport(t, after, before)
		})
	}
}

// The cache does not grow without end: what was used last stays.
func TestInventoriesAreForgotten(t *testing.T) {
	dir := t.TempDir()
	for i := range maxInventories + 2 {
		name := filepath.Join(dir, strings.Repeat("x", i+1))
		must(t, os.WriteFile(name, nil, 0o600))
		must(t, os.Chtimes(name, now, now.Add(time.Duration(-i)*time.Minute)))
	}
	c, err := openCache(dir)
	must(t, err)
	defer c.Close()
	must(t, c.forgetOldest())
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != maxInventories || len(left[0].Name()) != 1 || len(left[len(left)-1].Name()) != maxInventories {
		t.Errorf("%d left, %v", len(left), err)
	}
}

// T11: a layer cannot be hidden in the media type of the next one, so that an image with fewer layers has the inventory of
// the whole one.
func TestKnownLayersAreTheSame(t *testing.T) {
	l, cache := newLayout(t), filepath.Join(t.TempDir(), "cache")
	opts := Options{Time: now, Cache: cache}
	bad := l.blob(ociTar, layerOf(t, npmFile("srv/node_modules", "lodash", "4.17.15")))
	mended := l.blob(ociTar, layerOf(t, npmFile("srv/node_modules", "lodash", "4.17.21")))
	whole := l.index(l.assemble("amd64", "", []string{bad.Digest, mended.Digest}, []descriptor{bad, mended}))
	if _, err := Layout(t.Context(), l.dir, whole, testDB(t, nil), opts); err != nil {
		t.Fatal(err)
	}
	hiding := mended
	hiding.MediaType = fmt.Sprintf("%s %s %d %s\n%s", bad.MediaType, bad.Digest, bad.Size, bad.Digest, mended.MediaType)
	part := l.index(l.assemble("amd64", "", []string{mended.Digest}, []descriptor{hiding}))
	_, err := Layout(t.Context(), l.dir, part, testDB(t, nil), opts)
	wantError(t, err, "not a layer that can be scanned")

	keys := map[string]bool{}
	for _, t2 := range []target{
		{manifest: &v1.Manifest{Layers: []v1.Descriptor{{MediaType: "a"}}}, config: &v1.ConfigFile{RootFS: v1.RootFS{DiffIDs: make([]v1.Hash, 1)}}},
		{manifest: &v1.Manifest{Layers: []v1.Descriptor{{MediaType: "a\",\"b"}}}, config: &v1.ConfigFile{RootFS: v1.RootFS{DiffIDs: make([]v1.Hash, 1)}}},
	} {
		for _, version := range []string{"1", "2"} {
			key, err := (&scanner{opts: Options{Version: version}}).inventoryKey(t2)
			must(t, err)
			keys[key] = true
		}
	}
	if len(keys) != 4 {
		t.Errorf("%d keys for 4 inventories", len(keys))
	}
}

// Another syft makes other inventories, so the version that names them must be the one that is linked.
func TestSyftVersion(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join("..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), "\tgithub.com/anchore/syft "+syftVersion+"\n") {
		t.Errorf("go.mod requires another syft than %s: change syftVersion", syftVersion)
	}
}

// lastUsed is the newest time in the cache.
func lastUsed(t *testing.T, cache string) (last time.Time) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	must(t, err)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// disown gives a file to nobody.
func disown(t *testing.T, name string) {
	t.Helper()
	if err := os.Chown(name, 65534, 65534); err != nil {
		t.Skipf("only root can give files away: %v", err)
	}
}

// layerDigest is the digest of the largest blob: the layer.
func layerDigest(t *testing.T, l layoutWriter) (digest string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(l.path("sha256:x")))
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Size() > size {
			size, digest = info.Size(), "sha256:"+e.Name()
		}
	}
	return digest
}

func only(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%q, %v", names, err)
	}
	return names[0]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
