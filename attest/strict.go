package attest

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	ita "github.com/in-toto/attestation/go/v1"
)

// maxDigests is the most digests one subject of a foreign statement may have; sigstore-go stops there.
const maxDigests = 32

// extent is a JSON object that is checked but not copied: where it lies in the document that was decoded.
type extent struct{ start, end int64 }

// UnmarshalJSONFrom walks over one object and notes where it starts and ends.
func (e *extent) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '{' {
		return errors.New("not an object")
	}
	top := dec.StackDepth()
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	e.start = dec.InputOffset() - 1
	for dec.StackDepth() > top {
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		if dec.StackDepth() > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
	}
	e.end = dec.InputOffset()
	return nil
}

// strictObject checks that b is exactly one JSON object: valid UTF-8, no duplicate names, nothing after it (T19).
func strictObject(b []byte) error {
	var e extent
	return jsonv2.Unmarshal(b, &e)
}

// statement01 is the version before, which says the same in the same words. It is read because cosign 2 and slsa-github-generator write
// it, and never made (R1).
const statement01 = "https://in-toto.io/Statement/v0.1"

// wire is an in-toto statement as its specification has it; anything else outside the predicate is refused (R5, R20).
type wire struct {
	Type          string        `json:"_type"`
	Subject       []wireSubject `json:"subject"`
	PredicateType string        `json:"predicateType"`
	Predicate     extent        `json:"predicate"`
}

type wireSubject struct {
	Name             string            `json:"name"`
	URI              string            `json:"uri"`
	Digest           map[string]string `json:"digest"`
	Content          []byte            `json:"content"`
	DownloadLocation string            `json:"downloadLocation"`
	MediaType        string            `json:"mediaType"`
	Annotations      extent            `json:"annotations"`
}

// decode reads a foreign statement in one pass, strictly.
func decode(payload []byte) (claim, error) {
	var w wire
	if err := jsonv2.Unmarshal(payload, &w, jsonv2.RejectUnknownMembers(true)); err != nil {
		return claim{}, fmt.Errorf("%w statement: %w", ErrMalformed, err)
	}
	bad := func(format string, args ...any) (claim, error) {
		return claim{}, fmt.Errorf("%w statement: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	switch {
	case w.Type != ita.StatementTypeUri && w.Type != statement01:
		return bad("_type is %q, not %q", w.Type, ita.StatementTypeUri)
	case w.PredicateType == "":
		return bad("no predicateType")
	case w.Predicate.end == 0 && w.PredicateType != PredicateSign: // cosign leaves it out there
		return bad("no predicate")
	case len(w.Subject) == 0 || len(w.Subject) > maxSubjects:
		return bad("%d subjects, not 1 to %d", len(w.Subject), maxSubjects)
	}
	c := claim{json: payload, predicateType: w.PredicateType, predicate: payload[w.Predicate.start:w.Predicate.end]}
	if len(c.predicate) == 0 {
		c.predicate = []byte("{}")
	}
	for i, s := range w.Subject {
		if len(s.Digest) == 0 || len(s.Digest) > maxDigests {
			return bad("subject %d has %d digests, not 1 to %d", i, len(s.Digest), maxDigests)
		}
		if err := c.addSubject(s.Digest); err != nil {
			return bad("subject %d: %v", i, err)
		}
	}
	c.digest = sum(payload)
	return c, nil
}

// addSubject takes the digests of one subject. Two subjects with one digest in common must have the other in common as well.
func (c *claim) addSubject(digests map[string]string) error {
	var known []string
	for _, alg := range []string{"sha256", "sha512"} {
		value, ok := digests[alg]
		if !ok {
			continue
		}
		if err := checkDigest(alg, value); err != nil {
			return err
		}
		known = append(known, alg+":"+value)
	}
	c.subjects = append(c.subjects, known...)
	if len(known) < 2 {
		return nil
	}
	if c.twins == nil {
		c.twins = map[string]string{}
	}
	for i, digest := range known {
		other := known[1-i]
		if twin := c.twins[digest]; twin != "" && twin != other {
			return fmt.Errorf("%s has another digest than in a subject before", digest)
		}
		c.twins[digest] = other
	}
	return nil
}

// cut takes the payload, which may be megabytes, out of a bundle: what is left is small, and cheap to check twice.
// The payload must be the plain string at /dsseEnvelope/payload; its characters are held to base64 by the caller, so
// the bundle is strict JSON exactly when what is left is.
func cut(bundle []byte) (payload, rest []byte, err error) {
	start, end, err := payloadSpan(bundle)
	if err != nil {
		return nil, nil, err
	}
	rest = append(append(make([]byte, 0, len(bundle)-end+start), bundle[:start]...), bundle[end:]...)
	return bundle[start:end], rest, checkRest(rest, int64(start+1))
}

// payloadSpan finds the first string that is the value of a name "payload".
func payloadSpan(bundle []byte) (start, end int, err error) {
	const name = `"payload"`
	at := bytes.Index(bundle, []byte(name))
	if at < 0 {
		return 0, 0, errors.New("no payload")
	}
	at += len(name)
	for _, want := range []byte{':', '"'} {
		at += len(bundle[at:]) - len(bytes.TrimLeft(bundle[at:], " \t\r\n"))
		if at >= len(bundle) || bundle[at] != want {
			return 0, 0, errors.New("payload is not a string")
		}
		at++
	}
	n := bytes.IndexByte(bundle[at:], '"')
	if n < 0 {
		return 0, 0, io.ErrUnexpectedEOF
	}
	return at, at + n, nil
}

// checkRest holds a bundle without its payload to strict JSON, and the payload to its place, which ends at offset.
func checkRest(rest []byte, offset int64) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(rest))
	placed := false
	for {
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		if dec.StackDepth() > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
		if dec.InputOffset() == offset {
			placed = dec.StackPointer() == "/dsseEnvelope/payload"
		}
		if dec.StackDepth() == 0 {
			break
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	if !placed {
		return errors.New("payload is not in the envelope")
	}
	return nil
}
