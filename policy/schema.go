package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/internal/hint"
)

// schema is the part of JSON Schema that bundle settings and the input are described in. A keyword that is not
// here makes the schema itself an error, so nothing an author wrote is silently not checked. There are no
// references, so a schema cannot make us read a file or a URL.
type schema struct {
	Schema      string `json:"$schema"`
	Title       string `json:"title"`
	Description string `json:"description"`

	Type       types              `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Additional *additional        `json:"additionalProperties"`
	Items      *schema            `json:"items"`
	MaxItems   *int               `json:"maxItems"`
	Enum       []string           `json:"enum"`
	Pattern    *pattern           `json:"pattern"`
	Minimum    json.Number        `json:"minimum"`
	Maximum    json.Number        `json:"maximum"`
}

// types is a JSON Schema "type": one name or several.
type types []string

func (t *types) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = types{one}
	} else if err := json.Unmarshal(data, (*[]string)(t)); err != nil {
		return err
	}
	for _, name := range *t {
		if !slices.Contains([]string{"object", "array", "string", "number", "integer", "boolean", "null"}, name) {
			return fmt.Errorf("unknown type %q", name)
		}
	}
	return nil
}

// additional is "additionalProperties": false (the default here), true, or a schema every other member must meet.
type additional struct {
	any bool
	of  *schema
}

func (a *additional) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &a.any) == nil {
		return nil
	}
	a.of = new(schema)
	return decodeStrict(data, a.of)
}

type pattern struct{ *regexp.Regexp }

func (p *pattern) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return err
	}
	p.Regexp = re
	return nil
}

func parseSchema(data []byte) (*schema, error) {
	s := new(schema)
	if err := checkDepth(data); err != nil {
		return nil, err
	}
	if err := decodeStrict(data, s); err != nil {
		return nil, err
	}
	return s, nil
}

// invalid says where a document does not meet its schema, and which name was probably meant.
type invalid struct {
	path, problem, nearest string
	known                  []string
}

func (e *invalid) Error() string {
	if e.path == "" {
		return e.problem
	}
	return e.path + ": " + e.problem
}

// check reports the first way in which v (as encoding/json decodes it with UseNumber) does not meet s, or nil.
// Members are visited in sorted order, so the answer is always the same.
func (s *schema) check(path string, v any) *invalid {
	if kind := kindOf(v); len(s.Type) > 0 && !s.Type.has(kind, v) {
		return &invalid{path: path, problem: fmt.Sprintf("is %s, want %s", kind, strings.Join(s.Type, " or "))}
	}
	switch v := v.(type) {
	case map[string]any:
		return s.checkObject(path, v)
	case []any:
		return s.checkArray(path, v)
	case string:
		return s.checkString(path, v)
	case json.Number:
		return s.checkNumber(path, v)
	}
	return nil
}

func (s *schema) checkObject(path string, v map[string]any) *invalid {
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			return &invalid{path: join(path, name), problem: "is missing"}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		of := s.Properties[name]
		if of == nil && s.Additional != nil {
			if s.Additional.any {
				continue
			}
			of = s.Additional.of
		}
		if of == nil {
			known := slices.Sorted(maps.Keys(s.Properties))
			return &invalid{path: path, problem: fmt.Sprintf("unknown key %q", name), nearest: hint.Nearest(name, known), known: known}
		}
		if bad := of.check(join(path, name), v[name]); bad != nil {
			return bad
		}
	}
	return nil
}

func (s *schema) checkArray(path string, v []any) *invalid {
	if s.MaxItems != nil && len(v) > *s.MaxItems {
		return &invalid{path: path, problem: fmt.Sprintf("has %d items, at most %d are allowed", len(v), *s.MaxItems)}
	}
	if s.Items == nil {
		return nil
	}
	for i, item := range v {
		if bad := s.Items.check(fmt.Sprintf("%s[%d]", path, i), item); bad != nil {
			return bad
		}
	}
	return nil
}

func (s *schema) checkString(path, v string) *invalid {
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		return &invalid{path: path, problem: fmt.Sprintf("is %q, want one of %s", clip(v), strings.Join(s.Enum, ", ")), nearest: hint.Nearest(v, s.Enum)}
	}
	if s.Pattern != nil && !s.Pattern.MatchString(v) {
		return &invalid{path: path, problem: fmt.Sprintf("is %q, want a match for %s", clip(v), s.Pattern)}
	}
	return nil
}

func (s *schema) checkNumber(path string, v json.Number) *invalid {
	n, ok := rational(v)
	if !ok {
		return &invalid{path: path, problem: "is not a number that can be used"}
	}
	if least, ok := rational(s.Minimum); ok && n.Cmp(least) < 0 {
		return &invalid{path: path, problem: fmt.Sprintf("is %s, want at least %s", v, s.Minimum)}
	}
	if most, ok := rational(s.Maximum); ok && n.Cmp(most) > 0 {
		return &invalid{path: path, problem: fmt.Sprintf("is %s, want at most %s", v, s.Maximum)}
	}
	return nil
}

// rational reads a JSON number exactly. One that is very long is refused: 1e999999999 would fill the memory.
func rational(n json.Number) (*big.Rat, bool) {
	const longest = 40
	if n == "" || len(n) > longest || strings.ContainsAny(string(n), "eE") {
		return nil, false
	}
	return new(big.Rat).SetString(string(n))
}

func (t types) has(kind string, v any) bool {
	if slices.Contains(t, kind) {
		return true
	}
	if n, ok := v.(json.Number); ok && slices.Contains(t, "integer") {
		r, ok := rational(n)
		return ok && r.IsInt()
	}
	return false
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
