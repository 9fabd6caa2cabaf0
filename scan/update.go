package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"

	"github.com/sealyard/sealyard/internal/hint"
)

// DefaultDBURL is the listing of the databases that Anchore publishes.
const DefaultDBURL = "https://grype.anchore.io/databases/v6/latest.json"

const (
	maxListing   = 1 << 20          // bytes of a listing; Anchore's has 300
	updateTime   = 30 * time.Minute // for listing and archive together: 0.1 GB at 0.5 Mbit/s
	maxRedirects = 5
)

// UpdateOptions changes how Update fetches. The zero value is ready for use.
type UpdateOptions struct {
	Digest    string            // expected "sha256:…" of the archive; "" trusts the listing, or the server
	Transport http.RoundTripper // nil is http.DefaultTransport
}

// Update fetches a database and makes it the current one under root. source is the http(s) address of an archive
// (….tar.zst, ….tar.gz, ….tgz or ….tar), of a listing in grype's format (….json), or of a mirror's directory that holds
// v6/latest.json; "" is DefaultDBURL. It is the only function of this package that uses the network. What root held
// before stays in use on any error. Nothing is fetched when the listing names the archive that is current already.
func Update(ctx context.Context, source, root string, opts UpdateOptions) (DBInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	if err := checkDigest(opts.Digest); err != nil {
		return DBInfo{}, err
	}
	from, err := sourceURL(source, opts.Digest)
	if err != nil {
		return DBInfo{}, hint.Misuse(fmt.Errorf("database source %q: %w", source, err), "give an https address, or use 'sealyard db import FILE'")
	}
	unlock, err := lock(ctx, root)
	if err != nil {
		return DBInfo{}, fmt.Errorf("database directory: %w", err)
	}
	defer unlock()
	client := &http.Client{Transport: opts.Transport, CheckRedirect: checkRedirect}
	digest := opts.Digest
	if !isArchive(from.Path) {
		from, digest, err = fetchListing(ctx, client, from, digest)
		if err != nil {
			return DBInfo{}, hint.Wrap(fmt.Errorf("database listing: %w", err), "check the address of the mirror, or use 'sealyard db import FILE'")
		}
		if info, err := Status(root); err == nil && info.Digest == digest {
			return info, nil
		}
	}
	archive, err := fetchArchive(ctx, client, from, root)
	if err != nil {
		return DBInfo{}, hint.Wrap(fmt.Errorf("database archive: %w", err), "check the address of the mirror, or use 'sealyard db import FILE'")
	}
	defer os.RemoveAll(filepath.Dir(archive))
	return importLocked(ctx, archive, digest, root, from.Redacted())
}

// sourceURL checks where to fetch from. Without TLS and without a digest anyone on the way could choose the database.
func sourceURL(source, digest string) (*url.URL, error) {
	if source == "" {
		source = DefaultDBURL
	}
	u, err := url.Parse(source)
	if err != nil {
		return nil, err
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, errors.New("not an http or https address")
	case u.Scheme == "http" && digest == "" && !isLoopback(u.Hostname()):
		return nil, errors.New("plain http needs the digest of the archive")
	case !isArchive(u.Path) && !strings.HasSuffix(u.Path, ".json"):
		u = u.JoinPath("v6", "latest.json")
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func isArchive(path string) bool {
	for _, suffix := range []string{".tar.zst", ".tar.gz", ".tgz", ".tar"} {
		if strings.HasSuffix(path, suffix) {
			return true
		}
	}
	return false
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("redirect from https to %q", req.URL.Redacted())
	}
	return nil
}

// get opens the body of a successful answer.
func get(ctx context.Context, client *http.Client, u *url.URL) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s answered %q", u.Redacted(), resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}

// fetchListing reads the listing at u and returns where the archive lies and what digest it must have.
func fetchListing(ctx context.Context, client *http.Client, u *url.URL, digest string) (*url.URL, string, error) {
	body, err := get(ctx, client, u)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(io.LimitReader(body, maxListing+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, "", err
	}
	if len(b) > maxListing {
		return nil, "", fmt.Errorf("larger than %d bytes", maxListing)
	}
	archive, sum, err := parseListing(b, u)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	if digest != "" && digest != sum {
		return nil, "", fmt.Errorf("%s lists archive %s, expected %q", u.Redacted(), sum, digest)
	}
	return archive, sum, nil
}

// parseListing reads grype's latest.json: the archive's path is relative to the listing's own address at.
func parseListing(b []byte, at *url.URL) (*url.URL, string, error) {
	var doc struct {
		Status   string `json:"status"`
		Schema   string `json:"schemaVersion"`
		Path     string `json:"path"`
		Checksum string `json:"checksum"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, "", err
	}
	if model, _, _ := strings.Cut(strings.TrimPrefix(doc.Schema, "v"), "."); model != fmt.Sprint(v6.ModelVersion) {
		return nil, "", fmt.Errorf("schema %q where %d is needed", doc.Schema, v6.ModelVersion)
	}
	if hex, ok := strings.CutPrefix(doc.Checksum, "sha256:"); !ok || !isHex256(hex) {
		return nil, "", fmt.Errorf("checksum %q is no sha256 digest", doc.Checksum)
	}
	rel, err := url.Parse(doc.Path)
	if err != nil {
		return nil, "", fmt.Errorf("path: %w", err)
	}
	if rel.IsAbs() || rel.Host != "" || rel.Path == "" {
		return nil, "", fmt.Errorf("path %q is not relative to the listing", doc.Path)
	}
	return at.ResolveReference(rel), doc.Checksum, nil
}

// fetchArchive saves the archive at u in a fresh directory below root and returns the file's name.
func fetchArchive(ctx context.Context, client *http.Client, u *url.URL, root string) (file string, err error) {
	dir, err := os.MkdirTemp(root, importPrefix)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	body, err := get(ctx, client, u)
	if err != nil {
		return "", err
	}
	defer body.Close()
	f, err := os.Create(filepath.Join(dir, "archive"))
	if err != nil {
		return "", err
	}
	n, err := io.Copy(f, io.LimitReader(body, maxArchive+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	if n > maxArchive {
		return "", fmt.Errorf("%s: larger than %d bytes", u.Redacted(), int64(maxArchive))
	}
	return f.Name(), nil
}
