package attest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/sealyard/sealyard/internal/hint"
)

// ExpectedSummary is what a verification summary must say to be relied on in place of the evidence itself.
type ExpectedSummary struct {
	Verifier string   // verifier.id. It means something only together with the Trust that verified the summary: who signs for it
	Resource string   // resourceUri
	Levels   []string // each must have been reached: of an SLSA track the same level or a higher one, any other name as it is
}

// Summarized is what a summary that holds says besides.
type Summarized struct {
	Time     time.Time `json:"timeVerified"` // zero when it does not say
	Levels   []string  `json:"verifiedLevels"`
	Policy   string    `json:"policy"`       // its URI
	Digest   string    `json:"policyDigest"` // sha256:<hex>, or empty
	Verifier string    `json:"verifier"`
	Resource string    `json:"resource"`
	Failed   bool      `json:"-"` // it is the expected verifier's word about the expected resource, and it says FAILED
}

// Validate refuses an expectation that leaves open what must have been verified, by whom and for which resource. Errors are
// marked with hint.Misuse.
func (e ExpectedSummary) Validate() error {
	switch {
	case isURI(e.Verifier) != nil:
		return hint.Misuse(fmt.Errorf("--verifier-id: %w", isURI(e.Verifier)), "name the verifier whose summaries you rely on, by the URI it gives itself")
	case isURI(e.Resource) != nil:
		return hint.Misuse(fmt.Errorf("--resource-uri: %w", isURI(e.Resource)), "name the image as its summary does, such as pkg:oci/app?repository_url=ghcr.io/acme/app")
	case slices.ContainsFunc(e.Levels, func(l string) bool { return strings.HasPrefix(l, "SLSA_SOURCE_") }):
		return hint.Misuse(errors.New("a source level is about a commit, and what is verified here is an image"), "require levels of the build track; let a policy compare the commit that provenance names")
	case len(e.Levels) == 0 || slices.Contains(e.Levels, ""):
		return hint.Misuse(errors.New("no level is expected: any summary would do"), "name one, such as SLSA_BUILD_LEVEL_1")
	}
	return nil
}

// Check relies on a verified statement as a summary, or says why not; the error then wraps ErrUntrusted. With Trust.Verify, which
// checked the signature and the subject, these are all steps that SLSA prescribes (R29): the predicate type, the verifier, the
// resource, the result and the levels.
func (e ExpectedSummary) Check(v Verified) (Summarized, error) {
	if err := e.Validate(); err != nil {
		return Summarized{}, err
	}
	if v.PredicateType() != PredicateVSA {
		return Summarized{}, fmt.Errorf("%w: a statement of type %q, not a verification summary", ErrUntrusted, v.PredicateType())
	}
	if err := checkSummary(v.Predicate()); err != nil {
		return Summarized{}, fmt.Errorf("%w: summary: %w", ErrUntrusted, err)
	}
	var p struct {
		summaryPredicate
		Time time.Time `json:"timeVerified"`
	}
	if err := jsonv2.Unmarshal(v.Predicate(), &p); err != nil {
		return Summarized{}, fmt.Errorf("%w: summary: %w", ErrUntrusted, err)
	}
	out := Summarized{Time: p.Time, Levels: p.Levels, Policy: p.Policy.URI, Verifier: p.Verifier.ID, Resource: p.Resource}
	if d := p.Policy.Digest["sha256"]; d != "" {
		out.Digest = "sha256:" + d
	}
	switch {
	case p.Verifier.ID != e.Verifier:
		return out, fmt.Errorf("%w: the summary is by verifier %q, not by %q", ErrUntrusted, p.Verifier.ID, e.Verifier)
	case p.Resource != e.Resource:
		return out, fmt.Errorf("%w: the summary is about resource %q, not about %q", ErrUntrusted, p.Resource, e.Resource)
	case p.Result != summaryPassed:
		out.Failed = true
		return out, fmt.Errorf("%w: the summary says %s", ErrUntrusted, p.Result)
	}
	for _, want := range e.Levels {
		if !slices.ContainsFunc(p.Levels, func(l string) bool { return reaches(l, want) }) {
			return out, fmt.Errorf("%w: the summary says %q, not %s", ErrUntrusted, p.Levels, want)
		}
	}
	return out, nil
}

var numberedLevel = regexp.MustCompile(`\A(SLSA_[A-Z]+_LEVEL_)([0-9])\z`)

// reaches reports whether a level is the one wanted, or a higher one of the same SLSA track.
func reaches(level, want string) bool {
	have, need := numberedLevel.FindStringSubmatch(level), numberedLevel.FindStringSubmatch(want)
	if have == nil || need == nil || have[1] != need[1] {
		return level == want
	}
	return have[2] >= need[2]
}
