package action

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

// Where a policy bundle can be that is no file of this machine.
const (
	inRegistry = "oci://"
	onWeb      = "https://"
	onPlainWeb = "http://"
)

// besideSuffix is added to the name of an archive for the Sigstore bundle that signs it.
const besideSuffix = ".sigstore.json"

// Types of layers that hold policy: OPA's and Trivy's archives, and conftest's single files.
const (
	typePolicyArchive = "application/vnd.cncf.openpolicyagent.layer.v1.tar+gzip"
	typePolicyRego    = "application/vnd.cncf.openpolicyagent.policy.layer.v1+rego"
	typePolicyData    = "application/vnd.cncf.openpolicyagent.data.layer.v1+json"
	layerTitle        = "org.opencontainers.image.title"
)

// A voucher is whom policy bundles or VEX documents must be signed by. The zero voucher demands no signature.
type voucher struct {
	trust *attest.Trust
	keys  []byte // PEM; for OPA's signatures, which are made by keys alone
}

func (v voucher) demands() bool { return v.trust != nil }

// voucher reads the inputs that say who must have signed documents of a kind, "policy" or "vex".
func (s *session) voucher(ctx context.Context, kind string) (voucher, error) {
	key, who, issuer := s.in.one(kind+"-key"), s.in.one(kind+"-identity"), s.in.one(kind+"-issuer")
	switch {
	case key != "" && who != "":
		return voucher{}, hint.Misuse(fmt.Errorf("--%[1]s-key and --%[1]s-identity: either of them would be enough", kind), "give the one of whom you expect to have signed")
	case who == "" && issuer != "":
		return voucher{}, hint.Misuse(fmt.Errorf("--%[1]s-issuer without --%[1]s-identity would accept anybody", kind), "name who signs with --%s-identity", kind)
	case key != "":
		pem, err := s.decidingKey(ctx, key)
		if err != nil {
			return voucher{}, err
		}
		trust, err := attest.LoadTrust(attest.TrustOptions{PublicKeys: []attest.File{{Name: key, Data: pem}}})
		return voucher{trust: trust, keys: pem}, err
	case who == "":
		return voucher{}, nil
	}
	expected := attest.ExpectedIdentity{SAN: who, Issuer: issuer}
	if strings.HasPrefix(who, "^") {
		expected.SAN, expected.SANPattern = "", who
	}
	if issuer == "" {
		expected.Issuer = attest.GitHubIssuer
	}
	o := attest.TrustOptions{Identities: []attest.ExpectedIdentity{expected}}
	var err error
	if o.Thresholds, err = s.thresholds(); err != nil {
		return voucher{}, err
	}
	names, err := s.rootNames()
	if err != nil {
		return voucher{}, err
	}
	for _, name := range names {
		raw, err := s.readDeciding(name)
		if err != nil {
			return voucher{}, err
		}
		o.TrustedRoots = append(o.TrustedRoots, attest.File{Name: name, Data: raw})
	}
	s.warnOfAge(o.TrustedRoots)
	trust, err := attest.LoadTrust(o)
	return voucher{trust: trust}, err
}

// decidingKey reads the public key that what decides must be signed by. Who may change that key chooses what decides, so a file in the
// workspace is read like a policy (T13).
func (s *session) decidingKey(ctx context.Context, name string) ([]byte, error) {
	if strings.Contains(name, "://") || attest.IsPKCS11(name) {
		return s.publicKey(ctx, name)
	}
	return s.readDeciding(name)
}

// bundle loads one policy from wherever it is. What comes from elsewhere is pinned by its digest, or signed by whom v names;
// when v names somebody, everything is (R66, R67, T14, T15).
func (s *session) bundle(ctx context.Context, name string, v voucher) (*policy.Bundle, error) {
	scheme, _, elsewhere := strings.Cut(name, "://")
	switch {
	case strings.HasPrefix(name, inRegistry):
		return s.bundleInRegistry(ctx, name, v)
	case strings.HasPrefix(name, onWeb), strings.HasPrefix(name, onPlainWeb):
		return s.bundleOnWeb(ctx, name, v)
	case elsewhere:
		return nil, hint.Misuse(fmt.Errorf("policy bundle %q: %s sources are not supported", withoutUser(name), scheme), "give a directory, a tar.gz file, %sREGISTRY/NAME@sha256:HEX or %sHOST/FILE.tar.gz#sha256=HEX", inRegistry, onWeb)
	}
	return s.bundleInFile(ctx, name, v)
}

func (s *session) bundleInFile(ctx context.Context, name string, v voucher) (*policy.Bundle, error) {
	o := policy.LoadOptions{Keys: v.keys}
	raw, based, err := s.fromBase(name, policy.MaxBundle)
	if err != nil {
		return nil, fmt.Errorf("policy bundle %q: %w", name, err)
	}
	info, err := os.Stat(name)
	if !based && (err != nil || info.IsDir()) {
		if v.demands() && v.keys == nil {
			return nil, fmt.Errorf("policy bundle %q: %w", name, notSigned(errors.New("a directory has no signature of an identity")))
		}
		return policy.Load(ctx, name, o)
	}
	if !based {
		if raw, err = readUpTo(name, policy.MaxBundle); err != nil {
			return nil, fmt.Errorf("policy bundle: %w", err)
		}
	}
	beside := func() ([]byte, error) { return readUpTo(name+besideSuffix, attest.MaxBundle) }
	switch _, err := os.Stat(name + besideSuffix); {
	case based && v.keys == nil:
		beside = func() ([]byte, error) {
			raw, _, err := s.fromBase(name+besideSuffix, attest.MaxBundle)
			return raw, err
		}
	case based, err != nil:
		beside = nil
	}
	if o.Origin, o.Keys, err = v.archive(raw, policy.Origin{}, beside); err != nil {
		return nil, fmt.Errorf("policy bundle %q: %w", name, err)
	}
	o.Name = policy.NameOf(name)
	b, err := policy.LoadArchive(ctx, raw, o)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return b, nil
}

// archive says who vouches for the bytes of an archive: whoever signed the Sigstore bundle beside it, if there is one. Else the keys
// that it returns are those that must have signed in OPA's way.
func (v voucher) archive(raw []byte, origin policy.Origin, beside func() ([]byte, error)) (policy.Origin, []byte, error) {
	if !v.demands() {
		return origin, nil, nil
	}
	if beside == nil && v.keys != nil {
		return policy.Origin{Source: origin.Source, Digest: origin.Digest}, v.keys, nil
	}
	if beside == nil {
		return origin, nil, notSigned(fmt.Errorf("no %s is beside it", besideSuffix))
	}
	signature, err := beside()
	if err != nil {
		return origin, nil, err
	}
	origin.Digest = sha256of(raw)
	id, err := v.signer(signature, origin.Digest)
	if err != nil {
		return origin, nil, notSigned(err)
	}
	origin.Signer = policySigner(id)
	return origin, nil, nil
}

// signer verifies a Sigstore bundle about a document: the signature of an artifact, or the statement that only signs.
func (v voucher) signer(bundle []byte, digest string) (attest.Identity, error) {
	m, err := v.trust.VerifyMessage(bundle, digest)
	if err == nil {
		return m.Signer(), nil
	}
	st, err := v.trust.Verify(bundle, digest)
	if err != nil {
		return attest.Identity{}, err
	}
	if st.PredicateType() != attest.PredicateSign {
		return attest.Identity{}, fmt.Errorf("what is signed is a statement of type %q, which says something about it and not that it is meant", st.PredicateType())
	}
	return st.Signer(), nil
}

func policySigner(id attest.Identity) policy.Signer {
	return policy.Signer{Kind: id.Kind, ID: id.ID, Issuer: id.Issuer, Workflow: policy.Workflow(id.Workflow)}
}

// notSigned says that a policy is not signed by whom it must be. Nothing was decided then: it is no denial.
func notSigned(why error) error {
	return hint.Wrap(fmt.Errorf("it is not signed by whom --policy-key or --policy-identity names: %v", why), "sign it with sealyard policy push or sealyard policy sign")
}

// bundleInRegistry loads a policy that was pushed as an OCI artifact, by OPA, conftest, or policy push.
func (s *session) bundleInRegistry(ctx context.Context, name string, v voucher) (*policy.Bundle, error) {
	a, origin, err := s.policyArtifact(ctx, name, v)
	notAttached := errors.Is(err, attest.ErrUntrusted)
	if err != nil && (v.keys == nil || !notAttached) {
		return nil, fmt.Errorf("policy bundle %q: %w", name, noPolicy(err))
	}
	why := err
	raw, err := archiveIn(a)
	if err != nil {
		return nil, fmt.Errorf("policy bundle %q: %w", name, err)
	}
	o := policy.LoadOptions{Name: policy.NameOf(origin.Source), Origin: origin}
	if notAttached {
		o.Keys = v.keys // there may be OPA's signature in it
	}
	b, err := policy.LoadArchive(ctx, raw, o)
	switch {
	case err != nil && notAttached:
		return nil, fmt.Errorf("%q: %w, and %v", name, err, why)
	case err != nil:
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return b, nil
}

// policyArtifact fetches a policy, and finds out who signed it if somebody must have: an attest.ErrUntrusted says that no signature
// attached to it is theirs.
func (s *session) policyArtifact(ctx context.Context, name string, v voucher) (oci.Artifact, policy.Origin, error) {
	var none policy.Origin
	ref, err := oci.ParseReference(strings.TrimPrefix(name, inRegistry))
	if err != nil {
		return oci.Artifact{}, none, err
	}
	if ref.Digest == "" && !v.demands() {
		return oci.Artifact{}, none, hint.Misuse(errors.New("a tag can be moved by whoever may write there, and nobody is named who must have signed"),
			"pin it, %s%s@sha256:HEX, or name its signer with --policy-key or --policy-identity", inRegistry, ref.Repository)
	}
	remote, err := s.remote()
	if err != nil {
		return oci.Artifact{}, none, err
	}
	defer remote.Close()
	repo, err := remote.Repository(ref.String())
	if err != nil {
		return oci.Artifact{}, none, err
	}
	a, err := repo.Artifact(ctx)
	if err != nil {
		return oci.Artifact{}, none, err
	}
	origin := policy.Origin{Source: inRegistry + ref.Repository, Digest: a.Digest}
	if !v.demands() {
		return a, origin, nil
	}
	id, err := v.attached(ctx, repo, a.Digest)
	if err == nil {
		origin.Signer = policySigner(id)
	}
	return a, origin, err
}

// noPolicy makes bytes that are not what was promised, and signatures that do not hold, a failure: they are no answer about the image.
func noPolicy(err error) error {
	switch {
	case errors.Is(err, oci.ErrCorrupt):
		return hint.Wrap(fmt.Errorf("%v", err), "push the policy again, or pin what is there after looking at it")
	case errors.Is(err, attest.ErrUntrusted):
		return notSigned(err)
	}
	return err
}

// attached finds who signed an artifact: the first of the attached signatures that holds is enough.
func (v voucher) attached(ctx context.Context, repo *oci.Repository, digest string) (attest.Identity, error) {
	all, err := repo.Attached(ctx, digest, typeBundle)
	if err != nil {
		return attest.Identity{}, err
	}
	why := fmt.Errorf("%w: no signature is attached", attest.ErrUntrusted)
	for _, a := range all {
		if len(a.Layers) != 1 {
			continue
		}
		id, err := v.signer(a.Layers[0].Content, digest)
		if err == nil {
			return id, nil
		}
		why = fmt.Errorf("%w: of %d signatures attached none holds, the first: %v", attest.ErrUntrusted, len(all), err)
	}
	return attest.Identity{}, why
}

// archiveIn returns the policy in an artifact as a tar.gz.
func archiveIn(a oci.Artifact) ([]byte, error) {
	if len(a.Layers) == 1 && slices.Contains([]string{typeLayer, typePolicyArchive}, a.Layers[0].MediaType) {
		return a.Layers[0].Content, nil
	}
	files := map[string][]byte{}
	for _, l := range a.Layers {
		title := filepath.ToSlash(l.Annotations[layerTitle])
		if l.MediaType != typePolicyRego && l.MediaType != typePolicyData || title == "" {
			return nil, hint.Misuse(fmt.Errorf("it has a layer of type %q, which is no policy", l.MediaType), "push it with sealyard policy push, opa or conftest")
		}
		if _, dup := files[title]; dup {
			return nil, fmt.Errorf("it has two layers named %q", title)
		}
		files[title] = l.Content
	}
	return tarGz(files)
}

// tarGz makes an archive of files.
func tarGz(files map[string][]byte) ([]byte, error) {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, name := range keys(files) {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			return nil, err
		}
		if _, err := tw.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
