package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// Kinds of [Exception].
const (
	KindWaiver = "waiver" // a [Waiver]
	KindVEX    = "vex"    // a [VEXStatement]
)

// ownBundle is the bundle of findings that no policy makes.
const ownBundle = "sealyard"

// Exception is why a finding was let pass.
type Exception struct {
	Kind       string `json:"kind"`       // [KindWaiver] or [KindVEX]
	ID         string `json:"id"`         // of the waiver, or of the VEX document
	Reason     string `json:"reason"`     // in its own words
	Owner      string `json:"owner"`      // who is to end the need for it; the author of the VEX document
	ApprovedBy string `json:"approvedBy"` // who accepts the risk; who vouches for the VEX document
	Expires    string `json:"expires"`    // the last day on which it applies; "" of VEX, which holds until it is revised
	// Document is the digest of the VEX document, and Since when its statement was made, RFC 3339; "" of waivers.
	Document string `json:"document,omitzero"`
	Since    string `json:"since,omitzero"`
}

// Excepted is a finding that an exception let pass.
type Excepted struct {
	Finding Finding   `json:"finding"`
	Outcome string    `json:"outcome"` // what it would have been: [OutcomeDeny] or [OutcomeWarn]
	By      Exception `json:"by"`
}

// facts are what exceptions look at besides a finding.
type facts struct {
	at      time.Time
	days    int               // how far off a waiver may end
	image   string            // digest of the index
	digests map[string]string // of the manifests, by platform
	names   []string          // repositories that the image was built for
	waivers []Waiver          // those that apply
	vex     map[string][]spoken
}

// DecideWith is [DecideAll] with exceptions: findings that one of them lets pass are in Excepted instead of Denials or Warnings, and a
// bundle is asked whether it allows when only the others are left. Without exceptions it is DecideAll.
func DecideWith(ctx context.Context, bundles []*Bundle, in Input, e *Exceptions) (Decision, error) {
	if e == nil {
		return DecideAll(ctx, bundles, in)
	}
	f := &facts{at: in.Time, days: MaxWaiverDays(bundles), image: in.Image.Digest, digests: map[string]string{}, names: builtAs(in.Claims)}
	if !e.asOf.IsZero() {
		f.at = e.asOf
	}
	for _, p := range in.Image.Platforms {
		f.digests[p.Platform] = p.Digest
	}
	var warnings []Finding
	for _, w := range e.doc.Waivers {
		state := w.State(f.at, f.days)
		if state == WaiverActive || state == WaiverEnding {
			f.waivers = append(f.waivers, w)
		}
		if warning := w.warning(state, f.days); warning != nil {
			warnings = append(warnings, *warning)
		}
	}
	f.heed(e.doc.VEX)
	d, err := decideAll(ctx, bundles, in, f)
	if err != nil {
		return Decision{}, err
	}
	d.Exceptions = e.Digest()
	d.Warnings = append(d.Warnings, warnings...)
	slices.SortFunc(d.Warnings, compareFindings)
	return d, nil
}

// builtAs are the repositories that provenance says the image was built for.
func builtAs(claims []Claim) []string {
	var names []string
	for _, c := range claims {
		if c.PredicateType != typeProvenance {
			continue
		}
		var p struct {
			BuildDefinition struct {
				ExternalParameters struct {
					Image string `json:"image"`
				} `json:"externalParameters"`
			} `json:"buildDefinition"`
		}
		if json.Unmarshal(c.Predicate, &p) == nil && p.BuildDefinition.ExternalParameters.Image != "" {
			names = append(names, p.BuildDefinition.ExternalParameters.Image)
		}
	}
	return names
}

// pardon returns the first exception that lets a finding pass.
func (f *facts) pardon(b *Bundle, found Finding) (Exception, bool) {
	if f == nil {
		return Exception{}, false
	}
	for _, w := range f.waivers {
		if w.waives(b.rules[found.Rule], found, f) {
			return Exception{Kind: KindWaiver, ID: w.ID, Reason: w.Reason, Owner: w.Owner, ApprovedBy: w.ApprovedBy, Expires: w.Expires}, true
		}
	}
	return f.excuse(b, found)
}

// except takes what exceptions let pass out of a verdict. The bundle is asked again with what is left of deny: allow may need more
// than that no rule denies, and no exception gives that.
func (b *Bundle) except(ctx context.Context, v *verdict, result map[string]any, of *facts, q question) error {
	raw, _ := result[ruleDeny].([]any) // the first of denials; the others are of rules that allow knows nothing of
	left, rest := []Finding{}, []any{}
	for i, f := range v.denials {
		if by, ok := of.pardon(b, f); ok {
			v.excepted = append(v.excepted, Excepted{Finding: f, Outcome: OutcomeDeny, By: by})
			continue
		}
		left = append(left, f)
		if i < len(raw) {
			rest = append(rest, raw[i])
		}
	}
	asked := len(rest) < len(raw) && !b.partial
	v.denials = left
	v.warnings = slices.DeleteFunc(v.warnings, func(f Finding) bool {
		by, ok := of.pardon(b, f)
		if ok {
			v.excepted = append(v.excepted, Excepted{Finding: f, Outcome: OutcomeWarn, By: by})
		}
		return ok
	})
	if !asked {
		return nil
	}
	again, err := b.without(ctx, rest, q)
	if err != nil {
		return err
	}
	allow, ok := again[ruleAllow].(bool)
	if !ok {
		return fmt.Errorf("allow is %s, want a boolean", kindOf(again[ruleAllow]))
	}
	v.allowed = allow
	v.levels, err = levels(again[ruleLevels])
	return err
}

// without asks for allow and levels as they are when deny is what is given.
func (b *Bundle) without(ctx context.Context, deny []any, q question) (map[string]any, error) {
	set := ast.NewSet()
	for _, item := range deny {
		v, err := ast.InterfaceToValue(item)
		if err != nil {
			return nil, errors.New(oneLine(err.Error()))
		}
		set.Add(ast.NewTerm(v))
	}
	body, err := ast.ParseBody("result = " + b.again)
	if err != nil {
		return nil, errors.New(oneLine(err.Error()))
	}
	target := ast.NewTerm(ast.Ref{ast.DefaultRootDocument, ast.StringTerm(entryPackage), ast.StringTerm(ruleDeny)})
	body[0] = body[0].IncludeWith(target, ast.NewTerm(set))
	return b.bounded(ctx, func(ctx context.Context) (rego.ResultSet, error) {
		return rego.New(
			rego.Compiler(b.compiler), rego.Store(b.store), rego.ParsedQuery(body), rego.ParsedInput(q.input),
			rego.Time(q.now), rego.Seed(bytes.NewReader(nil)), rego.StrictBuiltinErrors(true), rego.GenerateJSON(boundedJSON),
		).Eval(ctx)
	})
}

func compareExcepted(a, b Excepted) int { return compareFindings(a.Finding, b.Finding) }
