package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	ita "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/types/known/structpb"
)

// made is the table of predicate types that sealyard makes: for each, what a predicate must have before it is signed.
func made() map[string]func(predicate []byte) error {
	return map[string]func([]byte) error{
		PredicateProvenance: checkProvenance,
		PredicateSPDX:       checkSPDX,
		PredicateCycloneDX:  checkCycloneDX,
		PredicateVulns:      checkVulns,
		PredicateDecision:   checkDecision,
		PredicateLink:       checkLink,
		PredicateVSA:        checkSummary,
		PredicateSVR:        checkResult,
		PredicateSign:       func([]byte) error { return nil }, // it says nothing
		PredicateWorkloads:  checkWorkloads,
	}
}

// descriptor is an in-toto ResourceDescriptor.
type descriptor struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// newStatement makes the bytes of a statement, after in-toto's own validation and the check of its predicate type.
func newStatement(predicateType string, subjects []Subject, predicate []byte) (Statement, error) {
	var heads []descriptor
	seen := map[string]bool{}
	for _, s := range subjects {
		if seen[s.Digest] {
			continue // two platforms may have the same bytes: one subject
		}
		seen[s.Digest] = true
		d, err := digestSet(s.Digest, "sha256", "sha512")
		if err != nil {
			return Statement{}, fmt.Errorf("subject %q: %w", s.Name, err)
		}
		heads = append(heads, descriptor{Name: s.Name, Digest: d})
	}
	return assemble(predicateType, heads, predicate)
}

// assemble is newStatement of subjects as they are written.
func assemble(predicateType string, subjects []descriptor, predicate []byte) (Statement, error) {
	check := made()[predicateType]
	if check == nil {
		return Statement{}, fmt.Errorf("predicate type %q is not in the table of those made", predicateType)
	}
	head := struct {
		Type          string       `json:"_type"`
		Subject       []descriptor `json:"subject"`
		PredicateType string       `json:"predicateType"`
	}{Type: ita.StatementTypeUri, Subject: subjects, PredicateType: predicateType}
	c := claim{predicateType: predicateType}
	for _, s := range subjects {
		if err := c.addSubject(s.Digest); err != nil {
			return Statement{}, fmt.Errorf("subject %q: %w", s.Name, err)
		}
	}
	if err := validate(predicateType, head.Subject); err != nil {
		return Statement{}, err
	}
	if err := check(predicate); err != nil {
		return Statement{}, fmt.Errorf("predicate %s: %w", predicateType, err)
	}
	b, err := marshal(head)
	if err != nil {
		return Statement{}, fmt.Errorf("statement: %w", err)
	}
	b = append(b[:len(b)-1], `,"predicate":`...)
	start := len(b)
	c.json = append(append(b, predicate...), '}')
	c.predicate = c.json[start : len(c.json)-1]
	c.digest = sum(c.json)
	return Statement{c}, nil
}

// validate runs in-toto's own check of everything outside the predicate (R2).
func validate(predicateType string, subjects []descriptor) error {
	if len(subjects) > maxSubjects {
		return fmt.Errorf("statement: %d subjects, at most %d are allowed", len(subjects), maxSubjects)
	}
	st := &ita.Statement{Type: ita.StatementTypeUri, PredicateType: predicateType, Predicate: &structpb.Struct{}}
	for _, s := range subjects {
		st.Subject = append(st.Subject, &ita.ResourceDescriptor{Name: s.Name, Digest: s.Digest})
	}
	if err := st.Validate(); err != nil {
		return fmt.Errorf("statement: %w", err)
	}
	return nil
}

// document makes a JSON object that was written elsewhere fit to be a predicate: strictly one object, without
// insignificant white space. Its tokens stay as they are.
func document(doc []byte) ([]byte, error) {
	if err := strictObject(doc); err != nil {
		return nil, err
	}
	v := jsontext.Value(bytes.Clone(doc))
	if err := v.Compact(); err != nil {
		return nil, err
	}
	return v, nil
}

// marshal is json.Marshal without escaping for HTML: the bytes are signed and compared, not put in a page.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// stamp writes a time as RFC 3339 in UTC with Z, to the second (R3).
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// times checks that a period is known and runs forwards.
func times(started, finished time.Time) error {
	if started.IsZero() || finished.IsZero() {
		return errors.New("start or finish time is missing")
	}
	if finished.Before(started) {
		return fmt.Errorf("finished %s before it started %s", stamp(finished), stamp(started))
	}
	return nil
}

// sum is sha256:<hex> of b.
func sum(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

// digestSet turns "alg:hex" into in-toto's form, when alg is one of the allowed and the hex lower case and of the right length.
func digestSet(digest string, allowed ...string) (map[string]string, error) {
	alg, value, _ := strings.Cut(digest, ":")
	for _, a := range allowed {
		if alg == a {
			return map[string]string{alg: value}, checkDigest(alg, value)
		}
	}
	return nil, fmt.Errorf("digest %q is not %s:<hex>", digest, strings.Join(allowed, ":<hex> or "))
}

// checkDigest holds a digest to lower-case hex of its algorithm's length (R4).
func checkDigest(alg, value string) error {
	if n := 2 * ita.HashAlgorithm(alg).HexLength(); n == 0 || len(value) != n || !isHex(value) {
		return fmt.Errorf("digest %q is not %s in lower-case hex", value, alg)
	}
	return nil
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
