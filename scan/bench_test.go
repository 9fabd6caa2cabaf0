package scan

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkLayout scans a real image with packages of Debian and npm; SCAN_LAYOUT names the directory of another one.
func BenchmarkLayout(b *testing.B) {
	dir := os.Getenv("SCAN_LAYOUT")
	if dir == "" {
		dir = filepath.Join(truthDir, "images", "debian12-node")
	}
	if _, err := os.Stat(dir); err != nil {
		b.Skipf("no image to scan: %v", err)
	}
	db := truthDB(b)
	if _, err := db.licenses(); err != nil {
		b.Fatal(err)
	}
	digest := onlyManifest(b, dir)
	for b.Loop() {
		if _, err := Layout(b.Context(), dir, digest, db, Options{Time: now}); err != nil {
			b.Fatal(err)
		}
	}
}
