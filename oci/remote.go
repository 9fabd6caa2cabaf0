package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sealyard/sealyard/internal/hint"
)

// RemoteOptions say how registries are reached. The zero value is anonymous, direct and TLS only.
type RemoteOptions struct {
	// Version of this program, for the User-Agent.
	Version string
	// DockerConfig is the directory that holds docker's config.json; "" means no credentials. The file's own
	// entries and the credential helpers it names are used. A helper is a program, docker-credential-NAME, found
	// in PATH and run with this process's environment.
	DockerConfig string
	// PlainHTTP lists the registries, host or host:port, that may be spoken to without TLS. Loopback always may.
	PlainHTTP []string
	// TokenHosts lists the hosts, besides the registry itself and its sister hosts, to which its credentials may be
	// sent when it names them as its token service.
	TokenHosts []string
	// CA holds PEM certificates of authorities to trust besides the system's.
	CA []byte
	// Proxy chooses a proxy for a request, as in http.Transport; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Jobs is how many requests to one registry may be under way at once; 0 means 4.
	Jobs int
	// Progress is called with how far each transfer is, never twice at once. It must not block.
	Progress func(Event)
}

// Remote reads from and writes to registries. Its methods may be called side by side.
type Remote struct {
	opts    RemoteOptions
	base    *http.Transport
	backoff time.Duration // before the first retry
	settle  time.Duration // the least wait before a fallback tag is read again

	mu      sync.Mutex
	clients map[string]*http.Client // by repository and scope
	tell    sync.Mutex              // held while Progress runs
}

// NewRemote returns a Remote. Nothing is contacted yet. An unusable CA is an error.
func NewRemote(o RemoteOptions) (*Remote, error) {
	if o.Jobs <= 0 {
		o.Jobs = 4
	}
	base := &http.Transport{
		Proxy:                  o.Proxy,
		DialContext:            (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    o.Jobs,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    15 * time.Second,
		ResponseHeaderTimeout:  5 * time.Minute, // a registry may take long to store a large blob
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // the exact bytes count
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         64 << 10,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if len(o.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("system certificates: %w", err)
		}
		if !pool.AppendCertsFromPEM(o.CA) {
			return nil, hint.Misuse(errors.New("the extra certificate authorities hold no PEM certificate"), "give a file of PEM certificates")
		}
		base.TLSClientConfig.RootCAs = pool
	}
	return &Remote{opts: o, base: base, backoff: 300 * time.Millisecond, settle: 100 * time.Millisecond,
		clients: map[string]*http.Client{}}, nil
}

// Close ends idle connections.
func (r *Remote) Close() { r.base.CloseIdleConnections() }

// Repository is one repository of a registry, as a [Store].
type Repository struct {
	r    *Remote
	repo name.Repository
	ref  name.Reference
}

// Repository opens the repository of ref, which is parsed as by [ParseReference]. Nothing is contacted yet.
func (r *Remote) Repository(ref string) (*Repository, error) {
	n, err := parseName(ref)
	if err != nil {
		return nil, err
	}
	return r.repository(n)
}

func (r *Remote) repository(n name.Reference) (*Repository, error) {
	host := n.Context().RegistryStr()
	var opts []name.Option
	if r.plain(host) {
		opts = append(opts, name.Insecure)
	}
	reg, err := name.NewRegistry(host, opts...)
	if err != nil {
		return nil, hint.Misuse(fmt.Errorf("registry %q: %w", host, err), "write it as HOST or HOST:PORT")
	}
	return &Repository{r: r, repo: reg.Repo(n.Context().RepositoryStr()), ref: n}, nil
}

// plain reports whether that host, with or without port, may be reached without TLS.
func (r *Remote) plain(host string) bool {
	bare := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		bare = h
	}
	if ip := net.ParseIP(bare); bare == "localhost" || ip != nil && ip.IsLoopback() {
		return true
	}
	for _, p := range r.opts.PlainHTTP {
		if p == host || p == bare {
			return true
		}
	}
	return false
}

// Name returns the repository's fully qualified name, without tag or digest.
func (p *Repository) Name() string { return p.repo.Name() }

func (p *Repository) source() source { return p }

func (p *Repository) jobs() int { return p.r.opts.Jobs }

// Resolve implements [Store]. An image, tag or repository that the registry does not have is [ErrNotFound].
func (p *Repository) Resolve(ctx context.Context, ref string) (Image, error) {
	n := p.ref
	switch {
	case validDigest(ref):
		n = p.repo.Digest(ref)
	case ref != "":
		var err error
		if n, err = p.within(ref); err != nil {
			return Image{}, err
		}
	}
	root, raw, err := p.head(ctx, n.Identifier())
	if err != nil {
		return Image{}, err
	}
	img, err := resolveImage(ctx, known{source: p, have: map[string][]byte{root.Digest: raw}}, root)
	if err != nil {
		return Image{}, fmt.Errorf("%s: %w", p.Name(), err)
	}
	if isIndex(img.MediaType) {
		img.Index = img.Digest
	}
	return img, nil
}

// within parses a tag of this repository or a whole reference to it.
func (p *Repository) within(ref string) (name.Reference, error) {
	if n, err := name.NewTag(p.repo.Name() + ":" + ref); err == nil {
		return n, nil
	}
	n, err := parseName(ref)
	if err != nil {
		return nil, err
	}
	if n.Context().Name() != p.repo.Name() {
		return nil, hint.Misuse(fmt.Errorf("%q is not in %q", ref, p.repo.Name()), "name the same repository")
	}
	return n, nil
}

// Attached implements [Store]: it asks the referrers API and, where there is none, the fallback tag (spec R56).
func (p *Repository) Attached(ctx context.Context, digest, artifactType string) ([]Artifact, error) {
	if !validDigest(digest) {
		return nil, fmt.Errorf("digest %q is not sha256 and 64 hex digits", digest)
	}
	out, err := attached(ctx, p, digest, artifactType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name(), err)
	}
	return out, nil
}

// Fetch is [Fetch] from the repository of ref.
func (r *Remote) Fetch(ctx context.Context, ref, dir string, types ...string) (Image, error) {
	p, err := r.Repository(ref)
	if err != nil {
		return Image{}, err
	}
	return Fetch(ctx, p, "", dir, types...)
}

// scope of what a client may do in a repository.
const (
	pull = transport.PullScope
	push = transport.PushScope
)

// client returns an HTTP client that is logged in to the repository. Each goes through a guard of its own.
func (p *Repository) client(ctx context.Context, scope string) (*http.Client, error) {
	key := p.repo.Name() + " " + scope
	p.r.mu.Lock()
	c := p.r.clients[key]
	if c == nil && scope == pull {
		c = p.r.clients[p.repo.Name()+" "+push] // who may push may pull
	}
	p.r.mu.Unlock()
	if c != nil {
		return c, nil
	}
	auth, err := p.r.credentials(ctx, p.repo)
	if err != nil {
		return nil, err
	}
	g := &guard{r: p.r, registry: p.repo.RegistryStr(), next: p.r.base}
	rt, err := transport.NewWithContext(ctx, p.repo.Registry, auth, g, []string{p.repo.Scope(scope)})
	if err != nil {
		return nil, err
	}
	c = &http.Client{Transport: rt, CheckRedirect: g.redirect}
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.r.clients[key] = c
	return c, nil
}

// progress returns r, which tells how much of d was read through it.
func (r *Remote) progress(d descriptor, from io.Reader) io.Reader {
	if r.opts.Progress == nil {
		return from
	}
	return &progressReader{r: r, d: d, from: from}
}

// event reports progress.
func (r *Remote) event(d descriptor, done int64) {
	if r.opts.Progress == nil {
		return
	}
	r.tell.Lock()
	defer r.tell.Unlock()
	r.opts.Progress(Event{Digest: d.Digest, MediaType: d.MediaType, Done: done, Total: d.Size})
}

// progressStep is how many bytes pass between two events of one transfer.
const progressStep = 1 << 20

type progressReader struct {
	r          *Remote
	d          descriptor
	from       io.Reader
	done, told int64
}

// Read implements io.Reader.
func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.done += int64(n)
	if p.done-p.told >= progressStep && p.done < p.d.Size {
		p.told = p.done
		p.r.event(p.d, p.done)
	}
	return n, err
}
