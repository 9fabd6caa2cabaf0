package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
	"go.yaml.in/yaml/v3"
)

// settingsKey is the one member of a bundle's data that its users may set.
const settingsKey = "settings"

// maxPolicyData bounds the user's policy data, in bytes: it is a page of settings.
const maxPolicyData = 1 << 20

// manifest is the part of an OPA bundle manifest that means something here.
type manifest struct {
	Revision    string         `json:"revision"`
	Roots       *[]string      `json:"roots,omitempty"`
	RegoVersion *int           `json:"rego_version,omitempty"`
	FileVersion map[string]int `json:"file_rego_versions,omitempty"`
	Wasm        []any          `json:"wasm,omitempty"`
	Metadata    map[string]any `json:"metadata,omitempty"`

	notAfter time.Time
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// maxRevision bounds a revision, which is shown and signed: a git commit or a version.
const maxRevision = 128

// parseManifest reads the manifest and settles the bundle's name, which it also writes into the metadata so that
// it travels with the archive.
func parseManifest(data []byte, name string) (manifest, error) {
	var m manifest
	if data != nil {
		if err := checkDepth(data); err != nil {
			return m, fmt.Errorf("%s: %w", manifestFile, err)
		}
		if err := json.Unmarshal(data, &m); err != nil {
			return m, fmt.Errorf("%s: %s", manifestFile, oneLine(err.Error()))
		}
	}
	versions := slices.Collect(maps.Values(m.FileVersion))
	if m.RegoVersion != nil {
		versions = append(versions, *m.RegoVersion)
	}
	if slices.ContainsFunc(versions, func(v int) bool { return v != 1 }) {
		return m, fmt.Errorf("%s: only Rego version 1 is evaluated", manifestFile)
	}
	if len(m.Wasm) > 0 {
		return m, fmt.Errorf("%s: wasm is not evaluated", manifestFile)
	}
	if len(m.Revision) > maxRevision || strings.ContainsFunc(m.Revision, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return m, fmt.Errorf("%s: revision %q is longer than %d bytes or not one line", manifestFile, clip(m.Revision), maxRevision)
	}
	end, err := notAfter(m.Metadata)
	if err != nil {
		return m, err
	}
	m.notAfter = end
	if own, ok := m.Metadata["name"].(string); ok {
		name = own
	}
	if !validName.MatchString(name) {
		return m, fmt.Errorf("bundle name %q is not of the form %s", clip(name), validName)
	}
	m.Metadata = maps.Clone(m.Metadata)
	if m.Metadata == nil {
		m.Metadata = map[string]any{}
	}
	m.Metadata["name"] = name
	return m, nil
}

func (m manifest) name() string { return m.Metadata["name"].(string) }

// covers reports whether a path below data, such as sealyard/lib, lies under the roots the manifest claims.
func (m manifest) covers(p []string) bool {
	if m.Roots == nil {
		return true
	}
	return slices.ContainsFunc(*m.Roots, func(root string) bool {
		root = strings.Trim(root, "/")
		at := strings.Join(p, "/")
		return root == "" || at == root || strings.HasPrefix(at, root+"/")
	})
}

// gatherData merges all data files into the one document they stand for: the directory of a file is its place.
func gatherData(f files) (map[string]any, error) {
	doc := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		base := path.Base(name)
		if base != dataFile && base != "data.yaml" {
			continue
		}
		v, err := decodeObject(f[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if dir := path.Dir(name); dir != "." {
			for _, key := range slices.Backward(strings.Split(dir, "/")) {
				v = map[string]any{key: v}
			}
		}
		if at := merge(doc, v); at != "" {
			return nil, fmt.Errorf("%s: another data file already sets %q", name, at)
		}
	}
	return doc, nil
}

// merge adds src to dst and names the first place where both say something.
func merge(dst, src map[string]any) string {
	for _, key := range slices.Sorted(maps.Keys(src)) {
		old, taken := dst[key]
		if !taken {
			dst[key] = src[key]
			continue
		}
		a, aok := old.(map[string]any)
		b, bok := src[key].(map[string]any)
		if !aok || !bok {
			return key
		}
		if at := merge(a, b); at != "" {
			return join(key, at)
		}
	}
	return ""
}

// decodeObject reads one JSON or YAML document that is an object. Repeated keys are an error in both.
func decodeObject(data []byte) (map[string]any, error) {
	if trimmed := bytes.TrimSpace(data); !bytes.HasPrefix(trimmed, []byte("{")) {
		asJSON, err := fromYAML(data)
		if err != nil {
			return nil, err
		}
		data = asJSON
	}
	data, err := canonical(data)
	if err != nil {
		return nil, err
	}
	v, err := decodeAny(data)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("is %s, want an object of settings", kindOf(v))
	}
	return object, nil
}

func fromYAML(data []byte) ([]byte, error) {
	var v any
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&v); errors.Is(err, io.EOF) {
		return nil, errors.New("holds no settings")
	} else if err != nil {
		return nil, errors.New(oneLine(err.Error()))
	}
	if err := d.Decode(new(any)); err == nil {
		return nil, errors.New("holds more than one document")
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil, errors.New(oneLine(err.Error()))
	}
	return out, nil
}

// overlay lays the user's policy data over the settings of a bundle, key by key, and checks the outcome against
// the bundle's schema. A fault in the bundle's own settings is not the user's.
func overlay(doc map[string]any, s *schema, data []byte) error {
	settings, _ := doc[settingsKey].(map[string]any)
	if s == nil {
		if _, any := doc[settingsKey]; any {
			return fmt.Errorf("data has %q but the bundle has no %s that describes it", settingsKey, schemaFile)
		}
		if len(bytes.TrimSpace(data)) > 0 {
			return hint.Misuse(errors.New("policy data was given, but this bundle has no settings"), "the bundle declares its settings in %s", schemaFile)
		}
		return nil
	}
	if bad := s.check(settingsKey, any(settings)); bad != nil {
		return fmt.Errorf("data: %w", bad)
	}
	if missing := unset(s, settings); missing != "" {
		return fmt.Errorf("data: %s.%s has no default", settingsKey, missing)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if len(data) > maxPolicyData {
		return hint.Misuse(fmt.Errorf("policy data has %d bytes, at most %d are read", len(data), maxPolicyData), "give settings only")
	}
	user, err := decodeObject(data)
	if err != nil {
		return hint.Misuse(fmt.Errorf("policy data: %w", err), "give a JSON or YAML object of settings")
	}
	if bad := s.check("", user); bad != nil {
		return hint.Misuse(fmt.Errorf("policy data: %w", bad), "%s", bad.advice())
	}
	maps.Copy(settings, user)
	return nil
}

func unset(s *schema, settings map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if _, ok := settings[name]; !ok {
			return name
		}
	}
	return ""
}

func (e *invalid) advice() string {
	switch {
	case e.nearest != "":
		return fmt.Sprintf("did you mean %q?", e.nearest)
	case e.known != nil:
		return "known keys: " + strings.Join(e.known, ", ")
	}
	return "docs/rules.md lists every setting of the baseline bundle with its type"
}
