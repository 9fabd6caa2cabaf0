package report

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/sealyard/sealyard/policy"
)

// flood is a run with n vulnerabilities of every severity and n denials, whose texts do not compress.
func flood(n, text int) Run {
	r := denied()
	random := rand.NewChaCha8([32]byte{1})
	noise := func() string {
		b := make([]byte, text/2)
		random.Read(b)
		return hex.EncodeToString(b)
	}
	p := &r.Image.Platforms[0]
	p.Vulnerabilities, r.Decision.Denials = nil, nil
	for i := range n {
		p.Vulnerabilities = append(p.Vulnerabilities, Vulnerability{ID: fmt.Sprintf("CVE-%06d", i), Severity: severities()[i%6], Package: noise(), Installed: "1", PURL: fmt.Sprintf("pkg:deb/p%d@1", i)})
		r.Decision.Denials = append(r.Decision.Denials, policy.Finding{Rule: fmt.Sprintf("r%d", i/100), Bundle: "b", Severity: "low", Message: noise(), Controls: strings.Fields(strings.Repeat("x ", 3) + "a b c d e f g h i j k l m n o p q r s t u v w")})
	}
	return r
}

func readSARIF(t *testing.T, data []byte) *sarif.Run {
	t.Helper()
	log, err := sarif.FromBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(log.Runs) != 1 {
		t.Fatalf("%d runs", len(log.Runs))
	}
	return log.Runs[0]
}

// R85: what every run gives is valid against the SARIF 2.1.0 schema, also when every string is hostile.
func TestSARIFValid(t *testing.T) {
	for name, r := range map[string]Run{"allowed": allowed(), "denied": denied(), "undecided": undecided(), "hostile": hostile(), "zero": {}} {
		var b bytes.Buffer
		if err := SARIF(&b, r); err != nil {
			t.Fatal(err)
		}
		log, err := sarif.FromBytes(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// R85: too many results, rules, tags or bytes are cut from the mild end, and the file says how many.
func TestSARIFLimits(t *testing.T) {
	r := flood(500, 300)
	for name, c := range map[string]struct {
		limits         sarifLimits
		results, rules int
	}{
		"none":    {sarifLimits{25_000, 25_000, 10_000_000}, 1001, 506},
		"results": {sarifLimits{700, 25_000, 10_000_000}, 700, 205},
		"rules":   {sarifLimits{25_000, 5, 10_000_000}, 500, 5},
		"bytes":   {sarifLimits{25_000, 25_000, 60_000}, 250, 3},
		"nothing": {sarifLimits{25_000, 25_000, 10}, 0, 0},
	} {
		var b bytes.Buffer
		if err := writeSARIF(&b, r, c.limits); err != nil {
			t.Fatal(err)
		}
		var zipped counter
		z := gzip.NewWriter(&zipped)
		if _, err := z.Write(b.Bytes()); err != nil {
			t.Fatal(err)
		}
		run := readSARIF(t, b.Bytes())
		if len(run.Results) != c.results || len(run.Tool.Driver.Rules) != c.rules || c.results > 0 && int(zipped) > c.limits.zipped {
			t.Errorf("%s: %d results, %d rules, %d bytes zipped", name, len(run.Results), len(run.Tool.Driver.Rules), zipped)
		}
		for _, rule := range run.Tool.Driver.Rules {
			if len(rule.Properties.Tags) > 20 {
				t.Fatalf("rule %s has %d tags", *rule.ID, len(rule.Properties.Tags))
			}
		}
		for i, result := range run.Results {
			if result.Level != "error" && len(run.Results) <= 500 {
				t.Fatalf("result %d is a %s, and errors were cut", i, result.Level)
			}
		}
		cut := 1001 - len(run.Results)
		if got := run.Properties.Properties["resultsCut"]; got != float64(cut) {
			t.Errorf("%s: resultsCut is %v, want %d", name, got, cut)
		}
		notes := run.Invocations[0].ToolExecutionNotifications
		if cut > 0 && !strings.HasPrefix(*notes[0].Message.Text, fmt.Sprint(cut, " results were cut")) || cut == 0 && len(notes) > 0 {
			t.Errorf("%s: %d results were cut, it says %v", name, cut, notes)
		}
	}
}

// R85: what GitHub takes, at full size.
func TestSARIFFullSize(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes 25,000 results")
	}
	var b bytes.Buffer
	if err := SARIF(&b, flood(13_000, 40)); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b.Bytes(), []byte(`"ruleId":`)); n != 25_000 || b.Len() > 100_000_000 {
		t.Errorf("%d results in %d bytes", n, b.Len())
	}
}

// R85: an alert keeps its rule id and fingerprint when versions, digests, lines and the order of findings change.
func TestSARIFStable(t *testing.T) {
	prints := func(r Run) map[string]string {
		var b bytes.Buffer
		if err := SARIF(&b, r); err != nil {
			t.Fatal(err)
		}
		m := map[string]string{}
		for _, res := range readSARIF(t, b.Bytes()).Results {
			m[res.PartialFingerprints["primaryLocationLineHash"]] = *res.RuleID
		}
		return m
	}
	before, next := prints(denied()), denied()
	next.Image.Digest = strings.Replace(digest, "9", "8", 1)
	for i := range next.Decision.Denials {
		f := &next.Decision.Denials[i]
		f.Location.Line *= 7
		f.Subject = strings.Replace(f.Subject, "3.5.0", "3.4.9", 1)
		f.Message = strings.Replace(f.Message, "3.5.0", "3.4.9", 1)
	}
	next.Image.Platforms[0].Vulnerabilities[1].PURL = strings.Replace(next.Image.Platforms[0].Vulnerabilities[1].PURL, "3.5.0", "3.4.9", 1)
	next.Image.Platforms[0].Vulnerabilities[1].Installed = "3.4.9-r0"
	after := prints(next)
	if fmt.Sprint(before) != fmt.Sprint(after) || len(before) != 6 {
		t.Errorf("before %v\nafter  %v", before, after)
	}
}

// R85: a vulnerability that a denial is about is one alert, of level error, with its score; others are notes.
func TestSARIFLevels(t *testing.T) {
	var b bytes.Buffer
	if err := SARIF(&b, denied()); err != nil {
		t.Fatal(err)
	}
	run := readSARIF(t, b.Bytes())
	var got []string
	for _, res := range run.Results {
		rule := run.Tool.Driver.Rules[res.RuleIndex]
		at := res.Locations[0].PhysicalLocation
		got = append(got, fmt.Sprintf("%s %s %v %s:%d", res.Level, *rule.ID, rule.Properties.Properties["security-severity"], *at.ArtifactLocation.URI, *at.Region.StartLine))
	}
	want := []string{
		"error CVE-2026-1111 9.8 Dockerfile:1", "error baseline/user 8.0 Dockerfile:1", "error baseline/pinned-base 8.0 Dockerfile:1",
		"error CVE-2026-2222 7.5 Dockerfile:1", "warning baseline/healthcheck 2.0 Dockerfile:1", "note CVE-2026-3333 5.5 Dockerfile:1",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// R86: a SARIF file full of errors belongs to an allowed run when the decision allows, and an empty one to a denied run.
func TestSARIFDecidesNothing(t *testing.T) {
	r := denied()
	r.Decision.Allowed = true
	if r.Verdict() != VerdictAllowed {
		t.Error("the verdict is not the decision's")
	}
	if r = (Run{Decided: true}); r.Verdict() != VerdictDenied {
		t.Error("the zero decision does not deny")
	}
	if r = (Run{Decision: policy.Decision{Allowed: true}}); r.Verdict() != VerdictUndecided {
		t.Error("a decision that was not reached counts")
	}
	if (Run{Mode: ModeWarn}).WouldDeny() || (Run{Mode: ModeWarn, Decided: true, Decision: policy.Decision{Allowed: true}}).WouldDeny() || !(Run{Mode: ModeWarn, Decided: true}).WouldDeny() {
		t.Error("would-deny is for denials of a run that warns")
	}
	r = denied()
	r.Decided = false
	for kind, text := range render(t, r) {
		if kind != "json" && strings.Contains(text, "pinned-base") {
			t.Errorf("%s gives reasons without a decision: %s", kind, text)
		}
	}
}

// T2 T31: a job summary stays within what the runner keeps, with everything closed that was opened and a word about the cut.
func TestMarkdownBounded(t *testing.T) {
	r := flood(5000, 4000)
	for i := range r.Decision.Denials {
		r.Decision.Denials[i].Rule = fmt.Sprint("rule", i)
	}
	var b bytes.Buffer
	if err := Markdown(&b, r); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	if len(got) > SummaryLimit || len(got) < SummaryLimit/2 || !strings.Contains(got, "**Cut:**") {
		t.Errorf("%d bytes, ends with %q", len(got), got[len(got)-200:])
	}
	r.Decision.Denials = nil
	b.Reset()
	if err := Markdown(&b, r); err != nil {
		t.Fatal(err)
	}
	got = b.String()
	if len(got) > SummaryLimit || strings.Count(got, "<details>") != 1 || strings.Count(got, "</details>") != 1 || !strings.Contains(got, "\nand 4000 more\n") {
		t.Errorf("%d bytes, ends with %q", len(got), got[len(got)-200:])
	}
}

// A document always has the same fields, and says undecided rather than denied.
func TestJSONUndecided(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, Run{}); err != nil {
		t.Fatal(err)
	}
	var d map[string]any
	if err := json.Unmarshal(b.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d["verdict"] != VerdictUndecided || d["decision"] != nil || d["mode"] != ModeEnforce || d["published"] == nil {
		t.Errorf("%s", b.String())
	}
}
