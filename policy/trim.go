package policy

import (
	"encoding/json"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Predicate types whose predicates [Trim] shortens.
const (
	typeSPDX      = "https://spdx.dev/Document"
	typeCycloneDX = "https://cyclonedx.org/bom"
)

const typeProvenance = "https://slsa.dev/provenance/v1"

// raw is a member that is carried over exactly as it was, or left out when it was absent.
type raw = jsontext.Value

type spdxDocument struct {
	SPDXVersion          raw           `json:"spdxVersion,omitzero"`
	Name                 raw           `json:"name,omitzero"`
	DocumentNamespace    raw           `json:"documentNamespace,omitzero"`
	ExternalDocumentRefs raw           `json:"externalDocumentRefs,omitzero"`
	Packages             []spdxPackage `json:"packages,omitzero"`
}

type spdxPackage struct {
	Name             raw `json:"name,omitzero"`
	VersionInfo      raw `json:"versionInfo,omitzero"`
	Supplier         raw `json:"supplier,omitzero"`
	LicenseConcluded raw `json:"licenseConcluded,omitzero"`
	LicenseDeclared  raw `json:"licenseDeclared,omitzero"`
	Purpose          raw `json:"primaryPackagePurpose,omitzero"`
	Checksums        raw `json:"checksums,omitzero"`
	ExternalRefs     raw `json:"externalRefs,omitzero"`
}

type cdxDocument struct {
	BOMFormat    raw `json:"bomFormat,omitzero"`
	SpecVersion  raw `json:"specVersion,omitzero"`
	SerialNumber raw `json:"serialNumber,omitzero"`
	Metadata     struct {
		Component cdxComponent `json:"component,omitzero"`
	} `json:"metadata,omitzero"`
	ExternalReferences raw            `json:"externalReferences,omitzero"`
	Components         []cdxComponent `json:"components,omitzero"`
}

type cdxComponent struct {
	Type               raw `json:"type,omitzero"`
	Group              raw `json:"group,omitzero"`
	Name               raw `json:"name,omitzero"`
	Version            raw `json:"version,omitzero"`
	PURL               raw `json:"purl,omitzero"`
	Supplier           raw `json:"supplier,omitzero"`
	Licenses           raw `json:"licenses,omitzero"`
	Hashes             raw `json:"hashes,omitzero"`
	ExternalReferences raw `json:"externalReferences,omitzero"`
}

// Trim returns the part of a predicate that rules see. SPDX documents and CycloneDX BOMs are reduced to what
// they say about packages (files, relationships and tool notes can be megabytes); every other predicate is
// returned as it is. The gate and an auditor must both pass what Trim returns, or their inputs differ.
func Trim(predicateType string, predicate []byte) (json.RawMessage, error) {
	switch predicateType {
	case typeSPDX:
		return trim(predicate, new(spdxDocument))
	case typeCycloneDX:
		return trim(predicate, new(cdxDocument))
	}
	return predicate, nil
}

func trim(predicate []byte, doc any) (json.RawMessage, error) {
	if err := jsonv2.Unmarshal(predicate, doc); err != nil {
		return nil, fmt.Errorf("read SBOM predicate: %s", oneLine(err.Error()))
	}
	out, err := jsonv2.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("trim SBOM predicate: %s", oneLine(err.Error()))
	}
	return out, nil
}
