package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/sigstore/fulcio/pkg/ca/ephemeralca"
	"k8s.io/klog/v2"
)

// names of the services, in faults and in messages.
const (
	github   = "github" // the token endpoint
	fulcio   = "fulcio"
	ctLog    = "ctlog" // as Fulcio reaches it
	tsa      = "tsa"
	rekorTwo = "rekor"
	rekorOne = "rekor1"
	peer     = "peer" // another Rekor v2, of another operator
)

// stack is everything that runs.
type stack struct {
	began  time.Time
	issuer *issuer
	ca     *ephemeralca.EphemeralCA
	clock  []*x509.Certificate // of the timestamp authority: leaf first, root last
	ctKey  crypto.PublicKey
	rekor  *rekorServer
	peer   *rekorServer
	rekor1 crypto.PublicKey
	fronts fronts
}

// start starts the services, each behind a front. What it returns must be stopped even when there is an error.
func start(ctx context.Context, state string, claims map[string]string) (*stack, error) {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	klog.SetSlogLogger(slog.Default())                                 // what the logs' libraries say
	s := &stack{began: time.Now().Add(-time.Minute), fronts: fronts{}} // certificates begin a little before us
	if err := os.MkdirAll(state, 0o700); err != nil {
		return s, err
	}
	for _, service := range []struct {
		name  string
		start func(ctx context.Context, state string) (http.Handler, error)
	}{
		{github, func(context.Context, string) (h http.Handler, err error) {
			s.issuer, err = newIssuer(claims)
			return s.issuer, err
		}},
		{rekorTwo, func(ctx context.Context, state string) (h http.Handler, err error) {
			s.rekor, h, err = startRekor(ctx, state, rekorTwo)
			return h, err
		}},
		{peer, func(ctx context.Context, state string) (h http.Handler, err error) {
			s.peer, h, err = startRekor(ctx, state, peer)
			return h, err
		}},
		{rekorOne, s.startRekorOne},
		{ctLog, s.startCTLog},
		{fulcio, s.startFulcio},
		{tsa, s.startTSA},
	} {
		h, err := service.start(ctx, state)
		if err == nil {
			err = s.fronts.add(service.name, h)
		}
		if err != nil {
			return s, fmt.Errorf("start %s: %w", service.name, err)
		}
	}
	return s, s.fronts.serveAdmin()
}

func (s *stack) stop() {
	s.fronts.stop()
	for _, r := range []*rekorServer{s.rekor, s.peer} {
		if r != nil {
			r.stop()
		}
	}
}
