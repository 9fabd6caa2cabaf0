package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"openssl 3.0.1", "openssl 3.0.1"},
		{"Ünïcödé 名前 🦭", "Ünïcödé 名前 🦭"},
		{"Foo::Bar sha256:ab", "Foo::Bar sha256:ab"},
		{"two\nlines\tand more\r\n", "two lines and more"},
		{"\x1b[1;31mred\x1b[0m", "red"},
		{"\x1b]0;title\x07", `\x1b]0;title\x07`},
		{"a\u202egnp.exe", `a\u202egnp.exe`},
		{"zero\u200bwidth\ufeff", `zero\u200bwidth\ufeff`},
		{"tag\U000e0041", `tag\U000e0041`},
		{"nbsp\u00a0x\u2003y", "nbsp x y"},
		{"line\u2028sep\u2029", `line\u2028sep\u2029`},
		{"\u3164filler", `\u3164filler`},
		{"bad\xff\xfe", `bad\xff\xfe`},
		{"real \ufffd", "real \ufffd"},
		{"emoji\ufe0f joined\u034f", `emoji\ufe0f joined\u034f`},
		{"del\x7f nul\x00 nel\u0085", `del\x7f nul\x00 nel\u0085`},
		{"::error::x", ": :error::x"},
		{"x\n  ::error::x", "x   : :error::x"},
		{":::stop-commands::x", ": : :stop-commands::x"},
		{"x :\x1b[m:add-mask::y", "x : :add-mask::y"},
		{"a ##[set-output name=x]y", "a # #[set-output name=x]y"},
		{"###[group]", "## #[group]"},
		{"#\x1b[m#[group]", "# #[group]"},
	} {
		if got := Clean(c.in); got != c.want {
			t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// T2 T31: a name of a megabyte is cut, and says so.
func TestCleanCuts(t *testing.T) {
	for _, s := range []string{strings.Repeat("x", 1<<20), strings.Repeat("é", 1<<19), strings.Repeat("\x00", 1<<20), strings.Repeat("\x1b[m", 1<<18)} {
		got := Clean(s)
		if len(got) > longest || !strings.Contains(got, fmt.Sprintf("(cut, %d bytes)", len(s))) || !utf8.ValidString(got) {
			t.Errorf("Clean of %d bytes gave %d: %.60q ... %q", len(s), len(got), got, got[max(0, len(got)-40):])
		}
	}
	if got := brief(strings.Repeat("é", 100), 10); got != "ééééééé..." {
		t.Errorf("brief gave %q", got)
	}
}

func hostileSeeds() []string {
	return []string{"", evil, "a|b", "del\x7f", "tag\U000e0041\U0010ffff", "::::a", " ::", "x:\n:y", "##[", "#\n#[", "a\x1b[0;::b", "[x](y)", "a|b`c``d", "![](x)", "\\", "$&'", "\xf0\x9f", "www.www.", "://", strings.Repeat("#", 5000) + "#[x]",
		strings.Repeat("\u202e", 3000)}
}

// command-like text: what the runner would parse, in either form.
var live = regexp.MustCompile(`(^|\s)::|##\[`)

// T2: whatever comes in, what goes out is one printable line that no runner takes for a command.
func FuzzClean(f *testing.F) {
	for _, s := range hostileSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if again := Clean(got); again != got {
			t.Errorf("Clean is not idempotent: %q, then %q", got, again)
		}
		if live.MatchString(got) || len(got) > longest || !utf8.ValidString(got) {
			t.Errorf("Clean(%q) = %q", s, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("Clean(%q) holds %U", s, r)
			}
		}
	})
}

// T2: foreign text has no character left that Markdown or HTML would act on, and cannot end its code span or cell.
func FuzzEscape(f *testing.F) {
	for _, s := range hostileSeeds() {
		f.Add(s)
	}
	reference := regexp.MustCompile(`&#\d+;`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := reference.ReplaceAllString(escape(s), ""); strings.ContainsAny(got, "&<>`*_[]!|~\\#@$^{}\n\r") || strings.Contains(got, "://") {
			t.Errorf("escape(%q) leaves %q", s, got)
		}
		span := code(s)
		if inner, ok := strings.CutPrefix(span, "`"); ok {
			if inner, ok = strings.CutSuffix(inner, "`"); !ok || strings.ContainsAny(inner, "`|\n\\") {
				t.Errorf("code(%q) = %q", s, span)
			}
		}
		if lines := strings.Split(block(s), "\n"); len(lines) != 4 || strings.Contains(lines[1], lines[2]) {
			t.Errorf("block(%q) = %q", s, block(s))
		}
	})
}

// T2: JSON keeps the exact value and holds nothing a runner or a terminal acts on.
func FuzzInert(f *testing.F) {
	for _, s := range hostileSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		out := inert(data)
		if err := json.Unmarshal(out, &got); err != nil || got != want {
			t.Errorf("inert(%q) = %q: %v", data, out, err)
		}
		for _, r := range string(out) {
			if !unicode.IsPrint(r) {
				t.Errorf("inert(%q) holds %U", data, r)
			}
		}
		if bytes.Contains(out, []byte("##[")) {
			t.Errorf("inert(%q) = %q", data, out)
		}
	})
}

func TestPlural(t *testing.T) {
	for want, got := range map[string]string{
		"1 image": Plural(1, "image"), "0 images": Plural(0, "image"), "2 vulnerabilities": Plural(2, "vulnerability"), "1 vulnerability": Plural(1, "vulnerability"),
		"3 days": Plural(3, "day"),
	} {
		if got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
