package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	typeIndex          = "application/vnd.oci.image.index.v1+json"
	typeManifest       = "application/vnd.oci.image.manifest.v1+json"
	typeConfig         = "application/vnd.oci.image.config.v1+json"
	typeLayer          = "application/vnd.oci.image.layer.v1.tar"
	typeEmpty          = "application/vnd.oci.empty.v1+json"
	typeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerConfig   = "application/vnd.docker.container.image.v1+json"
)

// manifestTypes are the media types of the manifests that we read.
func manifestTypes() []string {
	return []string{typeIndex, typeManifest, typeDockerIndex, typeDockerManifest}
}

func isIndex(mediaType string) bool { return mediaType == typeIndex || mediaType == typeDockerIndex }

func isManifest(mediaType string) bool {
	return mediaType == typeManifest || mediaType == typeDockerManifest
}

// descriptor is a descriptor as manifests hold it.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Platform     *platform         `json:"platform,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	OSVersion    string `json:"os.version,omitempty"`
	Variant      string `json:"variant,omitempty"`
}

// String returns the platform as users write it; a Windows version in parentheses keeps such platforms apart.
func (p platform) String() string {
	s := p.OS
	if p.OSVersion != "" {
		s += "(" + p.OSVersion + ")"
	}
	s += "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

func (p platform) unknown() bool { return p.OS == "unknown" && p.Architecture == "unknown" }

// document is an image manifest or an image index, whichever; parseManifest makes sure that it is not both.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *descriptor       `json:"config,omitempty"`
	Layers        []descriptor      `json:"layers,omitempty"`
	Manifests     []descriptor      `json:"manifests,omitempty"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// artifactType is what the referrers API calls the artifact type: the manifest's, else that of its config.
func (d document) artifactType() string {
	if d.ArtifactType == "" && d.Config != nil {
		return d.Config.MediaType
	}
	return d.ArtifactType
}

// children are the manifests and blobs that the document needs, without its subject.
func (d document) children() []descriptor {
	if d.Config == nil {
		return d.Manifests
	}
	return append([]descriptor{*d.Config}, d.Layers...)
}

// decodeStrict decodes one JSON value: no duplicate names, no invalid UTF-8, names in exact case, bounded depth.
func decodeStrict(raw []byte, v any) error {
	dec := jsontext.NewDecoder(bytes.NewReader(raw))
	for {
		if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if dec.StackDepth() > maxDepth {
			return fmt.Errorf("JSON deeper than %d", maxDepth)
		}
	}
	return json.Unmarshal(raw, v)
}

// parseManifest parses an index or a manifest that is said to be of that media type. A document that could be read
// as both is refused, and so is one that calls itself something else.
func parseManifest(raw []byte, mediaType string) (document, error) {
	var d document
	if err := decodeStrict(raw, &d); err != nil {
		return document{}, err
	}
	switch {
	case !isIndex(mediaType) && !isManifest(mediaType):
		return document{}, fmt.Errorf("media type %q is not an image's", mediaType)
	case d.SchemaVersion != 2:
		return document{}, fmt.Errorf("schema version %d, only 2 is supported", d.SchemaVersion)
	case d.MediaType != "" && d.MediaType != mediaType:
		return document{}, fmt.Errorf("it calls itself %q but is listed as %q", d.MediaType, mediaType)
	case isIndex(mediaType) && (d.Config != nil || d.Layers != nil):
		return document{}, errors.New("an index with a config or layers")
	case isManifest(mediaType) && d.Manifests != nil:
		return document{}, errors.New("a manifest with manifests")
	case isManifest(mediaType) && d.Config == nil:
		return document{}, errors.New("a manifest without a config")
	case len(d.Manifests) > maxManifests || len(d.Layers) > maxManifests:
		return document{}, fmt.Errorf("more than %d entries", maxManifests)
	}
	all := d.children()
	if d.Subject != nil {
		all = append(slices.Clone(all), *d.Subject)
	}
	for _, c := range all {
		if err := c.check(); err != nil {
			return document{}, err
		}
	}
	return d, nil
}

func (d descriptor) check() error {
	if !validDigest(d.Digest) {
		return fmt.Errorf("digest %q is not sha256 and 64 hex digits", d.Digest)
	}
	if d.Size < 0 || d.Size > maxBlob {
		return fmt.Errorf("%s: size %d is out of range", d.Digest, d.Size)
	}
	return nil
}

// same reports an error unless raw is what d promises.
func (d descriptor) same(raw []byte) error {
	if int64(len(raw)) != d.Size {
		return fmt.Errorf("%w: %d bytes, the descriptor says %d", ErrCorrupt, len(raw), d.Size)
	}
	if got := digestOf(raw); got != d.Digest {
		return fmt.Errorf("%w: content is %s", ErrCorrupt, got)
	}
	return nil
}

func (d descriptor) public() Descriptor {
	return Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Annotations: d.Annotations}
}

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func describe(mediaType string, raw []byte) descriptor {
	return descriptor{MediaType: mediaType, Digest: digestOf(raw), Size: int64(len(raw))}
}

// blobFile is the name of a blob in a layout.
func blobFile(digest string) string {
	return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:")
}

// encode writes JSON that depends on v alone.
func encode(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true))
}
