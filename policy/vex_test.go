package policy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
)

// openVEXDoc is an OpenVEX document with statements.
func openVEXDoc(statements ...string) string {
	return `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://acme.example/vex/1","author":"Acme PSIRT","timestamp":"2026-11-18T10:00:00Z","version":1,
"statements":[` + strings.Join(statements, ",") + `]}`
}

// said is a statement that the vulnerability of the fixtures does not matter in its package, changed by pairs of old and new text.
func said(edits ...string) string {
	return strings.NewReplacer(edits...).Replace(`{"vulnerability":{"name":"CVE-2026-0001"},"products":[{"@id":"pkg:deb/debian/openssl"}],
"status":"not_affected","justification":"vulnerable_code_not_present"}`)
}

// product replaces the product of said.
func product(json string) []string {
	return []string{`{"@id":"pkg:deb/debian/openssl"}`, json}
}

func loadVEX(t testing.TB, docs ...string) *Exceptions {
	t.Helper()
	e, err := tryVEX(docs...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func tryVEX(docs ...string) (*Exceptions, error) {
	var files []VEXFile
	for i, d := range docs {
		files = append(files, VEXFile{File: File{Name: fmt.Sprintf("%d.json", i), Data: []byte(d)}, Signer: Signer{Kind: SignerKey, ID: "ab12"}})
	}
	return LoadExceptions(nil, files)
}

// R82: what is said not to matter is let pass; the decision says who said so, why, and in which document, and replays from what is kept.
func TestVEX(t *testing.T) {
	e := loadVEX(t, openVEXDoc(said(`"justification"`, `"impact_statement":"it is compiled out","justification"`)))
	d := decideWith(t, flawedInput(), e)
	if !d.Allowed || len(d.Excepted) != 2 || d.Exceptions != e.Digest() {
		t.Fatalf("allowed %v, excepted %v, denials %v", d.Allowed, d.Excepted, d.Denials)
	}
	want := Exception{
		Kind: KindVEX, ID: "https://acme.example/vex/1", Reason: "not_affected: vulnerable_code_not_present: it is compiled out", Owner: "Acme PSIRT",
		ApprovedBy: "signed by key ab12", Document: e.doc.VEX[0].Digest, Since: "2026-11-18T10:00:00Z",
	}
	if got := d.Excepted[0]; got.By != want || got.Outcome != OutcomeDeny {
		t.Errorf("%+v", got)
	}
	again, err := ParseExceptions(e.JSON())
	if err != nil {
		t.Fatal(err)
	}
	if first, second := mustDecisionJSON(t, d), mustDecisionJSON(t, decideWith(t, flawedInput(), again)); first != second {
		t.Errorf("replayed:\n%s\nwant:\n%s", second, first)
	}
}

// R82: which products a statement is about, and how many of the two platforms stay denied. What cannot be held to the image lets nothing pass.
func TestVEXProducts(t *testing.T) {
	fixed := func(json string) []string {
		return append(product(json), `"status":"not_affected","justification":"vulnerable_code_not_present"`, `"status":"fixed"`)
	}
	index, first, strange := digestN(0x01), digestN(0x0a), digestN(0x77)
	oci := func(version, rest string) string {
		return `{"@id":"pkg:oci/app` + strings.Replace(version, "sha256:", "@sha256%3A", 1) + `?repository_url=ghcr.io/acme/app"` + rest + `}`
	}
	const part, other = `,"subcomponents":[{"@id":"pkg:deb/debian/openssl@3.0.17-1"}]`, `,"subcomponents":[{"@id":"pkg:deb/debian/zlib"}]`
	for name, c := range map[string]struct {
		edits []string
		left  int
	}{
		"a package":                      {nil, 0},
		"its version":                    {product(`{"@id":"pkg:deb/debian/openssl@3.0.17-1"}`), 0},
		"another version":                {product(`{"@id":"pkg:deb/debian/openssl@3.0.18-1"}`), 2},
		"another package":                {product(`{"@id":"pkg:deb/debian/zlib"}`), 2},
		"by an identifier":               {product(`{"@id":"https://acme.example/1","identifiers":{"purl":"pkg:deb/debian/openssl"}}`), 0},
		"a part of a package":            {product(`{"@id":"pkg:deb/debian/openssl","subcomponents":[{"@id":"pkg:deb/debian/openssl"}]}`), 2},
		"no name that can be held":       {product(`{"@id":"https://acme.example/1","identifiers":{"cpe23":"cpe:2.3:a:b:c"}}`), 2},
		"the index":                      {product(oci(index, "")), 0},
		"a platform":                     {product(oci(first, "")), 1},
		"another image":                  {product(oci(strange, "")), 2},
		"the repository":                 {product(oci("", "")), 0},
		"another repository":             {product(`{"@id":"pkg:oci/app?repository_url=ghcr.io/evil/app"}`), 2},
		"another name":                   {product(`{"@id":"pkg:oci/app2?repository_url=ghcr.io/acme/app"}`), 2},
		"no repository":                  {product(`{"@id":"pkg:oci/app"}`), 2},
		"a tag":                          {product(`{"@id":"pkg:oci/app?repository_url=ghcr.io/acme/app&tag=1"}`), 2},
		"an architecture":                {product(`{"@id":"pkg:oci/app?arch=arm64&repository_url=ghcr.io/acme/app"}`), 1},
		"by hash":                        {product(`{"@id":"https://acme.example/1","hashes":{"sha-256":"` + index[7:] + `"}}`), 0},
		"by another hash":                {product(oci("", `,"hashes":{"sha-256":"`+strange[7:]+`"}`)), 2},
		"part of the image":              {product(oci("", part)), 0},
		"another part of the image":      {product(oci("", other)), 2},
		"a part that cannot be held":     {product(oci("", `,"subcomponents":[{"@id":"https://acme.example/2"}]`)), 2},
		"docker's way":                   {product(`{"@id":"pkg:docker/acme/app@sha256%3A` + index[7:] + `"}`), 0},
		"docker's way by a tag":          {product(`{"@id":"pkg:docker/acme/app@1"}`), 2},
		"an alias":                       {[]string{`"name":"CVE-2026-0001"`, `"name":"GHSA-aaaa-bbbb-cccc"`}, 0},
		"an alias of its own":            {[]string{`"name":"CVE-2026-0001"`, `"name":"ACME-1","aliases":["CVE-2026-0001"]`}, 0},
		"another vulnerability":          {[]string{"CVE-2026-0001", "CVE-2026-0002"}, 2},
		"fixed in a package":             {fixed(`{"@id":"pkg:deb/debian/openssl"}`), 2},
		"fixed in its version":           {fixed(`{"@id":"pkg:deb/debian/openssl@3.0.17-1"}`), 0},
		"fixed in the repository":        {fixed(oci("", part)), 2},
		"fixed in the image":             {fixed(oci(index, part)), 0},
		"under investigation":            {[]string{`"not_affected","justification":"vulnerable_code_not_present"`, `"under_investigation"`}, 2},
		"affected":                       {[]string{`"not_affected","justification":"vulnerable_code_not_present"`, `"affected","action_statement":"update"`}, 2},
		"not affected for a reason else": {[]string{`"justification":"vulnerable_code_not_present"`, `"impact_statement":"it is compiled out"`}, 0},
	} {
		d := decideWith(t, flawedInput(), loadVEX(t, openVEXDoc(said(c.edits...))))
		if len(d.Denials) != c.left || d.Allowed != (c.left == 0) {
			t.Errorf("%s: %d stay denied, want %d", name, len(d.Denials), c.left)
		}
	}
}

// R82: the newest statement counts, from whichever document; of the same time, the one that lets nothing pass. What is of tomorrow is
// refused, and does not count in a decision of today.
func TestVEXNewest(t *testing.T) {
	at := func(day int, edits ...string) string {
		return said(append(edits, `"status"`, fmt.Sprintf(`"timestamp":"2026-11-%02dT10:00:00Z","status"`, day))...)
	}
	affected := []string{`"not_affected","justification":"vulnerable_code_not_present"`, `"affected","action_statement":"update"`}
	asked := []string{`"not_affected","justification":"vulnerable_code_not_present"`, `"under_investigation"`}
	replaced := []string{`"not_affected"`, `"not_affected","last_updated":"2026-11-19T10:00:00Z"`}
	for name, c := range map[string]struct {
		statements []string
		allowed    bool
	}{
		"newer affected":          {[]string{at(18), at(19, affected...)}, false},
		"older affected":          {[]string{at(18), at(17, affected...)}, true},
		"newer investigation":     {[]string{at(18), at(19, asked...)}, false},
		"older, but updated":      {[]string{at(17, replaced...), at(18, affected...)}, true},
		"of the same time":        {[]string{at(18), at(18, affected...)}, false},
		"of the same time, first": {[]string{at(18, affected...), at(18)}, false},
		"of tomorrow":             {[]string{at(18), at(29, affected...)}, true},
		"newer of another":        {[]string{at(18), at(19, append(affected, product(`{"@id":"pkg:deb/debian/zlib"}`)...)...)}, true},
	} {
		one := decideWith(t, flawedInput(), loadVEX(t, openVEXDoc(c.statements...)))
		two := decideWith(t, flawedInput(), loadVEX(t, openVEXDoc(c.statements[1]), openVEXDoc(c.statements[0])))
		if one.Allowed != c.allowed || two.Allowed != c.allowed {
			t.Errorf("%s: allowed %v, in two documents %v", name, one.Allowed, two.Allowed)
		}
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	err := loadVEX(t, openVEXDoc(at(21))).Check([]*Bundle{baseline(t, "")}, now)
	if !hint.IsMisuse(err) || !strings.Contains(err.Error(), "still to come") {
		t.Errorf("%v", err)
	}
	if err := loadVEX(t, openVEXDoc(at(20))).Check([]*Bundle{baseline(t, "")}, now); err != nil {
		t.Error(err)
	}
}

// R83: what is known to be exploited is let pass by VEX only where the policy says so, and no rule about the evidence ever is.
func TestVEXExploited(t *testing.T) {
	in := flawedInput()
	for i := range in.Claims {
		in.Claims[i].Predicate = []byte(strings.Replace(string(in.Claims[i].Predicate), `"epss":0.01`, `"epss":0.01,"kev":true`, 1))
	}
	e := loadVEX(t, openVEXDoc(said()))
	d := decideWith(t, in, e)
	if d.Allowed || len(d.Denials) != 2 || d.Denials[0].Rule != "vulnerability-exploited" || len(d.Excepted) != 2 {
		t.Errorf("allowed %v, %v", d.Allowed, d.Denials)
	}
	d, err := DecideWith(t.Context(), []*Bundle{baseline(t, "vexExploited: true")}, in, e)
	if err != nil || !d.Allowed || len(d.Excepted) != 4 {
		t.Errorf("%v: allowed %v, %v", err, d.Allowed, d.Denials)
	}
	silent := load(t, map[string]string{"main.rego": "package sealyard\n\ndefault allow := false\n\n# METADATA\n# title: T\n# custom:\n#   id: t\ndeny contains {\"rule\": \"t\", \"message\": \"m\"}\n"}, LoadOptions{})
	if err := e.Check([]*Bundle{silent}, in.Time); !hint.IsMisuse(err) || !strings.Contains(err.Error(), "no policy has a rule") {
		t.Errorf("%v", err)
	}
}

// R82 T34: a document with one statement that does not say what it must is refused as a whole, in one line that names the statement.
func TestVEXRefused(t *testing.T) {
	many := strings.Repeat(said()+",", maxVEXStatements)
	for want, doc := range map[string]string{
		"statement 2.*either justification or impact":    openVEXDoc(said(), said(`,"justification":"vulnerable_code_not_present"`, "")),
		"statement 1.*action statement must be set":      openVEXDoc(said(`"not_affected","justification":"vulnerable_code_not_present"`, `"affected"`)),
		"invalid justification value":                    openVEXDoc(said("vulnerable_code_not_present", "trust_me")),
		"invalid status value":                           openVEXDoc(said("not_affected", "fine")),
		"names no product":                               openVEXDoc(said(product("")...)),
		"vulnerability \"\" is not":                      openVEXDoc(said("CVE-2026-0001", "")),
		"two package URLs":                               openVEXDoc(said(product(`{"@id":"pkg:deb/debian/openssl","identifiers":{"purl":"pkg:deb/debian/zlib"}}`)...)),
		"is not the package URL of one package":          openVEXDoc(said(product(`{"@id":"pkg:deb/debian/*"}`)...)),
		"since when it is true":                          strings.Replace(openVEXDoc(said()), `"timestamp":"2026-11-18T10:00:00Z",`, "", 1),
		"no @id or no author":                            strings.Replace(openVEXDoc(said()), `"author":"Acme PSIRT",`, "", 1),
		"its @context is":                                strings.Replace(openVEXDoc(said()), "v0.2.0", "v0.0.1", 1),
		"neither OpenVEX":                                `{"vulnerabilities":[]}`,
		"duplicate":                                      openVEXDoc(said(`"status"`, `"status":"fixed","status"`)),
		"unexpected EOF":                                 openVEXDoc(said())[:200],
		"nested deeper":                                  `{"@context":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}",
		"bytes, at most 4194304 are read":                openVEXDoc(said("CVE-2026-0001", strings.Repeat("x", MaxVEX))),
		"VEX statements about|statements, at most 20000": openVEXDoc(many + said(product(`{"@id":"pkg:deb/debian/zlib"}`)...)),
	} {
		_, err := tryVEX(doc)
		if err == nil || !hint.IsMisuse(err) || strings.Contains(err.Error(), "\n") || !matches(want, err.Error()) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// What is kept with an image is held to the same demands as what is read.
func TestKeptVEX(t *testing.T) {
	whole := string(loadVEX(t, openVEXDoc(said())).JSON())
	if _, err := ParseExceptions([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	for old, bad := range map[string]string{
		`"justification":"vulnerable_code_not_present",`: "", `"not_affected"`: `"harmless"`, "2026-11-18T10:00:00Z": "0001-01-01T00:00:00Z",
		"pkg:deb/debian/openssl": "pkg:*", `"format":"openvex"`: `"format":"word"`, `["CVE-2026-0001"]`: "[]",
	} {
		if !strings.Contains(whole, old) {
			t.Fatalf("no %q in %s", old, whole)
		}
		if _, err := ParseExceptions([]byte(strings.Replace(whole, old, bad, 1))); err == nil {
			t.Errorf("with %q it is read", bad)
		}
	}
}

// Foreign bytes are refused, or give statements that are kept and read again as they are.
func FuzzVEX(f *testing.F) {
	f.Add([]byte(openVEXDoc(said())))
	f.Add([]byte(openVEXDoc(said(product(`{"@id":"pkg:oci/app@sha256%3Aab","hashes":{"sha-256":"ab"},"subcomponents":[{"@id":"pkg:npm/a"}]}`)...))))
	f.Add([]byte(csafDoc()))
	f.Add([]byte(`{"document":{"csaf_version":"2.0"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := tryVEX(string(data))
		if err != nil {
			if !hint.IsMisuse(err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		again, err := ParseExceptions(e.JSON())
		if err != nil || again.Digest() != e.Digest() || !reflect.DeepEqual(again.doc.VEX, e.doc.VEX) {
			t.Errorf("%q: %v\n%s", data, err, e.JSON())
		}
	})
}
