package policy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/sealyard/sealyard/internal/hint"
)

// tightens is a small sound bundle: it allows what has no reason against it.
const tightens = `package sealyard

allow := true

# METADATA
# title: Images carry a licence
# custom:
#   id: licence
deny contains {"rule": "licence", "message": "no licence label", "platform": platform.platform} if {
	some platform in input.image.platforms
	not platform.config.labels.licence
}
`

// writeBundle writes files below a new directory and returns it.
func writeBundle(t testing.TB, f map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "acme")
	for name, content := range f {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t testing.TB, f map[string]string, opts LoadOptions) *Bundle {
	t.Helper()
	b, err := Load(t.Context(), writeBundle(t, f), opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// oneRule puts one rule into a bundle that is sound without it.
func oneRule(body string) map[string]string {
	return map[string]string{"acme.rego": "package sealyard\n\ndefault allow := false\n\nallow if input.image.digest\n\n" +
		"# METADATA\n# title: T\n# custom:\n#   id: x\n" + body}
}

// R68 R69 R70 R73 T16 T17: a bundle that could not decide as its author believes is refused when it is loaded, with
// one line that begins with file and line.
func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"syntax":                 {oneRule("deny contains if if"), "acme.rego:11: "},
		"misspelt field":         {oneRule(`deny contains {"rule": "x", "message": "m"} if input.image.digset == ""`), `acme.rego:11: input.image has no field "digset"; did you mean "digest"?`},
		"misspelt nested field":  {oneRule(`deny contains {"rule": "x", "message": "m"} if { some c in input.claims; c.predicatetype == "" }`), `acme.rego:11: `},
		"misspelt top field":     {oneRule(`deny contains {"rule": "x", "message": "m"} if input.img`), `acme.rego:11: input has no field "img"`},
		"rego v0":                {map[string]string{"a.rego": "package sealyard\nallow { true }"}, "a.rego:2: "},
		"http.send":              {oneRule(`deny contains {"rule": "x", "message": r.body} if r := http.send({"url": "http://example.com", "method": "get"})`), `acme.rego:11: builtin "http.send" is not available: a policy has no network`},
		"lookup":                 {oneRule(`deny contains {"rule": "x", "message": "m"} if net.lookup_ip_addr("example.com")`), `builtin "net.lookup_ip_addr" is not available`},
		"environment":            {oneRule(`deny contains {"rule": "x", "message": r.env.HOME} if r := opa.runtime()`), `builtin "opa.runtime" is not available: a policy has no environment`},
		"clock":                  {oneRule(`deny contains {"rule": "x", "message": "m"} if time.now_ns() > 1`), `builtin "time.now_ns" is not available: a policy has no clock; the evaluation time is input.time`},
		"random":                 {oneRule(`deny contains {"rule": "x", "message": "m"} if rand.intn("x", 2) == 1`), `builtin "rand.intn" is not available`},
		"uuid":                   {oneRule(`deny contains {"rule": "x", "message": uuid.rfc4122("x")}`), `builtin "uuid.rfc4122" is not available`},
		"signing":                {oneRule(`deny contains {"rule": "x", "message": io.jwt.encode_sign({}, {}, {})}`), `builtin "io.jwt.encode_sign" is not available`},
		"schema from a file":     {oneRule(`deny contains {"rule": "x", "message": "m"} if json.match_schema({}, {"$ref": "file:///etc/passwd"})[0]`), `builtin "json.match_schema" is not available: a schema may refer to files`},
		"unknown function":       {oneRule(`deny contains {"rule": "x", "message": "m"} if nosuch(1)`), "acme.rego:11: undefined function nosuch"},
		"unused variable":        {oneRule("deny contains {\"rule\": \"x\", \"message\": \"m\"} if { y := 1 }"), "acme.rego:11: assigned var y unused"},
		"no rules":               {map[string]string{"README.md": "x"}, "bundle holds no rules"},
		"only tests":             {map[string]string{"a_test.rego": "package sealyard\ntest_x if true"}, "bundle holds no rules"},
		"other package":          {map[string]string{"a.rego": "package main\nx := 1"}, "bundle has no rule deny in package sealyard (its packages: main)"},
		"misspelt package":       {map[string]string{"a.rego": strings.Replace(tightens, "package sealyard", "package seelyard", 1)}, "a.rego:3: rule allow of package seelyard is never evaluated"},
		"no deny":                {map[string]string{"a.rego": "package sealyard\ndefault allow := false\nallow if input.image.digest"}, "bundle has no rule deny in package sealyard"},
		"no allow":               {map[string]string{"a.rego": "package sealyard\n# METADATA\n# title: T\n# custom: {id: x}\ndeny contains {\"rule\": \"x\", \"message\": \"m\"}"}, "bundle has no rule allow in package sealyard"},
		"allow undefined":        {map[string]string{"a.rego": "package sealyard\nallow if input.image.digest\ndeny contains 1"}, "a.rego:2: allow can be undefined: add `default allow := false`"},
		"allow by default":       {map[string]string{"a.rego": "package sealyard\ndefault allow := true\ndeny contains 1"}, "a.rego:2: the default of allow is true, want false"},
		"allow is a set":         {map[string]string{"a.rego": "package sealyard\nallow contains 1\ndeny contains 1"}, "a.rego:2: allow is not one boolean"},
		"allow is a function":    {map[string]string{"a.rego": "package sealyard\nallow(_) := true\ndeny contains 1"}, "a.rego:2: allow is not one boolean"},
		"deny is a value":        {map[string]string{"a.rego": "package sealyard\nallow := true\ndeny := {1}"}, "a.rego:3: deny is not a set: write `deny contains finding if { ... }`"},
		"deny is an object":      {map[string]string{"a.rego": "package sealyard\nallow := true\ndeny.x contains 1"}, "a.rego:3: deny is not a set"},
		"warn is a boolean":      {oneRule("warn if input.image.digest\ndeny contains 1"), "acme.rego:11: warn is not a set"},
		"conftest style":         {oneRule("deny contains 1\ndeny_root contains 1"), "acme.rego:12: rule deny_root of package sealyard is never evaluated"},
		"violation":              {oneRule("deny contains 1\nviolation contains 1"), "acme.rego:12: rule violation of package sealyard is never evaluated"},
		"sub-package":            {map[string]string{"a.rego": tightens, "b.rego": "package sealyard.sources\ndeny contains 1"}, "b.rego:2: rule deny of package sealyard.sources is never evaluated"},
		"no metadata":            {map[string]string{"a.rego": "package sealyard\nallow := true\ndeny contains 1"}, "no rule has METADATA with custom.id"},
		"no title":               {map[string]string{"a.rego": "package sealyard\nallow := true\n# METADATA\n# custom: {id: x}\ndeny contains 1"}, `a.rego:3: rule "x" has no title`},
		"severity":               {map[string]string{"a.rego": "package sealyard\nallow := true\n# METADATA\n# title: T\n# custom: {id: x, severity: awful}\ndeny contains 1"}, `a.rego:3: rule "x": severity "awful" is not one of`},
		"rule id":                {map[string]string{"a.rego": "package sealyard\nallow := true\n# METADATA\n# title: T\n# custom: {id: X Y}\ndeny contains 1"}, `a.rego:3: rule id "X Y" is not of the form`},
		"control":                {map[string]string{"a.rego": "package sealyard\nallow := true\n# METADATA\n# title: T\n# custom: {id: x, controls: [CIS]}\ndeny contains 1"}, `"CIS" is not of the form framework-version:control`},
		"controls":               {map[string]string{"a.rego": "package sealyard\nallow := true\n# METADATA\n# title: T\n# custom: {id: x, controls: cis}\ndeny contains 1"}, "custom.controls is not a list"},
		"solution":               {map[string]string{"a.rego": "package sealyard\nallow := true\n# METADATA\n# title: T\n# custom: {id: x, solution: 1}\ndeny contains 1"}, "custom.solution is not a string"},
		"two rules, one id":      {map[string]string{"a.rego": tightens, "b.rego": tightens}, `b.rego:5: a second rule has the id "licence"`},
		"broken metadata":        {oneRule("# METADATA\n# title: [\ndeny contains 1"), "acme.rego:"},
		"unknown data":           {oneRule(`deny contains {"rule": "x", "message": "m"} if data.lists.bad`), `acme.rego:11: data has no "lists"`},
		"all of data":            {oneRule(`deny contains {"rule": "x", "message": "m"} if data[_]`), "acme.rego:11: data is used as a whole"},
		"misspelt setting":       {with(oneRule(`deny contains {"rule": "x", "message": "m"} if data.settings.cutof == "x"`), settingsFiles()), `acme.rego:11: data.settings has no "cutof"; did you mean "cutoff"?`},
		"misspelt library":       {map[string]string{"a.rego": tightens + "\nx if data.sealyard.lib.sond\n", "lib.rego": "package sealyard.lib\nsound if input.image.digest"}, `a.rego:14: data.sealyard.lib has no "sond"; did you mean "sound"?`},
		"import of nothing":      {map[string]string{"a.rego": "package sealyard\nimport data.nothing\n" + strings.TrimPrefix(tightens, "package sealyard") + "\nx if nothing.y\n"}, `data has no "nothing"`},
		"data over rules":        {map[string]string{"a.rego": tightens, "sealyard/data.json": `{"deny": []}`}, "a.rego:"},
		"rego version":           {map[string]string{"a.rego": tightens, ".manifest": `{"rego_version": 0}`}, ".manifest: only Rego version 1"},
		"file rego version":      {map[string]string{"a.rego": tightens, ".manifest": `{"file_rego_versions": {"/a.rego": 0}}`}, ".manifest: only Rego version 1"},
		"wasm":                   {map[string]string{"a.rego": tightens, ".manifest": `{"wasm": [{"entrypoint": "x"}]}`}, ".manifest: wasm is not evaluated"},
		"roots":                  {map[string]string{"a.rego": tightens, ".manifest": `{"roots": ["acme"]}`}, "a.rego:1: package sealyard lies outside the roots"},
		"data outside roots":     {map[string]string{"a.rego": tightens, "data.json": `{"lists": {}}`, ".manifest": `{"roots": ["sealyard"]}`}, `data "lists" lies outside the roots`},
		"manifest":               {map[string]string{"a.rego": tightens, ".manifest": `{"revision": 1}`}, ".manifest: "},
		"manifest, key twice":    {map[string]string{"a.rego": tightens, ".manifest": `{"revision": "1", "revision": "2"}`}, ".manifest: "},
		"revision":               {map[string]string{"a.rego": tightens, ".manifest": `{"revision": "1\n2"}`}, ".manifest: revision"},
		"name":                   {map[string]string{"a.rego": tightens, ".manifest": `{"metadata": {"name": "../x"}}`}, `bundle name "../x"`},
		"signed, deeper":         {map[string]string{"a.rego": tightens, "x/.signatures.json": `{}`}, "x/.signatures.json: it is not at the root"},
		"not_after":              {map[string]string{"a.rego": tightens, ".manifest": `{"metadata": {"not_after": "soon"}}`}, `.manifest: metadata not_after is "soon", want a time`},
		"not_after, a number":    {map[string]string{"a.rego": tightens, ".manifest": `{"metadata": {"not_after": 1}}`}, `.manifest: metadata not_after is "1", want a time`},
		"not-after":              {map[string]string{"a.rego": tightens, ".manifest": `{"metadata": {"Not-After": "2026-01-01T00:00:00Z"}}`}, `.manifest: metadata "Not-After" is not read; write not_after`},
		"delta":                  {map[string]string{"a.rego": tightens, "patch.json": `{}`}, "patch.json: delta bundles"},
		"other data":             {map[string]string{"a.rego": tightens, "lists.json": `{}`}, "lists.json: only *.rego, data.json"},
		"policy.wasm":            {map[string]string{"a.rego": tightens, "policy.wasm": ""}, "policy.wasm: only *.rego"},
		"data twice":             {map[string]string{"a.rego": tightens, "data.json": `{"x": 1}`, "data.yaml": "x: 2"}, `data.yaml: another data file already sets "x"`},
		"data twice, deeper":     {map[string]string{"a.rego": tightens, "data.json": `{"x": {"y": 1}}`, "x/data.yaml": "y: 2"}, `x/data.yaml: another data file already sets "x.y"`},
		"data, key twice":        {map[string]string{"a.rego": tightens, "data.json": `{"x": 1, "x": 2}`}, "data.json: "},
		"data is a list":         {map[string]string{"a.rego": tightens, "data.json": `[1]`}, "data.json: is array, want an object"},
		"data, too deep":         {map[string]string{"a.rego": tightens, "data.json": `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`}, "data.json: nested deeper than 64"},
		"settings, no schema":    {map[string]string{"a.rego": tightens, "data.json": `{"settings": {"x": 1}}`}, `data has "settings" but the bundle has no data.schema.json`},
		"settings, wrong":        {with(map[string]string{"a.rego": tightens}, settingsFiles(), map[string]string{"data.json": `{"settings": {"cutoff": 11}}`}), "data: settings.cutoff: is 11, want at most 10"},
		"settings, no default":   {with(map[string]string{"a.rego": tightens}, settingsFiles(), map[string]string{"data.json": `{"settings": {}}`}), "data: settings.cutoff has no default"},
		"schema":                 {with(map[string]string{"a.rego": tightens}, settingsFiles(), map[string]string{"data.schema.json": `{"type": "object", "minProperties": 1}`}), `data.schema.json: json: unknown field "minProperties"`},
		"schema refers to files": {with(map[string]string{"a.rego": tightens}, settingsFiles(), map[string]string{"data.schema.json": `{"$ref": "file:///etc/passwd"}`}), `data.schema.json: json: unknown field "$ref"`},
		"too deep":               {map[string]string{"a.rego": tightens, strings.Repeat("d/", 17) + "b.rego": "package x"}, "unsafe path"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(t.Context(), writeBundle(t, c.files), LoadOptions{})
			if err == nil {
				t.Fatal("loaded")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, c.want)
			}
			if hint.IsMisuse(err) {
				t.Errorf("a broken bundle is not the caller's input: %v", err)
			}
		})
	}
}

func settingsFiles() map[string]string {
	return map[string]string{
		"data.json":        `{"settings": {"cutoff": 5}}`,
		"data.schema.json": `{"type": "object", "additionalProperties": false, "properties": {"cutoff": {"type": "number", "minimum": 0, "maximum": 10}}}`,
	}
}

func with(maps ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// The path of a directory comes first in a compile error, so that it can be clicked.
func TestCompileErrorNamesFile(t *testing.T) {
	dir := writeBundle(t, oneRule("deny contains {\"rule\": \"x\", \"message\": \"m\"} if input.imag"))
	_, err := Load(t.Context(), dir, LoadOptions{})
	if err == nil || !strings.HasPrefix(err.Error(), filepath.ToSlash(dir)+"/acme.rego:11: ") || hint.Of(err) == "" {
		t.Errorf("error %v, hint %q", err, hint.Of(err))
	}
}

type entry struct {
	name string
	typ  byte
	data string
	link string
}

func tarGz(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.typ, Size: int64(len(e.data)), Mode: 0o644, Linkname: e.link}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(e.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// R77 T15 T29 T31: links, paths that leave the bundle, bombs and truncated archives are refused.
func TestArchiveRefuses(t *testing.T) {
	rule := entry{name: "a.rego", typ: tar.TypeReg, data: tightens}
	whole := tarGz(t, rule)
	many := make([]entry, maxBundleFile+1)
	for i := range many {
		many[i] = entry{name: strings.Repeat("n", i%200+1) + ".md", typ: tar.TypeReg}
	}
	flipped := slices.Clone(whole)
	flipped[len(flipped)-6] ^= 1
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"symlink":       {tarGz(t, rule, entry{name: "b.rego", typ: tar.TypeSymlink, link: "/etc/passwd"}), `"b.rego" is not a regular file`},
		"hard link":     {tarGz(t, rule, entry{name: "b.rego", typ: tar.TypeLink, link: "a.rego"}), `"b.rego" is not a regular file`},
		"device":        {tarGz(t, rule, entry{name: "b.rego", typ: tar.TypeChar}), `"b.rego" is not a regular file`},
		"parent":        {tarGz(t, rule, entry{name: "../b.rego", typ: tar.TypeReg}), `unsafe path "../b.rego"`},
		"inner parent":  {tarGz(t, rule, entry{name: "x/../../b.rego", typ: tar.TypeReg}), "unsafe path"},
		"absolute":      {tarGz(t, rule, entry{name: "//etc/b.rego", typ: tar.TypeReg}), "unsafe path"},
		"backslash":     {tarGz(t, rule, entry{name: `x\b.rego`, typ: tar.TypeReg}), "unsafe path"},
		"same twice":    {tarGz(t, rule, rule), `holds "a.rego" twice`},
		"same, dotted":  {tarGz(t, rule, entry{name: "./a.rego", typ: tar.TypeReg}), `holds "a.rego" twice`},
		"too large":     {tarGz(t, rule, entry{name: "data.json", typ: tar.TypeReg, data: strings.Repeat(" ", MaxBundle+1)}), "larger than 16 MiB"},
		"padding":       {tarGz(t, rule, entry{name: "README", typ: tar.TypeReg, data: strings.Repeat(" ", MaxBundle+2<<20)}), "larger than 16 MiB"},
		"compressed":    {bytes.Repeat([]byte{0x1f}, MaxBundle+1), "larger than 16 MiB"},
		"many files":    {tarGz(t, many...), "more than 1000 files"},
		"truncated":     {whole[:len(whole)-20], "unexpected EOF"},
		"flipped":       {flipped, "checksum"},
		"empty":         {nil, "not a tar.gz"},
		"not a gzip":    {[]byte("package sealyard"), "not a tar.gz"},
		"not a tar":     {gzipped([]byte(strings.Repeat("x", 1024))), "read tar.gz"},
		"no entries":    {tarGz(t), "bundle holds no rules"},
		"signed bundle": {tarGz(t, rule, entry{name: "/.signatures.json", typ: tar.TypeReg, data: "{}"}), "the bundle is signed, and no key is given"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadArchive(t.Context(), c.data, LoadOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// R77 T29: a directory is held to the same rules.
func TestDirectoryRefusesLinks(t *testing.T) {
	dir := writeBundle(t, map[string]string{"a.rego": tightens})
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "b.rego")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), dir, LoadOptions{}); err == nil || !strings.Contains(err.Error(), `"b.rego" is not a regular file`) {
		t.Errorf("error %v", err)
	}
}

// What is not there is the caller's mistake, and says so.
func TestLoadSourceMisuse(t *testing.T) {
	for source, want := range map[string]string{
		filepath.Join(t.TempDir(), "nothing"): "no such file",
		"oci://example.com/policy:v1":         "oci sources are not supported",
		"https://example.com/policy.tar.gz":   "https sources are not supported",
	} {
		if _, err := Load(t.Context(), source, LoadOptions{}); !hint.IsMisuse(err) || !strings.Contains(err.Error(), want) || hint.Of(err) == "" {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// opa build names entries "/a.rego", tar names them "./a.rego"; both are the file at the root. Hidden directories,
// notes and tests are not part of the policy.
func TestLoadAccepts(t *testing.T) {
	want := load(t, map[string]string{"a.rego": tightens, ".git/config": "x", ".git/lists.json": "x", "README.md": "x", "a_test.rego": "package sealyard_test"}, LoadOptions{})
	for _, prefix := range []string{"", "/", "./"} {
		data := tarGz(t, entry{name: prefix, typ: tar.TypeDir}, entry{name: prefix + "a.rego", typ: tar.TypeReg, data: tightens})
		if prefix == "" {
			data = tarGz(t, entry{name: "a.rego", typ: tar.TypeReg, data: tightens})
		}
		file := filepath.Join(t.TempDir(), "acme.tar.gz")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := Load(t.Context(), file, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest() != want.Digest() || got.Name() != "acme" {
			t.Errorf("%q: %s %s, want %s", prefix, got.Name(), got.Digest(), want.Digest())
		}
	}
}

// R71 R78: the archive that travels with the evidence is the same policy: same digest, same bytes, same decision;
// settings are in it, in whatever order and format they were given.
func TestArchiveRoundTrip(t *testing.T) {
	for name, settings := range map[string][2]string{
		"defaults": {"", ""},
		"settings": {"severity: critical\nonlyFixed: false\nsigners: [{id: a}]\n", `{"signers":[{"id":"a"}],"onlyFixed":false,"severity":"critical"}`},
	} {
		t.Run(name, func(t *testing.T) {
			b, other := baseline(t, settings[0]), baseline(t, settings[1])
			again, err := LoadArchive(t.Context(), b.Archive(), LoadOptions{Name: "else"})
			if err != nil {
				t.Fatal(err)
			}
			if b.Digest() != other.Digest() || b.Digest() != again.Digest() || !bytes.Equal(b.Archive(), again.Archive()) {
				t.Errorf("digests %s %s %s", b.Digest(), other.Digest(), again.Digest())
			}
			in := deniedInput()
			x, errX := decideOrFail(t, b, in).JSON()
			y, errY := decideOrFail(t, again, in).JSON()
			if errX != nil || errY != nil || !bytes.Equal(x, y) {
				t.Errorf("decisions differ:\n%s\n%s", x, y)
			}
		})
	}
	if baseline(t, "").Digest() == baseline(t, "severity: critical").Digest() {
		t.Error("settings are not part of the digest")
	}
}

// A misspelt or mistyped setting is the caller's mistake and is named, with the nearest one.
func TestPolicyDataMisuse(t *testing.T) {
	for name, c := range map[string]struct{ data, want, hint string }{
		"misspelt":     {"severty: high", `policy data: unknown key "severty"`, `did you mean "severity"?`},
		"unknown":      {"zzzzzz: 1", `policy data: unknown key "zzzzzz"`, "known keys: allowUnsigned, basePins, baseRegistries"},
		"type":         {"onlyFixed: maybe", "policy data: onlyFixed: is string, want boolean", "docs/rules.md"},
		"enum":         {"severity: hihg", `policy data: severity: is "hihg", want one of critical, high`, `did you mean "high"?`},
		"range":        {"epss: 1.5", "policy data: epss: is 1.5, want at most 1", "docs/rules.md"},
		"exponent":     {`{"epss": 1e-999999999}`, "policy data: epss: is not a number that can be used", "docs/rules.md"},
		"nested":       {"builders: [{id: a, signr: b}]", "policy data: builders[0].signer: is missing", "docs/rules.md"},
		"nested key":   {"builders: [{id: a, signer: b, isuer: c}]", `policy data: builders[0]: unknown key "isuer"`, `did you mean "issuer"?`},
		"pattern":      {"baseRegistries: [https://ghcr.io]", `policy data: baseRegistries[0]: is "https://ghcr.io", want a match for`, "docs/rules.md"},
		"list":         {"- severity", "policy data: is array, want an object of settings", "JSON or YAML"},
		"yaml":         {"severity: [", "policy data: yaml:", "JSON or YAML"},
		"json":         {`{"severity": "high"`, "policy data: ", "JSON or YAML"},
		"key twice":    {"severity: high\nseverity: low", "policy data: ", "JSON or YAML"},
		"two docs":     {"severity: high\n---\nseverity: low", "more than one document", "JSON or YAML"},
		"only notes":   {"# severity: high", "holds no settings", "JSON or YAML"},
		"yaml bomb":    {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]", "policy data: ", ""},
		"too large":    {"severity: " + strings.Repeat("x", maxPolicyData), "at most 1048576 are read", "settings only"},
		"control char": {"severity: \"hi\\u0000gh\"", `policy data: severity: is "hi\x00gh"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Baseline(LoadOptions{Data: []byte(c.data)})
			if !hint.IsMisuse(err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(hint.Of(err), c.hint) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, hint %q", err, hint.Of(err))
			}
		})
	}
	_, err := Load(t.Context(), writeBundle(t, map[string]string{"a.rego": tightens}), LoadOptions{Data: []byte("severity: high")})
	if !hint.IsMisuse(err) || !strings.Contains(err.Error(), "this bundle has no settings") {
		t.Errorf("error %v", err)
	}
}

// Settings say what is in force; rules say what they are about.
func TestBundleDescribesItself(t *testing.T) {
	b := load(t, with(map[string]string{"a.rego": tightens, ".manifest": `{"revision": "7", "metadata": {"name": "Acme"}}`}, settingsFiles()), LoadOptions{Data: []byte("cutoff: 7.5"), Name: "else"})
	settings, err := b.Settings()
	if err != nil || string(settings) != `{"cutoff":7.5}` {
		t.Errorf("settings %s %v", settings, err)
	}
	rules := b.Rules()
	if len(rules) != 1 || rules[0].ID != "licence" || rules[0].Severity != SeverityMedium || rules[0].Title != "Images carry a licence" || rules[0].Warns {
		t.Errorf("rules %+v", rules)
	}
	if b.Name() != "Acme" {
		t.Errorf("name %q", b.Name())
	}
	if none, err := load(t, map[string]string{"a.rego": tightens}, LoadOptions{}).Settings(); err != nil || string(none) != "{}" {
		t.Errorf("settings %s %v", none, err)
	}
}

// What OPA's own tools write loads here, and what we write loads there.
func TestArchiveIsAnOPABundle(t *testing.T) {
	read := func(data []byte) bundle.Bundle {
		b, err := bundle.NewReader(bytes.NewReader(data)).WithRegoVersion(ast.RegoV1).Read()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := baseline(t, "severity: low")
	theirs := read(b.Archive())
	if settings := theirs.Data["settings"].(map[string]any); settings["severity"] != "low" || len(theirs.Modules) != len(b.rulesFiles(t)) || theirs.Manifest.Revision != "1" {
		t.Errorf("OPA reads settings %v and %d modules", settings, len(theirs.Modules))
	}
	ours := read(tarGz(t, entry{name: "a.rego", typ: tar.TypeReg, data: tightens}))
	var buf bytes.Buffer
	if err := bundle.NewWriter(&buf).Write(ours); err != nil {
		t.Fatal(err)
	}
	again, err := LoadArchive(t.Context(), buf.Bytes(), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := decideOrFail(t, again, allowedInput()); d.Allowed || len(d.Denials) != 2 {
		t.Errorf("%+v", d)
	}
}

// rulesFiles lists the Rego files in the bundle's archive.
func (b *Bundle) rulesFiles(t *testing.T) (names []string) {
	c, err := readArchive(t.Context(), b.Archive(), false)
	if err != nil {
		t.Fatal(err)
	}
	for name := range c.files {
		if strings.HasSuffix(name, ".rego") {
			names = append(names, name)
		}
	}
	return names
}

// A cancelled context ends loading.
func TestLoadCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if _, err := Load(ctx, writeBundle(t, map[string]string{"a.rego": tightens}), LoadOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
