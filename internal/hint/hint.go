// Package hint carries two things an error needs at the top of the program: what to do about it, and whether
// the caller's own input was wrong. It is the only package that every other one may import.
package hint

import (
	"errors"
	"fmt"

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

// Of returns the outermost hint in err's chain, or "".
func Of(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		if h, ok := err.(hinted); ok && h.hint != "" {
			return h.hint
		}
	}
	return ""
}

// IsMisuse reports whether any error in err's chain was marked with Misuse.
func IsMisuse(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if h, ok := err.(hinted); ok && h.misuse {
			return true
		}
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
