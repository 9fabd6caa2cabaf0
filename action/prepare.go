package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
	"github.com/sealyard/sealyard/scan"
)

// baselineWord names the built-in policy in the policy input.
const baselineWord = "baseline"

// maxFile bounds the small files that inputs name: keys, settings, trusted roots.
const maxFile = 4 << 20

// policies loads the bundles that must all allow. extra are baseline settings that follow from the command itself.
func (s *session) policies(ctx context.Context, extra map[string]any) ([]*policy.Bundle, error) {
	data, err := s.settings(extra)
	if err != nil {
		return nil, err
	}
	sources := s.in.all("policy")
	if len(sources) == 0 {
		sources = []string{baselineWord}
	}
	if !slices.Contains(sources, baselineWord) {
		if given := s.baselineInputs(); len(given) > 0 {
			return nil, hint.Misuse(fmt.Errorf("--%s is a setting of the baseline, and --policy does not name it", given[0]), "add --policy baseline, or leave the setting out")
		}
	}
	signed, err := s.voucher(ctx)
	if err != nil {
		return nil, err
	}
	if signed.demands() && !slices.ContainsFunc(sources, func(name string) bool { return name != baselineWord }) {
		return nil, hint.Misuse(errors.New("--policy names no bundle that somebody could have signed"), "name the bundle that --policy-key or --policy-identity is for; the baseline is part of this program")
	}
	var out []*policy.Bundle
	for i, src := range slices.Concat(sources, s.in.all("repository-policy")) {
		var b *policy.Bundle
		switch {
		case src == baselineWord:
			b, err = policy.Baseline(policy.LoadOptions{Data: data})
		case i < len(sources):
			b, err = s.bundle(ctx, src, signed)
		default: // it is asked besides the others, so it can only tighten
			b, err = s.bundle(ctx, src, voucher{})
		}
		if err == nil {
			err = b.Fresh(s.now)
		}
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(other *policy.Bundle) bool { return other.Name() == b.Name() }) {
			return nil, hint.Misuse(fmt.Errorf("two policy bundles are named %q", b.Name()), "give one of them another metadata.name in its .manifest")
		}
		out = append(out, b)
	}
	return out, s.recent(out)
}

// recent holds bundles to the least revisions demanded of them (T14).
func (s *session) recent(bundles []*policy.Bundle) error {
	for _, v := range s.in.all("policy-min-revision") {
		name, least, ok := strings.Cut(v, "=")
		i := slices.IndexFunc(bundles, func(b *policy.Bundle) bool { return b.Name() == name })
		if !ok || i < 0 {
			return hint.Misuse(fmt.Errorf("--policy-min-revision: %q: no policy has that name", v), "write NAME=REVISION, with the name in the bundle's manifest")
		}
		if err := bundles[i].AtLeast(least); err != nil {
			return err
		}
	}
	return nil
}

// baselineInputs lists the inputs given that only the baseline policy reads.
func (s *session) baselineInputs() []string {
	return slices.DeleteFunc([]string{"policy-data", "severity-cutoff", "only-fixed"}, func(name string) bool { return s.in.one(name) == "" })
}

// settings merges the policy-data file with the inputs that are settings of the baseline.
func (s *session) settings(extra map[string]any) ([]byte, error) {
	doc := map[string]any{}
	if name := s.in.one("policy-data"); name != "" {
		raw, err := s.readDeciding(name)
		if err != nil {
			return nil, err
		}
		if err := yaml.UnmarshalStrict(raw, &doc); err != nil {
			return nil, hint.Misuse(fmt.Errorf("policy data %q: %w", name, err), "write one setting per line, such as severity: high")
		}
	}
	for k, v := range extra {
		if _, given := doc[k]; !given {
			doc[k] = v
		}
	}
	if v := s.in.one("severity-cutoff"); v != "" {
		doc["severity"] = v
	}
	if v := s.in.one("only-fixed"); v != "" {
		doc["onlyFixed"] = v == "true"
	}
	if v := s.in.one("db-max-age"); v != "" && v != defaults("build").one("db-max-age") {
		age, err := s.in.duration("db-max-age")
		if err != nil {
			return nil, err
		}
		doc["dbMaxAgeDays"] = age.Hours() / 24
	}
	return json.Marshal(doc)
}

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
