package oci

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sealyard/sealyard/internal/hint"
)

// emptyJSON is the content of the empty config (image-spec, guidance for an empty descriptor).
const emptyJSON = "{}"

// Attach adds a to the layout as a referrer of the manifest with digest subject, which must be the image in it or
// one of its manifests, and returns a with its digests set. The manifest depends on its content alone (spec R53:
// artifact type, empty config, the layers, full subject, the given annotations), so attaching the same artifact
// again changes nothing. index.json is replaced at once or not at all; what is listed there stays.
func (d *Dir) Attach(ctx context.Context, subject string, a Artifact) (Artifact, error) {
	if a.Type == "" || len(a.Layers) == 0 {
		return Artifact{}, errors.New("an artifact needs a type and a layer")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	about, err := d.subject(ctx, subject)
	if err != nil {
		return Artifact{}, err
	}
	there, err := referrersOf(ctx, d, subject)
	if err != nil {
		return Artifact{}, err
	}
	doc, blobs, err := a.document(about)
	if err != nil {
		return Artifact{}, err
	}
	raw, err := encode(doc)
	if err != nil {
		return Artifact{}, err
	}
	entry := describe(typeManifest, raw)
	entry.ArtifactType, entry.Annotations = a.Type, a.Annotations
	a.Digest, a.Subject = entry.Digest, subject
	a.Layers = slices.Clone(a.Layers)
	for i, l := range doc.Layers {
		a.Layers[i].Digest = l.Digest
	}
	for _, n := range there {
		if n.Digest == entry.Digest {
			return a, nil
		}
	}
	if len(there) >= maxWrittenAttached {
		return Artifact{}, fmt.Errorf("%s has %d artifacts already, others read no more", subject, len(there))
	}
	for _, b := range append(blobs, raw) {
		if err := d.write(blobFile(digestOf(b)), b); err != nil {
			return Artifact{}, err
		}
	}
	return a, d.list(entry)
}

// document makes the artifact's manifest, and lists the content of the blobs it names.
func (a Artifact) document(about descriptor) (document, [][]byte, error) {
	config := describe(typeEmpty, []byte(emptyJSON))
	doc := document{SchemaVersion: 2, MediaType: typeManifest, ArtifactType: a.Type, Config: &config, Subject: &about, Annotations: a.Annotations}
	blobs := [][]byte{[]byte(emptyJSON)}
	for _, l := range a.Layers {
		if len(l.Content) >= maxWrittenLayer {
			return document{}, nil, hint.Wrap(fmt.Errorf("artifact of type %q about %s: %d bytes, others read less than %d", a.Type, about.Digest, len(l.Content), maxWrittenLayer),
				"make the evidence smaller, for example an SBOM without the list of files")
		}
		desc := describe(l.MediaType, l.Content)
		desc.Annotations = l.Annotations
		doc.Layers = append(doc.Layers, desc)
		blobs = append(blobs, l.Content)
	}
	return doc, blobs, nil
}

// subject finds the descriptor of the manifest with that digest in the layout.
func (d *Dir) subject(ctx context.Context, digest string) (descriptor, error) {
	entries, err := d.index()
	if err != nil {
		return descriptor{}, err
	}
	for _, e := range entries {
		if !isIndex(e.MediaType) && !isManifest(e.MediaType) {
			continue
		}
		t, err := walk(ctx, d, e)
		if err != nil {
			return descriptor{}, err
		}
		for _, n := range t.nodes {
			if n.Digest == digest {
				return descriptor{MediaType: n.MediaType, Digest: n.Digest, Size: n.Size}, nil
			}
		}
	}
	return descriptor{}, fmt.Errorf("layout %q has no manifest %q: %w", d.path, digest, ErrNotFound)
}

// list adds an entry to index.json.
func (d *Dir) list(entry descriptor) error {
	raw, err := d.file("index.json", maxManifest)
	if err != nil {
		return err
	}
	raw, _, err = addEntries(raw, []descriptor{entry})
	if err != nil {
		return fmt.Errorf("index.json: %w: %w", ErrCorrupt, err)
	}
	return d.write("index.json", raw)
}

// addEntries adds to an image index the descriptors that it does not list yet, and leaves everything else in it as
// it is, members unknown to us included. An empty raw is an empty index.
func addEntries(raw []byte, add []descriptor) (out []byte, added int, err error) {
	members := map[string]jsontext.Value{
		"schemaVersion": jsontext.Value("2"),
		"mediaType":     jsontext.Value(`"` + typeIndex + `"`),
	}
	seen := map[string]bool{}
	var list []jsontext.Value
	if len(raw) > 0 {
		doc, err := parseManifest(raw, typeIndex)
		if err != nil {
			return nil, 0, err
		}
		for _, m := range doc.Manifests {
			seen[m.Digest] = true
		}
		if err := json.Unmarshal(raw, &members); err != nil {
			return nil, 0, err
		}
		if err := json.Unmarshal(members["manifests"], &list); doc.Manifests != nil && err != nil {
			return nil, 0, err
		}
	}
	for _, a := range add {
		if seen[a.Digest] {
			continue
		}
		seen[a.Digest] = true
		entry, err := encode(a)
		if err != nil {
			return nil, 0, err
		}
		list = append(list, entry)
		added++
	}
	if list == nil {
		list = []jsontext.Value{}
	}
	if members["manifests"], err = encode(list); err != nil {
		return nil, 0, err
	}
	out, err = encode(members)
	return out, added, err
}

// write puts a file into the layout at once or not at all.
func (d *Dir) write(name string, content []byte) error {
	return writeFile(d.root, name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// writeFile makes the file under another name and then renames it, so that a reader, or a run after ours was killed,
// sees all of it or none. A link by that name is replaced, never followed.
func writeFile(root *os.Root, name string, fill func(io.Writer) error) (err error) {
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	tmp := path.Join(path.Dir(name), ".tmp-"+rand.Text())
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		_ = f.Close()
		if rm := root.Remove(tmp); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}()
	if err := fill(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return root.Rename(tmp, name)
}
