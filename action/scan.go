package action

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
	"github.com/sealyard/sealyard/scan"
	"github.com/sealyard/sealyard/workload"
)

// inspector is one run of scan.
type inspector struct {
	*session
	target    string
	policies  []*policy.Bundle
	let       *policy.Exceptions // from the policies
	db        *scan.DB
	workloads *workload.Facts // nil: no manifests were given
	stage     *stage
	image     oci.Image
	scanned   scan.Report
}

// runScan lists what is in an image that exists already and lets the policy decide on it. Nothing is signed or published.
func runScan(ctx context.Context, env Env, in values, target string) error {
	i := &inspector{session: newSession(env, in, "scan"), target: target}
	return i.finish(i.run(ctx))
}

func (i *inspector) run(ctx context.Context) error {
	if err := i.prepare(ctx); err != nil {
		return err
	}
	defer i.db.Close()
	defer i.stage.discard()
	if err := i.step(ctx, "fetch", i.fetch); err != nil {
		return err
	}
	if err := i.step(ctx, "scan", i.scan); err != nil {
		return err
	}
	if err := i.step(ctx, "decide", i.decide); err != nil {
		return err
	}
	if err := i.stage.keep(); err != nil {
		return err
	}
	i.report.Evidence = i.stage.target
	return nil
}

// prepare opens the database and the policies. Nobody signed what a scan finds, and it cannot know how the image was built.
func (i *inspector) prepare(ctx context.Context) error {
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		i.policies, err = i.session.policies(gctx, map[string]any{"allowUnsigned": true, "requiredEvidence": []string{"sbom", "vulns"}})
		return err
	})
	group.Go(func() (err error) {
		i.db, err = i.database(gctx)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	var err error
	if i.workloads, err = i.manifests(ctx); err != nil {
		return err
	}
	if i.let, err = i.exceptionsFrom(ctx, i.policies); err != nil {
		return err
	}
	i.stage, err = newStage(i.evidencePath("sealyard-scan"))
	return err
}

func (i *inspector) fetch(ctx context.Context) (string, error) {
	store, done, err := i.open(ctx, i.target)
	if err != nil {
		return "", err
	}
	defer done()
	i.image, err = oci.Fetch(ctx, store, "", i.stage.dir, typeBundle)
	return i.image.Digest, err
}

func (i *inspector) scan(ctx context.Context) (string, error) {
	var err error
	i.scanned, err = scan.Layout(ctx, i.stage.dir, i.image.Index, i.db, scan.Options{
		Time: i.env.Now(), Now: i.env.Now, Name: filepath.Base(i.target), Version: version().Version, Cache: i.scanCache(),
	})
	i.tellUnread(i.scanned)
	return summarize(i.scanned), err
}

func (i *inspector) decide(ctx context.Context) (string, error) {
	dir, err := oci.OpenDir(i.stage.dir)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	img, err := dir.Resolve(ctx, i.image.Index)
	if err != nil {
		return "", err
	}
	statements, err := scanStatements(i.scanned, img)
	if err != nil {
		return "", err
	}
	i.tellUnjudged(i.workloads, i.policies)
	runs, err := workloadStatements(i.workloads, img)
	if err != nil {
		return "", err
	}
	claims, err := claimsOf(append(statements, runs...), attest.Identity{Kind: attest.KindNone})
	if err != nil {
		return "", err
	}
	e := evidence{image: img, claims: claims, policies: i.policies, exceptions: i.let, time: i.now}
	in, d, err := e.decide(ctx)
	if err != nil {
		return "", err
	}
	i.report.Decision, i.report.Decided = d, true
	i.describe(img, i.scanned, []string{i.target})
	if err := i.stage.write(e, in, d, i.scanned, scannedReadme); err != nil {
		return "", fmt.Errorf("evidence: %w", err)
	}
	return i.report.Verdict(), i.views(i.stage)
}
