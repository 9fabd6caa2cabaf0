package policy

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
)

// What JSON writes, ParseInput reads back, and it is the same question.
func TestInputRoundTrip(t *testing.T) {
	for _, in := range []Input{allowedInput(), deniedInput()} {
		data := mustJSON(t, in)
		again, err := ParseInput(data)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mustJSON(t, again), data) {
			t.Errorf("%s", mustJSON(t, again))
		}
		digest, err := in.Digest()
		if err != nil || digest != digestOf(data) {
			t.Errorf("%s %v", digest, err)
		}
	}
}

// Every field is written, also of an input that has nothing in it; times are UTC and whole seconds.
func TestInputWritesEveryField(t *testing.T) {
	in := Input{
		SchemaVersion: SchemaVersion, Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("x", 3600)),
		Image: Image{Platforms: []Platform{{}}}, Claims: []Claim{{Predicate: json.RawMessage(` { "b" : 1.0, "a" : "\u003c" } `)}},
	}
	const want = `{"claims":[{"digest":"","predicate":{"a":"<","b":1.0},"predicateType":"","signer":{"id":"","issuer":"","kind":"",` +
		`"workflow":{"commit":"","config":"","event":"","ownerId":"","ref":"","repository":"","repositoryId":"","run":"","runner":"","signer":"","visibility":""}},"subjects":[]}],` +
		`"image":{"annotations":{},"digest":"","mediaType":"","platforms":[{"annotations":{},"config":{"cmd":[],"created":"","entrypoint":[],"envNames":[],` +
		`"exposedPorts":[],"healthcheck":false,"labels":{},"user":"","volumes":[],"workingDir":""},"digest":"","layers":0,"platform":"","size":0}]},` +
		`"schemaVersion":"1","time":"2026-01-02T02:04:05Z"}`
	if got := string(mustJSON(t, in)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := ParseInput([]byte(want)); err != nil {
		t.Error(err)
	}
}

// R79 T19: an input document that is not exactly one is the caller's mistake, named by its place.
func TestParseInputRefuses(t *testing.T) {
	good := string(mustJSON(t, allowedInput()))
	edit := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("no %s", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	for name, c := range map[string]struct{ data, want string }{
		"empty":           {"", "unexpected EOF"},
		"cut":             {good[:len(good)-1], "unexpected EOF"},
		"twice":           {good + good, "data after the JSON value"},
		"list":            {"[]", "is array, want object"},
		"missing":         {edit(`"healthcheck":true,`, ""), "image.platforms[0].config.healthcheck: is missing"},
		"unknown":         {edit(`"schemaVersion"`, `"schemaversion":"1","schemaVersion"`), `unknown key "schemaversion"`},
		"type":            {edit(`"layers":2`, `"layers":"2"`), "image.platforms[0].layers: is string, want integer"},
		"fraction":        {edit(`"layers":2`, `"layers":2.5`), "image.platforms[0].layers: is number, want integer"},
		"null":            {edit(`"subjects":["`, `"subjects":[null,"`), "claims[0].subjects[0]: is null, want string"},
		"repeated member": {edit(`"schemaVersion":"1"`, `"schemaVersion":"1","schemaVersion":"1"`), "duplicate"},
		"time":            {edit(`"time":"2026-11-20T12:00:00Z"`, `"time":"now"`), "parsing time"},
		"huge number":     {edit(`"size":30000000`, `"size":1e999999999`), "image.platforms[0].size: is number, want integer"},
		"too large":       {strings.Repeat(" ", MaxInputSize+1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseInput([]byte(c.data))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if name != "too large" && !hint.IsMisuse(err) {
				t.Errorf("not marked as the caller's mistake: %v", err)
			}
		})
	}
}

// Rules see what an SBOM says about packages, and nothing else of it; other predicates are seen whole.
func TestTrim(t *testing.T) {
	for name, c := range map[string]struct{ kind, in, want string }{
		"spdx": {typeSPDX,
			`{"spdxVersion":"SPDX-2.3","SPDXID":"x","files":[1,2],"packages":[{"name":"a","SPDXID":"b","versionInfo":"1","annotations":[],"checksums":[{"algorithm":"SHA256"}]}],"relationships":[]}`,
			`{"spdxVersion":"SPDX-2.3","packages":[{"name":"a","versionInfo":"1","checksums":[{"algorithm":"SHA256"}]}]}`},
		"no packages":       {typeSPDX, `{"spdxVersion":"SPDX-2.3","packages":[]}`, `{"spdxVersion":"SPDX-2.3","packages":[]}`},
		"packages missing":  {typeSPDX, `{"spdxVersion":"SPDX-2.3"}`, `{"spdxVersion":"SPDX-2.3"}`},
		"wrong type stays":  {typeSPDX, `{"spdxVersion":2}`, `{"spdxVersion":2}`},
		"cyclonedx":         {typeCycloneDX, `{"bomFormat":"CycloneDX","dependencies":[],"metadata":{"tools":[],"component":{"name":"x","properties":[]}},"components":[{"name":"a","properties":[1]}]}`, `{"bomFormat":"CycloneDX","metadata":{"component":{"name":"x"}},"components":[{"name":"a"}]}`},
		"something else":    {"https://example.com/x", `{"packages":[{"x":1}]}`, `{"packages":[{"x":1}]}`},
		"packages mistyped": {typeSPDX, `{"packages":{}}`, ""},
		"not an object":     {typeCycloneDX, `[]`, ""},
		"member twice":      {typeCycloneDX, `{"bomFormat":"a","bomFormat":"b"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Trim(c.kind, []byte(c.in))
			if (err != nil) != (c.want == "") || string(got) != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}
