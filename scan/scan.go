// Package scan says what is in an image layout and what is known against it. It reads every runnable platform of an
// image index from the layout's bytes, side by side, with syft for packages and grype for vulnerabilities, and needs no
// network: only Update does. It never signs and never builds.
//
// A finding is data. An error means that the image could not be looked at, or not against a sound database: then
// nothing is known, and nobody may take that for a clean image. An image without packages or without a distribution is
// data too: see Platform.
//
// Vulnerabilities are named by their CVE where the record has exactly one, as grype's --by-cve does, so that the same
// flaw keeps its name whichever feed reports it; every other id is an alias. Matchers run as grype's command line
// runs them: by distribution and by ecosystem, and by CPE only for binaries that no package manager knows.
package scan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealyard/sealyard/internal/hint"
)

// Options says how Layout names and dates what it finds. Only Time is required.
type Options struct {
	Time    time.Time        // when the scan starts, and the creation time in every SBOM
	Now     func() time.Time // read once at the end, for Report.Finished; nil: Finished is Time
	Name    string           // the image's name without tag or digest, for SBOMs; "" is "image"
	Version string           // sealyard's own version, for SBOMs
	TempDir string           // where layers are unpacked while they are read; "" is the system's place
	// Cache is a directory that keeps what was found in layers, for images with the same layers; "" reads every layer
	// anew. It must be nobody else's: whoever can write to it can hide packages.
	Cache string
}

// Report is what is known about one image index, or about one image manifest.
type Report struct {
	Digest    string     // of the index, or of the manifest, that was scanned
	Platforms []Platform // in the index's order
	// SPDX and CycloneDX are documents about the index that name each platform's own document by digest. They are
	// nil when Digest is that of an image manifest.
	SPDX, CycloneDX   []byte
	DB                DBInfo
	Started, Finished time.Time // UTC, whole seconds
}

// Platform is what is known about one runnable image manifest.
type Platform struct {
	Platform string // "linux/amd64", "linux/arm64/v8", from the image's config
	Digest   string // of the image manifest
	Distro   Distro // the zero Distro when the image names none
	User     User   // who the image's process runs as (R87)
	// Packages is empty when none was found. That says that nothing is known about the content, not that the content
	// is harmless: a policy must deny it or know better (T32).
	Packages        []Package
	Vulnerabilities []Vulnerability
	SPDX            []byte // SPDX 2.3 JSON, without a file inventory
	CycloneDX       []byte // CycloneDX 1.6 JSON, without a file inventory
	// Uncomparable counts packages that the database has records for, but whose version cannot be compared with them.
	// grype passes over such records in silence; each may be vulnerable.
	Uncomparable int
	Warnings     []string // what could not be read or compared, in plain words; at most maxWarnings
	Known        bool     // the packages are those that an earlier scan found in the same layers, from Options.Cache
}

// Distro is the Linux distribution that an image's os-release names.
type Distro struct {
	Name    string // "debian 12", "alpine 3.20.3"; "" when the image has none
	ID      string // "debian"
	Version string // "12.11"; may be empty for rolling releases
	// Covered says whether the database has data for this release. When it has not, none of the distribution's
	// packages can be matched, and finding nothing means nothing.
	Covered bool
}

// Covered reports whether the database could be asked about every package that a distribution's package manager
// installed. It is true when there is none; without a known distribution, or with one that the database has nothing
// about, such packages were not checked.
func (p Platform) Covered() bool {
	return p.Distro.Covered || !slices.ContainsFunc(p.Packages, func(k Package) bool {
		return slices.Contains([]string{"deb", "rpm", "apk", "alpm", "portage"}, k.Type)
	})
}

// Package is one installed package.
type Package struct {
	Name          string
	Version       string
	Type          string // syft's name of the kind: "deb", "npm", "go-module", "binary"…
	PURL          string
	Licenses      []string // SPDX expressions where they could be told, else the words found
	Source        string   // the distribution's source package; Name for packages that have none
	SourceVersion string
	Layer         string // diff id of the layer that brought it: "sha256:…"
	Path          string // the file that shows it is there
}

// Vulnerability is one known flaw of one package, however many binaries were built from it.
type Vulnerability struct {
	ID         string   // "CVE-…" when the record has exactly one CVE, else the record's own id
	Aliases    []string // every other id, sorted
	Severity   string   // critical, high, medium, low, negligible or unknown: the worst that any record says
	CVSS       []CVSS   // as the records give them, highest score first
	Package    string   // source package for distributions' packages, else the package's name
	Version    string   // installed version of Package
	Binaries   []string // installed packages it concerns, sorted
	Type       string   // as Package.Type
	PURL       string   // of the first of Binaries
	Layer      string   // diff id of the layer that brought the first of Binaries
	FixState   string   // fixed, not-fixed, wont-fix or unknown
	FixedIn    []string // versions of Package that mend it
	EPSS       *EPSS    // nil when the database has no score
	KEV        bool     // in CISA's catalogue of flaws known to be exploited
	DataSource string   // URL of the record
	// Published is when the first of the records was, and Fixable since when there is a fix; the zero time is unknown.
	Published, Fixable time.Time
}

// CVSS is one rating in the words of the record.
type CVSS struct {
	Version string  // "3.1"
	Vector  string  // "CVSS:3.1/AV:N/…"
	Score   float64 // 0 to 10; 0 when the record gives only the vector
}

// EPSS is the estimated probability of exploitation within 30 days.
type EPSS struct {
	Score      float64 // 0 to 1
	Percentile float64 // 0 to 1
	Date       string  // YYYY-MM-DD of the model run
}

// maxWarnings is how many warnings a platform keeps: enough to see what is wrong, few enough to read.
const maxWarnings = 20

// maxAtOnce is how many platforms are scanned side by side: each holds the index of its files, about 1 kB for each.
const maxAtOnce = 4

// scanTime bounds a whole scan, whatever a hostile image makes the libraries do. A 10 GB image takes about 3 minutes.
const scanTime = 20 * time.Minute

// Layout scans the image index, or the image manifest, that digest names among the blobs of the layout in dir, against
// db. Every blob is checked against its digest and size, every layer that is read also against its diff id. A layer that unpacks
// beyond all measure, a media type that is no layer, and a database problem are errors.
func Layout(ctx context.Context, dir, digest string, db *DB, opts Options) (Report, error) {
	if db == nil {
		return Report{}, errors.New("no vulnerability database")
	}
	if opts.Time.IsZero() {
		return Report{}, errors.New("no time given for the scan")
	}
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	opts.Time = opts.Time.UTC().Truncate(time.Second)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, fmt.Errorf("image layout: %w", err)
	}
	defer root.Close()
	targets, isIndex, err := store{root}.targets(digest)
	if err != nil {
		return Report{}, hint.Wrap(fmt.Errorf("image layout %q: %w", dir, err), "the layout is not whole: build or fetch the image again")
	}
	s := &scanner{store: store{root}, db: db, opts: opts, limits: defaultLimits()}
	r := Report{Digest: digest, DB: db.Info(), Started: opts.Time, Platforms: make([]Platform, len(targets))}
	if err := s.platforms(ctx, targets, r.Platforms); err != nil {
		return Report{}, err
	}
	if isIndex {
		if r.SPDX, r.CycloneDX, err = s.indexDocuments(digest, r.Platforms); err != nil {
			return Report{}, fmt.Errorf("SBOM of index %q: %w", digest, err)
		}
	}
	r.Finished = opts.Time
	if opts.Now != nil {
		r.Finished = opts.Now().UTC().Truncate(time.Second)
	}
	return r, nil
}

// scanner holds what the platforms of one scan share.
type scanner struct {
	store  store
	db     *DB
	opts   Options
	limits limits
}

func (s *scanner) platforms(ctx context.Context, targets []target, out []Platform) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), maxAtOnce))
	for i, t := range targets {
		g.Go(func() error {
			p, err := s.platform(ctx, t)
			if err != nil {
				return fmt.Errorf("scan of %s (%s): %w", t.platform, t.digest.String(), err)
			}
			out[i] = p
			return nil
		})
	}
	return g.Wait()
}

func (s *scanner) platform(ctx context.Context, t target) (Platform, error) {
	inv, known, err := s.inventory(ctx, t)
	if err != nil {
		return Platform{}, err
	}
	bom := inv.bom
	bom.Source = s.describe(t)
	p := Platform{Platform: t.platform, Digest: t.digest.String(), Packages: packages(bom), Known: known}
	p.User = resolveUser(t.config.Config.User, inv.passwd)
	m, err := s.match(ctx, bom)
	if err != nil {
		return Platform{}, err
	}
	p.Distro, p.Vulnerabilities, p.Uncomparable = m.distro, m.found, m.uncomparable
	p.Warnings = append(unreadable(bom), m.warnings...)
	p.Warnings = p.Warnings[:min(len(p.Warnings), maxWarnings)]
	if p.SPDX, p.CycloneDX, err = s.documents(bom, p); err != nil {
		return Platform{}, fmt.Errorf("SBOM: %w", err)
	}
	return p, nil
}

// name is the image's name for documents.
func (o Options) name() string {
	if o.Name == "" {
		return "image"
	}
	return strings.TrimSpace(o.Name)
}
