package action

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/oci"
)

// Annotations of others, by which what they attach is told apart.
const (
	annotCreated   = "org.opencontainers.image.created"
	buildkitKind   = "vnd.docker.reference.type"   // of an entry of the index
	buildkitOf     = "vnd.docker.reference.digest" // which manifest it is about
	buildkitEntry  = "attestation-manifest"        // the one kind there is
	buildkitType   = "in-toto.io/predicate-type"   // of a layer
	kindBuildKit   = "buildkit"                    // of what is not signed
	legacyAttested = "predicateType"               // of a layer
)

// viewer gathers what there is about an image. It believes nothing: what trust verifies is marked so.
type viewer struct {
	store oci.Store
	trust *attest.Trust // nil: nobody to believe was named
	out   report.Inspection

	claims  map[string]*report.InspectedClaim // by the digest of the bundle
	origins []origin
}

// origin is what provenance says, and whether it was verified.
type origin struct {
	source report.InspectedSource
	build  report.InspectedBuild
}

// runInspect shows what an image is and what there is about it.
func runInspect(ctx context.Context, env Env, in values, target string) error {
	s := newSession(env, in, "inspect")
	v := &viewer{claims: map[string]*report.InspectedClaim{}}
	v.out = report.Inspection{SchemaVersion: report.SchemaVersion, Version: version().Version}
	var err error
	if s.namesTrust() {
		v.out.Checked = true
		if v.trust, err = s.trust(ctx); err != nil {
			return err
		}
	}
	store, done, err := s.open(ctx, target)
	if err != nil {
		return err
	}
	defer done()
	v.store = store
	if err := v.inspect(ctx); err != nil {
		return err
	}
	if in.one("format") == "json" {
		return v.out.JSON(env.Stdout)
	}
	return v.out.Text(env.Stdout)
}

// namesTrust reports whether any input says whom to believe.
func (s *session) namesTrust() bool {
	return len(s.in.all("key")) > 0 || len(s.in.all("trusted-root")) > 0 ||
		slices.ContainsFunc(identityInputs(), func(in input) bool { return len(s.in.all(in.name)) > 0 })
}

func (v *viewer) inspect(ctx context.Context) error {
	img, err := v.store.Resolve(ctx, "")
	if err != nil {
		return err
	}
	v.out.Image = report.InspectedImage{Digest: img.Digest, MediaType: img.MediaType}
	for _, p := range img.Platforms {
		v.out.Platforms = append(v.out.Platforms, report.InspectedPlatform{Platform: p.Platform, Digest: p.Digest, Size: layerBytes(p)})
	}
	for _, digest := range parts(img) {
		if err := v.attached(ctx, digest); err != nil {
			return err
		}
	}
	if v.out.Unsigned, err = unsigned(ctx, v.store, img); err != nil {
		return err
	}
	for _, c := range v.claims {
		v.out.Claims = append(v.out.Claims, *c)
	}
	slices.SortFunc(v.out.Claims, func(a, b report.InspectedClaim) int {
		return cmp.Or(cmp.Compare(a.PredicateType, b.PredicateType), -cmp.Compare(a.Time, b.Time), cmp.Compare(a.Artifacts[0], b.Artifacts[0]))
	})
	v.choose()
	return nil
}

// parts are the digests of the index and of every runnable manifest, each once.
func parts(img oci.Image) []string {
	var out []string
	for _, s := range wholeImage(img) {
		if !slices.Contains(out, s.Digest) {
			out = append(out, s.Digest)
		}
	}
	return out
}

// attached looks at everything whose subject is one manifest.
func (v *viewer) attached(ctx context.Context, digest string) error {
	all, err := v.store.Attached(ctx, digest, "")
	if err != nil {
		return err
	}
	for _, a := range all {
		about := report.InspectedAttached{Type: a.Type, Digest: a.Digest, Subject: digest, Size: contentBytes(a)}
		switch a.Type {
		case typeBundle:
		case typePolicy:
			v.out.Policies = append(v.out.Policies, about)
		default:
			v.out.Others = append(v.out.Others, about)
		}
	}
	bundles, err := v.store.Attached(ctx, digest, typeBundle)
	if err != nil {
		return err
	}
	for _, a := range bundles {
		v.bundle(a, digest)
	}
	return nil
}

// bundle looks at one bundle that is attached to a manifest.
func (v *viewer) bundle(a oci.Artifact, digest string) {
	id := cmp.Or(bundleDigest(a), a.Digest) // the same bundle at several manifests is one claim
	c := v.claims[id]
	if c == nil {
		c = &report.InspectedClaim{Time: a.Annotations[annotCreated], Size: contentBytes(a), Verified: true}
		v.claims[id] = c
		v.read(c, a)
	}
	c.AttachedTo, c.Artifacts = append(c.AttachedTo, digest), append(c.Artifacts, a.Digest)
	if err := v.check(a, digest); err != nil {
		c.Verified, c.Reason = false, cmp.Or(c.Reason, err.Error())
	}
}

var errUnchecked = errors.New("not verified: no key and no identity was given")

// check verifies a bundle where it is attached; without anybody to believe, nothing is.
func (v *viewer) check(a oci.Artifact, digest string) error {
	if v.trust == nil {
		return errUnchecked
	}
	_, err := verifyOne(v.trust, a, digest)
	return err
}

// read takes from a bundle what it says of itself.
func (v *viewer) read(c *report.InspectedClaim, a oci.Artifact) {
	if len(a.Layers) != 1 {
		return
	}
	h, err := attest.Unverified(a.Layers[0].Content)
	if err != nil {
		c.Reason = err.Error()
		return
	}
	c.PredicateType, c.Statement, c.Subjects, c.Signer = h.PredicateType, h.Statement, h.Subjects, signerOf(h.Signer)
	if !h.Time.IsZero() {
		c.Time = h.Time.Format(time.RFC3339)
	}
	switch h.PredicateType {
	case attest.PredicateProvenance:
		o, holds := originOf(h.Predicate), v.check(a, a.Subject) == nil
		o.source.Verified, o.build.Verified = holds, holds
		v.origins = append(v.origins, o)
	case attest.PredicateDecision:
		c.Result = resultOf(h.Predicate)
	}
}

// choose takes the provenance to show: what is verified before what is not, then the newest.
func (v *viewer) choose() {
	if len(v.origins) == 0 {
		return
	}
	best := slices.MaxFunc(v.origins, func(a, b origin) int {
		if a.build.Verified != b.build.Verified {
			if a.build.Verified {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.build.Started, b.build.Started)
	})
	v.out.Source, v.out.Build = best.source, best.build
}

// originOf reads where provenance says that the image comes from. What is not as expected is left out.
func originOf(predicate json.RawMessage) origin {
	var p struct {
		BuildDefinition struct {
			BuildType string `json:"buildType"`
			External  struct {
				Workflow struct{ Repository, Ref string } `json:"workflow"`
				Source   string                           `json:"source"`
				Ref      string                           `json:"ref"`
			} `json:"externalParameters"`
			Dependencies []struct {
				URI    string            `json:"uri"`
				Digest map[string]string `json:"digest"`
			} `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		RunDetails struct {
			Builder  struct{ ID string } `json:"builder"`
			Metadata struct {
				InvocationID string `json:"invocationId"`
				StartedOn    string `json:"startedOn"`
			} `json:"metadata"`
		} `json:"runDetails"`
	}
	if json.Unmarshal(predicate, &p) != nil {
		return origin{}
	}
	d, r := p.BuildDefinition, p.RunDetails
	if d.BuildType != attest.BuildType { // only there is source among what agrees with the certificate
		d.External.Source, d.External.Ref = "", ""
	}
	o := origin{
		source: report.InspectedSource{Repository: cmp.Or(d.External.Source, d.External.Workflow.Repository), Ref: cmp.Or(d.External.Ref, d.External.Workflow.Ref)},
		build:  report.InspectedBuild{Builder: r.Builder.ID, Type: d.BuildType, Run: r.Metadata.InvocationID, Started: r.Metadata.StartedOn},
	}
	for _, dep := range d.Dependencies {
		if o.source.Commit == "" && strings.HasPrefix(dep.URI, "git") {
			o.source.Commit = dep.Digest["gitCommit"]
		}
	}
	return o
}

func resultOf(predicate json.RawMessage) string {
	var p struct {
		Result string `json:"result"`
	}
	if json.Unmarshal(predicate, &p) != nil {
		return ""
	}
	return p.Result
}

func contentBytes(a oci.Artifact) int64 {
	var n int64
	for _, l := range a.Layers {
		n += l.Size
	}
	return n
}

// unsigned lists what others keep about an image in ways that prove nothing here: BuildKit's attestations in the index, which
// nobody signed, and the tags that cosign used before bundles.
func unsigned(ctx context.Context, store oci.Store, img oci.Image) ([]report.InspectedUnsigned, error) {
	var out []report.InspectedUnsigned
	beside, err := oci.Unrun(ctx, store, img)
	if err != nil {
		return nil, err
	}
	for _, a := range beside {
		if a.Annotations[buildkitKind] != buildkitEntry {
			continue
		}
		about := img.Digest
		if of := a.Annotations[buildkitOf]; slices.ContainsFunc(img.Platforms, func(p oci.Platform) bool { return p.Digest == of }) {
			about = of
		}
		out = append(out, unsignedOf(kindBuildKit, a, about, buildkitType))
	}
	for _, digest := range parts(img) {
		for suffix, kind := range map[string]string{".sig": "cosign-signature", ".att": "cosign-attestation", ".sbom": "cosign-sbom"} {
			a, err := oci.Suffixed(ctx, store, digest, suffix)
			if errors.Is(err, oci.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, unsignedOf(kind, a, digest, legacyAttested))
		}
	}
	slices.SortFunc(out, func(a, b report.InspectedUnsigned) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Digest, b.Digest))
	})
	return out, nil
}

func unsignedOf(kind string, a oci.Artifact, about, annotation string) report.InspectedUnsigned {
	u := report.InspectedUnsigned{Kind: kind, Digest: a.Digest, Subject: about, Size: contentBytes(a)}
	for _, l := range a.Layers {
		if t := l.Annotations[annotation]; t != "" {
			u.PredicateTypes = append(u.PredicateTypes, t)
		}
	}
	return u
}
