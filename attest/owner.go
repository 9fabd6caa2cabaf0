package attest

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/sealyard/sealyard/internal/hint"
)

// LayoutPlan is what a layout for images of our own pipeline needs to know.
type LayoutPlan struct {
	Platforms    []string // of the image, such as linux/amd64
	Policies     []string // names of the policy bundles that must have been asked
	Functionary  []File   // public keys: any of them may take each step
	Certificates []string // or subjects of certificates, which any of them may
	Expires      time.Time
}

// NewLayout writes a layout, not signed yet, as JSON to read and to change: the steps fetch, build, scan and gate, and
// for each the artifacts of every platform that it must have used and made (R37).
func NewLayout(p LayoutPlan) ([]byte, error) {
	if len(p.Platforms) == 0 || len(p.Policies) == 0 {
		return nil, hint.Misuse(errors.New("a layout of no platform or no policy"), "name the platforms of the image")
	}
	if err := distinct(p.Platforms); err != nil {
		return nil, hint.Misuse(err, "name each platform once")
	}
	l := in_toto.Layout{
		Type: "layout", Steps: []in_toto.Step{}, Inspect: []in_toto.Inspection{}, Keys: map[string]in_toto.Key{},
		Expires: p.Expires.UTC().Format(in_toto.ISO8601DateSchema), Readme: "How sealyard makes this image: fetch, build, scan, gate.",
	}
	ids := []string{}
	if len(p.Functionary) > 0 {
		keys, err := ownerKeys(p.Functionary)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			l.Keys[k.KeyID], ids = k.Key, append(ids, k.KeyID)
		}
	}
	var constraints []in_toto.CertificateConstraint
	for _, subject := range p.Certificates {
		constraints = append(constraints, in_toto.CertificateConstraint{
			URIs: []string{subject}, Roots: []string{in_toto.AllowAllConstraint}, DNSNames: []string{}, Emails: []string{}, Organizations: []string{},
		})
	}
	all := rules(p.Platforms, p.Policies)
	for _, name := range orderedSteps() {
		s := in_toto.Step{Type: "step", PubKeys: ids, CertificateConstraints: constraints, ExpectedCommand: []string{}, Threshold: 1}
		s.Name, s.ExpectedMaterials, s.ExpectedProducts = name, all[name].materials, all[name].products
		l.Steps = append(l.Steps, s)
	}
	if _, err := compileLayout(l); err != nil {
		return nil, hint.Misuse(fmt.Errorf("layout: %w", err), "name who signs: a public key, or the subject of a certificate")
	}
	return writeLayout(in_toto.Metablock{Signed: l, Signatures: []in_toto.Signature{}})
}

func writeLayout(m in_toto.Metablock) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(m)
	return b.Bytes(), err
}

// SignLayout returns a layout file, as NewLayout writes it, with the signature of an owner. It refuses a layout that
// LoadLayout would not load. Signatures of other owners stay; whether they still hold is for LoadLayout to say.
func SignLayout(ctx context.Context, f File, k *Key) ([]byte, error) {
	bad := func(err error) error {
		return hint.Misuse(fmt.Errorf("layout %q: %w", f.Name, oneLine{err}), "`sealyard layout init` writes one")
	}
	s, err := openLayout(f.Data)
	if err != nil {
		return nil, bad(err)
	}
	if s.block == nil {
		return nil, bad(errors.New("a DSSE envelope; only the form of `sealyard layout init` is signed"))
	}
	l, err := readLayout(s.payload)
	if err != nil {
		return nil, bad(err)
	}
	if _, err := compileLayout(l); err != nil {
		return nil, bad(err)
	}
	public, err := k.PublicKey()
	if err != nil {
		return nil, err
	}
	owner, err := ownerKeys([]File{{Name: "the signing key", Data: public}})
	if err != nil {
		return nil, err
	}
	message, err := s.block.GetSignableRepresentation()
	if err != nil {
		return nil, bad(err)
	}
	sig, _, err := keypair{k}.SignData(ctx, message)
	if err != nil {
		return nil, fmt.Errorf("sign the layout %q: %w", f.Name, err)
	}
	id := owner[0].KeyID
	others := slices.DeleteFunc(s.block.Signatures, func(s in_toto.Signature) bool { return s.KeyID == id })
	s.block.Signatures = append(others, in_toto.Signature{KeyID: id, Sig: hex.EncodeToString(sig)})
	if err := s.signedBy(owner[0].Key); err != nil { // such as RSA, which cosign and in-toto pad in different ways
		return nil, hint.Misuse(fmt.Errorf("sign the layout %q: %w", f.Name, oneLine{err}), "use ECDSA P-256, which `sealyard key generate` makes")
	}
	return writeLayout(*s.block)
}
