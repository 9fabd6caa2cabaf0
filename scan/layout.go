package scan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	maxDocument  = 4 << 20 // bytes of one index, manifest or config: what registries accept
	maxPlatforms = 64      // runnable manifests of one index; the largest official images have about 20
	maxLayers    = 512     // layers of one image; no container runtime mounts more than 127
)

// store reads the blobs of an image layout by their digests, and nothing else of it.
type store struct{ root *os.Root }

// open opens the blob that d names. Only a regular file of exactly d's size is opened; its content is not checked here.
func (s store) open(d v1.Descriptor) (*os.File, error) {
	if d.Digest.Algorithm != "sha256" || !isHex256(d.Digest.Hex) {
		return nil, fmt.Errorf("blob %q: only sha256 digests are supported", d.Digest.String())
	}
	name := "blobs/sha256/" + d.Digest.Hex
	info, err := s.root.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("blob %q: %w", d.Digest.String(), err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("blob %q: not a regular file", d.Digest.String())
	}
	if d.Size >= 0 && info.Size() != d.Size {
		return nil, fmt.Errorf("blob %q: %d bytes where its descriptor says %d", d.Digest.String(), info.Size(), d.Size)
	}
	f, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe in its place must not hold us up
	if err != nil {
		return nil, fmt.Errorf("blob %q: %w", d.Digest.String(), err)
	}
	return f, nil
}

// document reads a whole small blob and checks it against its digest.
func (s store) document(d v1.Descriptor) ([]byte, error) {
	f, err := s.open(d)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("blob %q: %w", d.Digest.String(), err)
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("blob %q: document is larger than %d bytes", d.Digest.String(), maxDocument)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != d.Digest.Hex {
		return nil, fmt.Errorf("blob %q: content has digest sha256:%x", d.Digest.String(), sum)
	}
	return b, nil
}

// target is one runnable image manifest of a layout with its checked manifest and config.
type target struct {
	platform  string // "os/arch" or "os/arch/variant", as the config says
	digest    v1.Hash
	mediaType types.MediaType
	rawMan    []byte
	rawConfig []byte
	manifest  *v1.Manifest
	config    *v1.ConfigFile
}

// targets finds every runnable image below the index or image manifest that digest names, in the index's order,
// and tells whether it is an index.
func (s store) targets(digest string) (found []target, isIndex bool, err error) {
	hash, err := v1.NewHash(digest)
	if err != nil {
		return nil, false, fmt.Errorf("digest %q: %w", digest, err)
	}
	raw, err := s.document(v1.Descriptor{Digest: hash, Size: -1})
	if err != nil {
		return nil, false, err
	}
	kind, err := documentKind(raw)
	if err != nil {
		return nil, false, fmt.Errorf("blob %q: %w", digest, err)
	}
	descs := []v1.Descriptor{{Digest: hash, Size: int64(len(raw)), MediaType: kind}}
	if kind.IsIndex() {
		if descs, err = runnable(raw); err != nil {
			return nil, false, fmt.Errorf("index %q: %w", digest, err)
		}
	}
	for _, d := range descs {
		t, err := s.target(d)
		if err != nil {
			return nil, false, fmt.Errorf("image manifest %q: %w", d.Digest.String(), err)
		}
		found = append(found, t)
	}
	return found, kind.IsIndex(), nil
}

// runnable picks the image manifests of an index, leaving out BuildKit's attestation manifests.
func runnable(rawIndex []byte) ([]v1.Descriptor, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(rawIndex))
	if err != nil {
		return nil, err
	}
	var descs []v1.Descriptor
	for _, d := range index.Manifests {
		switch {
		case d.Annotations["vnd.docker.reference.type"] == "attestation-manifest":
			continue
		case !d.MediaType.IsImage():
			return nil, fmt.Errorf("manifest %q has media type %q, which is no image", d.Digest.String(), string(d.MediaType))
		}
		descs = append(descs, d)
	}
	if len(descs) == 0 {
		return nil, errors.New("no runnable image manifest")
	}
	if len(descs) > maxPlatforms {
		return nil, fmt.Errorf("%d image manifests where at most %d are read", len(descs), maxPlatforms)
	}
	return descs, nil
}

// target reads and cross-checks one image manifest and its config.
func (s store) target(d v1.Descriptor) (target, error) {
	t := target{digest: d.Digest, mediaType: d.MediaType}
	var err error
	if t.rawMan, err = s.document(d); err != nil {
		return t, err
	}
	if kind, err := documentKind(t.rawMan); err != nil || !kind.IsImage() {
		return t, errors.Join(errors.New("not an image manifest"), err)
	}
	if t.manifest, err = v1.ParseManifest(bytes.NewReader(t.rawMan)); err != nil {
		return t, err
	}
	if mt := t.manifest.Config.MediaType; !mt.IsConfig() {
		return t, fmt.Errorf("config has media type %q, which is no image config", string(mt))
	}
	if t.rawConfig, err = s.document(t.manifest.Config); err != nil {
		return t, err
	}
	if t.config, err = v1.ParseConfigFile(bytes.NewReader(t.rawConfig)); err != nil {
		return t, fmt.Errorf("config: %w", err)
	}
	layers, diffs := len(t.manifest.Layers), len(t.config.RootFS.DiffIDs)
	if layers != diffs {
		return t, fmt.Errorf("%d layers, but the config lists %d", layers, diffs)
	}
	if layers > maxLayers {
		return t, fmt.Errorf("%d layers where at most %d are read", layers, maxLayers)
	}
	for i, l := range t.manifest.Layers {
		if _, err := decompressor(l.MediaType); err != nil {
			return t, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	t.platform = platformString(t.config.Platform())
	if p := d.Platform; p != nil && (p.OS != t.config.OS || p.Architecture != t.config.Architecture) {
		return t, fmt.Errorf("index says platform %q, config says %q", platformString(p), t.platform)
	}
	return t, nil
}

// documentKind tells an index from an image manifest. A document that could pass for both is refused.
func documentKind(raw []byte) (types.MediaType, error) {
	var doc struct {
		MediaType types.MediaType   `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
		Layers    []json.RawMessage `json:"layers"`
		Config    json.RawMessage   `json:"config"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return "", err
	}
	isIndex, isImage := doc.Manifests != nil, doc.Config != nil || doc.Layers != nil
	switch {
	case isIndex == isImage:
		return "", errors.New("neither an image index nor an image manifest")
	case doc.MediaType == "" && isIndex:
		return types.OCIImageIndex, nil
	case doc.MediaType == "":
		return types.OCIManifestSchema1, nil
	case doc.MediaType.IsIndex() != isIndex || doc.MediaType.IsImage() != isImage:
		return "", fmt.Errorf("media type %q does not fit the content", string(doc.MediaType))
	}
	return doc.MediaType, nil
}

func platformString(p *v1.Platform) string {
	if p == nil || p.OS == "" || p.Architecture == "" {
		return "unknown/unknown"
	}
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

func isHex256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && strings.ToLower(s) == s
}
