package build

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

const (
	maxScript  = 64 << 10 // bytes of one script; the largest known are a tenth of that
	maxScripts = 4        // scripts in scripts: sh -c "sh -c ..."
)

// call is one command as it is written. What a variable holds or a command prints is not known and stands as "$".
type call struct {
	name    string // without the directory
	args    []string
	fetched []bool // of each argument: a command in it downloads something
	line    int    // of the Dockerfile
	piped   bool   // it is given what was downloaded
}

// reader goes through one script.
type reader struct {
	*marker
	script
	depth int // scripts around this one
	loads map[syntax.Node]bool

	inside   []place
	lists    []call // that fetch package lists
	installs bool
}

// place is a part of the script that the reader is in.
type place struct {
	node  syntax.Node
	piped bool // a pipe brings what was downloaded here
}

// script looks at every command of a script.
func (m *marker) script(s script, depth int) {
	if len(s.text) > maxScript || depth > maxScripts {
		m.add(CheckUnread, s.line, "a script")
		return
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(s.text), "")
	if err != nil {
		m.add(CheckUnread, s.line, "a script")
		return
	}
	r := &reader{marker: m, script: s, depth: depth, loads: downloads(file)}
	syntax.Walk(file, r.visit)
	for _, c := range r.lists {
		if !r.installs {
			m.add(CheckUpdate, c.line, c.name)
		}
	}
}

// downloads are all parts of a script that a download is in.
func downloads(file *syntax.File) map[syntax.Node]bool {
	out := map[syntax.Node]bool{}
	var inside []syntax.Node
	syntax.Walk(file, func(n syntax.Node) bool {
		if n == nil {
			inside = inside[:len(inside)-1]
			return true
		}
		inside = append(inside, n)
		if c, ok := n.(*syntax.CallExpr); ok && len(c.Args) > 0 && fetches(unwrapped(callOf(c)).name) {
			for _, around := range slices.Backward(inside) {
				if out[around] {
					break
				}
				out[around] = true
			}
		}
		return true
	})
	return out
}

func (r *reader) visit(n syntax.Node) bool {
	if n == nil {
		r.inside = r.inside[:len(r.inside)-1]
		return true
	}
	r.enter(n)
	switch n := n.(type) {
	case *syntax.Assign:
		if n.Name != nil && n.Value != nil && unverifiedSetting(n.Name.Value, literal(n.Value)) {
			r.add(CheckUnverified, r.at(n), n.Name.Value)
		}
	case *syntax.CallExpr:
		if len(n.Args) > 0 {
			r.call(n)
		}
	}
	return true
}

// at is the line of the Dockerfile where a part of the script begins.
func (r *reader) at(n syntax.Node) int { return r.line + int(n.Pos().Line()) - 1 }

// call looks at a command and at the scripts that it is given.
func (r *reader) call(n *syntax.CallExpr) {
	c := callOf(n)
	c.line, c.piped = r.at(n), r.inside[len(r.inside)-1].piped
	for _, w := range n.Args[1:] {
		c.fetched = append(c.fetched, r.loads[w])
	}
	if c = r.command(c); fetchesLists(c) {
		r.lists = append(r.lists, c)
	}
	r.installs = r.installs || installs(c)
	at := len(n.Args) - len(c.args)
	if i := c.inline(); i >= 0 {
		r.marker.script(script{c.args[i], r.at(n.Args[at+i])}, r.depth+1)
	}
	if !c.readsScript() || len(r.inside) < 2 {
		return
	}
	if stmt, ok := r.inside[len(r.inside)-2].node.(*syntax.Stmt); ok {
		for _, redirect := range stmt.Redirs {
			if redirect.Hdoc != nil {
				r.marker.script(script{literal(redirect.Hdoc), r.at(redirect.Hdoc)}, r.depth+1)
			}
		}
	}
}

// enter goes into a part of the script.
func (r *reader) enter(n syntax.Node) {
	p := place{node: n}
	if len(r.inside) > 0 {
		around := r.inside[len(r.inside)-1]
		b, ok := around.node.(*syntax.BinaryCmd)
		p.piped = around.piped || ok && (b.Op == syntax.Pipe || b.Op == syntax.PipeAll) && n == syntax.Node(b.Y) && r.loads[b.X]
	}
	r.inside = append(r.inside, p)
}

func callOf(n *syntax.CallExpr) call {
	c := call{name: program(literal(n.Args[0]))}
	for _, w := range n.Args[1:] {
		c.args = append(c.args, literal(w))
	}
	return c
}

// literal is a word without its quotes.
func literal(w *syntax.Word) string {
	var b strings.Builder
	if w != nil {
		literals(&b, w.Parts, false)
	}
	return b.String()
}

func literals(b *strings.Builder, parts []syntax.WordPart, quoted bool) {
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(unescaped(p.Value, quoted))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			literals(b, p.Parts, true)
		default:
			b.WriteByte('$')
		}
	}
}

// unescaped takes out the backslashes that the shell takes out; between double quotes it leaves most.
func unescaped(s string, quoted bool) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (!quoted || strings.IndexByte("$`\"\\\n", s[i+1]) >= 0) {
			if i++; s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
