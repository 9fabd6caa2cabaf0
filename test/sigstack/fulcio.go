package main

import (
	"context"
	_ "embed"
	"net/http"
	"strings"
	"time"

	ctclient "github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/jsonclient"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/sigstore/fulcio/pkg/config"
	pb "github.com/sigstore/fulcio/pkg/generated/protobuf"
	"github.com/sigstore/fulcio/pkg/log"
	"github.com/sigstore/fulcio/pkg/server"
	v1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/signature"
	"go.uber.org/zap"
	"google.golang.org/grpc/metadata"
)

// fulcioConfig says which claims of a token become which extensions of a certificate, as Sigstore's public instance does.
//
//go:embed fulcio.yaml
var fulcioConfig []byte

// home sends what is for the issuers of tokens to ours, so that certificates bear the real issuers' names. Nothing else may leave.
type home struct {
	issuer string // host:port
	real   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (h home) RoundTrip(r *http.Request) (*http.Response, error) {
	if isIssuer(r.URL.Scheme + "://" + r.URL.Host) {
		r = r.Clone(r.Context())
		r.Host = r.URL.Host
		r.URL.Scheme, r.URL.Host = "http", h.issuer
	}
	return h.real.RoundTrip(r)
}

func (s *stack) startFulcio(ctx context.Context, _ string) (http.Handler, error) {
	log.Logger = zap.NewNop().Sugar()
	http.DefaultTransport = home{s.fronts[github].addr, http.DefaultTransport} // the one that Fulcio asks issuers through
	cfg, err := config.Read(fulcioConfig)
	if err != nil {
		return nil, err
	}
	// What it speaks is what Sigstore's clients may sign with.
	algorithms, err := signature.NewAlgorithmRegistryConfig([]v1.PublicKeyDetails{
		v1.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, v1.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384, v1.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512,
		v1.PublicKeyDetails_PKIX_ED25519, v1.PublicKeyDetails_PKIX_ED25519_PH, v1.PublicKeyDetails_PKIX_RSA_PKCS1V15_3072_SHA256,
	})
	if err != nil {
		return nil, err
	}
	ct, err := ctclient.New(s.fronts.url(ctLog), &http.Client{Timeout: 10 * time.Second}, jsonclient.Options{})
	if err != nil {
		return nil, err
	}
	mux := runtime.NewServeMux(runtime.WithMetadata(func(_ context.Context, r *http.Request) metadata.MD {
		return metadata.Pairs(server.MetadataOIDCTokenKey, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}))
	if err := pb.RegisterCAHandlerServer(ctx, mux, server.NewGRPCCAServer(ct, s.ca, algorithms, server.NewIssuerPool(cfg))); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(config.With(r.Context(), cfg)))
	}), nil
}
