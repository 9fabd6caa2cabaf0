package policy

import (
	"os"
	"testing"
)

// R71: what was decided by an earlier version is decided again to the byte: testdata/replay is never regenerated. Only the version of
// the engine may be another.
func TestReplay(t *testing.T) {
	b, err := Load(t.Context(), "testdata/replay/acme", LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("testdata/replay/input.json")
	if err != nil {
		t.Fatal(err)
	}
	in, err := ParseInput(raw)
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.Decide(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	d.Bundles[0].Engine = "opa v1.22.2"
	got, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/replay/decision.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("decided again: %s", got)
	}
}
