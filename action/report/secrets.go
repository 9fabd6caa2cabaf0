package report

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// shortest is the length in bytes under which a secret is not looked for: hiding every "1" hides nothing and spoils
// everything.
const shortest = 4

const hidden = "***"

// secrets holds every form of the values to hide, the longest first.
type secrets [][]byte

func newSecrets(values []string) secrets {
	forms := map[string]bool{}
	for _, v := range values {
		for _, line := range append(strings.Split(v, "\n"), v) {
			line = strings.TrimSpace(line)
			quoted, err := json.Marshal(line)
			if err != nil || len(line) < shortest {
				continue
			}
			for _, form := range []string{line, string(quoted[1 : len(quoted)-1]), url.QueryEscape(line), url.PathEscape(line),
				base64.StdEncoding.EncodeToString([]byte(line))} {
				forms[form] = true
			}
		}
	}
	var all secrets
	for form := range forms {
		all = append(all, []byte(form))
	}
	slices.SortFunc(all, func(a, b []byte) int { return cmp.Or(cmp.Compare(len(b), len(a)), bytes.Compare(a, b)) })
	return all
}

// hide appends p to out with every secret replaced, the longest first. Unless last, it stops where a secret may have
// begun whose end is still to come, and returns the rest.
func (s secrets) hide(out, p []byte, last bool) (shown, rest []byte) {
	for len(p) > 0 {
		n := 0
		for _, secret := range s {
			if !last && len(p) < len(secret) && bytes.HasPrefix(secret, p) {
				return out, p
			}
			if bytes.HasPrefix(p, secret) {
				n = len(secret)
				break
			}
		}
		if n > 0 {
			out, p = append(out, hidden...), p[n:]
			continue
		}
		out, p = append(out, p[0]), p[1:]
	}
	return out, nil
}

func (s secrets) text(v string) string {
	if len(s) == 0 || v == "" {
		return v
	}
	shown, _ := s.hide(nil, []byte(v), true)
	return string(shown)
}

// Redact hides the values in a text, as a Redactor does.
func Redact(text string, values []string) string { return newSecrets(values).text(text) }

// Redactor is a writer that shows secrets as ***, also when they arrive in pieces. Close writes what it held back; it
// does not close the writer below.
type Redactor struct {
	w       io.Writer
	secrets secrets
	held    []byte
}

// NewRedactor hides the values, their lines, and their forms in JSON, URLs and base64. Values of less than four bytes
// are not hidden.
func NewRedactor(w io.Writer, values []string) *Redactor {
	return &Redactor{w: w, secrets: newSecrets(values)}
}

// Write writes p to the writer below, but for the end of it when that may be the beginning of a secret.
func (r *Redactor) Write(p []byte) (int, error) {
	if len(r.secrets) == 0 {
		return r.w.Write(p)
	}
	shown, rest := r.secrets.hide(nil, append(r.held, p...), false)
	r.held = bytes.Clone(rest)
	if _, err := r.w.Write(shown); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what was held back.
func (r *Redactor) Close() error {
	shown, _ := r.secrets.hide(nil, r.held, true)
	r.held = nil
	_, err := r.w.Write(shown)
	return err
}

// redacted returns a copy of the run with its secrets hidden in every string, so that no renderer can forget one.
func (r Run) redacted() Run {
	s := newSecrets(r.Secrets)
	r.Secrets = nil
	if len(s) == 0 {
		return r
	}
	clean := reflect.New(reflect.TypeOf(r)).Elem()
	s.copy(clean, reflect.ValueOf(r))
	return clean.Interface().(Run)
}

// copy copies plain data and hides the secrets in its strings. Kinds that hold no text are copied as they are.
func (s secrets) copy(to, from reflect.Value) {
	switch from.Kind() {
	case reflect.String:
		to.SetString(s.text(from.String()))
	case reflect.Slice:
		if from.IsNil() {
			return
		}
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			s.copy(to.Index(i), from.Index(i))
		}
	case reflect.Struct:
		to.Set(from)
		for i := range from.NumField() {
			if to.Field(i).CanSet() {
				s.copy(to.Field(i), from.Field(i))
			}
		}
	default:
		to.Set(from)
	}
}
