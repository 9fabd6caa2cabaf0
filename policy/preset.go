package policy

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/internal/hint"
)

//go:embed presets/*.json
var presetsFS embed.FS

// Preset is a built-in bundle: the rules of the baseline, held to settings of its own.
type Preset struct {
	Name        string         `json:"name"`        // what the bundle is asked for by, and called in decisions
	Title       string         `json:"title"`       // what its answer is evidence for
	Description string         `json:"description"` // what it asks beyond the baseline, and what it cannot see
	Frameworks  []string       `json:"frameworks"`  // control sets that its rules give evidence for, with their versions: "slsa-1.2"
	Settings    map[string]any `json:"settings"`    // those that differ from the baseline's; policy data cannot change them
}

// Presets lists the built-in bundles, the baseline first and the others by name.
func Presets() ([]Preset, error) {
	all := []Preset{{
		Name: baselineName, Title: "What is asked of every image", Frameworks: []string{}, Settings: map[string]any{},
		Description: "Sound, signed evidence for every platform, and nothing in it that speaks against the image. Policy data may change any setting.",
	}}
	names, err := fs.Glob(presetsFS, "presets/*.json")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := presetsFS.ReadFile(name)
		if err != nil {
			return nil, err
		}
		p := Preset{Name: strings.TrimSuffix(path.Base(name), ".json")}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil {
			return nil, fmt.Errorf("preset %s: %w", p.Name, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// FindPreset returns the built-in bundle of a name, and else the name that was probably meant, which is "" when none is near.
func FindPreset(name string) (p Preset, near string, found bool) {
	all, err := Presets()
	if err != nil {
		return Preset{}, "", false
	}
	names := []string{}
	for _, p := range all {
		if p.Name == name {
			return p, "", true
		}
		names = append(names, p.Name)
	}
	return Preset{}, hint.Nearest(name, names), false
}

// Bundle compiles the preset. opts.Data are settings that the preset leaves open: to give one that it sets another value is an error
// marked with hint.Misuse, for the name of a preset says what was asked.
func (p Preset) Bundle(opts LoadOptions) (*Bundle, error) {
	sub, err := fs.Sub(baselineFS, baselineName)
	if err != nil {
		return nil, err
	}
	c, err := readFS(context.Background(), sub, false)
	if err != nil {
		return nil, err
	}
	if err := p.overlay(c.files); err != nil {
		return nil, fmt.Errorf("preset %s: %w", p.Name, err)
	}
	if err := p.holds(opts.Data); err != nil {
		return nil, err
	}
	return newBundle(context.Background(), c.files, p.Name, opts)
}

// overlay makes the files of the baseline those of the preset.
func (p Preset) overlay(f files) error {
	manifest, err := decodeObject(f[manifestFile])
	if err != nil {
		return err
	}
	manifest["metadata"] = map[string]any{"name": p.Name}
	if f[manifestFile], err = json.Marshal(manifest); err != nil {
		return err
	}
	doc, err := decodeObject(f[dataFile])
	if err != nil {
		return err
	}
	settings, _ := doc[settingsKey].(map[string]any)
	maps.Copy(settings, p.Settings)
	f[dataFile], err = json.Marshal(doc)
	return err
}

// holds refuses policy data that would change what the preset sets.
func (p Preset) holds(data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 || len(data) > maxPolicyData {
		return nil // too much of it is refused where it is read
	}
	user, err := decodeObject(data)
	if err != nil {
		return hint.Misuse(fmt.Errorf("policy data: %w", err), "give a JSON or YAML object of settings")
	}
	for _, key := range slices.Sorted(maps.Keys(user)) {
		if own, set := p.Settings[key]; set && !reflect.DeepEqual(own, user[key]) {
			return hint.Misuse(fmt.Errorf("policy data: the preset %q sets %s itself", p.Name, key), "leave the setting out, or use --policy %s, which leaves every setting to you", baselineName)
		}
	}
	return nil
}
