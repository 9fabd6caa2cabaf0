package secretlike_test

import (
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/secretlike"
)

// R11 T5: what is named like a secret or has the form of one is told from what only points to one.
func TestSecretlike(t *testing.T) {
	for _, name := range []string{"TOKEN", "DB_PASSWORD", "apiKey", "aws_secret_access_key", "githubToken"} {
		if !secretlike.Name(name) {
			t.Errorf("%q is not taken for a secret's name", name)
		}
	}
	for _, name := range []string{"", "DB_PASSWORD_FILE", "TOKEN_URL", "PUBLIC_KEY", "KEYBOARD", "AUTHOR"} {
		if secretlike.Name(name) {
			t.Errorf("%q is taken for a secret's name", name)
		}
	}
	token := "gh" + "p_" + strings.Repeat("a1", 18)
	for _, value := range []string{token, "postgres://app:hunter2@db/app", "-----BEGIN RSA " + "PRIVATE KEY-----"} {
		if !secretlike.Value(value) {
			t.Errorf("%q is not taken for a secret", value)
		}
	}
	for _, value := range []string{"", "postgres://db/app", "-----BEGIN PUBLIC KEY-----", "https://example.com/a:b@c"} {
		if secretlike.Value(value) {
			t.Errorf("%q is taken for a secret", value)
		}
	}
}
