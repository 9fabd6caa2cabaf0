package report

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Each table in docs/json.md names every field of its document, in its order and with its type, and no other.
func TestJSONDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(page), "\n## ")
	documents := []any{document{}, Bundles{}, Inspection{}}
	if len(sections) != len(documents) {
		t.Fatalf("%d documents are described, want %d", len(sections), len(documents))
	}
	for n, section := range sections {
		var documented []string
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([a-z ]+) \\|").FindAllStringSubmatch(section, -1) {
			documented = append(documented, row[1]+" "+row[2])
		}
		written := fields("", reflect.TypeOf(documents[n]))
		for i := range max(len(documented), len(written)) {
			if i >= len(documented) || i >= len(written) || documented[i] != written[i] {
				t.Fatalf("%T, row %d: docs/json.md has %q, the document %q", documents[n], i+1, at(documented, i), at(written, i))
			}
		}
	}
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "nothing"
}

// fields lists the paths and JSON types of a Go type.
func fields(path string, typ reflect.Type) []string {
	switch typ.Kind() {
	case reflect.Pointer:
		inner := fields(path, typ.Elem())
		inner[0] += " or null"
		return inner
	case reflect.Slice:
		return fields(path+"[]", typ.Elem())
	case reflect.Map:
		return []string{path + " object"}
	case reflect.String:
		return []string{path + " string"}
	case reflect.Bool:
		return []string{path + " boolean"}
	case reflect.Struct:
		if typ == reflect.TypeOf(time.Time{}) {
			return []string{path + " string"}
		}
		var all []string
		if path != "" {
			all = []string{path + " object"}
		}
		if path == "decision.warnings[]" || path == "decision.excepted[].finding" { // as decision.denials[]
			return all
		}
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			all = append(all, fields(strings.TrimPrefix(path+"."+name, "."), typ.Field(i).Type)...)
		}
		return all
	default:
		return []string{path + " number"}
	}
}
