package attest

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated parts of docs/buildtypes/container-v1.md")

// R9 R15 R17 R21: the page of the build type lists every external parameter and every builder, from the code.
func TestBuildTypePage(t *testing.T) {
	page := pagePath(t, BuildType)
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := have
	for name, text := range map[string]string{"external": externalTable(t), "builders": buildersTable()} {
		open, end := []byte("<!-- generated: "+name+" -->\n"), []byte("<!-- end -->")
		i := bytes.Index(want, open)
		if i < 0 {
			t.Fatalf("%s has no place for %q", page, name)
		}
		i += len(open)
		j := bytes.Index(want[i:], end)
		want = append(append(bytes.Clone(want[:i]), text...), want[i+j:]...)
	}
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(have, want) {
		t.Errorf("%s is not what the code says; run go test ./attest -run TestBuildTypePage -update", page)
	}
	for _, m := range Modes() {
		text, err := os.ReadFile(pagePath(t, BuilderID(m)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, fmt.Appendf(nil, "\nSLSA Build level: **%d**", m.Level())) || !bytes.Contains(text, fmt.Appendf(nil, "Mode `%s`", m)) {
			t.Errorf("the page of mode %s does not state its level %d", m, m.Level())
		}
		if !bytes.Contains(text, []byte("tenant-generated")) {
			t.Errorf("the page of mode %s does not say which fields are tenant-generated", m)
		}
	}
}

// R14 R21: what is written is what is documented: no parameter is left out, none has a name of its own.
func TestExternalParametersAreDocumented(t *testing.T) {
	s, err := Provenance(aBuild())
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(pagePath(t, BuildType))
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, s.Predicate())
	external, _ := at(p, "buildDefinition", "externalParameters").(map[string]any)
	internal, _ := at(p, "buildDefinition", "internalParameters").(map[string]any)
	for _, m := range []map[string]any{external, internal} {
		for name := range m {
			if !bytes.Contains(page, []byte("\n| `"+name+"` |")) {
				t.Errorf("parameter %q is not documented", name)
			}
		}
	}
	if n := reflect.TypeFor[External]().NumField(); len(external) != n {
		t.Errorf("%d external parameters are written, %d are documented", len(external), n)
	}
	for name := range internal {
		if !strings.HasPrefix(name, "sealyard_") {
			t.Errorf("internal parameter %q is not named <vendor>_<field>", name)
		}
	}
}

// pagePath is the file in this repository behind one of our URIs.
func pagePath(t *testing.T, uri string) string {
	t.Helper()
	rest, ok := strings.CutPrefix(uri, "https://github.com/sealyard/sealyard/blob/main/")
	if !ok {
		t.Fatalf("%s is not a page of this repository", uri)
	}
	return filepath.Join("..", filepath.FromSlash(rest))
}

func externalTable(t *testing.T) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "provenance.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "External" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			docs[f.Names[0].Name] = strings.ReplaceAll(strings.TrimSpace(f.Doc.Text()), "\n", " ")
		}
		return false
	})
	var b strings.Builder
	b.WriteString("| name | value | from | meaning |\n|---|---|---|---|\n")
	for i := range reflect.TypeFor[External]().NumField() {
		f := reflect.TypeFor[External]().Field(i)
		if docs[f.Name] == "" || f.Tag.Get("from") == "" {
			t.Errorf("External.%s has no comment or no `from` tag", f.Name)
		}
		value := map[reflect.Kind]string{reflect.String: "string", reflect.Slice: "list", reflect.Map: "object of strings"}[f.Type.Kind()]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Tag.Get("json"), value, f.Tag.Get("from"), docs[f.Name])
	}
	return b.String()
}

func buildersTable() string {
	var b strings.Builder
	b.WriteString("| mode | builder.id | highest SLSA Build level |\n|---|---|---|\n")
	for _, m := range Modes() {
		fmt.Fprintf(&b, "| `%s` | [%s](../builders/%s.md) | %d |\n", m, BuilderID(m), m, m.Level())
	}
	return b.String()
}
