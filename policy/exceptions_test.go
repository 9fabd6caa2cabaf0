package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
)

// waiverYAML is a waiver of the vulnerability in the fixtures, which may be changed by pairs of old and new text.
func waiverYAML(edits ...string) string {
	return strings.NewReplacer(edits...).Replace(`waivers:
- id: W-1
  rule: vulnerability
  scope:
    vulnerability: CVE-2026-0001
  reason: the vulnerable function is never called
  owner: app-team@acme.example
  approvedBy: security@acme.example
  expires: 2027-01-31
`)
}

func loadWaivers(t testing.TB, text ...string) *Exceptions {
	t.Helper()
	var files []File
	for _, data := range text {
		files = append(files, File{Name: "waivers.yaml", Data: []byte(data)})
	}
	e, err := LoadExceptions(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// flawedInput is allowed but for one vulnerability of one name, in both platforms.
func flawedInput() Input {
	in := allowedInput()
	for i := range in.Claims {
		in.Claims[i].Predicate = json.RawMessage(strings.NewReplacer(`"severity":"low"`, `"severity":"critical"`, `"aliases":[]`, `"aliases":["GHSA-aaaa-bbbb-cccc"]`,
			`"externalParameters":{`, `"externalParameters":{"image":"ghcr.io/acme/app",`).Replace(string(in.Claims[i].Predicate)))
	}
	return in
}

func decideWith(t testing.TB, in Input, e *Exceptions) Decision {
	t.Helper()
	d, err := DecideWith(t.Context(), []*Bundle{baseline(t, "")}, in, e)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// R74 R75: a waiver lets pass what it is about, while it lasts, and the decision says what and why.
func TestWaiver(t *testing.T) {
	in := flawedInput()
	if d := decideWith(t, in, nil); d.Allowed || len(d.Denials) != 2 {
		t.Fatalf("without a waiver: allowed %v, %v", d.Allowed, d.Denials)
	}
	e := loadWaivers(t, waiverYAML())
	d := decideWith(t, in, e)
	if !d.Allowed || len(d.Excepted) != 2 || d.Exceptions != e.Digest() || len(d.Levels) == 0 {
		t.Fatalf("allowed %v, excepted %v, exceptions %q, levels %v, denials %v", d.Allowed, d.Excepted, d.Exceptions, d.Levels, d.Denials)
	}
	want := Exception{Kind: KindWaiver, ID: "W-1", Reason: "the vulnerable function is never called", Owner: "app-team@acme.example", ApprovedBy: "security@acme.example", Expires: "2027-01-31"}
	if got := d.Excepted[0]; got.By != want || got.Outcome != OutcomeDeny || got.Finding.Vulnerability != "CVE-2026-0001" {
		t.Errorf("excepted %+v", got)
	}
	i := slices.IndexFunc(d.Rules, func(r RuleResult) bool { return r.Rule == "vulnerability" })
	if d.Rules[i].Outcome != OutcomeExcepted {
		t.Errorf("the rule came out as %q", d.Rules[i].Outcome)
	}
	again, err := ParseExceptions(e.JSON())
	if err != nil {
		t.Fatal(err)
	}
	if first, second := mustDecisionJSON(t, d), mustDecisionJSON(t, decideWith(t, in, again)); first != second {
		t.Errorf("replayed:\n%s\nwant:\n%s", second, first)
	}
}

func mustDecisionJSON(t testing.TB, d Decision) string {
	t.Helper()
	data, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// R74 R75: which findings a waiver is about. Everything its scope says must hold.
func TestWaiverScope(t *testing.T) {
	const cve = "vulnerability: CVE-2026-0001"
	both := func(more string) string { return cve + "\n    " + more }
	for scope, left := range map[string]int{
		cve: 0, "vulnerability: GHSA-aaaa-bbbb-cccc": 0, "vulnerability: CVE-2026-0002": 2,
		"purl: pkg:deb/debian/openssl": 0, "purl: pkg:deb/debian/openssl@3.0.17-1": 0, "purl: pkg:deb/debian/openssl@3.0.18-1": 2,
		"purl: pkg:deb/ubuntu/openssl": 2, "purl: pkg:deb/debian/openss": 2, "purl: pkg:deb/debian/openssl?arch=arm64": 2,
		both("platform: linux/arm64"): 1, both("platform: linux/s390x"): 2,
		both("image: ghcr.io/acme/app"): 0, both("image: ghcr.io/acme/other"): 2,
		both("digest: " + digestN(0x01)): 0, both("digest: " + digestN(0x0b)): 1, both("digest: " + digestN(0x0c)): 2,
	} {
		d := decideWith(t, flawedInput(), loadWaivers(t, waiverYAML(cve, scope)))
		if len(d.Denials) != left || d.Allowed != (left == 0) || len(d.Excepted) != 2-left {
			t.Errorf("%q: %d denials, want %d", scope, len(d.Denials), left)
		}
	}
}

// R74: a waiver ends with its last day, says so afterwards and 30 days before, and none can be longer than the setting says.
func TestWaiverTime(t *testing.T) {
	in := flawedInput()
	for name, c := range map[string]struct {
		at      string
		allowed bool
		warns   string
	}{
		"long before": {"2026-12-01T00:00:00Z", true, ""},
		"soon":        {"2027-01-15T00:00:00Z", true, `waiver "W-1" of rule "vulnerability" ends on 2027-01-31`},
		"last second": {"2027-01-31T23:59:59Z", true, "ends on"},
		"next day":    {"2027-02-01T00:00:00Z", false, "ended on 2027-01-31 and does not apply"},
		"too long":    {"2026-10-01T00:00:00Z", false, "more than 90 days off, and does not apply"},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			d := decideWith(t, in, loadWaivers(t, waiverYAML()).AsOf(at))
			found := ""
			for _, w := range d.Warnings {
				if w.Rule == "waiver" && w.Bundle == ownBundle {
					found = w.Message
				}
			}
			if d.Allowed != c.allowed || !strings.Contains(found, c.warns) || (c.warns == "") != (found == "") {
				t.Errorf("allowed %v with warning %q", d.Allowed, found)
			}
		})
	}
	year, month := baseline(t, "waiverMaxDays: 366"), baseline(t, "waiverMaxDays: 30")
	for n, bundles := range map[int][]*Bundle{90: {baseline(t, "")}, 366: {year}, 30: {year, month}} {
		if got := MaxWaiverDays(bundles); got != n {
			t.Errorf("%d days, want %d", got, n)
		}
	}
}

// R74, T13: what is no waiver, or a blanket one, is refused with one line; so is one of what nobody may waive.
func TestWaiverRefused(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	scope := "  scope:\n    vulnerability: CVE-2026-0001\n"
	for want, text := range map[string]string{
		"holds nothing":                      "",
		"field rle not found":                waiverYAML("rule:", "rle:"),
		"already":                            waiverYAML("rule: vulnerability", "rule: vulnerability\n  rule: base-registry"),
		"more than one document":             waiverYAML() + "---\nwaivers: []\n",
		"has no scope":                       waiverYAML(scope, ""),
		`rule "*"`:                           waiverYAML("rule: vulnerability", `rule: "*"`),
		`rule ""`:                            waiverYAML("rule: vulnerability", `rule: ""`),
		`id ""`:                              waiverYAML("id: W-1", `id: ""`),
		`expires ""`:                         waiverYAML("  expires: 2027-01-31\n", ""),
		`expires "never"`:                    waiverYAML("2027-01-31", "never"),
		`approvedBy ""`:                      waiverYAML("  approvedBy: security@acme.example\n", ""),
		`owner " "`:                          waiverYAML("owner: app-team@acme.example", `owner: " "`),
		`reason "two\nlines"`:                waiverYAML("reason: the vulnerable function is never called", `reason: "two\nlines"`),
		`scope.vulnerability "*"`:            waiverYAML("CVE-2026-0001", `"*"`),
		"scope.purl":                         waiverYAML("vulnerability: CVE-2026-0001", `purl: "pkg:deb/debian/*"`),
		"scope.digest":                       waiverYAML("vulnerability: CVE-2026-0001", `digest: latest`),
		`two waivers have the id "W-1"`:      waiverYAML() + strings.TrimPrefix(waiverYAML(), "waivers:\n"),
		"at most 1048576 are read":           waiverYAML() + strings.Repeat("# \n", MaxExceptions/3),
		"at most 1000 are read":              "waivers:\n" + strings.Repeat(strings.TrimPrefix(waiverYAML(), "waivers:\n"), 1001),
		`no policy has a rule "licence"`:     waiverYAML("rule: vulnerability", "rule: licence"),
		`did you mean "vulnerability-epss"?`: waiverYAML("rule: vulnerability", "rule: vulnerability-eps"),
		`"evidence-missing" cannot be`:       waiverYAML("rule: vulnerability", "rule: evidence-missing"),
		"one of [vulnerability purl]":        waiverYAML("vulnerability: CVE-2026-0001", "image: ghcr.io/acme/app"),
		"at most 90 days off":                waiverYAML("2027-01-31", "2027-02-28"),
	} {
		e, err := LoadExceptions([]File{{Name: "w.yaml", Data: []byte(text)}}, nil)
		if err == nil {
			err = e.Check([]*Bundle{baseline(t, "")}, now)
		}
		if err == nil || !hint.IsMisuse(err) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// R74: no rule about what the evidence is, who made it or how fresh it is can be waived, whatever the waiver says.
func TestWaivable(t *testing.T) {
	var can []string
	for _, r := range baseline(t, "").Rules() {
		if len(r.Waivable) > 0 {
			can = append(can, r.ID)
		}
	}
	want := []string{
		"base-registry", "base-unpinned", "dockerfile-add", "dockerfile-copy-root", "dockerfile-pipe-shell", "dockerfile-plain-http", "dockerfile-privileged",
		"dockerfile-secret", "dockerfile-secret-name", "dockerfile-setuid", "dockerfile-ssh-server", "dockerfile-sudo", "dockerfile-unread",
		"dockerfile-unverified", "dockerfile-update", "dockerfile-versions", "dockerfile-writable", "scan-distro", "scan-uncomparable", "user-nonroot", "user-numbered",
		"vulnerability", "vulnerability-epss", "vulnerability-exploited", "vulnerability-unfixed", "vulnerability-unrated",
	}
	if !slices.Equal(can, want) {
		t.Errorf("can be waived: %v", can)
	}
	in := flawedInput()
	in.Claims = in.Claims[1:] // the provenance is gone
	e := loadWaivers(t, waiverYAML(), waiverYAML("W-1", "W-2", "rule: vulnerability", "rule: evidence-missing", "vulnerability: CVE-2026-0001", "digest: "+digestN(0x01)))
	if d := decideWith(t, in, e); d.Allowed || len(d.Denials) == 0 || d.Denials[0].Rule != "evidence-missing" {
		t.Errorf("allowed %v, %v", d.Allowed, d.Denials)
	}
}

// A rule of the image can be waived for the image: allow of the bundle is asked again without it.
func TestWaiverOfUser(t *testing.T) {
	in := flawedInput()
	for i := range in.Image.Platforms {
		in.Image.Platforms[i].Config.User = "root"
	}
	e := loadWaivers(t, waiverYAML(), waiverYAML("W-1", "W-2", "rule: vulnerability", "rule: user-nonroot", "vulnerability: CVE-2026-0001", "image: ghcr.io/acme/app"))
	if d := decideWith(t, in, e); !d.Allowed || len(d.Excepted) != 4 {
		t.Errorf("allowed %v, denials %v", d.Allowed, d.Denials)
	}
}

// What allow asks besides that nothing denies is not given by any waiver.
func TestWaiverGivesNothing(t *testing.T) {
	b := load(t, map[string]string{"main.rego": `package sealyard

default allow := false

allow if {
	count(deny) == 0
	input.image.digest == "sha256:none"
}

# METADATA
# title: T
# custom:
#   id: t
#   waivable: [digest]
deny contains {"rule": "t", "message": "m"}
`}, LoadOptions{})
	e := loadWaivers(t, waiverYAML("rule: vulnerability", "rule: t", "vulnerability: CVE-2026-0001", "digest: "+digestN(0x01)))
	d, err := DecideWith(t.Context(), []*Bundle{b}, flawedInput(), e)
	if err != nil || d.Allowed || len(d.Denials) != 1 || d.Denials[0].Rule != ruleAllow || len(d.Excepted) != 1 {
		t.Errorf("%v: allowed %v, denials %v", err, d.Allowed, d.Denials)
	}
}

// Properties: without any one waiver nothing is allowed that was denied with it, and one that has ended changes nothing but a warning.
func TestWaiverMonotone(t *testing.T) {
	in := deniedInput()
	for i := range in.Claims {
		in.Claims[i].Predicate = json.RawMessage(strings.Replace(string(in.Claims[i].Predicate), `"entitlements":["security.insecure"]`, `"entitlements":[]`, 1))
	}
	in.Claims = in.Claims[:len(in.Claims)-1]
	list := []string{
		waiverYAML(), waiverYAML("W-1", "W-2", "rule: vulnerability", "rule: vulnerability-exploited"),
		waiverYAML("W-1", "W-3", "rule: vulnerability", "rule: base-unpinned", "vulnerability: CVE-2026-0001", "purl: pkg:docker/debian"),
		waiverYAML("W-1", "W-4", "rule: vulnerability", "rule: user-nonroot", "vulnerability: CVE-2026-0001", "digest: "+digestN(0x01)),
	}
	allowed := map[int]bool{}
	for set := range 1 << len(list) {
		var chosen []string
		for i, w := range list {
			if set&(1<<i) != 0 {
				chosen = append(chosen, w)
			}
		}
		d := decideWith(t, in, loadWaivers(t, chosen...))
		allowed[set] = d.Allowed
		over := decideWith(t, in, loadWaivers(t, append(chosen, waiverYAML("W-1", "X", "2027-01-31", "2026-11-19"))...))
		over.Warnings = slices.DeleteFunc(over.Warnings, func(f Finding) bool { return strings.Contains(f.Message, `waiver "X"`) })
		over.Exceptions = d.Exceptions
		if got, want := mustDecisionJSON(t, over), mustDecisionJSON(t, d); got != want {
			t.Errorf("with an expired one:\n%s\nwant:\n%s", got, want)
		}
	}
	if !allowed[1<<len(list)-1] {
		t.Fatal("all waivers together do not allow")
	}
	for set := range allowed {
		for i := range list {
			if without := set &^ (1 << i); allowed[without] && !allowed[set] {
				t.Errorf("allowed with waivers %b and denied with %b", without, set)
			}
		}
	}
}

// Source packages of distributions are found by the qualifier that names them.
func TestMatchesPURL(t *testing.T) {
	const libssl = "pkg:deb/debian/libssl3@3.0.11-1?arch=amd64&distro=debian-12&upstream=openssl%403.0.11"
	for pattern, want := range map[string]bool{
		"pkg:deb/debian/libssl3": true, "pkg:deb/debian/openssl": true, "pkg:deb/debian/openssl@3.0.11": true, "pkg:deb/debian/openssl@3.0.11-1": false,
		"pkg:deb/debian/libssl3@3.0.11-1": true, "pkg:deb/debian/libssl3?arch=amd64": true, "pkg:deb/debian/libssl3?arch=arm64": false, "pkg:npm/libssl3": false,
	} {
		if got := matchesPURL(pattern, libssl); got != want {
			t.Errorf("%s: %v", pattern, got)
		}
	}
	if matchesPURL("pkg:npm/a", "no package URL") {
		t.Error("matches what is none")
	}
}

// Foreign bytes are refused or give the same exceptions again.
func FuzzWaivers(f *testing.F) {
	f.Add([]byte(waiverYAML()))
	f.Add([]byte(`{"waivers":[{"id":"a"}]}`))
	f.Add([]byte("waivers: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := LoadExceptions([]File{{Name: "f", Data: data}}, nil)
		if err != nil {
			return
		}
		again, err := ParseExceptions(e.JSON())
		if err != nil || again.Digest() != e.Digest() || !reflect.DeepEqual(again.Waivers(), e.Waivers()) {
			t.Errorf("%q: %v", data, err)
		}
		for _, w := range e.Waivers() {
			if w.Problem() != nil || w.State(time.Time{}, waiverDays) == "" || fmt.Sprint(w.Scope) == "" {
				t.Errorf("%+v", w)
			}
		}
	})
}
