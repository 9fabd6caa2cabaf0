package attest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Workloads makes the statement that says what manifests would run the image, and how: doc is the JSON of docs/predicates/workloads-v1.md.
func Workloads(subjects []Subject, doc []byte) (Statement, error) {
	predicate, err := document(doc)
	if err != nil {
		return Statement{}, fmt.Errorf("workloads: %w", err)
	}
	return newStatement(PredicateWorkloads, subjects, predicate)
}

func checkWorkloads(predicate []byte) error {
	var d struct {
		Files     []json.RawMessage `json:"files"`
		Documents []json.RawMessage `json:"documents"`
	}
	if err := json.Unmarshal(predicate, &d); err != nil {
		return err
	}
	if len(d.Files) == 0 || len(d.Documents) == 0 {
		return errors.New("it is about no manifest")
	}
	return nil
}
