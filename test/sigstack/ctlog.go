package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sigstore/fulcio/pkg/ca/ephemeralca"
	"github.com/transparency-dev/tessera"
	tiles "github.com/transparency-dev/tessera/storage/posix"
	"github.com/transparency-dev/tesseract"
	"github.com/transparency-dev/tesseract/storage"
	"github.com/transparency-dev/tesseract/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// startCTLog starts a certificate transparency log that takes what Fulcio's key certifies, which it makes.
func (s *stack) startCTLog(ctx context.Context, state string) (h http.Handler, err error) {
	if s.ca, err = ephemeralca.NewEphemeralCA(); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	s.ctKey = key.Public()
	roots := filepath.Join(state, "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.caRoot().Raw}), 0o600); err != nil {
		return nil, err
	}
	trees := func(ctx context.Context, signer note.Signer) (*storage.CTStorage, error) {
		return ctStorage(ctx, filepath.Join(state, "ct"), signer)
	}
	return tesseract.NewLogHandler(ctx, "sigstack.localhost/ct", key,
		tesseract.ChainValidationConfig{RootsPEMFile: roots, ExtKeyUsages: "CodeSigning"},
		trees, 10*time.Second, false, "", tesseract.LogHandlerOpts{DedupRL: -1, MaxCertChainBytes: 1 << 20})
}

func ctStorage(ctx context.Context, dir string, signer note.Signer) (*storage.CTStorage, error) {
	driver, err := tiles.New(ctx, tiles.Config{Path: dir})
	if err != nil {
		return nil, err
	}
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithCTLayout().
		WithBatching(tessera.DefaultBatchMaxSize, 20*time.Millisecond).WithCheckpointInterval(time.Second)
	appender, _, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return nil, err
	}
	issuers, err := posix.NewIssuerStorage(ctx, dir)
	if err != nil {
		return nil, err
	}
	return storage.NewCTStorage(ctx, &storage.CTStorageOptions{Appender: appender, Reader: reader, IssuerStorage: issuers})
}
