package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	vulns "github.com/in-toto/attestation/go/predicates/vulns/v02"
	"google.golang.org/protobuf/encoding/protojson"
)

const scannerURI = "https://github.com/sealyard/sealyard"

// VulnScan is what there is to say about one scan for known vulnerabilities.
type VulnScan struct {
	Subjects  []Subject
	Version   string // of sealyard
	DB        VulnDB
	Findings  []Finding // one for each (source package, id); none is a statement too (R80)
	Coverage  Coverage
	Platforms []PlatformScan // only in the claim about an image index, which has no findings of its own
	Started   time.Time
	Finished  time.Time
}

// VulnDB says which vulnerability database was asked.
type VulnDB struct {
	URI     string    // where it came from
	Version string    // of its schema
	Updated time.Time // when it was built: its age is judged against this
	Digest  string    // sha256:<hex> of the archive or the database file
}

// Coverage says how much of the image the scan could judge.
type Coverage struct {
	Packages     int    `json:"packages"`     // found
	Distro       string `json:"distro"`       // such as "debian 12"; empty when there is none
	Covered      bool   `json:"covered"`      // the database could be asked about all packages of a distribution; without, finding nothing means nothing
	Uncomparable int    `json:"uncomparable"` // packages whose version could not be compared: the database was silent about them
	// LayersRead is false when the packages are those that an earlier scan on the same machine found in the same layers.
	LayersRead bool `json:"layersRead"`
	// User is the user id that the image's process runs as, by its own /etc/passwd: 0 is root, -1 is not to be told.
	// It is nil in the claim about an index.
	User *int `json:"user,omitempty"`
}

// PlatformScan points from the claim about an image index to that about one of its platforms.
type PlatformScan struct {
	Platform  string `json:"platform"`
	Digest    string `json:"digest"` // of the platform's manifest
	Statement string `json:"vulns"`  // Statement.Digest of its vulnerability claim
}

// Finding is one known vulnerability in one source package.
type Finding struct {
	ID         string   // such as CVE-2024-1234
	Package    string   // source package
	Version    string   // installed
	PURL       string   // package URL
	Binaries   []string // installed binary packages built from Package
	Type       string   // deb, npm, go-module ...
	FixState   string   // fixed, not-fixed, wont-fix or unknown
	FixedIn    []string // versions
	Severity   string   // critical, high, medium, low, negligible or unknown
	Scores     []Score  // none: Severity is given as the vendor's
	EPSS       *float64 // probability 0..1; nil is unknown
	KEV        bool     // in CISA's catalogue of exploited vulnerabilities
	Aliases    []string // other ids
	Layer      string   // diff id of the layer that brought it
	DataSource string   // URL of the record
	// Published is when the vulnerability was, and Fixable since when there is a fix; the zero time is unknown.
	Published, Fixable time.Time
}

// Score is a severity in one method's own terms.
type Score struct {
	Method string `json:"method"` // such as CVSS:3.1 or vendor
	Score  string `json:"score"`  // such as 9.8 or high
}

type vulnsPredicate struct {
	Scanner   vulnsScanner      `json:"scanner"`
	Metadata  map[string]string `json:"metadata"`
	Coverage  Coverage          `json:"sealyard_coverage"`
	Platforms []PlatformScan    `json:"sealyard_platforms,omitempty"`
}

type vulnsScanner struct {
	URI     string        `json:"uri"`
	Version string        `json:"version"`
	DB      vulnsDB       `json:"db"`
	Result  []vulnsResult `json:"result"`
}

type vulnsDB struct {
	URI        string            `json:"uri"`
	Version    string            `json:"version"`
	LastUpdate string            `json:"lastUpdate"`
	Digest     map[string]string `json:"sealyard_digest"`
}

type vulnsResult struct {
	ID          string            `json:"id"`
	Severity    []Score           `json:"severity"`
	Annotations []vulnsAnnotation `json:"annotations"`
}

type vulnsAnnotation struct {
	Package    string   `json:"package"`
	Version    string   `json:"version"`
	PURL       string   `json:"purl"`
	Binaries   []string `json:"binaries"`
	Type       string   `json:"type"`
	FixState   string   `json:"fixState"`
	FixedIn    []string `json:"fixedIn"`
	Severity   string   `json:"severity"`
	EPSS       *float64 `json:"epss,omitempty"`
	KEV        bool     `json:"kev,omitempty"`
	Aliases    []string `json:"aliases"`
	Layer      string   `json:"layer"`
	DataSource string   `json:"dataSource"`
	Published  string   `json:"published,omitempty"`
	Fixable    string   `json:"fixable,omitempty"`
}

// Vulns makes the statement about a scan for known vulnerabilities, as in-toto's vulns v0.2. What its schema has no
// field for is in each result's annotations and in extension fields: db.sealyard_digest, sealyard_coverage and
// sealyard_platforms.
func Vulns(s VulnScan) (Statement, error) {
	if err := times(s.Started, s.Finished); err != nil {
		return Statement{}, fmt.Errorf("scan: %w", err)
	}
	if s.DB.Updated.IsZero() {
		return Statement{}, errors.New("scan: build time of the database is missing")
	}
	digest, err := digestSet(s.DB.Digest, "sha256")
	if err != nil {
		return Statement{}, fmt.Errorf("scan: database %w", err)
	}
	if len(s.Platforms) > 0 && len(s.Findings) > 0 {
		return Statement{}, errors.New("scan: findings belong in the claim about a platform, not about the index")
	}
	p := vulnsPredicate{
		Scanner: vulnsScanner{
			URI: scannerURI, Version: s.Version, Result: []vulnsResult{},
			DB: vulnsDB{URI: s.DB.URI, Version: s.DB.Version, LastUpdate: stamp(s.DB.Updated), Digest: digest},
		},
		Metadata: map[string]string{"scanStartedOn": stamp(s.Started), "scanFinishedOn": stamp(s.Finished)},
		Coverage: s.Coverage, Platforms: s.Platforms,
	}
	for _, pl := range s.Platforms {
		for _, d := range []string{pl.Digest, pl.Statement} {
			if _, err := digestSet(d, "sha256"); err != nil {
				return Statement{}, fmt.Errorf("scan: platform %q: %w", pl.Platform, err)
			}
		}
	}
	for _, f := range s.Findings {
		r, err := vulnResult(f)
		if err != nil {
			return Statement{}, fmt.Errorf("scan: finding %q in %q: %w", f.ID, f.Package, err)
		}
		p.Scanner.Result = append(p.Scanner.Result, r)
	}
	slices.SortStableFunc(p.Scanner.Result, func(a, b vulnsResult) int {
		x, y := a.Annotations[0], b.Annotations[0]
		return strings.Compare(a.ID+"\x00"+x.Package+"\x00"+x.Version+"\x00"+x.PURL, b.ID+"\x00"+y.Package+"\x00"+y.Version+"\x00"+y.PURL)
	})
	predicate, err := marshal(p)
	if err != nil {
		return Statement{}, fmt.Errorf("scan: %w", err)
	}
	return newStatement(PredicateVulns, s.Subjects, predicate)
}

func vulnResult(f Finding) (vulnsResult, error) {
	if f.ID == "" || f.Package == "" {
		return vulnsResult{}, errors.New("id or package is missing")
	}
	if !slices.Contains([]string{"critical", "high", "medium", "low", "negligible", "unknown"}, f.Severity) {
		return vulnsResult{}, fmt.Errorf("severity %q is not known", f.Severity)
	}
	if !slices.Contains([]string{"fixed", "not-fixed", "wont-fix", "unknown"}, f.FixState) {
		return vulnsResult{}, fmt.Errorf("fix state %q is not known", f.FixState)
	}
	if f.EPSS != nil && !(*f.EPSS >= 0 && *f.EPSS <= 1) {
		return vulnsResult{}, fmt.Errorf("EPSS %g is not a probability", *f.EPSS)
	}
	scores := f.Scores
	if len(scores) == 0 {
		scores = []Score{{Method: "vendor", Score: f.Severity}}
	}
	return vulnsResult{ID: f.ID, Severity: scores, Annotations: []vulnsAnnotation{{
		Package: f.Package, Version: f.Version, PURL: f.PURL, Binaries: list(f.Binaries), Type: f.Type,
		FixState: f.FixState, FixedIn: list(f.FixedIn), Severity: f.Severity, EPSS: f.EPSS, KEV: f.KEV,
		Aliases: list(f.Aliases), Layer: f.Layer, DataSource: f.DataSource, Published: known(f.Published), Fixable: known(f.Fixable),
	}}}, nil
}

// known is a time as claims write it; "" when it is unknown.
func known(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

func checkVulns(predicate []byte) error {
	var v vulns.Vulns
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(predicate, &v); err != nil {
		return err
	}
	var raw struct {
		Scanner struct {
			Result json.RawMessage `json:"result"`
		} `json:"scanner"`
	}
	if err := json.Unmarshal(predicate, &raw); err != nil {
		return err
	}
	if len(raw.Scanner.Result) == 0 || raw.Scanner.Result[0] != '[' {
		return errors.New("scanner.result is not a list")
	}
	if v.GetScanner().GetUri() == "" || v.GetScanner().GetDb().GetLastUpdate() == nil {
		return errors.New("scanner.uri or scanner.db.lastUpdate is missing")
	}
	if v.GetMetadata().GetScanStartedOn() == nil || v.GetMetadata().GetScanFinishedOn() == nil {
		return errors.New("metadata.scanStartedOn or scanFinishedOn is missing")
	}
	return nil
}
