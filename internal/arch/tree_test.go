package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sealyard/sealyard"

// A tree is the source of the module, parsed but not type checked: that takes well under a second.
type tree struct {
	fset  *token.FileSet
	files []*file
}

type file struct {
	*ast.File
	name string // relative to the module, slashes
	dir  string // "" is the root
	test bool
}

// A violation names the rule, where it is broken ("dir/file.go Func"), and how.
type violation struct{ rule, where, what string }

func (v violation) String() string { return v.rule + ": " + v.where + ": " + v.what }

// skipped reports whether a directory holds no code of this module's own.
func skipped(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	if dir == "." {
		return false
	}
	if dir == "internal/deps" || base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(fsys, dir+"/go.mod")
	return err == nil
}

func load(t *testing.T, fsys fs.FS) *tree {
	t.Helper()
	tr := &tree{fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(fsys, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(tr.fset, name, src, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if dir == "." {
			dir = ""
		}
		tr.files = append(tr.files, &file{File: parsed, name: name, dir: dir, test: strings.HasSuffix(name, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// code is the files that are not tests.
func (tr *tree) code() []*file {
	return slices.DeleteFunc(slices.Clone(tr.files), func(f *file) bool { return f.test })
}

// packages groups files by directory.
func packages(files []*file) map[string][]*file {
	all := map[string][]*file{}
	for _, f := range files {
		all[f.dir] = append(all[f.dir], f)
	}
	return all
}

func (tr *tree) line(n ast.Node) int { return tr.fset.Position(n.Pos()).Line }

func (tr *tree) lines(n ast.Node) int {
	return tr.fset.Position(n.End()).Line - tr.fset.Position(n.Pos()).Line + 1
}

// at names a place: the function when there is one, so that it stays when lines move.
func (f *file) at(n ast.Node) string {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && fn.Pos() <= n.Pos() && n.End() <= fn.End() {
			return f.name + " " + funcName(fn)
		}
	}
	return f.name
}

func funcName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	return receiver(fn) + "." + fn.Name.Name
}

func receiver(fn *ast.FuncDecl) string {
	typ := fn.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name
		default:
			return fmt.Sprintf("%T", typ)
		}
	}
}
