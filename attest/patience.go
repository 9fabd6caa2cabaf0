package attest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// How long a service of Sigstore is waited for. The context that signing runs in may end it earlier.
const (
	maxTries   = 5                      // of one request
	firstWait  = 500 * time.Millisecond // before the second try, a half more or less; it doubles from try to try
	patience   = time.Minute            // for all waits of one request together
	tryTimeout = 30 * time.Second       // for one answer, from first to last byte
	maxAnswer  = 4 << 20                // bytes; a certificate, a timestamp or a log entry has some kB
	maxRefusal = 300                    // bytes of an answer that says no, for a message
)

// patient sends a request to a service again when the answer may be another one a little later: nobody listens, the
// connection breaks, it answers 429 or 5xx. How long it waits between is random, because many of us may be turned away at once, and
// no shorter than the service asks for. A service that asks for more than there is patience for is not waited for.
type patient struct {
	ctx     context.Context // of every request: sigstore-go 1.3.0 passes none on
	service string          // for messages
}

// RoundTrip returns a whole answer: one that breaks off in the middle is an error here.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	wait, waited := firstWait, time.Duration(0)
	for try := 1; ; try++ {
		res, err := p.once(r)
		pause := wait/2 + rand.N(wait)
		var no *refusal
		if errors.As(err, &no) {
			pause = max(pause, no.after)
		}
		waited += pause
		once := r.Body != nil && r.GetBody == nil // the body is spent
		if err == nil || once || errors.Is(err, errLong) || try == maxTries || waited > patience || p.ctx.Err() != nil {
			return res, err
		}
		if ended := sleep(p.ctx, pause); ended != nil {
			return nil, fmt.Errorf("%w: %w", ended, err)
		}
		wait *= 2
	}
}

func (p patient) once(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(p.ctx, tryTimeout)
	defer cancel()
	again := r.Clone(ctx)
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		again.Body = body
	}
	res, err := http.DefaultTransport.RoundTrip(again)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.service, err)
	}
	defer res.Body.Close()
	body, err := wholeAnswer(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: its answer: %w", p.service, err)
	}
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= http.StatusInternalServerError {
		no := &refusal{status: res.StatusCode, text: string(body[:min(len(body), maxRefusal)]), after: retryAfter(res.Header)}
		return nil, fmt.Errorf("%s: %w", p.service, no)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// errLong says that a service answers with more than anybody reads of it.
var errLong = fmt.Errorf("it is larger than expected: more than %d bytes", maxAnswer)

// wholeAnswer reads the whole of one, and refuses a longer one instead of cutting it.
func wholeAnswer(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errLong
	}
	return body, err
}

// refusal is an answer that may be another one later.
type refusal struct {
	status int
	text   string
	after  time.Duration // 0 when it does not say
}

// Error implements error.
func (r *refusal) Error() string {
	s := fmt.Sprintf("it answered %d %q", r.status, strings.TrimSpace(r.text))
	if r.after > patience {
		s += fmt.Sprintf(" and asks to wait %s", r.after)
	}
	return s
}

// retryAfter reads the header of that name: seconds, or a date, which is compared with the service's own (RFC 9110, 10.2.3).
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return time.Duration(min(n, 1<<30)) * time.Second
	}
	then, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, then.Sub(now))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
