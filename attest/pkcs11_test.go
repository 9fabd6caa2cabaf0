//go:build pkcs11key

package attest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/attest/attesttest"
	"github.com/sealyard/sealyard/internal/hint"
)

// The conformance of Key with a PKCS#11 token: SoftHSM, which must be installed (Debian: softhsm2).
func TestPKCS11Signer(t *testing.T) {
	module := ""
	for _, pattern := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm.so", "/usr/lib64/pkcs11/libsofthsm2.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			module = found[0]
		}
	}
	util, err := exec.LookPath("softhsm2-util")
	if err != nil || module == "" {
		t.Fatal("softhsm2 is missing: apt-get install softhsm2")
	}
	dir := t.TempDir()
	tokens, config, file := filepath.Join(dir, "tokens"), filepath.Join(dir, "softhsm2.conf"), filepath.Join(dir, "key.pem")
	der := must(x509.MarshalPKCS8PrivateKey(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)))(t)
	for name, content := range map[string]string{
		config: "directories.tokendir = " + tokens + "\n", file: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", config)
	for _, args := range [][]string{
		{"--init-token", "--free", "--label", "yard", "--so-pin", "000000", "--pin", "123456"},
		{"--import", file, "--token", "yard", "--label", "release", "--id", "01", "--pin", "123456"},
	} {
		if out, err := exec.Command(util, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	uri := "pkcs11:token=yard;object=release?module-path=" + module
	k, trust := openKey(t, uri, func() ([]byte, error) { return []byte("123456"), nil })
	attesttest.Signer(t, k, trust)
	// Not a wrong PIN: whoever is logged in to a token is so for the whole process, and no PIN is looked at again.
	for name, c := range map[string]struct{ uri, pin string }{
		"no such key": {strings.Replace(uri, "release", "other", 1), "123456"}, "no such token": {strings.Replace(uri, "yard", "other", 1), "123456"},
		"no module": {"pkcs11:token=yard;object=release?module-path=/absent.so", "123456"},
	} {
		if _, err := attest.OpenKey(context.Background(), c.uri, func() ([]byte, error) { return []byte(c.pin), nil }); err == nil || hint.Of(err) == "" || strings.Contains(err.Error(), c.pin) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
