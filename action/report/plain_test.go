package report

import (
	"strings"
	"testing"
)

// T2: escape sequences in the output of a build do not reach a terminal or a workflow log.
func TestPlain(t *testing.T) {
	var out strings.Builder
	p := NewPlain(&out)
	for _, piece := range []string{"  \x1b[31mred\x1b[0m te", "xt\n\ttab\x1b]0;title\x07\n", "::set-output::x\r", "bell\x07 no newline"} {
		if n, err := p.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	want := "  red text\n\ttab\\x1b]0;title\\x07\n::set-output::x bell\\x07 no newline"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
	out.Reset()
	if _, err := p.Write([]byte(strings.Repeat("x", maxLine+1))); err != nil || out.Len() <= maxLine {
		t.Errorf("an endless line is held back: %d %v", out.Len(), err)
	}
}
