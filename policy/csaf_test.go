package policy

import (
	"regexp"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/hint"
)

func matches(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }

// csafDoc is a CSAF document that says the vulnerability of the fixtures does not matter in one package, changed by pairs of old and new text.
func csafDoc(edits ...string) string {
	return strings.NewReplacer(edits...).Replace(`{
"document": {"category": "csaf_vex", "csaf_version": "2.0", "publisher": {"category": "vendor", "name": "Acme PSIRT", "namespace": "https://acme.example"}, "title": "t",
  "tracking": {"id": "ACME-2026-1", "status": "final", "version": "1", "initial_release_date": "2026-11-17T10:00:00Z", "current_release_date": "2026-11-18T10:00:00Z"}},
"product_tree": {
  "branches": [{"category": "vendor", "name": "Debian", "branches": [
    {"category": "product_version", "name": "openssl", "product": {"name": "openssl", "product_id": "P-1", "product_identification_helper": {"purl": "pkg:deb/debian/openssl"}}}]}],
  "full_product_names": [
    {"name": "app", "product_id": "P-2", "product_identification_helper": {"purl": "pkg:oci/app?repository_url=ghcr.io/acme/app"}},
    {"name": "appliance", "product_id": "P-3", "product_identification_helper": {"cpe": "cpe:/a:acme:appliance"}}],
  "relationships": [
    {"category": "default_component_of", "full_product_name": {"name": "openssl in app", "product_id": "R-1"}, "product_reference": "P-1", "relates_to_product_reference": "P-2"},
    {"category": "default_component_of", "full_product_name": {"name": "openssl in appliance", "product_id": "R-2"}, "product_reference": "P-1", "relates_to_product_reference": "P-3"}],
  "product_groups": [{"group_id": "G-1", "product_ids": ["P-1", "R-1", "R-2"]}]},
"vulnerabilities": [{"cve": "CVE-2026-0001", "notes": [], "product_status": {"known_not_affected": ["P-1"]},
  "flags": [{"label": "vulnerable_code_not_present", "product_ids": ["P-1"]}]}]
}`)
}

// R82: CSAF says the same as OpenVEX does, of products in a tree: packages, images, and packages that are parts of images.
func TestCSAF(t *testing.T) {
	const status, flag = `{"known_not_affected": ["P-1"]}`, `"product_ids": ["P-1"]}]}]`
	of := func(id string) []string {
		return []string{status, `{"known_not_affected": ["` + id + `"]}`, flag, `"product_ids": ["` + id + `"]}]}]`}
	}
	for name, c := range map[string]struct {
		edits []string
		left  int
	}{
		"a package":                   {nil, 0},
		"the image":                   {of("P-2"), 0},
		"a part of the image":         {of("R-1"), 0},
		"a part of something else":    {of("R-2"), 2},
		"no name that can be held":    {of("P-3"), 2},
		"for a reason":                {[]string{`"flags": [{"label": "vulnerable_code_not_present",`, `"threats": [{"category": "impact", "details": "it is compiled out",`}, 0},
		"by its group":                {[]string{flag, `"group_ids": ["G-1"]}]}]`}, 0},
		"by another name":             {[]string{`"cve": "CVE-2026-0001"`, `"ids": [{"system_name": "GitHub", "text": "GHSA-aaaa-bbbb-cccc"}]`}, 0},
		"affected":                    {[]string{status, `{"known_affected": ["P-1"]}`, `"flags": [{"label": "vulnerable_code_not_present",`, `"remediations": [{"category": "none_available", "details": "d",`}, 2},
		"the first that was affected": {[]string{status, `{"first_affected": ["P-1"]}`}, 2},
		"under investigation":         {[]string{status, `{"under_investigation": ["P-1"]}`}, 2},
		"fixed":                       {[]string{status, `{"fixed": ["P-1"]}`}, 2},
		"fixed in its version":        {[]string{status, `{"fixed": ["P-1"]}`, "pkg:deb/debian/openssl", "pkg:deb/debian/openssl@3.0.17-1"}, 0},
		"recommended":                 {[]string{status, `{"recommended": ["P-1"]}`}, 2},
	} {
		e, err := tryVEX(csafDoc(c.edits...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := decideWith(t, flawedInput(), e); len(d.Denials) != c.left || d.Allowed != (c.left == 0) {
			t.Errorf("%s: %d stay denied, want %d", name, len(d.Denials), c.left)
		}
	}
	by := decideWith(t, flawedInput(), loadVEX(t, csafDoc())).Excepted[0].By
	if by.ID != "ACME-2026-1" || by.Owner != "Acme PSIRT" || by.Reason != "not_affected: vulnerable_code_not_present" || by.Since != "2026-11-18T10:00:00Z" {
		t.Errorf("%+v", by)
	}
	newer := openVEXDoc(said(`"not_affected","justification":"vulnerable_code_not_present"`, `"under_investigation","timestamp":"2026-11-19T00:00:00Z"`))
	if d := decideWith(t, flawedInput(), loadVEX(t, csafDoc(), newer)); d.Allowed {
		t.Error("an older CSAF document wins over a newer OpenVEX document")
	}
}

// R82: a CSAF document that lacks what the profile for VEX demands is refused as a whole.
func TestCSAFRefused(t *testing.T) {
	for want, edits := range map[string][]string{
		`"P-1" is not affected, and neither`:      {`"vulnerable_code_not_present"`, `""`},
		`"P-1" is affected, and no remediation`:   {"known_not_affected", "known_affected"},
		`"P-1" is both affected and not_affected`: {`"known_not_affected": ["P-1"]`, `"known_not_affected": ["P-1"], "last_affected": ["P-1"]`},
		`"P-9" is not in the product tree`:        {`{"known_not_affected": ["P-1"]}`, `{"under_investigation": ["P-9"]}`},
		`the product id "P-2" is there twice`:     {`"product_id": "P-3"`, `"product_id": "P-2"`, `"relates_to_product_reference": "P-3"`, `"relates_to_product_reference": "P-2"`},
		`relationship "R-2" is of products`:       {`"relates_to_product_reference": "P-3"`, `"relates_to_product_reference": "P-9"`},
		"category is \"csaf_security_advisory\"":  {"csaf_vex", "csaf_security_advisory"},
		`status is "draft"`:                       {`"final"`, `"draft"`},
		`csaf_version is "2.1"`:                   {`"csaf_version": "2.0"`, `"csaf_version": "2.1"`},
		"no id or current_release_date":           {`"current_release_date"`, `"latest_release_date"`},
		"vulnerability 1.*is not 1 to":            {"CVE-2026-0001", "?"},
		"is not the package URL of one package":   {"pkg:deb/debian/openssl", "pkg:deb/debian/*"},
	} {
		_, err := tryVEX(csafDoc(edits...))
		if err == nil || !hint.IsMisuse(err) || strings.Contains(err.Error(), "\n") || !matches(want, err.Error()) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
