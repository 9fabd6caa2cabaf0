package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/sealyard/sealyard/internal/hint"
)

// Limits of VEX documents. The largest that vendors publish, one for each vulnerability in all of their products, have a few megabytes.
const (
	MaxVEX           = 4 << 20 // bytes of one document
	maxVEXDocuments  = 100
	maxVEXStatements = 20_000 // of all documents together
	maxVEXProducts   = 50_000 // of all statements together, each part of a product counted
	maxVEXNames      = 100    // of one vulnerability
)

// vexSkew is how far ahead the clock of whoever makes a statement may be.
const vexSkew = time.Minute

// mendVEX is the hint of what is wrong with a VEX document.
const mendVEX = "docs/exceptions.md says which VEX is read; ask its author for a sound one"

// Formats of VEX documents.
const (
	FormatOpenVEX = "openvex"
	FormatCSAF    = "csaf"
)

// What a [VEXStatement] says of a vulnerability in a product.
const (
	vexNotAffected   = "not_affected"
	vexAffected      = "affected"
	vexFixed         = "fixed"
	vexInvestigation = "under_investigation"
)

// VEXFile is a VEX document that the caller read, and has somebody to vouch for.
type VEXFile struct {
	File
	Signer Signer // who signed it; the zero Signer when its digest was known before
}

// VEXDocument is a document that says which vulnerabilities matter in which products, in the form that decisions are made with.
type VEXDocument struct {
	ID         string         `json:"id"`
	Author     string         `json:"author"` // as it says itself
	Format     string         `json:"format"` // [FormatOpenVEX] or [FormatCSAF]
	Digest     string         `json:"digest"` // of the file, "sha256:<64 hex>"
	Signer     Signer         `json:"signer,omitzero"`
	Statements []VEXStatement `json:"statements"`
}

// VEXStatement is what is said of one vulnerability in some products. Products that nothing in an image can be held to are left out.
type VEXStatement struct {
	Names         []string     `json:"names"` // of the vulnerability; a set
	Products      []VEXProduct `json:"products"`
	Status        string       `json:"status"` // not_affected, affected, fixed or under_investigation
	Justification string       `json:"justification,omitzero"`
	Impact        string       `json:"impact,omitzero"` // why it does not matter, in the author's words
	Time          time.Time    `json:"time"`            // since when it is true; the newest statement counts
}

// VEXProduct is an image, or a package in any image.
type VEXProduct struct {
	PURL   string `json:"purl,omitzero"`
	Digest string `json:"digest,omitzero"` // of the image's index or of a platform's manifest, "sha256:<64 hex>"
	// Subcomponents are the packages in it that are meant, by package URL; none means all.
	Subcomponents []string `json:"subcomponents,omitzero"`
}

// readVEX reads one document of either format. What is malformed, or lacks what its format demands (R82), is an error as a whole.
func readVEX(f VEXFile) (VEXDocument, error) {
	doc, err := parseVEX(f.Data)
	if err != nil {
		return doc, hint.Misuse(fmt.Errorf("VEX document %q: %w", f.Name, err), mendVEX)
	}
	if doc.Statements == nil {
		doc.Statements = []VEXStatement{}
	}
	doc.Digest, doc.Signer = digestOf(f.Data), f.Signer
	doc.ID, doc.Author = cut(oneLine(doc.ID), maxWaiverText), cut(oneLine(doc.Author), maxWaiverText)
	return doc, nil
}

func parseVEX(data []byte) (VEXDocument, error) {
	if len(data) > MaxVEX {
		return VEXDocument{}, fmt.Errorf("%d bytes, at most %d are read", len(data), MaxVEX)
	}
	if err := checkDepth(data); err != nil {
		return VEXDocument{}, err
	}
	var form struct {
		Context  string `json:"@context"`
		Document struct {
			Version string `json:"csaf_version"`
		} `json:"document"`
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return VEXDocument{}, errors.New(oneLine(err.Error()))
	}
	switch {
	case strings.HasPrefix(form.Context, openVEX):
		return parseOpenVEX(data)
	case form.Document.Version != "":
		return parseCSAF(data)
	}
	return VEXDocument{}, errors.New("is neither OpenVEX, which has an @context, nor CSAF, which has a csaf_version")
}

// add puts a statement into a document, in the one form that decisions are made with.
func (d *VEXDocument) add(s VEXStatement) {
	s.Names, s.Time = set(s.Names), s.Time.UTC()
	s.Impact = cut(oneLine(s.Impact), maxWaiverText)
	if len(s.Products) > 0 {
		d.Statements = append(d.Statements, s)
	}
}

func compareVEX(a, b VEXDocument) int {
	return cmp.Or(cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Signer.Kind, b.Signer.Kind), cmp.Compare(a.Signer.ID, b.Signer.ID))
}

// checkVEX reports statements that are made later than now, and documents that none of the rules lets have a say.
func checkVEX(all []VEXDocument, bundles []*Bundle, now time.Time) error {
	for _, d := range all {
		for _, s := range d.Statements {
			if s.Time.After(now.Add(vexSkew)) {
				return fmt.Errorf("VEX document %q: what it says of %s is of %s, which is still to come", clip(d.ID), s.Names[0], s.Time.Format(time.RFC3339))
			}
		}
	}
	for _, b := range bundles {
		for _, r := range b.rules {
			if r.VEX != "" {
				return nil
			}
		}
	}
	return errors.New("no policy has a rule on which VEX has a say: METADATA custom.vex")
}

// vexProblem says what is wrong with VEX documents as they are kept. The readers of both formats have said more, and earlier.
func vexProblem(all []VEXDocument) error {
	if len(all) > maxVEXDocuments {
		return fmt.Errorf("%d VEX documents, at most %d are read", len(all), maxVEXDocuments)
	}
	statements, products := 0, 0
	for _, d := range all {
		if d.Format != FormatOpenVEX && d.Format != FormatCSAF || !validDigest.MatchString(d.Digest) || len(d.ID) > 2*maxWaiverText || len(d.Author) > 2*maxWaiverText {
			return fmt.Errorf("VEX document %q: its format, digest, id or author is none", clip(d.ID))
		}
		statements += len(d.Statements)
		for i, s := range d.Statements {
			for _, p := range s.Products {
				products += 1 + len(p.Subcomponents)
			}
			if err := s.problem(); err != nil {
				return fmt.Errorf("VEX document %q: statement %d: %w", clip(d.ID), i+1, err)
			}
		}
	}
	if statements > maxVEXStatements || products > maxVEXProducts {
		return fmt.Errorf("%d VEX statements about %d products and packages, at most %d about %d are read", statements, products, maxVEXStatements, maxVEXProducts)
	}
	return nil
}

func (s VEXStatement) problem() error {
	switch {
	case len(s.Names) == 0 || len(s.Names) > maxVEXNames || slices.ContainsFunc(s.Names, func(n string) bool { return !validVuln.MatchString(n) }):
		return fmt.Errorf("vulnerability %q is not 1 to %d names of the form %s", clip(strings.Join(s.Names, " ")), maxVEXNames, validVuln)
	case !slices.Contains([]string{vexNotAffected, vexAffected, vexFixed, vexInvestigation}, s.Status):
		return fmt.Errorf("status %q is not known", clip(s.Status))
	case s.Status == vexNotAffected && s.Justification == "" && s.Impact == "":
		return errors.New("it says not_affected, and neither justification nor impact says why")
	case len(s.Justification) > maxWaiverText || len(s.Impact) > 2*maxWaiverText:
		return errors.New("its justification or impact is too long")
	case s.Time.IsZero():
		return errors.New("it does not say since when it is true")
	}
	for _, p := range s.Products {
		if err := p.problem(); err != nil {
			return err
		}
	}
	return nil
}

func (p VEXProduct) problem() error {
	if p.PURL == "" && p.Digest == "" {
		return errors.New("a product has neither package URL nor digest")
	}
	if p.Digest != "" && !validDigest.MatchString(p.Digest) {
		return fmt.Errorf("digest %q of a product is not of the form %s", clip(p.Digest), validDigest)
	}
	for _, purl := range append(slices.Clone(p.Subcomponents), p.PURL) {
		if _, err := parsePURL(purl); err != nil && purl != "" {
			return fmt.Errorf("%q: %w", clip(purl), err)
		}
	}
	return nil
}
