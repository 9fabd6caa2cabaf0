package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
	"github.com/sealyard/sealyard/scan"
	"github.com/sealyard/sealyard/workload"
)

// gate is one run of build: everything it was given, checked, and what has been made so far.
type gate struct {
	*session
	event    event
	plan     build.Plan
	policies []*policy.Bundle
	let      *policy.Exceptions // from the policies
	db       *scan.DB
	signer   attest.Signer // nil: nobody signs
	trusted  *attest.Trust // that signer and nobody else
	tags     []string

	workloads  *workload.Facts // nil: no manifests were given
	sources    *sourceJudge    // nil: no policy has a say on them
	stage      *stage
	built      build.Result
	scanned    scan.Report
	dir        *oci.Dir
	image      oci.Image
	statements []attest.Statement
	evidence   evidence
	decision   policy.Decision
	unlogged   bool   // nothing that was signed is in a log
	sealed     string // digest of the statement that binds the decision
}

// runBuild is the whole gate, in order. Nothing leaves the machine before the last two steps.
func runBuild(ctx context.Context, env Env, in values, asAction bool) error {
	g := &gate{session: newSession(env, in, "build")}
	g.asAction = asAction
	return g.finish(g.run(ctx))
}

func (g *gate) run(ctx context.Context) error {
	if g.onGitHub() {
		if err := report.Mask(g.env.Stdout, g.secrets()); err != nil {
			return err
		}
	}
	var err error
	if g.event, err = g.session.event(); err != nil {
		return err
	}
	if g.tags, err = g.references(); err != nil {
		return err
	}
	forget, err := g.enter()
	if err != nil {
		return err
	}
	defer forget()
	if err := g.prepare(ctx); err != nil {
		return err
	}
	defer g.db.Close()
	defer g.stage.discard()
	if err := g.step(ctx, "build", g.build); err != nil {
		return err
	}
	if g.dir == nil { // stopped at a source
		err := g.stage.keep()
		if err == nil {
			g.report.Evidence = g.stage.target
		}
		return err
	}
	defer g.dir.Close()
	if err := g.step(ctx, "scan", g.scan); err != nil {
		return err
	}
	if err := g.step(ctx, "decide", g.decide); err != nil {
		return err
	}
	if g.decision.Allowed && g.signer != nil {
		if err := g.step(ctx, "sign", g.seal); err != nil {
			return err
		}
	}
	if err := g.stage.keep(); err != nil {
		return err
	}
	g.report.Evidence = g.stage.target
	if !g.decision.Allowed || g.signer == nil {
		return nil
	}
	g.report.VerifyHint = g.verifyHint(g.stage.target)
	if !g.in.on("push") {
		return nil
	}
	if err := g.step(ctx, "publish", g.publish); err != nil || !g.in.on("push-to-github") {
		return err
	}
	return g.step(ctx, "store at GitHub", g.store)
}

// enter logs in to the registry of the first tag. A job for a fork has no secrets, so it may lack the password.
func (g *gate) enter() (forget func(), err error) {
	if g.event.fork() && g.in.one("registry-password") == "" {
		return func() {}, nil
	}
	return g.login(strings.Join(g.tags[:min(1, len(g.tags))], ""))
}

// prepare reads and checks everything the run depends on, side by side, before anything is built.
func (g *gate) prepare(ctx context.Context) error {
	var err error
	if g.plan, err = g.session.plan(); err != nil {
		return err
	}
	if err := g.ownHead(g.event, g.plan); err != nil {
		return err
	}
	if g.workloads, err = g.manifests(ctx); err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		g.signer, g.identity, err = g.identified(gctx)
		return err
	})
	group.Go(func() (err error) {
		g.db, err = g.database(gctx)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	g.plan.Source = g.githubSource() // the token was not read yet when the plan was made
	if err := g.storable(); err != nil {
		return err
	}
	extra := map[string]any{}
	switch {
	case g.signer == nil && g.event.fork():
		g.lose(unsignedFork + "; nothing is published")
		extra["allowUnsigned"] = true
	case g.signer == nil:
		fmt.Fprintln(g.log, "=> nobody signs: this is a rehearsal, nothing is published (give a key, or the job permissions: id-token: write)")
		extra["allowUnsigned"] = true
	default:
		if g.trusted, err = g.trustIn(g.signer, g.identity); err != nil {
			return err
		}
	}
	if g.policies, err = g.session.policies(ctx, extra); err != nil {
		return err
	}
	if err := policy.CanDecide(g.policies); err != nil {
		return err
	}
	if g.let, err = g.exceptionsFrom(ctx, g.policies); err != nil {
		return err
	}
	if err := g.judgeSources(); err != nil {
		return err
	}
	g.stage, err = newStage(g.evidencePath("sealyard-evidence"))
	return err
}

// lose says what this run does without, and why: at once, and in its report and evidence.
func (g *gate) lose(what string) {
	fmt.Fprintf(g.log, "=> %s\n", report.Clean(what))
	g.report.Lost = append(g.report.Lost, what)
}

// identified returns the signer and who it will have signed as. Nobody signs what a fork proposes (R94, T12).
func (g *gate) identified(ctx context.Context) (attest.Signer, attest.Identity, error) {
	if g.event.fork() {
		return nil, attest.Identity{Kind: attest.KindNone}, nil
	}
	signer, err := g.session.signer(ctx)
	if err != nil || signer == nil {
		return nil, attest.Identity{Kind: attest.KindNone}, err
	}
	id, err := signer.Identity(ctx)
	return signer, id, err
}

func (g *gate) build(ctx context.Context) (string, error) {
	log, done, err := g.foreign()
	if err != nil {
		return "", err
	}
	g.built, err = build.Image(ctx, g.plan, g.stage.dir, log)
	if err := errors.Join(err, done()); errors.Is(err, build.ErrDenied) && ctx.Err() == nil {
		return g.stopped()
	} else if err != nil {
		return "", advise(err, "the output of the build, above, says why")
	}
	g.report.Dockerfile, g.inContext = g.dockerfile(), g.built.Dockerfile
	if g.dir, err = oci.OpenDir(g.stage.dir); err != nil {
		return "", err
	}
	for _, m := range g.built.Manifests {
		if err := g.stage.provenance(m.Platform, m.Provenance); err != nil {
			return "", err
		}
	}
	if len(g.built.Manifests) == 1 {
		g.imageID = g.built.Manifests[0].Config
	}
	g.image, err = g.dir.Resolve(ctx, g.built.Digest)
	return g.built.Digest, err
}

func (g *gate) scan(ctx context.Context) (string, error) {
	var err error
	g.scanned, err = scan.Layout(ctx, g.stage.dir, g.built.Digest, g.db, scan.Options{
		Time: g.env.Now(), Now: g.env.Now, Name: g.imageName(), Version: version().Version, Cache: g.scanCache(),
	})
	if err != nil {
		return "", err
	}
	g.tellUnread(g.scanned)
	judged, err := g.sources.record()
	if err != nil {
		return "", err
	}
	p, err := g.provenance(g.plan, g.built, g.image, g.policies, judged)
	if err != nil {
		return "", err
	}
	found, err := scanStatements(g.scanned, g.image)
	if err != nil {
		return "", err
	}
	g.tellUnjudged(g.workloads, g.policies)
	runs, err := workloadStatements(g.workloads, g.image)
	g.statements = slices.Concat([]attest.Statement{p}, found, runs)
	return summarize(g.scanned), err
}

func (g *gate) decide(ctx context.Context) (string, error) {
	claims, err := claimsOf(g.statements, g.identity)
	if err != nil {
		return "", err
	}
	g.evidence = evidence{image: g.image, claims: claims, policies: g.policies, exceptions: g.let, time: g.now}
	in, d, err := g.evidence.decide(ctx)
	if err != nil {
		return "", err
	}
	g.decision = d
	g.report.Decision, g.report.Decided = d, true
	g.describe(g.image, g.scanned, g.tags)
	if err := g.stage.write(g.evidence, in, d, g.scanned, g.readme()); err != nil {
		return "", err
	}
	return g.report.Verdict(), g.views(g.stage)
}

// seal signs and attaches every statement, then holds the sealed layout to the auditor's own verification: it must give the very
// decision that was made.
func (g *gate) seal(ctx context.Context) (string, error) {
	n, err := g.sign(ctx)
	if errors.Is(err, attest.ErrLog) && ctx.Err() == nil {
		n, err = g.signUnlogged(ctx, err)
	}
	if err != nil && g.identity.Kind == attest.KindKeyless {
		err = advise(err, "nothing was published; run again when every service of the signing config answers")
	}
	if err != nil {
		return "", err
	}
	if k, ok := g.signer.(*attest.Key); ok {
		err = g.stage.publicKey(k)
	} else {
		err = g.keepRoots()
	}
	if err != nil {
		return "", err
	}
	return report.Plural(n, "statement"), g.parcel().audit(ctx, g.dir, g.image.Digest)
}

// keepRoots keeps the trusted roots in the evidence that the gate checks its signatures against.
func (g *gate) keepRoots() error {
	names, err := g.rootNames()
	if err != nil {
		return err
	}
	return g.stage.trustedRoots(names)
}

// verifyHint is the line that checks what this run sealed, for pasting where this run was: with the files that were named to it.
func (g *gate) verifyHint(target string) string {
	line := g.verifyLine(target, g.in.all("trusted-root")...)
	for _, name := range []string{"plain-http", "docker-config"} {
		for _, v := range g.in.all(name) {
			line += " --" + name + " " + shellWord(v)
		}
	}
	return line
}

// verifyLine is the command that checks what this run sealed, with trusted root files or, if there are none, the kept one.
func (g *gate) verifyLine(target string, roots ...string) string {
	target = shellWord(target)
	if g.identity.Kind == attest.KindKeyless {
		line := "sealyard verify " + target
		for _, root := range roots {
			line += " --trusted-root " + shellWord(root)
		}
		line += " --certificate-identity " + shellWord(g.identity.ID) + " --certificate-oidc-issuer " + shellWord(g.identity.Issuer)
		if g.unlogged {
			line += " --degrade " + timestampOnly
		}
		return line
	}
	public := "cosign.pub"
	if name, ok := strings.CutSuffix(g.in.one("key"), ".key"); ok {
		public = name + ".pub" // where sealyard and cosign put it
	} else if remote(g.in.one("key")) || strings.HasPrefix(g.in.one("key"), inCluster) {
		public = g.in.one("key") // which gives out its public half
	}
	return "sealyard verify " + target + " --key " + shellWord(public)
}

// advise adds a hint to an error that has none.
func advise(err error, text string) error {
	if err == nil || hint.Of(err) != "" {
		return err
	}
	return hint.Wrap(err, "%s", text)
}

// dockerfile is the path of the Dockerfile as the repository has it: "" when it came with a git context, from elsewhere.
func (g *gate) dockerfile() string {
	if info, err := os.Stat(g.plan.Context); err != nil || !info.IsDir() {
		return ""
	}
	return filepath.ToSlash(cmp.Or(g.plan.File, filepath.Join(g.plan.Context, "Dockerfile")))
}

// imageName is what the image is called, without its tag.
func (g *gate) imageName() string {
	if len(g.tags) == 0 {
		return ""
	}
	ref, err := oci.ParseReference(g.tags[0])
	if err != nil {
		return ""
	}
	return ref.Repository
}
