package report

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sealyard/sealyard/policy"
)

// A gitHub is the part of GitHub's runner that reads a step's log and files, as its source has it (ActionCommand.cs,
// ActionCommandManager.cs, FileCommandManager.cs of actions/runner 2.336).
type gitHub struct {
	commands []string // "name|properties|data"
	stopped  string
}

func (g *gitHub) log(text string) {
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "::"); ok {
			if info, data, ok := strings.Cut(rest, "::"); ok {
				name, properties, _ := strings.Cut(info, " ")
				g.run(name, properties, data)
				continue
			}
		}
		if _, rest, ok := strings.Cut(line, "##["); ok {
			if info, data, ok := strings.Cut(rest, "]"); ok {
				name, properties, _ := strings.Cut(info, " ")
				g.run(name, properties, data)
			}
		}
	}
}

func (g *gitHub) run(name, properties, data string) {
	switch {
	case g.stopped != "" && name == g.stopped:
		g.stopped = ""
	case g.stopped != "":
	case name == "stop-commands":
		g.stopped = data
	default:
		g.commands = append(g.commands, name+"|"+properties+"|"+data)
	}
}

func (g *gitHub) outputs(t *testing.T, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for text := string(data); text != ""; {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if line == "" {
			continue
		}
		name, delimiter, heredoc := strings.Cut(line, "<<")
		if key, value, ok := strings.Cut(line, "="); ok && (!heredoc || len(key) < len(name)) {
			out[key] = value
			continue
		}
		value, rest, ok := strings.Cut("\n"+text, "\n"+delimiter+"\n")
		if !heredoc || !ok {
			t.Fatalf("the runner cannot read %q", line)
		}
		out[name], text = strings.TrimPrefix(value, "\n"), rest
	}
	return out
}

// T1 T2: nothing that is rendered for a person or a program makes the runner do something, whatever the strings are.
func TestNoCommands(t *testing.T) {
	for kind, text := range render(t, hostile()) {
		var g gitHub
		g.log(text)
		for _, c := range g.commands {
			if kind != "log" || !strings.HasPrefix(c, "error|") && !strings.HasPrefix(c, "warning|") {
				t.Errorf("%s runs %.200s", kind, c)
			}
		}
		for _, r := range text {
			if r < ' ' && r != '\n' || r == '\u202e' || r == '\u2066' || r == '\u200b' {
				t.Errorf("%s holds %U", kind, r)
			}
		}
	}
}

// T2: a job page shows foreign text as text: no tag, link, image or mention of its making.
func TestMarkdownInert(t *testing.T) {
	md := render(t, hostile())["md"]
	md = regexp.MustCompile("(?s)```+sh\n.*?\n```+\n").ReplaceAllString(md, "")
	md = regexp.MustCompile("`[^`\n]*`").ReplaceAllString(md, "")
	own := regexp.MustCompile(`</?(code|details|summary|sub|br)>`)
	if rest := own.ReplaceAllString(md, ""); strings.ContainsAny(rest, "<[]@`$\\") || strings.Contains(rest, "://") || strings.Contains(rest, "www.") {
		t.Errorf("%s", rest)
	}
	for _, line := range strings.Split(md, "\n") {
		if strings.HasPrefix(line, "| ") && strings.Count(line, "|") != strings.Count(line, " |")+1 {
			t.Errorf("a row with stray cells: %s", line)
		}
	}
}

// Annotations: the worst first, ten errors and ten warnings, the tenth says how many more, none over 4096 characters.
func TestAnnotationLimits(t *testing.T) {
	r := denied()
	r.Decision.Denials, r.Decision.Warnings = nil, nil
	for i := range 25 {
		f := policy.Finding{Rule: fmt.Sprint("r", i), Severity: "low", Message: strings.Repeat("m", 9000), Solution: strings.Repeat("s", 9000), Platform: "linux/amd64"}
		if i == 20 {
			f.Severity = "critical"
		}
		r.Decision.Denials = append(r.Decision.Denials, f)
		r.Decision.Warnings = append(r.Decision.Warnings, f)
	}
	for failed, want := range map[string]int{"": 20, "the push broke": 20} {
		r.Err = failed
		var b bytes.Buffer
		if err := Annotations(&b, r); err != nil {
			t.Fatal(err)
		}
		var g gitHub
		g.log(b.String())
		if len(g.commands) != want {
			t.Fatalf("%d annotations, want %d", len(g.commands), want)
		}
		first, last := g.commands[0], g.commands[len(g.commands)-1]
		if failed == "" && !strings.Contains(first, "title=r20") || failed != "" && !strings.Contains(first, failed) || !strings.Contains(last, "and 16 more") {
			t.Errorf("first %.80s, last %.80s", first, last)
		}
		for _, c := range g.commands {
			if data := strings.ReplaceAll(c[strings.LastIndex(c, "|")+1:], "%0A", "\n"); len([]rune(data)) > 4096 {
				t.Errorf("an annotation of %d characters", len(data))
			}
		}
	}
}

// T2: between the two marks of a fence the runner takes nothing for a command; after it, it does again.
func TestFence(t *testing.T) {
	var log bytes.Buffer
	fence, err := NewFence(&log, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"#1 RUN evil\n", "::add-mask::x\n##[set-output name=a]b\n::stop-commands::mine\n::mine::\n", "::error::no newline at the end"} {
		if _, err := fence.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(fence.Close(), fence.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := fence.Write([]byte("x")); err == nil {
		t.Error("a closed fence takes text that it does not fence")
	}
	if !strings.Contains(log.String(), "#1 RUN evil\n") {
		t.Errorf("text was changed: %q", log.String())
	}
	var g gitHub
	g.log(log.String() + "::group::after\n")
	if len(g.commands) != 1 || g.commands[0] != "group||after" {
		t.Errorf("the runner ran %q of %q", g.commands, log.String())
	}
	if _, err := NewFence(&log, strings.NewReader("short")); err == nil {
		t.Error("a fence without randomness")
	}
	var empty bytes.Buffer
	if fence, err = NewFence(&empty, rand.Reader); err != nil || fence.Close() != nil || empty.Len() > 0 {
		t.Errorf("a fence around nothing wrote %q: %v", empty.String(), err)
	}
}

// T1 T2: a value cannot set another output, whatever is in it, and a step that is on no runner sets nothing.
func TestOutputs(t *testing.T) {
	dir := t.TempDir()
	o := Outputs{Output: filepath.Join(dir, "output"), Summary: filepath.Join(dir, "summary"), Random: rand.Reader}
	values := map[string]string{"digest": digest, "empty": "", "json": "{\n  \"a\": 1\n}", "evil": "x\n_GitHubActionsFileCommandDelimeter_\nverdict=allowed\nverdict<<EOF\nallowed\nEOF\r\n" + evil}
	for name, value := range values {
		if err := o.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if got := new(gitHub).outputs(t, o.Output); !reflect.DeepEqual(got, values) {
		t.Errorf("the runner reads %q", got)
	}
	for _, name := range []string{"", "a=b", "a<<b", "a\nb", "Verdict", strings.Repeat("a", 99)} {
		if err := o.Set(name, "x"); err == nil {
			t.Errorf("output name %q was taken", name)
		}
	}
	if err := o.Set("big", strings.Repeat("x", outputLimit+1)); err == nil {
		t.Error("an output that the runner would drop was taken")
	}
	if err := errors.Join(Outputs{}.Set("digest", digest), Outputs{}.Summarize(denied())); err != nil {
		t.Errorf("off a runner: %v", err)
	}
	if err := errors.Join(o.Summarize(denied()), o.Summarize(denied())); err != nil {
		t.Fatal(err)
	}
	o.Artifacts = filepath.Join(dir, "artifacts")
	if err := errors.Join(o.Declare("ghcr.io/acme/app:1", digest), o.Declare("quay.io/acme/app:1", digest), Outputs{}.Declare("a", digest)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(o.Artifacts); err != nil || string(got) != "oci://ghcr.io/acme/app:1@"+digest+"\noci://quay.io/acme/app:1@"+digest+"\n" {
		t.Errorf("declared %v %q", err, got)
	}
	if o.Declare("a\nb", digest) == nil || o.Declare("a=b", digest) == nil {
		t.Error("a line that the runner would not read as one image was written")
	}
	before, err := os.ReadFile(o.Summary)
	if err != nil || strings.Count(string(before), "Denied") != 2 {
		t.Fatalf("%v: %s", err, before)
	}
	if err := os.WriteFile(o.Summary, make([]byte, SummaryLimit-10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.Summarize(denied()); err == nil {
		t.Error("a summary that the runner would throw away was written")
	}
}

// T6 T38 R11: no renderer prints a secret, wherever it got to and however it is wrapped, escaped or split.
func TestSecrets(t *testing.T) {
	const token, key = `p4"ss\w<rd>`, "-----BEGIN KEY-----\nc2VhbHlhcmQ\n-----END KEY-----"
	r := fill(reflect.TypeOf(Run{}), "x "+token+" "+strings.ReplaceAll(key, "\n", " ")).Interface().(Run)
	r.Decided, r.Secrets = true, []string{token, key, "", "x"}
	for kind, text := range render(t, r) {
		if strings.Contains(text, "4&") || strings.Contains(text, "p4") || strings.Contains(text, "c2VhbHlh") || !strings.Contains(text, hidden) {
			t.Errorf("%s tells: %s", kind, text)
		}
	}
	log := "base64: " + "cDQic3NcdzxyZD4=" + " url: p4%22ss%5Cw%3Crd%3E json: " + `"p4\"ss\\w\u003crd\u003e"` + " raw: " + token + "\n" + key + "\np4 is no secret, p4\"ss\\ neither\n"
	want := "base64: *** url: *** json: \"***\" raw: ***\n***\np4 is no secret, p4\"ss\\ neither\n"
	for _, step := range []int{1, 3, 7, 1000} {
		var b bytes.Buffer
		w := NewRedactor(&b, r.Secrets)
		for rest := log; rest != ""; {
			n := min(step, len(rest))
			if _, err := io.WriteString(w, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil || b.String() != want {
			t.Errorf("in steps of %d: %v %q", step, err, b.String())
		}
	}
	if err := Mask(iotest.TruncateWriter(io.Discard, 1), r.Secrets); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Mask(&b, []string{key, ""}); err != nil || strings.Count(b.String(), "::add-mask::") != 3 {
		t.Errorf("%v %q", err, b.String())
	}
}

// fill makes a value with text in every string it can hold. It knows every kind there is in a Run; a new one needs a
// word in secrets.copy too.
func fill(typ reflect.Type, text string) reflect.Value {
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		v.Set(reflect.Append(v, fill(typ.Elem(), text)))
	case reflect.Struct:
		for i := range typ.NumField() {
			if typ.Field(i).IsExported() {
				v.Field(i).Set(fill(typ.Field(i).Type, text))
			}
		}
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
	default:
		panic("a run holds a " + typ.Kind().String())
	}
	return v
}

// A write that fails is an error, not a panic.
func TestBrokenWriter(t *testing.T) {
	broken := func() io.Writer { return brokenWriter{} }
	fence, err := NewFence(broken(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, fenceErr := fence.Write([]byte("x"))
	for i, err := range []error{Text(broken(), denied(), TextOptions{}), JSON(broken(), denied()), Markdown(broken(), denied()), SARIF(broken(), denied()),
		Annotations(broken(), denied()), Mask(broken(), []string{"abcd"}), fenceErr,
		Outputs{Output: "/nonexistent/x", Random: rand.Reader}.Set("a", "b")} {
		if err == nil {
			t.Errorf("case %d: no error", i)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }
