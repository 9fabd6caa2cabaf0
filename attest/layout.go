package attest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/in-toto/in-toto-golang/in_toto"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"

	"github.com/sealyard/sealyard/internal/hint"
)

const (
	maxLayout = 1 << 20 // bytes of a layout file; ours for two platforms has 12 kB
	maxSteps  = 64
	maxRules  = 4096 // in one list
)

// Layout is an in-toto layout that its owners signed: which steps an image must have been through, who may take each,
// and how what the steps used and made must fit together. Only LoadLayout makes one, so what is in it can decide.
type Layout struct {
	steps   []step
	expires time.Time
	keys    []trustedKey // of every functionary that signs with a key
}

// step is a step and its functionaries: ids of keys, or subjects of certificates.
type step struct {
	in_toto.Step
	keys, subjects map[string]bool
}

// LoadLayout reads a layout in one of in-toto's forms, with its signatures in a Metablock or a DSSE envelope, and holds
// it to the public keys of its owners: each of them must have signed it, or the error wraps ErrUntrusted.
//
// A layout that could not decide, or that in-toto's tools would understand in different ways, is not loaded: errors
// about its form are marked with hint.Misuse. That is: a threshold below 1 or above the number of functionaries (R33),
// a functionary without key, a list of rules that does not end with DISALLOW * (R34), inspections, which are commands
// to run (R35), names that are not clean (R36), character classes in patterns, certificate authorities of its own.
// Expiry is for Check, for it needs the time.
func LoadLayout(f File, owners []File) (*Layout, error) {
	keys, err := ownerKeys(owners)
	if err != nil {
		return nil, err
	}
	bad := func(err error) error {
		return hint.Misuse(fmt.Errorf("layout %q: %w", f.Name, oneLine{err}), "`sealyard layout init` writes one, and `sealyard layout sign` signs it")
	}
	s, err := openLayout(f.Data)
	if err != nil {
		return nil, bad(err)
	}
	for _, k := range keys {
		if err := s.signedBy(k.Key); err != nil {
			return nil, fmt.Errorf("%w: the layout %q is not signed by the owner %q: %w", ErrUntrusted, f.Name, k.file, oneLine{err})
		}
	}
	l, err := readLayout(s.payload)
	if err != nil {
		return nil, bad(err)
	}
	out, err := compileLayout(l)
	if err != nil {
		return nil, bad(err)
	}
	return out, nil
}

type ownerKey struct {
	in_toto.Key
	file string
}

// ownerKeys reads the public keys of the owners, by in-toto's own key ids.
func ownerKeys(files []File) ([]ownerKey, error) {
	var out []ownerKey
	for _, f := range files {
		_, err := parseKeys(f.Data) // strictly; in-toto would skip what is damaged
		for rest := f.Data; err == nil; {
			block, more := pem.Decode(rest)
			if block == nil {
				break
			}
			k := ownerKey{file: f.Name}
			err, rest = k.LoadKeyReaderDefaults(bytes.NewReader(pem.EncodeToMemory(block))), more
			out = append(out, k)
		}
		if err != nil {
			return nil, hint.Misuse(fmt.Errorf("key of the layout's owner %q: %w", f.Name, err), "give a public key, in PEM: ECDSA, Ed25519 or RSA")
		}
	}
	if len(out) == 0 || len(out) > maxTrusted {
		return nil, hint.Misuse(fmt.Errorf("%d keys of the layout's owners, not 1 to %d", len(out), maxTrusted), "name the public key of whoever must have signed the layout")
	}
	return out, nil
}

// signedLayout is a layout that was not looked at, and its signatures: a Metablock or a DSSE envelope.
type signedLayout struct {
	payload  []byte // JSON
	block    *in_toto.Metablock
	envelope *dsse.Envelope
}

// openLayout reads a file strictly.
func openLayout(data []byte) (signedLayout, error) {
	if len(data) > maxLayout {
		return signedLayout{}, fmt.Errorf("%d bytes, at most %d are read", len(data), maxLayout)
	}
	if err := strictObject(data); err != nil {
		return signedLayout{}, err
	}
	var names map[string]jsontext.Value
	if err := jsonv2.Unmarshal(data, &names); err != nil {
		return signedLayout{}, err
	}
	switch {
	case names["payloadType"] != nil:
		return openEnvelope(data)
	case names["_type"] != nil:
		return signedLayout{}, errors.New("it is not signed")
	}
	var w struct {
		Signed     jsontext.Value      `json:"signed"`
		Signatures []in_toto.Signature `json:"signatures"`
	}
	if err := jsonv2.Unmarshal(data, &w, jsonv2.RejectUnknownMembers(true)); err != nil {
		return signedLayout{}, err
	}
	l, err := readLayout(w.Signed)
	if err != nil {
		return signedLayout{}, err
	}
	return signedLayout{payload: w.Signed, block: &in_toto.Metablock{Signed: l, Signatures: w.Signatures}}, nil
}

func openEnvelope(data []byte) (signedLayout, error) {
	var e dsse.Envelope
	if err := jsonv2.Unmarshal(data, &e, jsonv2.RejectUnknownMembers(true)); err != nil {
		return signedLayout{}, err
	}
	if e.PayloadType != in_toto.PayloadType {
		return signedLayout{}, fmt.Errorf("payload type %q, not %q", e.PayloadType, in_toto.PayloadType)
	}
	payload, err := e.DecodeB64Payload()
	return signedLayout{payload: payload, envelope: &e}, err
}

// signedBy verifies the signature of one owner.
func (s signedLayout) signedBy(k in_toto.Key) error {
	if s.block != nil {
		return in_toto.VerifyLayoutSignatures(s.block, map[string]in_toto.Key{k.KeyID: k})
	}
	v, err := dsseVerifier(k)
	if err != nil {
		return err
	}
	ev, err := dsse.NewEnvelopeVerifier(v)
	if err != nil {
		return err
	}
	_, err = ev.Verify(context.Background(), s.envelope)
	return err
}

func dsseVerifier(k in_toto.Key) (dsse.Verifier, error) {
	key := signerverifier.SSLibKey{KeyType: k.KeyType, KeyID: k.KeyID, Scheme: k.Scheme, KeyVal: signerverifier.KeyVal{Public: k.KeyVal.Public}}
	switch k.KeyType {
	case signerverifier.ECDSAKeyType:
		return signerverifier.NewECDSASignerVerifierFromSSLibKey(&key)
	case signerverifier.ED25519KeyType:
		return signerverifier.NewED25519SignerVerifierFromSSLibKey(&key)
	default:
		return signerverifier.NewRSAPSSSignerVerifierFromSSLibKey(&key)
	}
}

// readLayout reads the layout itself strictly: what in-toto's own reader would leave out of a Metablock is not signed.
func readLayout(payload []byte) (in_toto.Layout, error) {
	var l in_toto.Layout
	if err := strictObject(payload); err != nil {
		return l, err
	}
	return l, jsonv2.Unmarshal(payload, &l, jsonv2.RejectUnknownMembers(true))
}

// compileLayout makes a Layout of one that can decide.
func compileLayout(l in_toto.Layout) (*Layout, error) {
	switch {
	case len(l.Inspect) > 0:
		return nil, fmt.Errorf("it has %d inspections: they are commands to run, and none is", len(l.Inspect))
	case len(l.RootCas)+len(l.IntermediateCas) > 0:
		return nil, errors.New("it has certificate authorities of its own; certificates are held to the trusted root that is given")
	case len(l.Steps) == 0 || len(l.Steps) > maxSteps:
		return nil, fmt.Errorf("%d steps, not 1 to %d", len(l.Steps), maxSteps)
	case len(l.Keys) > maxTrusted:
		return nil, fmt.Errorf("%d keys, at most %d are read", len(l.Keys), maxTrusted)
	}
	var names []string
	for _, s := range l.Steps {
		names = append(names, s.Name)
	}
	for _, s := range l.Steps { // before in-toto's own check, which an empty rule makes panic
		if err := checkRules(s.ExpectedMaterials, names); err != nil {
			return nil, fmt.Errorf("step %q: expected_materials: %w", s.Name, err)
		}
		if err := checkRules(s.ExpectedProducts, names); err != nil {
			return nil, fmt.Errorf("step %q: expected_products: %w", s.Name, err)
		}
	}
	if err := in_toto.ValidateMetablock(in_toto.Metablock{Signed: l}); err != nil {
		return nil, err
	}
	out := &Layout{}
	var err error
	if out.expires, err = time.Parse(in_toto.ISO8601DateSchema, l.Expires); err != nil {
		return nil, err
	}
	for _, s := range l.Steps {
		if err := out.add(s, l.Keys); err != nil {
			return nil, fmt.Errorf("step %q: %w", s.Name, err)
		}
	}
	return out, nil
}

// add takes a step up with its functionaries. A key that has two ids is one functionary.
func (l *Layout) add(s in_toto.Step, keys map[string]in_toto.Key) error {
	st := step{Step: s, keys: map[string]bool{}, subjects: map[string]bool{}}
	for _, id := range s.PubKeys {
		k, err := functionaryKey(keys[id])
		if err != nil {
			return fmt.Errorf("functionary %q: %w", id, err)
		}
		st.keys[k.id] = true
		if !slices.ContainsFunc(l.keys, func(have trustedKey) bool { return have.id == k.id }) {
			l.keys = append(l.keys, k)
		}
	}
	for _, c := range s.CertificateConstraints {
		subject, err := constrained(c)
		if err != nil {
			return fmt.Errorf("certificate constraint: %w", err)
		}
		st.subjects[subject] = true
	}
	switch n := len(st.keys) + len(st.subjects); {
	case len(st.keys) > 0 && len(st.subjects) > 0:
		return errors.New("both keys and certificate constraints, which in-toto's tools count in different ways")
	case s.Threshold < 1:
		return fmt.Errorf("threshold %d: nobody would have to take it", s.Threshold)
	case s.Threshold > n:
		return fmt.Errorf("threshold %d of %d functionaries", s.Threshold, n)
	}
	l.steps = append(l.steps, st)
	return nil
}

// functionaryKey reads a key of a layout. The zero Key is one that is not there.
func functionaryKey(k in_toto.Key) (trustedKey, error) {
	text := []byte(k.KeyVal.Public)
	if k.KeyID == "" {
		return trustedKey{}, errors.New("the layout has no such key")
	}
	if k.KeyType == signerverifier.ED25519KeyType {
		raw, err := hex.DecodeString(k.KeyVal.Public)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return trustedKey{}, errors.New("not an Ed25519 key in hex")
		}
		der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(raw))
		if err != nil {
			return trustedKey{}, err
		}
		text = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	found, err := parseKeys(text)
	if err != nil {
		return trustedKey{}, fmt.Errorf("public key: %w", err)
	}
	if len(found) != 1 {
		return trustedKey{}, fmt.Errorf("%d keys in one", len(found))
	}
	return found[0], nil
}

// constrained is the one subject that a certificate constraint names. Everything else that a constraint can say is not
// about certificates of Sigstore, or is held by Trust.
func constrained(c in_toto.CertificateConstraint) (string, error) {
	whatever := func(values []string) bool { return len(values) == 1 && values[0] == in_toto.AllowAllConstraint }
	open := func(values []string) bool { return len(values) == 0 || whatever(values) }
	if c.CommonName != "" && c.CommonName != in_toto.AllowAllConstraint || !open(c.DNSNames) || !open(c.Organizations) || !whatever(c.Roots) {
		return "", errors.New(`only "uris" or "emails" can be held to, with "roots": ["*"]`)
	}
	both := slices.Concat(c.URIs, c.Emails)
	if len(both) != 1 || both[0] == "" || whatever(both) {
		return "", errors.New(`one of "uris" and "emails" must name one subject, and the other none`)
	}
	return both[0], nil
}
