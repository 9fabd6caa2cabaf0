package oci

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// errGuard marks requests that were refused before they left; they are never tried again.
var errGuard = errors.New("refused")

// maxRedirects is what net/http allows too.
const maxRedirects = 10

// guard is the last thing a request passes before the network, whatever layer made it: our own calls, redirects,
// and go-containerregistry's token exchange. It holds what must hold for all of them (T28, T44):
//
//   - without TLS only to loopback and to hosts that were listed;
//   - a password or refresh token only to the registry it belongs to, to a host of the same registered domain (a
//     token service: auth.docker.io of docker.io, gitlab.com of registry.gitlab.com), or to a listed host.
//     go-containerregistry sends it to whatever host the registry names; a registry can thus not pass it on.
//   - no redirect from a public registry to a private or link-local address.
type guard struct {
	r        *Remote
	registry string
	next     http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Host
	if req.URL.Scheme != "https" && (req.URL.Scheme != "http" || !g.r.plain(host)) {
		return nil, g.refuse(req, "%w: %s without TLS to %q", errGuard, req.Method, host)
	}
	if carriesPassword(req) && !g.trusts(host) {
		return nil, g.refuse(req, "%w: registry %q wants its credentials sent to %q", errGuard, g.registry, host)
	}
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", "sealyard/"+g.r.opts.Version)
	return g.next.RoundTrip(req)
}

// refuse closes the body, as a RoundTripper must.
func (g *guard) refuse(req *http.Request, format string, args ...any) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return fmt.Errorf(format, args...)
}

// carriesPassword reports whether the request holds a lasting secret: basic auth, or the form of the OAuth exchange.
// Bearer tokens are short-lived and go-containerregistry binds them to the registry's host.
func carriesPassword(req *http.Request) bool {
	auth := req.Header.Get("Authorization")
	return auth != "" && !strings.HasPrefix(auth, "Bearer ") ||
		req.Method == http.MethodPost && strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
}

// trusts reports whether the registry's credentials may go to host.
func (g *guard) trusts(host string) bool {
	if host == g.registry || slices.Contains(g.r.opts.TokenHosts, host) {
		return true
	}
	a, b := bareHost(g.registry), bareHost(host)
	if a == b {
		return true
	}
	if net.ParseIP(a) != nil || net.ParseIP(b) != nil {
		return false
	}
	siteA, err := publicsuffix.EffectiveTLDPlusOne(a)
	if err != nil {
		return false
	}
	siteB, err := publicsuffix.EffectiveTLDPlusOne(b)
	return err == nil && siteA == siteB
}

// redirect is http.Client's CheckRedirect.
func (g *guard) redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", errGuard, maxRedirects)
	}
	return g.reachable(req.URL.Host)
}

// reachable refuses to be sent from a public registry into a private network, except to a host that was listed.
func (g *guard) reachable(host string) error {
	if inside(bareHost(host)) && !inside(bareHost(g.registry)) && !slices.Contains(g.r.opts.PlainHTTP, host) {
		return fmt.Errorf("%w: registry %q sends us to the private address %q", errGuard, g.registry, host)
	}
	return nil
}

func inside(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified())
}

// bareHost is the host without port and brackets.
func bareHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}
