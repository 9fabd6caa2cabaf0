package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/moby/buildkit/util/gitutil"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Kinds of a Fetch. A scheme of BuildKit's that is not here is a kind of its own name.
const (
	FetchImage  = "image"      // from a registry
	FetchLayout = "oci-layout" // a named context from this disk
	FetchLocal  = "local"      // a directory of this machine
	FetchGit    = "git"
	FetchHTTP   = "http" // a file by http or https
)

// ErrDenied says that a source was denied, so that nothing of it was fetched and nothing was built.
var ErrDenied = errors.New("a source was denied")

const (
	maxFetches = 1000    // sources of one build; the largest known has a tenth of that
	maxFetchID = 8 << 10 // bytes of what names one

	recordFrontend = "frontend" // image.recordtype of an image that runs as frontend
)

// Fetch is one thing that BuildKit is about to take into the build. An image that is named by tag is asked about twice: by its
// tag, and by the digest that the tag stands for.
type Fetch struct {
	Kind     string // one of the Fetch constants, or another scheme of BuildKit's
	URI      string // as BuildKit writes it: docker-image://docker.io/library/debian:12
	Scheme   string // git and http: https, http, ssh, git; as it is fetched
	Host     string // registry, git or web server
	Name     string // image: registry and repository; git and http: host and path; local, oci-layout: name of the context
	Tag      string // image
	Digest   string // image: sha256:<hex> that it is named by; http: the checksum; git: the commit. "" is none
	Ref      string // git: branch, tag or commit that is asked for
	Platform string // image
	Frontend bool   // it runs as the frontend of the build, with the build's secrets and files in its hands
	Context  string // named context that it stands for; "" is none
	File     string // the Dockerfile that names it, as in Result; "" is unknown
	Line     int    // of File; 0 is unknown
}

// Answer is what becomes of a Fetch. The zero Answer denies it.
type Answer struct {
	Allow bool
	Pin   string // image: take it by this digest instead; it is then asked about once more
}

// gatekeeper answers BuildKit for one build.
type gatekeeper struct {
	ask      func(context.Context, Fetch) (Answer, error)
	contexts map[string]string // what a source is asked for as => name of its context

	path string // the Dockerfile, as in Result

	mu      sync.Mutex
	file    dockerfile
	answers map[string]Answer
	taken   map[string]bool // what may be in the provenance, by takenKey
	denied  string
	err     error // the first
}

func newGatekeeper(plan Plan, n namedContexts, path string) *gatekeeper {
	if plan.Ask == nil {
		return nil
	}
	g := &gatekeeper{ask: plan.Ask, path: path, contexts: map[string]string{}, answers: map[string]Answer{}, taken: map[string]bool{}}
	for name, source := range plan.BuildContexts {
		switch attr := n.attrs["context:"+name]; {
		case strings.HasPrefix(attr, "docker-image://"):
			key, _ := imageKey(strings.TrimPrefix(attr, "docker-image://"))
			g.contexts[key] = name
		case strings.HasPrefix(attr, "oci-layout://"):
			if named, err := reference.ParseNormalizedNamed(name); err == nil { // the frontend asks for it like this
				g.contexts["oci-layout://"+named.Name()] = name
			}
		case strings.HasPrefix(attr, "local:"):
			g.contexts["local://"+name] = name
		default:
			g.contexts[gitName(source)] = name
		}
	}
	return g
}

// guard makes BuildKit ask.
func (g *gatekeeper) guard(opt *client.SolveOpt) {
	if g != nil {
		opt.SourcePolicyProvider = policysession.NewPolicyProvider(g.check)
	}
}

// read tells the gatekeeper where in the Dockerfile things are named.
func (g *gatekeeper) read(d dockerfile) {
	if g != nil {
		g.mu.Lock()
		g.file = d
		g.mu.Unlock()
	}
}

// check answers one question. The same question gets the same answer: BuildKit asks again for each step and stage.
func (g *gatekeeper) check(ctx context.Context, req *policysession.CheckPolicyRequest) (*policysession.DecisionResponse, *gatewaypb.ResolveSourceMetaRequest, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d, err := g.decide(ctx, req.GetSource().GetSource(), req.GetPlatform())
	if err != nil && g.err == nil {
		g.err = err
	}
	return d, nil, err
}

func (g *gatekeeper) decide(ctx context.Context, op *pb.SourceOp, platform *pb.Platform) (*policysession.DecisionResponse, error) {
	f, err := parseFetch(op, platform)
	if err != nil {
		return nil, err
	}
	g.place(&f, op)
	key := fmt.Sprintf("%+v", f)
	answer, known := g.answers[key]
	if !known {
		if len(g.answers) >= maxFetches {
			return nil, fmt.Errorf("the build has more than %d sources", maxFetches)
		}
		if answer, err = g.ask(ctx, f); err != nil {
			return nil, err
		}
		g.answers[key] = answer
	}
	switch {
	case !answer.Allow:
		g.denied = f.URI
		return &policysession.DecisionResponse{Action: spb.PolicyAction_DENY}, nil
	case answer.Pin != "" && answer.Pin != f.Digest:
		return pinned(op, f, answer.Pin)
	}
	g.taken[takenKey(f)] = true
	return &policysession.DecisionResponse{Action: spb.PolicyAction_ALLOW}, nil
}

// pinned makes BuildKit take an image by digest.
func pinned(op *pb.SourceOp, f Fetch, pin string) (*policysession.DecisionResponse, error) {
	if err := digest.Digest(pin).Validate(); err != nil || f.Kind != FetchImage || f.Digest != "" {
		return nil, fmt.Errorf("source %q cannot be taken as %q: only an image that is named by tag can, by digest", f.URI, pin)
	}
	return &policysession.DecisionResponse{
		Action: spb.PolicyAction_CONVERT,
		Update: &pb.SourceOp{Identifier: op.GetIdentifier() + "@" + pin, Attrs: maps.Clone(op.GetAttrs())},
	}, nil
}

// place says which named context a source is, and where the Dockerfile names it.
func (g *gatekeeper) place(f *Fetch, op *pb.SourceOp) {
	switch f.Kind {
	case FetchImage:
		full := strings.TrimPrefix(f.URI, "docker-image://")
		if tagged, _, cut := strings.Cut(full, "@"); cut && f.Tag != "" && g.file.find(full).key == "" {
			full = tagged // BuildKit added the digest
		}
		f.Context, f.Line = g.contexts[full], g.file.find(full).line
		syntax, _ := imageKey(g.file.syntax)
		f.Frontend = f.Frontend || syntax == full // the first question about it does not say so
	case FetchLayout:
		if name, ok := g.contexts["oci-layout://"+f.Name]; ok {
			f.Name, f.Context = name, name
		}
	case FetchGit:
		f.Context = g.contexts[f.Name]
		f.Line = g.file.lineOf(func(key string) bool { return gitName(key) == f.Name })
	case FetchHTTP:
		f.Line = g.file.lineOf(func(key string) bool { return key == op.GetIdentifier() })
	case FetchLocal:
		f.Context = g.contexts[f.URI]
	}
	if f.Line > 0 {
		f.File = g.path
	}
}

// covers makes sure that everything in the provenance was asked about: an engine that did not ask would let anything in.
func (g *gatekeeper) covers(images []*image) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.err != nil:
		return g.err
	case g.denied != "":
		return fmt.Errorf("%w: %q; the engine went on all the same", ErrDenied, g.denied)
	}
	for _, m := range images {
		for _, r := range m.statement.Predicate.BuildDefinition.ResolvedDependencies {
			if !g.allowed(r) {
				return fmt.Errorf("the engine took %q into the build and did not ask whether it may", r.URI)
			}
		}
	}
	return nil
}

// explain puts the reason first that only this side knows.
func (g *gatekeeper) explain(err error) error {
	if g == nil || err == nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.err != nil:
		return fmt.Errorf("judge the sources: %w", g.err)
	case g.denied != "":
		return fmt.Errorf("%w: %q", ErrDenied, g.denied)
	}
	return err
}

// takenKey is under what a source is known that was allowed: an image by its digest, a repository by its name, a file by its URL.
func takenKey(f Fetch) string {
	switch f.Kind {
	case FetchImage, FetchLayout:
		return "image " + f.Digest
	case FetchGit:
		return "git " + f.Name
	}
	return "file " + f.URI
}

// allowed reports whether what provenance names was allowed.
func (g *gatekeeper) allowed(r resource) bool {
	if strings.HasPrefix(r.URI, "pkg:") {
		return g.taken[takenKey(Fetch{Kind: FetchImage, Digest: "sha256:" + r.Digest["sha256"]})]
	}
	if g.taken[takenKey(Fetch{Kind: FetchGit, Name: gitName(r.URI)})] {
		return true
	}
	return r.Digest["sha1"] == "" && g.taken[takenKey(Fetch{Kind: FetchHTTP, URI: r.URI})]
}

// parseFetch reads what BuildKit asks about.
func parseFetch(op *pb.SourceOp, platform *pb.Platform) (Fetch, error) {
	id := op.GetIdentifier()
	scheme, rest, ok := strings.Cut(id, "://")
	if !ok || len(id) > maxFetchID {
		return Fetch{}, fmt.Errorf("source %q of %d bytes is none that is known", id[:min(len(id), 80)], len(id))
	}
	f := Fetch{Kind: scheme, URI: id, Name: rest}
	switch scheme {
	case "docker-image":
		return f.image(rest, op, platform)
	case "oci-layout":
		f.Name, f.Digest, _ = strings.Cut(rest, "@")
	case "git":
		return f.git(op)
	case "http", "https":
		return f.http(op)
	}
	return f, nil
}

func (f Fetch) image(ref string, op *pb.SourceOp, platform *pb.Platform) (Fetch, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return Fetch{}, fmt.Errorf("source %q: %w", f.URI, err)
	}
	f.Kind, f.Host, f.Name = FetchImage, reference.Domain(named), named.Name()
	if t, ok := named.(reference.Tagged); ok {
		f.Tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		f.Digest = d.Digest().String()
	}
	f.Frontend = op.GetAttrs()[pb.AttrImageRecordType] == recordFrontend
	if platform != nil {
		f.Platform = platforms.Format(ocispecs.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant})
	}
	return f, nil
}

func (f Fetch) git(op *pb.SourceOp) (Fetch, error) {
	remote, fragment, _ := strings.Cut(f.URI, "#")
	full := op.GetAttrs()[pb.AttrFullRemoteURL]
	if full == "" {
		full = remote
	}
	u, err := gitutil.ParseURL(full)
	if err != nil || gitName(remote) != gitName(full) {
		return Fetch{}, fmt.Errorf("source %q is fetched from %q, which is not the same", f.URI, full)
	}
	f.Scheme, f.Host, f.Name = u.Scheme, u.Host, gitName(full)
	f.Ref, _, _ = strings.Cut(fragment, ":")
	if f.Digest = op.GetAttrs()[pb.AttrGitChecksum]; f.Digest == "" && isCommit(f.Ref) {
		f.Digest = f.Ref
	}
	return f, nil
}

func (f Fetch) http(op *pb.SourceOp) (Fetch, error) {
	u, err := url.Parse(f.URI)
	if err != nil || u.Host == "" {
		return Fetch{}, fmt.Errorf("source %q is no URL", f.URI)
	}
	f.Kind, f.Scheme, f.Host, f.Name = FetchHTTP, u.Scheme, u.Host, u.Host+u.EscapedPath()
	f.Digest = op.GetAttrs()[pb.AttrHTTPChecksum]
	return f, nil
}

// gitName is host and path of a git URL, in whatever form it is written; "" is none.
func gitName(remote string) string {
	remote, _, _ = strings.Cut(remote, "#")
	u, err := gitutil.ParseURL(remote)
	if err != nil {
		return ""
	}
	return u.Host + path.Join("/", u.Path)
}
