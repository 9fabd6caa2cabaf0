package attest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	vsa "github.com/in-toto/attestation/go/predicates/vsa/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Results of a verification, and what its verifiedLevels are when it failed or judged no SLSA track (SLSA verification_summary).
const (
	summaryPassed = "PASSED"
	summaryFailed = "FAILED"
	unevaluated   = "SLSA_BUILD_LEVEL_UNEVALUATED"
	slsaVersion   = "1.2"
)

// ourLevel matches the names of SLSA's that whoever verifies a build may say; the others are for source platforms, or do not exist.
var ourLevel = regexp.MustCompile(`\ASLSA_BUILD_LEVEL_[0-3]\z`)

// Summary is what there is to say about one verification of an image. The zero Summary says FAILED.
type Summary struct {
	Subjects []Subject         // the image index and every runnable manifest
	Verifier string            // URI that stands for who verified
	Versions map[string]string // of the programs it verified with
	Time     time.Time         // of the verification
	Resource string            // URI that consumers know the image by
	Policy   Policy            // what was asked, as a whole
	Policies []Policy          // each of its bundles
	Inputs   []Reference       // every statement that was used (R27): Name is its predicate type, Digest that of the statement
	Passed   bool
	Levels   []string // what a passed image reaches; none is that no level was judged
	Passing  []string // what passed one by one; only simple results list them
}

// Policy names a policy.
type Policy struct {
	URI    string
	Digest string            // sha256:<hex>; may be empty when there is nothing to take one of
	Notes  map[string]string // what else is known of it, such as its revision and who signed it
}

func (p Policy) descriptor() (descriptor, error) {
	d := descriptor{URI: p.URI, Annotations: p.Notes}
	if err := isURI(p.URI); err != nil || p.Digest == "" {
		return d, err
	}
	var err error
	d.Digest, err = digestSet(p.Digest, "sha256")
	return d, err
}

type summaryPredicate struct {
	Verifier struct {
		ID      string            `json:"id"`
		Version map[string]string `json:"version,omitempty"`
	} `json:"verifier"`
	Time     string       `json:"timeVerified"`
	Resource string       `json:"resourceUri"`
	Policy   descriptor   `json:"policy"`
	Inputs   []descriptor `json:"inputAttestations,omitempty"`
	Result   string       `json:"verificationResult"`
	Levels   []string     `json:"verifiedLevels"`
	SLSA     string       `json:"slsaVersion"`
	Policies []descriptor `json:"sealyard_policies"`
}

// VerificationSummary makes a SLSA verification summary v1. One that failed says so in verifiedLevels too, whatever
// f.Levels are (R28); one that passed without a level of the build track says that this track was not evaluated.
func VerificationSummary(f Summary) (Statement, error) {
	policies, err := f.policies()
	if err != nil {
		return Statement{}, err
	}
	p := summaryPredicate{Time: stamp(f.Time), Resource: f.Resource, Result: summaryFailed, Levels: []string{summaryFailed}, SLSA: slsaVersion, Policies: policies}
	p.Verifier.ID, p.Verifier.Version = f.Verifier, f.Versions
	if p.Policy, err = f.Policy.descriptor(); err != nil {
		return Statement{}, fmt.Errorf("summary: policy: %w", err)
	}
	for _, r := range f.Inputs {
		d, err := r.descriptor()
		if err != nil {
			return Statement{}, fmt.Errorf("summary: input %w", err)
		}
		p.Inputs = append(p.Inputs, d)
	}
	if f.Passed {
		if i := slices.IndexFunc(f.Levels, func(l string) bool { return strings.HasPrefix(l, "SLSA_") && !ourLevel.MatchString(l) }); i >= 0 {
			return Statement{}, fmt.Errorf("summary: level %q is not ours to say", f.Levels[i])
		}
		p.Result, p.Levels = summaryPassed, slices.Clone(f.Levels)
		if !slices.ContainsFunc(p.Levels, func(l string) bool { return strings.HasPrefix(l, "SLSA_BUILD_LEVEL_") }) {
			p.Levels = append(p.Levels, unevaluated)
		}
	}
	predicate, err := marshal(p)
	if err != nil {
		return Statement{}, fmt.Errorf("summary: %w", err)
	}
	return newStatement(PredicateVSA, f.Subjects, predicate)
}

type resultPredicate struct {
	Verifier struct {
		ID       string       `json:"id"`
		Policies []descriptor `json:"policies"`
	} `json:"verifier"`
	Time       string   `json:"timeCreated"`
	Properties []string `json:"properties"`
}

// SimpleResult makes an in-toto simple verification result v0.2: the levels and whatever else passed. One that failed has no
// properties at all: what passed of a denied image is no reason to use it (R32).
func SimpleResult(f Summary) (Statement, error) {
	policies, err := f.policies()
	if err != nil {
		return Statement{}, err
	}
	p := resultPredicate{Time: stamp(f.Time), Properties: []string{}}
	p.Verifier.ID, p.Verifier.Policies = f.Verifier, policies
	if f.Passed {
		p.Properties = append(p.Properties, slices.Concat(f.Levels, f.Passing)...)
	}
	predicate, err := marshal(p)
	if err != nil {
		return Statement{}, fmt.Errorf("simple result: %w", err)
	}
	return newStatement(PredicateSVR, f.Subjects, predicate)
}

func (f Summary) policies() ([]descriptor, error) {
	if f.Time.IsZero() {
		return nil, errors.New("summary: time is missing")
	}
	out := []descriptor{}
	for _, p := range f.Policies {
		d, err := p.descriptor()
		if err != nil {
			return nil, fmt.Errorf("summary: policy: %w", err)
		}
		out = append(out, d)
	}
	return out, nil
}

// checkSummary holds a summary to what its format requires, ours before it is signed and others' when they are read (R27, R28).
func checkSummary(predicate []byte) error {
	var known vsa.VerificationSummary
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(predicate, &known); err != nil {
		return err
	}
	for what, uri := range map[string]string{"verifier.id": known.GetVerifier().GetId(), "resourceUri": known.GetResourceUri(), "policy.uri": known.GetPolicy().GetUri()} {
		if err := isURI(uri); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	for _, in := range known.GetInputAttestations() {
		if len(in.GetDigest()) == 0 {
			return errors.New("an input attestation has no digest")
		}
	}
	switch levels := known.GetVerifiedLevels(); known.GetVerificationResult() {
	case summaryFailed:
		if len(levels) != 1 || levels[0] != summaryFailed {
			return fmt.Errorf("the result is FAILED and verifiedLevels %q", levels)
		}
		return nil
	case summaryPassed:
		return checkLevels(levels)
	default:
		return fmt.Errorf("the result %q is neither PASSED nor FAILED", known.GetVerificationResult())
	}
}

// checkLevels refuses two levels of one track, and FAILED among others.
func checkLevels(levels []string) error {
	tracks := map[string]bool{}
	for _, l := range levels {
		t, _, ok := strings.Cut(l, "_LEVEL_")
		if l == "" || l == summaryFailed || ok && tracks[t] {
			return fmt.Errorf("verifiedLevels %q cannot all be true", levels)
		}
		tracks[t] = ok
	}
	return nil
}

func checkResult(predicate []byte) error {
	var p resultPredicate
	if err := json.Unmarshal(predicate, &p); err != nil {
		return err
	}
	if p.Verifier.Policies == nil || p.Properties == nil {
		return errors.New("policies and properties must be there, if only empty")
	}
	return isURI(p.Verifier.ID)
}

// maxURI bounds a URI that somebody made up: nobody compares longer ones by eye.
const maxURI = 2048

// isURI refuses what is no absolute URI: in-toto's TypeURI and ResourceURI.
func isURI(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || cmp.Or(u.Host, u.Opaque, u.Path) == "" || len(s) > maxURI || strings.ContainsAny(s, " \t\r\n") {
		return fmt.Errorf("%q is not a URI", s[:min(len(s), maxURI)])
	}
	return nil
}
