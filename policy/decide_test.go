package policy

import (
	"testing"
)

// The baseline allows sound evidence, and its decision names what was asked of whom.
func TestBaselineAllows(t *testing.T) {
	in := allowedInput()
	golden(t, "testdata/allowed.json", mustJSON(t, in))
	d := decideOrFail(t, baseline(t, ""), in)
	if !d.Allowed {
		t.Fatalf("denied: %+v", d.Denials)
	}
	data, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/allowed.decision.json", data)
}
