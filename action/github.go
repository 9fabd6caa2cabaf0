package action

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

// storeJobs is how many bundles are on their way to GitHub at once.
const storeJobs = 4

// storable refuses, before anything is built, what GitHub's attestation store would not take: it is for what a workflow of the
// repository signed.
func (g *gate) storable() error {
	switch {
	case !g.in.on("push-to-github") || g.event.fork():
		return nil
	case !g.in.on("push"):
		return hint.Misuse(errors.New("--push-to-github without --push"), "publish the image as well: attestations are of what others can get")
	case g.in.one("github-token") == "":
		return hint.Misuse(errors.New("--push-to-github without --github-token"), "give --github-token, in a workflow ${{ github.token }}, and the job permissions: attestations: write")
	case g.identity.Workflow.Repository == "":
		return hint.Misuse(errors.New("--push-to-github, and no workflow of a repository signs"), "sign keyless")
	}
	return nil
}

// store adds every bundle of this run to the attestations that GitHub keeps of the repository that the signer's token names.
func (g *gate) store(ctx context.Context) (string, error) {
	_, name, _ := strings.Cut(strings.TrimPrefix(g.identity.Workflow.Repository, "https://"), "/")
	to := attest.GitHubStore{API: cmp.Or(g.env.getenv("GITHUB_API_URL"), "https://api.github.com"), Repository: name, Token: g.in.one("github-token")}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(storeJobs)
	seen := map[string]bool{}
	for _, part := range wholeImage(g.image) {
		attached, err := g.dir.Attached(ctx, part.Digest, typeBundle)
		if err != nil {
			return "", err
		}
		for _, a := range attached {
			for _, l := range a.Layers {
				if !seen[l.Digest] {
					seen[l.Digest] = true
					group.Go(func() error { return to.Add(gctx, l.Content) })
				}
			}
		}
	}
	if err := group.Wait(); err != nil {
		return "", advise(err, "the image is published; only GitHub's store lacks some of its attestations")
	}
	return report.Plural(len(seen), "attestation") + " of " + name, nil
}
