package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// cpu reports the processor time of each operation, which a busy machine does not stretch as it does the wall time.
func cpu(b *testing.B) func() {
	used := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/1e6/float64(b.N), "cpu-ms/op") }
}

// BenchmarkLoad compiles the embedded bundle.
func BenchmarkLoad(b *testing.B) {
	defer cpu(b)()
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
	defer cpu(b)()
	for b.Loop() {
		if _, err := bundle.Decide(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecideLarge asks about two platforms with a thousand packages and five hundred vulnerabilities each.
func BenchmarkDecideLarge(b *testing.B) {
	bundle, err := Baseline(LoadOptions{})
	if err != nil {
		b.Fatal(err)
	}
	in := largeInput()
	defer cpu(b)()
	for b.Loop() {
		if d, err := bundle.Decide(b.Context(), in); err != nil || !d.Allowed {
			b.Fatal(err, d.Denials)
		}
	}
}

func largeInput() Input {
	in := allowedInput()
	var spdx, cdx, vulns []string
	for i := range 1000 {
		spdx = append(spdx, fmt.Sprintf(`{"name":"package-%d","versionInfo":"1.0.%d","licenseDeclared":"MIT","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:deb/debian/package-%d@1.0.%d"}]}`, i, i, i, i))
		cdx = append(cdx, fmt.Sprintf(`{"name":"package-%d","version":"1.0.%d","purl":"pkg:deb/debian/package-%d@1.0.%d","licenses":[{"license":{"id":"MIT"}}]}`, i, i, i, i))
	}
	for i := range 500 {
		vulns = append(vulns, strings.NewReplacer("CVE-2026-0001", fmt.Sprintf("CVE-2026-%d", i), "openssl", fmt.Sprintf("package-%d", i)).Replace(vulnerabilityJSON))
	}
	for i := range in.Claims {
		c := &in.Claims[i]
		if len(c.Subjects) != 1 || c.Subjects[0] == in.Image.Digest {
			continue
		}
		whole := string(c.Predicate)
		whole = strings.Replace(whole, `{"name":"openssl","versionInfo":"3.0.17-1"}`, strings.Join(spdx, ","), 1)
		whole = strings.Replace(whole, `{"name":"openssl","version":"3.0.17-1"}`, strings.Join(cdx, ","), 1)
		c.Predicate = json.RawMessage(strings.Replace(whole, vulnerabilityJSON, strings.Join(vulns, ","), 1))
	}
	return in
}
