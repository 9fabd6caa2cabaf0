package scan

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/anchore/packageurl-go"
	"github.com/anchore/syft/syft/artifact"
	"github.com/anchore/syft/syft/format/common/cyclonedxhelpers"
	"github.com/anchore/syft/syft/format/common/spdxhelpers"
	"github.com/anchore/syft/syft/pkg"
	"github.com/anchore/syft/syft/sbom"
	"github.com/google/uuid"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

const projectURL = "https://github.com/sealyard/sealyard"

// documents writes bom as SPDX and CycloneDX. The same image, time and version give the same bytes.
func (s *scanner) documents(bom *sbom.SBOM, p Platform) (spdxJSON, cdxJSON []byte, err error) {
	trimmed := *bom
	trimmed.Relationships = betweenPackages(bom.Relationships)

	doc := spdxhelpers.ToFormatModel(trimmed)
	s.stampSPDX(doc, p.Digest)
	for i, q := range bom.Artifacts.Packages.Sorted() {
		if layer, _ := origin(q); layer != "" {
			doc.Packages[i].PackageComment = "layer: " + layer
		}
	}
	if spdxJSON, err = encodeSPDX(doc); err != nil {
		return nil, nil, err
	}

	model := cyclonedxhelpers.ToFormatModel(trimmed)
	s.stampCycloneDX(model, p.Digest)
	cdxJSON, err = encodeCycloneDX(model)
	return spdxJSON, cdxJSON, err
}

// betweenPackages leaves out relationships with files: the documents carry no file inventory.
func betweenPackages(all []artifact.Relationship) []artifact.Relationship {
	return slices.DeleteFunc(slices.Clone(all), func(r artifact.Relationship) bool {
		_, from := r.From.(pkg.Package)
		_, to := r.To.(pkg.Package)
		return !from || !to
	})
}

// indexDocuments writes the documents of the index itself: they hold no packages, but name each platform's image
// manifest and that manifest's own document by digest.
func (s *scanner) indexDocuments(digest string, platforms []Platform) (spdxJSON, cdxJSON []byte, err error) {
	index := s.imagePackage("Index", "index", digest, "")
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: s.opts.name(), Packages: []*spdx.Package{index},
		Relationships: []*spdx.Relationship{relation("", "DOCUMENT", "DESCRIBES", index.PackageSPDXIdentifier)},
	}
	s.stampSPDX(doc, digest)
	model := cdx.NewBOM()
	model.Metadata = &cdx.Metadata{Component: s.imageComponent(digest, "")}
	var components []cdx.Component
	var names []string
	for i, p := range platforms {
		id := fmt.Sprintf("%s-%d", strings.NewReplacer("/", "-", "_", "-").Replace(p.Platform), i)
		q := s.imagePackage("Platform-"+id, p.Platform, p.Digest, p.Platform)
		doc.Packages = append(doc.Packages, q)
		doc.ExternalDocumentReferences = append(doc.ExternalDocumentReferences, spdx.ExternalDocumentRef{
			DocumentRefID: common.DocumentID(id), URI: s.namespace(p.Digest),
			Checksum: common.Checksum{Algorithm: common.SHA256, Value: fmt.Sprintf("%x", sha256.Sum256(p.SPDX))},
		})
		doc.Relationships = append(doc.Relationships,
			relation("", index.PackageSPDXIdentifier, "CONTAINS", q.PackageSPDXIdentifier),
			relation(id, "DOCUMENT", "DESCRIBES", q.PackageSPDXIdentifier))
		c := s.imageComponent(p.Digest, p.Platform)
		c.ExternalReferences = &[]cdx.ExternalReference{{
			Type: cdx.ERTypeBOM, URL: "urn:cdx:" + s.serial(p.Digest).String() + "/1",
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sha256.Sum256(p.CycloneDX))}},
		}}
		components, names = append(components, *c), append(names, c.BOMRef)
	}
	model.Components = &components
	model.Dependencies = &[]cdx.Dependency{{Ref: model.Metadata.Component.BOMRef, Dependencies: &names}}
	s.stampCycloneDX(model, digest)
	if spdxJSON, err = encodeSPDX(doc); err != nil {
		return nil, nil, err
	}
	cdxJSON, err = encodeCycloneDX(model)
	return spdxJSON, cdxJSON, err
}

// stampSPDX gives doc a name, a time and an author that depend on nothing but the image, the options and the version.
func (s *scanner) stampSPDX(doc *spdx.Document, digest string) {
	doc.DocumentNamespace = s.namespace(digest)
	doc.CreationInfo = &spdx.CreationInfo{
		Created:  s.opts.Time.Format(time.RFC3339),
		Creators: []spdx.Creator{{CreatorType: "Tool", Creator: "sealyard-" + cmp.Or(s.opts.Version, "devel")}},
	}
	slices.SortFunc(doc.Relationships, func(a, b *spdx.Relationship) int {
		return slices.Compare(relationWords(a), relationWords(b))
	})
	slices.SortFunc(doc.OtherLicenses, func(a, b *spdx.OtherLicense) int {
		return strings.Compare(a.LicenseIdentifier, b.LicenseIdentifier)
	})
}

func relationWords(r *spdx.Relationship) []string {
	return []string{
		string(r.RefA.DocumentRefID), string(r.RefA.ElementRefID), r.Relationship,
		string(r.RefB.DocumentRefID), string(r.RefB.ElementRefID), r.RelationshipComment,
	}
}

func (s *scanner) stampCycloneDX(model *cdx.BOM, digest string) {
	model.SerialNumber = s.serial(digest).URN()
	if model.Components == nil {
		model.Components = &[]cdx.Component{} // none were found, which is not the same as nothing being said
	}
	model.Metadata.Timestamp = s.opts.Time.Format(time.RFC3339)
	model.Metadata.Tools = &cdx.ToolsChoice{Components: &[]cdx.Component{{
		Type: cdx.ComponentTypeApplication, Name: "sealyard", Version: cmp.Or(s.opts.Version, "devel"),
	}}}
}

// namespace is the URI of the SPDX document about digest that this scan makes, and no other.
func (s *scanner) namespace(digest string) string {
	return projectURL + "/spdx/" + strings.ReplaceAll(digest, ":", "-") + "/" + s.serial(digest).String()
}

// serial is the same for the same image, time, name and version, and different when any of them differs.
func (s *scanner) serial(digest string) uuid.UUID {
	about := strings.Join([]string{projectURL, digest, s.opts.name(), s.opts.Version, s.opts.Time.Format(time.RFC3339)}, "\n")
	return uuid.NewHash(sha256.New(), uuid.NameSpaceURL, []byte(about), 8)
}

func (s *scanner) imagePackage(id, summary, digest, platform string) *spdx.Package {
	return &spdx.Package{
		PackageName: s.opts.name(), PackageSPDXIdentifier: spdx.ElementID(id), PackageVersion: digest,
		PackageSummary: summary, PrimaryPackagePurpose: "CONTAINER", PackageDownloadLocation: "NOASSERTION",
		IsFilesAnalyzedTagPresent: true,
		PackageLicenseConcluded:   "NOASSERTION", PackageLicenseDeclared: "NOASSERTION", PackageCopyrightText: "NOASSERTION",
		PackageChecksums: []spdx.Checksum{{Algorithm: spdx.SHA256, Value: strings.TrimPrefix(digest, "sha256:")}},
		PackageExternalReferences: []*spdx.PackageExternalReference{{
			Category: "PACKAGE-MANAGER", RefType: "purl", Locator: s.imagePURL(digest, platform),
		}},
	}
}

func (s *scanner) imageComponent(digest, platform string) *cdx.Component {
	c := &cdx.Component{
		BOMRef: s.imagePURL(digest, platform), PackageURL: s.imagePURL(digest, platform),
		Type: cdx.ComponentTypeContainer, Name: s.opts.name(), Version: digest,
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: strings.TrimPrefix(digest, "sha256:")}},
	}
	if platform != "" {
		c.Properties = &[]cdx.Property{{Name: "sealyard:platform", Value: platform}}
	}
	return c
}

// imagePURL follows the purl type "oci": the last part of the name, the rest as a qualifier.
func (s *scanner) imagePURL(digest, platform string) string {
	name := strings.ToLower(s.opts.name())
	q := map[string]string{}
	if i := strings.LastIndex(name, "/"); i >= 0 {
		q["repository_url"] = name
		name = name[i+1:]
	}
	if arch := strings.Split(platform, "/"); len(arch) > 1 {
		q["arch"] = arch[1]
	}
	return packageurl.NewPackageURL("oci", "", name, digest, packageurl.QualifiersFromMap(q), "").ToString()
}

func relation(doc string, from spdx.ElementID, kind string, to spdx.ElementID) *spdx.Relationship {
	return &spdx.Relationship{
		RefA:         spdx.DocElementID{DocumentRefID: common.DocumentID(doc), ElementRefID: from},
		Relationship: kind,
		RefB:         spdx.DocElementID{ElementRefID: to},
	}
}

func encodeSPDX(doc *spdx.Document) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(doc)
	return buf.Bytes(), err
}

func encodeCycloneDX(model *cdx.BOM) ([]byte, error) {
	var buf bytes.Buffer
	enc := cdx.NewBOMEncoder(&buf, cdx.BOMFileFormatJSON)
	enc.SetEscapeHTML(false)
	err := enc.EncodeVersion(model, cdx.SpecVersion1_6)
	return buf.Bytes(), err
}
