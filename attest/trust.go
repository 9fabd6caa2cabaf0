package attest

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sealyard/sealyard/internal/hint"
)

const (
	maxRootFile = 4 << 20 // bytes; the public instance's has 12 kB
	maxTrusted  = 64      // keys, roots or identities of one Trust
)

// File is a file that was read already. Name is for messages.
type File struct {
	Name string
	Data []byte
}

// TrustOptions say whose statements to believe. At least a key, or a trusted root together with an identity, must be given.
type TrustOptions struct {
	PublicKeys   []File             // PEM, one or more keys in each
	TrustedRoots []File             // Sigstore trusted roots v0.1 or v0.2: JSON, or JSON lines (R48)
	Identities   []ExpectedIdentity // who may have signed with a certificate: any one of them
	Thresholds   Thresholds         // for signatures made with a certificate
}

// Trust is a set of keys, roots and identities that statements are verified against. It never changes and can be used
// from several goroutines at once.
type Trust struct {
	keys  []trustedKey
	roots []trustedRoot
	who   []expectation // any one of them
}

type trustedKey struct {
	id, hint  string
	verifiers []signature.Verifier // the algorithms in which this key may have signed
}

// LoadTrust makes a Trust, from bytes alone. A Trust that could not decide cannot be made: without key and root, with
// a root but no identity, with a root that names no certificate authority or no source of time. Errors are marked
// with hint.Misuse.
func LoadTrust(o TrustOptions) (*Trust, error) {
	t := &Trust{}
	for _, f := range o.PublicKeys {
		keys, err := parseKeys(f.Data)
		if err != nil {
			return nil, hint.Misuse(fmt.Errorf("public key %q: %w", f.Name, err), "give the .pub file of the pair, in PEM")
		}
		t.keys = append(t.keys, keys...)
	}
	for _, f := range o.TrustedRoots {
		roots, err := parseRoots(f.Data, o.Thresholds)
		if err != nil {
			return nil, hint.Misuse(fmt.Errorf("trusted root %q: %w", f.Name, err), "give a trusted_root.json of Sigstore, or JSON lines of them")
		}
		t.roots = append(t.roots, roots...)
	}
	for _, id := range o.Identities {
		who, err := id.compile()
		if err != nil {
			return nil, hint.Misuse(fmt.Errorf("expected identity: %w", err), "%s", cmp.Or(hint.Of(err), "write a Go regular expression that matches whole values, of those whom you trust only"))
		}
		t.who = append(t.who, who)
	}
	switch {
	case len(t.roots) == 0 && len(t.who) > 0:
		return nil, hint.Misuse(errors.New("an expected identity needs a trusted root"), "give the trusted_root.json of the Sigstore instance that certified it")
	case len(t.keys) == 0 && len(t.roots) == 0:
		return nil, hint.Misuse(errors.New("nothing to trust: no public key and no trusted root"), "name whom you trust: a public key with --key, or with --repo OWNER/NAME the workflows of a repository")
	case len(t.roots) > 0 && len(t.who) == 0:
		return nil, hint.Misuse(errors.New("a trusted root without an expected identity would accept anybody"), "name the repository that signs, or the certificate's subject and its OIDC issuer")
	case len(t.keys) > 0 && max(o.Thresholds.Logs, o.Thresholds.Clocks) > 1:
		return nil, hint.Misuse(errors.New("a threshold of witnesses and a key, whose signatures need none"), "trust a root and an identity alone")
	case max(len(t.keys), len(t.roots), len(t.who)) > maxTrusted:
		return nil, hint.Misuse(fmt.Errorf("more than %d keys, roots or identities", maxTrusted), "verify against fewer")
	}
	return t, nil
}

// parseKeys reads one or more public keys in PEM.
func parseKeys(data []byte) ([]trustedKey, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("file of %d bytes", len(data))
	}
	var keys []trustedKey
	for rest := bytes.TrimSpace(data); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		block, more := pem.Decode(rest)
		if block == nil || !bytes.HasPrefix(rest, []byte("-----BEGIN ")) {
			return nil, errors.New("not PEM")
		}
		if block.Type != string(cryptoutils.PublicKeyPEMType) {
			return nil, fmt.Errorf("PEM of type %q is not a public key", block.Type)
		}
		k, err := parseKey(pem.EncodeToMemory(block))
		if err != nil {
			return nil, err
		}
		keys, rest = append(keys, k), more
	}
	if len(keys) == 0 || len(keys) != bytes.Count(data, []byte("-----BEGIN ")) {
		return nil, errors.New("no key in it, or one that is damaged")
	}
	return keys, nil
}

func parseKey(block []byte) (trustedKey, error) {
	pub, err := cryptoutils.UnmarshalPEMToPublicKey(block)
	if err != nil {
		return trustedKey{}, err
	}
	id, err := keyID(pub)
	if err != nil {
		return trustedKey{}, err
	}
	hinted, err := keyHint(pub)
	if err != nil {
		return trustedKey{}, err
	}
	v, err := signature.LoadDefaultVerifier(pub)
	if err != nil {
		return trustedKey{}, err
	}
	k := trustedKey{id: id, hint: hinted, verifiers: []signature.Verifier{v}}
	if _, ok := pub.(ed25519.PublicKey); ok { // cosign signs with the prehashed variant
		ph, err := signature.LoadDefaultVerifier(pub, options.WithED25519ph())
		if err != nil {
			return trustedKey{}, err
		}
		k.verifiers = append(k.verifiers, ph)
	}
	return k, nil
}

// parseRoots reads one or more trusted roots: a JSON document, or several after each other.
func parseRoots(data []byte, least Thresholds) ([]trustedRoot, error) {
	docs, err := rootDocuments(data)
	if err != nil {
		return nil, err
	}
	var roots []trustedRoot
	for _, doc := range docs {
		r, err := parseRoot(doc, least)
		if err != nil {
			return nil, err
		}
		roots = append(roots, r)
	}
	return roots, nil
}

func rootDocuments(data []byte) ([]jsontext.Value, error) {
	if len(data) > maxRootFile {
		return nil, fmt.Errorf("file of %d bytes, at most %d are read", len(data), maxRootFile)
	}
	var docs []jsontext.Value
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	for {
		doc, err := dec.ReadValue()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if docs = append(docs, doc.Clone()); len(docs) > maxTrusted {
			return nil, fmt.Errorf("more than %d roots", maxTrusted)
		}
	}
	if len(docs) == 0 {
		return nil, errors.New("empty")
	}
	return docs, nil
}

func parseRoot(doc []byte, least Thresholds) (trustedRoot, error) {
	var pb prototrustroot.TrustedRoot
	if err := protojson.Unmarshal(doc, &pb); err != nil {
		return trustedRoot{}, err
	}
	mediaType := pb.GetMediaType()
	switch mediaType {
	case "application/vnd.dev.sigstore.trustedroot.v0.1+json", "application/vnd.dev.sigstore.trustedroot.v0.2+json":
		pb.MediaType = root.TrustedRootMediaType01 // the one that sigstore-go knows; the message is the same
	case root.TrustedRootMediaType01:
	default:
		return trustedRoot{}, fmt.Errorf("media type %q is not of a trusted root", mediaType)
	}
	r, err := root.NewTrustedRootFromProtobuf(&pb)
	if err != nil {
		return trustedRoot{}, err
	}
	opts, err := demands(r, least)
	if err != nil {
		return trustedRoot{}, err
	}
	who := witnessesOf(&pb)
	if err := who.enough(least); err != nil {
		return trustedRoot{}, err
	}
	v, err := verify.NewVerifier(r, opts...)
	if err != nil {
		return trustedRoot{}, err
	}
	out := trustedRoot{Verifier: v, logs: r.RekorLogs(), witnesses: who, least: least}
	if least.Unlogged && len(r.RekorLogs()) > 0 && len(r.TimestampingAuthorities()) > 0 {
		if out.unlogged, err = verify.NewVerifier(r, append(certificates(r), verify.WithSignedTimestamps(max(1, least.Clocks)))...); err != nil {
			return trustedRoot{}, err
		}
	}
	return out, nil
}

// demands is what bundles must carry to be verified against a root: everything the root has an authority for. So a
// root with a transparency log never accepts a bundle without log entry, and no root falls back to the current time
// (R45, T22, T26).
func demands(r *root.TrustedRoot, least Thresholds) ([]verify.VerifierOption, error) {
	if len(r.FulcioCertificateAuthorities()) == 0 {
		return nil, errors.New("it names no certificate authority")
	}
	opts := certificates(r)
	switch logs, clocks := len(r.RekorLogs()), len(r.TimestampingAuthorities()); {
	case logs > 0:
		return append(opts, verify.WithTransparencyLog(max(1, least.Logs)), verify.WithObserverTimestamps(max(1, least.Clocks))), nil
	case clocks > 0:
		return append(opts, verify.WithSignedTimestamps(max(1, least.Clocks))), nil
	default:
		return nil, errors.New("it names no source of time: no timestamp authority and no transparency log")
	}
}

// certificates is what certificates must carry.
func certificates(r *root.TrustedRoot) []verify.VerifierOption {
	opts := []verify.VerifierOption{verify.WithoutStatementPredicate()}
	if len(r.CTLogs()) > 0 {
		opts = append(opts, verify.WithSignedCertificateTimestamps(1))
	}
	return opts
}
