package scan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// The packages that a document lists have, in the same database, the vulnerabilities that the image had.
func TestRescan(t *testing.T) {
	l := newLayout(t)
	db := testDB(t, nil)
	r, err := Layout(t.Context(), l.dir, rich(t, l).Digest, db, Options{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	sameAgain(t, r.Platforms[0], db)
	for name, doc := range map[string]string{"empty": "", "none": "{}", "SPDX": string(r.Platforms[0].SPDX), "cut": string(r.Platforms[0].CycloneDX[:1000])} {
		if p, err := Rescan(t.Context(), []byte(doc), db); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if _, err := Rescan(t.Context(), r.Platforms[0].CycloneDX, nil); err == nil {
		t.Error("no database, and an answer")
	}
}

// And so on real images with a real database.
func TestRescanGroundTruth(t *testing.T) {
	db := truthDB(t)
	b, err := os.ReadFile(filepath.Join(truthDir, "images", "groundtruth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Images map[string]any }
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for name := range doc.Images {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(truthDir, "images", name)
			r, err := Layout(t.Context(), dir, onlyManifest(t, dir), db, Options{Time: now.Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			sameAgain(t, r.Platforms[0], db)
		})
	}
}

func sameAgain(t *testing.T, p Platform, db *DB) {
	t.Helper()
	again, err := Rescan(t.Context(), p.CycloneDX, db)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Packages) != len(p.Packages) || again.Distro != p.Distro || again.Uncomparable != p.Uncomparable {
		t.Errorf("%d packages, %+v, %d uncomparable; the image has %d, %+v, %d", len(again.Packages), again.Distro, again.Uncomparable, len(p.Packages), p.Distro, p.Uncomparable)
	}
	if !reflect.DeepEqual(again.Vulnerabilities, p.Vulnerabilities) {
		for i, v := range p.Vulnerabilities {
			if i < len(again.Vulnerabilities) && !reflect.DeepEqual(again.Vulnerabilities[i], v) {
				t.Errorf("%+v\nwas\n%+v", again.Vulnerabilities[i], v)
				break
			}
		}
		t.Errorf("%d vulnerabilities, the image has %d", len(again.Vulnerabilities), len(p.Vulnerabilities))
	}
}
