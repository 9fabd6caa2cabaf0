package arch

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A check looks at the whole tree and returns what breaks its rule.
type check struct {
	name string
	run  func(*tree) []violation
}

func checks() []check {
	return []check{
		{"imports", checkImports}, {"owners", checkOwners}, {"sizes", checkSizes}, {"spread", checkSpread}, {"documented", checkDocumented},
		{"habits", checkHabits}, {"pure", checkPure}, {"constant", checkConstant}, {"verdict", checkVerdict}, {"errors", checkErrors}, {"finished", checkFinished},
	}
}

func imported(f *file) []string {
	var all []string
	for _, spec := range f.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// ours returns the room an import names, when it is one of the module.
func ours(imp string) (dir string, ok bool) {
	if imp == module {
		return "", true
	}
	return strings.CutPrefix(imp, module+"/")
}

// checkImports: every package is a room, and imports only what its row allows.
func checkImports(tr *tree) (all []violation) {
	table := map[string]room{}
	for _, r := range rooms() {
		table[r.dir] = r
	}
	for _, f := range tr.files {
		r, ok := table[f.dir]
		if !ok {
			all = append(all, violation{"imports", f.name, fmt.Sprintf("package %q is not in the table of rooms", f.dir)})
			continue
		}
		for _, imp := range imported(f) {
			dir, ok := ours(imp)
			if !ok || slices.Contains(r.may, dir) || f.test && (dir == f.dir || dir == "internal/testkit" || slices.Contains(r.tests, dir)) {
				continue
			}
			all = append(all, violation{"imports", f.name, fmt.Sprintf("%q may not import %q: %s", r.dir, dir, cmp.Or(table[dir].why, "no such room"))})
		}
		for _, imp := range imported(f) {
			if dir, ok := ours(imp); ok && !f.test && slices.Contains(testOnly(), dir) && !slices.Contains(testOnly(), f.dir) {
				all = append(all, violation{"imports", f.name, fmt.Sprintf("%q is for tests", dir)})
			}
		}
	}
	return all
}

// checkOwners: every foreign import has an owner that is this room.
func checkOwners(tr *tree) (all []violation) {
	for _, f := range tr.files {
		for _, imp := range imported(f) {
			first, _, _ := strings.Cut(imp, "/")
			if _, own := ours(imp); own || !strings.Contains(first, ".") {
				continue
			}
			var best owner
			for _, o := range owners() {
				if (imp == o.prefix || strings.HasPrefix(imp, o.prefix+"/")) && len(o.prefix) > len(best.prefix) {
					best = o
				}
			}
			if slices.Contains(best.by, f.dir) || f.test && slices.Contains(best.tests, f.dir) || slices.Contains(testOnly(), f.dir) && slices.Contains(best.tests, f.dir) {
				continue
			}
			all = append(all, violation{"owners", f.name, fmt.Sprintf("may not import %q, which %s", imp, belongs(best))})
		}
	}
	return all
}

func belongs(o owner) string {
	if o.prefix == "" {
		return "is not in the table of owners"
	}
	return fmt.Sprintf("belongs to %q: %s", append(slices.Clone(o.by), o.tests...), o.why)
}

// checkSizes: files, functions, nesting, parameters, interfaces.
func checkSizes(tr *tree) (all []violation) {
	over := func(f *file, n ast.Node, what string, got, most int) {
		if got > most {
			all = append(all, violation{"sizes", f.at(n), fmt.Sprintf("%s: %d, at most %d", what, got, most)})
		}
	}
	for _, f := range tr.code() {
		over(f, f.Name, "lines of the file", tr.fset.File(f.Pos()).LineCount(), maxFile)
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				over(f, n, "lines of the function", tr.lines(n), maxFunc)
				over(f, n, "parameters", n.Type.Params.NumFields(), maxParams)
				if n.Body != nil {
					over(f, n, "nesting", nesting(n.Body, 0), maxNesting)
				}
			case *ast.FuncLit:
				over(f, n, "parameters", n.Type.Params.NumFields(), maxParams)
			case *ast.InterfaceType:
				over(f, n, "methods of the interface", n.Methods.NumFields(), maxMethods)
			}
			return true
		})
	}
	return all
}

// nesting is the depth of control flow below a node; "else if" does not count as deeper.
func nesting(n ast.Node, depth int) int {
	deepest := depth
	ast.Inspect(n, func(m ast.Node) bool {
		if m == n || m == nil {
			return true
		}
		switch s := m.(type) {
		case *ast.IfStmt:
			deepest = max(deepest, nesting(s.Body, depth+1))
			if s.Else != nil {
				if next, ok := s.Else.(*ast.IfStmt); ok {
					deepest = max(deepest, nesting(&ast.BlockStmt{List: []ast.Stmt{next}}, depth))
				} else {
					deepest = max(deepest, nesting(s.Else, depth+1))
				}
			}
			return false
		case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			deepest = max(deepest, nesting(m, depth+1))
			return false
		}
		return true
	})
	return deepest
}

// checkSpread: most files and functions are small, not only none too large.
func checkSpread(tr *tree) (all []violation) {
	var files, funcs []int
	for _, f := range tr.code() {
		files = append(files, tr.fset.File(f.Pos()).LineCount())
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				funcs = append(funcs, tr.lines(fn))
			}
		}
	}
	for _, c := range []struct {
		what string
		n    []int
		most int
	}{{"files", files, p95File}, {"functions", funcs, p95Func}} {
		if p := percentile(c.n, 95); p > c.most {
			all = append(all, violation{"spread", "all " + c.what, fmt.Sprintf("95%% are within %d lines, should be %d", p, c.most)})
		}
	}
	return all
}

func percentile(n []int, p int) int {
	if len(n) == 0 {
		return 0
	}
	slices.Sort(n)
	return n[(len(n)-1)*p/100]
}

// checkDocumented: a comment on every package and on every exported name.
func checkDocumented(tr *tree) (all []violation) {
	missing := func(f *file, n ast.Node, name string) {
		all = append(all, violation{"documented", f.name + " " + name, "exported and not documented"})
	}
	for dir, files := range packages(tr.code()) {
		if !slices.ContainsFunc(files, func(f *file) bool {
			text := f.Doc.Text()
			return strings.HasPrefix(text, "Package "+f.Name.Name+" ") || f.Name.Name == "main" && strings.HasPrefix(text, "Command ")
		}) {
			all = append(all, violation{"documented", cmp.Or(dir, "main"), "no package comment"})
		}
		for _, f := range files {
			for _, d := range f.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d))) {
						missing(f, d, funcName(d))
					}
				case *ast.GenDecl:
					for _, name := range undocumented(d) {
						missing(f, d, name)
					}
				}
			}
		}
	}
	return all
}

// undocumented lists the exported names of a declaration without a comment of their own, at the end of their line, or
// over their group.
func undocumented(d *ast.GenDecl) (names []string) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
				names = append(names, s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, n := range s.Names {
				if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

// checkHabits: no init, no panic, no other logger than slog, no assertion library.
func checkHabits(tr *tree) (all []violation) {
	drawers := regexp.MustCompile(`^(github\.com/sirupsen/logrus|go\.uber\.org/zap|github\.com/stretchr/testify|github\.com/golang/mock|go\.uber\.org/mock)(/|$)`)
	for _, f := range tr.files {
		for _, imp := range imported(f) {
			if imp == "log" && !f.test && !slices.Contains(testOnly(), f.dir) || drawers.MatchString(imp) {
				all = append(all, violation{"habits", f.name, fmt.Sprintf("imports %q: log with slog, compare with ==", imp)})
			}
		}
		if f.test {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					all = append(all, violation{"habits", f.name, "has an init function"})
				}
			case *ast.CallExpr:
				if called(n) == "panic" {
					all = append(all, violation{"habits", f.at(n), "panics"})
				}
			}
			return true
		})
	}
	return all
}

// called returns "f" or "x.f" for a call of a plain or selected name.
func called(c *ast.CallExpr) string { return dotted(c.Fun) }

func dotted(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			return x.Name + "." + e.Sel.Name
		}
	}
	return ""
}

// checkPure: a leaf reads no environment and no clock, and prints nothing.
func checkPure(tr *tree) (all []violation) {
	impure := []string{
		"os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "os.UserHomeDir", "os.UserCacheDir", "os.UserConfigDir", "os.Stdout", "os.Stderr", "os.Stdin", "os.Args", "os.Exit",
		"time.Now", "time.Since", "time.Until", "fmt.Print", "fmt.Printf", "fmt.Println", "slog.Default", "slog.SetDefault", "slog.Info", "slog.Warn", "slog.Error", "slog.Debug",
	}
	for _, f := range tr.code() {
		if !slices.Contains(leaves(), f.dir) {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(impure, dotted(s)) {
				all = append(all, violation{"pure", f.at(n), dotted(s)})
			}
			return true
		})
	}
	return all
}

// checkVerdict: one line of the code allows, and it is in policy. Every other place copies an answer or says false.
func checkVerdict(tr *tree) (all []violation) {
	lines := 0
	for _, f := range tr.code() {
		given := func(n ast.Node, value ast.Expr) {
			name := dotted(value)
			switch _, copied, _ := strings.Cut("."+name, "."); {
			case name == "false" || strings.EqualFold(copied[strings.LastIndex(copied, ".")+1:], "allowed"):
			case name == "true" && f.dir == "policy" && lines == 0:
				lines++
			default:
				all = append(all, violation{"verdict", f.at(n), "allows, besides the one line in policy that may"})
			}
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if dotted(n.Key) == "Allowed" {
					given(n, n.Value)
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					if s, ok := to.(*ast.SelectorExpr); ok && s.Sel.Name == "Allowed" {
						given(n, n.Rhs[min(i, len(n.Rhs)-1)])
					}
				}
			}
			return true
		})
	}
	if lines == 0 && len(packages(tr.code())["policy"]) > 0 {
		all = append(all, violation{"verdict", "policy", "nothing ever allows"})
	}
	return all
}

// checkErrors: no "return err" under a condition that says nothing of err, unless err was set right there: there err is
// nil or stale, and a well-known verifier exited 0 that way.
func checkErrors(tr *tree) (all []violation) {
	for _, f := range tr.code() {
		var path []ast.Node
		ast.Inspect(f.File, func(n ast.Node) bool {
			if n == nil {
				path = path[:len(path)-1]
				return true
			}
			path = append(path, n)
			r, ok := n.(*ast.ReturnStmt)
			if ok && len(r.Results) > 0 && dotted(r.Results[len(r.Results)-1]) == "err" && stale(path) {
				all = append(all, violation{"errors", f.at(n), fmt.Sprintf("line %d returns an err that its condition does not look at", tr.line(n))})
			}
			return true
		})
	}
	return all
}

// stale walks outwards from a return statement until something speaks of err.
func stale(path []ast.Node) bool {
	end := path[len(path)-1].Pos()
	for i := len(path) - 2; i >= 0; i-- {
		switch n := path[i].(type) {
		case *ast.BlockStmt:
			if sets(n.List, end) {
				return false
			}
		case *ast.CommClause:
			if sets(append([]ast.Stmt{n.Comm}, n.Body...), end) {
				return false
			}
		case *ast.CaseClause:
			if sets(n.Body, end) || slices.ContainsFunc(n.List, looks) {
				return false
			}
			return len(n.List) > 0
		case *ast.IfStmt:
			inElse := n.Else != nil && n.Else.Pos() <= end
			if looks(n.Cond) || inElse && mentions(n.Cond, "err") {
				return false
			}
			if !inElse {
				return true
			}
		case *ast.FuncDecl, *ast.FuncLit:
			return false
		}
	}
	return false
}

// sets reports whether one of the statements before end, not deeper, gives err a value.
func sets(list []ast.Stmt, end token.Pos) bool {
	return slices.ContainsFunc(list, func(s ast.Stmt) bool {
		assign, ok := s.(*ast.AssignStmt)
		return ok && s.End() <= end && slices.ContainsFunc(assign.Lhs, func(e ast.Expr) bool { return dotted(e) == "err" })
	})
}

// looks reports whether a condition asks something of err that may be true of an error: not "err == nil", nor that and
// more.
func looks(cond ast.Expr) (found bool) {
	if b, ok := cond.(*ast.BinaryExpr); ok && b.Op == token.LOR && mentions(cond, "err") {
		return true
	}
	ast.Inspect(cond, func(n ast.Node) bool {
		if b, ok := n.(*ast.BinaryExpr); ok && b.Op == token.EQL && dotted(b.X) == "err" && dotted(b.Y) == "nil" {
			return false
		}
		if id, ok := n.(*ast.Ident); ok && id.Name == "err" {
			found = true
		}
		return !found
	})
	return found
}

func mentions(e ast.Expr, name string) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == name {
			found = true
		}
		return !found
	})
	return found
}

// checkFinished: no notes to self.
func checkFinished(tr *tree) (all []violation) {
	unfinished := regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	for _, f := range tr.files {
		for _, group := range f.Comments {
			for _, c := range group.List {
				if word := unfinished.FindString(c.Text); word != "" && f.dir != "internal/arch" {
					all = append(all, violation{"finished", f.name, fmt.Sprintf("line %d: %s", tr.line(c), word)})
				}
			}
		}
	}
	return all
}

// checkConstant: a package variable is made once and never changes. It may hold an error, a compiled pattern, embedded
// files, or a value nobody assigns to; a type that is made to be changed may not be a package variable at all.
func checkConstant(tr *tree) (all []violation) {
	changing := regexp.MustCompile(`^(sync|atomic)\.|^bytes\.Buffer$|^strings\.Builder$`)
	for _, files := range packages(tr.code()) {
		vars := map[string]*ast.ValueSpec{}
		for _, f := range files {
			for _, d := range f.Decls {
				decl, ok := d.(*ast.GenDecl)
				if !ok || decl.Tok != token.VAR {
					continue
				}
				for _, s := range decl.Specs {
					spec := s.(*ast.ValueSpec)
					for _, name := range spec.Names {
						vars[name.Name] = spec
					}
					embedded := strings.Contains(docText(decl.Doc)+docText(spec.Doc), "//go:embed")
					if len(spec.Values) == 0 && !embedded && spec.Names[0].Name != "_" {
						all = append(all, violation{"constant", f.name + " " + spec.Names[0].Name, "is made empty, so something must fill it later"})
					}
					if typ := dotted(spec.Type); spec.Type != nil && changing.MatchString(typ) {
						all = append(all, violation{"constant", f.name + " " + spec.Names[0].Name, "is a " + typ})
					}
					for _, v := range spec.Values {
						if c, ok := v.(*ast.CallExpr); ok && (called(c) == "make" || called(c) == "new") {
							all = append(all, violation{"constant", f.name + " " + spec.Names[0].Name, "is made with " + called(c)})
						}
					}
				}
			}
		}
		for _, f := range files {
			all = append(all, f.changes(vars)...)
		}
	}
	return all
}

func docText(g *ast.CommentGroup) (text string) {
	if g != nil {
		for _, c := range g.List {
			text += c.Text + "\n"
		}
	}
	return text
}

// changes finds assignments to, and addresses taken of, package variables.
func (f *file) changes(vars map[string]*ast.ValueSpec) (all []violation) {
	unresolved := map[*ast.Ident]bool{}
	for _, id := range f.Unresolved {
		unresolved[id] = true
	}
	hit := func(n ast.Node, e ast.Expr, how string) {
		id := root(e)
		if id == nil || vars[id.Name] == nil {
			return
		}
		if unresolved[id] || id.Obj != nil && id.Obj.Decl == vars[id.Name] {
			all = append(all, violation{"constant", f.at(n), fmt.Sprintf("%s the package variable %s", how, id.Name)})
		}
	}
	ast.Inspect(f.File, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, to := range n.Lhs {
					hit(n, to, "changes")
				}
			}
		case *ast.IncDecStmt:
			hit(n, n.X, "changes")
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				hit(n, n.X, "takes the address of")
			}
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				hit(n, n.Key, "changes")
			}
		case *ast.CallExpr:
			if name := called(n); (name == "delete" || name == "clear" || name == "copy") && len(n.Args) > 0 {
				hit(n, n.Args[0], "changes")
			}
		}
		return true
	})
	return all
}

// root returns the variable an expression reaches into: x of x.f, x[i], *x.
func root(e ast.Expr) *ast.Ident {
	for {
		switch t := e.(type) {
		case *ast.Ident:
			return t
		case *ast.SelectorExpr:
			e = t.X
		case *ast.IndexExpr:
			e = t.X
		case *ast.StarExpr:
			e = t.X
		case *ast.ParenExpr:
			e = t.X
		default:
			return nil
		}
	}
}
