package oci

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sealyard/sealyard/internal/hint"
)

// Reference is a parsed image reference.
type Reference struct {
	Registry   string // host or host:port as users write it: "docker.io", "127.0.0.1:5000"
	Repository string // registry and path, fully qualified: "docker.io/library/debian"
	Tag        string // "" when the reference names a digest; "latest" when it names neither
	Digest     string // "" when the reference names a tag
}

// String returns the reference fully qualified.
func (r Reference) String() string {
	if r.Digest != "" {
		return r.Repository + "@" + r.Digest
	}
	return r.Repository + ":" + r.Tag
}

// ParseReference parses a reference as docker does: Docker Hub and the tag latest are the defaults. Of a reference
// with a tag and a digest the digest counts. An error is marked as misuse.
func ParseReference(s string) (Reference, error) {
	ref, err := parseName(s)
	if err != nil {
		return Reference{}, err
	}
	r := Reference{Registry: ref.Context().RegistryStr(), Repository: ref.Context().Name()}
	if r.Registry == name.DefaultRegistry {
		r.Registry = "docker.io"
		r.Repository = "docker.io/" + ref.Context().RepositoryStr()
	}
	switch ref := ref.(type) {
	case name.Digest:
		r.Digest = ref.DigestStr()
	case name.Tag:
		r.Tag = ref.TagStr()
	}
	return r, nil
}

// parseName is ParseReference with go-containerregistry's types.
func parseName(s string) (name.Reference, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, badName(s, errors.New("it holds a character that no reference has"))
	}
	ref, err := name.ParseReference(s)
	if err != nil {
		return nil, badName(s, err)
	}
	if d, ok := ref.(name.Digest); ok && !validDigest(d.DigestStr()) {
		return nil, badName(s, errors.New("only sha256 digests are supported"))
	}
	if len(ref.Context().RepositoryStr()) > maxName {
		return nil, badName(s, fmt.Errorf("a name longer than %d", maxName))
	}
	return ref, nil
}

// maxName is what registries take.
const maxName = 255

func badName(s string, err error) error {
	return hint.Misuse(fmt.Errorf("image reference %q: %w", s, err), "write it as REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:HEX, without spaces or newlines")
}

// validDigest reports whether d is sha256: and 64 lower-case hex digits. No other algorithm is accepted (T43).
func validDigest(d string) bool {
	hex, ok := strings.CutPrefix(d, "sha256:")
	if !ok || len(hex) != 64 {
		return false
	}
	return strings.Trim(hex, "0123456789abcdef") == ""
}
