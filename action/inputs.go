package action

import (
	"fmt"
	"slices"
	"strings"
)

// kind says how the text of an input is split.
type kind int

const (
	text    kind = iota // one single-line value
	boolean             // true or false
	list                // one value per line; repeatable on the command line
	csv                 // one value per line or comma; repeatable on the command line
)

// An input is one row of the table that action.yml, the command-line flags and the README table are made of.
type input struct {
	name  string
	kind  kind
	value string // default
	help  string
	on    string // the commands that take it, space separated
	alias string // another flag name people type, such as build-arg for build-args
	short string // one-letter flag
	words string // the only values it takes, space separated; "" takes any
	// instead is set on inputs of other actions that are not supported: it says what to use.
	instead string
	secret  bool // the value is masked in every output
}

// inputs is the one list of everything a user can set. The first group keeps docker/build-push-action's names.
func inputs() []input {
	return slices.Concat(buildInputs(), gateInputs(), signInputs(), identityInputs(), summaryInputs(), auditInputs(), registryInputs(), reportInputs(), refusedInputs(), cosignInputs())
}

func buildInputs() []input {
	const b = "build"
	return []input{
		{name: "context", value: ".", on: b, help: "build context: a directory or a git URL (https://host/repo.git#ref:subdir)"},
		{name: "file", on: b, short: "f", help: "Dockerfile, relative to the working directory (default: Dockerfile in the context)"},
		{name: "tags", kind: csv, on: b + " publish", alias: "tag", short: "t", help: "image references to publish, such as ghcr.io/acme/app:1.2"},
		{name: "push", kind: boolean, value: "false", on: b, help: "publish the image when the decision is allow; needs a signer"},
		{name: "platforms", kind: csv, on: b + " layout-init", alias: "platform", help: "target platforms, such as linux/amd64,linux/arm64"},
		{name: "target", on: b, help: "stage of the Dockerfile to build"},
		{name: "build-args", kind: list, on: b, alias: "build-arg", help: "build arguments, NAME=value; never secrets: they end up in provenance"},
		{name: "build-contexts", kind: list, on: b, alias: "build-context", help: "named contexts, NAME=path, docker-image://, oci-layout:// or a git URL"},
		{name: "secrets", kind: list, on: b, alias: "secret", help: "build secrets, ID=value", secret: true},
		{name: "secret-envs", kind: csv, on: b, alias: "secret-env", help: "build secrets from the environment, ID=VARIABLE"},
		{name: "secret-files", kind: list, on: b, alias: "secret-file", help: "build secrets from files, ID=path"},
		{name: "ssh", kind: list, on: b, help: "ssh agent socket or keys to expose, default or ID=path"},
		{name: "labels", kind: list, on: b, alias: "label", help: "image labels, NAME=value"},
		{name: "annotations", kind: list, on: b, alias: "annotation", help: "OCI annotations, [type[platform]:]NAME=value"},
		{name: "cache-from", kind: list, on: b, help: "caches to read, such as type=registry,ref=host/repo:cache"},
		{name: "cache-to", kind: list, on: b, help: "caches to write, before the decision is made: a cache in a registry holds layers of images that may be denied"},
		{name: "no-cache", kind: boolean, value: "false", on: b + " scan", help: "build every step and read every layer anew"},
		{name: "no-cache-filters", kind: csv, on: b, alias: "no-cache-filter", help: "stages to build anew"},
		{name: "pull", kind: boolean, value: "false", on: b, help: "resolve base images again even when they are cached"},
		{name: "network", on: b, help: "network of RUN steps: default (of the built-in engine: the network of this machine), none or host (needs allow: network.host)"},
		{name: "allow", kind: csv, on: b, help: "entitlements: network.host, security.insecure; the policy sees them and denies by default"},
		{name: "add-hosts", kind: csv, on: b, alias: "add-host", help: "extra host entries for RUN steps, NAME:IP"},
		{name: "shm-size", on: b, help: "size of /dev/shm in RUN steps, such as 128m"},
		{name: "ulimit", kind: list, on: b, help: "limits of RUN steps, such as nofile=1024:2048"},
		{name: "cgroup-parent", on: b, help: "parent cgroup of RUN steps"},
		{name: "provenance", on: b, value: "mode=min", words: "mode=min mode=max", help: "detail of BuildKit's own provenance kept beside ours: mode=min or mode=max"},
		{name: "source-date-epoch", on: b, help: "Unix seconds for every time in the image, so that two builds give one digest (default: SOURCE_DATE_EPOCH)"},
		{name: "buildkit-host", kind: csv, on: b, help: "BuildKit to use instead of the built-in engine: unix, tcp, docker-container, kube-pod or ssh address; several as PLATFORM=ADDRESS"},
		{name: "buildkit-tls-dir", on: b, help: "directory with ca.pem, cert.pem and key.pem for tcp BuildKit addresses"},
		{name: "engine-state", on: b, help: "directory of the built-in engine's cache (default: sealyard/engine in the user's cache directory)"},
		{name: "progress", value: "auto", words: "auto plain tty quiet", on: b, help: "build progress: auto, plain, tty or quiet"},
		{name: "github-token", on: b, secret: true, help: "token for a private git context (secret GIT_AUTH_TOKEN), and for push-to-github"},
	}
}

func gateInputs() []input {
	const d, s = "build scan verify", "build scan"
	const own, signed = d + " audit report policy-eval policy-explain policy-test", d + " audit report policy-eval policy-explain policy-test policy-show policy-pull"
	const waive = " waiver-add waiver-lint"
	return []input{
		{name: "policy", kind: list, on: own + waive, help: "policy bundles: baseline or another word that policy list shows, a directory, a tar.gz, oci://REGISTRY/NAME@sha256:HEX or https://HOST/FILE.tar.gz#sha256=HEX; all must allow (default: the built-in baseline; when verifying: the recorded ones)"},
		{name: "policy-key", on: signed, help: "public key, as key takes them, that must have signed every bundle of policy that is not built in; a tag then needs no digest"},
		{name: "policy-identity", on: signed, help: "who must have signed every bundle of policy that is not built in, instead of a key: the identity in the certificate, or ^ and a Go regular expression of the whole of it"},
		{name: "policy-issuer", on: signed, help: "OIDC issuer of policy-identity (default: GitHub's)"},
		{name: "policy-min-revision", kind: csv, on: signed, help: "least revisions of bundles, as NAME=REVISION: an older one is refused"},
		{name: "repository-policy", kind: list, on: own, help: "policy bundles of the repository itself, asked besides the others: they can only tighten, and need no signature"},
		{name: "policy-data", on: own + waive, help: "YAML or JSON file with settings for the baseline policy and its presets"},
		{name: "waivers", kind: list, on: d + " report policy-eval", help: "YAML files with waivers: findings that are let pass until a date, although a policy denies them; when verifying, with policy or db"},
		{name: "vex", kind: list, on: d + " report policy-eval", help: "VEX documents, OpenVEX or CSAF: what vulnerabilities do not matter in what; each is pinned, FILE@sha256:HEX, or signed by whom vex-key or vex-identity names, with FILE.sigstore.json beside it; when verifying, with policy or db"},
		{name: "vex-key", on: d + " report policy-eval", help: "public key, as key takes them, that must have signed the VEX documents that are not pinned"},
		{name: "vex-identity", on: d + " report policy-eval", help: "who must have signed the VEX documents that are not pinned, instead of a key: the identity in the certificate, or ^ and a Go regular expression of the whole of it"},
		{name: "vex-issuer", on: d + " report policy-eval", help: "OIDC issuer of vex-identity (default: GitHub's)"},
		{name: "severity-cutoff", words: "critical high medium low negligible", on: s, help: "lowest severity that denies: low, medium, high or critical (baseline setting)"},
		{name: "only-fixed", words: "true false", on: s, help: "deny only what has a fixed version: true or false (baseline setting)"},
		{name: "mode", value: "enforce", words: "enforce warn", on: d, help: "enforce, or warn: a denial is reported but does not fail; a denied image is never published"},
		{name: "manifests", kind: list, on: d, alias: "manifest", help: "Kubernetes manifests that will run the image, files or directories of YAML or JSON: what they say is signed with the evidence and judged; verify judges them in place of the recorded ones"},
		{name: "nodes", on: d, help: "YAML or JSON file of the nodes that the manifests' Pods are to run on: whether they fit, with one node lost, is judged too"},
		{name: "db", on: "build scan verify", help: "vulnerability database directory (default: sealyard/db in the user's cache directory); verify with it looks the packages in the evidence up in it and decides as of now"},
		{name: "db-url", on: s, help: "mirror to update the database from when there is none or it is too old"},
		{name: "db-max-age", value: "120h", on: "build scan verify", help: "oldest database that is used, judged at the time of the run"},
	}
}

func signInputs() []input {
	const b, v, who = "build", "verify", "verify verify-vsa audit inspect report publish"
	const push, signs, judges = b + " policy-push vex-sign", " policy-push policy-sign vex-sign", " scan policy-eval policy-explain policy-test policy-show policy-pull "
	return []input{
		{name: "sign", words: "key keyless none", on: push, help: "key, keyless or none (default: key when a key is given, keyless when the job may have an identity and something is to be published, else none)"},
		{name: "identity-token", on: push + " " + v, secret: true, help: "OIDC token to sign keyless with: the token, a file that holds it, or env:NAME (default: GitHub's of this job, else SIGSTORE_ID_TOKEN)"},
		{name: "key", on: b + " layout-init layout-sign " + who + signs, help: "private key to sign with, public key to verify with (layout init: of who signs images): a key file as cosign has it, env://NAME, k8s://NAMESPACE/SECRET, awskms://, azurekms://, gcpkms://, hashivault:// or pkcs11:"},
		{name: "key-password", on: b + " layout-sign " + v + signs, secret: true, help: "password of the key (default: COSIGN_PASSWORD, of pkcs11 the PIN in COSIGN_PKCS11_PIN, else asked for)"},
		{name: "key-password-file", on: b + " layout-sign " + v + signs, help: "file that holds the password of the key"},
		{name: "push-to-github", kind: boolean, value: "false", on: b, help: "add the signed statements to GitHub's attestation store as well, after publishing; needs github-token with attestations: write"},
		{name: "mixed-signers", kind: boolean, value: "false", on: b + " publish " + v, help: "publish statements signed with a key where others are signed keyless, or the other way round: some clients fail over one of them"},
		{name: "github-artifacts", kind: boolean, value: "false", on: b + " publish", help: "name what was published in $GITHUB_ARTIFACTS, so that later steps of the job find it, such as actions/attest"},
		{name: "links", kind: boolean, value: "false", on: b, help: "sign in-toto links of the steps fetch, build, scan and gate too, for verify with a layout"},
		{name: "trusted-root", kind: list, on: push + judges + who, help: "Sigstore trusted root files, for keyless (default: the one that sealyard trust update keeps)"},
		{name: "degrade", words: timestampOnly, on: b + " " + who, help: "timestamp-only: when the log gives no entry, sign with a timestamp alone and say so; when verifying, accept what was signed so"},
		{name: "log-threshold", value: "1", on: push + judges + who, help: "how many transparency logs, of different operators, must have an entry of each keyless signature"},
		{name: "timestamp-threshold", value: "1", on: push + judges + who, help: "how many clocks, of different operators, must say when each keyless signature was made"},
		{name: "signing-config", on: push + " " + v, help: "Sigstore signing config file: the services to sign with (default: the one that sealyard trust update keeps, fetched anew when it is a day old)"},
		{name: "subject", on: v, help: "of a file of bundles: the artifact they must be about, a file or its digest, sha256:HEX"},
		{name: "bundle", on: v + " verify-vsa", help: "file of Sigstore bundles to verify; TARGET is then the artifact, a file or its digest"},
		{name: "predicate-type", kind: list, on: v, help: "of a file of bundles: types of statements that must be among the verified, such as https://slsa.dev/provenance/v1"},
		{name: "public-log", kind: boolean, value: "false", on: push + " " + v, help: "let the logs of the signing config name a repository that is private or internal: whoever reads them learns its name, workflows, refs and commits"},
		{name: "layout", on: "verify", help: "in-toto layout that the image must have been made by, signed by each layout-key"},
		{name: "layout-key", kind: list, on: "verify", help: "public keys of the layout's owners: each of them must have signed it"},
		{name: "expect-image", on: "verify audit report publish", help: "name that the image must have been built as, without tag (default for a reference: its own repository; name the original when you verify a mirror)"},
	}
}

// identityInputs say whose keyless signature is believed.
func identityInputs() []input {
	const who = "verify verify-vsa audit inspect report publish"
	return []input{
		{name: "repo", on: who, help: "GitHub repository, OWNER/NAME, whose workflow must have signed"},
		{name: "workflow", on: who, help: "workflow of that repository that must have run and signed: .github/workflows/FILE.yml"},
		{name: "ref", on: who, help: "git ref that must have been built, in full: refs/heads/main"},
		{name: "signer-workflow", on: who, help: "reusable workflow that must have signed: OWNER/NAME/.github/workflows/FILE.yml, or with @REF (default: the repository's own)"},
		{name: "runner", on: who, words: "github-hosted self-hosted", help: "runner that must have signed: github-hosted or self-hosted"},
		{name: "event", on: who, help: "event that must have started the workflow, such as push"},
		{name: "certificate-identity", on: "layout-init " + who, help: "identity the certificate must name exactly"},
		{name: "certificate-identity-regexp", on: who, help: "identity the certificate must name, as a Go regular expression of the whole of it"},
		{name: "certificate-oidc-issuer", on: who, help: "issuer the certificate must name exactly (default with repo or signer-workflow: GitHub's)"},
		{name: "certificate-oidc-issuer-regexp", on: who, help: "issuer the certificate must name, as a Go regular expression of the whole of it"},
	}
}

func summaryInputs() []input {
	const v, w = "verify", "verify verify-vsa"
	return []input{
		{name: "vsa", on: v, help: "file to write the SLSA verification summary of the image to: a bundle when somebody signs it, else the bare statement"},
		{name: "svr", on: v, help: "file to write an in-toto simple verification result of the image to, like vsa"},
		{name: "attach-vsa", kind: boolean, value: "false", on: v, help: "attach the verification summary to the image when it is allowed; needs who signs it, and to write where the image is"},
		{name: "summary-key", on: v, help: "cosign key file: the verifier's private key to sign summaries with (default: the identity of the job when a signing config is given, else nobody)"},
		{name: "verifier-id", on: w, help: "URI that stands for the verifier in summaries (default where a workflow signs: that workflow)"},
		{name: "resource-uri", on: w, help: "URI that the summary knows the image by (default: pkg:oci/NAME?repository_url=REPOSITORY of the reference, or of expect-image)"},
		{name: "verified-level", kind: csv, on: "verify-vsa", alias: "minimum-level", help: "levels that the summary must say: of an SLSA track that one or a higher one (default: SLSA_BUILD_LEVEL_1)"},
	}
}

func auditInputs() []input {
	const a = "audit"
	return []input{
		{name: "images", kind: list, on: a, help: "where the images are: a file with one each line (- is standard input), a directory that holds image layouts and tars, or a repository, of which every tag is audited"},
		{name: "shard", on: a, help: "part of the images to audit, as i/n: 2/8 is the second of eight; every image is in exactly one"},
		{name: "output", on: a, help: "file for the results, one JSON line an image (default: standard output); images that have a decision there are not audited again"},
		{name: "workers", on: a, help: "images to audit at once (default: the number of processors)"},
		{name: "image-timeout", value: "2m", on: a, help: "longest time for one image; it then has no decision"},
	}
}

func registryInputs() []input {
	const r = "build scan verify verify-vsa audit inspect report fetch publish layout-init policy-eval policy-explain policy-test policy-show policy-push policy-pull"
	return []input{
		{name: "docker-config", on: r, help: "directory of the docker config.json with credentials (default: DOCKER_CONFIG or ~/.docker)"},
		{name: "registry-username", on: r, help: "user for the registry of the first tag or of the reference"},
		{name: "registry-password", on: r, secret: true, help: "password for registry-username"},
		{name: "plain-http", kind: csv, on: r, help: "registry hosts to reach without TLS (loopback always is)"},
		{name: "timeout", value: "1h", on: r + " layout-sign policy-sign waiver-add waiver-lint vex-sign", help: "longest time for the whole run"},
	}
}

func reportInputs() []input {
	const d, b = "build scan verify", "build scan"
	return []input{
		{name: "evidence-path", on: b, help: "directory for the image, its evidence and the decision (default: sealyard-evidence, for scan sealyard-scan)"},
		{name: "format", value: "text", words: "text json", on: d + " verify-vsa inspect publish", help: "report on standard output: text or json"},
		{name: "sarif-file", on: b, help: "write the findings as SARIF to this file as well"},
		{name: "summary", kind: boolean, value: "true", on: d, help: "write the job summary on GitHub"},
	}
}

// refusedInputs are the inputs of docker/build-push-action and anchore/scan-action that have no place here.
func refusedInputs() []input {
	row := func(name, instead string) input { return input{name: name, on: "build scan", instead: instead} }
	const layout = "the OCI layout in --evidence-path"
	return []input{
		{name: "load", kind: boolean, on: "build scan", instead: "use " + layout},
		{name: "outputs", alias: "output", on: "build scan", instead: "for a report in JSON use --format json; the image is " + layout + ", and --push publishes it"},
		row("attests", "provenance and SBOMs are always made and signed"),
		row("builder", "use --buildkit-host: the address of a BuildKit"),
		row("call", "use docker buildx build --call"),
		row("sbom", "SPDX and CycloneDX are always made, per platform"),
		row("image", "use the command sealyard scan REFERENCE"),
		row("path", "sealyard looks at images, not source trees"),
		row("fail-build", "use --mode warn"),
		row("output-format", "use --evidence-path: every format is written there at once"),
		row("output-file", "use --sarif-file"),
		row("add-cpes-if-none", "packages are matched by their ecosystem"),
		row("by-cve", "findings carry their aliases"),
		row("grype-version", "use a release of sealyard: the scanner is built in"),
		row("config", "use --policy-data"),
		row("cache-db", "use --db: keep that directory with your cache step"),
	}
}

// cosignInputs are the flags of cosign's verify commands that have another name here, or no place. The others are accepted as they are.
func cosignInputs() []input {
	const on = "verify audit inspect"
	row := func(name, instead string) input { return input{name: name, on: on, instead: instead} }
	flag := func(name, instead string) input { return input{name: name, kind: boolean, on: on, instead: instead} }
	const workflow = "certificate-github-workflow-"
	return []input{
		row(workflow+"repository", "use --repo OWNER/NAME"),
		row(workflow+"ref", "use --ref refs/heads/BRANCH or refs/tags/TAG"),
		row(workflow+"trigger", "use --event"),
		row(workflow+"name", "use --workflow .github/workflows/FILE.yml; the name in that file is anybody's choice"),
		row(workflow+"sha", "let a policy compare the commit: input.claims[_].signer.workflow.commit"),
		row("certificate", "a bundle brings its certificate"),
		row("certificate-chain", "use --trusted-root: a file that names the certificate authority"),
		row("ca-roots", "use --trusted-root: a file that names the certificate authority"),
		row("rekor-url", "use --trusted-root: a file that names the logs; nothing is asked of them"),
		row("signature", "use --bundle: a signature alone says neither who signed nor when"),
		row("type", "use --predicate-type with the whole URI, such as https://slsa.dev/provenance/v1"),
		flag("insecure-ignore-tlog", "a key needs no log; what a trusted root has an authority for is always demanded"),
		flag("insecure-ignore-sct", "what a trusted root has an authority for is always demanded"),
		flag("use-signed-timestamps", "leave it out: timestamps are always used"),
		flag("new-bundle-format", "leave it out: only bundles are read"),
		flag("offline", "leave it out: nothing is ever asked of Sigstore"),
		flag("check-claims", "leave it out: they always are"),
	}
}

func (in input) takes(command string) bool {
	return in.instead == "" && slices.Contains(strings.Fields(in.on), command)
}

// split turns the text of an input into its values, as the runner passes it: a line each, for csv also a comma each.
func (in input) split(s string) []string {
	cut := func(r rune) bool { return r == '\n' || (in.kind == csv && r == ',') }
	var out []string
	for v := range strings.FieldsFuncSeq(s, cut) {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// check refuses what no input may hold: control characters, line breaks where one value is expected (T1), and words it does not know.
func (in input) check(value string) error {
	if in.words != "" && value != "" && !slices.Contains(strings.Fields(in.words), value) {
		return fmt.Errorf("%q is none of %s", value, strings.ReplaceAll(in.words, " ", ", "))
	}
	for _, r := range value {
		multi := in.kind == list || in.kind == csv || in.secret
		if r == '\n' && multi || r == '\r' && multi || r == '\t' {
			continue
		}
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("it holds the control character %q", r)
		}
	}
	return nil
}
