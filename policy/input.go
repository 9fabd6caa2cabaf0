package policy

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/sealyard/sealyard/internal/hint"
)

// MaxInputSize bounds the canonical input, in bytes. A thousand packages on five platforms stay below 5 MiB;
// the engine needs about twenty times the size in memory.
const MaxInputSize = 32 << 20

// inputSchema describes [Input] as JSON Schema. It is made from the Go types by a test; the compiler of rules
// gets it, so that a misspelt field is a compile error.
//
//go:embed input.schema.json
var inputSchema []byte

// JSON returns the canonical bytes of the input: every field present, members and sets sorted, times in UTC and
// whole seconds. The order in which claims and platforms were given does not show. This is the document rules
// see, and [ParseInput] reads it back.
func (in Input) JSON() ([]byte, error) {
	in.Time = in.Time.UTC().Truncate(time.Second)
	in.Image.Platforms = slices.Clone(in.Image.Platforms)
	for i := range in.Image.Platforms {
		c := &in.Image.Platforms[i].Config
		c.EnvNames, c.ExposedPorts, c.Volumes = set(c.EnvNames), set(c.ExposedPorts), set(c.Volumes)
	}
	slices.SortFunc(in.Image.Platforms, func(a, b Platform) int {
		return cmp.Or(cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.Digest, b.Digest))
	})
	in.Claims = slices.Clone(in.Claims)
	for i := range in.Claims {
		c := &in.Claims[i]
		predicate, err := canonical(c.Predicate)
		if err != nil {
			return nil, fmt.Errorf("predicate of claim %q: %w", clip(c.PredicateType), err)
		}
		if predicate[0] != '{' {
			return nil, fmt.Errorf("predicate of claim %q is not a JSON object", clip(c.PredicateType))
		}
		c.Predicate, c.Subjects = predicate, set(c.Subjects)
	}
	slices.SortFunc(in.Claims, compareClaims)
	data, err := jsonv2.Marshal(in, jsonv2.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("write policy input: %s", oneLine(err.Error()))
	}
	if len(data) > MaxInputSize {
		return nil, tooLarge(len(data))
	}
	return canonical(data)
}

func compareClaims(a, b Claim) int {
	return cmp.Or(
		cmp.Compare(a.PredicateType, b.PredicateType),
		slices.Compare(a.Subjects, b.Subjects),
		bytes.Compare(a.Predicate, b.Predicate),
		cmp.Compare(a.Digest, b.Digest),
		cmp.Compare(a.Signer.Kind, b.Signer.Kind),
		cmp.Compare(a.Signer.ID, b.Signer.ID),
		cmp.Compare(a.Signer.Issuer, b.Signer.Issuer),
		compareWorkflows(a.Signer.Workflow, b.Signer.Workflow),
	)
}

func compareWorkflows(a, b Workflow) int {
	return cmp.Or(
		cmp.Compare(a.Run, b.Run), cmp.Compare(a.Signer, b.Signer), cmp.Compare(a.Config, b.Config), cmp.Compare(a.Runner, b.Runner),
		cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.RepositoryID, b.RepositoryID), cmp.Compare(a.OwnerID, b.OwnerID),
		cmp.Compare(a.Commit, b.Commit), cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Event, b.Event), cmp.Compare(a.Visibility, b.Visibility),
	)
}

func set(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

// Digest returns the SHA-256 of [Input.JSON] as "sha256:<64 hex>".
func (in Input) Digest() (string, error) {
	data, err := in.JSON()
	if err != nil {
		return "", err
	}
	return digestOf(data), nil
}

// ParseInput reads an input document, for instance evidence/input.json. It is strict: a field that is missing,
// unknown, repeated or of another type is an error marked with hint.Misuse, for a rule could not tell it from
// an image without the fault.
func ParseInput(data []byte) (Input, error) {
	if len(data) > MaxInputSize {
		return Input{}, tooLarge(len(data))
	}
	in, err := parseInput(data)
	if err != nil {
		return Input{}, hint.Misuse(fmt.Errorf("policy input: %w", err), "give the input.json that a run of sealyard wrote beside its evidence")
	}
	return in, nil
}

func parseInput(data []byte) (Input, error) {
	data, err := canonical(data)
	if err != nil {
		return Input{}, err
	}
	s, err := parseSchema(inputSchema)
	if err != nil {
		return Input{}, err
	}
	v, err := decodeAny(data)
	if err != nil {
		return Input{}, err
	}
	if bad := s.check("", v); bad != nil {
		return Input{}, bad
	}
	var in Input
	if err := json.Unmarshal(data, &in); err != nil {
		return Input{}, errors.New(oneLine(err.Error()))
	}
	return in, nil
}

func tooLarge(size int) error {
	return fmt.Errorf("policy input has %d bytes, at most %d are judged", size, MaxInputSize)
}
