// Package oci moves images, and what refers to them, between disk and registry. It does not know what an artifact
// means.
//
// An image on disk is an OCI image layout, a [Dir]; in a registry it is in a [Repository]. Both are a [Store]: the
// same calls read either, and the answer for the same image is the same. Every byte read, from disk or network, is
// checked against the digest and the size that its descriptor promised; what differs is [ErrCorrupt]. Writing goes
// digest first, tag last: [Remote.Push] sends an image and its referrers by digest and reads them back,
// [Remote.Tag] then names it.
package oci

import (
	"context"
	"errors"
)

var (
	// ErrCorrupt marks content that is not what its digest, its size or the layout's rules say. The message names
	// the file or the registry's address. It is an answer about the image, not a failure to get one.
	ErrCorrupt = errors.New("corrupt content")
	// ErrNotFound marks an image, a manifest or a blob that the registry does not have.
	ErrNotFound = errors.New("not found")
)

// Store is where an image and what refers to it can be read: a [*Dir] or a [*Repository].
type Store interface {
	// Resolve turns a reference into an image, once: everything else is then asked for by digest (spec R61). For a
	// Repository, ref is "", a tag, a digest, or a whole reference to the same repository; "" is the reference it
	// was opened with. For a Dir, ref is "" (the only image there), a digest, or a name that index.json gives.
	Resolve(ctx context.Context, ref string) (Image, error)
	// Attached returns the artifacts of that artifactType ("" for every type) whose subject is the manifest with
	// that digest, sorted by their own digests. None is not an error; one that is of this type but unreadable is.
	Attached(ctx context.Context, digest, artifactType string) ([]Artifact, error)

	source() source
}

// Descriptor says where content is and what it must be.
type Descriptor struct {
	MediaType   string
	Digest      string // sha256:<64 hex>
	Size        int64  // bytes
	Annotations map[string]string
}

// Image is an image index with its runnable platforms, or a single manifest that stands alone.
type Image struct {
	Digest      string            // of Manifest
	MediaType   string            // of Manifest: an OCI or Docker index, or manifest
	Size        int64             // of Manifest, bytes
	Annotations map[string]string // those in Manifest
	Manifest    []byte            // the exact bytes that Digest names
	// Index is the digest of the one image index that the layout's index.json lists: Digest itself or, for a single
	// manifest, that of the index Fetch put round it. It is "" when the layout has another shape, and Fetch makes
	// one that has it.
	Index string
	// Platforms are the runnable manifests, in the index's order. Entries for the platform unknown/unknown, such as
	// BuildKit's attestation manifests, are not among them (spec R54).
	Platforms []Platform
}

// Platform is one runnable manifest of an image.
type Platform struct {
	Platform    string // "linux/amd64", "linux/arm64/v8"
	Digest      string // of Manifest
	MediaType   string // of Manifest
	Size        int64  // of Manifest, bytes
	Annotations map[string]string
	Manifest    []byte // the exact bytes that Digest names
	Config      []byte // the image's configuration, JSON
	Layers      []Descriptor
}

// Artifact is a manifest that refers to another one, its subject, with its content.
type Artifact struct {
	Type        string // artifactType
	Digest      string // of its manifest; set by Attach and by reading
	Subject     string // digest of the manifest it is about
	Annotations map[string]string
	Layers      []Layer
}

// Layer is one piece of an artifact's content.
type Layer struct {
	MediaType   string
	Digest      string // of Content; set by Attach and by reading
	Size        int64  // of Content, bytes; set by reading
	Annotations map[string]string
	Content     []byte
}

// Event tells how far the transfer of one blob or manifest is. Done == Total is its last event.
type Event struct {
	Digest      string
	MediaType   string
	Done, Total int64 // bytes
}

// Limits on what is read from outside, so that foreign content cannot exhaust us (threats T28, T31).
const (
	maxManifest  = 4 << 20   // what registries are asked to accept (distribution-spec), so what is met in practice
	maxConfig    = 8 << 20   // an image's history and labels; the largest known are far below
	maxDepth     = 32        // of JSON; manifests need 5
	maxIndexNest = 3         // of indexes in indexes; BuildKit and docker need 1
	maxManifests = 1000      // in one image, and referrers of one subject
	maxBlob      = 64 << 30  // one layer; as much as large machine-learning layers need
	maxArtifact  = 32 << 20  // one artifact's content when it is read into memory
	maxAttached  = 128 << 20 // all artifacts of one answer together
	maxReferrers = 16 << 20  // the manifests of all referrers of one subject together; one needs 1.5 kB
)

// Limits on what we write, so that others can read it (spec R57: Kyverno reads no more).
const (
	maxWrittenLayer    = 10_000_000
	maxWrittenAttached = 50
)
