package build

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sealyard/sealyard/internal/hint"
)

// R12: each FROM, COPY --from, RUN --mount=from, ADD of a URL and the frontend itself, with line and pin, as evaluated for the platforms of the build.
func TestDockerfileSources(t *testing.T) {
	sum := "sha256:" + strings.Repeat("ab", 32)
	data := strings.Join([]string{
		"# syntax=docker/dockerfile:1@" + sum,
		"ARG VERSION=12",
		"ARG REG=docker.io",
		"FROM --platform=$BUILDPLATFORM debian:$VERSION AS build",
		"RUN --mount=from=busybox:1,target=/b true",
		"COPY --from=tools /a /a",
		"ADD --checksum=" + sum + " https://example.test/a.tgz /",
		"ADD https://example.test/b.git#" + strings.Repeat("c", 40) + ":sub /",
		"ADD https://example.test/c.txt /",
		"FROM ${REG}/app:$TARGETARCH@" + sum + " AS final",
		"COPY --from=build /x /x",
		"COPY --from=0 /x /x",
		"FROM final",
		"FROM scratch AS empty",
	}, "\n")
	plan := Plan{BuildArgs: map[string]string{"REG": "reg.test:5000"}, BuildContexts: map[string]string{"tools": "docker-image://tools@" + sum, "local": "./x"}}
	d := readDockerfile([]byte(data), plan, []string{"linux/arm64"})
	want := []sourceRef{
		{"docker.io/docker/dockerfile:1@" + sum, 1, true},
		{"docker.io/library/debian:12", 4, false},
		{"docker.io/library/busybox:1", 5, false},
		{"docker.io/library/tools@" + sum, 6, true},
		{"https://example.test/a.tgz", 7, true},
		{"https://example.test/b.git#" + strings.Repeat("c", 40), 8, true},
		{"https://example.test/c.txt", 9, false},
		{"reg.test:5000/app:arm64@" + sum, 10, true},
	}
	var got []sourceRef
	for _, r := range d.refs {
		if r.line > 0 {
			got = append(got, r)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if d.base != "" || !strings.HasPrefix(d.syntax, "docker/dockerfile:1@") {
		t.Errorf("base %q, syntax %q", d.base, d.syntax)
	}
	for target, base := range map[string]string{"final": "reg.test:5000/app:arm64@" + sum, "2": "reg.test:5000/app:arm64@" + sum, "BUILD": "docker.io/library/debian:12", "empty": ""} {
		plan.Target = target
		if d := readDockerfile([]byte(data), plan, []string{"linux/arm64"}); d.base != base {
			t.Errorf("target %s has base %q", target, d.base)
		}
	}
	plan.Target = "final"
	if d := readDockerfile([]byte(data), plan, []string{"linux/arm64", "linux/amd64"}); d.base != "" {
		t.Errorf("two platforms with two bases have no common one, got %q", d.base)
	}
}

func FuzzReadDockerfile(f *testing.F) {
	for _, s := range []string{"FROM scratch", "# syntax=x\nARG A=b\nFROM $A AS c\nCOPY --from=c a b", "FROM a\nRUN --mount=from=${B:-x} <<EOF\nEOF", "#!/x\n// syntax=y", "{\"syntax\":\"z\"}", "ARG A=${A}\nFROM ${A%%x}"} {
		f.Add(s, "final")
	}
	f.Fuzz(func(t *testing.T, data, target string) {
		d := readDockerfile([]byte(data), Plan{Target: target, BuildArgs: map[string]string{"A": data}}, []string{"linux/arm64", "linux/amd64"})
		_ = d.checkTarget(target)
		for _, r := range d.refs {
			if r.key == "" {
				t.Errorf("reference without a key: %+v", r)
			}
		}
	})
}

// layoutWith writes a small export as BuildKit would; change may spoil it.
func layoutWith(t testing.TB, change func(dir string, blobs map[string]string)) export {
	t.Helper()
	e, err := newLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	put := func(name, mediaType string, v any) ocispec.Descriptor {
		data, ok := v.([]byte)
		if !ok {
			if data, err = encode(v); err != nil {
				t.Fatal(err)
			}
		}
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		if err := os.WriteFile(e.path(d.Digest), data, 0o644); err != nil {
			t.Fatal(err)
		}
		names[name] = e.path(d.Digest)
		return d
	}
	platform := ocispec.Platform{OS: "linux", Architecture: "amd64"}
	layer := put("layer", ocispec.MediaTypeImageLayerGzip, []byte("layer"))
	config := put("config", ocispec.MediaTypeImageConfig, ocispec.Image{Platform: platform})
	manifest := put("manifest", ocispec.MediaTypeImageManifest, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer}})
	manifest.Platform = &platform
	s := put("statement", "application/vnd.in-toto+json", []byte(`{"predicateType":"`+slsaV1+`","subject":[{"digest":{"sha256":"`+manifest.Digest.Encoded()+`"}}]}`))
	s.Annotations = map[string]string{predicateType: slsaV1}
	attestation := put("attestation", ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{s}})
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{referenceType: "attestation-manifest", referenceTo: manifest.Digest.String()}
	index := put("index", ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{manifest, attestation}})
	top, err := encode(ocispec.Index{Manifests: []ocispec.Descriptor{index}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.dir, "index.json"), top, 0o644); err != nil {
		t.Fatal(err)
	}
	change(e.dir, names)
	return e
}

// T29: whatever is wrong with an exported layout is an error: no blob is trusted unread, no link followed.
func TestExportIsNotTrusted(t *testing.T) {
	if images, err := layoutWith(t, func(string, map[string]string) {}).images(); err != nil || len(images) != 1 || images[0].platform != "linux/amd64" {
		t.Fatalf("good layout: %v %v", images, err)
	}
	write := func(path, data string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(string, map[string]string){
		"no index.json":      func(dir string, _ map[string]string) { _ = os.Remove(filepath.Join(dir, "index.json")) },
		"index.json no JSON": func(dir string, _ map[string]string) { write(filepath.Join(dir, "index.json"), "{") },
		"index.json empty":   func(dir string, _ map[string]string) { write(filepath.Join(dir, "index.json"), "{}") },
		"layer missing":      func(_ string, b map[string]string) { _ = os.Remove(b["layer"]) },
		"layer longer":       func(_ string, b map[string]string) { write(b["layer"], "layers") },
		"config missing":     func(_ string, b map[string]string) { _ = os.Remove(b["config"]) },
		"config is a link": func(dir string, b map[string]string) {
			if err := os.Rename(b["config"], filepath.Join(dir, "elsewhere")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(dir, "elsewhere"), b["config"]); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := layoutWith(t, change).images(); err == nil {
				t.Error("accepted")
			}
		})
	}
	for _, part := range []string{"manifest", "config", "index", "attestation", "statement"} {
		t.Run("flipped byte in "+part, func(t *testing.T) {
			e := layoutWith(t, func(_ string, b map[string]string) {
				data, err := os.ReadFile(b[part])
				if err != nil {
					t.Fatal(err)
				}
				data[len(data)/2] ^= 1
				write(b[part], string(data))
			})
			if _, err := e.images(); err == nil || !strings.Contains(err.Error(), "does not match its digest") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func FuzzStatement(f *testing.F) {
	f.Add([]byte(`{"predicateType":"` + slsaV1 + `","subject":[{"digest":{"sha256":"aa"}}]}`))
	f.Add([]byte(`{"predicateType":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseStatement(data, "aa"); err == nil && (s.PredicateType != slsaV1 || !bytes.Contains(data, []byte("aa")) && !bytes.Contains(data, []byte(`\u00`))) {
			t.Errorf("accepted %q", data)
		}
	})
}

// The engine's arguments survive the way through its command line, and nonsense is refused.
func TestEngineArgs(t *testing.T) {
	want := EngineOptions{Socket: "/s", State: "/d", Runc: "/r", Rootless: true, Isolated: true, Entitlements: []string{"a", "b"}, InsecureRegistries: []string{"h:1"}}
	args := want.args()
	got, err := ParseEngineArgs(args[1:])
	if err != nil || !reflect.DeepEqual(got, want) || args[0] != "engine" {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range [][]string{nil, {"--socket", "/s"}, {"--nonsense"}, append(args[1:], "extra")} {
		if _, err := ParseEngineArgs(bad); !hint.IsMisuse(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// An ordinary user's engine runs under rootlesskit, or not at all with a word on what to install.
func TestRootlessCommandLine(t *testing.T) {
	dir := t.TempDir()
	e := Engine{Executable: "/exe", StateDir: dir, Env: []string{"PATH=relative:" + dir}}
	for _, name := range []string{"runc", "rootlesskit"} {
		if _, _, err := engineCommandLine(e, EngineOptions{}, false); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(hint.Of(err), "apt-get install "+name) {
			t.Errorf("without %s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	line, o, err := engineCommandLine(e, EngineOptions{}, false)
	if err != nil || line[0] != filepath.Join(dir, "rootlesskit") || line[len(line)-1] != "/exe" || !o.Rootless || o.Isolated {
		t.Errorf("%q %+v %v", line, o, err)
	}
	line, o, err = engineCommandLine(e, EngineOptions{}, true)
	if err != nil || !reflect.DeepEqual(line, []string{"/exe"}) || o.Rootless || !o.Isolated {
		t.Errorf("%q %+v %v", line, o, err)
	}
}

// The tail keeps the last lines, whole or cut, whatever is written.
func TestTail(t *testing.T) {
	l := tail{max: 2}
	for _, s := range []string{"a", "b\nc\nd", "\n" + strings.Repeat("x", 2*maxLogLine) + "\ne"} {
		if n, err := l.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	got, _ := json.Marshal(l.Lines())
	want, _ := json.Marshal([]string{"d", strings.Repeat("x", maxLogLine), "e"})
	if !bytes.Equal(got, want) {
		t.Errorf("got %s", got)
	}
}
