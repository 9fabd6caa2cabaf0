package action

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

// How exceptions travel with an image: beside the policy bundles, bound by digest in the decision.
const (
	typeExceptions  = "application/vnd.sealyard.exceptions.v1+json"
	exceptionsFile  = "exceptions.json"
	namedExceptions = "exceptions"
)

// exceptions reads what the inputs name to be let pass although a policy denies it; nil when they name nothing. Nothing that a
// proposed change brings is read (T13).
func (s *session) exceptions(ctx context.Context) (*policy.Exceptions, error) {
	names := s.in.all("waivers")
	vex, err := s.vexFiles(ctx)
	if err != nil || len(names)+len(vex) == 0 {
		return nil, err
	}
	var waivers []policy.File
	for _, name := range names {
		raw, err := s.readDeciding(name)
		if err != nil {
			return nil, fmt.Errorf("waivers: %w", err)
		}
		waivers = append(waivers, policy.File{Name: name, Data: raw})
	}
	return policy.LoadExceptions(waivers, vex)
}

// exceptionsFrom is exceptions, held to the policies that they are from.
func (s *session) exceptionsFrom(ctx context.Context, policies []*policy.Bundle) (*policy.Exceptions, error) {
	e, err := s.exceptions(ctx)
	if err != nil {
		return nil, err
	}
	return e, e.Check(policies, s.now)
}

// ownExceptions reads the exceptions of whoever verifies. Those of the gate go with the gate's policies: who asks policies of their
// own, or what is true today, says what is let pass of that.
func (s *session) ownExceptions(ctx context.Context, own []*policy.Bundle) (*policy.Exceptions, error) {
	e, err := s.exceptions(ctx)
	if err != nil || e == nil {
		return nil, err
	}
	switch {
	case len(own) > 0:
		return e.AsOf(s.now), e.Check(own, s.now)
	case s.in.one("db") == "":
		return nil, hint.Misuse(errors.New("waivers or VEX without policy: what is replayed is the recorded decision, with the exceptions recorded in it"), "name the policy that they are exceptions from, or ask with db what is true today")
	}
	return e, nil
}

// exceptionsLayer is how exceptions are attached to an image.
func exceptionsLayer(e *policy.Exceptions) oci.Layer {
	return oci.Layer{MediaType: typeExceptions, Content: e.JSON(), Annotations: map[string]string{"org.opencontainers.image.title": exceptionsFile}}
}

// recordedExceptions finds the exceptions that were asked for among what is attached to the index, by digest; nil when the decision
// names none.
func (a auditor) recordedExceptions(ctx context.Context, r record, index string) (*policy.Exceptions, error) {
	if r.exceptions == "" {
		return nil, nil
	}
	attached, err := a.store.Attached(ctx, index, typePolicy)
	if err != nil {
		return nil, err
	}
	for _, a := range attached {
		for _, l := range a.Layers {
			if l.Digest != r.exceptions {
				continue
			}
			e, err := policy.ParseExceptions(l.Content)
			if err != nil {
				return nil, fmt.Errorf("%w: %v", attest.ErrUntrusted, err)
			}
			return e, nil
		}
	}
	return nil, fmt.Errorf("%w: the exceptions %s are not attached", attest.ErrUntrusted, r.exceptions)
}

// exceptionsNotes list for a summary what was let pass, and by what (R75).
func exceptionsNotes(d policy.Decision) map[string]string {
	about := map[string][]string{}
	for _, x := range d.Excepted {
		key := x.By.Kind + ":" + x.By.ID
		text := strings.TrimSpace(x.Finding.Rule + " " + x.Finding.Vulnerability + " " + x.Finding.Subject)
		if x.By.Expires != "" {
			text += " until " + x.By.Expires
		}
		if !slices.Contains(about[key], text) {
			about[key] = append(about[key], text)
		}
	}
	notes := map[string]string{"name": exceptionsFile}
	for key, texts := range about {
		notes[key] = strings.Join(texts, "; ")
	}
	return notes
}
