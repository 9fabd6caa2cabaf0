package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/sealyard/sealyard/internal/hint"
)

// saved is one image in the manifest.json that docker save writes.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// convertDocker turns what docker save wrote in root into an image layout with one manifest. Files become blobs by
// being renamed.
func convertDocker(ctx context.Context, root *os.Root) error {
	d := &Dir{path: ".", root: root}
	raw, err := d.file("manifest.json", maxManifest)
	if err != nil {
		return err
	}
	var images []saved
	if err := decodeStrict(raw, &images); err != nil {
		return fmt.Errorf("manifest.json: %w: %w", ErrCorrupt, err)
	}
	if len(images) != 1 {
		return hint.Misuse(fmt.Errorf("it holds %d images", len(images)), "save one image: docker save NAME:TAG -o FILE")
	}
	config, err := d.savedFile(images[0].Config, maxConfig)
	if err != nil {
		return err
	}
	var conf struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := decodeStrict(config, &conf); err != nil {
		return fmt.Errorf("%s: %w: %w", images[0].Config, ErrCorrupt, err)
	}
	ids := conf.RootFS.DiffIDs
	if len(ids) != len(images[0].Layers) || len(ids) > maxManifests {
		return fmt.Errorf("manifest.json: %w: %d layers, the configuration names %d", ErrCorrupt, len(images[0].Layers), len(ids))
	}
	if err := root.MkdirAll("blobs/sha256", 0o755); err != nil {
		return err
	}
	configDesc := describe(typeConfig, config)
	doc := document{SchemaVersion: 2, MediaType: typeManifest, Config: &configDesc, Layers: []descriptor{}}
	for i, name := range images[0].Layers {
		layer, err := d.savedLayer(ctx, name, ids[i])
		if err != nil {
			return err
		}
		doc.Layers = append(doc.Layers, layer)
	}
	return d.finishDocker(doc, config, images[0].RepoTags)
}

// finishDocker writes what makes the blobs a layout.
func (d *Dir) finishDocker(doc document, config []byte, tags []string) error {
	manifest, err := encode(doc)
	if err != nil {
		return err
	}
	entry := describe(typeManifest, manifest)
	if len(tags) > 0 {
		entry.Annotations = map[string]string{nameAnnotation: tags[0]}
	}
	index, _, err := addEntries(nil, []descriptor{entry})
	if err != nil {
		return err
	}
	return errors.Join(
		d.write(blobFile(doc.Config.Digest), config),
		d.write(blobFile(entry.Digest), manifest),
		d.write("index.json", index),
		d.write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)),
	)
}

// savedFile reads a file that manifest.json names.
func (d *Dir) savedFile(name string, limit int64) ([]byte, error) {
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("manifest.json: %w: file %q", ErrCorrupt, name)
	}
	raw, err := d.file(path.Clean(name), limit)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: %w: it is missing", name, ErrCorrupt)
	}
	return raw, err
}

// savedLayer moves one layer to its place among the blobs. The configuration says what its digest is, or, when it is
// compressed (some tools other than docker write it so), that of what it unpacks to: whoever unpacks it checks that. A
// layer that comes twice is there only once.
func (d *Dir) savedLayer(ctx context.Context, name, diffID string) (descriptor, error) {
	if !validDigest(diffID) || !filepath.IsLocal(name) {
		return descriptor{}, fmt.Errorf("manifest.json: %w: layer %q with id %q", ErrCorrupt, name, diffID)
	}
	if info, err := d.root.Lstat(blobFile(diffID)); err == nil {
		return descriptor{MediaType: typeLayer, Digest: diffID, Size: info.Size()}, nil
	}
	name = path.Clean(name)
	f, size, err := d.regular(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: %w: it is missing", name, ErrCorrupt)
	}
	if err != nil {
		return descriptor{}, err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, withContext{ctx, f}, make([]byte, copyBuffer)); err != nil {
		return descriptor{}, err
	}
	layer := descriptor{MediaType: typeLayer, Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: size}
	if layer.Digest != diffID {
		magic := make([]byte, gzipHeaderSize)
		if _, err := f.ReadAt(magic, 0); err != nil || !bytes.Equal(magic, gzipMagic) {
			return descriptor{}, fmt.Errorf("%s: %w: content is %s, the configuration says %s", name, ErrCorrupt, layer.Digest, diffID)
		}
		layer.MediaType += "+gzip"
	}
	return layer, d.root.Rename(name, blobFile(layer.Digest))
}
