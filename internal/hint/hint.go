// Package hint carries two things an error needs at the top of the program: what to do about it, and whether
// the caller's own input was wrong. It is the only package that every other one may import.
package hint

import (
	"fmt"
	"slices"

	"github.com/agext/levenshtein"
)

type hinted struct {
	error
	hint   string
	misuse bool
}

func (h hinted) Unwrap() error { return h.error }

// Wrap adds to err a line that says how to mend it. A nil err stays nil.
func Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hinted{error: err, hint: fmt.Sprintf(format, args...)}
}

// Misuse marks err as caused by the caller's input (exit 2) and adds a line that says how to mend it.
// A nil err stays nil.
func Misuse(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hinted{error: err, hint: fmt.Sprintf(format, args...), misuse: true}
}

// Of returns the outermost hint in err's tree, or "".
func Of(err error) string {
	text := ""
	walk(err, func(h hinted) bool { text = h.hint; return text != "" })
	return text
}

// IsMisuse reports whether any error in err's tree was marked with Misuse.
func IsMisuse(err error) bool { return walk(err, func(h hinted) bool { return h.misuse }) }

// walk shows found every hinted error in err's tree, outermost first, until it returns true.
func walk(err error, found func(hinted) bool) bool {
	if h, ok := err.(hinted); ok && found(h) {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return walk(e.Unwrap(), found)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(err error) bool { return walk(err, found) })
	}
	return false
}

// Nearest returns the known name most like the given one, or "" when none is close enough to be a slip of the hand.
func Nearest(name string, known []string) string {
	best, least := "", 1+len(name)/3
	for _, k := range known {
		if d := levenshtein.Distance(name, k, nil); d <= least && d < len(name) && (best == "" || d < levenshtein.Distance(name, best, nil)) {
			best = k
		}
	}
	return best
}
