package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
)

// baselineWord names the built-in policy in the policy input.
const baselineWord = "baseline"

// policies loads the bundles that must all allow. extra are baseline settings that follow from the command itself.
func (s *session) policies(ctx context.Context, extra map[string]any) ([]*policy.Bundle, error) {
	set, err := s.settings()
	if err != nil {
		return nil, err
	}
	sources := s.in.all("policy")
	if len(sources) == 0 {
		sources = []string{baselineWord}
	}
	if !slices.ContainsFunc(sources, builtIn) {
		if given := s.baselineInputs(); len(given) > 0 {
			return nil, hint.Misuse(fmt.Errorf("--%s is a setting of the baseline, and --policy does not name it", given[0]), "add --policy baseline, or leave the setting out")
		}
	}
	signed, err := s.voucher(ctx, "policy")
	if err != nil {
		return nil, err
	}
	if signed.demands() && !slices.ContainsFunc(sources, func(name string) bool { return !builtIn(name) }) {
		return nil, hint.Misuse(errors.New("--policy names no bundle that somebody could have signed"), "name the bundle that --policy-key or --policy-identity is for; the baseline is part of this program")
	}
	var out []*policy.Bundle
	for i, src := range slices.Concat(sources, s.in.all("repository-policy")) {
		by := signed
		if i >= len(sources) {
			by = voucher{} // it is asked besides the others, so it can only tighten
		}
		b, err := s.onePolicy(ctx, src, by, set, extra)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(other *policy.Bundle) bool { return other.Name() == b.Name() }) {
			return nil, hint.Misuse(fmt.Errorf("two policy bundles are named %q", b.Name()), "give one of them another metadata.name in its .manifest")
		}
		out = append(out, b)
	}
	return out, s.recent(out)
}

// onePolicy loads one bundle that has not ended. Words that name what is built in come before files of that name.
func (s *session) onePolicy(ctx context.Context, src string, by voucher, set, extra map[string]any) (*policy.Bundle, error) {
	preset, near, found := policy.FindPreset(src)
	if found {
		return presetBundle(preset, set, extra)
	}
	b, err := s.bundle(ctx, src, by)
	if near != "" && errors.Is(err, fs.ErrNotExist) {
		return nil, hint.Misuse(err, "did you mean %q? sealyard policy list shows what is built in", near)
	}
	if err != nil {
		return nil, err
	}
	return b, b.Fresh(s.now)
}

// builtIn reports whether a policy is named that is part of this program.
func builtIn(name string) bool {
	_, _, found := policy.FindPreset(name)
	return found
}

// presetBundle compiles a built-in policy. What follows from the command gives way to what the preset and the user set.
func presetBundle(p policy.Preset, set, extra map[string]any) (*policy.Bundle, error) {
	doc := maps.Clone(extra)
	maps.DeleteFunc(doc, func(key string, _ any) bool { _, own := p.Settings[key]; return own })
	if doc == nil {
		doc = map[string]any{}
	}
	maps.Copy(doc, set)
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return p.Bundle(policy.LoadOptions{Data: data})
}

// recent holds bundles to the least revisions demanded of them (T14).
func (s *session) recent(bundles []*policy.Bundle) error {
	for _, v := range s.in.all("policy-min-revision") {
		name, least, ok := strings.Cut(v, "=")
		i := slices.IndexFunc(bundles, func(b *policy.Bundle) bool { return b.Name() == name })
		if !ok || i < 0 {
			return hint.Misuse(fmt.Errorf("--policy-min-revision: %q: no policy has that name", v), "write NAME=REVISION, with the name in the bundle's manifest")
		}
		if err := bundles[i].AtLeast(least); err != nil {
			return err
		}
	}
	return nil
}

// baselineInputs lists the inputs given that only the baseline policy reads.
func (s *session) baselineInputs() []string {
	return slices.DeleteFunc([]string{"policy-data", "severity-cutoff", "only-fixed"}, func(name string) bool { return s.in.one(name) == "" })
}

// settings merges the policy-data file with the inputs that are settings of the baseline.
func (s *session) settings() (map[string]any, error) {
	doc := map[string]any{}
	if name := s.in.one("policy-data"); name != "" {
		raw, err := s.readDeciding(name)
		if err != nil {
			return nil, err
		}
		if err := yaml.UnmarshalStrict(raw, &doc); err != nil {
			return nil, hint.Misuse(fmt.Errorf("policy data %q: %w", name, err), "write one setting per line, such as severity: high")
		}
	}
	if v := s.in.one("severity-cutoff"); v != "" {
		doc["severity"] = v
	}
	if v := s.in.one("only-fixed"); v != "" {
		doc["onlyFixed"] = v == "true"
	}
	if v := s.in.one("db-max-age"); v != "" && v != defaults("build").one("db-max-age") {
		age, err := s.in.duration("db-max-age")
		if err != nil {
			return nil, err
		}
		doc["dbMaxAgeDays"] = age.Hours() / 24
	}
	return doc, nil
}
