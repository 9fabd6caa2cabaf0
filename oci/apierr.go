package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sealyard/sealyard/internal/hint"
)

const (
	maxErrorBody  = 64 << 10 // of an answer that is an error
	maxMessage    = 300      // bytes of the registry's own words in ours
	maxTries      = 4        // of one call
	maxRetryAfter = 30 * time.Second
)

// refusal makes an error of an unhoped-for answer.
func refusal(method string, resp *http.Response) error {
	e := &statusError{method: method, url: place(resp), status: resp.StatusCode, after: resp.Header.Get("Retry-After")}
	var body struct {
		Errors []struct{ Code, Message string }
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err == nil && json.Unmarshal(raw, &body) == nil && len(body.Errors) > 0 {
		e.code = body.Errors[0].Code
		e.message = body.Errors[0].Code + ": " + body.Errors[0].Message
		e.message = e.message[:min(len(e.message), maxMessage)]
	}
	return e
}

// retry calls f until it succeeds, fails for good, or was called maxTries times, with growing waits of random length
// between: many of us, turned away at once, must not come back at once.
func (r *Remote) retry(ctx context.Context, f func() error) error {
	wait := r.backoff
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == maxTries || ctx.Err() != nil || !temporary(err) {
			return err
		}
		pause := wait/2 + rand.N(wait)
		var status *statusError
		if errors.As(err, &status) {
			if s, numeric := strconv.Atoi(status.after); numeric == nil && s > 0 {
				pause = max(pause, min(time.Duration(s)*time.Second, maxRetryAfter))
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		wait *= 2
	}
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

// temporary reports whether the same call may well succeed later.
func temporary(err error) bool {
	if errors.Is(err, errGuard) || errors.Is(err, ErrCorrupt) || errors.Is(err, context.Canceled) {
		return false
	}
	if raced(err) {
		return true
	}
	switch statusOf(err) {
	case 0:
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, context.DeadlineExceeded)
}

// raced reports whether a registry says that what it got is not what was sent. The bytes were verified on their way
// out, so they were damaged on the way or, as with docker-registry 2.8, crossed another's upload of the same content.
func raced(err error) bool {
	var e *statusError
	return errors.As(err, &e) && (e.code == "DIGEST_INVALID" || e.code == "BLOB_UPLOAD_INVALID" || e.code == "BLOB_UPLOAD_UNKNOWN")
}

// statusOf is the HTTP status that err carries, ours or go-containerregistry's; 0 for none.
func statusOf(err error) int {
	var own *statusError
	if errors.As(err, &own) {
		return own.status
	}
	var login *transport.Error
	if errors.As(err, &login) {
		return login.StatusCode
	}
	return 0
}

// explain names the registry and adds what to do.
func (p *Repository) explain(err error) error {
	host := p.repo.RegistryStr()
	var network *net.OpError
	var dns *net.DNSError
	switch {
	case err == nil || hint.Of(err) != "":
		return err
	case errors.Is(err, errGuard):
		return hint.Wrap(err, "if you trust that host, list it among those that may be reached without TLS or that may get credentials")
	case statusOf(err) == http.StatusUnauthorized || statusOf(err) == http.StatusForbidden:
		return hint.Wrap(fmt.Errorf("registry %q refuses access to %q: %w", host, p.repo.RepositoryStr(), err),
			"log in (docker login %s) with an account that may do this; credentials come from %s", host, p.r.credentialSource())
	case errors.As(err, &dns), errors.As(err, &network):
		return hint.Wrap(fmt.Errorf("registry %q is unreachable: %w", host, err), "check its name and the network to it")
	case statusOf(err) == http.StatusTooManyRequests:
		return hint.Wrap(fmt.Errorf("registry %q: %w", host, err), "it limits how often it may be asked: log in, or try again later")
	}
	return fmt.Errorf("registry %q: %w", host, err)
}

func (r *Remote) credentialSource() string {
	if r.opts.DockerConfig == "" {
		return "docker's configuration, and none was given"
	}
	return r.opts.DockerConfig + "/config.json"
}

// jitter makes d up to half again as long.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/2) }
