package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// vexAlways is the word of METADATA custom.vex for rules that VEX has a say on; any other names the setting that must be true for it.
const vexAlways = "always"

// spoken is a statement together with the document that it is from.
type spoken struct {
	VEXStatement
	in *VEXDocument
}

// heed keeps what documents say by then, by the names of vulnerabilities.
func (of *facts) heed(all []VEXDocument) {
	of.vex = map[string][]spoken{}
	for i := range all {
		for _, s := range all[i].Statements {
			if s.Time.After(of.at.Add(vexSkew)) {
				continue
			}
			for _, name := range s.Names {
				of.vex[name] = append(of.vex[name], spoken{s, &all[i]})
			}
		}
	}
}

// excuse returns what VEX says of a finding, if that lets it pass. Of everything said about this vulnerability in this product the newest
// counts; of the same time, what lets nothing pass (R82).
func (of *facts) excuse(b *Bundle, found Finding) (Exception, bool) {
	word := b.rules[found.Rule].VEX
	if word == "" || word != vexAlways && b.settings[word] != true {
		return Exception{}, false
	}
	var newest spoken
	excused := false
	for _, name := range append([]string{found.Vulnerability}, found.Aliases...) {
		for _, s := range of.vex[name] {
			about, exactly := s.about(found, of)
			if !about || s.Time.Before(newest.Time) {
				continue
			}
			lets := s.Status == vexNotAffected || s.Status == vexFixed && exactly
			if s.Time.Equal(newest.Time) && (!excused || lets) {
				continue
			}
			newest, excused = s, lets
		}
	}
	return newest.exception(), excused
}

// about reports whether a statement is about the package that a finding is about, and whether it names the very version of the product.
func (s VEXStatement) about(found Finding, of *facts) (about, exactly bool) {
	for _, p := range s.Products {
		yes, version := p.holds(found, of)
		about, exactly = about || yes, exactly || yes && version
	}
	return about, exactly
}

// holds reports whether a product is the package of a finding, or the image and the package is the part of it that is meant; and whether
// it names a version. A part of a package is none of those: nothing says that the package it is in is the one in the image.
func (p VEXProduct) holds(found Finding, of *facts) (yes, version bool) {
	if isPackage(p.PURL) {
		u, err := parsePURL(p.PURL)
		return err == nil && p.Digest == "" && len(p.Subcomponents) == 0 && matchesPURL(p.PURL, found.Subject), u.Version != ""
	}
	version = p.Digest != ""
	if version && !of.is(p.Digest, found.Platform) {
		return false, false
	}
	if p.PURL != "" {
		named, exactly := of.named(p.PURL, found.Platform)
		if !named && (!version || exactly) {
			return false, false
		}
		version = version || exactly
	}
	return len(p.Subcomponents) == 0 || slices.ContainsFunc(p.Subcomponents, func(part string) bool { return matchesPURL(part, found.Subject) }), version
}

// isPackage reports whether a package URL is that of something in an image, and not of an image.
func isPackage(purl string) bool {
	return purl != "" && !strings.HasPrefix(purl, "pkg:oci/") && !strings.HasPrefix(purl, "pkg:docker/")
}

// named reports whether a package URL is the image's, or that of a platform of it: by digest, which is exact, or by the repository that
// provenance says it was built for. A tag may be anything tomorrow.
func (of *facts) named(purl, platform string) (yes, exactly bool) {
	u, err := parsePURL(purl)
	if err != nil {
		return false, false
	}
	has := u.Qualifiers.Map()
	_, arch, _ := strings.Cut(platform, "/")
	arch, _, _ = strings.Cut(arch, "/")
	if has["arch"] != "" && has["arch"] != arch {
		return false, true
	}
	if u.Version != "" {
		return of.is(u.Version, platform), true
	}
	return u.Type == "oci" && has["tag"] == "" && path.Base(has["repository_url"]) == u.Name && slices.Contains(of.names, has["repository_url"]), false
}

// is reports whether a digest is the image's, or that of a platform's manifest.
func (of *facts) is(digest, platform string) bool {
	return digest == of.image || digest == of.digests[platform]
}

// exception is what a decision says of a finding that a statement lets pass.
func (s spoken) exception() Exception {
	if s.in == nil {
		return Exception{}
	}
	reason := s.Status
	for _, why := range []string{s.Justification, s.Impact} {
		if why != "" {
			reason += ": " + why
		}
	}
	return Exception{
		Kind: KindVEX, ID: s.in.ID, Reason: reason, Owner: s.in.Author, ApprovedBy: s.in.voucher(), Document: s.in.Digest, Since: s.Time.UTC().Format(time.RFC3339),
	}
}

// voucher says in words who vouches for a document.
func (d *VEXDocument) voucher() string {
	switch d.Signer.Kind {
	case "":
		return "pinned by digest"
	case SignerKey:
		return "signed by key " + d.Signer.ID
	}
	return fmt.Sprintf("signed by %s (%s)", d.Signer.ID, d.Signer.Issuer)
}
