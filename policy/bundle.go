package policy

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/sealyard/sealyard/internal/hint"
)

// DefaultTimeout bounds one evaluation of one bundle. The shipped bundle needs milliseconds.
const DefaultTimeout = 10 * time.Second

// baselineName is the name of the embedded bundle.
const baselineName = "baseline"

// readable is said of what cannot be read as a bundle.
const readable = "a bundle is a directory or a tar.gz of regular files, with the limits that docs/policy.md lists"

//go:embed baseline/.manifest baseline/data.json baseline/data.schema.json baseline/*.rego
var baselineFS embed.FS

// LoadOptions say how a bundle is loaded. The zero value takes the bundle as it is.
type LoadOptions struct {
	Data    []byte        // the user's policy data, JSON or YAML: settings laid over the bundle's own
	Name    string        // for a bundle whose manifest gives no metadata.name; the default is the source's base name
	Timeout time.Duration // of one evaluation; 0 is DefaultTimeout
	Keys    []byte        // PEM public keys: one of them must have signed the bundle in OPA's way, each file of it
	Origin  Origin        // where the caller got it and whose signature over it was verified; OPA's is not needed then
}

// Bundle is a compiled policy. It does not change once loaded and may be used by several goroutines.
type Bundle struct {
	name, revision, digest string
	origin                 Origin
	notAfter               time.Time // zero: it does not end

	plain []byte // the tar whose digest is the bundle's
	compiled
	rewritten map[ast.Var]ast.Var // the compiler's names of variables => the author's
	foreign   []foreignRule
	effective map[string]time.Time // of foreign rules, by id: from when on they deny
	partial   bool                 // it has no allow of its own: it can only add reasons against
	timeout   time.Duration
	settings  map[string]any
}

// Load reads a bundle from a directory or a tar.gz file and compiles it. A source that does not exist, and
// policy data the bundle does not know, are errors marked with hint.Misuse; every other error means that the
// bundle itself is broken, and begins with file and line where there is one.
func Load(ctx context.Context, source string, opts LoadOptions) (*Bundle, error) {
	c, prefix, err := readPath(ctx, source, len(opts.Keys) > 0)
	if err != nil {
		return nil, err
	}
	if opts.Name == "" {
		opts.Name = NameOf(source)
	}
	f, origin, err := c.vouched(opts)
	if err != nil {
		return nil, fmt.Errorf("policy bundle %q: %w", source, err)
	}
	opts.Origin = origin
	return newBundle(ctx, f, prefix, opts)
}

// readPath reads a bundle from a directory or a tar.gz file; whole also keeps what is no policy. prefix is what names of files are
// shown with.
func readPath(ctx context.Context, source string, whole bool) (c contents, prefix string, err error) {
	if scheme, _, ok := strings.Cut(source, "://"); ok {
		return c, "", hint.Misuse(fmt.Errorf("policy bundle %q: %s sources are not supported", source, scheme), "fetch it first and give the directory or tar.gz file")
	}
	info, err := os.Stat(source)
	if err != nil {
		return c, "", hint.Misuse(fmt.Errorf("policy bundle %q: %w", source, errors.Unwrap(err)), "give a directory or a tar.gz file that holds an OPA bundle")
	}
	switch {
	case info.IsDir():
		prefix = filepath.ToSlash(source)
		c, err = readDir(ctx, source, whole)
	case !info.Mode().IsRegular():
		err = errors.New("is neither a directory nor a regular file")
	case info.Size() > MaxBundle:
		err = errTooBig
	default:
		c, err = readFile(ctx, source, whole)
	}
	if err != nil {
		return c, "", fmt.Errorf("policy bundle %q: %w", source, hint.Wrap(err, readable))
	}
	return c, prefix, nil
}

// readSource reads a bundle together with its tests, for who works on it.
func readSource(ctx context.Context, name string) (source, error) {
	c, prefix, err := readPath(ctx, name, true)
	if err != nil {
		return source{}, err
	}
	for file, data := range c.rest {
		if strings.HasSuffix(file, testSuffix) {
			c.files[file] = data
		}
	}
	return settle(c.files, prefix, LoadOptions{Name: NameOf(name)})
}

// LoadArchive compiles a bundle from the bytes of a tar.gz, such as [Bundle.Archive] returns and the evidence
// holds. Errors are as those of [Load].
func LoadArchive(ctx context.Context, data []byte, opts LoadOptions) (*Bundle, error) {
	c, err := readArchive(ctx, data, len(opts.Keys) > 0)
	if err != nil {
		return nil, fmt.Errorf("policy bundle: %w", hint.Wrap(err, readable))
	}
	f, origin, err := c.vouched(opts)
	if err != nil {
		return nil, fmt.Errorf("policy bundle: %w", err)
	}
	opts.Origin = origin
	return newBundle(ctx, f, "", opts)
}

// Baseline compiles the bundle that is asked when no policy is named. docs/rules.md lists its rules and settings.
func Baseline(opts LoadOptions) (*Bundle, error) { return Preset{Name: baselineName}.Bundle(opts) }

func readDir(ctx context.Context, dir string, whole bool) (contents, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return contents{}, err
	}
	defer root.Close()
	return readFS(ctx, root.FS(), whole)
}

func readFile(ctx context.Context, file string, whole bool) (contents, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return contents{}, err
	}
	return readArchive(ctx, data, whole)
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// NameOf makes a bundle name of a path or a repository: "./acme policy.tar.gz" is "acme-policy". It is "" for "." and the like.
func NameOf(source string) string {
	base := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(source), ".gz"), ".tar")
	base = strings.TrimSuffix(base, ".tgz")
	base = strings.Trim(notInName.ReplaceAllString(base, "-"), "._-")
	return base[:min(len(base), 64)]
}

// newBundle settles data and manifest, so that the files are exactly what their archive will hold, and compiles.
func newBundle(ctx context.Context, f files, prefix string, opts LoadOptions) (*Bundle, error) {
	src, err := settle(f, prefix, opts)
	if err != nil {
		return nil, err
	}
	m := src.manifest
	plain, err := seal(f, m, src.data)
	if err != nil {
		return nil, err
	}
	b := &Bundle{name: m.name(), revision: m.Revision, digest: digestOf(plain), plain: plain, timeout: opts.Timeout, origin: opts.Origin, notAfter: m.notAfter}
	b.settings, _ = src.data[settingsKey].(map[string]any)
	if b.timeout <= 0 {
		b.timeout = DefaultTimeout
	}
	if err := b.compile(ctx, src); err != nil {
		return nil, hint.Wrap(err, "docs/policy.md shows a rule that compiles")
	}
	return b, nil
}

// settle reads manifest, data and settings of a bundle.
func settle(f files, prefix string, opts LoadOptions) (source, error) {
	if opts.Name == "" {
		opts.Name = "policy"
	}
	m, err := parseManifest(f[manifestFile], opts.Name)
	if err != nil {
		return source{}, err
	}
	doc, err := gatherData(f)
	if err != nil {
		return source{}, err
	}
	var s *schema
	if data, ok := f[schemaFile]; ok {
		if s, err = parseSchema(data); err != nil {
			return source{}, fmt.Errorf("%s: %s", schemaFile, oneLine(err.Error()))
		}
	}
	if err := overlay(doc, s, opts.Data); err != nil {
		return source{}, err
	}
	return source{files: f, prefix: prefix, manifest: m, data: doc, settings: s}, nil
}

// seal writes the canonical tar of a bundle: rules as they are, one data file, one manifest, the schema.
func seal(f files, m manifest, doc map[string]any) ([]byte, error) {
	canon := files{}
	for name, data := range f {
		if strings.HasSuffix(name, ".rego") {
			canon[name] = data
		}
	}
	var err error
	if canon[manifestFile], err = json.Marshal(m); err != nil {
		return nil, err
	}
	if canon[dataFile], err = json.Marshal(doc); err != nil {
		return nil, err
	}
	if data, ok := f[schemaFile]; ok {
		if canon[schemaFile], err = canonical(data); err != nil {
			return nil, err
		}
	}
	return tarball(canon)
}

// Name returns the bundle's name: the manifest's metadata.name, or the base name of where it was loaded from.
func (b *Bundle) Name() string { return b.name }

// Digest identifies the policy including its settings: the SHA-256 of the uncompressed [Bundle.Archive], as
// "sha256:<64 hex>". It does not depend on file times, order, YAML or JSON, compression or where the bundle lies.
func (b *Bundle) Digest() string { return b.digest }

// Archive returns the bundle as tar.gz, with the policy data laid into its settings and without its tests.
// [LoadArchive] of it gives a bundle with the same digest and the same decisions.
func (b *Bundle) Archive() []byte { return gzipped(b.plain) }

// Settings returns the settings in force, as one JSON object.
func (b *Bundle) Settings() ([]byte, error) {
	if b.settings == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(b.settings)
}

// Rules returns what the bundle's METADATA says about its rules, sorted by id.
func (b *Bundle) Rules() []Rule {
	out := make([]Rule, 0, len(b.rules))
	for _, id := range slices.Sorted(maps.Keys(b.rules)) {
		r := b.rules[id]
		r.Controls = slices.Clone(r.Controls)
		out = append(out, r)
	}
	return out
}
