package build

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/internal/hint"
)

const (
	minMasked     = 4 // shorter masked values are words like "yes": equality says nothing
	minMaskedPart = 8 // from this length on a masked value may not be part of a build argument either
)

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

// checkSecrets refuses a plan that would publish a secret: build arguments, labels and annotations end up in the image
// and its provenance (R11, T5). The errors never hold the value.
func checkSecrets(plan Plan) error {
	masked := slices.Clone(plan.Masked)
	for _, v := range plan.Secrets {
		masked = append(masked, strings.TrimSpace(string(v)))
	}
	for _, name := range sortedKeys(plan.BuildArgs) {
		value := plan.BuildArgs[name]
		why := valueSecret(value, masked)
		if why == "" && value != "" && secretName.MatchString(name) && !notSecretName.MatchString(name) {
			why = "its name says so"
		}
		if why != "" {
			return hint.Misuse(fmt.Errorf("build argument %q looks like a secret: %s", name, why), "build arguments are published with the image; pass it with --secret and read it with RUN --mount=type=secret")
		}
	}
	for _, name := range sortedKeys(plan.Labels) {
		if why := valueSecret(plan.Labels[name], masked); why != "" {
			return hint.Misuse(fmt.Errorf("label %q looks like a secret: %s", name, why), "labels are published with the image")
		}
	}
	for _, a := range plan.Annotations {
		if why := valueSecret(a.Value, masked); why != "" {
			return hint.Misuse(fmt.Errorf("annotation %q looks like a secret: %s", a.Key, why), "annotations are published with the image")
		}
	}
	return nil
}

// valueSecret says why value must be a secret, or "".
func valueSecret(value string, masked []string) string {
	for _, m := range masked {
		if len(m) >= minMasked && value == m || len(m) >= minMaskedPart && strings.Contains(value, m) {
			return "its value is masked"
		}
	}
	for _, re := range secretValue {
		if re.MatchString(value) {
			return "its value has the form of one"
		}
	}
	return ""
}

// hasCredentials reports whether a URL has a user name that is more than ssh's, or a password.
func hasCredentials(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return false
	}
	_, password := u.User.Password()
	return password || u.Scheme == "https" || u.Scheme == "http"
}

// redactURL drops user name and password.
func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		if i := strings.LastIndex(raw, "@"); i >= 0 {
			return raw[i+1:]
		}
		return raw
	}
	if hasCredentials(raw) {
		u.User = nil
	}
	return u.String()
}
