package build_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/internal/testkit"
)

const runnable = `ENTRYPOINT ["/tool"]`

// R64 R11: the layout holds one index with the runnable manifest and nothing else; RUN steps ran; secrets are not in it.
func TestLayoutIsCleanAndHoldsWhatRunStepsMade(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"id": "from-file", "Dockerfile": lines(
		"FROM scratch AS first", "COPY tool /tool", "ARG GREETING=none",
		`RUN ["/tool","env","GREETING","/greeting"]`,
		`RUN --network=none ["/tool","links","/links"]`,
		`RUN --mount=type=secret,id=a ["/tool","copy","/run/secrets/a","/a"]`,
		`RUN --mount=type=secret,id=b ["/tool","copy","/run/secrets/b","/b"]`,
		"FROM first", runnable, "LABEL written=here")})
	plan := build.Plan{
		Context: dir, Engine: newEngine(t), BuildArgs: map[string]string{"GREETING": "hello"}, Labels: map[string]string{"from": "plan"},
		Secrets: map[string][]byte{"a": []byte("value-of-a")}, SecretFiles: map[string]string{"b": filepath.Join(dir, "id")},
		Provenance: "max", BuilderID: "https://example.test/builder,1", Source: build.Source{URI: "https://example.test/repo", Revision: strings.Repeat("a", 40)},
		Annotations: []build.Annotation{
			{Type: "manifest", Key: "m", Value: "1"}, {Type: "index", Key: "i", Value: "<2>"},
			{Type: "manifest-descriptor", Platform: "linux/amd64", Key: "md", Value: "3"}, {Type: "index-descriptor", Key: "id", Value: "4"},
			{Type: "manifest", Platform: "linux/s390x", Key: "other", Value: "5"},
		},
	}
	r, out := mustBuild(t, plan)

	got := content(t, out, r.Manifests[0].Digest)
	want := map[string]string{"/greeting": "hello", "/links": "1", "/a": "value-of-a", "/b": "from-file"}
	for path, data := range want {
		if got[path] != data {
			t.Errorf("%s holds %q, want %q", path, got[path], data)
		}
	}
	checkClean(t, out, r)
	checkAnnotations(t, out, r)
	for _, value := range []string{"value-of-a", "from-file"} {
		if bytes.Contains(r.Manifests[0].Provenance, []byte(value)) {
			t.Errorf("provenance holds the secret %q", value)
		}
	}
	if !bytes.Contains(r.Manifests[0].Provenance, []byte(`"id":"https://example.test/builder,1"`)) {
		t.Errorf("no builder id in %s", r.Manifests[0].Provenance)
	}
	if r.Engines[0].BuildKit != build.BuildKitVersion || r.Frontend == "" || r.Dockerfile != "Dockerfile" {
		t.Errorf("versions: %+v %q %q", r.Engines, r.Frontend, r.Dockerfile)
	}
	if r.Complete.ResolvedDependencies || !r.Complete.Request || r.Source.Verified {
		t.Errorf("a local context cannot be complete or verified: %+v %+v", r.Complete, r.Source)
	}
	if r.Finished.Before(r.Started) || time.Since(r.Started) > time.Minute {
		t.Errorf("from %s to %s", r.Started, r.Finished)
	}
}

// checkClean makes sure that the layout has the blobs its index needs, no others, and nothing else.
func checkClean(t *testing.T, out string, r build.Result) {
	t.Helper()
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"blobs", "index.json", "oci-layout"}) {
		t.Errorf("layout holds %q", names)
	}
	top := decode[ocispec.Index](t, read(t, filepath.Join(out, "index.json")))
	if len(top.Manifests) != 1 || top.Manifests[0].Digest.String() != r.Digest || top.Manifests[0].MediaType != ocispec.MediaTypeImageIndex || r.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("index.json: %+v", top)
	}
	want := []string{r.Digest}
	index := decode[ocispec.Index](t, blob(t, out, r.Digest))
	if len(index.Manifests) != len(r.Manifests) {
		t.Errorf("index has %d manifests, result %d", len(index.Manifests), len(r.Manifests))
	}
	for i, d := range index.Manifests {
		if d.Platform.OS == "unknown" || d.Digest.String() != r.Manifests[i].Digest {
			t.Errorf("index entry %+v", d)
		}
		m := decode[ocispec.Manifest](t, blob(t, out, d.Digest.String()))
		want = append(want, d.Digest.String(), m.Config.Digest.String())
		for _, l := range m.Layers {
			want = append(want, l.Digest.String())
		}
	}
	slices.Sort(want)
	blobs, err := os.ReadDir(filepath.Join(out, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range blobs {
		got = append(got, "sha256:"+b.Name())
	}
	if !slices.Equal(got, slices.Compact(want)) {
		t.Errorf("blobs %q, want %q", got, want)
	}
}

func checkAnnotations(t *testing.T, out string, r build.Result) {
	t.Helper()
	top := decode[ocispec.Index](t, read(t, filepath.Join(out, "index.json"))).Manifests[0]
	index := decode[ocispec.Index](t, blob(t, out, r.Digest))
	manifest := decode[ocispec.Manifest](t, blob(t, out, r.Manifests[0].Digest))
	// The caller named a revision; nobody could tell whether it is what was built, so it is not claimed.
	source := map[string]string{ocispec.AnnotationSource: "https://example.test/repo"}
	for place, got := range map[string]struct{ have, want map[string]string }{
		"index descriptor":    {top.Annotations, map[string]string{"id": "4"}},
		"manifest descriptor": {index.Manifests[0].Annotations, map[string]string{"md": "3"}},
		"index":               {index.Annotations, map[string]string{"i": "<2>", ocispec.AnnotationSource: source[ocispec.AnnotationSource]}},
		"manifest":            {manifest.Annotations, map[string]string{"m": "1", ocispec.AnnotationSource: source[ocispec.AnnotationSource]}},
	} {
		delete(got.have, ocispec.AnnotationCreated)
		have, _ := json.Marshal(got.have)
		want, _ := json.Marshal(got.want)
		if !bytes.Equal(have, want) {
			t.Errorf("%s annotations %s, want %s", place, have, want)
		}
	}
}

// Several platforms in one build, and a name for the output that exists already as an empty directory.
func TestSeveralPlatforms(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Dockerfile": lines("FROM scratch", "ARG TARGETARCH", "COPY file-$TARGETARCH /file", runnable),
		"file-amd64": "a", "file-arm64": "b"})
	out := filepath.Join(t.TempDir(), "empty")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := image(t, build.Plan{Context: dir, Engine: newEngine(t), Platforms: []string{"linux/arm64", "linux/amd64"}}, out)
	if err != nil {
		t.Fatal(err)
	}
	checkClean(t, out, r)
	for i, want := range []struct{ platform, data string }{{"linux/amd64", "a"}, {"linux/arm64", "b"}} {
		m := r.Manifests[i]
		if m.Platform != want.platform || content(t, out, m.Digest)["/file"] != want.data {
			t.Errorf("manifest %d is for %s", i, m.Platform)
		}
		if !bytes.Contains(m.Provenance, []byte(strings.TrimPrefix(m.Digest, "sha256:"))) {
			t.Errorf("provenance of %s is about something else", m.Platform)
		}
	}
}

// R65: two engines with empty caches give the same digest for one SOURCE_DATE_EPOCH; without it they differ.
func TestReproducible(t *testing.T) {
	t.Parallel()
	epoch := int64(1_700_000_000)
	digests := map[string]int{}
	for i := range 3 {
		dir := files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool", `RUN ["/tool","write","/made","same"]`, runnable)})
		stamp := time.Now().Add(time.Duration(-i) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, "tool"), stamp, stamp); err != nil {
			t.Fatal(err)
		}
		plan := build.Plan{Context: dir, Engine: newEngine(t)}
		if i < 2 {
			plan.SourceDateEpoch = &epoch
		}
		r, out := mustBuild(t, plan)
		digests[r.Digest]++
		created := decode[ocispec.Index](t, blob(t, out, r.Digest)).Annotations[ocispec.AnnotationCreated]
		if i < 2 && created != "2023-11-14T22:13:20Z" {
			t.Errorf("created %q", created)
		}
	}
	if len(digests) != 2 {
		t.Fatalf("digests %v: want one for both reproducible builds and another for the third", digests)
	}
}

// R12 R64: materials carry Dockerfile line and pin; base annotations name the base in full; the pinned base is the one used.
func TestMaterialsAndBase(t *testing.T) {
	t.Parallel()
	registry := testkit.Registry(t, testkit.Olareg)
	engine := newEngine(t)
	base := files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool", "COPY name /base"), "name": "base"})
	br, layout := mustBuild(t, build.Plan{Context: base, Engine: engine})
	pinned := push(t, layout, registry, "team/base", "1")

	dir := files(t, map[string]string{"Dockerfile": lines(
		"ARG BASE="+pinned, "FROM "+registry+"/team/base:1 AS other", "FROM $BASE AS first", "FROM first", "COPY --from=other /base /other", runnable)})
	r, out := mustBuild(t, build.Plan{Context: dir, Engine: engine, InsecureRegistries: []string{registry}, Pull: true})

	if got := content(t, out, r.Manifests[0].Digest); got["/base"] != "base" || got["/other"] != "base" {
		t.Errorf("content %q", got)
	}
	want := map[int]bool{2: false, 3: true}
	if len(r.Materials) != len(want) {
		t.Fatalf("materials %+v", r.Materials)
	}
	for _, m := range r.Materials {
		pin, ok := want[m.Line]
		if !ok || pin != m.Pinned || "sha256:"+m.Digests["sha256"] != br.Digest || !strings.HasPrefix(m.URI, "pkg:docker/") {
			t.Errorf("material %+v", m)
		}
	}
	a := decode[ocispec.Index](t, blob(t, out, r.Digest)).Annotations
	if a[ocispec.AnnotationBaseImageName] != registry+"/team/base" || a[ocispec.AnnotationBaseImageDigest] != br.Digest {
		t.Errorf("base annotations %q", a)
	}
}

// Named contexts of every kind reach the build.
func TestBuildContexts(t *testing.T) {
	t.Parallel()
	registry := testkit.Registry(t, testkit.Olareg)
	engine := newEngine(t)
	br, layout := mustBuild(t, build.Plan{Context: files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY data /data"), "data": "image"}), Engine: engine})
	pinned := push(t, layout, registry, "ctx", "1")
	dir := files(t, map[string]string{"extra/file": "directory", "Dockerfile": lines("FROM scratch",
		"COPY --from=d /file /d", "COPY --from=i /data /i", "COPY --from=l /data /l", "COPY --from=m /data /m", runnable)})
	plan := build.Plan{Context: dir, Engine: engine, InsecureRegistries: []string{registry}, BuildContexts: map[string]string{
		"d": filepath.Join(dir, "extra"), "i": "docker-image://" + pinned, "l": "oci-layout://" + layout, "m": "oci-layout://" + layout + "@" + br.Digest,
	}}
	r, out := mustBuild(t, plan)
	got := content(t, out, r.Manifests[0].Digest)
	if got["/d"] != "directory" || got["/i"] != "image" || got["/l"] != "image" || got["/m"] != "image" {
		t.Errorf("content %q", got)
	}
	for _, m := range r.Materials {
		if strings.HasPrefix(m.URI, "pkg:docker/") && (!m.Pinned || m.Line != 3) {
			t.Errorf("material %+v", m)
		}
	}
	plan.BuildContexts["l"] = "oci-layout://" + layout + ":nothing"
	if _, err := image(t, plan, filepath.Join(t.TempDir(), "x")); !hint.IsMisuse(err) {
		t.Errorf("missing tag: %v", err)
	}
}

// Warnings of the frontend keep their Dockerfile line.
func TestWarnings(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool", "CMD /tool", "MAINTAINER someone")})
	r, _ := mustBuild(t, build.Plan{Context: dir, Engine: newEngine(t)})
	for _, w := range r.Warnings {
		if w.Line == 4 && strings.Contains(w.Message, "MaintainerDeprecated") && w.File == "Dockerfile" && w.URL != "" {
			return
		}
	}
	t.Errorf("warnings %+v", r.Warnings)
}
