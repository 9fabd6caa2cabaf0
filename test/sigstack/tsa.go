package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-openapi/runtime"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/timestamp-authority/v2/pkg/api"
	"github.com/sigstore/timestamp-authority/v2/pkg/generated/restapi/operations/timestamp"
	"github.com/sigstore/timestamp-authority/v2/pkg/log"
	"github.com/spf13/viper"
	"go.uber.org/zap"
)

const (
	stampPath = "/api/v1/timestamp"
	stampType = "application/timestamp-reply"
	policy    = "1.3.6.1.4.1.57264.2" // Sigstore's, for timestamps
)

// startTSA starts a timestamp authority (RFC 3161) with a key and a chain of certificates in memory. Its handlers are wired here
// because the package that does so cannot be in one program with Rekor's: both register the same flags.
func (s *stack) startTSA(context.Context, string) (http.Handler, error) {
	log.Logger = zap.NewNop().Sugar()
	for name, value := range map[string]any{
		"timestamp-signer": "memory", "timestamp-signer-hash": "sha256", "include-chain-in-response": true, "use-http-201": true,
		"default-policy-oid": policy, "accepted-policy-oids": []string{policy},
	} {
		viper.Set(name, value)
	}
	api.ConfigureAPI()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+stampPath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", stampType)
		answer := api.TimestampResponseHandler(timestamp.GetTimestampResponseParams{HTTPRequest: r, Request: r.Body})
		answer.WriteResponse(w, runtime.ByteStreamProducer())
	})
	mux.HandleFunc("GET "+stampPath+"/certchain", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		api.GetTimestampCertChainHandler(timestamp.GetTimestampCertChainParams{HTTPRequest: r}).WriteResponse(w, runtime.TextProducer())
	})
	chain, err := get(mux, stampPath+"/certchain")
	if err != nil {
		return nil, err
	}
	s.clock, err = cryptoutils.LoadCertificatesFromPEM(bytes.NewReader(chain))
	return mux, err
}

// get asks a handler for one document.
func get(h http.Handler, path string) ([]byte, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d: %q", path, w.Code, w.Body)
	}
	return w.Body.Bytes(), nil
}
