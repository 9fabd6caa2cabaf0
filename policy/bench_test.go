package policy

import (
	"testing"
)

// BenchmarkLoad compiles the embedded bundle.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Baseline(LoadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecide asks the embedded bundle about a small image for two platforms.
func BenchmarkDecide(b *testing.B) {
	bundle, err := Baseline(LoadOptions{})
	if err != nil {
		b.Fatal(err)
	}
	in := allowedInput()
	for b.Loop() {
		if _, err := bundle.Decide(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
