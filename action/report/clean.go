package report

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sealyard/sealyard/policy"
)

// longest bounds one foreign string, in bytes. A name or message that is longer is noise or an attack; a compiler
// error of a page still fits.
const longest = 4096

// csi matches the escape sequences that colour text and move the cursor.
var csi = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// colons matches what a command starts with, at the start of a word.
var colons = regexp.MustCompile(`(^| )::+`)

// Clean makes foreign text safe to print on a line of a terminal or a build log, for people to read as it is:
//
//   - line breaks and tabs become spaces; colours are dropped; other control characters, invalid UTF-8, and
//     characters that are invisible or turn the direction of text are shown as \x1b, \u202e;
//   - what a workflow runner would take for a command is broken up: "::" at the start of a word, "##[" anywhere;
//   - text over 4096 bytes is cut, and says so.
//
// Clean(Clean(s)) equals Clean(s). It does not escape HTML, Markdown or JSON: the renderers do.
func Clean(s string) string {
	mark := fmt.Sprintf("... (cut, %d bytes)", len(s))
	long := len(s) > 2*longest // no need to look at all of it
	if long {
		s = s[:2*longest]
	}
	s = disarm(printable(csi.ReplaceAllString(s, "")))
	if !long && len(s) <= longest {
		return s
	}
	s = s[:min(len(s), longest-len(mark))]
	return strings.ToValidUTF8(s, "") + mark
}

// printable shows every rune that would not show itself.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return strings.TrimSpace(s)
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\r' || r == '\t' || unicode.Is(unicode.Zs, r):
			b.WriteByte(' ')
		case unicode.IsPrint(r) && !unicode.Is(unicode.Variation_Selector, r) && !blank(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return strings.TrimSpace(b.String())
}

// blank reports whether r counts as a letter or symbol but shows as nothing.
func blank(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u3164', '\uffa0', '\u2800', '\u034f', '\u17b4', '\u17b5':
		return true
	}
	return false
}

// disarm breaks up what GitHub's runner reads as a command: "::" after leading white space (and a renderer may wrap
// a line before any word), and the older "##[", which it looks for anywhere in a line.
func disarm(s string) string {
	s = strings.ReplaceAll(s, "##[", "# #[")
	if !strings.Contains(s, "::") {
		return s
	}
	return colons.ReplaceAllStringFunc(s, func(word string) string {
		return strings.TrimSuffix(strings.ReplaceAll(word, ":", ": "), " ")
	})
}

// brief is Clean for names in tables and lists, where 4 KiB would be too much.
func brief(s string, limit int) string {
	s = Clean(s)
	if len(s) <= limit || utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-3]) + "..."
}

// position returns "file:line", "file", or "" when nothing is known.
func position(l policy.Location) string {
	switch {
	case l.File == "":
		return ""
	case l.Line < 1:
		return l.File
	default:
		return l.File + ":" + strconv.Itoa(l.Line)
	}
}

// size returns a number of bytes as people write it.
func size(n int64) string {
	const unit = 1000
	switch {
	case n < unit:
		return fmt.Sprintf("%d B", n)
	case n < unit*unit:
		return fmt.Sprintf("%.1f kB", float64(n)/unit)
	case n < unit*unit*unit:
		return fmt.Sprintf("%.1f MB", float64(n)/(unit*unit))
	default:
		return fmt.Sprintf("%.1f GB", float64(n)/(unit*unit*unit))
	}
}

// Plural returns "1 reason" or "2 reasons"; it knows how to write vulnerabilities and days.
func Plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if stem, ok := strings.CutSuffix(one, "y"); ok && !strings.HasSuffix(stem, "a") {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, one)
}
