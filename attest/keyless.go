package attest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/sealyard/sealyard/internal/hint"
)

const (
	sigstoreAudience = "sigstore"       // of the token that Fulcio takes
	defaultTimeout   = 90 * time.Second // for one statement: token, certificate, timestamp and log entry with their retries
	maxToken         = 64 << 10         // bytes; GitHub's have 2 kB
	maxRefusal       = 4 << 10          // bytes of an answer that says no, for a message
	retries          = 2                // after an answer of 429 or 5xx, with 1 s and 2 s between
)

// KeylessOptions say where and as whom to sign without a key of one's own.
type KeylessOptions struct {
	// Token fetches an OIDC token for an audience. It is called once for each Sign and Identity, as late as possible.
	Token         func(ctx context.Context, audience string) (string, error)
	SigningConfig []byte        // Sigstore signing config v0.2 in JSON: which Fulcio, log and timestamp authority
	Now           time.Time     // services of SigningConfig are chosen for this time (R51)
	Timeout       time.Duration // for one statement, everything included; 0 is 90 s
}

// Keyless signs with a key that lives for one signature, and a certificate in which Fulcio binds it to the identity
// in an OIDC token.
type Keyless struct {
	token   func(ctx context.Context, audience string) (string, error)
	fulcio  string
	logs    []root.Service
	clocks  []root.Service
	timeout time.Duration
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
	k.token, k.timeout = o.Token, o.Timeout
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
	token, err := k.fetch(ctx)
	if err != nil {
		return Identity{}, err
	}
	return tokenIdentity(token)
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
	token, err := k.fetch(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, err
	}
	transport := bound{ctx}
	opts := sign.BundleOptions{
		Context: ctx,
		CertificateProvider: sign.NewFulcio(&sign.FulcioOptions{
			BaseURL: k.fulcio, Timeout: -1, Retries: retries, Transport: transport,
		}),
		CertificateProviderOptions: &sign.CertificateProviderOptions{IDToken: token},
	}
	for _, c := range k.clocks {
		opts.TimestampAuthorities = append(opts.TimestampAuthorities, sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{
			URL: c.URL, Timeout: -1, Retries: retries, Transport: transport,
		}))
	}
	for _, l := range k.logs {
		opts.TransparencyLogs = append(opts.TransparencyLogs, sign.NewRekor(&sign.RekorOptions{
			BaseURL: l.URL, Timeout: k.timeout, Retries: retries, Version: l.MajorAPIVersion,
		}))
	}
	b, err := seal(s, "", keys, opts)
	if ctx.Err() != nil && err != nil {
		return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return b, err
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

// bound gives every request the lifetime of ctx: sigstore-go 1.3.0 passes no context on to Fulcio and timestamp authorities. It also
// closes the answer to a request it will repeat before it reads what was wrong, so that of a refusal is kept here.
type bound struct{ ctx context.Context }

// RoundTrip sends r, until b.ctx ends.
func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r.WithContext(b.ctx))
	if err != nil || res.StatusCode < http.StatusBadRequest {
		return res, err
	}
	defer res.Body.Close()
	why, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(why))
	return res, nil
}

// tokenIdentity reads what Fulcio will put into the certificate out of a token, whose signature is Fulcio's to check.
func tokenIdentity(token string) (Identity, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Identity{}, errors.New("identity token: not a JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Identity{}, fmt.Errorf("identity token: %w", err)
	}
	var claims struct {
		Issuer string `json:"iss"`
		Email  string `json:"email"`
		githubClaims
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return Identity{}, fmt.Errorf("identity token: %w", err)
	}
	id := Identity{Kind: KindKeyless, Issuer: claims.Issuer}
	switch {
	case claims.JobWorkflowRef != "":
		id.Workflow = claims.workflow()
		id.ID = id.Workflow.Signer
	case claims.Email != "":
		id.ID = claims.Email
	default:
		return Identity{}, fmt.Errorf("identity token: issued by %q, with neither job_workflow_ref nor email: its subject cannot be foretold", claims.Issuer)
	}
	return id, nil
}
