package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
)

// webLimit bounds one download of a policy, which has no more than policy.MaxBundle bytes.
const webLimit = 2 * time.Minute

// pinForm is the fragment of an address that pins what is there.
var pinForm = regexp.MustCompile(`\Asha256[=:]([0-9a-f]{64})\z`)

// bundleOnWeb loads a policy from a web server: FILE.tar.gz#sha256=HEX, or signed by whom v names: by a key in OPA's way, by an identity
// with a Sigstore bundle beside it.
func (s *session) bundleOnWeb(ctx context.Context, name string, v voucher) (*policy.Bundle, error) {
	shown := withoutUser(name)
	u, err := url.Parse(name)
	if err != nil || u.Host == "" {
		return nil, hint.Misuse(fmt.Errorf("policy bundle %q: not an address", shown), "write it as %sHOST/FILE.tar.gz#sha256=HEX", onWeb)
	}
	pin := pinForm.FindStringSubmatch(u.Fragment)
	switch {
	case u.Fragment != "" && pin == nil:
		return nil, hint.Misuse(fmt.Errorf("policy bundle %q: %q is no digest", shown, u.Fragment), "write #sha256= and 64 hex digits")
	case pin == nil && !v.demands():
		return nil, hint.Misuse(fmt.Errorf("policy bundle %q: what is there can be another one tomorrow, and nobody is named who must have signed", shown),
			"pin it, add #sha256=HEX, or name its signer with --policy-key or --policy-identity")
	}
	place := *u
	place.User, place.RawQuery, place.Fragment = nil, "", "" // what opens a door is not evidence (T5)
	raw, err := s.download(ctx, u, policy.MaxBundle)
	if err != nil {
		return nil, fmt.Errorf("policy bundle %q: %w", place.String(), err)
	}
	origin := policy.Origin{Source: place.String(), Digest: sha256of(raw)}
	if pin != nil && origin.Digest != "sha256:"+pin[1] {
		return nil, hint.Wrap(fmt.Errorf("policy bundle %q: it is %s, not sha256:%s", place.String(), origin.Digest, pin[1]), "look at what changed, and pin that if it is good")
	}
	var beside func() ([]byte, error)
	if v.keys == nil {
		beside = func() ([]byte, error) {
			sig := *u
			sig.Path, sig.RawPath = u.Path+besideSuffix, ""
			return s.download(ctx, &sig, attest.MaxBundle)
		}
	}
	o := policy.LoadOptions{Name: policy.NameOf(place.Path)}
	if o.Origin, o.Keys, err = v.archive(raw, origin, beside); err != nil {
		return nil, fmt.Errorf("policy bundle %q: %w", place.String(), err)
	}
	b, err := policy.LoadArchive(ctx, raw, o)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", place.String(), err)
	}
	return b, nil
}

// download fetches a small file. Neither it nor what it redirects to is reached without TLS, unless it is on this machine or plain-http
// names the host.
func (s *session) download(ctx context.Context, u *url.URL, limit int64) ([]byte, error) {
	if err := s.secure(u); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, webLimit)
	defer cancel()
	client := http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 30 * time.Second}).DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: 15 * time.Second},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) >= 10 {
				return errors.New("more than 10 redirects")
			}
			return s.secure(req.URL)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "sealyard/"+version().Version)
	resp, err := client.Do(req)
	if err != nil {
		var e *url.Error // which quotes the whole address
		if errors.As(err, &e) {
			err = e.Err
		}
		return nil, fmt.Errorf("get it: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, hint.Wrap(fmt.Errorf("get it: status %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)), "check the address")
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("get it: %w", err)
	}
	if int64(len(raw)) > limit {
		return nil, hint.Wrap(fmt.Errorf("get it: more than %d bytes", limit), "check the address: a policy is smaller")
	}
	return raw, nil
}

// secure refuses addresses that anybody on the way could answer for.
func (s *session) secure(u *url.URL) error {
	host := u.Hostname()
	ip := net.ParseIP(host)
	switch {
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http" || strings.ContainsAny(host, " \t"):
		return fmt.Errorf("address of scheme %q", u.Scheme)
	case host == "localhost" || ip != nil && ip.IsLoopback() || slices.Contains(s.in.all("plain-http"), host) || slices.Contains(s.in.all("plain-http"), u.Host):
		return nil
	}
	return hint.Misuse(fmt.Errorf("%q without TLS", u.Host), "use https, or list the host in --plain-http")
}
