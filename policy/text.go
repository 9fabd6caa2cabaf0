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
func clip(s string) string {
	const longest = 80
	if len(s) <= longest {
		return s
	}
	cut := longest
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
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
