package action

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/hint"
)

// plan turns the inputs into what build.Image takes. Every mistake in them is found here, before anything starts.
func (s *session) plan() (build.Plan, error) {
	in := s.in
	p := build.Plan{
		Context: in.one("context"), File: in.one("file"), Target: in.one("target"),
		NoCache: in.on("no-cache"), NoCacheFilters: in.all("no-cache-filters"), Pull: in.on("pull"),
		CgroupParent: in.one("cgroup-parent"), Progress: in.one("progress"), InsecureRegistries: in.all("plain-http"),
		Provenance: strings.TrimPrefix(in.one("provenance"), "mode="), DockerConfig: s.dockerConfig(),
		BuilderID: attest.BuilderID(s.mode()), Masked: s.secrets(), Source: s.githubSource(), Exclude: s.ours(),
		Layouts: []string{s.evidencePath("sealyard-evidence")},
	}
	var first error
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	p.Platforms = parseAll(in, "platforms", build.ParsePlatform, keep)
	p.Annotations = slices.Concat(parseAll(in, "annotations", build.ParseAnnotation, keep)...)
	p.CacheFrom = parseAll(in, "cache-from", s.cache, keep)
	p.CacheTo = parseAll(in, "cache-to", s.cache, keep)
	p.AddHosts = parseAll(in, "add-hosts", build.ParseAddHost, keep)
	p.Ulimits = parseAll(in, "ulimit", build.ParseUlimit, keep)
	p.Allow = parseAll(in, "allow", build.ParseEntitlement, keep)
	p.SSH = parseAll(in, "ssh", s.ssh, keep)
	p.Hosts = parseAll(in, "buildkit-host", s.host, keep)
	p.ShmSize = parseOne(in, "shm-size", build.ParseShmSize, keep)
	p.Network = parseOne(in, "network", build.ParseNetwork, keep)
	p.BuildArgs = s.buildArgs(keep)
	p.BuildContexts = pairs(in, "build-contexts", build.ParseBuildContext, keep)
	p.Labels = pairs(in, "labels", named("label"), keep)
	p.SecretFiles = pairs(in, "secret-files", named("secret file"), keep)
	p.Secrets = s.buildSecrets(keep)
	p.SourceDateEpoch = s.epoch(keep)
	if first != nil {
		return build.Plan{}, first
	}
	var err error
	p.Engine, err = s.engine()
	return p, err
}

// ours lists what lies about for this tool and must not get into an image: evidence of earlier runs and the signing key.
func (s *session) ours() []string {
	out := []string{s.evidencePath("sealyard-evidence"), "sealyard-scan"}
	for _, name := range []string{"key", "key-password-file", "identity-token"} {
		if v := s.in.one(name); v != "" && !strings.Contains(v, ":") && !attest.IsToken(v) {
			out = append(out, v)
		}
	}
	return out
}

// parseOne reads the value of an input with one of build's parsers; none gives the zero value.
func parseOne[T any](in values, name string, parse func(string) (T, error), keep func(error)) T {
	all := parseAll(in, name, parse, keep)
	if len(all) == 0 {
		var zero T
		return zero
	}
	return all[0]
}

// parseAll reads every value of an input with one of build's parsers.
func parseAll[T any](in values, name string, parse func(string) (T, error), keep func(error)) []T {
	var out []T
	for _, v := range in.all(name) {
		t, err := parse(v)
		if err != nil {
			keep(fmt.Errorf("%s: %w", flagOf(name), err))
			continue
		}
		out = append(out, t)
	}
	return out
}

// pairs reads every value of an input as a name and what it stands for.
func pairs(in values, name string, parse func(string) (string, string, error), keep func(error)) map[string]string {
	out := map[string]string{}
	for _, v := range in.all(name) {
		k, val, err := parse(v)
		if err != nil {
			keep(fmt.Errorf("%s: %w", flagOf(name), err))
			continue
		}
		out[k] = val
	}
	return out
}

func named(what string) func(string) (string, string, error) {
	return func(v string) (string, string, error) { return build.ParsePair(what, v) }
}

var dockerForm = regexp.MustCompile(`,(id|env|src|source)=`)

// secretPair reads ID=value. Docker's own id=ID,env=NAME and id=ID,src=FILE would make a secret that is called id: they are refused.
func secretPair(v string) (string, string, error) {
	id, value, err := build.ParsePair("secret", v)
	if err == nil && (id == "id" || id == "type") && dockerForm.MatchString(value) {
		err = hint.Misuse(fmt.Errorf("a secret named %q", id), "write --secret-env ID=NAME, --secret-file ID=PATH, or --secret ID=value")
	}
	return id, value, err
}

func (s *session) cache(v string) (build.Cache, error) { return build.ParseCache(v, s.env.lookup) }

func (s *session) ssh(v string) (build.SSH, error) {
	return build.ParseSSH(v, s.env.getenv("SSH_AUTH_SOCK"))
}

func (s *session) host(v string) (build.Host, error) {
	h, err := build.ParseHost(v)
	if dir := s.in.one("buildkit-tls-dir"); err == nil && dir != "" {
		h.CA, h.Cert, h.Key = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	}
	return h, err
}

func (s *session) buildArgs(keep func(error)) map[string]string {
	out := map[string]string{}
	for _, v := range s.in.all("build-args") {
		name, val, ok, err := build.ParseBuildArg(v, s.env.lookup)
		if err != nil {
			keep(fmt.Errorf("--build-arg: %w", err))
		}
		if ok {
			out[name] = val
		}
	}
	return out
}

// buildSecrets gathers what RUN --mount=type=secret may see. Values are never logged and never reach provenance (R11).
func (s *session) buildSecrets(keep func(error)) map[string][]byte {
	out := map[string][]byte{}
	for id, v := range pairs(s.in, "secrets", secretPair, keep) {
		out[id] = []byte(v)
	}
	for id, name := range pairs(s.in, "secret-envs", named("secret environment variable"), keep) {
		v, ok := s.env.lookup(name)
		if !ok {
			keep(hint.Misuse(fmt.Errorf("secret %q: the environment variable %q is not set", id, name), "set %s in the step's env", name))
		}
		out[id] = []byte(v)
	}
	if t := s.in.one("github-token"); t != "" && out["GIT_AUTH_TOKEN"] == nil {
		out["GIT_AUTH_TOKEN"] = []byte(t)
	}
	return out
}

// secrets lists every value that nothing may print and no build argument may hold. Files of secrets are read once.
func (s *session) secrets() []string {
	if s.hidden != nil {
		return s.hidden
	}
	out := append([]string{s.env.getenv(keyPassword), s.env.getenv(tokenPIN)}, s.tokens()...)
	for _, in := range inputs() {
		for _, v := range s.in.all(in.name) {
			switch _, rest, _ := strings.Cut(v, "="); {
			case in.name == "secrets":
				out = append(out, rest)
			case in.name == "secret-envs":
				out = append(out, s.env.getenv(rest))
			case in.name == "secret-files":
				out = append(out, contentOf(rest))
			case in.name == "key-password-file":
				out = append(out, contentOf(v))
			case in.secret && in.name != "identity-token": // which may be the name of a file
				out = append(out, v)
			}
		}
	}
	slices.Sort(out)
	s.hidden = append([]string{}, slices.DeleteFunc(slices.Compact(out), func(v string) bool { return v == "" })...)
	return s.hidden
}

// contentOf is what a file holds to hide it; when it cannot be read, whoever needs it says so.
func contentOf(file string) string {
	raw, err := readFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

func (s *session) epoch(keep func(error)) *int64 {
	v := cmp.Or(s.in.one("source-date-epoch"), s.env.getenv("SOURCE_DATE_EPOCH"))
	if v == "" {
		return nil
	}
	n, err := build.ParseEpoch(v)
	keep(err)
	return &n
}

// githubSource is what GitHub says about the checkout: in the token, else in the environment (R8). BuildKit cannot check it (R13).
func (s *session) githubSource() build.Source {
	if !s.onGitHub() {
		return build.Source{}
	}
	if w := s.identity.Workflow; w.Repository != "" {
		return build.Source{URI: w.Repository, Revision: w.Commit, Ref: w.Ref}
	}
	return build.Source{
		URI:      s.env.getenv("GITHUB_SERVER_URL") + "/" + s.env.getenv("GITHUB_REPOSITORY"),
		Revision: s.env.getenv("GITHUB_SHA"), Ref: s.env.getenv("GITHUB_REF"),
	}
}

// engine says how to start the built-in engine: this program again, with a state directory that outlives the run.
func (s *session) engine() (build.Engine, error) {
	exe, err := executable()
	if err != nil {
		return build.Engine{}, err
	}
	state := s.in.one("engine-state")
	if state == "" {
		if state, err = s.env.cache("engine"); err != nil {
			return build.Engine{}, err
		}
	}
	return build.Engine{Executable: exe, StateDir: state, TempDir: s.env.getenv("TMPDIR"), Env: s.engineEnv()}, nil
}

// engineEnv is the part of the environment that the engine may see: where tools are and how the network is reached, never
// tokens (T10).
func (s *session) engineEnv() []string {
	var out []string
	for _, name := range []string{"PATH", "HOME", "USER", "LANG", "XDG_RUNTIME_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if v := s.env.getenv(name); v != "" {
			out = append(out, name+"="+v)
		}
	}
	return out
}

func (s *session) onGitHub() bool { return s.env.getenv("GITHUB_ACTIONS") == "true" }

// mode says which of the builder identities is true of this run: each has its own, because each can be trusted differently (R9).
func (s *session) mode() attest.Mode {
	switch runner := cmp.Or(s.identity.Workflow.Runner, s.env.getenv("RUNNER_ENVIRONMENT")); { // the token's word, if there is one (R8)
	case !s.asAction || !s.onGitHub() || s.signedByPerson():
		return attest.ModeCLI
	case runner == "github-hosted":
		return attest.ModeAction
	default:
		return attest.ModeSelfHosted
	}
}

// signedByPerson reports whether the certificate will name no run: then provenance cannot speak of one either.
func (s *session) signedByPerson() bool {
	return s.identity.Kind == attest.KindKeyless && s.identity.Workflow.Run == ""
}
