package hint

import (
	"errors"
	"fmt"
	"testing"
)

func TestHintSurvivesWrapping(t *testing.T) {
	base := errors.New("no such file")
	err := fmt.Errorf("read %q: %w", "x", Misuse(base, "pass --file"))
	if got := Of(err); got != "pass --file" {
		t.Errorf("Of = %q", got)
	}
	if !IsMisuse(err) || IsMisuse(base) {
		t.Error("misuse mark lost or invented")
	}
	if !errors.Is(err, base) {
		t.Error("cause lost")
	}
	if err := Wrap(err, "outer"); Of(err) != "outer" || !IsMisuse(err) {
		t.Error("the outer hint must win and the mark must stay")
	}
	joined := errors.Join(errors.New("other"), fmt.Errorf("a %w and b %w", base, Misuse(base, "mend it")))
	if Of(joined) != "mend it" || !IsMisuse(joined) {
		t.Error("hint lost behind errors.Join or a second %w")
	}
	if Wrap(nil, "x") != nil || Misuse(nil, "x") != nil {
		t.Error("nil must stay nil")
	}
}

func TestNearest(t *testing.T) {
	known := []string{"build-args", "platforms", "tags"}
	for in, want := range map[string]string{"build-arg": "build-args", "platfroms": "platforms", "tag": "tags", "zzz": "", "": ""} {
		if got := Nearest(in, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}
