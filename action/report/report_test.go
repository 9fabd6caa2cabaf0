package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/policy"
)

var update = flag.Bool("update", false, "write the golden files")

const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func allowed() Run {
	return Run{
		Command: "build", Mode: ModeEnforce, Decided: true, Version: "v0.1.0",
		Decision: policy.Decision{Allowed: true, Time: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
			Bundles: []policy.BundleInfo{{Name: "baseline", Digest: digest, Engine: "opa", Allowed: true}},
			Warnings: []policy.Finding{{Rule: "healthcheck", Bundle: "baseline", Title: "Images say how to tell that they are well", Severity: "low", Message: "no health check is set", Solution: "add HEALTHCHECK to the Dockerfile", Platform: "linux/amd64"},
				{Rule: "healthcheck", Bundle: "baseline", Title: "Images say how to tell that they are well", Severity: "low", Message: "no health check is set", Solution: "add HEALTHCHECK to the Dockerfile", Platform: "linux/arm64"}},
		},
		Image: Image{Names: []string{"ghcr.io/acme/app:1.2", "ghcr.io/acme/app:latest"}, Digest: digest, Platforms: []Platform{
			{Platform: "linux/amd64", Digest: digest, Size: 45_123_456, Distro: "debian 12", Packages: 105, Vulnerabilities: []Vulnerability{
				{ID: "CVE-2026-0003", Severity: "low", Package: "bash", Installed: "5.2.15-2", FixState: "wont-fix", PURL: "pkg:deb/debian/bash@5.2.15-2?arch=amd64"},
			}},
			{Platform: "linux/arm64", Digest: digest, Size: 44_000_000, Distro: "debian 12", Packages: 105, Vulnerabilities: []Vulnerability{
				{ID: "CVE-2026-0003", Severity: "low", Package: "bash", Installed: "5.2.15-2", FixState: "wont-fix", PURL: "pkg:deb/debian/bash@5.2.15-2?arch=arm64"},
			}},
		}},
		Steps:     []Step{{"build", "24 steps", 41200 * time.Millisecond}, {"scan", "2 platforms", 2100 * time.Millisecond}, {"publish", "", 900 * time.Millisecond}},
		Published: []string{"ghcr.io/acme/app:1.2", "ghcr.io/acme/app:latest"}, Evidence: "sealyard-evidence", Dockerfile: "Dockerfile",
		Database: "grype v6, built 2026-05-03", VerifyHint: "sealyard verify ghcr.io/acme/app@" + digest + " --key cosign.pub",
	}
}

func denied() Run {
	r := allowed()
	r.Published, r.VerifyHint = nil, ""
	r.Steps = r.Steps[:2]
	r.Image.Names = r.Image.Names[:1]
	r.Image.Platforms = []Platform{{Platform: "linux/amd64", Digest: digest, Size: 31_000_000, Distro: "alpine 3.22", Packages: 31, Vulnerabilities: []Vulnerability{
		{ID: "CVE-2026-1111", Aliases: []string{"GHSA-aaaa-bbbb-cccc"}, Severity: "critical", Package: "golang.org/x/net", Installed: "v0.10.0", FixedIn: []string{"0.17.0"}, FixState: "fixed", PURL: "pkg:golang/golang.org/x/net@v0.10.0", CVSS: 9.8, EPSS: 0.83, KEV: true},
		{ID: "CVE-2026-2222", Severity: "high", Package: "openssl", Installed: "3.5.0-r0", FixedIn: []string{"3.5.1-r0"}, FixState: "fixed", PURL: "pkg:apk/alpine/openssl@3.5.0-r0?arch=x86_64", CVSS: 7.5},
		{ID: "CVE-2026-3333", Severity: "medium", Package: "busybox", Installed: "1.37.0-r12", FixState: "not-fixed", PURL: "pkg:apk/alpine/busybox@1.37.0-r12"},
	}}}
	fix := "upgrade the package, or set only-fixed when nothing newer exists"
	r.Decision.Allowed = false
	r.Comparison = Comparison{Recorded: time.Date(2026, 4, 3, 2, 1, 0, 0, time.UTC), Allowed: true, Rescanned: true, Changes: []Change{
		{Change: ChangeDenies, Rule: "vulnerabilities", Bundle: "baseline", Severity: "high", Message: "CVE-2026-2222 in openssl 3.5.0-r0, fixed in 3.5.1-r0", Platform: "linux/amd64"},
		{Change: ChangeWarnsNot, Rule: "healthcheck", Bundle: "baseline", Severity: "low", Message: "no health check is set"},
	}}
	r.Decision.Denials = []policy.Finding{
		{Rule: "user", Bundle: "baseline", Title: "Images do not run as root", Severity: "high", Message: "the image runs as root", Solution: "add USER 65532 to the Dockerfile", Controls: []string{"cis-docker-1.6.0:4.1"}, Platform: "linux/amd64"},
		{Rule: "pinned-base", Bundle: "baseline", Title: "Base images are pinned by digest", Severity: "high", Message: `base image "golang:1.26" is not pinned by digest`, Solution: "write golang:1.26@sha256:...", Location: policy.Location{File: "Dockerfile", Line: 1}},
		{Rule: "vulnerabilities", Bundle: "baseline", Title: "No known vulnerability at or above the cutoff", Severity: "high", Message: "CVE-2026-2222 in openssl 3.5.0-r0, fixed in 3.5.1-r0", Solution: fix, Platform: "linux/amd64", Subject: "pkg:apk/alpine/openssl@3.5.0-r0?arch=x86_64"},
		{Rule: "vulnerabilities", Bundle: "baseline", Title: "No known vulnerability at or above the cutoff", Severity: "critical", Message: "CVE-2026-1111 in golang.org/x/net v0.10.0, fixed in 0.17.0", Solution: fix, Platform: "linux/amd64", Subject: "pkg:golang/golang.org/x/net@v0.10.0"},
	}
	return r
}

func undecided() Run {
	return Run{Command: "build", Image: Image{Names: []string{"ghcr.io/acme/app:1.2"}}, Dockerfile: "Dockerfile", Version: "v0.1.0",
		Err: `no vulnerability database in "/home/me/.cache/sealyard/db"`, Hint: "run sealyard db update"}
}

// hostile is a run in which every foreign string tries to get out of its place.
func hostile() Run {
	r := denied()
	r.Image.Names[0] = evil
	r.Evidence, r.Database, r.VerifyHint, r.Err, r.Hint = evil, evil, "```\n"+evil, evil, evil
	r.Published, r.Steps = []string{evil}, []Step{{evil, evil, time.Second}}
	for i := range r.Decision.Denials {
		f := &r.Decision.Denials[i]
		f.Rule, f.Title, f.Message, f.Solution, f.Subject, f.Platform, f.Bundle, f.Severity = evil, evil, evil, evil, evil, evil, evil, evil
		f.Location = policy.Location{File: "../../" + evil, Line: 3}
		f.Controls = []string{evil}
	}
	p := &r.Image.Platforms[0]
	p.Platform, p.Distro = evil, evil
	for i := range p.Vulnerabilities {
		v := &p.Vulnerabilities[i]
		v.ID, v.Severity, v.Package, v.Installed, v.PURL, v.FixedIn, v.Aliases = evil, evil, evil, evil, evil, []string{evil}, []string{evil}
	}
	return r
}

// evil tries a line break into a workflow command, the older command form, a terminal escape, turned text, HTML,
// Markdown links and images, a table cell, a code span, an environment heredoc, a mention and an automatic link.
const evil = "a\n::set-output name=digest::sha256:0\r\n ::error::x ##[add-path]/tmp\x1b[31mred\x1b]0;title\a\u202egnp\u2066\u200b" +
	"<script>alert(1)</script><img src=x> [click](javascript:alert(1)) ![i](http://evil.example/p.png) | cell | `code` ``` " +
	"\\` \\| www.evil.example @acme/team $x$ DELIM<<EOF # head \xff ::x"

func render(t *testing.T, r Run) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, f := range map[string]func(*bytes.Buffer) error{
		"txt":   func(b *bytes.Buffer) error { return Text(b, r, TextOptions{Width: 100}) },
		"json":  func(b *bytes.Buffer) error { return JSON(b, r) },
		"md":    func(b *bytes.Buffer) error { return Markdown(b, r) },
		"sarif": func(b *bytes.Buffer) error { return SARIF(b, r) },
		"log":   func(b *bytes.Buffer) error { return Annotations(b, r) },
	} {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = b.String()
	}
	return out
}

func TestGolden(t *testing.T) {
	warn := denied()
	warn.Mode = ModeWarn
	for name, r := range map[string]Run{"allowed": allowed(), "denied": denied(), "warn": warn, "undecided": undecided(), "hostile": hostile()} {
		for kind, got := range render(t, r) {
			if name == "warn" && kind != "txt" && kind != "md" {
				continue
			}
			path := filepath.Join("testdata", name+"."+kind)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs: look at it, then run go test ./action/report -update\n%s", path, difference(got, string(want)))
			}
		}
	}
}

func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			line := ""
			if i < len(w) {
				line = w[i]
			}
			return "got  " + g[i] + "\nwant " + line
		}
	}
	return "it ends early"
}
