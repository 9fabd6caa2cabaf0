package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/openvex/go-vex/pkg/vex"
)

// openVEX begins the @context of every OpenVEX document; the version that is read follows.
const (
	openVEX        = vex.Context
	openVEXVersion = openVEX + "/v0.2."
)

// parseOpenVEX reads an OpenVEX document of version 0.2.
func parseOpenVEX(data []byte) (VEXDocument, error) {
	var from vex.VEX
	if err := json.Unmarshal(data, &from); err != nil {
		return VEXDocument{}, errors.New(oneLine(err.Error()))
	}
	doc := VEXDocument{ID: from.ID, Author: from.Author, Format: FormatOpenVEX}
	switch {
	case !strings.HasPrefix(from.Context, openVEXVersion):
		return doc, fmt.Errorf("its @context is %q, and %sx is read", clip(from.Context), openVEXVersion)
	case from.ID == "" || from.Author == "":
		return doc, errors.New("it has no @id or no author")
	case len(from.Statements) > maxVEXStatements:
		return doc, fmt.Errorf("%d statements, at most %d are read", len(from.Statements), maxVEXStatements)
	}
	for i := range from.Statements {
		s, err := openStatement(&from.Statements[i], from.Metadata)
		if err == nil {
			err = s.problem()
		}
		if err != nil {
			return doc, fmt.Errorf("statement %d, %q: %w", i+1, clip(string(from.Statements[i].Vulnerability.Name)), err)
		}
		doc.add(s)
	}
	return doc, nil
}

func openStatement(from *vex.Statement, m vex.Metadata) (VEXStatement, error) {
	s := VEXStatement{
		Names: []string{string(from.Vulnerability.Name)}, Status: string(from.Status), Justification: string(from.Justification), Impact: oneLine(from.ImpactStatement),
		Time: latest(from.Timestamp, from.LastUpdated),
	}
	if err := from.Validate(); err != nil {
		return s, errors.New(oneLine(err.Error()))
	}
	for _, alias := range from.Vulnerability.Aliases {
		s.Names = append(s.Names, string(alias))
	}
	if s.Time.IsZero() {
		s.Time = latest(m.Timestamp, m.LastUpdated)
	}
	if len(from.Products) == 0 {
		return s, errors.New("it names no product")
	}
	for i := range from.Products {
		p, ok, err := openProduct(&from.Products[i])
		if err != nil {
			return s, fmt.Errorf("product %d: %w", i+1, err)
		}
		if ok {
			s.Products = append(s.Products, p)
		}
	}
	return s, nil
}

// latest is the later of two times; the zero time when there is none.
func latest(a, b *time.Time) time.Time {
	var last time.Time
	for _, t := range []*time.Time{a, b} {
		if t != nil && t.After(last) {
			last = *t
		}
	}
	return last
}

// openProduct reads a product; it is not ok when there is no package URL or digest in it. One whose parts are all named otherwise is not
// the whole of it.
func openProduct(from *vex.Product) (p VEXProduct, ok bool, err error) {
	if p.PURL, err = openPURL(from.Component); err != nil {
		return p, false, err
	}
	if hash := from.Hashes[vex.SHA256]; hash != "" && !isPackage(p.PURL) {
		p.Digest = "sha256:" + strings.ToLower(string(hash))
	}
	for _, part := range from.Subcomponents {
		purl, err := openPURL(part.Component)
		if err != nil {
			return p, false, fmt.Errorf("subcomponent: %w", err)
		}
		if purl != "" {
			p.Subcomponents = append(p.Subcomponents, purl)
		}
	}
	return p, (p.PURL != "" || p.Digest != "") && (len(from.Subcomponents) == 0 || len(p.Subcomponents) > 0), nil
}

// openPURL is the one package URL of a component; "" when it goes by other names.
func openPURL(c vex.Component) (string, error) {
	purl := c.Identifiers[vex.PURL]
	if !strings.HasPrefix(c.ID, "pkg:") {
		return purl, nil
	}
	if purl != "" && purl != c.ID {
		return "", fmt.Errorf("it goes by two package URLs, %q and %q", clip(c.ID), clip(purl))
	}
	return c.ID, nil
}
