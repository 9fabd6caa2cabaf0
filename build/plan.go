// Package build turns a plan into an OCI image layout on disk. It picks and starts the engine (BuildKit) and enforces
// what may enter a build. It never pushes, never signs and never reads the process environment: whatever a build needs
// from there is in its Plan.
package build

import (
	"context"
	"io"
	"time"

	"github.com/containerd/log"
)

// Plan is everything that determines one build. The fields carry the names of docker/build-push-action's inputs and
// mean what they mean there. The zero value of every field but Context and Engine.Executable (or Hosts) is a valid choice.
type Plan struct {
	Context       string            // directory, or git URL with an optional #ref:subdirectory
	File          string            // the Dockerfile; "" is Dockerfile in Context. Local contexts: a path. Git contexts: relative to the context
	Target        string            // stage to build; "" is the last one
	Platforms     []string          // as ParsePlatform gives them; none is the engine's own platform
	BuildArgs     map[string]string // refused when one looks like a secret
	BuildContexts map[string]string // name => directory, docker-image://, oci-layout://path[:tag|@digest] or git URL
	Labels        map[string]string // go into the image's configuration
	Annotations   []Annotation      // go into manifests, index and their descriptors

	Secrets     map[string][]byte // id => value, for RUN --mount=type=secret
	SecretFiles map[string]string // id => path of a file that holds the value
	SSH         []SSH             // agents and keys for RUN --mount=type=ssh

	CacheFrom      []Cache
	CacheTo        []Cache
	NoCache        bool     // take nothing from the cache
	NoCacheFilters []string // take nothing from the cache for these stages
	Pull           bool     // ask the registry again for every base image

	Network      string    // of RUN steps: "" or default, none, host (needs the entitlement network.host)
	Allow        []string  // entitlements granted to this build; none by default
	AddHosts     []AddHost // extra lines of /etc/hosts in RUN steps
	ShmSize      int64     // bytes of /dev/shm in RUN steps; 0 is the engine's default
	Ulimits      []Ulimit  // limits of RUN steps
	CgroupParent string    // cgroup that RUN steps run under

	SourceDateEpoch *int64   // seconds since 1970; set, it becomes every time stamp of the image
	BuilderID       string   // builder.id that BuildKit writes into its provenance
	Provenance      string   // detail of BuildKit's provenance: "" or min; max holds every build argument and the Dockerfile
	Exclude         []string // directories that are no part of a local context, wherever they lie: what earlier runs left
	Source          Source   // what the caller knows about a local context's origin; empty fields are looked up in its git work tree

	Hosts              []Host   // BuildKit engines to use; none starts one as a child process
	Engine             Engine   // how to start the child process
	DockerConfig       string   // directory of the docker config.json with registry credentials; "" is none
	Layouts            []string // image layouts of earlier runs: a blob that is there whole need not be sent by the engine again
	InsecureRegistries []string // host[:port] of registries that speak plain HTTP; only for the engine that is started here
	Masked             []string // values known to be secret: no build argument may hold one
	Progress           string   // auto (or ""), plain, tty or quiet

	// Ask is asked about everything that is to come into the build, before any of it is fetched. Nil lets everything in. It is
	// called from another goroutine, never twice at once, and must give the same answer to the same question.
	Ask func(context.Context, Fetch) (Answer, error)
}

// Annotation is one OCI annotation and where it goes.
type Annotation struct {
	Type     string // manifest, index, manifest-descriptor or index-descriptor
	Platform string // only for this platform's manifest or descriptor; "" is all
	Key      string
	Value    string
}

// SSH is an ssh agent forwarded into RUN --mount=type=ssh.
type SSH struct {
	ID    string   // default, unless named
	Paths []string // one agent socket, or private key files without passphrase
}

// Cache is one place to load build cache from or to store it in.
type Cache struct {
	Type  string            // registry, local, inline, gha, s3 or azblob
	Attrs map[string]string // as BuildKit documents them
}

// AddHost is one extra line of /etc/hosts.
type AddHost struct {
	Host string
	IP   string
}

// Ulimit is one resource limit of a process.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// Host is a BuildKit engine that runs somewhere already.
type Host struct {
	Platform string // the only platform built here; "" is every platform without a host of its own
	Address  string // unix://, tcp://, docker-container://, kube-pod:// or ssh://
	CA       string // tcp: file with the certificate authorities that vouch for the engine
	Cert     string // tcp: file with our certificate
	Key      string // tcp: file with our private key
	Name     string // tcp: the name in the engine's certificate; "" is the address's
}

// Engine says how to start BuildKit as a child process of this program.
type Engine struct {
	Executable string   // the program whose `engine` subcommand calls Serve: usually this one
	StateDir   string   // where the engine keeps its cache; one engine at a time, a second run waits
	Runc       string   // path of runc; "" is looked up in the PATH of Env
	TempDir    string   // where the socket goes (in a directory of its own); "" or a path of more than 60 bytes is /tmp
	Env        []string // the engine's whole environment, as KEY=value
}

// Source is where a local context comes from, as far as the client can tell. BuildKit cannot check it: a hint, not evidence (R13).
type Source struct {
	URI      string // URL of the repository, without credentials
	Revision string // commit
	Ref      string // git context: branch or tag that was asked for
	Clean    bool   // what was built is Revision and nothing else; false when nobody could tell
	Verified bool   // BuildKit fetched this commit itself (git context); false is a hint
}

// Result says what was built and from what.
type Result struct {
	Digest    string     // of the image index
	MediaType string     // of the image index
	Size      int64      // bytes of the image index
	Manifests []Manifest // one per platform, sorted by platform

	Materials    []Material // what BuildKit took into the build, sorted by URI
	Complete     Completeness
	Source       Source
	Dockerfile   string    // path of the Dockerfile, relative to the context where it lies inside it
	Reading      Reading   // what was seen in the Dockerfile
	Frontend     string    // version of the Dockerfile frontend that ran; "" when it did not say
	Syntax       string    // the image named by `# syntax=` (or BUILDKIT_SYNTAX) that ran as frontend; "" is the engine's own
	Engines      []Version // engines that took part
	Entitlements []string  // granted to the build, sorted
	Warnings     []Warning
	Started      time.Time // by the engine's clock
	Finished     time.Time
}

// Manifest is the image of one platform.
type Manifest struct {
	Platform   string
	Digest     string
	MediaType  string
	Size       int64
	Config     string // digest of the configuration
	Provenance []byte // the in-toto statement BuildKit wrote about it: exact bytes, unsigned
}

// Material is one thing that BuildKit took into the build from outside.
type Material struct {
	URI     string
	Digests map[string]string // algorithm => hex
	Line    int               // line of the Dockerfile that asks for it; 0 is unknown
	Pinned  bool              // the Dockerfile (or the plan) names it by digest or commit
}

// Completeness is BuildKit's own word on how much of the build it captured: true only when true for every platform.
type Completeness struct {
	Request              bool
	ResolvedDependencies bool
}

// Version names one engine.
type Version struct {
	Address  string // "" is the child process
	BuildKit string // v0.34.2
}

// Warning is a remark of the frontend about the Dockerfile.
type Warning struct {
	Message string
	Detail  string
	URL     string
	File    string
	Line    int // 0 is unknown
}

// Image builds plan and leaves the image as an OCI layout in dir, which must not exist or be empty. The layout holds
// one image index with the runnable manifests and nothing else: BuildKit's own provenance is in the Result. After an
// error, or when ctx ends, dir is as it was. Progress is written to progress while the build runs.
//
// Errors marked by hint.Misuse mean that the plan is wrong. A *StepError in the chain says which step failed and why.
func Image(ctx context.Context, plan Plan, dir string, progress io.Writer) (Result, error) {
	_ = log.SetLevel("error") // containerd's client code warns on stderr about file systems without fs-verity
	b, err := prepare(plan, dir, progress)
	if err != nil {
		return Result{}, err
	}
	defer b.close()
	return b.run(ctx)
}
