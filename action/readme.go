package action

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
)

// readme is for the person who opens the evidence, perhaps years later and knowing nothing.
func (g *gate) readme() string {
	head := fmt.Sprintf("# What this directory is\n\nAn image and what is known about it, written by sealyard %s at %s.\n\n", version().Version, g.now.Format(time.RFC3339))
	head += fmt.Sprintf("* image: `%s`\n* decision: %s\n", g.image.Digest, g.report.Verdict())
	for _, tag := range g.tags {
		head += fmt.Sprintf("* to be published as: `%s`\n", report.Clean(tag))
	}
	switch {
	case !g.decision.Allowed || g.signer == nil:
		return head + readmeFiles + unsealedReadme
	case g.identity.Kind == attest.KindKeyless:
		return head + readmeFiles + fmt.Sprintf(keylessReadme, g.verifyLine(".", keptRoot), g.verifyLine(".", evidenceDir+"/"+rootsFile))
	default:
		return head + readmeFiles + fmt.Sprintf(keyReadme, g.identity.ID)
	}
}

// shellWord quotes a word for a shell where it needs that: a branch may be called anything.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_+=:,./-") == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// fetched leaves a word for the reader in a directory that was fetched.
func fetched(dir string) error {
	name := filepath.Join(dir, evidenceDir, "README.md")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("write the evidence: %w", err)
	}
	if err := os.WriteFile(name, []byte(fetchedReadme), 0o644); err != nil {
		return fmt.Errorf("write the evidence: %w", err)
	}
	return nil
}

const readmeFiles = `
The directory above this one is an OCI image layout (oci-layout, index.json, blobs): the image itself, and the signed claims about it
as Sigstore bundles that refer to it. Here, in evidence/, is what the decision was made from, for reading:

* decision.json: the decision, its reasons and warnings, and the policies by digest
* input.json: everything the policies were shown
* policy/: the policies, as OPA bundles
* sbom/: the packages of each platform, as SPDX and CycloneDX
* database.json: the vulnerability database that was asked
* results.sarif, summary.md: the same for tools and people
* buildkit/, when the image was built here: what the build engine itself recorded, unsigned
* signer.pub, when a key signed: its public half
* trusted_root.json, when a job's identity signed: the Sigstore roots that it was checked with

These are copies. Only what is in the layout is verified, and nothing here is believed because it lies here.
`

const keyReadme = "\n## Check it\n\nIt needs the program sealyard and no network. In the directory above this one:\n\n    sealyard verify . --key cosign.pub\n" + afterwards + `
cosign.pub must come from somewhere else than this directory: from whoever published the image. The key that signed has the SHA-256
digest %s (of its public half, DER), and signer.pub is a copy; compare, for whoever
could forge the one could write the other.
`

const keylessReadme = "\n## Check it\n\nIt needs the program sealyard and no network. In the directory above this one:\n\n    %s\n" + afterwards + `
Two things must come from somewhere else than this directory, for whoever could forge its claims could write them here too:

* the identity. The one above is who signed. Is it the workflow that you expect? sealyard verify has --repo, --workflow and --ref as well.
* trusted_root.json, the keys of Sigstore. Take the one that you keep, or get today's with: sealyard trust update. It verifies old
  signatures too. The copy here is the one of that day. It is not believed unless you pass it yourself, which is for when there is no other:

    %s
`

const afterwards = `
Exit code 0 and ALLOWED: every signature and digest holds, and the recorded policies decide the same again. Exit code 1: they do not, and
the reasons are given. sealyard inspect . shows what there is.
`

const unsealedReadme = `
Nothing here is signed: the image was denied, or nobody signed. There is nothing to verify.
`

// scannedReadme is beside an image that was only looked at.
const scannedReadme = "# What this directory is\n" + readmeFiles + unsealedReadme

// stoppedReadme is beside no image.
const stoppedReadme = `# What this directory is

A build was stopped before anything was built, because a policy denied something that it would have taken in. There is no image here.

* decision.json: the decision and its reasons
* sources.json: everything the policies were asked about, with their answers
* policy/: the policies, as OPA bundles
* results.sarif, summary.md: the reasons for tools and people

Nothing here is signed.
`

const fetchedReadme = `# What this directory is

An OCI image layout (oci-layout, index.json, blobs) as sealyard fetch brought it from a registry: the image, and everything that referred to
it there. Signed claims are Sigstore bundles, the policies that decided are an artifact beside them. What the gate wrote for reading
(decision.json, SBOMs as files) is not in a registry: the claims hold the same.

## Check it

It needs the program sealyard and no network. In the directory above this one, one of:

    sealyard verify . --key cosign.pub
    sealyard verify . --trusted-root trusted_root.json --repo OWNER/NAME

Who must have signed is for you to know: neither the registry nor this directory is to be asked. Keys come from whoever publishes the
image. trusted_root.json, the keys of Sigstore, is not in a registry either: keep one beside this directory. To get today's, which
verifies old signatures too: sealyard trust update, or gh attestation trusted-root for images of private repositories on GitHub.
`
