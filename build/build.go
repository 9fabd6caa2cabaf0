package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
	"golang.org/x/sync/errgroup"
)

// job is one run of Image.
type job struct {
	plan     Plan
	dir      string // where the layout goes
	work     string // directory beside it, removed at the end
	progress io.Writer
	context  buildContext
	contexts namedContexts
	keeper   *gatekeeper // nil lets everything in
	targets  []target
	secrets  map[string][]byte
}

// target is the platforms that one engine builds.
type target struct {
	host      *Host // nil is the child process
	platforms []string
}

// outcome is what one engine did.
type outcome struct {
	images  []*image
	version Version
	file    dockerfile
	reading Reading
	rec     *recorder
}

// prepare checks everything that can be checked without an engine. Nothing but the work directory is left behind.
func prepare(plan Plan, dir string, progress io.Writer) (*job, error) {
	plan, err := plan.normal()
	if err != nil {
		return nil, err
	}
	if err := checkSecrets(plan); err != nil {
		return nil, err
	}
	b := &job{plan: plan, progress: progress}
	if progress == nil {
		b.progress = io.Discard
	}
	if b.context, err = openContext(plan); err != nil {
		return nil, err
	}
	if b.targets, err = assign(plan); err != nil {
		return nil, err
	}
	if b.secrets, err = readSecrets(plan); err != nil {
		return nil, err
	}
	if b.contexts, err = openContexts(plan); err != nil {
		b.close()
		return nil, err
	}
	b.keeper = newGatekeeper(b.plan, b.contexts, b.context.path)
	if err := b.makeRoom(dir); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// makeRoom checks where the layout goes and makes the work directory beside it.
func (b *job) makeRoom(dir string) (err error) {
	if b.dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("output directory %q: %w", dir, err)
	}
	if err := checkEmpty(b.dir); err != nil {
		return err
	}
	parent := filepath.Dir(b.dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	if b.work, err = os.MkdirTemp(parent, ".sealyard-build-"); err != nil {
		return fmt.Errorf("work directory: %w", err)
	}
	return nil
}

func (b *job) close() {
	b.contexts.close()
	if b.work != "" {
		_ = os.RemoveAll(b.work)
	}
}

// checkEmpty refuses to write over anything.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 0 || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	return hint.Misuse(fmt.Errorf("output directory %q is not empty", dir), "give a directory that does not exist yet")
}

// assign gives every platform to the host that is for it.
func assign(plan Plan) ([]target, error) {
	if len(plan.Hosts) == 0 {
		return []target{{platforms: plan.Platforms}}, nil
	}
	if len(plan.Hosts) == 1 && plan.Hosts[0].Platform == "" {
		return []target{{host: &plan.Hosts[0], platforms: plan.Platforms}}, nil
	}
	if len(plan.Platforms) == 0 {
		return nil, hint.Misuse(errors.New("several buildkit hosts, but no platforms"), "name the platforms to build")
	}
	targets := make([]target, len(plan.Hosts))
	for i := range plan.Hosts {
		targets[i].host = &plan.Hosts[i]
	}
	for _, p := range plan.Platforms {
		i := slices.IndexFunc(plan.Hosts, func(h Host) bool { return h.Platform == p })
		if i < 0 {
			i = slices.IndexFunc(plan.Hosts, func(h Host) bool { return h.Platform == "" })
		}
		if i < 0 {
			return nil, hint.Misuse(fmt.Errorf("no buildkit host for platform %q", p), "add --buildkit-host %s=address", p)
		}
		targets[i].platforms = append(targets[i].platforms, p)
	}
	for _, t := range targets {
		if len(t.platforms) == 0 {
			return nil, hint.Misuse(fmt.Errorf("buildkit host %q has nothing to build", t.host.Address), "add its platform with --platform, or leave the host out")
		}
	}
	return targets, nil
}

// run builds every target side by side, merges and publishes the layout under its final name.
func (b *job) run(ctx context.Context) (Result, error) {
	if b.context.url == "" {
		if err := b.context.stage(filepath.Join(b.work, "dockerfile")); err != nil {
			return Result{}, fmt.Errorf("stage dockerfile: %w", err)
		}
		hidden, err := excluded(b.context.root, b.plan.Exclude)
		if err != nil {
			return Result{}, fmt.Errorf("build context: %w", err)
		}
		found := workTree(ctx, lookPath(b.plan.Engine.Env, "git"), b.context.root, hidden)
		b.plan.Source = b.plan.Source.or(found)
	}
	outcomes := make([]outcome, len(b.targets))
	g, gctx := errgroup.WithContext(ctx)
	for i, t := range b.targets {
		g.Go(func() error {
			var err error
			outcomes[i], err = b.build(gctx, t, i)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Result{}, err
	}
	return b.finish(ctx, outcomes)
}

// finish turns the exports into the layout and the result.
func (b *job) finish(ctx context.Context, outcomes []outcome) (Result, error) {
	r := Result{Dockerfile: b.context.path, Entitlements: slices.Sorted(slices.Values(b.plan.Allow)), Source: b.plan.Source, Complete: Completeness{true, true}}
	var images []*image
	for _, o := range outcomes {
		images = append(images, o.images...)
		r.Engines = append(r.Engines, o.version)
		r.Warnings = append(r.Warnings, warnings(o.rec, b.context)...)
	}
	if err := b.keeper.covers(images); err != nil {
		return Result{}, err
	}
	file := outcomes[0].file
	r.Reading = reading(outcomes)
	slices.SortFunc(images, func(x, y *image) int { return strings.Compare(x.platform, y.platform) })
	if err := b.checkPlatforms(images); err != nil {
		return Result{}, err
	}
	for _, m := range images {
		r.add(m)
	}
	if b.context.url != "" {
		r.Source = gitSource(b.context.url, images[0].statement)
	}
	r.Materials, r.Syntax = materials(images, file), file.syntax
	out, err := newLayout(filepath.Join(b.work, "layout"))
	if err != nil {
		return Result{}, fmt.Errorf("layout: %w", err)
	}
	for _, m := range images {
		if err := out.take(m); err != nil {
			return Result{}, fmt.Errorf("layout: %w", err)
		}
	}
	known := knownAnnotations(r, images, file.base)
	index, err := out.writeIndex(images, func(kind, platform string) map[string]string { return b.plan.annotations(kind, platform, known) })
	if err != nil {
		return Result{}, fmt.Errorf("layout: %w", err)
	}
	r.Digest, r.MediaType, r.Size = index.Digest.String(), index.MediaType, index.Size
	if err := ctx.Err(); err != nil {
		return Result{}, context.Cause(ctx)
	}
	if err := os.Remove(b.dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // it was empty
		return Result{}, fmt.Errorf("output directory: %w", err)
	}
	if err := os.Rename(out.dir, b.dir); err != nil {
		return Result{}, fmt.Errorf("layout: %w", err)
	}
	return r, nil
}

// reading is what was seen in the Dockerfile, which must be one for all engines.
func reading(outcomes []outcome) Reading {
	r := outcomes[0].reading
	for _, o := range outcomes {
		if o.reading.Digest != r.Digest {
			return Reading{Digest: r.Digest, Unread: "the engines were given different ones", Marks: []Mark{}}
		}
	}
	return r
}

// checkPlatforms makes sure that what was asked for is what came out: each platform once.
func (b *job) checkPlatforms(images []*image) error {
	var got []string
	for _, m := range images {
		got = append(got, m.platform)
	}
	want := slices.Sorted(slices.Values(b.plan.Platforms))
	if len(got) == 0 || len(slices.Compact(slices.Clone(got))) != len(got) || len(want) > 0 && !slices.Equal(want, got) {
		return fmt.Errorf("asked for platforms %q, the engine built %q", want, got)
	}
	return nil
}

// add takes over one platform's image and what its provenance says about the whole build.
func (r *Result) add(m *image) {
	r.Manifests = append(r.Manifests, Manifest{
		Platform: m.platform, Digest: m.desc.Digest.String(), MediaType: m.desc.MediaType, Size: m.desc.Size,
		Config: m.manifest.Config.Digest.String(), Provenance: m.provenance,
	})
	meta := m.statement.Predicate.RunDetails.Metadata
	r.Complete.Request = r.Complete.Request && meta.Completeness.Request
	r.Complete.ResolvedDependencies = r.Complete.ResolvedDependencies && meta.Completeness.ResolvedDependencies
	if r.Started.IsZero() || meta.StartedOn.Before(r.Started) {
		r.Started = meta.StartedOn.UTC()
	}
	if meta.FinishedOn.After(r.Finished) {
		r.Finished = meta.FinishedOn.UTC()
	}
	r.Frontend = m.statement.Predicate.BuildDefinition.InternalParameters.DockerfileVersion
}

// or fills empty fields from what was found.
func (s Source) or(found Source) Source {
	s.URI = cmp.Or(s.URI, found.URI)
	s.Revision = cmp.Or(s.Revision, found.Revision)
	s.Clean = found.Clean && s.Revision == found.Revision // what the caller says of the commit does not make it so
	return s
}

// gitSource is the commit BuildKit says it fetched.
func gitSource(url string, st statement) Source {
	c := st.Predicate.BuildDefinition.ExternalParameters.ConfigSource
	_, fragment, _ := strings.Cut(url, "#")
	ref, _, _ := strings.Cut(fragment, ":")
	uri, _, _ := strings.Cut(cmp.Or(c.URI, url), "#")
	revision := cmp.Or(c.Digest["sha1"], c.Digest["sha256"])
	return Source{URI: uri, Revision: revision, Ref: ref, Clean: revision != "", Verified: revision != ""}
}

// knownAnnotations are the standard annotations whose values follow from the build (R64).
func knownAnnotations(r Result, images []*image, base string) map[string]string {
	known := map[string]string{annotationSource: r.Source.URI, annotationRevision: r.Source.Revision}
	if !r.Source.Clean {
		delete(known, annotationRevision) // this is not what was built
	}
	known[annotationBaseName], known[annotationBaseDigest] = baseOf(base, r.Materials)
	var created time.Time
	for _, m := range images {
		if t := m.created(); t.After(created) {
			created = t
		}
	}
	if !created.IsZero() {
		known[annotationCreated] = created.Format(time.RFC3339)
	}
	return known
}
