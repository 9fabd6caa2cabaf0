package scan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// truthDir holds real images and a real database that are too large, and of too many owners, for this repository.
const truthDir = "../../shared/testdata"

type truth struct {
	Name      string `json:"name"`
	Source    string `json:"source"`
	Installed string `json:"installed"`
	FixedIn   string `json:"fixed_in"`
	Binaries  []string
	IDs       []anyOf  `json:"ids"`
	Also      []string `json:"also_allowed"`
	NotInDB   []anyOf  `json:"upstream_but_not_in_db"`
}

// anyOf names one flaw by one or several ids.
type anyOf []string

func (a *anyOf) UnmarshalJSON(b []byte) error {
	if b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(a))
	}
	*a = anyOf{strings.Trim(string(b), `"`)}
	return nil
}

func (v Vulnerability) names() []string { return append([]string{v.ID}, v.Aliases...) }

func (v Vulnerability) isAny(ids []string) bool {
	return slices.ContainsFunc(v.names(), func(n string) bool { return slices.Contains(ids, n) })
}

// truthDB imports the ground truth's database, or skips the test.
func truthDB(t testing.TB) *DB {
	t.Helper()
	archive := filepath.Join(truthDir, "grypedb", "vulnerability-db.tar.zst")
	if _, err := os.Stat(archive); err != nil {
		t.Skipf("no ground truth beside the repository: %v", err)
	}
	root := t.TempDir()
	info, err := Import(t.Context(), archive, "", root)
	if err != nil {
		t.Fatal(err)
	}
	db, err := OpenDB(root, info.Built.Add(time.Hour), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// onlyManifest gives the digest that the index.json of a layout lists.
func onlyManifest(t testing.TB, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct{ Manifests []struct{ Digest string } }
	if err := json.Unmarshal(b, &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("index.json of %s: %v, %d manifests", dir, err, len(index.Manifests))
	}
	return index.Manifests[0].Digest
}

// On real images and a real database, every expected finding is there once, and no other.
func TestGroundTruth(t *testing.T) {
	db := truthDB(t)
	b, err := os.ReadFile(filepath.Join(truthDir, "images", "groundtruth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Images map[string]struct{ Expected, Absent []truth }
	}
	if err := json.Unmarshal(b, &doc); err != nil || len(doc.Images) == 0 {
		t.Fatalf("groundtruth.json: %v", err)
	}
	for name, want := range doc.Images {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(truthDir, "images", name)
			p := twice(t, db, dir, onlyManifest(t, dir), t.TempDir()).Platforms[0]
			t.Logf("%d packages, %d findings, distro %+v, %d uncomparable, warnings %q", len(p.Packages), len(p.Vulnerabilities), p.Distro, p.Uncomparable, p.Warnings)
			for _, w := range want.Expected {
				checkExpected(t, p, w)
			}
			for _, w := range want.Absent {
				checkAbsent(t, p, w)
			}
			for _, v := range p.Vulnerabilities {
				if !slices.ContainsFunc(want.Expected, func(w truth) bool { return w.allows(v) }) {
					t.Errorf("found beyond the ground truth: %s %s %v", v.Package, v.Version, v.names())
				}
			}
		})
	}
}

func (w truth) pkg() string { return w.Name + w.Source }

func (w truth) allows(v Vulnerability) bool {
	if v.Package != w.pkg() {
		return false
	}
	return v.isAny(slices.Concat(append(w.IDs, w.NotInDB...)...)) || v.isAny(w.Also)
}

// findings are those against w's package that match holds for.
func (w truth) findings(p Platform, match func(Vulnerability) bool) (found []Vulnerability) {
	for _, v := range p.Vulnerabilities {
		if v.Package == w.pkg() && v.Version == w.Installed && match(v) {
			found = append(found, v)
		}
	}
	return found
}

func checkExpected(t *testing.T, p Platform, w truth) {
	mended := w.FixedIn == "" // the version that mends all of them mends one of them last
	for _, ids := range w.IDs {
		found := w.findings(p, func(v Vulnerability) bool { return slices.Contains(ids, v.ID) })
		if len(found) == 0 { // records that lump several CVEs together list them all as aliases, so these come second
			found = w.findings(p, func(v Vulnerability) bool { return v.isAny(ids) })
		}
		if len(found) != 1 {
			t.Errorf("%s %s: %v found %d times: %+v", w.pkg(), w.Installed, ids, len(found), found)
			continue
		}
		v := found[0]
		if w.FixedIn != "" && (v.FixState != "fixed" || len(v.FixedIn) == 0) {
			t.Errorf("%s %s: %s in %v", w.pkg(), v.ID, v.FixState, v.FixedIn)
		}
		mended = mended || slices.Contains(v.FixedIn, w.FixedIn)
		for _, b := range w.Binaries {
			if !slices.Contains(v.Binaries, b) {
				t.Errorf("%s %s: binary %s is not among %v", w.pkg(), v.ID, b, v.Binaries)
			}
		}
		if !strings.HasPrefix(v.Layer, "sha256:") {
			t.Errorf("%s %s: layer %q", w.pkg(), v.ID, v.Layer)
		}
	}
	if !mended {
		t.Errorf("%s: nothing is fixed in %s", w.pkg(), w.FixedIn)
	}
}

func checkAbsent(t *testing.T, p Platform, w truth) {
	for _, v := range p.Vulnerabilities {
		for _, ids := range w.IDs {
			if v.Package == w.pkg() && (ids[0] == "*" || v.isAny(ids)) {
				t.Errorf("%s %s must not be found: %v", w.pkg(), w.Installed, v.names())
			}
		}
	}
	if !slices.ContainsFunc(p.Packages, func(q Package) bool { return q.Name == w.pkg() && q.Version == w.Installed }) {
		t.Errorf("package %s %s was not seen at all", w.pkg(), w.Installed)
	}
}
