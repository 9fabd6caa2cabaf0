package attest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"
)

// maxChains is how many ways to put the links of a layout together are tried. There is one, unless an image was
// published several times.
const maxChains = 1000

// Trust is whom links are read from: the layout's functionaries, and whoever t trusts, for certificates are held to its
// roots and identities. That a link verifies does not let its signer take a step: Check holds that.
func (l *Layout) Trust(t *Trust) *Trust {
	return &Trust{keys: slices.Concat(t.keys, l.keys), roots: t.roots, who: t.who}
}

// taken is a step as some of its functionaries say it was taken: the same to the byte.
type taken struct {
	link    in_toto.Link
	signers map[string]bool
}

// Check holds an image to the layout, at a time: for every step there must be links by as many of its functionaries as
// its threshold, which say the same, and the rules must hold over one choice of them. Links are all link statements
// about the image that verified, in any order; a functionary may have signed several of one step, when the image was
// published more than once. Errors wrap ErrUntrusted. Warnings name commands that are not those the layout expects
// (R40).
func (l *Layout) Check(links []Verified, now time.Time) (warnings []string, err error) {
	if now.After(l.expires) {
		return nil, fmt.Errorf("%w: the layout expired on %s", ErrUntrusted, stamp(l.expires))
	}
	choices := make([][]taken, len(l.steps))
	for i, s := range l.steps {
		if choices[i], err = s.taken(links); err != nil {
			return nil, fmt.Errorf("%w: step %q: %w", ErrUntrusted, s.Name, err)
		}
	}
	chain, err := l.follow(choices)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	for i, t := range chain {
		if want := l.steps[i].ExpectedCommand; len(want) > 0 && !slices.Equal(want, t.link.Command) {
			warnings = append(warnings, fmt.Sprintf("step %q ran %q, and the layout expects %q", t.link.Name, t.link.Command, want))
		}
	}
	return warnings, nil
}

// taken groups the links of a step by what they say, and keeps those that enough functionaries signed.
func (s step) taken(links []Verified) ([]taken, error) {
	var all, enough []taken
	var others []string // why links of this step do not count
	for _, v := range links {
		if v.predicateType != PredicateLink {
			continue
		}
		l, err := toLink(v.claim)
		switch {
		case err != nil:
			others = append(others, fmt.Sprintf("the link %s is malformed: %v", v.digest, err))
			continue
		case l.Name != s.Name:
			continue
		case !s.lets(v.signer):
			others = append(others, fmt.Sprintf("%q signed a link and is none of them", v.signer.ID))
			continue
		}
		i := slices.IndexFunc(all, func(t taken) bool {
			return reflect.DeepEqual(t.link.Materials, l.Materials) && reflect.DeepEqual(t.link.Products, l.Products)
		})
		if i < 0 {
			i, all = len(all), append(all, taken{l, map[string]bool{}})
		}
		all[i].signers[v.signer.ID] = true // as lets knows them: one name under two issuers is one functionary
	}
	most := 0
	for _, t := range all {
		most = max(most, len(t.signers))
		if len(t.signers) >= s.Threshold {
			enough = append(enough, t)
		}
	}
	if len(enough) == 0 {
		others = append([]string{fmt.Sprintf("%d of its functionaries signed a link, and %d must", most, s.Threshold)}, others...)
		return nil, errors.New(strings.Join(others[:min(len(others), 4)], "; "))
	}
	return enough, nil
}

// lets reports whether somebody may take the step.
func (s step) lets(who Identity) bool {
	return who.Kind == KindKey && s.keys[who.ID] || who.Kind == KindKeyless && s.subjects[who.ID]
}

// follow tries every choice of one link for each step until the rules hold.
func (l *Layout) follow(choices [][]taken) ([]taken, error) {
	at := make([]int, len(choices))
	var first error
	for range maxChains {
		chain := make([]taken, len(choices))
		for i, c := range choices {
			chain[i] = c[at[i]]
		}
		err := l.holds(chain)
		if err == nil {
			return chain, nil
		}
		if first == nil {
			first = err
		}
		if !next(at, choices) {
			return nil, first
		}
	}
	return nil, fmt.Errorf("none of %d ways to put its links together: %w", maxChains, first)
}

// next counts on, and reports false at the end.
func next(at []int, choices [][]taken) bool {
	for i := range at {
		if at[i]++; at[i] < len(choices[i]) {
			return true
		}
		at[i] = 0
	}
	return false
}

// holds lets in-toto apply the rules of every step to one chain of links.
func (l *Layout) holds(chain []taken) error {
	layout, all := in_toto.Layout{}, map[string]map[string]in_toto.Metadata{}
	for i, t := range chain {
		layout.Steps = append(layout.Steps, l.steps[i].Step)
		all[t.link.Name] = map[string]in_toto.Metadata{}
		for who := range t.signers {
			all[t.link.Name][who] = &in_toto.Metablock{Signed: t.link}
		}
	}
	reduced, err := in_toto.ReduceStepsMetadata(layout, all)
	if err != nil {
		return err
	}
	for _, s := range layout.Steps {
		if err := in_toto.VerifyArtifacts([]any{s}, reduced); err != nil {
			return fmt.Errorf("step %q: %w", s.Name, oneLine{err})
		}
	}
	return nil
}
