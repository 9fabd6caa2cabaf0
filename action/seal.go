package action

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

// Types of what is attached to an image.
const (
	typeBundle = "application/vnd.dev.sigstore.bundle.v0.3+json" // a signed statement (R53)
	typePolicy = "application/vnd.sealyard.policy.v1"            // the policy bundles that decided, bound by digest in the decision
	typeLayer  = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// Names in the configuration of a decision claim: what the decision was made from, each by digest.
const (
	namedPolicy = "policy:"
	namedClaim  = "claim:"
)

func sha256of(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// evidence is what a decision is made from.
type evidence struct {
	image    oci.Image
	claims   []policy.Claim
	policies []*policy.Bundle
	time     time.Time

	exceptions *policy.Exceptions // nil: none
}

// decide asks every bundle about the evidence.
func (e evidence) decide(ctx context.Context) (policy.Input, policy.Decision, error) {
	facts, err := imageFacts(e.image)
	if err != nil {
		return policy.Input{}, policy.Decision{}, err
	}
	in := policy.Input{SchemaVersion: policy.SchemaVersion, Time: e.time, Image: facts, Claims: e.claims}
	d, err := policy.DecideWith(ctx, e.policies, in, e.exceptions)
	return in, d, err
}

// decisionClaim makes the statement that binds a decision to everything it was made from.
func (e evidence) decisionClaim(d policy.Decision, lost []string) (attest.Statement, error) {
	doc, err := d.JSON()
	if err != nil {
		return attest.Statement{}, err
	}
	facts := attest.DecisionFacts{
		Subjects: wholeImage(e.image), Allowed: d.Allowed, Input: d.InputDigest, Time: d.Time, Document: doc, Lost: lost,
	}
	for _, b := range e.policies {
		facts.Policies = append(facts.Policies, attest.Reference{Name: namedPolicy + b.Name(), Digest: sha256of(b.Archive())})
	}
	if digest := e.exceptions.Digest(); digest != "" {
		facts.Policies = append(facts.Policies, attest.Reference{Name: namedExceptions, Digest: digest})
	}
	for _, c := range e.claims {
		facts.Policies = append(facts.Policies, attest.Reference{Name: namedClaim + c.PredicateType, Digest: c.Digest})
	}
	for _, r := range d.Rules {
		switch r.Outcome {
		case policy.OutcomePass:
			facts.Passed = append(facts.Passed, r.Bundle+"."+r.Rule)
		case policy.OutcomeWarn, policy.OutcomeExcepted:
			facts.Warned = append(facts.Warned, r.Bundle+"."+r.Rule)
		case policy.OutcomeDeny:
			facts.Failed = append(facts.Failed, r.Bundle+"."+r.Rule)
		}
	}
	return attest.Decision(facts)
}

// wholeImage names the index and every runnable manifest: the subjects of a claim about the image as a whole (R54).
func wholeImage(img oci.Image) []attest.Subject {
	out := []attest.Subject{{Name: "index", Digest: img.Digest}}
	for _, p := range img.Platforms {
		out = append(out, attest.Subject{Name: p.Platform, Digest: p.Digest})
	}
	return out
}

// seal signs every statement side by side and attaches each bundle to every part of the image that it names, and the policies to
// the index.
func seal(ctx context.Context, dir *oci.Dir, signer attest.Signer, statements []attest.Statement, e evidence) error {
	bundles := make([]attest.Bundle, len(statements))
	group, gctx := errgroup.WithContext(ctx)
	for i, st := range statements {
		group.Go(func() (err error) {
			bundles[i], err = signer.Sign(gctx, st)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, st := range statements {
		for _, part := range wholeImage(e.image) {
			if !slices.Contains(st.Subjects(), part.Digest) {
				continue
			}
			if _, err := dir.Attach(ctx, part.Digest, bundleArtifact(st.PredicateType(), bundles[i], e.time)); err != nil {
				return err
			}
		}
	}
	art := oci.Artifact{Type: typePolicy, Annotations: map[string]string{"org.opencontainers.image.created": e.time.UTC().Format(time.RFC3339)}}
	for _, b := range e.policies {
		art.Layers = append(art.Layers, oci.Layer{
			MediaType: typeLayer, Content: b.Archive(), Annotations: map[string]string{"org.opencontainers.image.title": b.Name() + ".tar.gz"},
		})
	}
	if e.exceptions != nil {
		art.Layers = append(art.Layers, exceptionsLayer(e.exceptions))
	}
	_, err := dir.Attach(ctx, e.image.Digest, art)
	return err
}

// rejection is an attached bundle that is not a claim, and why.
type rejection struct {
	Digest string `json:"digest"` // of the attached manifest
	Reason string `json:"reason"`
}

// unsealed is what verifying finds.
type unsealed struct {
	evidence
	verified []attest.Verified   // every claim that holds, each once
	places   map[string][]string // claim digest => the digests it is attached to
	judged   []attest.Verified   // those that the decision was made from
	record   record              // the newest decision among them
	input    policy.Input
	decision policy.Decision // made again from the claims; denies when the seal is broken
	rejected []rejection
}

// auditor is what verifying needs: where the image is, whom to believe, and own policies, if the recorded ones shall not decide.
type auditor struct {
	store oci.Store
	trust *attest.Trust
	own   []*policy.Bundle
	let   *policy.Exceptions // from own policies
	shelf *shelf             // of compiled policies, for who verifies many images; nil keeps none
}

// unseal is the auditor's verification, the same for a registry, a directory and a tar. Every attached bundle is verified; the
// newest verified decision says which claims were judged, when and by which policies; and the decision is made again. With
// own policies the image is held to those instead. What does not verify is no claim: it is kept in rejected and otherwise ignored.
func (a auditor) unseal(ctx context.Context, ref string) (unsealed, error) {
	var u unsealed
	var err error
	if u.image, err = a.store.Resolve(ctx, ref); err != nil {
		return u, err
	}
	if err := u.gather(ctx, a.store, a.trust); err != nil {
		return u, err
	}
	if u.record, err = newest(u.verified, u.image); err != nil {
		u.decision = broken(policy.Decision{}, u.nothing(err), nil)
		return u, nil
	}
	if whole := u.record.self.Subjects()[0]; whole != u.image.Digest && single(u.image) {
		return a.unsealWhole(ctx, whole, u.image.Digest)
	}
	u.time, u.policies, u.exceptions = u.record.time, a.own, a.let
	missing, err := u.pick()
	if err != nil {
		return u, err
	}
	if len(a.own) == 0 {
		if u.policies, err = a.recorded(ctx, u.record, u.image.Digest); err != nil {
			return u, err
		}
		if u.exceptions, err = a.recordedExceptions(ctx, u.record, u.image.Digest); err != nil {
			return u, err
		}
	}
	if u.input, u.decision, err = u.decide(ctx); err != nil {
		return u, err
	}
	for _, m := range missing {
		u.decision = broken(u.decision, fmt.Sprintf("the claim %s %s that the decision was made from is not there", strings.TrimPrefix(m.Name, namedClaim), m.Digest), u.rejected)
	}
	if len(a.own) == 0 && len(missing) == 0 {
		if err := u.compare(); err != nil {
			return u, err
		}
	}
	if !u.everywhere(u.record.self) {
		u.decision = broken(u.decision, "the decision is not attached to every part of the image", u.rejected)
	}
	return u, nil
}

// single reports whether an image is one manifest and no index.
func single(img oci.Image) bool {
	return len(img.Platforms) == 1 && img.Platforms[0].Digest == img.Digest
}

// unsealWhole verifies the image index that a single manifest is part of: decisions are made about whole images.
func (a auditor) unsealWhole(ctx context.Context, index, manifest string) (unsealed, error) {
	img, err := a.store.Resolve(ctx, index)
	if err != nil {
		return unsealed{}, fmt.Errorf("the image that %s is part of: %w", manifest, err)
	}
	if img.Digest != index || !slices.ContainsFunc(img.Platforms, func(p oci.Platform) bool { return p.Digest == manifest }) {
		return unsealed{}, fmt.Errorf("%w: the image %s does not have the manifest %s", attest.ErrUntrusted, index, manifest)
	}
	return a.unseal(ctx, index)
}

// nothing says why there is no decision to start from.
func (u *unsealed) nothing(err error) string {
	if len(u.verified) > 0 || len(u.rejected) == 0 {
		return err.Error()
	}
	return fmt.Sprintf("no verified decision: of %s attached to this image none is signed by whom you trust (the first: %s); is it the right key or identity?",
		report.Plural(len(u.rejected), "bundle"), u.rejected[0].Reason)
}

// compare holds the decision made again to the one that was signed. Only the engine's version may differ.
func (u *unsealed) compare() error {
	again := u.decision
	again.Bundles = slices.Clone(again.Bundles)
	for i := range again.Bundles {
		if i < len(u.record.decision.Bundles) {
			again.Bundles[i].Engine = u.record.decision.Bundles[i].Engine
		}
	}
	doc, err := again.JSON()
	if err != nil {
		return err
	}
	if string(doc) != string(u.record.document) {
		u.decision = broken(u.decision, "the recorded decision is not the one that these claims and policies give", nil)
	}
	return nil
}

// gather verifies every bundle attached to the index and to every runnable manifest.
func (u *unsealed) gather(ctx context.Context, store oci.Store, trust *attest.Trust) error {
	u.places = map[string][]string{}
	known := map[string]attest.Verified{} // by the digest of the bundle: one is attached to every part that it is about
	for _, subject := range wholeImage(u.image) {
		attached, err := store.Attached(ctx, subject.Digest, typeBundle)
		if err != nil {
			return err
		}
		for _, a := range attached {
			v, ok := known[bundleDigest(a)]
			if !ok || !slices.Contains(v.Subjects(), subject.Digest) {
				if v, err = verifyOne(trust, a, subject.Digest); err != nil {
					u.rejected = append(u.rejected, rejection{Digest: a.Digest, Reason: err.Error()})
					continue
				}
				known[bundleDigest(a)] = v
			}
			if len(u.places[v.Digest()]) == 0 {
				u.verified = append(u.verified, v)
			}
			u.places[v.Digest()] = append(u.places[v.Digest()], subject.Digest)
		}
	}
	slices.SortFunc(u.verified, func(a, b attest.Verified) int { return cmp.Compare(a.Digest(), b.Digest()) })
	slices.SortFunc(u.rejected, func(a, b rejection) int { return cmp.Compare(a.Digest, b.Digest) })
	return nil
}

// bundleDigest is that of the bundle in an artifact; "" when the artifact is not one bundle, and then it does not verify.
func bundleDigest(a oci.Artifact) string {
	if len(a.Layers) != 1 {
		return ""
	}
	return a.Layers[0].Digest
}

func verifyOne(trust *attest.Trust, a oci.Artifact, subject string) (attest.Verified, error) {
	if len(a.Layers) != 1 {
		return attest.Verified{}, fmt.Errorf("%d layers where a bundle has one", len(a.Layers))
	}
	return trust.Verify(a.Layers[0].Content, subject)
}

// pick turns the claims that the decision names into what rules see, and returns those that are not there.
func (u *unsealed) pick() (missing []attest.Reference, err error) {
	for _, ref := range u.record.claims {
		i := slices.IndexFunc(u.verified, func(v attest.Verified) bool { return v.Digest() == ref.Digest })
		if i < 0 || !u.everywhere(u.verified[i]) {
			missing = append(missing, ref)
			continue
		}
		c, err := claim(u.verified[i], u.verified[i].Signer())
		if err != nil {
			return nil, err
		}
		u.claims, u.judged = append(u.claims, c), append(u.judged, u.verified[i])
	}
	return missing, nil
}

// everywhere reports whether a claim is attached to each part of the image that it is about (R54).
func (u *unsealed) everywhere(v attest.Verified) bool {
	for _, part := range wholeImage(u.image) {
		if slices.Contains(v.Subjects(), part.Digest) && !slices.Contains(u.places[v.Digest()], part.Digest) {
			return false
		}
	}
	return true
}

// The rules that are not a policy's: the evidence must be whole, and the image made as a layout says. No mode lets them pass.
const (
	sealRule   = "seal"
	layoutRule = "layout"
	sealBundle = "sealyard"
)

// sealBroken reports whether a decision denies for a reason that is not a policy's.
func sealBroken(d policy.Decision) bool {
	return slices.ContainsFunc(d.Denials, func(f policy.Finding) bool {
		return (f.Rule == sealRule || f.Rule == layoutRule) && f.Bundle == sealBundle
	})
}

// broken denies because the seal does not hold, whatever the policy says.
func broken(d policy.Decision, why string, rejected []rejection) policy.Decision {
	for _, r := range rejected {
		why += fmt.Sprintf("; %s: %s", r.Digest, r.Reason)
	}
	d.Allowed, d.Levels = false, nil
	d.Denials = append(slices.Clone(d.Denials), policy.Finding{
		Rule: sealRule, Bundle: sealBundle, Title: "The evidence is not whole", Severity: policy.SeverityCritical, Message: why,
		Solution: "get the image and everything attached to it again from where it was published; if it is the same there, do not use it",
	})
	return d
}

// record is what a verified decision claim says.
type record struct {
	self     attest.Verified
	time     time.Time
	document []byte // the decision, as signed
	decision policy.Decision
	claims   []attest.Reference
	bundles  []attest.Reference

	exceptions string   // digest; "" when there were none
	lost       []string // what the run that decided did without
}

// newest returns the newest verified decision about the whole image: its index and every runnable manifest.
func newest(verified []attest.Verified, img oci.Image) (record, error) {
	var best record
	for _, v := range verified {
		if v.PredicateType() != attest.PredicateDecision || !covers(v.Subjects(), img) {
			continue
		}
		r, err := readRecord(v.Predicate())
		if err != nil {
			return record{}, fmt.Errorf("decision claim %s: %w", v.Digest(), err)
		}
		if r.outlives(best) {
			best, best.self = r, v
		}
	}
	if best.time.IsZero() {
		return record{}, errors.New("no verified decision about this image is attached to it")
	}
	return best, nil
}

// outlives reports whether r is the word that counts after another's. Of two of one second, which may be either's order, it is the denial.
func (r record) outlives(other record) bool {
	return r.time.After(other.time) || r.time.Equal(other.time) && !r.decision.Allowed
}

func covers(subjects []string, img oci.Image) bool {
	for _, s := range wholeImage(img) {
		if !slices.Contains(subjects, s.Digest) {
			return false
		}
	}
	return true
}

// readRecord reads the predicate that decisionClaim made.
func readRecord(predicate []byte) (record, error) {
	var p struct {
		Configuration []struct {
			Name   string            `json:"name"`
			Digest map[string]string `json:"digest"`
		} `json:"configuration"`
		Time     time.Time       `json:"sealyard_time"`
		Document json.RawMessage `json:"sealyard_decision"`
		Lost     []string        `json:"sealyard_lost"`
	}
	if err := json.Unmarshal(predicate, &p); err != nil {
		return record{}, err
	}
	r := record{time: p.Time, document: p.Document, lost: p.Lost}
	if err := json.Unmarshal(p.Document, &r.decision); err != nil {
		return record{}, err
	}
	for _, c := range p.Configuration {
		ref := attest.Reference{Name: c.Name, Digest: "sha256:" + c.Digest["sha256"]}
		switch {
		case strings.HasPrefix(c.Name, namedClaim):
			r.claims = append(r.claims, ref)
		case strings.HasPrefix(c.Name, namedPolicy):
			r.bundles = append(r.bundles, ref)
		case c.Name == namedExceptions:
			r.exceptions = ref.Digest
		}
	}
	if len(r.claims) == 0 || len(r.bundles) == 0 {
		return record{}, errors.New("names no claims or no policies")
	}
	return r, nil
}

// recorded finds the bundles that decided among what is attached to the index, by digest.
func (a auditor) recorded(ctx context.Context, r record, index string) ([]*policy.Bundle, error) {
	attached, err := a.store.Attached(ctx, index, typePolicy)
	if err != nil {
		return nil, err
	}
	byDigest := map[string][]byte{}
	for _, a := range attached {
		for _, l := range a.Layers {
			byDigest[l.Digest] = l.Content
		}
	}
	var out []*policy.Bundle
	for _, ref := range r.bundles {
		name := strings.TrimPrefix(ref.Name, namedPolicy)
		content, ok := byDigest[ref.Digest]
		if !ok {
			return nil, fmt.Errorf("%w: the %s bundle %s is not attached", attest.ErrUntrusted, name, ref.Digest)
		}
		b, err := a.shelf.load(ref, func() (*policy.Bundle, error) {
			return policy.LoadArchive(ctx, content, policy.LoadOptions{Name: name})
		})
		if err != nil {
			return nil, err
		}
		out = append(out, r.asLoaded(b))
	}
	return out, nil
}

// asLoaded gives a bundle the origin that the gate recorded: nothing in its archive can say that.
func (r record) asLoaded(b *policy.Bundle) *policy.Bundle {
	for _, info := range r.decision.Bundles {
		if info.Name == b.Name() && info.Digest == b.Digest() {
			return b.WithOrigin(info.Origin)
		}
	}
	return b
}
