package build

import (
	"encoding/csv"
	"fmt"
	"strings"

	"github.com/sealyard/sealyard/internal/hint"
)

// cacheKinds are the cache backends the engine has, and the attributes without which one cannot work.
var cacheKinds = map[string]struct{ from, to []string }{
	"registry": {from: []string{"ref"}, to: []string{"ref"}},
	"local":    {from: []string{"src"}, to: []string{"dest"}},
	"inline":   {},
	"gha":      {from: []string{"token"}, to: []string{"token"}},
	"s3":       {from: []string{"bucket", "region"}, to: []string{"bucket", "region"}},
	"azblob":   {from: []string{"account_url", "name"}, to: []string{"account_url", "name"}},
}

// cacheEnv says which variables stand in for attributes that were not given, in the order of preference.
var cacheEnv = map[string][]struct{ attr, variable string }{
	"gha": {
		{"token", "ACTIONS_RUNTIME_TOKEN"}, {"url_v2", "ACTIONS_RESULTS_URL"}, {"url", "ACTIONS_CACHE_URL"},
	},
	"s3": {
		{"access_key_id", "AWS_ACCESS_KEY_ID"}, {"secret_access_key", "AWS_SECRET_ACCESS_KEY"}, {"session_token", "AWS_SESSION_TOKEN"},
		{"bucket", "AWS_BUCKET"}, {"region", "AWS_REGION"},
	},
	"azblob": {
		{"account_url", "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL"}, {"secret_access_key", "BUILDKIT_AZURE_STORAGE_SECRET_ACCESS_KEY"},
	},
}

// ParseCache reads one entry of cache-from or cache-to: type=…,key=value,… or, short for a registry cache, the image
// reference alone. env supplies the credentials of gha, s3 and azblob that are not given; nil supplies none.
func ParseCache(s string, env func(string) (string, bool)) (Cache, error) {
	r := csv.NewReader(strings.NewReader(s))
	r.LazyQuotes = false
	fields, err := r.Read()
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return Cache{}, hint.Misuse(fmt.Errorf("cache %q is not a list of key=value", kindOnly(s)), cacheForm)
	}
	if len(fields) == 1 && !strings.Contains(fields[0], "=") {
		return Cache{Type: "registry", Attrs: map[string]string{"ref": strings.TrimSpace(fields[0])}}, nil
	}
	c := Cache{Attrs: map[string]string{}}
	for _, f := range fields {
		key, value, ok := strings.Cut(f, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !ok || key == "" {
			return Cache{}, hint.Misuse(fmt.Errorf("cache %q: an entry is not key=value", kindOnly(s)), cacheForm)
		}
		if key == "type" {
			c.Type = value
			continue
		}
		c.Attrs[key] = value
	}
	if _, ok := cacheKinds[c.Type]; !ok {
		return Cache{}, hint.Misuse(fmt.Errorf("unknown cache type %q", c.Type), cacheForm)
	}
	c.fill(env)
	return c, nil
}

const cacheForm = "write type=registry|local|inline|gha|s3|azblob,key=value,…"

// kindOnly shows a cache entry without what follows its first field: credentials may be there.
func kindOnly(s string) string {
	head, _, _ := strings.Cut(s, ",")
	return head
}

func (c Cache) fill(env func(string) (string, bool)) {
	if env == nil {
		return
	}
	for _, e := range cacheEnv[c.Type] {
		if _, given := c.Attrs[e.attr]; given {
			continue
		}
		if v, ok := env(e.variable); ok && v != "" {
			c.Attrs[e.attr] = v
		}
	}
}

// check reports what a cache lacks. An export that fails does not fail the build unless ignore-error=false.
func (c Cache) check(export bool) error {
	kind, ok := cacheKinds[c.Type]
	if !ok {
		return hint.Misuse(fmt.Errorf("unknown cache type %q", c.Type), cacheForm)
	}
	if c.Type == "inline" && !export {
		return hint.Misuse(fmt.Errorf("cache-from cannot be of type inline"), "an inline cache is read with type=registry,ref=image")
	}
	need := kind.from
	if export {
		need = kind.to
	}
	for _, attr := range need {
		if c.Attrs[attr] == "" {
			return hint.Misuse(fmt.Errorf("cache of type %s needs %s", c.Type, attr), "%s", missingAttr(c.Type, attr))
		}
	}
	return nil
}

func missingAttr(kind, attr string) string {
	for _, e := range cacheEnv[kind] {
		if e.attr == attr {
			return "write " + attr + "=…, or set " + e.variable
		}
	}
	return "write " + attr + "=…"
}
