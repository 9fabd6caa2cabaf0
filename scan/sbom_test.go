package scan

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anchore/grype/grype"
	"github.com/anchore/grype/grype/distro"
	gpkg "github.com/anchore/grype/grype/pkg"
	"github.com/anchore/syft/syft"
	"github.com/anchore/syft/syft/format/cyclonedxjson"
	"github.com/anchore/syft/syft/format/spdxjson"
	"github.com/anchore/syft/syft/sbom"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// rich is an image with packages of several kinds.
func rich(t *testing.T, l layoutWriter) descriptor {
	t.Helper()
	files := append(debianFiles("libssl3 openssl 3.0.20-1~deb12u2", "perl-base perl 5.36.0-7+deb12u3"),
		npmFile("srv/node_modules", "lodash", "4.17.15"), npmFile("srv/node_modules", "minimist", "0.0.8"),
		jarFile(t, "opt/shiro-core-1.2.4.jar", "org.apache.shiro", "shiro-core", "1.2.4"))
	return l.image("amd64", "", layerOf(t, files...))
}

// R65: the same image at the same time gives the same bytes, and at another time another document.
func TestDocumentsAreReproducible(t *testing.T) {
	l := newLayout(t)
	digest := l.index(rich(t, l))
	scan := func(at time.Time) Report {
		r, err := Layout(t.Context(), l.dir, digest, testDB(t, nil), Options{Time: at, Name: "example.test/team/app", Version: "1.2.3"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := scan(now)
	for range 5 {
		again := scan(now.Add(time.Millisecond))
		for name, pair := range map[string][2][]byte{
			"SPDX":               {first.Platforms[0].SPDX, again.Platforms[0].SPDX},
			"CycloneDX":          {first.Platforms[0].CycloneDX, again.Platforms[0].CycloneDX},
			"SPDX of index":      {first.SPDX, again.SPDX},
			"CycloneDX of index": {first.CycloneDX, again.CycloneDX},
		} {
			if !bytes.Equal(pair[0], pair[1]) {
				t.Errorf("%s differs between two scans", name)
			}
		}
	}
	later := scan(now.Add(time.Hour))
	if spdxNamespace(t, first.SPDX) == spdxNamespace(t, later.SPDX) {
		t.Error("two documents with one namespace")
	}
}

func spdxNamespace(t *testing.T, b []byte) string {
	t.Helper()
	var doc struct{ DocumentNamespace string }
	if err := json.Unmarshal(b, &doc); err != nil || doc.DocumentNamespace == "" {
		t.Fatalf("SPDX: %v %q", err, doc.DocumentNamespace)
	}
	return doc.DocumentNamespace
}

// R59: documents are valid SPDX 2.3 and CycloneDX 1.6, for platforms and for the index, judged by the formats' own schemas.
func TestDocumentsAreValid(t *testing.T) {
	l := newLayout(t)
	r, err := Layout(t.Context(), l.dir, l.index(rich(t, l)), testDB(t, nil), Options{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	spdx := schema(t, "github.com/anchore/syft", "schema/spdx-json/spdx-schema-2.3.json")
	cdx := schema(t, "github.com/CycloneDX/cyclonedx-go", "schema/bom-1.6.schema.json")
	p := r.Platforms[0]
	validate(t, spdx, p.SPDX)
	validate(t, spdx, r.SPDX)
	validate(t, cdx, p.CycloneDX)
	validate(t, cdx, r.CycloneDX)
	if bytes.Contains(p.SPDX, []byte(`"files"`)) || bytes.Contains(p.CycloneDX, []byte(`"type":"file"`)) {
		t.Error("a document has a file inventory")
	}
	for _, word := range []string{`"sha256:`, "MIT", "layer: sha256:", "pkg:npm/lodash@4.17.15"} {
		if !bytes.Contains(p.SPDX, []byte(strings.Trim(word, `"`))) {
			t.Errorf("SPDX does not say %s", word)
		}
	}
}

// schema compiles a schema that lies in a module's source.
func schema(t *testing.T, module, file string) *jsonschema.Schema {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dir := filepath.Dir(filepath.Join(strings.TrimSpace(string(out)), file))
	c := jsonschema.NewCompiler()
	signatures := map[string]any{"definitions": map[string]any{"signature": false}} // we write none inside documents
	if err := c.AddResource("http://cyclonedx.org/schema/jsf-0.82.schema.json", signatures); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") || strings.HasPrefix(e.Name(), "jsf") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			continue
		}
		// schemas refer to their neighbours by name, or by the address that they were published at
		for _, url := range []string{"http://cyclonedx.org/schema/" + e.Name(), "file:///" + e.Name()} {
			if err := c.AddResource(url, doc); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := c.Compile("file:///" + filepath.Base(file))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, b []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(doc); err != nil {
		t.Errorf("%v", err)
	}
}

// The index's documents hold no platform's packages as the whole's: they name every platform and its document by digest.
func TestIndexDocuments(t *testing.T) {
	l := newLayout(t)
	amd := rich(t, l)
	arm := l.image("arm64", "", layerOf(t, debianFiles("libssl3 openssl 3.0.22-1~deb12u2")...))
	digest := l.index(amd, arm)
	r, err := Layout(t.Context(), l.dir, digest, testDB(t, nil), Options{Time: now, Name: "example.test/app"})
	if err != nil {
		t.Fatal(err)
	}
	var spdx struct {
		Packages     []struct{ VersionInfo string }
		ExternalRefs []struct {
			SPDXDocument string
			Checksum     struct{ ChecksumValue string }
		} `json:"externalDocumentRefs"`
	}
	var cdx struct {
		Metadata   struct{ Component struct{ Version string } }
		Components []struct {
			Version            string
			ExternalReferences []struct {
				URL    string
				Hashes []struct{ Content string }
			}
		}
	}
	if err := json.Unmarshal(r.SPDX, &spdx); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(r.CycloneDX, &cdx); err != nil {
		t.Fatal(err)
	}
	if len(spdx.Packages) != 3 || len(spdx.ExternalRefs) != 2 || len(cdx.Components) != 2 {
		t.Fatalf("SPDX %+v, CycloneDX %+v", spdx, cdx)
	}
	if spdx.Packages[0].VersionInfo != digest || cdx.Metadata.Component.Version != digest {
		t.Errorf("not about the index: %+v %+v", spdx.Packages[0], cdx.Metadata)
	}
	for i, d := range []string{amd.Digest, arm.Digest} {
		p := r.Platforms[i]
		if spdx.Packages[i+1].VersionInfo != d || cdx.Components[i].Version != d || p.Digest != d {
			t.Errorf("platform %d is not %s", i, d)
		}
		ref := spdx.ExternalRefs[i]
		if ref.SPDXDocument != spdxNamespace(t, p.SPDX) || ref.Checksum.ChecksumValue != fmt.Sprintf("%x", sha256.Sum256(p.SPDX)) {
			t.Errorf("reference %+v", ref)
		}
		bom := cdx.Components[i].ExternalReferences[0]
		if bom.Hashes[0].Content != fmt.Sprintf("%x", sha256.Sum256(p.CycloneDX)) || !bytes.Contains(p.CycloneDX, []byte(strings.TrimSuffix(strings.TrimPrefix(bom.URL, "urn:cdx:"), "/1"))) {
			t.Errorf("reference %+v", bom)
		}
	}
}

// grype and syft read our documents, and find what we found.
func TestDocumentsReadBack(t *testing.T) {
	l := newLayout(t)
	db := testDB(t, nil)
	r, err := Layout(t.Context(), l.dir, rich(t, l).Digest, db, Options{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	p := r.Platforms[0]
	if r.SPDX != nil || len(p.Vulnerabilities) < 5 {
		t.Fatalf("%d findings", len(p.Vulnerabilities))
	}
	for name, c := range map[string]struct {
		decoder sbom.FormatDecoder
		doc     []byte
	}{
		"SPDX":      {spdxjson.NewFormatDecoder(), p.SPDX},
		"CycloneDX": {cyclonedxjson.NewFormatDecoder(), p.CycloneDX},
	} {
		t.Run(name, func(t *testing.T) {
			bom, _, version, err := c.decoder.Decode(bytes.NewReader(c.doc))
			if err != nil || (version != "2.3" && version != "1.6") {
				t.Fatalf("version %q: %v", version, err)
			}
			if got := bom.Artifacts.Packages.PackageCount(); got != len(p.Packages) {
				t.Errorf("%d packages read, %d written", got, len(p.Packages))
			}
			d := distro.New(distro.Debian, "12", "")
			g := grype.VulnerabilityMatcher{VulnerabilityProvider: db.provider, Matchers: matchers(map[gpkg.ID]error{})}
			matches, _, err := g.FindMatches(matchable(bom, d), gpkg.Context{Distro: d})
			if err != nil {
				t.Fatal(err)
			}
			found, err := findings(matches.Sorted())
			if err != nil {
				t.Fatal(err)
			}
			if got, want := idsOf(found), idsOf(p.Vulnerabilities); !slices.Equal(got, want) {
				t.Errorf("read back %v, found %v", got, want)
			}
		})
	}
}

func idsOf(vs []Vulnerability) (ids []string) {
	for _, v := range vs {
		ids = append(ids, v.Type+" "+v.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// We see all that syft sees with its own settings for images, on real images and on one of several kinds of packages.
func TestCoverageIsSyfts(t *testing.T) {
	l := newLayout(t)
	img := rich(t, l)
	compareWithSyft(t, l.dir, img.Digest, func(name string) {
		l.index(img)
		b := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, ociManifest, img.Digest, img.Size)
		os.WriteFile(filepath.Join(l.dir, "index.json"), []byte(b), 0o644)
		os.WriteFile(filepath.Join(l.dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
	})
	for _, name := range []string{"debian12-node", "goscratch-sym"} {
		dir := filepath.Join(truthDir, "images", name)
		if _, err := os.Stat(dir); err != nil {
			t.Logf("only the made image: %v", err)
			return
		}
		compareWithSyft(t, dir, onlyManifest(t, dir), func(string) {})
	}
}

func compareWithSyft(t *testing.T, dir, digest string, prepare func(string)) {
	t.Helper()
	prepare(dir)
	r, err := Layout(t.Context(), dir, digest, testDB(t, nil), Options{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	src, err := syft.GetSource(t.Context(), dir, syft.DefaultGetSourceConfig().WithSources("oci-dir"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	theirs, err := syft.CreateSBOM(t.Context(), src, nil)
	if err != nil {
		t.Fatal(err)
	}
	list := func(ps []Package) (out []string) {
		for _, p := range ps {
			out = append(out, fmt.Sprint(p.Type, p.Name, p.Version, p.PURL, p.Path, p.Licenses))
		}
		slices.Sort(out)
		return out
	}
	if got, want := list(r.Platforms[0].Packages), list(packages(theirs)); !slices.Equal(got, want) || len(got) == 0 {
		t.Errorf("%s: %d packages, syft finds %d", dir, len(got), len(want))
	}
}
