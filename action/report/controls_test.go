package report

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sealyard/sealyard/policy"
)

// controls has a control in each state; of a hostile policy every string is text.
func controls(text string) Controls {
	or := func(s string) string {
		if text != "" {
			return text
		}
		return s
	}
	rule := func(id, outcome, kind, reason string) policy.ControlRule {
		return policy.ControlRule{Title: or("What " + id + " asks"), RuleResult: policy.RuleResult{Rule: or(id), Bundle: or("baseline"), Outcome: outcome, Kind: kind, Reason: or(reason)}}
	}
	denies := rule("user", policy.OutcomeDeny, "", "")
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		denies.Findings = append(denies.Findings, policy.Finding{Rule: or("user"), Message: or("the image runs as root"), Platform: platform, Location: policy.Location{File: or("Dockerfile"), Line: 3}})
	}
	waived := rule("vulnerability", policy.OutcomeExcepted, "", "")
	waived.Excepted = []policy.Excepted{{Finding: policy.Finding{Message: or("CVE-2026-1111 in x/net")}, By: policy.Exception{Kind: "waiver", ID: or("W-1"), Expires: "2026-07-01", ApprovedBy: or("ciso"), Owner: or("team"), Reason: or("not reachable")}}}
	passes := rule("pinned", policy.OutcomePass, "", "")
	off := rule("registry", policy.OutcomeSkip, policy.SkipOff, "the setting baseRegistries is empty")
	lacks := rule("workload", policy.OutcomeSkip, policy.SkipUndecidable, "no manifests were given")
	nothing := rule("bases", policy.OutcomeSkip, policy.SkipInapplicable, "the build names no base image")
	const cis = "CIS Docker Benchmark 1.6.0"
	control := func(id, framework, state string, rules ...policy.ControlRule) policy.Control {
		return policy.Control{ID: id, Framework: or(framework), State: state, Rules: rules}
	}
	return Controls{
		Digest: digest, Basis: or("verified evidence"),
		Decision: policy.Decision{Time: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), Bundles: []policy.BundleInfo{{Name: or("baseline"), Revision: "1", Digest: digest}}},
		Controls: []policy.Control{
			control("cis-docker-1.6.0:4.1", cis, policy.ControlAgainst, denies, passes),
			control("cis-docker-1.6.0:4.2", cis, policy.ControlPartly, passes, off),
			control("cis-docker-1.6.0:4.4", cis, policy.ControlExcepted, waived),
			control("cis-docker-1.6.0:5.4", cis, policy.ControlUndecidable, lacks),
			control("cis-docker-1.6.0:5.5", cis, policy.ControlUndecidable, lacks),
			control("slsa-1.2:build-l1", "SLSA 1.2", policy.ControlFor, passes),
			control("slsa-1.2:build-l2", "SLSA 1.2", policy.ControlOff, off),
			control("slsa-1.2:build-l3", "SLSA 1.2", policy.ControlInapplicable, nothing),
		},
	}
}

// R92: what a report of controls looks like, also of a policy that would write into the page.
func TestControlsGolden(t *testing.T) {
	for name, c := range map[string]Controls{"controls": controls(""), "controls-hostile": controls(evil)} {
		for kind, write := range map[string]func(*bytes.Buffer) error{
			"txt":  func(b *bytes.Buffer) error { return c.Text(b, TextOptions{Width: 100}) },
			"json": func(b *bytes.Buffer) error { return c.JSON(b) },
			"md":   func(b *bytes.Buffer) error { return c.Markdown(b) },
		} {
			var got bytes.Buffer
			if err := write(&got); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+"."+kind)
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("%s differs: look at it, then run go test ./action/report -update\n%s", path, difference(got.String(), string(want)))
			}
		}
	}
}
