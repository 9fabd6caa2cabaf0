package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// SPDX makes the statement whose predicate is an SPDX 2.x document in JSON. White space outside strings is dropped;
// the rest of doc stays as it is.
func SPDX(subjects []Subject, doc []byte) (Statement, error) {
	return sbom(PredicateSPDX, subjects, doc)
}

// CycloneDX makes the statement whose predicate is a CycloneDX document in JSON. White space outside strings is
// dropped; the rest of doc stays as it is.
func CycloneDX(subjects []Subject, doc []byte) (Statement, error) {
	return sbom(PredicateCycloneDX, subjects, doc)
}

func sbom(predicateType string, subjects []Subject, doc []byte) (Statement, error) {
	predicate, err := document(doc)
	if err != nil {
		return Statement{}, fmt.Errorf("SBOM: %w", err)
	}
	return newStatement(predicateType, subjects, predicate)
}

func checkSPDX(predicate []byte) error {
	var d struct {
		SPDXVersion string `json:"spdxVersion"`
		SPDXID      string `json:"SPDXID"`
	}
	if err := json.Unmarshal(predicate, &d); err != nil {
		return err
	}
	if !strings.HasPrefix(d.SPDXVersion, "SPDX-2.") || d.SPDXID == "" {
		return fmt.Errorf("not an SPDX 2.x document: spdxVersion %q, SPDXID %q", d.SPDXVersion, d.SPDXID)
	}
	return nil
}

func checkCycloneDX(predicate []byte) error {
	var d struct {
		BOMFormat   string `json:"bomFormat"`
		SpecVersion string `json:"specVersion"`
	}
	if err := json.Unmarshal(predicate, &d); err != nil {
		return err
	}
	if d.BOMFormat != "CycloneDX" || d.SpecVersion == "" {
		return errors.New("not a CycloneDX document: bomFormat or specVersion is missing")
	}
	return nil
}
