package action

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/scan"
)

// maxFile bounds the small files that inputs name: keys, settings, trusted roots.
const maxFile = 4 << 20

// database opens the vulnerability database and loads beside what follows what else a scan may need.
func (s *session) database(ctx context.Context) (*scan.DB, error) {
	db, err := s.openDB(ctx)
	if err == nil {
		db.Warm(s.scanCache())
	}
	return db, err
}

// openDB opens the vulnerability database, after updating it from a mirror when it cannot be used and one is named.
func (s *session) openDB(ctx context.Context) (*scan.DB, error) {
	age, err := s.in.duration("db-max-age")
	if err != nil {
		return nil, err
	}
	root, err := s.dbRoot()
	if err != nil {
		return nil, err
	}
	db, err := scan.OpenDB(root, s.now, age)
	mirror := s.in.one("db-url")
	if err == nil || mirror == "" {
		return db, err
	}
	fmt.Fprintf(s.log, "=> updating the vulnerability database: %v\n", err)
	if _, err := scan.Update(ctx, mirror, root, scan.UpdateOptions{}); err != nil {
		return nil, err
	}
	return scan.OpenDB(root, s.now, age)
}

// scanCache is where scans keep what they found in layers: "" with no-cache, or where there is no place for it.
func (s *session) scanCache() string {
	dir, err := s.env.cache("scan")
	if err != nil || s.in.on("no-cache") {
		return ""
	}
	return dir
}

func (s *session) dbRoot() (string, error) {
	if dir := s.in.one("db"); dir != "" {
		return dir, nil
	}
	return s.env.cache("db")
}

// signer returns who signs, or nil when nobody does.
func (s *session) signer(ctx context.Context) (attest.Signer, error) {
	how := s.in.one("sign")
	if how == "" {
		switch {
		case s.in.one("key") != "":
			how = "key"
		case s.hasToken() && (s.in.on("push") || s.in.one("signing-config") != ""):
			how = "keyless"
		default:
			how = "none"
		}
	}
	switch how {
	case "none":
		if s.in.on("push") {
			return nil, hint.Misuse(errors.New("--push without a signer: nothing is published unsigned"), "give --key, which sealyard key generate makes, or in a job with an identity --sign keyless; or leave out --push")
		}
		return nil, nil
	case "key":
		return s.keySigner(ctx)
	default:
		return s.keylessSigner(ctx)
	}
}

func (s *session) keylessSigner(ctx context.Context) (attest.Signer, error) {
	config, err := s.services(ctx)
	if err != nil {
		return nil, err
	}
	return attest.NewKeyless(attest.KeylessOptions{
		Token: s.identityToken().Checked(s.env.Now), SigningConfig: config, Now: s.now, Clock: s.env.Now, PublicLog: s.in.on("public-log"),
	})
}

// services reads the signing config that was named, else the one of the trust that this user keeps.
func (s *session) services(ctx context.Context) ([]byte, error) {
	if name := s.in.one("signing-config"); name != "" {
		return readFile(name)
	}
	return s.keptServices(ctx)
}

// readFile reads a small file that an input names.
func readFile(name string) ([]byte, error) { return readUpTo(name, maxFile) }

func readUpTo(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, hint.Misuse(fmt.Errorf("read %q: %w", name, errors.Unwrap(err)), "check the path; it is relative to the working directory")
	case !info.Mode().IsRegular() || info.Size() > limit:
		return nil, hint.Misuse(fmt.Errorf("read %q: not a regular file of at most %d bytes", name, limit), "check the path")
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	return raw, nil
}
