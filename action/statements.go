package action

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
	"github.com/sealyard/sealyard/scan"
)

// provenance says how the image was built.
func (s *session) provenance(plan build.Plan, r build.Result, img oci.Image, policies []*policy.Bundle, judged json.RawMessage) (attest.Statement, error) {
	b := attest.Build{
		Frontend: r.Syntax, Sources: judged, Dockerfile: dockerfileSeen(r.Reading),
		Subjects: wholeImage(img), Mode: s.mode(), Started: r.Started, Finished: r.Finished, InvocationID: s.invocation(),
		External: s.external(plan, r, policies), RunNetwork: runNetwork(plan), Workflow: s.identity.Workflow,
		Origin:   attest.Origin{Commit: r.Source.Revision, Clean: r.Source.Clean, Verified: r.Source.Verified},
		Complete: attest.Completeness{Request: r.Complete.Request, ResolvedDependencies: r.Complete.ResolvedDependencies},
		Versions: attest.Versions{Sealyard: version().Version, Frontend: r.Frontend},
	}
	if s.identity.Kind == attest.KindKeyless && b.Mode == attest.ModeAction {
		b.BuilderID = s.identity.ID // the workflow that GitHub's token names (R9)
	}
	var engines []string
	for _, e := range r.Engines {
		engines = append(engines, e.BuildKit)
	}
	slices.Sort(engines)
	b.Versions.BuildKit = strings.Join(slices.Compact(engines), " ")
	for _, m := range r.Materials {
		b.Materials = append(b.Materials, attest.Material{URI: m.URI, Digests: m.Digests, Line: m.Line, Pinned: m.Pinned})
	}
	for _, m := range r.Manifests {
		b.Byproducts = append(b.Byproducts, attest.Reference{Name: m.Platform, Digest: sha256of(m.Provenance)})
	}
	return attest.Provenance(b)
}

// dockerfileSeen is what the build saw in the Dockerfile, for provenance.
func dockerfileSeen(r build.Reading) attest.Dockerfile {
	d := attest.Dockerfile{Digest: map[string]string{"sha256": strings.TrimPrefix(r.Digest, "sha256:")}, Unread: r.Unread, Marks: []attest.Mark{}}
	for _, m := range r.Marks {
		d.Marks = append(d.Marks, attest.Mark(m))
	}
	return d
}

// runNetwork is what RUN steps could reach. The built-in engine gives them the network of the machine.
func runNetwork(plan build.Plan) string {
	switch {
	case plan.Network == "none":
		return "none"
	case len(plan.Hosts) > 0:
		return "engine"
	default:
		return "host"
	}
}

// external lists every input that shaped the build, by the names of the build type. Of secrets only the ids are named.
func (s *session) external(plan build.Plan, r build.Result, policies []*policy.Bundle) attest.External {
	e := attest.External{
		Source: r.Source.URI, Ref: r.Source.Ref, Dockerfile: r.Dockerfile, Context: withoutUser(plan.Context), Target: plan.Target,
		BuildArgs: plan.BuildArgs, Entitlements: r.Entitlements, Network: plan.Network, CacheFrom: cacheLines(plan.CacheFrom),
		Inputs: map[string]string{},
	}
	if tags := s.in.all("tags"); len(tags) > 0 {
		if ref, err := oci.ParseReference(tags[0]); err == nil {
			e.Image = ref.Repository
		}
	}
	for _, m := range r.Manifests {
		e.Platforms = append(e.Platforms, m.Platform)
	}
	for _, p := range policies {
		e.Policy = append(e.Policy, attest.Reference{Name: p.Name(), Digest: p.Digest()})
	}
	named := []string{"context", "file", "platforms", "build-args", "target", "allow", "network", "cache-from", "cache-to", "push", "progress", "engine-state", "buildkit-tls-dir", "github-token", "provenance"}
	for _, in := range buildInputs() {
		if v := s.in.all(in.name); len(v) > 0 && !slices.Contains(named, in.name) && v[0] != in.value {
			e.Inputs[in.name] = summary(in, v)
		}
	}
	if plan.SourceDateEpoch != nil { // it may come from the environment
		e.Inputs["source-date-epoch"] = strconv.FormatInt(*plan.SourceDateEpoch, 10)
	}
	if len(plan.InsecureRegistries) > 0 {
		e.Inputs["plain-http"] = strings.Join(plan.InsecureRegistries, "\n")
	}
	if len(plan.CacheTo) > 0 {
		e.Inputs["cache-to"] = strings.Join(cacheLines(plan.CacheTo), "\n")
	}
	return e
}

// cacheLines says which caches were used: their place, never the credentials to reach it (R11, T5).
func cacheLines(caches []build.Cache) []string {
	var out []string
	for _, c := range caches {
		line := "type=" + c.Type
		for _, attr := range []string{"ref", "src", "dest", "scope", "bucket", "region", "name", "prefix", "mode"} {
			if v := c.Attrs[attr]; v != "" {
				line += "," + attr + "=" + v
			}
		}
		out = append(out, line)
	}
	return out
}

// summary writes the values of an input for provenance: of secrets the ids only (R11).
func summary(in input, values []string) string {
	out := ""
	for i, v := range values {
		if i > 0 {
			out += "\n"
		}
		switch in.name {
		case "secrets", "secret-envs", "secret-files", "ssh":
			v, _, _ = strings.Cut(v, "=")
		}
		out += withoutUser(v)
	}
	return out
}

var userinfo = regexp.MustCompile(`://[^/@\s]*@`)

// withoutUser takes user and password out of the URLs in a text (T5).
func withoutUser(s string) string { return userinfo.ReplaceAllString(s, "://") }

// invocation is the address of the workflow run, or "" outside of one.
func (s *session) invocation() string {
	if !s.onGitHub() || s.signedByPerson() {
		return ""
	}
	get := s.env.getenv
	return get("GITHUB_SERVER_URL") + "/" + get("GITHUB_REPOSITORY") + "/actions/runs/" + get("GITHUB_RUN_ID") + "/attempts/" + get("GITHUB_RUN_ATTEMPT")
}

// scanStatements makes the SBOM and vulnerability claims: one of each kind for every platform, and one of each for the index, which
// names those of the platforms.
func scanStatements(r scan.Report, img oci.Image) ([]attest.Statement, error) {
	var out []attest.Statement
	index := attest.VulnScan{
		Subjects: []attest.Subject{{Name: "index", Digest: img.Digest}}, Version: version().Version,
		DB: vulnDB(r.DB), Started: r.Started, Finished: r.Finished, Coverage: attest.Coverage{LayersRead: true},
	}
	add := func(st attest.Statement, err error) error {
		if err == nil {
			out = append(out, st)
		}
		return err
	}
	for _, p := range r.Platforms {
		subject := []attest.Subject{{Name: p.Platform, Digest: p.Digest}}
		coverage := attest.Coverage{Packages: len(p.Packages), Distro: p.Distro.Name, Covered: p.Covered(), Uncomparable: p.Uncomparable, LayersRead: !p.Known, User: &p.User.UID}
		vulns, err := attest.Vulns(attest.VulnScan{
			Subjects: subject, Version: index.Version, DB: index.DB, Started: r.Started, Finished: r.Finished,
			Findings: findings(p.Vulnerabilities), Coverage: coverage,
		})
		if err != nil {
			return nil, err
		}
		out = append(out, vulns)
		if err := add(attest.SPDX(subject, p.SPDX)); err != nil {
			return nil, err
		}
		if err := add(attest.CycloneDX(subject, p.CycloneDX)); err != nil {
			return nil, err
		}
		index.Coverage.LayersRead = index.Coverage.LayersRead && coverage.LayersRead
		index.Coverage.Packages += coverage.Packages
		index.Coverage.Uncomparable += coverage.Uncomparable
		index.Platforms = append(index.Platforms, attest.PlatformScan{Platform: p.Platform, Digest: p.Digest, Statement: vulns.Digest()})
	}
	if r.SPDX == nil {
		return out, nil // the scan of a single manifest: there is no index to speak of
	}
	if err := add(attest.Vulns(index)); err != nil {
		return nil, err
	}
	if err := add(attest.SPDX(index.Subjects, r.SPDX)); err != nil {
		return nil, err
	}
	return out, add(attest.CycloneDX(index.Subjects, r.CycloneDX))
}

func vulnDB(db scan.DBInfo) attest.VulnDB {
	uri := db.Source
	if u, err := url.Parse(uri); err == nil {
		u.User, u.RawQuery, u.Fragment = nil, "", "" // what opens a door is not evidence (T5)
		uri = u.String()
	}
	return attest.VulnDB{URI: uri, Version: db.Schema, Updated: db.Built, Digest: db.Digest}
}

func findings(vulns []scan.Vulnerability) []attest.Finding {
	var out []attest.Finding
	for _, v := range vulns {
		f := attest.Finding{
			ID: v.ID, Package: v.Package, Version: v.Version, PURL: v.PURL, Binaries: v.Binaries, Type: v.Type, FixState: v.FixState,
			FixedIn: v.FixedIn, Severity: v.Severity, KEV: v.KEV, Aliases: v.Aliases, Layer: v.Layer, DataSource: v.DataSource,
			Published: v.Published, Fixable: v.Fixable,
		}
		for _, c := range v.CVSS {
			f.Scores = append(f.Scores, attest.Score{Method: "CVSS:" + c.Version, Score: strconv.FormatFloat(c.Score, 'f', 1, 64)})
		}
		if v.EPSS != nil {
			f.EPSS = &v.EPSS.Score
		}
		out = append(out, f)
	}
	return out
}

// claimsOf turns statements into what rules see, as if the signer had signed them already.
func claimsOf(statements []attest.Statement, signer attest.Identity) ([]policy.Claim, error) {
	var out []policy.Claim
	for _, st := range statements {
		c, err := claim(st, signer)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}
