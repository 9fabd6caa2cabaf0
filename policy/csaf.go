package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// csafDocument is what is read of a CSAF document: https://docs.oasis-open.org/csaf/csaf/v2.0/csaf-v2.0.html. The library for CSAF does
// not read product groups as that says.
type csafDocument struct {
	Document struct {
		Category  string `json:"category"`
		Version   string `json:"csaf_version"`
		Publisher struct {
			Name string `json:"name"`
		} `json:"publisher"`
		Tracking struct {
			ID       string    `json:"id"`
			Status   string    `json:"status"`
			Released time.Time `json:"current_release_date"`
		} `json:"tracking"`
	} `json:"document"`
	Tree            csafTree            `json:"product_tree"`
	Vulnerabilities []csafVulnerability `json:"vulnerabilities"`
}

type csafTree struct {
	Branches      []csafBranch  `json:"branches"`
	Names         []csafProduct `json:"full_product_names"`
	Relationships []struct {
		Product csafProduct `json:"full_product_name"`
		Part    string      `json:"product_reference"`
		Of      string      `json:"relates_to_product_reference"`
	} `json:"relationships"`
	Groups []struct {
		ID       string   `json:"group_id"`
		Products []string `json:"product_ids"`
	} `json:"product_groups"`
}

type csafBranch struct {
	Branches []csafBranch `json:"branches"`
	Product  *csafProduct `json:"product"`
}

type csafProduct struct {
	ID     string `json:"product_id"`
	Helper struct {
		PURL   string `json:"purl"`
		Hashes []struct {
			Values []struct {
				Algorithm string `json:"algorithm"`
				Value     string `json:"value"`
			} `json:"file_hashes"`
		} `json:"hashes"`
	} `json:"product_identification_helper"`
}

type csafVulnerability struct {
	CVE string `json:"cve"`
	IDs []struct {
		Text string `json:"text"`
	} `json:"ids"`
	Flags        []csafRemark        `json:"flags"`
	Threats      []csafRemark        `json:"threats"`
	Remediations []csafRemark        `json:"remediations"`
	Status       map[string][]string `json:"product_status"`
}

// csafRemark is a flag, a threat or a remediation: something said of some of the products.
type csafRemark struct {
	Label    string   `json:"label"`
	Category string   `json:"category"`
	Details  string   `json:"details"`
	Products []string `json:"product_ids"`
	Groups   []string `json:"group_ids"`
}

// csafStatus is what the lists of product_status say. Those that only recommend are not there.
func csafStatus() map[string]string {
	return map[string]string{
		"known_not_affected": vexNotAffected, "under_investigation": vexInvestigation, "fixed": vexFixed, "first_fixed": vexFixed,
		"known_affected": vexAffected, "first_affected": vexAffected, "last_affected": vexAffected,
	}
}

// parseCSAF reads a CSAF document of version 2.0 and the profile for VEX.
func parseCSAF(data []byte) (VEXDocument, error) {
	var from csafDocument
	if err := json.Unmarshal(data, &from); err != nil {
		return VEXDocument{}, errors.New(oneLine(err.Error()))
	}
	d := from.Document
	doc := VEXDocument{ID: d.Tracking.ID, Author: d.Publisher.Name, Format: FormatCSAF}
	switch {
	case d.Version != "2.0":
		return doc, fmt.Errorf("its csaf_version is %q, and 2.0 is read", clip(d.Version))
	case d.Category != "csaf_vex":
		return doc, fmt.Errorf("its category is %q and not csaf_vex, so it need not say why something is not affected", clip(d.Category))
	case d.Tracking.Status != "final" && d.Tracking.Status != "interim":
		return doc, fmt.Errorf("its tracking status is %q, neither final nor interim", clip(d.Tracking.Status))
	case d.Tracking.ID == "" || d.Publisher.Name == "" || d.Tracking.Released.IsZero():
		return doc, errors.New("its tracking has no id or current_release_date, or its publisher no name")
	}
	products, err := from.Tree.products()
	if err != nil {
		return doc, err
	}
	read := csafReader{products: products, groups: from.Tree.groups(), released: d.Tracking.Released}
	for i, v := range from.Vulnerabilities {
		if err := read.vulnerability(v, &doc); err != nil {
			return doc, fmt.Errorf("vulnerability %d, %q: %w", i+1, clip(v.CVE), err)
		}
	}
	return doc, nil
}

// products are the products of the tree by id; of those that nothing in an image can be held to, the zero VEXProduct.
func (t csafTree) products() (map[string]VEXProduct, error) {
	all := map[string]VEXProduct{}
	var twice string
	add := func(id string, p VEXProduct) {
		if _, dup := all[id]; dup || id == "" {
			twice = id
		}
		all[id] = p
	}
	var walk func(list []csafBranch)
	walk = func(list []csafBranch) {
		for _, b := range list {
			if b.Product != nil {
				add(b.Product.ID, b.Product.named())
			}
			walk(b.Branches)
		}
	}
	walk(t.Branches)
	for _, p := range t.Names {
		add(p.ID, p.named())
	}
	for _, r := range t.Relationships {
		part, ok := all[r.Part]
		whole, known := all[r.Of]
		if !ok || !known {
			return nil, fmt.Errorf("the relationship %q is of products that the tree does not have", clip(r.Product.ID))
		}
		add(r.Product.ID, part.within(whole))
	}
	if twice != "" || len(all) > maxVEXProducts {
		return nil, fmt.Errorf("the product id %q is there twice, or there are more than %d", clip(twice), maxVEXProducts)
	}
	return all, nil
}

// named is a product by the names that can be held to an image.
func (p csafProduct) named() VEXProduct {
	out := VEXProduct{PURL: p.Helper.PURL}
	if isPackage(out.PURL) {
		return out
	}
	for _, h := range p.Helper.Hashes {
		for _, v := range h.Values {
			if strings.EqualFold(v.Algorithm, "sha256") {
				out.Digest = "sha256:" + strings.ToLower(v.Value)
			}
		}
	}
	return out
}

// within is a part of an image; the zero VEXProduct when it is a part of anything else.
func (p VEXProduct) within(whole VEXProduct) VEXProduct {
	if !isPackage(p.PURL) || isPackage(whole.PURL) || whole.PURL == "" && whole.Digest == "" || len(whole.Subcomponents) > 0 {
		return VEXProduct{}
	}
	whole.Subcomponents = []string{p.PURL}
	return whole
}

func (t csafTree) groups() map[string][]string {
	all := map[string][]string{}
	for _, g := range t.Groups {
		all[g.ID] = append(all[g.ID], g.Products...)
	}
	return all
}

// csafReader makes statements of what a document says of a vulnerability.
type csafReader struct {
	products map[string]VEXProduct
	groups   map[string][]string
	released time.Time
}

// csafWord is what is said of a product.
type csafWord struct{ status, justification, impact string }

// vulnerability adds the statements about one vulnerability: one for all products of which the same is said.
func (r csafReader) vulnerability(v csafVulnerability, doc *VEXDocument) error {
	words, err := r.words(v)
	if err != nil {
		return err
	}
	names := []string{v.CVE}
	for _, id := range v.IDs {
		names = append(names, id.Text)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !validVuln.MatchString(n) })
	about := map[csafWord][]VEXProduct{}
	for _, id := range slices.Sorted(maps.Keys(words)) {
		p, known := r.products[id]
		if !known {
			return fmt.Errorf("the product %q is not in the product tree", clip(id))
		}
		if p.PURL != "" || p.Digest != "" {
			about[words[id]] = append(about[words[id]], p)
		}
	}
	for _, w := range slices.SortedFunc(maps.Keys(about), func(a, b csafWord) int {
		return cmp.Compare(a.status+a.justification+a.impact, b.status+b.justification+b.impact)
	}) {
		s := VEXStatement{Names: names, Products: about[w], Status: w.status, Justification: w.justification, Impact: w.impact, Time: r.released}
		if err := s.problem(); err != nil {
			return err
		}
		doc.add(s)
	}
	return nil
}

// words finds what is said of each product. The profile demands a flag or an impact of what is not affected, and a remediation of what is.
func (r csafReader) words(v csafVulnerability) (map[string]csafWord, error) {
	flags, impacts, actions := map[string]string{}, map[string]string{}, map[string]string{}
	for _, f := range v.Flags {
		r.each(f, func(id string) { flags[id] = f.Label })
	}
	for _, t := range v.Threats {
		if t.Category == "impact" {
			r.each(t, func(id string) { impacts[id] = cut(oneLine(t.Details), maxWaiverText) })
		}
	}
	for _, a := range v.Remediations {
		r.each(a, func(id string) { actions[id] = a.Category })
	}
	words, known := map[string]csafWord{}, csafStatus()
	for list, ids := range v.Status {
		for _, id := range ids {
			w := csafWord{status: known[list]}
			switch {
			case w.status == "":
				continue
			case w.status == vexNotAffected:
				w.justification, w.impact = flags[id], impacts[id]
			case list == "known_affected" && actions[id] == "":
				return nil, fmt.Errorf("the product %q is affected, and no remediation says what to do", clip(id))
			}
			if w.status == vexNotAffected && w.justification == "" && w.impact == "" {
				return nil, fmt.Errorf("the product %q is not affected, and neither a flag nor an impact says why", clip(id))
			}
			if other, dup := words[id]; dup && other != w {
				return nil, fmt.Errorf("the product %q is both %s and %s", clip(id), min(w.status, other.status), max(w.status, other.status))
			}
			words[id] = w
		}
	}
	return words, nil
}

// each names the products that a remark is about, those of its groups too.
func (r csafReader) each(about csafRemark, tell func(id string)) {
	for _, id := range about.Products {
		tell(id)
	}
	for _, g := range about.Groups {
		for _, id := range r.groups[g] {
			tell(id)
		}
	}
}
