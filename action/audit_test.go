package action

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/quick"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
)

// Whatever the targets are called and however many parts there are, each target is in exactly one.
func TestShardsAreDisjointAndComplete(t *testing.T) {
	whole := func(target string, n uint16) bool {
		in, count := int(n%512)+1, 0
		for i := 1; i <= in; i++ {
			part, err := parseShard(fmt.Sprintf("%d/%d", i, in))
			if err != nil {
				t.Fatal(err)
			}
			if part.has(target) {
				count++
			}
		}
		return count == 1
	}
	if err := quick.Check(whole, nil); err != nil {
		t.Error(err)
	}
	counts := make([]int, 8)
	for i := range 8000 {
		for p := range counts {
			if (shard{uint64(p) + 1, 8}).has(fmt.Sprintf("ghcr.io/acme/app:%d", i)) {
				counts[p]++
			}
		}
	}
	for p, n := range counts {
		if n < 850 || n > 1150 {
			t.Errorf("part %d has %d of 8000", p+1, n)
		}
	}
	// Every machine must agree, and every later version.
	if !(shard{7, 8}).has("ghcr.io/acme/app:1") {
		t.Error("the parts are cut in another way")
	}
	for _, bad := range []string{"0/2", "3/2", "1", "1/0", "/", "-1/2", "1/2/3", "1/x", "99999999999999999999/1"} {
		if _, err := parseShard(bad); !hint.IsMisuse(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Of a list, comments and repetitions count for nothing, and every line that names no image is told with its number.
func TestAuditLists(t *testing.T) {
	list := &targets{seen: map[string]bool{}}
	text := "# shipped\n\n  ./a \nghcr.io/acme/app:1\n./a\r\nbad name\n/b\x1b[2J\n" + "x/" + strings.Repeat("y", 300) + "\n" + strings.Repeat("z", maxTarget+1) + "\n/last"
	if err := list.read("list", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(list.list); got != "[./a ghcr.io/acme/app:1 /last]" {
		t.Error(got)
	}
	for i, want := range []string{`list:6: image reference "bad name"`, `list:7: "/b\x1b[2J" holds a control character`, `list:8: `, `list:9: a name of 4097 bytes`} {
		if i >= len(list.bad) || !strings.HasPrefix(list.bad[i], want) {
			t.Errorf("%q, want %q", list.bad, want)
		}
	}
	if err := list.read("list", strings.NewReader(strings.Repeat("z", 3*maxTarget))); !hint.IsMisuse(err) {
		t.Errorf("an endless line: %v", err)
	}
	if err := list.read("list", strings.NewReader(numbered(maxTargets+1))); !hint.IsMisuse(err) {
		t.Errorf("too many: %v", err)
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "/%d\n", i)
	}
	return b.String()
}

// A file of results is gone on with wherever a crash cut it: what is whole stays, the rest is done again.
func TestAuditResumesAfterACrash(t *testing.T) {
	var whole bytes.Buffer
	ends := []int{0}
	for i, verdict := range []string{report.VerdictAllowed, report.VerdictUndecided, report.VerdictDenied, report.VerdictAllowed} {
		line := report.AuditLine{Target: fmt.Sprintf("/%d", i%3), Verdict: verdict, Basis: "sha256:1"}
		if verdict == report.VerdictDenied {
			line.Deny(broken(policy.Decision{}, strings.Repeat("long ", 20), nil))
		}
		if err := line.Write(&whole, nil); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, whole.Len())
	}
	decided := []int{0, 1, 1, 2, 2} // after that many lines
	name := filepath.Join(t.TempDir(), "results.jsonl")
	for cut := range whole.Len() + 1 {
		if err := os.WriteFile(name, whole.Bytes()[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		log, err := openAuditLog(name, "sha256:1")
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		lines := 0
		for ends[min(lines+1, 4)] <= cut && lines < 4 {
			lines++
		}
		raw, err := os.ReadFile(name)
		if err != nil || len(raw) != ends[lines] || len(log.done) != decided[lines] {
			t.Fatalf("cut at %d: %d bytes and %d done, want %d and %d (%v)", cut, len(raw), len(log.done), ends[lines], decided[lines], err)
		}
		log.close()
	}
	log, err := openAuditLog(name, "sha256:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openAuditLog(name, "sha256:1"); !hint.IsMisuse(err) {
		t.Errorf("two audits write one file: %v", err)
	}
	log.close()
	if _, err := openAuditLog(name, "sha256:2"); !hint.IsMisuse(err) {
		t.Errorf("another basis: %v", err)
	}
	for _, bad := range []string{"\n", "{}\n", "null\n", `{"target":"/a","basis":"sha256:1","target":"/b"}` + "\n", "\x00\x00\n", strings.Repeat("x", maxAuditLine) + "\n"} {
		if err := os.WriteFile(name, []byte(bad+whole.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := openAuditLog(name, "sha256:1"); !hint.IsMisuse(err) {
			t.Errorf("%.40q: %v", bad, err)
		}
		if raw, _ := os.ReadFile(name); !strings.HasPrefix(string(raw), bad) {
			t.Errorf("%.40q was written to", bad)
		}
	}
}

// A policy is compiled once; the shelf holds so many and no more; a failure is forgotten.
func TestShelf(t *testing.T) {
	s := &shelf{}
	compiled := 0
	compile := func() (*policy.Bundle, error) { compiled++; return &policy.Bundle{}, nil }
	get := func(i int) {
		t.Helper()
		if _, err := s.load(attest.Reference{Name: "policy/baseline", Digest: fmt.Sprint(i)}, compile); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		get(0)
	}
	if compiled != 1 {
		t.Errorf("compiled %d times", compiled)
	}
	for i := range 2 * maxShelf {
		get(i)
		get(0) // used all the time, so never the oldest
	}
	if compiled != 2*maxShelf || len(s.books) != maxShelf {
		t.Errorf("compiled %d times, %d kept", compiled, len(s.books))
	}
	of := attest.Reference{Name: "policy/other", Digest: "0"}
	if _, err := s.load(of, func() (*policy.Bundle, error) { return nil, errors.New("interrupted") }); err == nil {
		t.Error("no error")
	}
	if _, err := s.load(of, compile); err != nil {
		t.Errorf("a failure was kept: %v", err)
	}
	before := compiled
	if _, err := (*shelf)(nil).load(of, compile); err != nil || compiled != before+1 {
		t.Errorf("without a shelf: %v", err)
	}
}
