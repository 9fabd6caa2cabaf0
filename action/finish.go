package action

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
	"github.com/sealyard/sealyard/scan"
)

// finish tells what came of a run, whatever that is, and turns a denial into the error that becomes its exit code.
func (s *session) finish(err error) error {
	r := &s.report
	if s.asAction {
		err = asInputs(err)
	}
	if err != nil {
		r.Err, r.Hint = err.Error(), hint.Of(err)
		if exitCode(err) == Denied {
			r.Decision, r.Decided = broken(policy.Decision{Time: s.now}, r.Err, nil), true
		}
	}
	if sealBroken(r.Decision) {
		r.Mode = report.ModeEnforce // no mode lets it pass
	}
	if e := s.render(); err == nil {
		err = e
	}
	switch {
	case err != nil:
		return reworded{err, report.Redact(err.Error(), s.secrets())}
	case !r.Decided:
		return errors.New("no decision was reached")
	case r.Decision.Allowed, r.Mode == report.ModeWarn && !sealBroken(r.Decision):
		return nil
	default:
		return errDenied
	}
}

// reworded is an error in other words: without a secret (T38), or for those who give inputs and not flags.
type reworded struct {
	error
	text string
}

func (r reworded) Error() string { return r.text }
func (r reworded) Unwrap() error { return r.error }

// render writes the report in every form that was asked for.
func (s *session) render() error {
	r := s.report
	r.Secrets = s.secrets()
	var err error
	switch {
	case s.in.one("format") == "json":
		err = report.JSON(s.env.Stdout, r)
	case r.Decided:
		err = report.Text(s.env.Stdout, r, s.textOptions())
	}
	if file := s.in.one("sarif-file"); file != "" && r.Decided {
		err = errors.Join(err, writeWith(file, s.located(r), report.SARIF))
	}
	if s.onGitHub() {
		err = errors.Join(err, report.Annotations(s.env.Stdout, s.located(r)), s.outputs(r))
	}
	return err
}

// textOptions chooses colours and width: only a terminal has either.
func (s *session) textOptions() report.TextOptions {
	f, ok := s.env.Stdout.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return report.TextOptions{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return report.TextOptions{Color: s.env.getenv("NO_COLOR") == "", Width: width}
}

// outputs hands the results to the next steps of a workflow.
func (s *session) outputs(r report.Run) error {
	o := report.Outputs{Output: s.env.getenv("GITHUB_OUTPUT"), Random: rand.Reader}
	if s.in.on("summary") {
		o.Summary = s.env.getenv("GITHUB_STEP_SUMMARY")
	}
	platforms, metadata, err := imageOutputs(r.Image)
	if err != nil {
		return err
	}
	out := map[string]string{
		"verdict": r.Verdict(), "would-deny": strconv.FormatBool(r.WouldDeny()), "evidence-path": r.Evidence,
		"digest": r.Image.Digest, "imageid": s.imageID, "platform-digests": platforms, "metadata": metadata,
	}
	if r.Evidence != "" {
		out["sarif"] = filepath.Join(r.Evidence, evidenceDir, "results.sarif")
		out["sbom"] = filepath.Join(r.Evidence, evidenceDir, "sbom")
	}
	for _, row := range outputs() {
		if err := o.Set(row.name, out[row.name]); err != nil {
			return err
		}
	}
	if s.in.on("github-artifacts") {
		o.Artifacts = s.env.getenv("GITHUB_ARTIFACTS")
	}
	return errors.Join(declare(o, r), o.Summarize(r))
}

// declare names what was published to the steps that follow: each repository once, by the first of its tags.
func declare(o report.Outputs, r report.Run) error {
	refs, err := firsts(r.Published)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if err := o.Declare(ref.Repository+":"+ref.Tag, r.Image.Digest); err != nil {
			return err
		}
	}
	return nil
}

// views writes the report into the evidence as SARIF and Markdown.
func (s *session) views(st *stage) error {
	r := s.located(s.report)
	r.Secrets = s.secrets()
	for name, render := range map[string]func(io.Writer, report.Run) error{"results.sarif": report.SARIF, "summary.md": report.Markdown} {
		var b bytes.Buffer
		if err := render(&b, r); err != nil {
			return err
		}
		if err := st.file(name, b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func writeWith(name string, r report.Run, render func(io.Writer, report.Run) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return render(f, r)
}

// located names the Dockerfile in findings as the repository has it: provenance, and so the decision, names it relative to the
// context. The decision itself is left alone.
func (s *session) located(r report.Run) report.Run {
	move := func(in []policy.Finding) []policy.Finding {
		out := slices.Clone(in)
		for i := range out {
			if s.inContext != "" && r.Dockerfile != "" && out[i].Location.File == s.inContext {
				out[i].Location.File = r.Dockerfile
			}
		}
		return out
	}
	r.Decision.Denials, r.Decision.Warnings = move(r.Decision.Denials), move(r.Decision.Warnings)
	return r
}

// describe puts the image and what the scan found into the report.
func (s *session) describe(img oci.Image, r scan.Report, tags []string) {
	s.report.Image = report.Image{Digest: img.Digest, Names: tags}
	s.report.Database = fmt.Sprintf("built %s, %s", r.DB.Built.Format("2006-01-02"), r.DB.Digest)
	for _, p := range img.Platforms {
		out := report.Platform{Platform: p.Platform, Digest: p.Digest, Size: layerBytes(p)}
		for _, found := range r.Platforms {
			if found.Digest != p.Digest {
				continue
			}
			out.Distro, out.Packages = found.Distro.Name, len(found.Packages)
			for _, v := range found.Vulnerabilities {
				out.Vulnerabilities = append(out.Vulnerabilities, reported(v))
			}
		}
		s.report.Image.Platforms = append(s.report.Image.Platforms, out)
	}
}

func reported(v scan.Vulnerability) report.Vulnerability {
	out := report.Vulnerability{
		ID: v.ID, Aliases: v.Aliases, Severity: v.Severity, Package: v.Package, Installed: v.Version, FixedIn: v.FixedIn,
		FixState: v.FixState, PURL: v.PURL, Layer: v.Layer, KEV: v.KEV,
	}
	if len(v.CVSS) > 0 {
		out.CVSS = v.CVSS[0].Score
	}
	if v.EPSS != nil {
		out.EPSS = v.EPSS.Score
	}
	return out
}

func layerBytes(p oci.Platform) int64 {
	var n int64
	for _, l := range p.Layers {
		n += l.Size
	}
	return n
}

// summarize says in one line what a scan found.
func summarize(r scan.Report) string {
	packages, vulns, known := 0, 0, 0
	for _, p := range r.Platforms {
		packages += len(p.Packages)
		vulns += len(p.Vulnerabilities)
		if p.Known {
			known++
		}
	}
	text := report.Plural(len(r.Platforms), "platform") + ", " + report.Plural(packages, "package") + ", " + report.Plural(vulns, "vulnerability")
	if known > 0 {
		text += fmt.Sprintf(" (packages of %d known from an earlier scan of the same layers)", known)
	}
	return text
}

// tellUnread says on the log what the scan could make no sense of; it is in an image's own words.
func (s *session) tellUnread(r scan.Report) {
	for _, p := range r.Platforms {
		for _, w := range p.Warnings {
			fmt.Fprintf(s.log, "   not understood in %s: %s\n", report.Clean(p.Platform), report.Clean(w))
		}
	}
}

// messages joins the reasons of a denial.
func messages(d policy.Decision) string {
	var out []string
	for _, f := range d.Denials {
		out = append(out, f.Rule+": "+f.Message)
	}
	return strings.Join(out, "; ")
}
