package action

import (
	"context"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/workload"
)

// manifests reads what will run the image, or returns nil when nothing was given.
func (s *session) manifests(ctx context.Context) (*workload.Facts, error) {
	paths := s.in.all("manifests")
	if len(paths) == 0 {
		return nil, nil
	}
	facts, err := workload.Read(ctx, paths)
	return &facts, err
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
