// Package testdb makes a small vulnerability database, in grype's format, from a few committed facts: for tests, and for
// the demonstration, which must run without a network. The facts are real, but far too few to judge a real image by.
package testdb

import (
	"archive/tar"
	"bytes"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/db/v6/name"
	"github.com/anchore/syft/syft/pkg"
	"github.com/klauspost/compress/zstd"
)

//go:embed testdata/facts.json
var committed []byte

// ArchiveName is the name of the file that Archive writes.
const ArchiveName = "vulnerability-db.tar.zst"

// Fact says that some versions of a package have a flaw.
type Fact struct {
	ID        string    `json:"id"`
	Ecosystem string    `json:"ecosystem"` // "Debian:12", "npm", "PyPI", "Go" or "Maven"
	Package   string    `json:"package"`
	Ranges    []Range   `json:"ranges"`
	Aliases   []string  `json:"aliases,omitempty"`
	Severity  string    `json:"severity,omitempty"` // critical, high, medium, low or negligible
	CVSS      string    `json:"cvss,omitempty"`     // a CVSS 3.1 vector
	EPSS      []float64 `json:"epss,omitempty"`     // score and percentile
	KEV       bool      `json:"kev,omitempty"`      // known to be exploited
	Published time.Time `json:"published,omitzero"`
	Fixable   time.Time `json:"fixable,omitzero"` // since when there are the fixes; without, nobody says
	URL       string    `json:"url"`
}

// Range is a half-open range of affected versions. Introduced "" is the first version, Fixed "" means not fixed yet.
type Range struct {
	Introduced string `json:"introduced,omitempty"`
	Fixed      string `json:"fixed,omitempty"`
}

// Facts returns the committed facts, which may be changed and given to Archive.
func Facts() ([]Fact, error) {
	var facts []Fact
	err := json.Unmarshal(committed, &facts)
	return facts, err
}

// Archive writes a database of facts, said to be built at the given time, into dir, and returns the file's name. It
// is an archive as `sealyard db import` and `grype db import` take it. No facts make an empty database.
func Archive(dir string, built time.Time, facts []Fact) (file string, err error) {
	tmp, err := os.MkdirTemp(dir, ".testdb-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	store, err := v6.NewWriter(v6.Config{DBDirPath: tmp, CacheSizeKiB: 4 << 10})
	if err != nil {
		return "", err
	}
	if err := errors.Join(write(store, built, facts), store.Close()); err != nil {
		return "", err
	}
	db := filepath.Join(tmp, v6.VulnerabilityDBFileName)
	if err := setBuilt(db, built); err != nil {
		return "", err
	}
	b, err := os.ReadFile(db)
	if err != nil {
		return "", err
	}
	packed, err := pack(v6.VulnerabilityDBFileName, b, built)
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, ArchiveName)
	return file, os.WriteFile(file, packed, 0o644)
}

func write(store v6.Writer, built time.Time, facts []Fact) error {
	day := built.UTC().Truncate(24 * time.Hour)
	provider := &v6.Provider{ID: "testdb", Version: "1", Processor: "testdb", DateCaptured: &day, InputDigest: "xxh64:0"}
	vulns, rated := map[string]*v6.VulnerabilityHandle{}, map[string]bool{}
	for _, f := range facts {
		if vulns[f.ID] == nil {
			vulns[f.ID] = vulnerability(f, provider)
			if err := store.AddVulnerabilities(vulns[f.ID]); err != nil {
				return fmt.Errorf("%s: %w", f.ID, err)
			}
		}
		h, err := affected(f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.ID, err)
		}
		h.VulnerabilityID = vulns[f.ID].ID
		if err := store.AddAffectedPackages(h); err != nil {
			return fmt.Errorf("%s: %w", f.ID, err)
		}
		if err := rate(store, f, day, rated); err != nil {
			return fmt.Errorf("%s: %w", f.ID, err)
		}
	}
	return nil
}

// rate adds the EPSS score and the KEV entry of the CVEs that a fact names.
func rate(store v6.Writer, f Fact, day time.Time, rated map[string]bool) error {
	for _, cve := range append([]string{f.ID}, f.Aliases...) {
		if !strings.HasPrefix(cve, "CVE-") || rated[cve] {
			continue
		}
		rated[cve] = true
		if len(f.EPSS) == 2 {
			if err := store.AddEpss(&v6.EpssHandle{Cve: cve, Epss: f.EPSS[0], Percentile: f.EPSS[1], Date: day}); err != nil {
				return err
			}
		}
		if f.KEV {
			kev := &v6.KnownExploitedVulnerabilityHandle{Cve: cve, BlobValue: &v6.KnownExploitedVulnerabilityBlob{Cve: cve}}
			if err := store.AddKnownExploitedVulnerabilities(kev); err != nil {
				return err
			}
		}
	}
	return nil
}

func vulnerability(f Fact, p *v6.Provider) *v6.VulnerabilityHandle {
	v := &v6.VulnerabilityHandle{
		Name: f.ID, ProviderID: p.ID, Provider: p, Status: v6.VulnerabilityActive,
		BlobValue: &v6.VulnerabilityBlob{ID: f.ID, Aliases: f.Aliases, References: []v6.Reference{{URL: f.URL}}},
	}
	if !f.Published.IsZero() {
		v.PublishedDate = &f.Published
	}
	if f.Severity != "" {
		v.BlobValue.Severities = append(v.BlobValue.Severities, v6.Severity{Scheme: v6.SeveritySchemeCHML, Value: f.Severity})
	}
	if f.CVSS != "" {
		v.BlobValue.Severities = append(v.BlobValue.Severities, v6.Severity{
			Scheme: v6.SeveritySchemeCVSS, Value: v6.CVSSSeverity{Vector: f.CVSS, Version: "3.1"},
		})
	}
	return v
}

func affected(f Fact) (*v6.AffectedPackageHandle, error) {
	kinds := map[string]struct {
		kind   pkg.Type
		format string
	}{
		"Debian": {pkg.DebPkg, "dpkg"}, "npm": {pkg.NpmPkg, "semver"}, "PyPI": {pkg.PythonPkg, "python"},
		"Go": {pkg.GoModulePkg, "go"}, "Maven": {pkg.JavaPkg, "maven"},
	}
	base, release, _ := strings.Cut(f.Ecosystem, ":")
	k, ok := kinds[base]
	if !ok {
		return nil, fmt.Errorf("ecosystem %q is not known here", f.Ecosystem)
	}
	h := &v6.AffectedPackageHandle{
		Package:   &v6.Package{Name: name.Normalize(f.Package, k.kind), Ecosystem: string(k.kind)},
		BlobValue: &v6.PackageBlob{},
	}
	for _, id := range append([]string{f.ID}, f.Aliases...) {
		if strings.HasPrefix(id, "CVE-") && !slices.Contains(h.BlobValue.CVEs, id) {
			h.BlobValue.CVEs = append(h.BlobValue.CVEs, id)
		}
	}
	for _, r := range f.Ranges {
		h.BlobValue.Ranges = append(h.BlobValue.Ranges, r.convert(k.format, f.Fixable))
	}
	if base == "Debian" {
		codename := map[string]string{"11": "bullseye", "12": "bookworm", "13": "trixie"}[release]
		h.OperatingSystem = &v6.OperatingSystem{Name: "debian", ReleaseID: "debian", MajorVersion: release, Codename: codename}
	}
	return h, nil
}

func (r Range) convert(format string, since time.Time) v6.Range {
	var bounds []string
	if r.Introduced != "" {
		bounds = append(bounds, ">="+r.Introduced)
	}
	fix := &v6.Fix{State: v6.NotFixedStatus}
	if r.Fixed != "" {
		bounds = append(bounds, "<"+r.Fixed)
		fix = &v6.Fix{Version: r.Fixed, State: v6.FixedStatus}
		if !since.IsZero() {
			fix.Detail = &v6.FixDetail{Available: &v6.FixAvailability{Date: &since, Kind: "advisory"}}
		}
	}
	return v6.Range{Version: v6.Version{Type: format, Constraint: strings.Join(bounds, ",")}, Fix: fix}
}

// setBuilt dates the database: grype's writer dates it by the clock.
func setBuilt(file string, built time.Time) error {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	_, err = db.Exec("UPDATE db_metadata SET build_timestamp = ?", built.UTC().Truncate(time.Second))
	return errors.Join(err, db.Close())
}

// pack makes a tar.zst of one file.
func pack(name string, content []byte, at time.Time) ([]byte, error) {
	var buf bytes.Buffer
	zw, err := zstd.NewWriter(&buf)
	if err != nil {
		return nil, err
	}
	tw := tar.NewWriter(zw)
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: at.Truncate(time.Second), Format: tar.FormatUSTAR}
	if err := tw.WriteHeader(h); err != nil {
		return nil, err
	}
	if _, err := tw.Write(content); err != nil {
		return nil, err
	}
	err = errors.Join(tw.Close(), zw.Close())
	return buf.Bytes(), err
}
