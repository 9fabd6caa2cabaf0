package attest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/sealyard/sealyard/internal/hint"
)

const defaultTimeout = 2 * time.Minute // for one statement: token, certificate, timestamp and log entry with their retries

// KeylessOptions say where and as whom to sign without a key of one's own.
type KeylessOptions struct {
	// Token fetches an OIDC token for an audience. It is called once for each certificate and Identity, as late as possible.
	Token         TokenSource
	SigningConfig []byte        // Sigstore signing config v0.2 in JSON: which Fulcio, log and timestamp authority
	Now           time.Time     // services of SigningConfig are chosen for this time (R51)
	Timeout       time.Duration // for one statement, everything included; 0 is 2 min
	// Clock tells the time, so that one key and certificate do for all signatures that are made while the certificate is valid.
	// Without it each signature has its own.
	Clock func() time.Time
	// PublicLog lets the logs of SigningConfig name repositories that are not public (R49).
	PublicLog bool
}

// Keyless signs with a key that lives in memory only, and a certificate in which Fulcio binds it to the identity in an
// OIDC token for some minutes.
type Keyless struct {
	token   TokenSource
	fulcio  string
	logs    []root.Service
	clocks  []root.Service
	timeout time.Duration
	clock   func() time.Time
	tells   bool // whoever reads the logs may know of any repository

	wallet *wallet
}

// NewKeyless chooses the services. Errors are marked with hint.Misuse: among them a choice without any source of
// time, which nobody could verify later, and a log of version 2 without a timestamp authority (R50).
func NewKeyless(o KeylessOptions) (*Keyless, error) {
	if o.Token == nil {
		return nil, errors.New("keyless signing without a source of tokens")
	}
	k, err := chooseServices(o.SigningConfig, o.Now)
	if err != nil {
		return nil, hint.Misuse(fmt.Errorf("signing config: %w", err), "give a signing_config.json v0.2 of the Sigstore instance to sign with")
	}
	k.token, k.timeout, k.clock, k.wallet = o.Token, o.Timeout, o.Clock, &wallet{turn: make(chan struct{}, 1)}
	k.tells = o.PublicLog
	if k.timeout <= 0 {
		k.timeout = defaultTimeout
	}
	return k, nil
}

func chooseServices(config []byte, now time.Time) (*Keyless, error) {
	if len(config) > maxRootFile {
		return nil, fmt.Errorf("file of %d bytes, at most %d are read", len(config), maxRootFile)
	}
	pb, err := root.NewSigningConfigProtobuf(config)
	if err != nil {
		return nil, err
	}
	sc, err := root.NewSigningConfigFromProtobuf(pb)
	if err != nil {
		return nil, err
	}
	ca, err := root.SelectService(sc.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, now)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	k := &Keyless{fulcio: ca.URL}
	if len(pb.GetRekorTlogUrls()) > 0 {
		config := root.ServiceConfiguration{Selector: pb.GetRekorTlogConfig().GetSelector(), Count: pb.GetRekorTlogConfig().GetCount()}
		if k.logs, err = root.SelectServices(sc.RekorLogURLs(), config, sign.RekorAPIVersions, now); err != nil {
			return nil, fmt.Errorf("transparency log: %w", err)
		}
	}
	if len(pb.GetTsaUrls()) > 0 {
		config := root.ServiceConfiguration{Selector: pb.GetTsaConfig().GetSelector(), Count: pb.GetTsaConfig().GetCount()}
		if k.clocks, err = root.SelectServices(sc.TimestampAuthorityURLs(), config, sign.TimestampAuthorityAPIVersions, now); err != nil {
			return nil, fmt.Errorf("timestamp authority: %w", err)
		}
	}
	if len(k.clocks) > 0 {
		return k, nil
	}
	if len(k.logs) == 0 {
		return nil, errors.New("it names no source of time: no timestamp authority and no transparency log")
	}
	for _, l := range k.logs {
		if l.MajorAPIVersion != 1 {
			return nil, fmt.Errorf("log %q of version %d gives no time, and no timestamp authority is named", l.URL, l.MajorAPIVersion)
		}
	}
	return k, nil
}

// Identity says, from the claims of a token, which subject and issuer Fulcio will certify. Fulcio is asked only by Sign.
func (k *Keyless) Identity(ctx context.Context) (Identity, error) {
	_, id, err := k.identified(ctx)
	return id, err
}

// identified fetches a token that may be shown to Fulcio.
func (k *Keyless) identified(ctx context.Context) (token string, id Identity, err error) {
	if token, err = k.fetch(ctx); err != nil {
		return "", Identity{}, err
	}
	if id, err = tokenIdentity(token); err != nil {
		return "", Identity{}, err
	}
	return token, id, k.discreet(id.Workflow)
}

// WithoutLog is k, but for the logs: what it signs has a timestamp alone. Without a timestamp authority there would be no time, and it
// is an error.
func (k *Keyless) WithoutLog() (*Keyless, error) {
	if len(k.clocks) == 0 {
		return nil, errors.New("the signing config names no timestamp authority: without the log nothing says when it was signed")
	}
	bare := *k
	bare.logs = nil
	return &bare, nil
}

// publicGood is the domain of the services that Sigstore runs for everybody. Their Fulcio logs what it certifies.
const publicGood = ".sigstore.dev"

// discreet refuses to tell a log of a repository that is not public: its name, workflow, ref and commit are in the certificate,
// and what was logged stays (R49, T37). A visibility that the token does not tell is not public.
func (k *Keyless) discreet(w Workflow) error {
	ca, err := url.Parse(k.fulcio)
	if err != nil {
		return fmt.Errorf("certificate authority %q: %w", k.fulcio, err)
	}
	logged := len(k.logs) > 0 || strings.HasSuffix(ca.Hostname(), publicGood)
	if k.tells || !logged || w.Repository == "" || w.Visibility == "public" {
		return nil
	}
	return hint.Misuse(fmt.Errorf("the repository %q is %s, and the services of the signing config would tell a log of it", w.Repository, cmp.Or(w.Visibility, "of unknown visibility")),
		"give the signing config of an instance without a log, as GitHub has for private repositories, or set public-log: true to let the log name it")
}

// Sign gets a certificate, signs s and has the signature logged and timestamped, as the signing config says.
func (k *Keyless) Sign(ctx context.Context, s Statement) (Bundle, error) {
	b, err := k.sign(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", s.predicateType, err)
	}
	return b, nil
}

func (k *Keyless) sign(ctx context.Context, s Statement) (Bundle, error) {
	if err := signable(s); err != nil {
		return nil, err // before a token, a certificate and a log entry are spent on it
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	b, err := k.certified(ctx, s)
	if errors.Is(err, errEquivalent) { // a new signature of the same is another entry
		b, err = k.certified(ctx, s)
	}
	if ctx.Err() != nil && err != nil && !errors.Is(err, ctx.Err()) {
		return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return b, err
}

func (k *Keyless) certified(ctx context.Context, s Statement) (Bundle, error) {
	c, err := k.credential(ctx)
	if err != nil {
		return nil, err
	}
	opts := sign.BundleOptions{Context: ctx, CertificateProvider: c}
	for _, clock := range k.clocks {
		opts.TimestampAuthorities = append(opts.TimestampAuthorities, sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{
			URL: clock.URL, Timeout: -1, Transport: patient{ctx, "timestamp authority"},
		}))
	}
	for _, l := range k.logs {
		log, err := rekor(l, &http.Client{Transport: patient{ctx, "transparency log"}})
		if err != nil {
			return nil, err
		}
		opts.TransparencyLogs = append(opts.TransparencyLogs, log)
	}
	return seal(s, "", c.keys, opts)
}

func (k *Keyless) fetch(ctx context.Context) (string, error) {
	token, err := k.token(ctx, sigstoreAudience)
	if err != nil {
		return "", fmt.Errorf("identity token: %w", err)
	}
	if token == "" || len(token) > maxToken {
		return "", fmt.Errorf("identity token: %d bytes", len(token))
	}
	return token, nil
}
