package action

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
	"github.com/sealyard/sealyard/workload"
)

// manifests reads what will run the image, or returns nil when nothing was given.
func (s *session) manifests(ctx context.Context) (*workload.Facts, error) {
	paths, nodes := s.in.all("manifests"), s.in.one("nodes")
	if len(paths) == 0 {
		if nodes != "" {
			return nil, hint.Misuse(errors.New("nodes without manifests: there is nothing to place"), "give --manifests as well")
		}
		return nil, nil
	}
	facts, err := workload.Read(ctx, paths)
	if err != nil || nodes == "" {
		return &facts, err
	}
	on, err := workload.ReadNodes(nodes)
	if err != nil {
		return nil, err
	}
	return &facts, facts.Fit(on)
}

// tellUnjudged says on the log when manifests are recorded and none of the baseline's rules about them is asked. Rules of other bundles may
// look at them; that is not to be seen from here.
func (s *session) tellUnjudged(runs *workload.Facts, policies []*policy.Bundle) {
	if runs != nil && !judgeManifests(policies) {
		fmt.Fprintln(s.log, "   no policy has the baseline's rules about manifests: add the word baseline to policy")
	}
}

// judgeManifests reports whether one of the policies has the baseline's rules about manifests. That of an older version has none.
func judgeManifests(policies []*policy.Bundle) bool {
	return slices.ContainsFunc(policies, func(b *policy.Bundle) bool {
		return slices.ContainsFunc(b.Rules(), func(r policy.Rule) bool { return r.ID == "workload-unknown" })
	})
}

// workloadStatements makes the claim about what will run the image; nothing when nothing is known.
func workloadStatements(facts *workload.Facts, img oci.Image) ([]attest.Statement, error) {
	if facts == nil {
		return nil, nil
	}
	doc, err := facts.JSON()
	if err != nil {
		return nil, err
	}
	st, err := attest.Workloads(wholeImage(img), doc)
	return []attest.Statement{st}, err
}
