package build

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxManifest   = 4 << 20  // bytes of an index, manifest or configuration: what registries must take
	maxStatement  = 80 << 20 // bytes of a provenance statement: BuildKit's own limit
	maxPlatforms  = 256      // manifests in one index
	maxLayers     = 1024     // layers of one image; overlayfs stops at 500
	referenceType = "vnd.docker.reference.type"
	referenceTo   = "vnd.docker.reference.digest"
	predicateType = "in-toto.io/predicate-type"
	slsaV1        = "https://slsa.dev/provenance/v1"
)

// export is a layout as BuildKit wrote it, or ours while it grows.
type export struct{ dir string }

func (e export) path(d digest.Digest) string {
	return filepath.Join(e.dir, "blobs", d.Algorithm().String(), d.Encoded())
}

// read returns a blob after checking size and digest against its descriptor.
func (e export) read(d ocispec.Descriptor, limit int64) ([]byte, error) {
	if err := e.stat(d, limit); err != nil {
		return nil, err
	}
	f, err := os.Open(e.path(d.Digest))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, d.Size+1))
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	if int64(len(data)) != d.Size || digest.FromBytes(data) != d.Digest {
		return nil, fmt.Errorf("blob %s: content does not match its digest", d.Digest)
	}
	return data, nil
}

// stat checks that a blob is there, a regular file of the promised size.
func (e export) stat(d ocispec.Descriptor, limit int64) error {
	if err := d.Digest.Validate(); err != nil || d.Digest.Algorithm() != digest.SHA256 {
		return fmt.Errorf("blob digest %q is not sha256", d.Digest)
	}
	info, err := os.Lstat(e.path(d.Digest))
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	if !info.Mode().IsRegular() || info.Size() != d.Size || d.Size > limit || d.Size < 0 {
		return fmt.Errorf("blob %s: not a regular file of %d bytes (at most %d)", d.Digest, d.Size, limit)
	}
	return nil
}

func (e export) json(d ocispec.Descriptor, into any) ([]byte, error) {
	data, err := e.read(d, maxManifest)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return data, nil
}

// image is one platform's image inside an export.
type image struct {
	from       export
	desc       ocispec.Descriptor
	platform   string
	manifest   ocispec.Manifest
	config     ocispec.Image
	provenance []byte
	statement  statement
}

// images reads everything that BuildKit exported: the runnable manifests and, for each, its provenance.
func (e export) images() ([]*image, error) {
	data, err := os.ReadFile(filepath.Join(e.dir, "index.json"))
	if err != nil {
		return nil, fmt.Errorf("exported layout: %w", err)
	}
	var top ocispec.Index
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, fmt.Errorf("exported index.json: %w", err)
	}
	if len(top.Manifests) != 1 || top.Manifests[0].MediaType != ocispec.MediaTypeImageIndex {
		return nil, errors.New("exported layout does not hold one image index: the engine wrote no provenance (it writes none for an image without layers)")
	}
	var index ocispec.Index
	if _, err := e.json(top.Manifests[0], &index); err != nil {
		return nil, err
	}
	if len(index.Manifests) > maxPlatforms {
		return nil, fmt.Errorf("exported index has %d manifests, at most %d are taken", len(index.Manifests), maxPlatforms)
	}
	var images []*image
	attestations := map[string]ocispec.Descriptor{}
	for _, d := range index.Manifests {
		if kind, ok := d.Annotations[referenceType]; ok {
			if kind == "attestation-manifest" {
				attestations[d.Annotations[referenceTo]] = d
			}
			continue
		}
		m, err := e.image(d)
		if err != nil {
			return nil, err
		}
		images = append(images, m)
	}
	for _, m := range images {
		d, ok := attestations[m.desc.Digest.String()]
		if !ok {
			return nil, fmt.Errorf("engine wrote no provenance for %s", m.platform)
		}
		if err := m.readProvenance(d); err != nil {
			return nil, fmt.Errorf("provenance of %s: %w", m.platform, err)
		}
	}
	return images, nil
}

// image reads one manifest and its configuration and checks that its layers are there.
func (e export) image(d ocispec.Descriptor) (*image, error) {
	m := &image{from: e, desc: d}
	if d.MediaType != ocispec.MediaTypeImageManifest || d.Platform == nil {
		return nil, fmt.Errorf("exported index: entry %s of type %q is no image manifest of a platform", d.Digest, d.MediaType)
	}
	if _, err := e.json(d, &m.manifest); err != nil {
		return nil, err
	}
	if _, err := e.json(m.manifest.Config, &m.config); err != nil {
		return nil, err
	}
	if m.config.OS != d.Platform.OS || m.config.Architecture != d.Platform.Architecture {
		return nil, fmt.Errorf("image %s is for %s/%s, its index entry says %s", d.Digest, m.config.OS, m.config.Architecture, platforms.Format(*d.Platform))
	}
	if len(m.manifest.Layers) > maxLayers {
		return nil, fmt.Errorf("image %s has %d layers, at most %d are taken", d.Digest, len(m.manifest.Layers), maxLayers)
	}
	for _, l := range m.manifest.Layers {
		if err := e.stat(l, l.Size); err != nil {
			return nil, err
		}
	}
	m.platform = platforms.Format(platforms.Normalize(*d.Platform))
	return m, nil
}

// readProvenance finds BuildKit's SLSA statement in the attestation manifest d.
func (m *image) readProvenance(d ocispec.Descriptor) error {
	var manifest ocispec.Manifest
	if _, err := m.from.json(d, &manifest); err != nil {
		return err
	}
	for _, l := range manifest.Layers {
		if l.Annotations[predicateType] != slsaV1 {
			continue
		}
		data, err := m.from.read(l, maxStatement)
		if err != nil {
			return err
		}
		m.provenance = data
		m.statement, err = parseStatement(data, m.desc.Digest.Encoded())
		return err
	}
	return errors.New("no SLSA v1 statement")
}

// created is when the image was made, as its configuration says.
func (m *image) created() time.Time {
	if m.config.Created == nil {
		return time.Time{}
	}
	return m.config.Created.UTC()
}

// newLayout makes an empty layout in dir.
func newLayout(dir string) (export, error) {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return export{}, err
	}
	marker, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return export{}, err
	}
	return export{dir}, os.WriteFile(filepath.Join(dir, ocispec.ImageLayoutFile), marker, 0o644)
}

// take moves the image's blobs into e. Both are on one file system.
func (e export) take(m *image) error {
	blobs := append([]ocispec.Descriptor{m.desc, m.manifest.Config}, m.manifest.Layers...)
	for _, d := range blobs {
		if _, err := os.Lstat(e.path(d.Digest)); err == nil {
			continue // shared with another platform
		}
		if err := os.Rename(m.from.path(d.Digest), e.path(d.Digest)); err != nil {
			return err
		}
		if err := os.Chmod(e.path(d.Digest), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeIndex writes the image index over the images and index.json over it.
func (e export) writeIndex(images []*image, annotations func(kind, platform string) map[string]string) (ocispec.Descriptor, error) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Annotations: annotations("index", "")}
	for _, m := range images {
		index.Manifests = append(index.Manifests, ocispec.Descriptor{
			MediaType: m.desc.MediaType, Digest: m.desc.Digest, Size: m.desc.Size, Platform: m.desc.Platform,
			Annotations: annotations("manifest-descriptor", m.platform),
		})
	}
	data, err := encode(index)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: index.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data)), Annotations: annotations("index-descriptor", "")}
	if err := os.WriteFile(e.path(d.Digest), data, 0o644); err != nil {
		return ocispec.Descriptor{}, err
	}
	top, err := encode(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{d}})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return d, os.WriteFile(filepath.Join(e.dir, ocispec.ImageIndexFile), top, 0o644)
}

// encode is JSON without HTML escapes and without a newline at the end: the same bytes for the same value.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}
