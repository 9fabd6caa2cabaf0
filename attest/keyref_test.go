package attest_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/attest/attesttest"
	"github.com/sealyard/sealyard/internal/hint"
)

// As the program sigstore-kms-pem, the test is a key management service: pem:///PATH is the key in that file.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "sigstore-kms-pem" {
		os.Exit(m.Run())
	}
	args, err := handler.GetPluginArgs(os.Args)
	var key pemKey
	if err == nil {
		key, err = openPEM(args.InitOptions.KeyResourceID)
	}
	if err == nil {
		_, err = handler.Dispatch(os.Stdout, os.Stdin, args, key)
	} else {
		err = handler.WriteErrorResponse(os.Stdout, err)
	}
	if err != nil {
		os.Exit(1)
	}
}

type pemKey struct{ signature.SignerVerifier }

func openPEM(path string) (pemKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return pemKey{}, err
	}
	k, err := cryptoutils.UnmarshalPEMToPrivateKey(raw, nil)
	if err != nil {
		return pemKey{}, err
	}
	sv, err := signature.LoadDefaultSignerVerifier(k)
	return pemKey{sv}, err
}

func (pemKey) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errors.New("no key is made here")
}

func (pemKey) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.New("not here")
}

func (pemKey) SupportedAlgorithms() []string { return nil }
func (pemKey) DefaultAlgorithm() string      { return "" }

// openKey opens a key and makes a trust in it.
func openKey(t *testing.T, uri string, pin func() ([]byte, error)) (*attest.Key, *attest.Trust) {
	t.Helper()
	k := must(attest.OpenKey(context.Background(), uri, pin))(t)
	public := must(k.PublicKey())(t)
	return k, must(attest.LoadTrust(attest.TrustOptions{PublicKeys: []attest.File{{Name: "k.pub", Data: public}}}))(t)
}

// The conformance of Key with a program of Sigstore's plugin protocol, for each curve.
func TestPluginSigner(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(must(os.Executable())(t), filepath.Join(dir, "sigstore-kms-pem")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		der := must(x509.MarshalPKCS8PrivateKey(must(ecdsa.GenerateKey(curve, rand.Reader))(t)))(t)
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		k, trust := openKey(t, "pem://"+file, nil)
		t.Run(curve.Params().Name, func(t *testing.T) { attesttest.Signer(t, k, trust) })
	}
	_, err := attest.OpenKey(context.Background(), "pem:///absent", nil)
	if err == nil || !strings.Contains(err.Error(), "/absent") || hint.Of(err) == "" {
		t.Error(err)
	}
}

// transit answers as Vault's transit engine does for one ECDSA key, on the two paths that signing needs. It is no Vault.
func transit(t *testing.T, key *ecdsa.PrivateKey) *httptest.Server {
	public := must(cryptoutils.MarshalPublicKeyToPEM(key.Public()))(t)
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, data any) {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}
	mux.HandleFunc("/v1/transit/keys/release", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"type": "ecdsa-p256", "latest_version": 1, "keys": map[string]any{"1": map[string]any{"public_key": string(public)}}})
	})
	mux.HandleFunc("/v1/transit/sign/release/", func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			Input     []byte `json:"input"`
			Prehashed bool   `json:"prehashed"`
		}
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || !req.Prehashed {
			http.Error(w, `{"errors":["bad request"]}`, http.StatusBadRequest)
			return
		}
		sig, err := ecdsa.SignASN1(rand.Reader, key, req.Input)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, map[string]any{"signature": "vault:v1:" + base64.StdEncoding.EncodeToString(sig)})
	})
	over := make(chan struct{})
	mux.HandleFunc("/v1/transit/keys/slow", func(http.ResponseWriter, *http.Request) { <-over })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() { close(over); s.Close() })
	return s
}

// The conformance of Key with Vault's protocol, and what is said when a key is not there, or when nothing is.
func TestVaultSigner(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	t.Setenv("VAULT_ADDR", transit(t, key).URL)
	t.Setenv("VAULT_TOKEN", "s.word")
	k, trust := openKey(t, "hashivault://release", nil)
	attesttest.Signer(t, k, trust)
	_, err := attest.OpenKey(context.Background(), "hashivault://other", nil)
	if err == nil || !strings.Contains(err.Error(), "permission denied") || hint.Of(err) == "" || hint.IsMisuse(err) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "s.word") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := attest.OpenKey(ctx, "hashivault://slow", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// What is no key's name says what names there are; a PIN is not taken from where everybody can read it.
func TestKeyReferences(t *testing.T) {
	for uri, want := range map[string]string{
		"gpg://me": "nothing here knows what gpg:// is",
		"pkcs11:token=t;object=k?module-path=/x.so&pin-value=1234": "holds a PIN",
	} {
		_, err := attest.OpenKey(context.Background(), uri, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !hint.IsMisuse(err) || hint.Of(err) == "" || strings.Contains(fmt.Sprint(err, hint.Of(err)), "1234") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
