package attest

import (
	"fmt"
	"net/url"
	"strings"
)

// BuildType is the buildType of our provenance. The page it resolves to enumerates every external parameter (R9, R21).
const BuildType = docs + "buildtypes/container-v1.md"

// docs is where the pages behind our URIs are.
const docs = "https://github.com/sealyard/sealyard/blob/main/docs/"

// Mode is how sealyard was run. Each has its own builder.id, because each can be trusted differently (R9).
type Mode string

// The modes. What each may claim is on the page that BuilderID names.
const (
	ModeCLI        Mode = "cli"         // somebody's machine
	ModeSelfHosted Mode = "self-hosted" // the action on a runner its user keeps
	ModeAction     Mode = "action"      // the action in a job on a GitHub-hosted runner
)

// Modes are all modes.
func Modes() []Mode { return []Mode{ModeCLI, ModeSelfHosted, ModeAction} }

// BuilderID is the builder.id of provenance made in a mode, unless an OIDC token names the workflow (Build.BuilderID).
func BuilderID(m Mode) string { return docs + "builders/" + string(m) + ".md" }

// Level is the highest SLSA Build level that provenance from a mode may be taken for (R15). Signed with a key that the
// job could read, no mode is more than 1.
func (m Mode) Level() int {
	switch m {
	case ModeAction:
		return 2
	default:
		return 1
	}
}

// builderID is the mode's own, or for the action the workflow that the caller's OIDC token named.
func builderID(m Mode, named string) (string, error) {
	known := false
	for _, k := range Modes() {
		known = known || k == m
	}
	if !known {
		return "", fmt.Errorf("mode %q is not known", m)
	}
	if named == "" {
		return BuilderID(m), nil
	}
	if m != ModeAction {
		return "", fmt.Errorf("builder.id %q: mode %s has its own", named, m)
	}
	u, err := url.Parse(named)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Host != strings.ToLower(u.Host) {
		return "", fmt.Errorf("builder.id %q is not an https URI", named)
	}
	return named, nil
}
