package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
)

// T14: a bundle that has ended decides nothing at a later time, and what was decided before is decided again.
func TestNotAfter(t *testing.T) {
	b := load(t, map[string]string{"a.rego": tightens, ".manifest": `{"metadata": {"not_after": "2026-11-20T13:00:00+01:00"}}`}, LoadOptions{})
	in := allowedInput() // at 12:00:00Z
	if _, err := b.Decide(t.Context(), in); err != nil {
		t.Error(err)
	}
	in.Time = in.Time.Add(time.Second)
	if d, err := b.Decide(t.Context(), in); err == nil || d.Allowed || err.Error() != `policy bundle "acme" ended at 2026-11-20T12:00:00Z` || hint.Of(err) == "" {
		t.Errorf("error %v", err)
	}
	if err := b.Fresh(in.Time); err == nil {
		t.Error("it is fresh after its end")
	}
	again, err := LoadArchive(t.Context(), b.Archive(), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if again.Fresh(in.Time) == nil || again.Digest() != b.Digest() {
		t.Error("the archive has lost the end")
	}
}

// T14: revisions are compared number by number, and what cannot be compared is not new enough.
func TestAtLeast(t *testing.T) {
	for _, c := range []struct{ have, least, want string }{
		{"7", "7", ""}, {"8", "7", ""}, {"10", "9", ""}, {"v1.10.0", "1.9", ""}, {"1.2", "1.2.0", ""}, {"2026-11-25", "2026-02-28", ""}, {"1.2.1", "1.2", ""},
		{"6", "7", "has revision 6, and at least 7 is demanded"}, {"1.9", "v1.10", "at least v1.10 is demanded"}, {"2025-12-31", "2026-01-01", "at least"},
		{"", "1", `revision "": it has no place in an order`}, {"627c58e", "1", "no place in an order"}, {"1.2.3-rc1", "1", "no place in an order"},
		{"1", "main", `least revision "main": it has no place in an order`},
		{strings.Repeat("9", 18), "1", ""}, {strings.Repeat("9", 19), "1", "no place in an order"},
	} {
		b := Bundle{name: "acme", revision: c.have}
		err := b.AtLeast(c.least)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || hint.Of(err) == ""):
			t.Errorf("%q, at least %q: %v", c.have, c.least, err)
		}
	}
}
