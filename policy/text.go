package policy

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// oneLine folds text of a library or a policy onto one line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// clip shortens foreign text for an error message.
func clip(s string) string { return cut(s, 80) }

// cut shortens s to at most n bytes, at a character, and shows that it did.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

// decodeStrict decodes one JSON value, refusing members that v does not have. Numbers stay as written.
func decodeStrict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// decodeAny decodes one JSON value into maps, slices, strings, bools, nil and json.Number.
func decodeAny(data []byte) (any, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}
