package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/hint"
)

func presets(t testing.TB) []Preset {
	t.Helper()
	all, err := Presets()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// reusable is a builder that can reach every level: a workflow on a hosted runner, called by another one.
const reusable = "https://github.com/acme/builder/.github/workflows/build.yml@refs/tags/v1"

// builders lists it, and what its build type says besides.
const builders = `builders: [{id: "` + reusable + `", signer: "` + reusable + `", issuer: "https://token.actions.githubusercontent.com", level: 3}]
ignoredParameters: [source, dockerfile, entitlements, network]`

// strictInput is evidence that every preset allows, with the setting builders: built and signed by the reusable workflow, and its
// sources were judged.
func strictInput() Input {
	in := allowedInput()
	edits := strings.NewReplacer(
		"https://github.com/sealyard/sealyard/blob/main/docs/buildtypes/container-v1.md", "https://acme.example/buildtypes/container/v1",
		"https://sealyard.dev/builders/cli", reusable,
		`"sealyard_mode":"cli"`, `"sealyard_sources":[`+recordOf(base())+`]`,
	)
	for i := range in.Claims {
		c := &in.Claims[i]
		c.Signer = Signer{Kind: SignerKeyless, ID: reusable, Issuer: "https://token.actions.githubusercontent.com", Workflow: Workflow{
			Signer: reusable, Runner: "github-hosted", Config: "https://github.com/acme/app/.github/workflows/ci.yml@refs/heads/main", Repository: "https://github.com/acme/app",
		}}
		c.Predicate = json.RawMessage(edits.Replace(string(c.Predicate)))
	}
	return in
}

// R92: presets only tighten the baseline: they set what its schema knows, allow what is without fault, and deny what it denies.
// Their titles claim no more than evidence, of control sets that their rules name.
func TestPresets(t *testing.T) {
	controls := map[string]int{}
	for _, r := range baseline(t, "").Rules() {
		for _, c := range r.Controls {
			framework, _, _ := strings.Cut(c, ":")
			controls[framework]++
		}
	}
	for _, p := range presets(t) {
		b, err := p.Bundle(LoadOptions{Data: []byte(builders)})
		if err != nil {
			t.Fatal(err)
		}
		if d := decideOrFail(t, b, strictInput()); !d.Allowed || b.Name() != p.Name {
			t.Errorf("%s denies what is without fault: %+v", p.Name, d.Denials)
		}
		if d := decideOrFail(t, b, deniedInput()); d.Allowed || len(d.Denials) < len(decideOrFail(t, baseline(t, builders), deniedInput()).Denials) {
			t.Errorf("%s denies less than the baseline", p.Name)
		}
		if len(p.Frameworks) > 0 && !strings.HasPrefix(p.Title, "Evidence for ") || p.Description == "" {
			t.Errorf("%s claims too much: %q", p.Name, p.Title)
		}
		for _, f := range p.Frameworks {
			if controls[f] == 0 {
				t.Errorf("%s is about %s, and no rule names a control of it", p.Name, f)
			}
		}
		again, err := LoadArchive(t.Context(), b.Archive(), LoadOptions{Name: "x"})
		if err != nil || again.Digest() != b.Digest() || again.Name() != p.Name {
			t.Errorf("%s does not survive its archive: %v", p.Name, err)
		}
	}
}

// What a preset sets is not changed by policy data, and a name that nobody knows gets the nearest one.
func TestPresetHolds(t *testing.T) {
	p, _, found := FindPreset("slsa-build-l3")
	if !found {
		t.Fatal("there is no preset slsa-build-l3")
	}
	for _, data := range []string{"minimumLevel: 2", `{"allowUnsigned": true}`, "entitlements: [network.host]"} {
		if _, err := p.Bundle(LoadOptions{Data: []byte(data)}); !hint.IsMisuse(err) || !strings.Contains(err.Error(), `the preset "slsa-build-l3" sets`) {
			t.Errorf("%s: %v", data, err)
		}
	}
	for _, data := range []string{"minimumLevel: 3", "severity: low", ""} {
		if _, err := p.Bundle(LoadOptions{Data: []byte(data)}); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
	for _, data := range []string{"[1]", "levle: 3"} {
		if _, err := p.Bundle(LoadOptions{Data: []byte(data)}); !hint.IsMisuse(err) {
			t.Errorf("%s: %v", data, err)
		}
	}
	for name, want := range map[string]string{"slsa-build-13": "slsa-build-l3", "restrictd": "restricted", "sdf": "ssdf", "acme": "", "": ""} {
		if _, near, found := FindPreset(name); found || near != want {
			t.Errorf("%q: %v, near %q", name, found, near)
		}
	}
}

// R15: SLSA level 3 is for builders that are listed, and says so when none is.
func TestLevelNeedsBuilders(t *testing.T) {
	for name, rules := range map[string][]string{"slsa-build-l2": {"build-level-2"}, "slsa-build-l3": {"build-level-2", "build-level-3"}} {
		p, _, _ := FindPreset(name)
		b, err := p.Bundle(LoadOptions{Data: []byte("ignoredParameters: [source, dockerfile, entitlements, network]")})
		if err != nil {
			t.Fatal(err)
		}
		d := decideOrFail(t, b, strictInput())
		want := fmt.Sprintf("builder %q with signer %q has SLSA Build level 1: the setting builders is empty", reusable, reusable)
		var denied []string
		for _, f := range d.Denials {
			denied = append(denied, f.Rule)
			if !strings.HasPrefix(f.Message, want) {
				t.Errorf("%s without builders: %q", name, f.Message)
			}
		}
		if d.Allowed || !slices.Equal(denied, rules) {
			t.Errorf("%s without builders is denied by %v", name, denied)
		}
	}
}

// The table of presets in docs/policy.md is what they set.
func TestPresetDocs(t *testing.T) {
	const begin, end = "<!-- presets: generated by `go test ./policy -run Docs -update` -->\n", "<!-- /presets -->"
	page, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(page, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		t.Fatal("docs/policy.md has no place for the table of presets")
	}
	golden(t, "../docs/policy.md", slices.Concat(before, []byte(begin), presetTable(t), []byte(end), after))
}

func presetTable(t *testing.T) []byte {
	t.Helper()
	defaults := baseline(t, "").settings
	var out bytes.Buffer
	out.WriteString("\n| preset | what it is | it differs from the baseline in | it holds as well |\n|---|---|---|---|\n")
	for _, p := range presets(t) {
		if p.Name == baselineName {
			continue
		}
		var differs, holds []string
		for _, key := range slices.Sorted(maps.Keys(p.Settings)) {
			value, err := json.Marshal(p.Settings[key])
			if err != nil {
				t.Fatal(err)
			}
			if reflect.DeepEqual(p.Settings[key], defaults[key]) {
				holds = append(holds, "`"+key+"`")
			} else {
				differs = append(differs, fmt.Sprintf("`%s: %s`", key, value))
			}
		}
		fmt.Fprintf(&out, "| `%s` | %s. %s | %s | %s |\n", p.Name, p.Title, p.Description, strings.Join(differs, ", "), strings.Join(holds, ", "))
	}
	out.WriteString("\n")
	return out.Bytes()
}
