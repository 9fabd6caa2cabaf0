package arch

// A room is a package, what it may import of sealyard, and what it is there for. A package that is not listed may
// not exist: adding one is a decision, see DESIGN.md.
type room struct {
	dir   string // relative to the module; "" is the root
	may   []string
	tests []string // what its tests may import besides; internal/testkit is for all tests
	why   string
}

func rooms() []room {
	return []room{
		{dir: "", may: []string{"action"}, why: "main wires the operating system to action.Main"},
		{dir: "action", may: []string{"action/report", "build", "scan", "attest", "policy", "oci", "workload", "internal/hint"}, tests: []string{"internal/testdb"},
			why: "the stem: only it knows the order of things"},
		{dir: "action/report", may: []string{"policy"}, why: "renders a run; what it says of a decision is policy's own type"},
		{dir: "build", may: []string{"internal/hint", "internal/secretlike"}, why: "a leaf: plan -> layout"},
		{dir: "scan", may: []string{"internal/hint"}, tests: []string{"internal/testdb"}, why: "a leaf: layout -> packages and vulnerabilities"},
		{dir: "attest", may: []string{"internal/hint"}, tests: []string{"attest/attesttest"}, why: "a leaf: facts -> statements -> verified claims"},
		{dir: "policy", may: []string{"internal/hint"}, why: "a leaf: evidence -> decision"},
		{dir: "oci", may: []string{"internal/hint"}, why: "a leaf: layout <-> registry"},
		{dir: "workload", may: []string{"internal/hint", "internal/secretlike"}, why: "a leaf: manifests -> what they would run"},
		{dir: "attest/attesttest", may: []string{"attest"}, why: "the test that every signer must pass"},
		{dir: "internal/hint", why: "errors that say what to do; everyone may import it"},
		{dir: "internal/secretlike", why: "tells a secret by its form; what goes into evidence must not be one"},
		{dir: "internal/testkit", why: "real tools and registries for tests"},
		{dir: "internal/testdb", why: "small vulnerability databases for tests"},
		{dir: "internal/testdb/mkdb", may: []string{"internal/testdb"}, why: "writes such a database by hand"},
		{dir: "internal/arch", why: "this test"},
	}
}

// testOnly lists the rooms that nothing but tests may import.
func testOnly() []string {
	return []string{"internal/testkit", "internal/testdb", "internal/testdb/mkdb", "internal/arch", "attest/attesttest"}
}

// leaves take everything they need as arguments: no environment, no clock, no terminal.
func leaves() []string {
	return []string{"build", "scan", "attest", "policy", "oci", "workload", "action/report", "internal/hint", "internal/secretlike"}
}

// An owner says which rooms may import a foreign module, and why it is there at all. Whatever is not listed may not be
// imported: a dependency enters on purpose. The longest prefix counts.
type owner struct {
	prefix string
	by     []string
	tests  []string // rooms whose tests may, besides
	why    string
}

func owners() []owner {
	leavesAndStem := []string{"action", "build", "scan", "attest", "policy", "oci", "workload"}
	return []owner{
		{prefix: "github.com/moby/buildkit", by: []string{"build"}, why: "builds; the heaviest of all, and its types must not spread"},
		{prefix: "github.com/tonistiigi/fsutil", by: []string{"build"}, why: "BuildKit's way to send a directory"},
		{prefix: "github.com/containerd", by: []string{"build"}, why: "BuildKit's snapshots, contents and platforms"},
		{prefix: "github.com/moby", by: []string{"build"}, why: "BuildKit's neighbours"},
		{prefix: "github.com/docker", by: []string{"build"}, why: "BuildKit's neighbours"},
		{prefix: "github.com/distribution/reference", by: []string{"build"}, why: "BuildKit's image references"},
		{prefix: "go.etcd.io/bbolt", by: []string{"build"}, why: "where the engine keeps its cache"},
		{prefix: "mvdan.cc/sh", by: []string{"build"}, why: "reads the shell in RUN lines; the parser that shfmt is"},
		{prefix: "google.golang.org/grpc", by: []string{"build"}, why: "BuildKit's wire"},
		{prefix: "github.com/anchore/syft", by: []string{"scan"}, tests: []string{"internal/testdb"}, why: "finds packages"},
		{prefix: "github.com/anchore/grype", by: []string{"scan"}, tests: []string{"internal/testdb"}, why: "matches vulnerabilities"},
		{prefix: "github.com/anchore/stereoscope", by: []string{"scan"}, why: "syft's view of an image"},
		{prefix: "github.com/anchore", by: []string{"scan"}, why: "the scan engine's neighbours"},
		{prefix: "github.com/CycloneDX/cyclonedx-go", by: []string{"scan"}, why: "writes CycloneDX"},
		{prefix: "github.com/spdx", by: []string{"scan"}, why: "writes SPDX"},
		{prefix: "github.com/spf13/afero", by: []string{"scan"}, why: "grype's file system"},
		{prefix: "github.com/in-toto", by: []string{"attest"}, why: "statement and predicate types"},
		{prefix: "github.com/theupdateframework/go-tuf", by: []string{"attest", "internal/testkit"}, why: "how Sigstore publishes trusted roots; and a repository of it, for tests"},
		{prefix: "github.com/sigstore/sigstore/pkg/signature", by: []string{"attest", "internal/testkit"}, why: "what go-tuf signs with"},
		{prefix: "github.com/sigstore", by: []string{"attest"}, why: "signing and verifying; its types must not be mistaken for verified"},
		{prefix: "github.com/go-openapi", by: []string{"attest"}, why: "the wire of Rekor v1"},
		{prefix: "github.com/secure-systems-lab", by: []string{"attest"}, why: "DSSE and encrypted keys"},
		{prefix: "google.golang.org/protobuf", by: []string{"attest", "build"}, why: "Sigstore's and BuildKit's messages"},
		{prefix: "github.com/package-url/packageurl-go", by: []string{"policy"}, why: "package URLs that waivers name"},
		{prefix: "github.com/openvex/go-vex", by: []string{"policy"}, why: "reads OpenVEX, and says what its statements lack; grype links it anyway"},
		{prefix: "github.com/open-policy-agent", by: []string{"policy"}, why: "evaluates Rego"},
		{prefix: "github.com/google/go-containerregistry", by: []string{"oci"}, why: "speaks to registries"},
		{prefix: "github.com/google/go-containerregistry/pkg/v1", by: []string{"oci", "scan"}, why: "stereoscope takes an image in its types"},
		{prefix: "github.com/google/uuid", by: []string{"scan"}, why: "CycloneDX serial numbers"},
		{prefix: "go.yaml.in/yaml", by: []string{"policy", "workload"}, why: "METADATA and data.yaml of a bundle; lines of a manifest"},
		{prefix: "sigs.k8s.io/yaml", by: []string{"action", "workload"}, why: "YAML as kubectl reads it: policy data, manifests"},
		{prefix: "gonum.org/v1/gonum", by: []string{"workload"}, why: "solves linear programmes: how many nodes are enough"},
		{prefix: "github.com/digitorus", tests: []string{"attest"}, why: "a timestamp authority, for tests"},
		{prefix: "github.com/go-git", by: []string{"action"}, why: "reads what decides from the base of a pull request; syft links it anyway"},
		{prefix: "github.com/spf13/cobra", by: []string{"action"}, why: "the command line"},
		{prefix: "github.com/spf13/pflag", by: []string{"action"}, why: "the command line"},
		{prefix: "github.com/sethvargo/go-githubactions", by: []string{"action/report"}, why: "the form of workflow commands"},
		{prefix: "github.com/owenrumney/go-sarif", by: []string{"action/report"}, why: "writes SARIF"},
		{prefix: "github.com/agext/levenshtein", by: []string{"internal/hint"}, why: "names the nearest known name"},
		{prefix: "github.com/go-json-experiment/json", by: []string{"policy", "attest", "oci", "scan", "workload", "action"}, why: "JSON that refuses duplicate names and trailing data"},
		{prefix: "github.com/opencontainers", by: []string{"build", "oci", "scan"}, why: "the names of OCI fields"},
		{prefix: "github.com/klauspost/compress", by: []string{"scan", "oci", "build", "policy"}, tests: []string{"internal/testdb"}, why: "zstd"},
		{prefix: "golang.org/x", by: leavesAndStem, why: "what the standard library will have one day"},
		{prefix: "github.com/santhosh-tekuri/jsonschema", tests: []string{"scan"}, why: "holds SBOMs to their published schemas"},
		{prefix: "github.com/rogpeppe/go-internal", tests: []string{"action", ""}, why: "txtar scripts drive the real main"},
		{prefix: "github.com/olareg/olareg", by: []string{"internal/testkit"}, tests: []string{"oci", "action"}, why: "a registry in process, for tests"},
	}
}

// Sizes: what a reader can hold in mind. Tests are free.
const (
	maxFile    = 600 // lines
	maxFunc    = 80  // lines
	maxNesting = 4
	maxParams  = 5
	maxMethods = 3 // of an interface

	p95File = 400
	p95Func = 50
)

// An exception is a violation that stands, and why. One that no longer happens fails the test.
type exception struct {
	rule, where, why string
}

func exceptions() []exception {
	return []exception{
		{"pure", "oci/referrers.go Repository.addFallback", "measures a round trip to know how long to wait for others; no time gets into a result"},
		{"sizes", "oci/source.go", "what a directory and a registry have in common; split, both halves would be passed together"},
		{"sizes", "policy/entry.go mentioned", "modules, their rules, the else of a rule, its terms: that is how deep the syntax tree is"},
		{"sizes", "action/claims.go", "what a statement just made and a verified one have in common, read in one place"},
	}
}
