package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// digestN gives a digest that can be told apart by eye.
func digestN(n int) string { return "sha256:" + strings.Repeat(fmt.Sprintf("%02x", n), 32) }

// allowedInput is evidence of an image for two platforms that gives no reason against it. It is small, and each
// of its claims looks as sealyard makes them.
func allowedInput() Input {
	index, amd, arm := digestN(0x01), digestN(0x0a), digestN(0x0b)
	signer := Signer{Kind: SignerKey, ID: strings.Repeat("5e", 32)}
	in := Input{
		SchemaVersion: SchemaVersion,
		Time:          time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
		Image: Image{
			Digest: index, MediaType: "application/vnd.oci.image.index.v1+json",
			Annotations: map[string]string{"org.opencontainers.image.source": "https://example.com/app"},
		},
	}
	add := func(predicateType, predicate string, subjects ...string) string {
		raw := json.RawMessage(predicate)
		digest := digestOf(append([]byte(predicateType+strings.Join(subjects, ",")), raw...))
		in.Claims = append(in.Claims, Claim{PredicateType: predicateType, Subjects: subjects, Digest: digest, Signer: signer, Predicate: raw})
		return digest
	}
	add("https://slsa.dev/provenance/v1", provenanceJSON, index, amd, arm)
	var parts, packages, components []string
	for i, digest := range []string{amd, arm} {
		platform := []string{"linux/amd64", "linux/arm64"}[i]
		in.Image.Platforms = append(in.Image.Platforms, Platform{
			Platform: platform, Digest: digest, Size: 30_000_000, Layers: 2,
			Annotations: map[string]string{"org.opencontainers.image.version": "1.2.3"},
			Config: Config{
				User: "65532", Entrypoint: []string{"/app"}, Cmd: []string{"serve"}, EnvNames: []string{"PATH"}, ExposedPorts: []string{"8080/tcp"},
				Volumes: []string{"/data"}, Labels: map[string]string{"team": "yard"}, WorkingDir: "/", Healthcheck: true, Created: "2026-11-20T11:00:00Z",
			},
		})
		add(typeSPDX, `{"spdxVersion":"SPDX-2.3","name":"app","packages":[{"name":"openssl","versionInfo":"3.0.17-1"}]}`, digest)
		add(typeCycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"openssl","version":"3.0.17-1"}]}`, digest)
		vulns := add("https://in-toto.io/attestation/vulns/v0.2", fmt.Sprintf(vulnsJSON, vulnerabilityJSON, `"packages":105,"distro":"debian 12","covered":true,"uncomparable":0`, ""), digest)
		hex := strings.TrimPrefix(digest, "sha256:")
		parts = append(parts, fmt.Sprintf(`{"platform":%q,"digest":%q,"vulns":%q}`, platform, digest, vulns))
		packages = append(packages, fmt.Sprintf(`{"name":"app","checksums":[{"algorithm":"SHA256","checksumValue":%q}]}`, hex))
		components = append(components, fmt.Sprintf(`{"name":"app","hashes":[{"alg":"SHA-256","content":%q}]}`, hex))
	}
	add(typeSPDX, `{"spdxVersion":"SPDX-2.3","name":"app","packages":[`+strings.Join(packages, ",")+`]}`, index)
	add(typeCycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[`+strings.Join(components, ",")+`]}`, index)
	add("https://in-toto.io/attestation/vulns/v0.2", fmt.Sprintf(vulnsJSON, "", `"packages":0,"distro":"","covered":false,"uncomparable":0`, `,"sealyard_platforms":[`+strings.Join(parts, ",")+`]`), index)
	return in
}

const provenanceJSON = `{"buildDefinition":{"buildType":"https://github.com/sealyard/sealyard/blob/main/docs/buildtypes/container-v1.md",
"externalParameters":{"source":"https://example.com/app","dockerfile":"Dockerfile","entitlements":[],"network":"default"},
"internalParameters":{"sealyard_mode":"cli"},
"resolvedDependencies":[{"uri":"pkg:docker/debian@12?digest=sha256:1212121212121212121212121212121212121212121212121212121212121212&platform=linux%2Famd64",
"digest":{"sha256":"1212121212121212121212121212121212121212121212121212121212121212"},"annotations":{"sealyard_dockerfileLine":"3"}}]},
"runDetails":{"builder":{"id":"https://sealyard.dev/builders/cli"},"metadata":{"startedOn":"2026-11-20T11:58:00Z"}}}`

const vulnsJSON = `{"scanner":{"uri":"https://github.com/sealyard/sealyard","version":"v0.1.0",
"db":{"uri":"https://example.com/db","version":"6","lastUpdate":"2026-11-19T06:00:00Z","sealyard_digest":{"sha256":"dbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdb"}},
"result":[%s]},"metadata":{"scanStartedOn":"2026-11-20T11:59:00Z","scanFinishedOn":"2026-11-20T11:59:02Z"},"sealyard_coverage":{%s}%s}`

const vulnerabilityJSON = `{"id":"CVE-2026-0001","severity":[{"method":"vendor","score":"low"}],"annotations":[{"package":"openssl","version":"3.0.17-1",
"purl":"pkg:deb/debian/openssl@3.0.17-1","binaries":["libssl3"],"type":"deb","fixState":"fixed","fixedIn":["3.0.18-1"],"severity":"low","epss":0.01,"aliases":[],"layer":"","dataSource":"https://example.com/CVE-2026-0001"}]}`

// baseline loads the embedded bundle with settings.
func baseline(t testing.TB, settings string) *Bundle {
	t.Helper()
	b, err := Baseline(LoadOptions{Data: []byte(settings)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decideOrFail(t testing.TB, b *Bundle, in Input) Decision {
	t.Helper()
	d, err := b.Decide(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustJSON(t testing.TB, in Input) []byte {
	t.Helper()
	data, err := in.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}
