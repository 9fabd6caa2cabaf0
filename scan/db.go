package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/vulnerability"
	"github.com/spf13/afero"

	"github.com/sealyard/sealyard/internal/hint"
)

// A database root holds
//
//	current         the hex digest of the archive in use
//	<hex>/6/…       what was imported from the archive of that digest, in the layout of grype's own cache
//
// An import becomes visible by renaming a directory and then the file "current", so that it is there whole or not at
// all. The database that an import replaces stays, for runs that are still reading it, until the next import.
const (
	currentFile = "current"
	mendDB      = "run 'sealyard db update', or 'sealyard db import FILE' without a network"
)

// clockSkew is how far in the future a database may have been built before its time is held for wrong: machines'
// clocks differ by that much.
const clockSkew = 5 * time.Minute

// DBInfo describes an imported database.
type DBInfo struct {
	Path      string     `json:"path"`      // directory of the database file
	Digest    string     `json:"digest"`    // "sha256:…" of the archive that it was imported from
	Built     time.Time  `json:"built"`     // when its maker built it, UTC
	Schema    string     `json:"schema"`    // grype's schema version: "6.1.10"
	Source    string     `json:"source"`    // where it came from: a URL, or the name of the archive file
	Providers []Provider `json:"providers"` // what it was made from, sorted by name
}

// Provider is one feed in a database.
type Provider struct {
	Name        string    `json:"name"`        // "debian", "github", "nvd", "epss"…
	Captured    time.Time `json:"captured"`    // when the feed was read, UTC
	InputDigest string    `json:"inputDigest"` // of the feed's data, as the database's maker recorded it; may be empty
}

// Age is how long before now the database was built.
func (i DBInfo) Age(now time.Time) time.Duration { return now.Sub(i.Built) }

// DB is an opened vulnerability database. It is read-only and may serve several scans at once.
type DB struct {
	info     DBInfo
	reader   v6.Reader
	provider vulnerability.Provider
	licenses func() (context.Context, error) // the licence scanner, built once: every scan that reads layers needs it too
}

// Info describes the database.
func (db *DB) Info() DBInfo { return db.info }

// Close releases the database's file.
func (db *DB) Close() error { return db.reader.Close() }

// OpenDB opens the database that was last imported under root. It is an error, with a hint that names the command that
// mends it, when there is none; when its file was changed since the import; when it is empty or of another schema;
// when it was built more than maxAge before now, or after it. maxAge must be positive.
//
// The checksum guards against accidents. Whoever can write to root can also write a new one: keep root to yourself.
func OpenDB(root string, now time.Time, maxAge time.Duration) (*DB, error) {
	if maxAge <= 0 {
		return nil, hint.Misuse(fmt.Errorf("maximum database age %v is not positive", maxAge), "give a duration such as 120h")
	}
	db, err := openCurrent(root)
	if err != nil {
		return nil, err
	}
	built := db.info.Built.Format(time.RFC3339)
	switch age := db.info.Age(now); {
	case age > maxAge:
		err = fmt.Errorf("vulnerability database is too old: built %s, %v ago, where at most %v is allowed", built, age.Round(time.Minute), maxAge)
	case age < -clockSkew:
		err = fmt.Errorf("vulnerability database was built in the future: %s, and it is %s", built, now.UTC().Format(time.RFC3339))
	}
	if err != nil {
		return nil, hint.Wrap(errors.Join(err, db.Close()), mendDB)
	}
	return db, nil
}

// Warm starts in the background what a scan needs and no image is needed for. It is worth its second of work beside a
// build, when nothing under cache (see Options) can be expected to serve instead.
func (db *DB) Warm(cache string) {
	if entries, err := os.ReadDir(cache); err == nil && len(entries) > 0 {
		return
	}
	go func() { _, _ = db.licenses() }() // whoever needs it gets the error
}

// Status describes the database under root, with all checks of OpenDB but that of its age.
func Status(root string) (DBInfo, error) {
	db, err := openCurrent(root)
	if err != nil {
		return DBInfo{}, err
	}
	return db.info, db.Close()
}

func openCurrent(root string) (*DB, error) {
	hex, err := current(root)
	if err != nil {
		return nil, hint.Wrap(err, mendDB)
	}
	db, err := openImported(filepath.Join(root, hex), hex)
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("vulnerability database in %q: %w", root, err), mendDB)
	}
	return db, nil
}

// current reads which import under root is in use.
func current(root string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, currentFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no vulnerability database in %q", root)
	}
	if err != nil {
		return "", fmt.Errorf("vulnerability database: %w", err)
	}
	hex := strings.TrimSpace(string(b[:min(len(b), 100)]))
	if !isHex256(hex) {
		return "", fmt.Errorf("vulnerability database in %q: file %q does not name one", root, currentFile)
	}
	return hex, nil
}

// dbDir is where grype looks for the database below a directory of ours.
func dbDir(dir string) string { return filepath.Join(dir, strconv.Itoa(v6.ModelVersion)) }

// openImported opens and checks the database in dir, which was imported from the archive with the given digest.
func openImported(dir, hex string) (*DB, error) {
	dir = dbDir(dir)
	record, err := v6.ReadImportMetadata(afero.NewOsFs(), dir)
	if err != nil {
		return nil, err
	}
	sum, err := v6.CalculateDBDigest(afero.NewOsFs(), filepath.Join(dir, v6.VulnerabilityDBFileName))
	if err != nil {
		return nil, err
	}
	if sum != record.Digest {
		return nil, fmt.Errorf("the file was changed since it was imported: checksum %s, recorded %s", sum, record.Digest)
	}
	reader, err := v6.NewReader(v6.Config{DBDirPath: dir})
	if err != nil {
		return nil, err
	}
	db := &DB{reader: reader, licenses: sync.OnceValues(loadLicenses), info: DBInfo{Path: dir, Digest: "sha256:" + hex, Source: record.Source}}
	if err := db.describe(); err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	db.provider = v6.NewVulnerabilityProvider(reader)
	return db, nil
}

// describe fills db.info and refuses a database that could find nothing.
func (db *DB) describe() error {
	m, err := db.reader.GetDBMetadata()
	if err != nil {
		return err
	}
	if m == nil || m.BuildTimestamp == nil {
		return errors.New("it does not say when it was built")
	}
	if m.Model != v6.ModelVersion {
		return fmt.Errorf("schema %d where %d is needed", m.Model, v6.ModelVersion)
	}
	db.info.Built = m.BuildTimestamp.UTC()
	db.info.Schema = fmt.Sprintf("%d.%d.%d", m.Model, m.Revision, m.Addition)
	providers, err := db.reader.AllProviders()
	if err != nil {
		return err
	}
	for _, p := range providers {
		q := Provider{Name: p.ID, InputDigest: p.InputDigest}
		if p.DateCaptured != nil {
			q.Captured = p.DateCaptured.UTC()
		}
		db.info.Providers = append(db.info.Providers, q)
	}
	slices.SortFunc(db.info.Providers, func(a, b Provider) int { return strings.Compare(a.Name, b.Name) })
	one, err := db.reader.GetVulnerabilities(nil, &v6.GetVulnerabilityOptions{Limit: 1})
	if err != nil && !errors.Is(err, v6.ErrLimitReached) {
		return err
	}
	if len(providers) == 0 || len(one) == 0 {
		return errors.New("it is empty")
	}
	return nil
}
