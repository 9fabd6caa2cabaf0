package arch

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// The repository keeps every rule, but for the exceptions listed.
func TestRepository(t *testing.T) {
	tr := load(t, os.DirFS("../.."))
	if len(tr.files) < 20 {
		t.Fatalf("found %d files: this is not the repository", len(tr.files))
	}
	used := map[exception]bool{}
	for _, c := range checks() {
		for _, v := range c.run(tr) {
			if e, ok := excused(v); ok {
				used[e] = true
				continue
			}
			t.Error(v)
		}
	}
	for _, e := range exceptions() {
		if !used[e] {
			t.Errorf("the exception for %s at %s is no longer needed", e.rule, e.where)
		}
	}
}

func excused(v violation) (exception, bool) {
	for _, e := range exceptions() {
		if e.rule == v.rule && e.where == v.where {
			return e, true
		}
	}
	return exception{}, false
}

// Every rule fails on a violation planted in a small module that keeps all the others.
func TestPlanted(t *testing.T) {
	long := func(n int) string { return strings.Repeat("\t_ = 0\n", n) }
	for _, c := range []struct {
		rule, file, src string
		want            string // part of the violation
	}{
		{"imports", "policy/x.go", "package policy\nimport _ \"" + module + "/oci\"\n", `"policy" may not import "oci"`},
		{"imports", "oci/x.go", "package oci\nimport _ \"" + module + "/action\"\n", `"oci" may not import "action"`},
		{"imports", "action/report/x.go", "package report\nimport _ \"" + module + "/build\"\n", `may not import "build"`},
		{"imports", "attest/x_test.go", "package attest\nimport _ \"" + module + "/policy\"\n", `"attest" may not import "policy"`},
		{"imports", "oci/x.go", "package oci\nimport _ \"" + module + "/internal/testkit\"\n", `is for tests`},
		{"imports", "utils/x.go", "// Package utils is a drawer.\npackage utils\n", "not in the table of rooms"},
		{"owners", "policy/x.go", "package policy\nimport _ \"github.com/moby/buildkit/client\"\n", `belongs to ["build"]`},
		{"owners", "action/x.go", "package action\nimport _ \"github.com/google/go-containerregistry/pkg/name\"\n", `belongs to ["oci"]`},
		{"owners", "oci/x.go", "package oci\nimport _ \"github.com/olareg/olareg\"\n", `belongs to`},
		{"owners", "oci/x.go", "package oci\nimport _ \"example.com/new\"\n", "not in the table of owners"},
		{"sizes", "oci/x.go", "package oci\n" + strings.Repeat("\n", maxFile), "lines of the file"},
		{"sizes", "oci/x.go", "package oci\nfunc f() {\n" + long(maxFunc) + "}\n", "lines of the function"},
		{"sizes", "oci/x.go", "package oci\nfunc f(a, b, c, d, e, g int) {}\n", "parameters: 6"},
		{"sizes", "oci/x.go", "package oci\nvar _ = func(a, b, c, d, e, g int) {}\n", "parameters: 6"},
		{"sizes", "oci/x.go", "package oci\ntype i interface { A(); B(); C(); D() }\n", "methods of the interface: 4"},
		{"sizes", "oci/x.go", "package oci\nfunc f() { for { if true { switch { case true: func() { for { } }() }; for { for { for { } } } } } }\n", "nesting: 5"},
		{"spread", "oci/x.go", "package oci\n" + strings.Repeat("func f() {\n"+long(p95Func)+"}\n", 5), "all functions"},
		{"documented", "scan/x.go", "package scan\n", "no package comment"},
		{"documented", "oci/x.go", "package oci\nfunc F() {}\n", "oci/x.go F"},
		{"documented", "oci/x.go", "package oci\ntype t int\n// T is.\ntype T int\nfunc (*T) M() {}\nfunc (t) N() {}\n", "oci/x.go T.M"},
		{"documented", "oci/x.go", "package oci\nconst A = 1\n", "oci/x.go A"},
		{"documented", "oci/x.go", "package oci\ntype T struct{}\n", "oci/x.go T"},
		{"habits", "oci/x.go", "package oci\nfunc init() {}\n", "init"},
		{"habits", "oci/x.go", "package oci\nfunc f() { panic(1) }\n", "panics"},
		{"habits", "oci/x.go", "package oci\nimport _ \"log\"\n", `imports "log"`},
		{"habits", "oci/x_test.go", "package oci\nimport _ \"github.com/stretchr/testify/require\"\n", "testify"},
		{"pure", "policy/x.go", "package policy\nimport \"time\"\nfunc f() { _ = time.Now() }\n", "time.Now"},
		{"pure", "build/x.go", "// Package build is.\npackage build\nimport \"os\"\nvar v = os.Getenv(\"X\")\n", "os.Getenv"},
		{"pure", "oci/x.go", "package oci\nimport \"os\"\nfunc f() { _ = os.Stdout }\n", "os.Stdout"},
		{"constant", "oci/x.go", "package oci\nvar m = map[string]int{}\nfunc f() { m[\"a\"] = 1 }\n", "changes the package variable m"},
		{"constant", "oci/x.go", "package oci\nvar n = 1\nfunc f() { n++ }\n", "changes the package variable n"},
		{"constant", "oci/x.go", "package oci\nfunc f() { theirs.x = 2 }\n", "changes the package variable theirs"},
		{"constant", "oci/x.go", "package oci\nvar s = []int{1}\nfunc f() *[]int { return &s }\n", "takes the address"},
		{"constant", "oci/x.go", "package oci\nvar v int\n", "made empty"},
		{"constant", "oci/x.go", "package oci\nvar v = make(map[string]int)\n", "made with make"},
		{"constant", "oci/x.go", "package oci\nimport \"sync\"\nvar mu sync.Mutex\n", "is a sync.Mutex"},
		{"verdict", "policy/x.go", "package policy\nfunc g(d *Decision) { d.Allowed = true }\n", "allows, besides"},
		{"verdict", "oci/x.go", "package oci\nfunc g(d *Decision) { d.Allowed = true }\n", "allows, besides"},
		{"verdict", "policy/x.go", "package policy\nfunc g(d *Decision) { d.Allowed = len(d.Denials) == 0 }\n", "allows, besides"},
		{"verdict", "action/x.go", "package action\nvar _ = struct{ Allowed bool }{Allowed: !false}\n", "allows, besides"},
		{"verdict", "policy/policy.go", "// Package policy is.\npackage policy\n", "nothing ever allows"},
		{"errors", "oci/x.go", "package oci\nfunc f() (int, error) { x, err := g(); if x > 0 { return 0, err }; return 0, nil }\n", "does not look at"},
		{"errors", "oci/x.go", "package oci\nfunc f() error { err := g(); switch { case x: return err }; return nil }\n", "does not look at"},
		{"errors", "oci/x.go", "package oci\nfunc f() error { err := g(); if err == nil && x { return err }; return nil }\n", "does not look at"},
		{"errors", "oci/x.go", "package oci\nfunc f() error { err := g(); for { if x { return err } } }\n", "does not look at"},
		{"finished", "oci/x.go", "package oci\n// TODO: finish\n", "TODO"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			fsys := sound()
			fsys[c.file] = &fstest.MapFile{Data: []byte(c.src)}
			var broken []string
			for _, check := range checks() {
				for _, v := range check.run(load(t, fsys)) {
					if v.rule == c.rule && strings.Contains(v.String(), c.want) {
						return
					}
					broken = append(broken, v.String())
				}
			}
			t.Errorf("no violation says %q in\n%s\nbut %q", c.want, c.src, broken)
		})
	}
}

// sound is a small module that keeps every rule.
func sound() fstest.MapFS {
	return fstest.MapFS{
		"main.go":                  {Data: []byte("// Command sealyard is.\npackage main\nimport _ \"" + module + "/action\"\nfunc main() {}\n")},
		"action/action.go":         {Data: []byte("// Package action is.\npackage action\nimport (\n_ \"" + module + "/oci\"\n_ \"github.com/spf13/cobra\"\n)\n// Allowed is an exit code.\nconst Allowed = 0\n")},
		"oci/oci.go":               {Data: []byte("// Package oci is.\npackage oci\nimport \"errors\"\n// ErrX and\nvar (\n\tErrX = errors.New(\"x\")\n\ttheirs = struct{ x int }{1}\n)\nfunc f() error {\n\ttheirs := theirs\n\ttheirs.x = 2\n\tif err := f(); err != nil { return err }\n\tswitch err := f(); { case err != nil: return err }\n\tif x > 0 { _, err := f(); return err }\n\tif err == nil { return nil } else { return err }\n}\n")},
		"oci/oci_test.go":          {Data: []byte("package oci\nimport _ \"" + module + "/internal/testkit\"\nvar update bool\nfunc init() { update = true; panic(1) }\n")},
		"policy/policy.go":         {Data: []byte("// Package policy is.\npackage policy\nfunc f(d *Decision) { d.Allowed = true; g(Decision{Allowed: false}); h(Decision{Allowed: d.Allowed}) }\n")},
		"internal/testkit/kit.go":  {Data: []byte("// Package testkit is.\npackage testkit\nimport _ \"github.com/olareg/olareg\"\n")},
		"action/testdata/x/bad.go": {Data: []byte("package bad\nfunc init() {}\n")},
		"demo/app/go.mod":          {Data: []byte("module demo\n")},
		"demo/app/main.go":         {Data: []byte("package main\nfunc init() {}\n")},
	}
}

func TestSound(t *testing.T) {
	for _, c := range checks() {
		for _, v := range c.run(load(t, sound())) {
			t.Error(v)
		}
	}
}
