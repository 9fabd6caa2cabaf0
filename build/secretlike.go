package build

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/internal/secretlike"
)

const (
	minMasked     = 4 // shorter masked values are words like "yes": equality says nothing
	minMaskedPart = 8 // from this length on a masked value may not be part of a build argument either
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
		if why == "" && value != "" && secretlike.Name(name) {
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
	if secretlike.Value(value) {
		return "its value has the form of one"
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
