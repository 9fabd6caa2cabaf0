package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
)

// Origin says where a bundle came from and who vouches for it. Whoever loads a bundle fills it from what was verified: nothing
// in a bundle can. The zero Origin is that of a file of this machine which nobody signed, and of the embedded bundle.
type Origin struct {
	Source string `json:"source,omitzero"` // where it was fetched from: "oci://REGISTRY/NAME", "https://HOST/PATH"; "" for a file
	Digest string `json:"digest,omitzero"` // of what is there: the manifest or the archive, "sha256:<64 hex>"
	Signer Signer `json:"signer,omitzero"` // whose signature over it was verified
}

// Origin returns where the bundle came from.
func (b *Bundle) Origin() Origin { return b.origin }

// WithOrigin returns the same bundle with another origin: of one that travelled with evidence, the recorded one.
func (b *Bundle) WithOrigin(o Origin) *Bundle {
	c := *b
	c.origin = o
	return &c
}

// Revision returns the revision in the bundle's manifest, or "".
func (b *Bundle) Revision() string { return b.revision }

// NotAfter returns when the bundle ends; the zero time is never.
func (b *Bundle) NotAfter() time.Time { return b.notAfter }

// notAfterKey is the member of a manifest's metadata that says when a bundle ends.
const notAfterKey = "not_after"

// notAfter reads the end of a bundle from its manifest's metadata; the zero time is none. A name that only looks like ours is
// refused: its author believes that the bundle ends (T14).
func notAfter(metadata map[string]any) (time.Time, error) {
	for key := range metadata {
		if plain := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(key)); plain == "notafter" && key != notAfterKey {
			return time.Time{}, fmt.Errorf("%s: metadata %q is not read; write %s", manifestFile, clip(key), notAfterKey)
		}
	}
	v, given := metadata[notAfterKey]
	if !given {
		return time.Time{}, nil
	}
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: metadata %s is %q, want a time such as 2027-01-31T00:00:00Z", manifestFile, notAfterKey, clip(fmt.Sprint(v)))
	}
	return t.UTC(), nil
}

// Fresh refuses a bundle that has ended by now. Deciding asks the same of the time that is decided at, so no way round it
// gives an answer (T14).
func (b *Bundle) Fresh(now time.Time) error {
	if b.notAfter.IsZero() || !now.After(b.notAfter) {
		return nil
	}
	return hint.Wrap(fmt.Errorf("policy bundle %q ended at %s", b.name, b.notAfter.Format(time.RFC3339)),
		"get the bundle that replaced it; whoever publishes it sets %s in its %s", notAfterKey, manifestFile)
}

// orderable is a revision that has a place in an order: numbers, as in 17, v1.4.2 or 2026-11-25.
var orderable = regexp.MustCompile(`^v?[0-9]{1,18}([.-][0-9]{1,18}){0,7}$`)

// AtLeast refuses a bundle whose revision comes before least, or has no place in an order (T14). Revisions are compared number
// by number: 17, v1.4.2, 2026-11-25.
func (b *Bundle) AtLeast(least string) error {
	want, err := numbersOf(least)
	if err != nil {
		return hint.Misuse(fmt.Errorf("least revision %q: %w", clip(least), err), "give a revision such as 17, 1.4.2 or 2026-11-25")
	}
	have, err := numbersOf(b.revision)
	if err != nil {
		return hint.Wrap(fmt.Errorf("policy bundle %q: revision %q: %w", b.name, clip(b.revision), err), "give the manifest a revision such as 17, 1.4.2 or 2026-11-25")
	}
	for i := range max(len(want), len(have)) {
		w, h := nth(want, i), nth(have, i)
		switch {
		case h > w:
			return nil
		case h < w:
			return hint.Wrap(fmt.Errorf("policy bundle %q has revision %s, and at least %s is demanded", b.name, b.revision, least), "an older bundle was put in place of a newer one, or the newer one is not published here yet")
		}
	}
	return nil
}

func numbersOf(revision string) ([]uint64, error) {
	if !orderable.MatchString(revision) {
		return nil, errors.New("it has no place in an order")
	}
	var out []uint64
	for part := range strings.FieldsFuncSeq(strings.TrimPrefix(revision, "v"), func(r rune) bool { return r == '.' || r == '-' }) {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// nth is the number at i; what is not written is 0, so that 1.2 and 1.2.0 are the same.
func nth(numbers []uint64, i int) uint64 {
	if i < len(numbers) {
		return numbers[i]
	}
	return 0
}
