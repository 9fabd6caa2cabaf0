package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anchore/grype/grype"
	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/distro"
	"github.com/anchore/grype/grype/match"
	"github.com/anchore/grype/grype/matcher"
	"github.com/anchore/grype/grype/matcher/dpkg"
	"github.com/anchore/grype/grype/matcher/rpm"
	"github.com/anchore/grype/grype/matcher/stock"
	gpkg "github.com/anchore/grype/grype/pkg"
	"github.com/anchore/grype/grype/search"
	"github.com/anchore/grype/grype/version"
	"github.com/anchore/grype/grype/vulnerability"
	"github.com/anchore/syft/syft/artifact"
	syftpkg "github.com/anchore/syft/syft/pkg"
	"github.com/anchore/syft/syft/sbom"

	"github.com/sealyard/sealyard/internal/hint"
)

// matched is what the database knows against one SBOM.
type matched struct {
	distro       Distro
	found        []Vulnerability
	uncomparable int
	warnings     []string
}

// match looks every package of bom up in the database.
func (s *scanner) match(ctx context.Context, bom *sbom.SBOM) (matched, error) {
	var m matched
	d := distro.FromRelease(bom.Artifacts.LinuxDistribution, distro.DefaultFixChannels())
	var err error
	if m.distro, err = s.db.distro(bom, d); err != nil {
		return m, err
	}
	pkgs := matchable(bom, d)
	failures := map[gpkg.ID]error{}
	g := grype.VulnerabilityMatcher{
		VulnerabilityProvider: s.db.provider,
		ExclusionProvider:     nil,
		Matchers:              matchers(failures),
	}
	matches, _, err := g.FindMatchesContext(ctx, pkgs, gpkg.Context{Distro: d})
	if err != nil {
		return m, err
	}
	if err := s.db.uncomparable(pkgs, failures, &m); err != nil {
		return m, err
	}
	m.found, err = findings(matches.Sorted())
	if m.distro.Name != "" && !m.distro.Covered {
		m.warnings = append(m.warnings, fmt.Sprintf("the database has no data for %q: its packages were not matched", m.distro.Name))
	}
	return m, err
}

// matchers are grype's, set up as its command line sets them up. A matcher's error would only be logged; here it is
// kept for the package that it concerns.
func matchers(failures map[gpkg.ID]error) []match.Matcher {
	all := matcher.NewDefaultMatchers(matcher.Config{
		Stock: stock.MatcherConfig{UseCPEs: true},
		Dpkg:  dpkg.MatcherConfig{MissingEpochStrategy: version.MissingEpochStrategyZero},
		Rpm:   rpm.MatcherConfig{MissingEpochStrategy: version.MissingEpochStrategyAuto},
	})
	for i, m := range all {
		all[i] = watched{Matcher: m, failures: failures}
	}
	return all
}

type watched struct {
	match.Matcher
	failures map[gpkg.ID]error
}

func (w watched) Match(vp vulnerability.Provider, p gpkg.Package) ([]match.Match, []match.IgnoreFilter, error) {
	found, ignored, err := w.Matcher.Match(vp, p)
	if err != nil {
		w.failures[p.ID] = err
	}
	return found, ignored, err
}

// matchable gives the packages to look up: all but those that a distribution's package owns at about the same version,
// because the distribution's own feed already speaks for them (as grype does; the distributions are grype's, too).
func matchable(bom *sbom.SBOM, d *distro.Distro) []gpkg.Package {
	all := gpkg.FromCollection(bom.Artifacts.Packages, bom.Relationships, gpkg.SynthesisConfig{})
	for _, p := range all {
		if p.Distro == nil {
			p.Distro = d
		}
	}
	all = slices.DeleteFunc(all, func(p *gpkg.Package) bool {
		return slices.ContainsFunc(p.RelatedPackages[artifact.OwnershipByFileOverlapRelationship], func(owner *gpkg.Package) bool {
			return spokenFor(p, owner)
		})
	})
	return gpkg.FromPtrs(all)
}

func spokenFor(p, owner *gpkg.Package) bool {
	if !isDistroType(owner.Type) || isDistroType(p.Type) {
		return false
	}
	if !strings.HasPrefix(owner.Version, p.Version) && !strings.HasPrefix(p.Version, owner.Version) {
		return false
	}
	return p.Type == syftpkg.BinaryPkg || comprehensive(owner.Distro)
}

// comprehensive tells whether a distribution's feed also lists flaws that it has not fixed. Where it does not, the
// upstream records of a package that it ships are still needed.
func comprehensive(d *distro.Distro) bool {
	if d == nil || d.Type == distro.AmazonLinux {
		return false
	}
	known := []distro.Type{distro.ArchLinux, distro.Azure, distro.Debian, distro.Mariner, distro.RedHat, distro.SLES, distro.Ubuntu}
	return slices.ContainsFunc(known, func(t distro.Type) bool {
		return t == d.Type || slices.ContainsFunc(d.IDLike, func(like string) bool { return strings.EqualFold(like, string(t)) })
	})
}

func isDistroType(t syftpkg.Type) bool {
	switch t {
	case syftpkg.DebPkg, syftpkg.RpmPkg, syftpkg.PortagePkg, syftpkg.AlpmPkg, syftpkg.ApkPkg:
		return true
	}
	return false
}

// distro describes d and tells whether the database has data for it.
func (db *DB) distro(bom *sbom.SBOM, d *distro.Distro) (Distro, error) {
	release := bom.Artifacts.LinuxDistribution
	if release == nil {
		return Distro{}, nil
	}
	out := Distro{ID: release.ID, Version: release.VersionID}
	label := firstOf(release.VersionID, release.VersionCodename, release.Version)
	if out.ID == "debian" { // syft refines the release with the point release, which names no other distribution
		label, _, _ = strings.Cut(label, ".")
	}
	out.Name = strings.TrimSpace(firstOf(out.ID, release.Name, "unknown") + " " + label)
	if d == nil {
		return out, nil
	}
	found, err := db.reader.GetOperatingSystems(v6.OSSpecifier{
		Name: d.Name(), MajorVersion: d.MajorVersion(), MinorVersion: d.MinorVersion(),
		RemainingVersion: d.RemainingVersion(), LabelVersion: d.LabelVersion(),
	})
	if err != nil && !errors.Is(err, v6.ErrOSNotPresent) && !errors.Is(err, v6.ErrMissingOSIdentification) {
		return out, fmt.Errorf("vulnerability database: distribution %q: %w", out.Name, err)
	}
	out.Covered = len(found) > 0
	return out, nil
}

// uncomparable counts into m the packages whose version cannot be compared although the database has records for them,
// and those whose lookup failed.
func (db *DB) uncomparable(pkgs []gpkg.Package, failures map[gpkg.ID]error, m *matched) error {
	for _, p := range pkgs {
		err := failures[p.ID]
		if err == nil {
			if canCompare(p) {
				continue
			}
			known, lookup := db.knows(p)
			if lookup != nil {
				return lookup
			}
			if !known {
				continue
			}
			err = errors.New("version cannot be compared with the database's records")
		}
		m.uncomparable++
		m.warnings = append(m.warnings, fmt.Sprintf("%s %q %q: %v", p.Type, p.Name, p.Version, err))
	}
	sort.Strings(m.warnings)
	return nil
}

// canCompare mirrors the cases in which grype's matchers silently find nothing.
func canCompare(p gpkg.Package) bool {
	if p.Version == "" || strings.EqualFold(p.Version, "unknown") {
		return false
	}
	if md, ok := p.Metadata.(gpkg.GolangBinMetadata); ok && md.MainModule == p.Name && strings.HasPrefix(p.Version, "v0.0.0-") {
		return false
	}
	return version.New(p.Version, gpkg.VersionFormat(p)).Validate() == nil
}

// knows tells whether the database has any record by p's name, whatever the version.
func (db *DB) knows(p gpkg.Package) (bool, error) {
	for _, q := range append([]gpkg.Package{p}, gpkg.UpstreamPackages(p)...) {
		within := search.ByEcosystem(p.Language, p.Type)
		if isDistroType(p.Type) && p.Distro != nil {
			within = search.ByDistro(*p.Distro)
		}
		for _, name := range db.provider.PackageSearchNames(q) {
			found, err := db.provider.FindVulnerabilities(search.ByPackageName(name), within)
			if err != nil {
				return false, fmt.Errorf("vulnerability database: package %q: %w", name, err)
			}
			if len(found) > 0 {
				return true, nil
			}
		}
	}
	return false, nil
}

// findings folds matches into one finding per package and flaw: binaries of one source package, records of several
// feeds about one CVE, and aliases all meet in it.
func findings(matches []match.Match) ([]Vulnerability, error) {
	type key struct{ kind, name, version, id string }
	byKey := map[key]*Vulnerability{}
	for _, m := range matches {
		v, err := finding(m)
		if err != nil {
			return nil, err
		}
		k := key{v.Type, v.Package, v.Version, v.ID}
		if have := byKey[k]; have != nil {
			have.merge(v)
		} else {
			byKey[k] = &v
		}
	}
	out := []Vulnerability{}
	for _, v := range byKey {
		v.Aliases = sorted(slices.DeleteFunc(v.Aliases, func(a string) bool { return a == v.ID }))
		v.FixedIn, v.Binaries = sorted(v.FixedIn), sorted(v.Binaries)
		slices.SortStableFunc(v.CVSS, func(a, b CVSS) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.Version, a.Version), cmp.Compare(a.Vector, b.Vector))
		})
		v.CVSS = slices.Compact(v.CVSS)
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b Vulnerability) int {
		return slices.Compare([]string{a.Package, a.Version, a.Type, a.ID}, []string{b.Package, b.Version, b.Type, b.ID})
	})
	return out, nil
}

func finding(m match.Match) (Vulnerability, error) {
	ids := []string{m.Vulnerability.ID}
	for _, r := range m.Vulnerability.RelatedVulnerabilities {
		ids = append(ids, r.ID)
	}
	v := Vulnerability{
		ID: canonical(ids), Aliases: ids, Severity: "unknown", FixState: fixState(m.Vulnerability.Fix.State),
		FixedIn: slices.Clone(m.Vulnerability.Fix.Versions), Type: string(m.Package.Type), PURL: m.Package.PURL,
		Binaries: []string{m.Package.Name},
	}
	v.Package, v.Version = sourceOf(m.Package)
	if record, ok := m.Vulnerability.Internal.(*v6.VulnerabilityHandle); ok && record.PublishedDate != nil {
		v.Published = record.PublishedDate.UTC()
	}
	for _, fix := range m.Vulnerability.Fix.Available {
		v.Fixable = earlier(v.Fixable, fix.Date.UTC())
	}
	if locations := m.Package.Locations.ToSlice(); len(locations) > 0 {
		v.Layer, _ = origin(syftpkg.Package{Type: m.Package.Type, Locations: m.Package.Locations})
	}
	md := m.Vulnerability.Metadata
	if md == nil {
		return v, nil
	}
	v.DataSource, v.KEV = md.DataSource, len(md.KnownExploited) > 0
	if s := strings.ToLower(md.Severity); slices.Contains(severities(), s) {
		v.Severity = s
	}
	for _, c := range md.Cvss {
		v.CVSS = append(v.CVSS, CVSS{Version: c.Version, Vector: c.Vector, Score: c.Metrics.BaseScore})
	}
	for _, e := range md.EPSS {
		if !(e.EPSS >= 0 && e.EPSS <= 1 && e.Percentile >= 0 && e.Percentile <= 1) {
			return v, hint.Wrap(fmt.Errorf("vulnerability database: EPSS of %q is %v, percentile %v: not between 0 and 1", e.CVE, e.EPSS, e.Percentile), mendDB)
		}
		if v.EPSS == nil || e.EPSS > v.EPSS.Score {
			v.EPSS = &EPSS{Score: e.EPSS, Percentile: e.Percentile, Date: e.Date.UTC().Format("2006-01-02")}
		}
	}
	return v, nil
}

// merge adds what another match says about the same flaw of the same package.
func (v *Vulnerability) merge(w Vulnerability) {
	v.Aliases = append(v.Aliases, w.Aliases...)
	v.CVSS = append(v.CVSS, w.CVSS...)
	v.FixedIn = append(v.FixedIn, w.FixedIn...)
	if slices.Index(severities(), w.Severity) < slices.Index(severities(), v.Severity) {
		v.Severity = w.Severity
	}
	if slices.Index(fixStates(), w.FixState) < slices.Index(fixStates(), v.FixState) {
		v.FixState = w.FixState
	}
	if w.EPSS != nil && (v.EPSS == nil || w.EPSS.Score > v.EPSS.Score) {
		v.EPSS = w.EPSS
	}
	v.KEV = v.KEV || w.KEV
	v.Published, v.Fixable = earlier(v.Published, w.Published), earlier(v.Fixable, w.Fixable)
	v.DataSource = cmp.Or(v.DataSource, w.DataSource)
	if w.Binaries[0] < slices.Min(v.Binaries) {
		v.PURL, v.Layer = w.PURL, w.Layer
	}
	v.Binaries = append(v.Binaries, w.Binaries...)
}

// earlier is the first of two times of which either may be unknown.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func severities() []string {
	return []string{"critical", "high", "medium", "low", "negligible", "unknown"}
}

// fixStates are in the order of what they promise: a fix that any record knows of is a fix.
func fixStates() []string { return []string{"fixed", "not-fixed", "wont-fix", "unknown"} }

func fixState(s vulnerability.FixState) string {
	if slices.Contains(fixStates(), string(s)) {
		return string(s)
	}
	return "unknown"
}

// canonical picks the name of a flaw: its CVE when there is exactly one, else the record's own id. A record with
// several CVEs keeps its own, for it is none of them alone.
func canonical(ids []string) string {
	cves := map[string]bool{}
	for _, id := range ids {
		if strings.HasPrefix(id, "CVE-") {
			cves[id] = true
		}
	}
	if len(cves) != 1 || strings.HasPrefix(ids[0], "CVE-") {
		return ids[0]
	}
	return slices.Collect(maps.Keys(cves))[0]
}

// sourceOf names the source package that a package was built from.
func sourceOf(p gpkg.Package) (name, version string) {
	if len(p.Upstreams) == 0 || !isDistroType(p.Type) {
		return p.Name, p.Version
	}
	return cmp.Or(p.Upstreams[0].Name, p.Name), cmp.Or(p.Upstreams[0].Version, p.Version)
}

func sourcePackage(p syftpkg.Package) (name, version string) { return sourceOf(gpkg.New(p)) }

func sorted(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}
