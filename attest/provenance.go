package attest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sealyard/sealyard/internal/hint"
)

// Build is what there is to say about one build. Secret values must not be in it: it is published (R11).
type Build struct {
	Subjects     []Subject // the image index and every runnable manifest
	Mode         Mode
	Workflow     Workflow // the run, as the token says that will sign; zero without one (R8)
	BuilderID    string   // the workflow that the OIDC token names; only for ModeAction; "" is the mode's own page
	External     External
	Origin       Origin
	Frontend     string          // the image that ran as Dockerfile frontend; "" is BuildKit's own
	Sources      json.RawMessage // what policies said of each source before it was fetched, a list of docs/buildtypes; nil when none was asked
	Dockerfile   Dockerfile      // what was seen in it
	RunNetwork   string          // what RUN steps could reach: none, host (the network of the machine) or engine (an engine elsewhere decides)
	Materials    []Material      // what BuildKit took into the build
	Byproducts   []Reference     // BuildKit's own provenance, one for each platform: the name is the platform
	Complete     Completeness
	Versions     Versions
	Started      time.Time
	Finished     time.Time
	InvocationID string // URL of the run, or another unique id; may be empty
}

// External is what the user of the builder chose, complete: buildDefinition.externalParameters (R17, R21). Every
// field is always written; empty means not given.
type External struct {
	// Of a signature with a workflow's identity: repository, ref and path of the workflow that ran. Else it is empty.
	Workflow map[string]string `json:"workflow" from:"identity token"`
	// Name of the image without tag or digest.
	Image string `json:"image" from:"input tags"`
	// Where the source came from: a git URL without credentials, or empty for a directory of unknown origin.
	Source string `json:"source" from:"git context, else the local work tree"`
	// Branch or tag of the source, as a full git ref where it is known.
	Ref string `json:"ref" from:"git context, else the local work tree"`
	// Path of the Dockerfile, relative to the context where it lies inside it.
	Dockerfile string `json:"dockerfile" from:"input file"`
	// The build context: a directory inside the source, or a git URL.
	Context string `json:"context" from:"input context"`
	// Stage of the Dockerfile that was built; empty is the last.
	Target string `json:"target" from:"input target"`
	// Platforms that were built, such as linux/amd64.
	Platforms []string `json:"platforms" from:"input platforms"`
	// Build arguments, name to value. Arguments that look like secrets are refused before the build.
	BuildArgs map[string]string `json:"buildArgs" from:"input build-args"`
	// Entitlements granted to the build, such as network.host.
	Entitlements []string `json:"entitlements" from:"input allow"`
	// Network of RUN steps: empty or default, none, host.
	Network string `json:"network" from:"input network"`
	// Caches that layers could come from.
	CacheFrom []string `json:"cacheFrom" from:"input cache-from"`
	// Policy bundles that had to allow the image: objects with name and digest.sha256.
	Policy []Reference `json:"policy" from:"inputs policy and policy-data"`
	// Every other build input that was given, by its name in action.yml. Secrets and SSH agents by id only.
	Inputs map[string]string `json:"inputs" from:"all other inputs"`
}

// MarshalJSON writes a reference as an in-toto ResourceDescriptor.
func (r Reference) MarshalJSON() ([]byte, error) {
	d, err := r.descriptor()
	if err != nil {
		return nil, err
	}
	return marshal(d)
}

// Origin says which commit was built, and who says so.
type Origin struct {
	Commit   string // of External.Source; empty when it is not known
	Clean    bool   // the work tree held nothing but Commit
	Verified bool   // BuildKit fetched Commit itself; otherwise it is the client's word (R13)
}

// Material is one thing that BuildKit took into the build from outside.
type Material struct {
	URI     string            // such as pkg:docker/debian@12?platform=linux%2Famd64
	Digests map[string]string // algorithm to lower-case hex
	Line    int               // of the Dockerfile, counted from 1; 0 is unknown
	Pinned  bool              // asked for by digest or commit
}

// Dockerfile is what was seen in the Dockerfile of a build. The zero value is not written.
type Dockerfile struct {
	Digest map[string]string `json:"digest"` // algorithm to lower-case hex
	Unread string            `json:"unread"` // why it could not be read; "" is read
	Marks  []Mark            `json:"marks"`
}

// Mark is one thing in a Dockerfile that a policy may judge, as the page of the build type lists them.
type Mark struct {
	Check   string `json:"check"`
	Line    int    `json:"line"`    // counted from 1
	Subject string `json:"subject"` // a program, package, variable, user or path; never a secret
}

// Completeness is BuildKit's own word on how much of the build it captured (R12).
type Completeness struct {
	Request              bool `json:"request"`
	ResolvedDependencies bool `json:"resolvedDependencies"`
}

// Versions are those of the programs that made the image.
type Versions struct {
	Sealyard string `json:"sealyard"`
	BuildKit string `json:"buildkit"`
	Frontend string `json:"frontend,omitempty"` // of the Dockerfile frontend
}

type provenancePredicate struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	BuildType    string         `json:"buildType"`
	External     External       `json:"externalParameters"`
	Internal     map[string]any `json:"internalParameters"`
	Dependencies []descriptor   `json:"resolvedDependencies"`
}

type runDetails struct {
	Builder    builder       `json:"builder"`
	Metadata   buildMetadata `json:"metadata"`
	Byproducts []descriptor  `json:"byproducts"`
}

type builder struct {
	ID      string   `json:"id"`
	Version Versions `json:"version"`
}

type buildMetadata struct {
	InvocationID string       `json:"invocationId,omitempty"`
	StartedOn    string       `json:"startedOn"`
	FinishedOn   string       `json:"finishedOn"`
	Completeness Completeness `json:"buildkit_completeness"`
}

// Provenance makes the SLSA provenance v1 of one build, under BuildType. The page BuildType resolves to says which
// of its fields are the tenant's word.
func Provenance(b Build) (Statement, error) {
	id, err := builderID(b.Mode, b.BuilderID)
	if err != nil {
		return Statement{}, fmt.Errorf("provenance: %w", err)
	}
	if err := times(b.Started, b.Finished); err != nil {
		return Statement{}, fmt.Errorf("build: %w", err)
	}
	dependencies, err := b.dependencies()
	if err != nil {
		return Statement{}, fmt.Errorf("provenance: %w", err)
	}
	byproducts := []descriptor{}
	for _, r := range b.Byproducts {
		d, err := r.descriptor()
		if err != nil {
			return Statement{}, fmt.Errorf("provenance: byproduct %w", err)
		}
		d.Name, d.MediaType = "buildkit-provenance "+r.Name, payloadType
		byproducts = append(byproducts, d)
	}
	predicate, err := marshal(provenancePredicate{
		BuildDefinition: buildDefinition{
			BuildType: BuildType, External: b.External.filled(b.Workflow), Dependencies: dependencies, Internal: b.internal(),
		},
		RunDetails: runDetails{
			Builder: builder{ID: id, Version: b.Versions}, Byproducts: byproducts,
			Metadata: buildMetadata{
				InvocationID: cmp.Or(b.Workflow.Run, b.InvocationID), StartedOn: stamp(b.Started), FinishedOn: stamp(b.Finished), Completeness: b.Complete,
			},
		},
	})
	if err != nil {
		return Statement{}, fmt.Errorf("provenance: %w", err)
	}
	if b.Workflow != (Workflow{}) {
		if err := agree(PredicateProvenance, predicate, Identity{Kind: KindKeyless, Workflow: b.Workflow}); err != nil {
			return Statement{}, hint.Wrap(fmt.Errorf("nobody would believe it: %w", err), "a job can vouch for the ref and commit that its run is of; build another one in a run of its own")
		}
	}
	return newStatement(PredicateProvenance, b.Subjects, predicate)
}

// internal is internalParameters: what the builder chose, and what the identity token says of the run.
func (b Build) internal() map[string]any {
	m := map[string]any{"sealyard_mode": string(b.Mode), "sealyard_frontend": cmp.Or(b.Frontend, "dockerfile.v0"), "sealyard_runNetwork": b.RunNetwork}
	if w := b.Workflow; w != (Workflow{}) {
		m["sealyard_event"], m["sealyard_runner"] = w.Event, w.Runner
		m["sealyard_repositoryId"], m["sealyard_ownerId"] = w.RepositoryID, w.OwnerID
	}
	if b.Dockerfile.Digest != nil {
		m["sealyard_dockerfile"] = b.Dockerfile
	}
	if b.Sources != nil {
		m["sealyard_sources"] = b.Sources
	}
	return m
}

// filled gives every absent parameter its empty value, so that a rule may read it without asking whether it is there.
func (e External) filled(w Workflow) External {
	e.Workflow = map[string]string{}
	if w != (Workflow{}) {
		path, ref, _ := strings.Cut(strings.TrimPrefix(w.Config, w.Repository+"/"), "@")
		e.Workflow = map[string]string{"repository": w.Repository, "ref": ref, "path": path}
	}
	e.Platforms, e.Entitlements, e.CacheFrom, e.Policy = list(e.Platforms), list(e.Entitlements), list(e.CacheFrom), list(e.Policy)
	if e.BuildArgs == nil {
		e.BuildArgs = map[string]string{}
	}
	if e.Inputs == nil {
		e.Inputs = map[string]string{}
	}
	return e
}

// dependencies lists the source commit and BuildKit's materials. Annotations are present only when true, so that
// dropping one never makes a build look better (R14).
func (b Build) dependencies() ([]descriptor, error) {
	out := []descriptor{}
	if b.Origin.Commit != "" {
		if err := checkDigest("gitCommit", b.Origin.Commit); err != nil {
			return nil, fmt.Errorf("source: %w", err)
		}
		d := descriptor{URI: gitURI(b.External.Source, b.External.Ref), Digest: map[string]string{"gitCommit": b.Origin.Commit}, Annotations: map[string]string{}}
		if b.Origin.Clean {
			d.Annotations["sealyard_clean"] = "true"
		}
		if b.Origin.Verified {
			d.Annotations["sealyard_verified"] = "true"
		}
		out = append(out, d)
	}
	if run := (descriptor{URI: gitURI(b.Workflow.Repository, b.Workflow.Ref), Digest: map[string]string{"gitCommit": b.Workflow.Commit}}); b.Workflow.Commit != "" &&
		(len(out) == 0 || run.URI != "" && out[0].URI != run.URI || out[0].Digest["gitCommit"] != b.Workflow.Commit) {
		if err := checkDigest("gitCommit", b.Workflow.Commit); err != nil {
			return nil, fmt.Errorf("workflow: %w", err)
		}
		out = append(out, run)
	}
	for _, m := range b.Materials {
		for _, alg := range slices.Sorted(maps.Keys(m.Digests)) {
			if err := checkDigest(alg, m.Digests[alg]); err != nil {
				return nil, fmt.Errorf("material %q: %w", m.URI, err)
			}
		}
		d := descriptor{URI: m.URI, Digest: m.Digests, Annotations: map[string]string{}}
		if m.Line > 0 {
			d.Annotations["sealyard_dockerfileLine"] = strconv.Itoa(m.Line)
		}
		if m.Pinned {
			d.Annotations["sealyard_pinned"] = "true"
		}
		out = append(out, d)
	}
	return out, nil
}

// gitURI is the SPDX download location of a ref.
func gitURI(source, ref string) string {
	if source == "" {
		return ""
	}
	uri := "git+" + strings.TrimPrefix(source, "git+")
	if ref != "" {
		uri += "@" + ref
	}
	return uri
}

func checkProvenance(predicate []byte) error {
	var p provenance.Provenance
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(predicate, &p); err != nil {
		return err
	}
	return p.Validate()
}
