package build

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/session/secrets/secretsprovider"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sealyard/sealyard/internal/hint"
)

// The standard annotations that are filled in.
const (
	annotationCreated    = ocispec.AnnotationCreated
	annotationSource     = ocispec.AnnotationSource
	annotationRevision   = ocispec.AnnotationRevision
	annotationBaseName   = ocispec.AnnotationBaseImageName
	annotationBaseDigest = ocispec.AnnotationBaseImageDigest
	epochArg             = "SOURCE_DATE_EPOCH"
)

// normal checks the plan's words and returns it in the form the rest of the package reads.
func (p Plan) normal() (Plan, error) {
	var err error
	platforms := make([]string, 0, len(p.Platforms))
	for _, s := range p.Platforms {
		if s, err = ParsePlatform(s); err != nil {
			return p, err
		}
		if !slices.Contains(platforms, s) {
			platforms = append(platforms, s)
		}
	}
	p.Platforms = platforms
	if p.Network, err = ParseNetwork(p.Network); err != nil {
		return p, err
	}
	for _, e := range p.Allow {
		if _, err := ParseEntitlement(e); err != nil {
			return p, err
		}
	}
	if p.Network == "host" && !slices.Contains(p.Allow, NetworkHost) {
		return p, hint.Misuse(errors.New("network host is not allowed"), "grant the entitlement with --allow %s", NetworkHost)
	}
	switch p.Provenance {
	case "", "min", "max":
	default:
		return p, hint.Misuse(fmt.Errorf("unknown provenance mode %q", p.Provenance), "one of min, max")
	}
	switch p.Progress {
	case "", "auto", "plain", "tty", "quiet":
	default:
		return p, hint.Misuse(fmt.Errorf("unknown progress mode %q", p.Progress), "one of auto, plain, tty, quiet")
	}
	if err := p.checkParts(); err != nil {
		return p, err
	}
	return p.withEpoch()
}

// checkParts checks the entries of lists.
func (p Plan) checkParts() error {
	for _, c := range p.CacheFrom {
		if err := c.check(false); err != nil {
			return err
		}
	}
	for _, c := range p.CacheTo {
		if err := c.check(true); err != nil {
			return err
		}
	}
	for _, s := range p.SSH {
		if len(s.Paths) == 0 || slices.Contains(s.Paths, "") {
			return hint.Misuse(fmt.Errorf("ssh %q has no agent and no key", s.ID), "write %s=path", s.ID)
		}
	}
	for _, h := range p.Hosts {
		if err := h.check(); err != nil {
			return err
		}
	}
	return nil
}

// withEpoch makes SourceDateEpoch and the build argument of the same meaning one.
func (p Plan) withEpoch() (Plan, error) {
	arg, given := p.BuildArgs[epochArg]
	if p.SourceDateEpoch == nil && given {
		n, err := ParseEpoch(arg)
		if err != nil {
			return p, err
		}
		p.SourceDateEpoch = &n
	}
	if p.SourceDateEpoch == nil {
		return p, nil
	}
	epoch := strconv.FormatInt(*p.SourceDateEpoch, 10)
	if given && arg != epoch {
		return p, hint.Misuse(fmt.Errorf("two values for %s: %q and %q", epochArg, arg, epoch), "give one")
	}
	p.BuildArgs = maps.Clone(p.BuildArgs)
	if p.BuildArgs == nil {
		p.BuildArgs = map[string]string{}
	}
	p.BuildArgs[epochArg] = epoch
	return p, nil
}

// annotations are those of one place: what is known, then what the plan says.
func (p Plan) annotations(kind, platform string, known map[string]string) map[string]string {
	out := map[string]string{}
	if kind == "index" || kind == "manifest" {
		for k, v := range known {
			if v != "" {
				out[k] = v
			}
		}
	}
	for _, a := range p.Annotations {
		if a.Type == kind && (a.Platform == "" || a.Platform == platform) {
			out[a.Key] = a.Value
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// readSecrets collects secret values and the content of secret files.
func readSecrets(p Plan) (map[string][]byte, error) {
	out := maps.Clone(p.Secrets)
	if out == nil {
		out = map[string][]byte{}
	}
	for _, id := range sortedKeys(p.SecretFiles) {
		if _, ok := out[id]; ok {
			return nil, hint.Misuse(fmt.Errorf("secret %q is given twice", id), "give each id once")
		}
		f, err := os.Open(p.SecretFiles[id])
		if err != nil {
			return nil, hint.Misuse(fmt.Errorf("secret %q: %w", id, err), "check the path")
		}
		out[id], err = io.ReadAll(io.LimitReader(f, secretsprovider.MaxSecretSize+1))
		_ = f.Close()
		if err != nil {
			return nil, hint.Misuse(fmt.Errorf("secret %q: %w", id, err), "check the path")
		}
	}
	for _, id := range sortedKeys(out) {
		if len(out[id]) > secretsprovider.MaxSecretSize || path.Base(id) == "" || strings.ContainsAny(id, " \t\n") || id == "" {
			return nil, hint.Misuse(fmt.Errorf("secret %q: bad id, or more than %d bytes", id, secretsprovider.MaxSecretSize), "ids are single words")
		}
	}
	return out, nil
}

// epochTime is the form annotations and configurations use.
func epochTime(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }
