package testkit

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"sync"
	"testing"
	"time"
)

// Rule makes a Proxy misbehave on the requests it matches. Exactly what is set happens, on the matching requests
// from the First-th on, Times times; everything else passes through unchanged.
type Rule struct {
	Method string         // "" matches every method
	Path   *regexp.Regexp // nil matches every path (query not included)
	First  int            // the first matching request to touch, counted from 1; 0 means 1
	Times  int            // how many requests to touch; 0 means every one from First on

	Status   int           // answer with this status, without asking the registry
	Header   http.Header   // sent with Status
	Body     string        // sent with Status
	Delay    time.Duration // wait before anything else
	CutUp    int64         // read this many bytes of the request's body, then cut the connection
	CutDown  int64         // send this many bytes of the response's body, then cut the connection
	Cut      bool          // cut the connection at once
	Flip     bool          // change one bit of the response's body
	Endless  bool          // after the response's body, go on sending bytes for ever
	DropHead string        // remove this header from the registry's response
	Die      bool          // cut the connection and, from then on, every one
}

// Request is one request that a Proxy saw.
type Request struct {
	Method, Path, Query, Authorization, UserAgent string
	Status                                        int // 0 when the connection was cut
}

// Proxy is a real HTTP proxy in front of a registry.
type Proxy struct {
	Addr string // host:port

	mu    sync.Mutex
	rules []Rule
	hits  []int
	seen  []Request
	dead  bool
}

// Flaky starts a proxy in front of the registry at backend (host:port). It ends with the test.
func Flaky(t testing.TB, backend string, rules ...Rule) *Proxy {
	t.Helper()
	p := &Proxy{rules: rules, hits: make([]int, len(rules))}
	reverse := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: backend})
			r.Out.Host = r.In.Host // the registry's Location headers then point at the proxy
		},
		ModifyResponse: modify,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			hangUp(w)
		},
		ErrorLog: silent(),
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.serve(w, r, reverse)
	}))
	srv.Config.ErrorLog = silent()
	srv.Start()
	t.Cleanup(srv.Close)
	p.Addr = srv.Listener.Addr().String()
	return p
}

// Set replaces the rules and forgets the requests seen; a dead proxy comes back to life.
func (p *Proxy) Set(rules ...Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules, p.hits, p.seen, p.dead = rules, make([]int, len(rules)), nil, false
}

// Requests returns what was asked so far, in order of arrival.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.seen...)
}

// Count returns how many requests with that method ("" for any) and a matching path were seen.
func (p *Proxy) Count(method string, path *regexp.Regexp) int {
	n := 0
	for _, r := range p.Requests() {
		if (method == "" || method == r.Method) && path.MatchString(r.Path) {
			n++
		}
	}
	return n
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rule, i, dead := p.match(r)
	sw := &statusWriter{ResponseWriter: w}
	defer func() { p.note(i, sw.status) }()
	if rule.Delay > 0 {
		select {
		case <-time.After(rule.Delay):
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case dead || rule.Cut || rule.Die:
		hangUp(w)
	case rule.Status != 0:
		for k, v := range rule.Header {
			w.Header()[k] = v
		}
		sw.WriteHeader(rule.Status)
		_, _ = io.WriteString(w, rule.Body)
	case rule.CutUp > 0:
		_, _ = io.CopyN(io.Discard, r.Body, rule.CutUp)
		hangUp(w)
	default:
		next.ServeHTTP(sw, r.WithContext(withRule(r.Context(), rule)))
	}
}

// match notes the request and finds the first rule that touches it.
func (p *Proxy) match(r *http.Request) (Rule, int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Authorization: r.Header.Get("Authorization"), UserAgent: r.UserAgent()})
	if p.dead {
		return Rule{}, len(p.seen) - 1, true
	}
	for i, rule := range p.rules {
		if rule.Method != "" && rule.Method != r.Method || rule.Path != nil && !rule.Path.MatchString(r.URL.Path) {
			continue
		}
		p.hits[i]++
		first := max(rule.First, 1)
		if p.hits[i] < first || rule.Times > 0 && p.hits[i] >= first+rule.Times {
			continue
		}
		p.dead = rule.Die
		return rule, len(p.seen) - 1, false
	}
	return Rule{}, len(p.seen) - 1, false
}

func (p *Proxy) note(i, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i < len(p.seen) {
		p.seen[i].Status = status
	}
}

// modify changes the registry's response as the request's rule says.
func modify(resp *http.Response) error {
	rule := ruleOf(resp.Request.Context())
	resp.Header.Del(rule.DropHead)
	if rule.Flip || rule.Endless || rule.CutDown > 0 {
		resp.Body = &spoiled{ReadCloser: resp.Body, rule: rule}
	}
	if rule.Endless {
		resp.ContentLength = -1
		resp.Header.Del("Content-Length")
	}
	return nil
}

// spoiled is a response body that a rule tampers with.
type spoiled struct {
	io.ReadCloser
	rule Rule
	sent int64
}

// Read implements io.Reader.
func (s *spoiled) Read(p []byte) (int, error) {
	if s.rule.CutDown > 0 {
		if s.sent >= s.rule.CutDown {
			return 0, errors.New("cut")
		}
		p = p[:min(int64(len(p)), s.rule.CutDown-s.sent)]
	}
	n, err := s.ReadCloser.Read(p)
	if s.rule.Flip && s.sent == 0 && n > 0 {
		p[n/2] ^= 1
	}
	s.sent += int64(n)
	if s.rule.Endless && errors.Is(err, io.EOF) {
		clear(p[n:])
		return len(p), nil
	}
	return n, err
}
