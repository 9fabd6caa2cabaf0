package scan

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	syftfile "github.com/anchore/syft/syft/file"
	"github.com/anchore/syft/syft/sbom"

	"github.com/sealyard/sealyard/internal/testdb"
)

// find gives the one finding of the given package and id.
func find(t *testing.T, p Platform, pkg, id string) Vulnerability {
	t.Helper()
	var found []Vulnerability
	for _, v := range p.Vulnerabilities {
		if v.Package == pkg && v.ID == id {
			found = append(found, v)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s %s found %d times among %+v", pkg, id, len(found), p.Vulnerabilities)
	}
	return found[0]
}

func scanOne(t *testing.T, db *DB, files ...file) Platform {
	t.Helper()
	l := newLayout(t)
	r, err := Layout(t.Context(), l.dir, l.image("amd64", "", layerOf(t, files...)).Digest, db, Options{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	return r.Platforms[0]
}

// R79: every runnable platform is scanned, each for itself, and BuildKit's attestation manifests are left out.
func TestPlatformsSideBySide(t *testing.T) {
	l := newLayout(t)
	att := l.json(ociManifest, map[string]any{"schemaVersion": 2})
	att.Platform, att.Annotations = &platform{"unknown", "unknown"}, map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	old := layerOf(t, debianFiles("libssl3 openssl 3.0.20-1~deb12u2", "openssl openssl 3.0.20-1~deb12u2")...)
	mended := layerOf(t, debianFiles("libssl3 openssl 3.0.22-1~deb12u2")...)
	digest := l.index(l.image("amd64", "app", old), l.image("arm64", "0:0", mended), att)
	before := t.TempDir()
	r, err := Layout(t.Context(), l.dir, digest, testDB(t, nil), Options{Time: now, TempDir: before, Now: func() time.Time { return now.Add(time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Platforms) != 2 || r.Platforms[0].Platform != "linux/amd64" || r.Platforms[1].Platform != "linux/arm64" {
		t.Fatalf("platforms: %+v", r.Platforms)
	}
	if r.Digest != digest || !r.Started.Equal(now) || !r.Finished.Equal(now.Add(time.Minute)) {
		t.Errorf("report: %s %v %v", r.Digest, r.Started, r.Finished)
	}
	amd, arm := r.Platforms[0], r.Platforms[1]
	if amd.Distro != (Distro{Name: "debian 12", ID: "debian", Version: "12", Covered: true}) {
		t.Errorf("distro: %+v", amd.Distro)
	}
	if amd.User.UID != 1000 || arm.User.UID != 0 {
		t.Errorf("users: %+v %+v", amd.User, arm.User)
	}
	v := find(t, amd, "openssl", "CVE-2026-35189")
	if !slices.Equal(v.Binaries, []string{"libssl3", "openssl"}) || v.FixState != "fixed" || !slices.Equal(v.FixedIn, []string{"3.0.22-1~deb12u2"}) {
		t.Errorf("finding: %+v", v)
	}
	if v.Layer != digestOf(old) || !strings.HasPrefix(v.PURL, "pkg:deb/debian/libssl3@") || v.Type != "deb" || v.Severity != "unknown" {
		t.Errorf("finding: %+v", v)
	}
	if len(arm.Vulnerabilities) != 0 {
		t.Errorf("arm64: %+v", arm.Vulnerabilities)
	}
	if left, _ := os.ReadDir(before); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}

// R80: when a vulnerability was published, and since when there is a fix, are the earliest dates that any record has.
func TestDates(t *testing.T) {
	facts, err := testdb.Facts()
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2022, 10, 14, 0, 0, 0, 0, time.UTC)
	dated := 0
	for i := range facts {
		if facts[i].Package == "golang.org/x/text" {
			facts[i].Published = first.AddDate(0, 0, 2*dated)
			facts[i].Fixable = first.AddDate(0, 1, -dated)
			dated++
		}
	}
	v := find(t, scanOne(t, testDB(t, facts), goFile(t, "app", "v0.3.5")), "golang.org/x/text", "CVE-2022-32149")
	if dated < 2 || v.Published.Before(first) || v.Published.After(first.AddDate(0, 0, 2*dated)) || !v.Fixable.After(first) || v.Fixable.After(first.AddDate(0, 1, 0)) {
		t.Errorf("of %d records: published %v, fixable %v", dated, v.Published, v.Fixable)
	}
	if v = find(t, scanOne(t, testDB(t, nil), goFile(t, "app", "v0.3.5")), "golang.org/x/text", "CVE-2022-32149"); !v.Published.IsZero() || !v.Fixable.IsZero() {
		t.Errorf("without dates: %v, %v", v.Published, v.Fixable)
	}
}

// R83 R84: records of several feeds about one CVE are one finding, named by the CVE, with rating, EPSS and KEV.
func TestFindingsFold(t *testing.T) {
	p := scanOne(t, testDB(t, nil),
		goFile(t, "app", "v0.3.5"),
		jarFile(t, "opt/shiro-core-1.2.4.jar", "org.apache.shiro", "shiro-core", "1.2.4"),
		npmFile("srv/node_modules", "lodash", "4.17.15"))
	text := find(t, p, "golang.org/x/text", "CVE-2022-32149")
	if !slices.Equal(text.Aliases, []string{"GHSA-69ch-w2m2-3vjp", "GO-2022-1059"}) || text.Severity != "high" {
		t.Errorf("x/text: %+v", text)
	}
	if len(text.CVSS) != 1 || text.CVSS[0].Score != 7.5 || text.EPSS == nil || text.EPSS.Score != 0.0155 {
		t.Errorf("x/text: %+v %+v", text.CVSS, text.EPSS)
	}
	shiro := find(t, p, "shiro-core", "CVE-2016-4437")
	if !shiro.KEV || shiro.EPSS.Score < 0.9 || shiro.Severity != "critical" || shiro.EPSS.Date == "" {
		t.Errorf("shiro: %+v %+v", shiro, shiro.EPSS)
	}
	lodash := find(t, p, "lodash", "CVE-2021-23337")
	if lodash.KEV || lodash.DataSource != "https://github.com/advisories/GHSA-35jh-r3h4-6jhm" {
		t.Errorf("lodash: %+v", lodash)
	}
	if p.Distro != (Distro{}) || p.Uncomparable != 0 {
		t.Errorf("distro %+v, %d uncomparable", p.Distro, p.Uncomparable)
	}
}

// A record with several CVEs keeps its own id: it is none of them alone.
func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		ids  []string
		want string
	}{
		{[]string{"GHSA-1", "CVE-1"}, "CVE-1"},
		{[]string{"GHSA-1", "CVE-1", "CVE-1"}, "CVE-1"},
		{[]string{"GHSA-1", "CVE-1", "CVE-2"}, "GHSA-1"},
		{[]string{"CVE-1", "CVE-2"}, "CVE-1"},
		{[]string{"GO-1", "GHSA-1"}, "GO-1"},
	} {
		if got := canonical(c.ids); got != c.want {
			t.Errorf("canonical(%v) = %s, want %s", c.ids, got, c.want)
		}
	}
}

// A package of a language that Debian's own package ships is reported by Debian's records alone; the same package
// installed beside it is still reported.
func TestOwnedByDistribution(t *testing.T) {
	files := debianFiles("node-lodash node-lodash 4.17.15+dfsg-2")
	owned := npmFile("usr/share/nodejs", "lodash", "4.17.15")
	for i := range files {
		if strings.HasSuffix(files[i].name, ".md5sums") {
			files[i].content += "d41d8cd98f00b204e9800998ecf8427e  " + owned.name + "\n"
		}
	}
	files = append(files, owned)
	p := scanOne(t, testDB(t, nil), files...)
	if len(p.Vulnerabilities) != 0 {
		t.Errorf("owned by Debian's package, but found: %+v", p.Vulnerabilities)
	}
	p = scanOne(t, testDB(t, nil), append(files, npmFile("srv/node_modules", "lodash", "4.17.14"))...)
	if v := find(t, p, "lodash", "CVE-2021-23337"); v.Version != "4.17.14" {
		t.Errorf("found %+v", v)
	}
	foreign := append(debianFiles("vendor-tool vendor-tool 1.0"), owned)
	for i := range foreign {
		if strings.HasSuffix(foreign[i].name, ".md5sums") {
			foreign[i].content += "d41d8cd98f00b204e9800998ecf8427e  " + owned.name + "\n"
		}
	}
	find(t, scanOne(t, testDB(t, nil), foreign...), "lodash", "CVE-2021-23337")
}

// Packages whose version cannot be compared are counted when the database has records for them, and only then.
func TestUncomparable(t *testing.T) {
	pip := func(name, version string) file {
		return file{name: "usr/lib/python3/site-packages/" + name + ".dist-info/METADATA", content: "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"}
	}
	p := scanOne(t, testDB(t, nil), pip("requests", "not.a.version"), pip("jinja2", "2.10"), pip("harmless", "neither"))
	if p.Uncomparable != 1 || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], `"requests"`) {
		t.Errorf("%d uncomparable: %q", p.Uncomparable, p.Warnings)
	}
	find(t, p, "jinja2", "CVE-2020-28493")
}

// T32: an image without packages and without a distribution is told as just that; one of a distribution that the
// database does not cover says so.
func TestNothingKnown(t *testing.T) {
	p := scanOne(t, testDB(t, nil), file{name: "hello", content: "hello\n"})
	if len(p.Packages) != 0 || p.Packages == nil || p.Vulnerabilities == nil || p.Distro != (Distro{}) {
		t.Errorf("%+v", p)
	}
	files := debianFiles("libssl3 openssl 3.0.20-1~deb12u2")
	files[0].content = strings.ReplaceAll(osRelease, "12", "11")
	p = scanOne(t, testDB(t, nil), files...)
	if p.Distro.Covered || p.Distro.Name != "debian 11" || len(p.Packages) != 1 || len(p.Warnings) != 1 {
		t.Errorf("%+v %q", p.Distro, p.Warnings)
	}
}

// R88: what a later layer deletes is not in the final filesystem, and each package is laid to the layer that brought it.
func TestLayers(t *testing.T) {
	l := newLayout(t)
	base := layerOf(t, append(debianFiles("libssl3 openssl 3.0.20-1~deb12u2"), npmFile("srv/node_modules", "lodash", "4.17.15"))...)
	both := debianFiles("libssl3 openssl 3.0.20-1~deb12u2", "brotli brotli 1.0.9-2")
	top := layerOf(t, append(slices.DeleteFunc(both, func(f file) bool { return strings.Contains(f.name, "libssl3") }),
		file{name: "srv/node_modules/.wh.lodash"}, file{name: "etc/passwd", content: "app:x:0:0::/:\n"})...)
	r, err := Layout(t.Context(), l.dir, l.image("amd64", "app", base, top).Digest, testDB(t, nil), Options{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	p := r.Platforms[0]
	for _, v := range p.Vulnerabilities {
		if v.Package == "lodash" {
			t.Errorf("deleted, but found: %+v", v)
		}
	}
	for pkg, layer := range map[string][]byte{"libssl3": base, "brotli": top} {
		i := slices.IndexFunc(p.Packages, func(q Package) bool { return q.Name == pkg })
		if i < 0 || p.Packages[i].Layer != digestOf(layer) || !slices.Equal(p.Packages[i].Licenses, []string{"MIT"}) {
			t.Errorf("%s: %+v", pkg, p.Packages)
		}
	}
	if p.User != (User{Raw: "app", UID: 0}) {
		t.Errorf("user %+v", p.User)
	}
}

// T32: what this machine could not read is no finding about the image.
func TestMachineFaults(t *testing.T) {
	at := syftfile.NewCoordinates("/app.jar", "")
	for reason, fault := range map[string]bool{
		"java-archive-cataloger: write /tmp/x: no space left on device": true,
		"java-archive-cataloger: open /tmp/x: too many open files":      true,
		"java-archive-cataloger: not a zip file":                        false,
	} {
		bom := &sbom.SBOM{Artifacts: sbom.Artifacts{Unknowns: map[syftfile.Coordinates][]string{at: {reason}}}}
		if err := machineFault(bom); (err != nil) != fault {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// R84: an EPSS score that is no probability stops the scan.
func TestEPSSOutOfRange(t *testing.T) {
	db := testDB(t, []testdb.Fact{{ID: "CVE-1", Ecosystem: "npm", Package: "lodash", Ranges: []testdb.Range{{}}, EPSS: []float64{1.5, 0.1}}})
	l := newLayout(t)
	img := l.image("amd64", "", layerOf(t, npmFile("srv/node_modules", "lodash", "1.0.0")))
	_, err := Layout(t.Context(), l.dir, img.Digest, db, Options{Time: now})
	wantError(t, err, "EPSS", "1.5")
}

// A scan without a database, without a time, or whose context ended gives an error, and leaves nothing on disk.
func TestNoScan(t *testing.T) {
	l := newLayout(t)
	img := l.image("amd64", "", layerOf(t, debianFiles("libssl3 openssl 3")...))
	_, err := Layout(t.Context(), l.dir, img.Digest, nil, Options{Time: now})
	wantError(t, err, "no vulnerability database")
	db := testDB(t, nil)
	_, err = Layout(t.Context(), l.dir, img.Digest, db, Options{})
	wantError(t, err, "no time")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tmp := t.TempDir()
	_, err = Layout(ended, l.dir, img.Digest, db, Options{Time: now, TempDir: tmp})
	wantError(t, err, "canceled")
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}
