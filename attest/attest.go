// Package attest makes, signs and verifies in-toto statements. Statements are made from plain facts, once, as exact
// bytes; signed as Sigstore bundles v0.3; and verified as a pure function of bytes. A Verified claim can be made only
// by Trust.Verify, so whoever holds one need not ask whether somebody checked it.
//
// What is not trusted: a bundle's key hint, media type and order; anything about a statement before its signature was
// checked; and the facts inside a statement, which are as good as its signer. The package reads no clock, no
// environment and no files; only Keyless uses the network.
package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Predicate types that sealyard makes (R1, R59).
const (
	PredicateProvenance = "https://slsa.dev/provenance/v1"
	PredicateSPDX       = "https://spdx.dev/Document"
	PredicateCycloneDX  = "https://cyclonedx.org/bom"
	PredicateVulns      = "https://in-toto.io/attestation/vulns/v0.2"
	PredicateDecision   = "https://in-toto.io/attestation/test-result/v0.1"
	PredicateLink       = "https://in-toto.io/attestation/link/v0.3"
	PredicateVSA        = "https://slsa.dev/verification_summary/v1"
	PredicateSVR        = "https://in-toto.io/attestation/svr/v0.2"
	PredicateWorkloads  = "https://github.com/sealyard/sealyard/blob/main/docs/predicates/workloads-v1.md"
)

// MaxBundle is the most bytes a bundle may have: Kyverno fails a whole image over a larger one (R57).
const MaxBundle = 10_000_000

// payloadType is the only DSSE payload type that every Sigstore client accepts (R43).
const payloadType = "application/vnd.in-toto+json"

const (
	maxSubjects = 1024 // sigstore-go and GitHub stop there
	maxDepth    = 128  // nesting of a JSON document; the deepest SBOM seen had 12
)

var (
	// ErrUntrusted says that a bundle proves nothing to this Trust. It is an answer, not a failure: every error of
	// Trust.Verify about a bundle wraps it.
	ErrUntrusted = errors.New("not trusted")
	// ErrMalformed is the ErrUntrusted of a bundle, envelope or statement that is not exactly of its format.
	ErrMalformed = fmt.Errorf("%w: malformed", ErrUntrusted)
	// ErrSubject is the ErrUntrusted of a well signed statement about something else.
	ErrSubject = fmt.Errorf("%w: about another digest", ErrUntrusted)
	// ErrLog says that a transparency log gave no entry for a signature. Nothing about the image is wrong then.
	ErrLog = errors.New("no log entry")
	// ErrTooLarge says that a statement's bundle would exceed MaxBundle.
	ErrTooLarge = errors.New("bundle too large")
)

// Subject is what a statement is about.
type Subject struct {
	Name   string // for people; may be empty
	Digest string // sha256:<hex> or sha512:<hex>
}

// Identity says who signed.
type Identity struct {
	Kind   string // key or keyless; none is the signer of an unsigned statement
	ID     string // key: lower-case hex sha256 of its SubjectPublicKeyInfo; keyless: the certificate's subject alternative name
	Issuer string // keyless: the OIDC issuer that vouched for ID
	// Workflow is what the issuer says of the run that signed, when ID is a CI workflow.
	Workflow Workflow
}

// Kinds of Identity.
const (
	KindKey     = "key"
	KindKeyless = "keyless"
	KindNone    = "none"
)

// claim is what a statement says and its exact bytes.
type claim struct {
	json          []byte
	digest        string
	predicateType string
	subjects      []string
	twins         map[string]string // of two digests that one subject has, either to the other
	predicate     []byte            // part of json
}

// PredicateType is the URI that says what Predicate means.
func (c claim) PredicateType() string { return c.predicateType }

// Subjects are the digests (sha256:<hex>, sha512:<hex>) that the statement is about, in its order. Digests in other
// algorithms are left out: nothing may be decided on them (R19).
func (c claim) Subjects() []string { return slices.Clone(c.subjects) }

// Twin is the digest in the other algorithm that the statement gives to the subject of this one; "" when it gives none. An artifact
// that has the one and not the other is not the subject.
func (c claim) Twin(digest string) string { return c.twins[digest] }

// Predicate is what is claimed. The bytes are shared: do not change them.
func (c claim) Predicate() json.RawMessage { return c.predicate }

// JSON is the statement as signed: these bytes and no others. They are shared: do not change them.
func (c claim) JSON() []byte { return c.json }

// Digest is sha256:<hex> of JSON.
func (c claim) Digest() string { return c.digest }

// Statement is an in-toto statement v1 that this package made. The zero Statement cannot be signed.
type Statement struct{ claim }

// Verified is a statement whose signature, signer and subject Trust.Verify found good. Only Trust.Verify makes one.
type Verified struct {
	claim
	proof
}

// proof is who signed and when.
type proof struct {
	signer Identity
	times  []time.Time
}

// Signer says whose signature was verified.
func (p proof) Signer() Identity { return p.signer }

// Times are when the signature was made, by timestamp authorities and logs that are trusted. Of a key there are none.
func (p proof) Times() []time.Time { return slices.Clone(p.times) }
