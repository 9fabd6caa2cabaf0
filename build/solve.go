package build

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/go-units"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/tonistiigi/fsutil"
)

const (
	frontendName = "dockerfile.v0"

	// compatibility pins what would otherwise change digests from one BuildKit to the next (R65).
	compatibility = 30

	// subjectName stands for the image in BuildKit's provenance, which is about nothing when the image has no name.
	subjectName = "image"
)

// build runs one engine for its platforms and reads what it exported. n keeps targets apart.
func (b *job) build(ctx context.Context, t target, n int) (outcome, error) {
	host, version := t.host, Version{}
	var child *engine
	known := b.plan.Layouts
	if host == nil {
		var err error
		child, err = startEngine(ctx, b.plan.Engine, EngineOptions{Entitlements: b.plan.Allow, InsecureRegistries: b.plan.InsecureRegistries}, b.progress)
		if err != nil {
			return outcome{}, err
		}
		defer child.stop()
		host = &Host{Address: child.address}
		known = append(blobDirs(b.plan.Engine.StateDir), known...)
	} else {
		version.Address = host.Address
	}
	store, err := openExport(filepath.Join(b.work, "export"+strconv.Itoa(n)), known)
	if err != nil {
		return outcome{}, fmt.Errorf("export: %w", err)
	}
	defer store.close()
	o, err := b.buildOn(ctx, *host, t, store)
	if err != nil && child != nil && ctx.Err() == nil {
		err = child.cause(err)
	}
	if err != nil {
		return outcome{}, err
	}
	version.BuildKit = o.version.BuildKit
	o.version = version
	return o, nil
}

func (b *job) buildOn(ctx context.Context, h Host, t target, out *exportStore) (outcome, error) {
	c, version, err := dial(ctx, h)
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = c.Close() }()
	o := outcome{version: Version{BuildKit: version}, rec: newRecorder()}
	opt, err := b.solveOpt(t, out)
	if err != nil {
		return outcome{}, err
	}
	data := b.context.data
	if b.context.url != "" {
		if data, err = b.fetchDockerfile(ctx, c, opt); hint.IsMisuse(err) {
			return outcome{}, err
		} else if err != nil {
			return outcome{}, b.keeper.explain(o.rec.explain(ctx, err, b.context, h.Address))
		}
	}
	o.file, o.reading = readDockerfile(data, b.plan, t.platforms), readMarks(data, b.plan, b.plan.Platforms)
	b.keeper.read(o.file)
	if err := o.file.checkTarget(b.plan.Target); err != nil {
		return outcome{}, err
	}
	response, err := b.solve(ctx, c, opt, o.rec, t)
	if err != nil {
		return outcome{}, b.keeper.explain(o.rec.explain(ctx, err, b.context, h.Address))
	}
	if err := out.to.writeTop(response); err != nil {
		return outcome{}, fmt.Errorf("buildkit at %q: %w", h.Address, err)
	}
	if n := out.copied.Load(); n > 4096 { // an empty layer is not worth telling
		_, _ = fmt.Fprintf(b.progress, "%s of the image were on this disk already\n", units.HumanSize(float64(n)))
	}
	if o.images, err = out.to.images(); err != nil {
		return outcome{}, fmt.Errorf("buildkit at %q: %w", h.Address, err)
	}
	return o, nil
}

// solve runs the build, shows its progress and returns what the exporter says.
func (b *job) solve(ctx context.Context, c *client.Client, opt client.SolveOpt, rec *recorder, t target) (map[string]string, error) {
	display, err := b.display(t)
	if err != nil {
		return nil, err
	}
	updates, shown := make(chan *client.SolveStatus), make(chan *client.SolveStatus)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = display.UpdateFrom(context.WithoutCancel(ctx), shown) // ends when shown is closed
	}()
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		defer close(shown)
		for s := range updates {
			rec.record(s)
			shown <- s
		}
	}()
	response, err := c.Solve(ctx, nil, opt, updates)
	<-recorded
	<-done
	if err != nil {
		return nil, err
	}
	return response.ExporterResponse, nil
}

// display is BuildKit's own. With several engines each line names the platforms it is about.
func (b *job) display(t target) (progressui.Display, error) {
	mode, out := progressui.DisplayMode(b.plan.Progress), b.progress
	if len(b.targets) > 1 {
		if mode != progressui.QuietMode {
			mode = progressui.PlainMode
		}
		out = &prefixed{w: b.progress, prefix: "[" + strings.Join(t.platforms, ",") + "] "}
	}
	d, err := progressui.NewDisplay(out, mode)
	if err != nil {
		return d, hint.Misuse(fmt.Errorf("progress %q: %w", b.plan.Progress, err), "use plain")
	}
	return d, nil
}

// prefixed puts prefix before every line and writes whole lines only.
type prefixed struct {
	w      io.Writer
	prefix string
	part   []byte
}

func (p *prefixed) Write(data []byte) (int, error) {
	p.part = append(p.part, data...)
	for {
		i := strings.IndexByte(string(p.part), '\n')
		if i < 0 {
			return len(data), nil
		}
		if _, err := io.WriteString(p.w, p.prefix+string(p.part[:i+1])); err != nil {
			return 0, err
		}
		p.part = p.part[i+1:]
	}
}

// fetchDockerfile reads the Dockerfile of a git context through the engine, which alone fetches it.
func (b *job) fetchDockerfile(ctx context.Context, c *client.Client, opt client.SolveOpt) ([]byte, error) {
	opt.Exports, opt.CacheExports, opt.CacheImports, opt.Frontend = nil, nil, nil, ""
	var data []byte
	_, err := c.Build(ctx, opt, "", func(ctx context.Context, gc gateway.Client) (*gateway.Result, error) {
		ui, err := dockerui.NewClient(gc)
		if err != nil {
			return nil, err
		}
		src, err := ui.ReadEntrypoint(ctx, "Dockerfile")
		if err != nil {
			return nil, err
		}
		data = src.Data
		return gateway.NewResult(), nil
	}, nil)
	if err != nil && strings.Contains(err.Error(), "open "+b.context.file+": no such file or directory") {
		err = noDockerfile(b.context.file + " in " + b.context.url)
	}
	return data, err
}

// solveOpt is the plan in BuildKit's words.
func (b *job) solveOpt(t target, out content.Store) (client.SolveOpt, error) {
	mounts := map[string]fsutil.FS{}
	if b.context.url == "" {
		for name, dir := range map[string]string{"context": b.context.root, "dockerfile": filepath.Join(b.work, "dockerfile")} {
			fs, err := localFS(dir, b.plan.Exclude)
			if err != nil {
				return client.SolveOpt{}, fmt.Errorf("build context: %w", err)
			}
			mounts[name] = fs
		}
	}
	opt := client.SolveOpt{
		Frontend: frontendName, FrontendAttrs: b.attrs(t), LocalMounts: mounts, CompatibilityVersion: compatibility,
		AllowedEntitlements: b.plan.Allow, CacheImports: caches(b.plan.CacheFrom, false), CacheExports: caches(b.plan.CacheTo, true),
		Exports: []client.ExportEntry{{Type: client.ExporterOCI, OutputStore: out, Attrs: b.exportAttrs(t)}},
	}
	b.contexts.add(&opt)
	b.keeper.guard(&opt)
	var err error
	opt.Session, err = b.session()
	return opt, err
}

// attrs are the options of the Dockerfile frontend.
func (b *job) attrs(t target) map[string]string {
	p := b.plan
	a := map[string]string{"filename": b.context.file, "attest:provenance": b.provenance()}
	set := func(key, value string) {
		if value != "" {
			a[key] = value
		}
	}
	set("context", b.context.url)
	set("target", p.Target)
	set("platform", strings.Join(t.platforms, ","))
	set("cgroup-parent", p.CgroupParent)
	for k, v := range p.BuildArgs {
		a["build-arg:"+k] = v
	}
	for k, v := range p.Labels {
		a["label:"+k] = v
	}
	if p.NoCache {
		a["no-cache"] = ""
	} else {
		set("no-cache", strings.Join(p.NoCacheFilters, ","))
	}
	if p.Pull {
		a["image-resolve-mode"] = "pull"
	}
	if p.Network != "default" {
		set("force-network-mode", p.Network)
	}
	if p.ShmSize > 0 {
		a["shm-size"] = strconv.FormatInt(p.ShmSize, 10)
	}
	var hosts, limits []string
	for _, h := range p.AddHosts {
		hosts = append(hosts, h.Host+"="+h.IP)
	}
	for _, u := range p.Ulimits {
		limits = append(limits, fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard))
	}
	set("add-hosts", fields(hosts...))
	set("ulimit", fields(limits...))
	return a
}

// provenance asks for BuildKit's own, SLSA v1.
func (b *job) provenance() string {
	mode := b.plan.Provenance
	if mode == "" {
		mode = "min"
	}
	parts := []string{"mode=" + mode, "version=v1"}
	if b.plan.BuilderID != "" {
		parts = append(parts, "builder-id="+b.plan.BuilderID)
	}
	return fields(parts...)
}

// fields is one line of CSV.
func fields(parts ...string) string {
	if len(parts) == 0 {
		return ""
	}
	var s strings.Builder
	w := csv.NewWriter(&s)
	_ = w.Write(parts) // a Builder takes everything
	w.Flush()
	return strings.TrimSuffix(s.String(), "\n")
}

// exportAttrs ask for an OCI layout. Annotations of manifests must be there when BuildKit computes the digests that
// its provenance is about, so only what is known before the build can be among them.
func (b *job) exportAttrs(t target) map[string]string {
	a := map[string]string{"tar": "false", "oci-mediatypes": "true", "oci-artifact": "true", "name": subjectName}
	known := map[string]string{annotationSource: b.plan.Source.URI, annotationRevision: b.plan.Source.Revision}
	if !b.plan.Source.Clean {
		delete(known, annotationRevision)
	}
	if b.plan.SourceDateEpoch != nil {
		a["rewrite-timestamp"] = "true"
		known[annotationCreated] = epochTime(*b.plan.SourceDateEpoch)
	}
	for k, v := range b.plan.annotations("manifest", "", known) {
		a["annotation-manifest."+k] = v
	}
	for _, p := range t.platforms {
		for k, v := range b.plan.annotations("manifest", p, known) {
			a["annotation-manifest["+p+"]."+k] = v
		}
	}
	return a
}

// caches are BuildKit's cache entries. A cache that cannot be written does not fail the build unless that is asked for.
func caches(in []Cache, export bool) []client.CacheOptionsEntry {
	var out []client.CacheOptionsEntry
	for _, c := range in {
		attrs := map[string]string{}
		if export && c.Type != "inline" {
			attrs["ignore-error"] = "true"
		}
		for k, v := range c.Attrs {
			attrs[k] = v
		}
		out = append(out, client.CacheOptionsEntry{Type: c.Type, Attrs: attrs})
	}
	return out
}

// session is what the engine may ask us for while it builds.
func (b *job) session() ([]session.Attachable, error) {
	credentials := &configfile.ConfigFile{}
	if b.plan.DockerConfig != "" {
		var err error
		if credentials, err = config.Load(b.plan.DockerConfig); err != nil {
			return nil, hint.Misuse(fmt.Errorf("docker config: %w", err), "mend or remove %s", filepath.Join(b.plan.DockerConfig, config.ConfigFileName))
		}
	}
	out := []session.Attachable{
		authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{AuthConfigProvider: authprovider.LoadAuthConfig(credentials)}),
		secretsprovider.FromMap(b.secrets),
	}
	if len(b.plan.SSH) == 0 {
		return out, nil
	}
	var agents []sshprovider.AgentConfig
	for _, s := range b.plan.SSH {
		for _, p := range s.Paths {
			if _, err := os.Stat(p); err != nil {
				return nil, hint.Misuse(fmt.Errorf("ssh %q: %w", s.ID, err), "check that the agent runs and the path is right")
			}
		}
		agents = append(agents, sshprovider.AgentConfig{ID: s.ID, Paths: s.Paths})
	}
	ssh, err := sshprovider.NewSSHAgentProvider(agents)
	if err != nil {
		return nil, hint.Misuse(fmt.Errorf("ssh: %w", err), "give one agent socket, or keys without passphrase")
	}
	return append(out, ssh), nil
}
