// Package secretlike tells by their form what must be secrets: by the name of a setting, or by a value itself.
package secretlike

import "regexp"

var (
	// secretName matches names that promise a secret; notSecretName those that only point to one or are public.
	secretName    = regexp.MustCompile(`(?i:(?:^|[_.-])(?:tokens?|secrets?|password|passwd|passphrase|pword|pwd|credentials?|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key|encryption[_-]?key|secret[_-]?key|client[_-]?secret|auth)(?:$|[_.-]))|(?i:tokens?|secrets?|password|passwd|passphrase|credentials?|apikey)$`)
	notSecretName = regexp.MustCompile(`(?i)(?:^|[_.-])public(?:$|[_.-])|[_.-](?:file|path|dir|name|id|url|uri|endpoint|host|type|ttl|version)$`)

	// secretValue are forms that only secrets have.
	secretValue = []*regexp.Regexp{
		regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY`),
		regexp.MustCompile(`\bgh[pousr]_[A-Za-z0-9]{30,}`),                                       // GitHub
		regexp.MustCompile(`\bgithub_pat_[A-Za-z0-9_]{30,}`),                                     // GitHub, fine-grained
		regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20,}`),                                         // GitLab
		regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`),                                      // AWS
		regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{35}`),                                            // Google
		regexp.MustCompile(`\bxox[abeoprs]-[A-Za-z0-9-]{10,}`),                                   // Slack
		regexp.MustCompile(`\b(?:sk|rk)_live_[A-Za-z0-9]{16,}`),                                  // Stripe
		regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}`),                                              // npm
		regexp.MustCompile(`\bpypi-[A-Za-z0-9_-]{16,}`),                                          // PyPI
		regexp.MustCompile(`\bdckr_pat_[A-Za-z0-9_-]{20,}`),                                      // Docker Hub
		regexp.MustCompile(`\bhf_[A-Za-z0-9]{30,}`),                                              // Hugging Face
		regexp.MustCompile(`\bAGE-SECRET-KEY-1[A-Z0-9]{20,}`),                                    // age
		regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`), // JWT
		regexp.MustCompile(`\b[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@`),                    // URL with a password
		regexp.MustCompile(`(?i)\b(?:bearer|basic)\s+[A-Za-z0-9+/_.=-]{16,}`),                    // Authorization header
	}
)

// Name reports whether a setting of this name promises a secret: DB_PASSWORD does, DB_PASSWORD_FILE and PUBLIC_KEY do not.
func Name(name string) bool { return secretName.MatchString(name) && !notSecretName.MatchString(name) }

// Value reports whether a value has a form that only secrets have, such as a private key, the token of a known service or a URL
// with a password. Many secrets have none of them.
func Value(value string) bool {
	for _, re := range secretValue {
		if re.MatchString(value) {
			return true
		}
	}
	return false
}
