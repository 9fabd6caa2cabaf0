package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	"google.golang.org/protobuf/encoding/protojson"
)

// Reference names something by digest.
type Reference struct {
	Name   string
	Digest string // sha256:<hex>
}

func (r Reference) descriptor() (descriptor, error) {
	d, err := digestSet(r.Digest, "sha256")
	if err != nil {
		return descriptor{}, fmt.Errorf("%q: %w", r.Name, err)
	}
	return descriptor{Name: r.Name, Digest: d}, nil
}

// DecisionFacts is what there is to say about one decision. The zero value says FAILED.
type DecisionFacts struct {
	Subjects []Subject   // the image index and every runnable manifest
	Allowed  bool        // what the policy bundles said
	Policies []Reference // every policy bundle that was asked, and whatever else the decision was made from
	Input    string      // sha256:<hex> of the policy input
	Time     time.Time   // evaluation time
	Passed   []string    // ids of rules without finding
	Warned   []string    // ids of rules that warn
	Failed   []string    // ids of rules that deny
	Document []byte      // the decision itself, a JSON object
	Lost     []string    // what the run that decided did without, and why
}

type decisionPredicate struct {
	Result        string            `json:"result"`
	Configuration []descriptor      `json:"configuration"`
	Passed        []string          `json:"passedTests"`
	Warned        []string          `json:"warnedTests"`
	Failed        []string          `json:"failedTests"`
	Time          string            `json:"sealyard_time"`
	Digest        map[string]string `json:"sealyard_decisionDigest"`
	Document      json.RawMessage   `json:"sealyard_decision"`
	Lost          []string          `json:"sealyard_lost,omitempty"`
}

// Decision makes the statement that records a decision, as in-toto's test-result v0.1: one test per rule, the policy
// bundles and the input as its configuration. Three extension fields let an auditor replay it: sealyard_time,
// sealyard_decision (the document without insignificant white space) and sealyard_decisionDigest (of the document's
// exact bytes). A fourth, sealyard_lost, says what the run did without.
func Decision(f DecisionFacts) (Statement, error) {
	if f.Allowed && len(f.Failed) > 0 {
		return Statement{}, fmt.Errorf("decision: allowed, although %q failed", f.Failed)
	}
	if f.Time.IsZero() || len(f.Policies) == 0 {
		return Statement{}, errors.New("decision: evaluation time or policy is missing")
	}
	doc, err := document(f.Document)
	if err != nil {
		return Statement{}, fmt.Errorf("decision document: %w", err)
	}
	docDigest, err := digestSet(sum(f.Document), "sha256")
	if err != nil {
		return Statement{}, err
	}
	p := decisionPredicate{
		Result: result(f), Passed: list(f.Passed), Warned: list(f.Warned), Failed: list(f.Failed),
		Time: f.Time.UTC().Format(time.RFC3339Nano), Digest: docDigest, Document: doc, Lost: f.Lost,
	}
	for _, r := range f.Policies {
		d, err := r.descriptor()
		if err != nil {
			return Statement{}, fmt.Errorf("decision: policy %w", err)
		}
		p.Configuration = append(p.Configuration, d)
	}
	input, err := Reference{Name: "input", Digest: f.Input}.descriptor()
	if err != nil {
		return Statement{}, fmt.Errorf("decision: %w", err)
	}
	p.Configuration = append(p.Configuration, input)
	predicate, err := marshal(p)
	if err != nil {
		return Statement{}, fmt.Errorf("decision: %w", err)
	}
	return newStatement(PredicateDecision, f.Subjects, predicate)
}

func result(f DecisionFacts) string {
	switch {
	case !f.Allowed:
		return "FAILED"
	case len(f.Warned) > 0:
		return "WARNED"
	default:
		return "PASSED"
	}
}

// list makes an absent list an empty one: nothing found is a statement, nothing said is not.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func checkDecision(predicate []byte) error {
	var r testresult.TestResult
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(predicate, &r)
}
