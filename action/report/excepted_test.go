package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/policy"
)

// T34 T2: what exceptions let pass is in every report, once for all platforms, as no denial and no warning; words of others do nothing.
func TestExcepted(t *testing.T) {
	by := policy.Exception{Kind: "waiver", ID: "W-1", Reason: "never called\n::error::x", Owner: "app", ApprovedBy: "ciso", Expires: "2026-12-31"}
	found := func(platform string) policy.Finding {
		return policy.Finding{Rule: "vulnerability", Bundle: "baseline", Severity: "critical", Message: "CVE-2026-0001 (critical) in a 1", Platform: platform, Subject: "pkg:npm/a@1"}
	}
	r := Run{Decided: true, Command: "verify", Decision: policy.Decision{Allowed: true, Excepted: []policy.Excepted{
		{Finding: found("linux/amd64"), Outcome: policy.OutcomeDeny, By: by}, {Finding: found("linux/arm64"), Outcome: policy.OutcomeDeny, By: by},
		{Finding: policy.Finding{Rule: "user", Severity: "low", Message: "root"}, Outcome: policy.OutcomeWarn, By: by},
	}}, Image: Image{Platforms: []Platform{{Platform: "linux/amd64", Vulnerabilities: []Vulnerability{{ID: "CVE-2026-0001", Severity: "critical", Package: "a", Installed: "1", PURL: "pkg:npm/a@1"}}}}}}
	var text, markdown, log bytes.Buffer
	for to, render := range map[*bytes.Buffer]func() error{
		&text:     func() error { return Text(&text, r, TextOptions{}) },
		&markdown: func() error { return Markdown(&markdown, r) },
		&log:      func() error { return SARIF(&log, r) },
	} {
		if err := render(); err != nil {
			t.Fatal(err, to.Len())
		}
	}
	for _, want := range []string{
		"but for 1 finding that exceptions let pass", "Let pass by exceptions\n  waiver W-1 until 2026-12-31, approved by ciso for app: never called",
		"    - vulnerability: CVE-2026-0001 (critical) in a 1 [linux/amd64, linux/arm64]\n", "    - user: root\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
	if !strings.Contains(markdown.String(), "### Let pass by exceptions") || strings.Contains(markdown.String()+text.String(), "\n::error") {
		t.Errorf("%s", &markdown)
	}
	var doc struct {
		Runs []struct {
			Results []struct {
				Level        string
				Suppressions []struct{ Status, Justification string }
			}
		}
	}
	if err := json.Unmarshal(log.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	results := doc.Runs[0].Results
	if len(results) != 2 {
		t.Fatalf("%d results", len(results))
	}
	for _, x := range results {
		if x.Level != "note" || len(x.Suppressions) != 1 || x.Suppressions[0].Status != "accepted" {
			t.Errorf("%+v", x)
		}
	}
}
