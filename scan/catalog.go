package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sort"
	"strings"
	"syscall"

	stereofile "github.com/anchore/stereoscope/pkg/file"
	"github.com/anchore/stereoscope/pkg/image"
	"github.com/anchore/syft/syft"
	"github.com/anchore/syft/syft/cataloging"
	syftfile "github.com/anchore/syft/syft/file"
	"github.com/anchore/syft/syft/pkg"
	"github.com/anchore/syft/syft/sbom"
	"github.com/anchore/syft/syft/source"
	"github.com/anchore/syft/syft/source/stereoscopesource"

	"github.com/sealyard/sealyard/internal/hint"
)

// unpacked is an image whose layers lie unpacked and indexed in a private directory until cleanup.
type unpacked struct {
	image   *image.Image
	target  target
	cleanup func()
}

// unpack reads each layer of t once: checked, unpacked to disk, indexed. On error nothing is left on disk.
func (s *scanner) unpack(ctx context.Context, t target) (*unpacked, error) {
	checked, err := newImage(ctx, s.store, t, s.limits)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.opts.TempDir, "sealyard-scan-")
	if err != nil {
		return nil, err
	}
	img := image.New(checked, stereofile.NewTempDirGenerator("sealyard-scan"), dir, image.WithManifest(t.rawMan))
	u := &unpacked{image: img, target: t, cleanup: func() {
		img.Cleanup()
		os.RemoveAll(dir)
	}}
	if err := img.Read(image.WithLazyLayerSquashes(ctx)); err != nil {
		u.cleanup()
		if broken := (*layerError)(nil); errors.As(err, &broken) {
			return nil, broken
		}
		return nil, err
	}
	return u, nil
}

// loadLicenses builds syft's licence scanner: a second of work that no image is needed for. The context that it returns
// carries the scanner, and nothing else.
func loadLicenses() (context.Context, error) {
	return syft.SetContextLicenseScanner(context.Background(), cataloging.DefaultLicenseConfig())
}

// catalog finds the packages of an image with the catalogers that syft itself runs on images: no fewer, so that
// coverage is syft's. What is left out are the catalogers of single files, whose inventory nothing here uses.
func (s *scanner) catalog(ctx context.Context, img *unpacked) (*sbom.SBOM, error) {
	licenses, err := s.db.licenses()
	if err != nil {
		return nil, fmt.Errorf("licence texts: %w", err)
	}
	src := stereoscopesource.New(img.image, stereoscopesource.ImageConfig{
		Reference: s.opts.name() + "@" + img.target.digest.String(),
	})
	bom, err := syft.CreateSBOM(merged{Context: ctx, values: licenses}, src, s.catalogConfig())
	if err == nil {
		err = machineFault(bom)
	}
	if err != nil {
		return nil, err
	}
	return bom, ctx.Err()
}

// machineFault tells whether files were passed over because this machine could not read them: syft notes that beside
// what makes no sense in an image, and goes on. Nothing is known then (T31, T32).
func machineFault(bom *sbom.SBOM) error {
	faults := []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.ENOMEM, syscall.EROFS}
	for _, reason := range unreadable(bom) {
		for _, fault := range faults {
			if strings.Contains(reason, fault.Error()) {
				return hint.Wrap(fmt.Errorf("not all could be read: %s", reason), "make room for temporary files, or name a place that has it with TMPDIR")
			}
		}
	}
	return nil
}

func (s *scanner) catalogConfig() *syft.CreateSBOMConfig {
	cfg := syft.DefaultCreateSBOMConfig().WithTool("sealyard", s.opts.Version).WithoutFiles().
		WithParallelism(runtime.GOMAXPROCS(0)) // syft's own is four times as many, each with a file in memory
	cfg.Relationships.PackageFileOwnership = false
	cfg.Unknowns.RemoveWhenPackagesDefined = false // an archive that is a package may hold others that could not be read
	// as grype does: symbols tell whether a Go binary holds the vulnerable function at all
	cfg.Packages.Golang = cfg.Packages.Golang.WithCaptureSymbols(cataloging.SymbolScopeAll).
		WithSearchRemoteLicenses(false).WithSearchLocalModCacheLicenses(false)
	cfg.Packages.Golang.UsePackagesLib = false
	cfg.Packages.JavaArchive = cfg.Packages.JavaArchive.WithUseNetwork(false)
	cfg.Packages.JavaScript.SearchRemoteLicenses = false
	cfg.Packages.Python.SearchRemoteLicenses = false
	return cfg
}

// merged ends with Context and has the values of another one.
type merged struct {
	context.Context
	values context.Context
}

func (m merged) Value(key any) any { return m.values.Value(key) }

// passwd is the image's /etc/passwd, which says who its USER is; nil when it has none.
func (u *unpacked) passwd() ([]byte, error) {
	r, err := u.image.OpenPathFromSquash("/etc/passwd")
	if err != nil {
		return nil, nil
	}
	passwd, err := io.ReadAll(io.LimitReader(r, maxPasswd+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("/etc/passwd: %w", err)
	}
	if len(passwd) > maxPasswd {
		return nil, fmt.Errorf("/etc/passwd is larger than %d bytes", maxPasswd)
	}
	return passwd, nil
}

// describe names the image in documents. It is all that they take from the image's configuration.
func (s *scanner) describe(t target) source.Description {
	c := t.config
	return source.Description{
		ID: t.digest.Hex, Name: s.opts.name(), Version: t.digest.String(),
		Metadata: source.ImageMetadata{
			UserInput: s.opts.name() + "@" + t.digest.String(), ID: t.manifest.Config.Digest.String(), ManifestDigest: t.digest.String(),
			MediaType: string(t.mediaType), OS: c.OS, Architecture: c.Architecture, Variant: c.Variant, Labels: c.Config.Labels,
		},
	}
}

// unreadable says in plain words what syft could not make sense of, sorted.
func unreadable(bom *sbom.SBOM) []string {
	var out []string
	for at, reasons := range bom.Artifacts.Unknowns {
		out = append(out, fmt.Sprintf("%q: %s", at.RealPath, strings.Join(reasons, "; ")))
	}
	sort.Strings(out)
	return out
}

// packages gives the plain form of all packages, sorted by type, name, version and path.
func packages(bom *sbom.SBOM) []Package {
	out := []Package{}
	for _, p := range bom.Artifacts.Packages.Sorted() {
		layer, path := origin(p)
		q := Package{Name: p.Name, Version: p.Version, Type: string(p.Type), PURL: p.PURL, Layer: layer, Path: path}
		q.Source, q.SourceVersion = sourcePackage(p)
		for _, l := range p.Licenses.ToSlice() {
			if name := firstOf(l.SPDXExpression, l.Value); name != "" && !slices.Contains(q.Licenses, name) {
				q.Licenses = append(q.Licenses, name)
			}
		}
		sort.Strings(q.Licenses)
		out = append(out, q)
	}
	slices.SortStableFunc(out, func(a, b Package) int {
		return slices.Compare([]string{a.Type, a.Name, a.Version, a.Path}, []string{b.Type, b.Name, b.Version, b.Path})
	})
	return out
}

// origin tells which layer brought a package and which file shows it. All packages of a Debian image are listed in one
// file that every installing layer rewrites, but dpkg also keeps files of each package's own, written only with it.
func origin(p pkg.Package) (layer, path string) {
	locations := p.Locations.ToSlice()
	if len(locations) == 0 {
		return "", ""
	}
	best := slices.IndexFunc(locations, func(l syftfile.Location) bool {
		return l.Annotations[pkg.EvidenceAnnotationKey] == pkg.PrimaryEvidenceAnnotation
	})
	path = locations[max(best, 0)].RealPath
	if p.Type == pkg.DebPkg {
		own := slices.IndexFunc(locations, func(l syftfile.Location) bool {
			return strings.HasPrefix(l.RealPath, "/var/lib/dpkg/info/")
		})
		if own >= 0 {
			best = own
		}
	}
	return locations[max(best, 0)].FileSystemID, path
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
