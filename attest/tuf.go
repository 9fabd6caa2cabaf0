package attest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"

	"github.com/sealyard/sealyard/internal/hint"
)

// PublicMirror is where the Sigstore public instance publishes what to trust.
const PublicMirror = tuf.DefaultMirror

// maxDownload is for one file of a TUF repository, in bytes; the public one's largest has 60 kB.
const maxDownload = 4 << 20

// targets of a TUF repository.
const (
	trustedRootTarget   = "trusted_root.json"
	signingConfigTarget = "signing_config.v0.2.json"
)

// RootUpdate says which TUF repository to ask for a trusted root, and what is known of it.
type RootUpdate struct {
	Mirror  string      // its address; "" is PublicMirror
	Root    []byte      // its root.json, from where trust begins; nil is the public instance's, and for PublicMirror only
	Last    *RootRecord // of the update before, behind which this one must not fall; may be nil
	Scratch string      // an empty directory, for files of the update
	Now     time.Time   // recorded; what has expired is judged by the clock
}

// RootRecord is when and from where a trusted root was updated. It holds what the next update needs to recognise an
// older state of the repository (T42).
type RootRecord struct {
	Updated  time.Time         `json:"updated"`
	Mirror   string            `json:"mirror"`
	SHA256   string            `json:"sha256"`   // of the trusted root, in hex: the record says nothing about another file
	Metadata map[string][]byte `json:"metadata"` // of TUF, by role, as signed
}

// ReadRootRecord reads a record. It is no evidence: whoever can write it can write the trusted root as well.
func ReadRootRecord(raw []byte) (*RootRecord, error) {
	var r RootRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	if r.Updated.IsZero() {
		return nil, errors.New("it says no time of the update")
	}
	return &r, nil
}

// Of reports whether r is the record of a trusted root file.
func (r *RootRecord) Of(trustedRoot []byte) bool { return r.SHA256 == hexSum(trustedRoot) }

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// UpdateRoot fetches the trusted root that a TUF repository vouches for now, and its signing config, nil when it has
// none. It is the one function of this package, beside signing, that uses the network. An answer that is expired, not
// signed by enough keys, older than what was seen before or longer than announced wraps ErrUntrusted.
func UpdateRoot(ctx context.Context, o RootUpdate) (trustedRoot, signingConfig []byte, r *RootRecord, err error) {
	if o.Mirror == "" {
		o.Mirror = PublicMirror
	}
	u, err := url.Parse(o.Mirror)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, nil, nil, hint.Misuse(fmt.Errorf("mirror %q is not an http address", o.Mirror), "give the address of a TUF repository")
	}
	switch {
	case len(o.Root) == 0 && o.Mirror != PublicMirror:
		return nil, nil, nil, hint.Misuse(fmt.Errorf("mirror %q: no root.json to begin with", o.Mirror), "get the repository's root.json by a way that you trust, and give it with --root")
	case len(o.Root) == 0:
		o.Root = tuf.DefaultRoot()
	}
	trustedRoot, signingConfig, r, err = o.update(ctx)
	switch {
	case err == nil:
		return trustedRoot, signingConfig, r, nil
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ctx.Err(), oneLine{err})
	case errors.Is(err, &metadata.ErrRepository{}), errors.Is(err, &metadata.ErrDownloadLengthMismatch{}), errors.Is(err, errLong):
		err = fmt.Errorf("%w: %w", ErrUntrusted, oneLine{err})
	}
	return nil, nil, nil, fmt.Errorf("mirror %q: %w", o.Mirror, err)
}

func (o RootUpdate) update(ctx context.Context) (trustedRoot, signingConfig []byte, r *RootRecord, err error) {
	first, err := metadata.Root().FromBytes(o.Root)
	if err == nil {
		err = first.VerifyDelegate(metadata.ROOT, first)
	}
	if err != nil {
		return nil, nil, nil, hint.Misuse(fmt.Errorf("root.json: %w", oneLine{err}), "give the root.json of a TUF repository")
	}
	dir := filepath.Join(o.Scratch, tuf.URLToPath(o.Mirror)) // as sigstore-go names it
	if err := o.restore(dir); err != nil {
		return nil, nil, nil, err
	}
	download := fetcher.NewDefaultFetcher()
	download.SetHTTPClient(&http.Client{Transport: patient{ctx, "TUF repository"}})
	c, err := tuf.New(&tuf.Options{Root: o.Root, CachePath: o.Scratch, RepositoryBaseURL: o.Mirror, Fetcher: capped{download}})
	if err != nil {
		return nil, nil, nil, err
	}
	r = &RootRecord{Updated: o.Now, Mirror: o.Mirror, Metadata: map[string][]byte{}}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if r.Metadata[role], err = os.ReadFile(filepath.Join(dir, role+".json")); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := r.notBehind(o.Last); err != nil {
		return nil, nil, nil, err
	}
	if trustedRoot, err = c.GetTarget(trustedRootTarget); err != nil {
		return nil, nil, nil, err
	}
	if _, err := parseRoots(trustedRoot, Thresholds{}); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", trustedRootTarget, err)
	}
	r.SHA256 = hexSum(trustedRoot)
	if named, err := r.names(signingConfigTarget); err != nil || !named {
		return trustedRoot, nil, r, err
	}
	if signingConfig, err = c.GetTarget(signingConfigTarget); err != nil {
		return nil, nil, nil, err
	}
	if _, err := root.NewSigningConfigFromJSON(signingConfig); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", signingConfigTarget, err)
	}
	return trustedRoot, signingConfig, r, nil
}

// restore writes what the update before saw where the client looks for it. It holds nothing of it true that the
// repository's keys did not sign.
func (o RootUpdate) restore(dir string) error {
	if o.Last == nil {
		return nil
	}
	if err := o.Last.whole(); err != nil {
		return hint.Misuse(fmt.Errorf("record of the update before: %w", oneLine{err}), "remove it to begin anew; until the next update, an older state of the repository is then not recognised")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if err := os.WriteFile(filepath.Join(dir, role+".json"), o.Last.Metadata[role], 0o600); err != nil {
			return err
		}
	}
	return nil
}

// whole reports what of the metadata is missing or malformed: the client would stop at it.
func (r *RootRecord) whole() error {
	_, root := metadata.Root().FromBytes(r.Metadata[metadata.ROOT])
	_, timestamp := metadata.Timestamp().FromBytes(r.Metadata[metadata.TIMESTAMP])
	_, snapshot := metadata.Snapshot().FromBytes(r.Metadata[metadata.SNAPSHOT])
	_, targets := metadata.Targets().FromBytes(r.Metadata[metadata.TARGETS])
	return errors.Join(root, timestamp, snapshot, targets)
}

// notBehind refuses an older root.json than was seen before. The client begins with the given one every time, so a
// mirror could keep later ones to itself.
func (r *RootRecord) notBehind(last *RootRecord) error {
	if last == nil {
		return nil
	}
	before, err := metadata.Root().FromBytes(last.Metadata[metadata.ROOT])
	if err != nil {
		return err
	}
	now, err := metadata.Root().FromBytes(r.Metadata[metadata.ROOT])
	if err != nil {
		return err
	}
	if now.Signed.Version < before.Signed.Version {
		return hint.Wrap(fmt.Errorf("%w: its root.json has version %d, and had %d at the update before", ErrUntrusted, now.Signed.Version, before.Signed.Version),
			"for another repository, write to another file")
	}
	return nil
}

// names reports whether the repository has a target.
func (r *RootRecord) names(target string) (bool, error) {
	all, err := metadata.Targets().FromBytes(r.Metadata[metadata.TARGETS])
	if err != nil {
		return false, err
	}
	_, ok := all.Signed.Targets[target]
	return ok, nil
}

// capped bounds every download, whatever the repository announces.
type capped struct{ fetcher.Fetcher }

// DownloadFile implements fetcher.Fetcher.
func (c capped) DownloadFile(address string, limit int64, timeout time.Duration) ([]byte, error) {
	b, err := c.Fetcher.DownloadFile(address, min(limit, maxDownload), timeout)
	if errors.Is(err, &metadata.ErrDownloadHTTP{}) && strings.HasSuffix(address, "/timestamp.json") {
		return nil, hint.Wrap(err, "is it the address of a TUF repository?")
	}
	return b, err
}
