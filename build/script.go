package build

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// lines are those of a Dockerfile.
type lines struct {
	text      []string
	continued *regexp.Regexp // the end of a line that goes on in the next
}

func splitLines(data []byte, escape rune) lines {
	return lines{
		text:      strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"),
		continued: regexp.MustCompile(`(^|[^` + regexp.QuoteMeta(string(escape)) + `])` + regexp.QuoteMeta(string(escape)) + `[ \t]*$`),
	}
}

// script is what a shell is given to run, in lines that are those of the Dockerfile.
type script struct {
	text string
	line int // of the Dockerfile, where text begins
}

// run looks at one RUN, whose shell form the given program runs.
func (m *marker) run(c *instructions.RunCommand, shell string) {
	line := firstLine(c.Location())
	if instructions.GetSecurity(c) == instructions.SecurityInsecure {
		m.add(CheckPrivileged, line, "--security=insecure")
	}
	if instructions.GetNetwork(c) == instructions.NetworkHost {
		m.add(CheckPrivileged, line, "--network=host")
	}
	if !c.PrependShell {
		m.exec(m.command(call{name: program(first(c.CmdLine)), args: c.CmdLine[min(1, len(c.CmdLine)):], line: line}))
		return
	}
	s := m.scriptOf(c)
	if interpreter, ok := shebang(s.text); ok && isShell(interpreter) {
		shell = interpreter
	} else if ok {
		return // a program in another language, as if it were copied in
	}
	if !isShell(shell) {
		m.add(CheckUnread, line, shell)
		return
	}
	m.script(s, 0)
}

// exec looks at the script of a RUN that names its own shell, and at a RUN of one command.
func (m *marker) exec(c call) {
	if i := c.inline(); i >= 0 {
		m.script(script{c.args[i], c.line}, 1)
	} else if fetchesLists(c) {
		m.add(CheckUpdate, c.line, c.name)
	}
}

// scriptOf is the script of a RUN in shell form.
func (m *marker) scriptOf(c *instructions.RunCommand) script {
	loc := c.Location()
	start, end := firstLine(loc), len(loc)-1+firstLine(loc)
	if m.at > 0 || start < 1 || end > len(m.source.text) {
		return script{strings.Join(c.CmdLine, " "), start}
	}
	if len(c.Files) == 1 && parser.MustParseHeredoc(first(c.CmdLine)) != nil {
		return script{c.Files[0].Data, end - strings.Count(c.Files[0].Data, "\n")}
	}
	documents := 0 // lines of them, with those that end them
	for _, f := range c.Files {
		documents += strings.Count(f.Data, "\n") + 1
	}
	text := m.source.joined(start, max(start, end-documents))
	text = append(text, m.source.text[max(start, end-documents):end]...)
	body, before := afterFlags(strings.Join(text, "\n"))
	return script{body, start + before}
}

// joined are the lines from first to last, in which a shell sees one line where BuildKit does: what is left out of it, comments
// and empty lines, continues.
func (l lines) joined(first, last int) []string {
	out := slices.Clone(l.text[first-1 : last])
	for i, s := range out {
		switch trimmed := strings.TrimSpace(s); {
		case i > 0 && (trimmed == "" || trimmed[0] == '#'):
			out[i] = `\`
		case l.continued.MatchString(s):
			out[i] = l.continued.ReplaceAllString(s, `$1\`)
		}
	}
	return out
}

var (
	runWord = regexp.MustCompile(`^(?i)\s*RUN(\s|\\\n)+`)
	runFlag = regexp.MustCompile(`^--[a-z](\\.|"[^"]*"|'[^']*'|[^\s\\])*(\s|\\\n)+`)
)

// afterFlags cuts the instruction's word and flags off and says how many lines went with them.
func afterFlags(text string) (rest string, before int) {
	rest = text[len(runWord.FindString(text)):]
	for runFlag.MatchString(rest) {
		rest = rest[len(runFlag.FindString(rest)):]
	}
	return rest, strings.Count(text[:len(text)-len(rest)], "\n")
}

// shebang is the program that the first line of a script names.
func shebang(text string) (string, bool) {
	rest, ok := strings.CutPrefix(text, "#!")
	if !ok {
		return "", false
	}
	line, _, _ := strings.Cut(rest, "\n")
	words := strings.Fields(line)
	name := program(first(words))
	if name == "env" {
		words = slices.DeleteFunc(words[1:], func(w string) bool { return strings.HasPrefix(w, "-") })
		name = program(first(words))
	}
	return name, true
}

func first(words []string) string { return strings.Join(words[:min(1, len(words))], "") }

// program is a command without the directory it lies in.
func program(word string) string {
	if word == "" {
		return ""
	}
	return path.Base(word)
}

func isShell(name string) bool {
	return slices.Contains([]string{"sh", "bash", "ash", "dash", "ksh", "mksh", "zsh"}, name)
}
