package policy

import (
	"encoding/json"
	"time"
)

// SchemaVersion is the only value of [Input.SchemaVersion] that this package understands.
const SchemaVersion = "1"

// Kinds of [Signer].
const (
	SignerKey     = "key"     // a key pair; ID is the hex SHA-256 of the public key's SPKI
	SignerKeyless = "keyless" // a short-lived certificate; ID is its SAN, Issuer the OIDC issuer
	SignerNone    = "none"    // the statement is not signed
)

// Severities of a [Finding] and a [Rule], worst first.
const (
	SeverityCritical = "critical"
	SeverityHigh     = "high"
	SeverityMedium   = "medium"
	SeverityLow      = "low"
	SeverityInfo     = "info"
)

// Input is everything a policy may look at: the facts of one image and the claims made about it. It holds no
// clock and no environment; whoever fills it says at which time the question is asked. Rules see it as the
// document [Input.JSON] writes, in which every field is present.
type Input struct {
	SchemaVersion string    `json:"schemaVersion"` // always [SchemaVersion]
	Time          time.Time `json:"time"`          // evaluation time; written in UTC, whole seconds
	Image         Image     `json:"image"`
	Claims        []Claim   `json:"claims"` // a set: order does not matter
}

// Image is what the layout or registry itself says, by digest.
type Image struct {
	Digest      string            `json:"digest"`      // of the image index, "sha256:<64 hex>"
	MediaType   string            `json:"mediaType"`   // of the image index
	Annotations map[string]string `json:"annotations"` // of the image index
	Platforms   []Platform        `json:"platforms"`   // every runnable manifest of the index; a set
}

// Platform is one runnable manifest.
type Platform struct {
	Platform    string            `json:"platform"` // "linux/amd64", "linux/arm64/v8"
	Digest      string            `json:"digest"`   // of the manifest, "sha256:<64 hex>"
	Annotations map[string]string `json:"annotations"`
	Config      Config            `json:"config"`
	Size        int64             `json:"size"`   // compressed bytes of all layers
	Layers      int               `json:"layers"` // how many
}

// Config is the part of an image configuration that rules may judge. Values of environment variables are left
// out on purpose: they may be secrets, and the input travels with the evidence.
type Config struct {
	User         string            `json:"user"`
	Entrypoint   []string          `json:"entrypoint"`
	Cmd          []string          `json:"cmd"`
	EnvNames     []string          `json:"envNames"`     // a set
	ExposedPorts []string          `json:"exposedPorts"` // "80/tcp"; a set
	Volumes      []string          `json:"volumes"`      // a set
	Labels       map[string]string `json:"labels"`
	WorkingDir   string            `json:"workingDir"`
	Healthcheck  bool              `json:"healthcheck"` // one is set and it is not NONE
	Created      string            `json:"created"`     // RFC 3339, or "" when the config has none
}

// Claim is one in-toto statement about the image, after its signature was checked (or, at the gate, before it
// is signed by Signer). SBOM predicates are given as [Trim] leaves them.
type Claim struct {
	PredicateType string          `json:"predicateType"` // the statement's predicateType, exactly
	Subjects      []string        `json:"subjects"`      // digests, "sha256:<64 hex>"; a set
	Digest        string          `json:"digest"`        // of the statement's bytes (the DSSE payload), "sha256:<64 hex>"
	Signer        Signer          `json:"signer"`
	Predicate     json.RawMessage `json:"predicate"` // a JSON object
}

// Signer says who signed a claim. It is filled from a verified signature, never from what a claim says.
type Signer struct {
	Kind   string `json:"kind"`   // [SignerKey], [SignerKeyless] or [SignerNone]
	ID     string `json:"id"`     // hex SHA-256 of the SPKI, or the certificate's SAN; "" for none
	Issuer string `json:"issuer"` // OIDC issuer; "" unless keyless
	// Workflow is the run that signed, in the issuer's words; all "" when the signer is no CI workflow.
	Workflow Workflow `json:"workflow"`
}

// Workflow is the run of a CI workflow that an issuer vouches for: claims of its token, and after that extensions of the
// certificate. What the issuer does not say is "".
type Workflow struct {
	Signer       string `json:"signer"`       // the workflow that holds the identity, https://github.com/OWNER/NAME/PATH@REF
	Runner       string `json:"runner"`       // "github-hosted" or "self-hosted"
	Repository   string `json:"repository"`   // https://github.com/OWNER/NAME that the run belongs to
	Commit       string `json:"commit"`       // of Repository, in hex
	Ref          string `json:"ref"`          // of Repository, in full
	RepositoryID string `json:"repositoryId"` // a number that a new repository of the same name does not have
	OwnerID      string `json:"ownerId"`
	Config       string `json:"config"`     // the workflow that started the run; not Signer when that is reusable
	Event        string `json:"event"`      // what started the run, such as "push"
	Run          string `json:"run"`        // URL of the run and attempt
	Visibility   string `json:"visibility"` // of Repository when it signed: "public", "private" or "internal"
}

// Decision is the answer of one or several bundles. The zero Decision denies. It is a pure function of the
// bundles and the input: [Decision.JSON] gives the same bytes for the same question, everywhere.
type Decision struct {
	Allowed     bool         `json:"allowed"`     // every bundle allows
	Time        time.Time    `json:"time"`        // Input.Time, in UTC, whole seconds
	InputDigest string       `json:"inputDigest"` // SHA-256 of Input.JSON, "sha256:<64 hex>"
	Bundles     []BundleInfo `json:"bundles"`     // in the order they were asked
	Denials     []Finding    `json:"denials"`     // sorted; empty if and only if Allowed
	Warnings    []Finding    `json:"warnings"`    // sorted
	Rules       []RuleResult `json:"rules"`       // every rule of every bundle, sorted
	Levels      []string     `json:"levels"`      // what an allowed image reaches, "SLSA_BUILD_LEVEL_2"; sorted, one for each track
	// Exceptions is the digest of the exceptions that were asked for, "" when none were; Excepted is what they let pass, sorted.
	Exceptions string     `json:"exceptions,omitzero"`
	Excepted   []Excepted `json:"excepted,omitzero"`
}

// BundleInfo says which policy answered, so that an auditor can ask the same one again.
type BundleInfo struct {
	Name     string `json:"name"`
	Revision string `json:"revision"` // the bundle manifest's revision, or ""
	Digest   string `json:"digest"`   // see [Bundle.Digest]
	Engine   string `json:"engine"`   // "opa v1.22.2"
	Allowed  bool   `json:"allowed"`  // this bundle's own answer
	Origin   Origin `json:"origin,omitzero"`
}

// Finding is one reason, for a denial or a warning. Its text may quote foreign names: neutralise before printing.
type Finding struct {
	Rule     string   `json:"rule"`     // id of the rule, unique in its bundle
	Bundle   string   `json:"bundle"`   // name of the bundle
	Title    string   `json:"title"`    // the rule's title
	Severity string   `json:"severity"` // one of the Severity constants
	Message  string   `json:"message"`  // what is wrong here, one line
	Solution string   `json:"solution"` // what to do about it
	Controls []string `json:"controls"` // what the rule is evidence for: "cis-docker-1.6.0:4.1"
	Platform string   `json:"platform"` // "" when it is about the whole image
	Subject  string   `json:"subject"`  // package URL, image reference or digest it is about; may be ""
	Location Location `json:"location"`
	// Vulnerability is the name of the one it is about, and Aliases are its other names: what exceptions go by.
	Vulnerability string   `json:"vulnerability,omitzero"`
	Aliases       []string `json:"aliases,omitzero"` // a set
}

// Location points into the source tree; the zero Location is unknown.
type Location struct {
	File string `json:"file"` // slash-separated, relative to the repository
	Line int    `json:"line"` // from 1
}

// Outcomes of a [RuleResult].
const (
	OutcomePass = "pass" // it was judged and nothing was found
	OutcomeWarn = "warn" // it gave warnings only
	OutcomeDeny = "deny" // it gave at least one denial
	OutcomeSkip = "skip" // it did not judge; Reason says why

	OutcomeExcepted = "excepted" // it found something, and exceptions let all of it pass
)

// Kinds of [OutcomeSkip].
const (
	SkipUndecidable  = "undecidable"  // what it needs to judge is not there; also when a bundle gives no kind
	SkipOff          = "off"          // a setting does not ask for it
	SkipInapplicable = "inapplicable" // there is nothing of what it judges, or another rule judges it
)

// RuleResult says how one rule came out. A rule that could not judge, or was switched off, is never a pass (R91).
type RuleResult struct {
	Rule    string `json:"rule"`
	Bundle  string `json:"bundle"`
	Outcome string `json:"outcome"` // one of the Outcome constants
	Reason  string `json:"reason"`  // only for OutcomeSkip
	// Kind is one of the Skip constants, or "" when the bundle did not say.
	Kind string `json:"kind,omitzero"`
}

// Rule describes one rule of a bundle, from its METADATA.
type Rule struct {
	ID          string   `json:"id"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Severity    string   `json:"severity"` // of its findings, unless a finding says otherwise
	Controls    []string `json:"controls"`
	Solution    string   `json:"solution"`
	Warns       bool     `json:"warns"`           // it only ever warns
	Source      bool     `json:"source,omitzero"` // it judges what a build takes in, before that is fetched
	Collections []string `json:"collections,omitzero"`
	// Waivable are the scopes of which a waiver of this rule must have at least one; without any it cannot be waived.
	Waivable []string `json:"waivable"`
	// VEX says whether a VEX document lets its findings pass: "always", when the setting of this name is true, or "" for never.
	VEX string `json:"vex,omitzero"`
}
