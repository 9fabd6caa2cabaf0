package report

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/sealyard/sealyard/policy"
)

// sarifLimits is what a code scanning service accepts of one file; it refuses the whole of it above.
type sarifLimits struct {
	results, rules int
	zipped         int // bytes, after gzip
}

// gitHubLimits are those of GitHub (R85).
const (
	gitHubResults = 25_000
	gitHubRules   = 25_000
	gitHubZipped  = 10_000_000
	sarifTags     = 20 // of one rule
)

// sarifText bounds one text of a rule or result.
const sarifText = 1000

// SARIF writes a SARIF 2.1.0 log of one run, within the limits of GitHub code scanning: every denial, every warning and
// every known vulnerability, worst first. What does not fit is cut from the end, and a notification and a property of the
// run say how many results that were. A vulnerability is an error when a denial is about it, a warning when a warning
// is, a note otherwise. Nothing reads a verdict from this file: the decision alone decides.
func SARIF(w io.Writer, r Run) error {
	return writeSARIF(w, r, sarifLimits{results: gitHubResults, rules: gitHubRules, zipped: gitHubZipped})
}

// writeSARIF halves the number of results until the file fits.
func writeSARIF(w io.Writer, r Run, limits sarifLimits) error {
	r = r.redacted()
	alerts := r.alerts()
	for most := min(len(alerts), limits.results); ; most /= 2 {
		data, err := encodeSARIF(r, alerts, most, limits.rules)
		if err != nil {
			return err
		}
		small, err := fits(data, limits.zipped)
		if err != nil {
			return err
		}
		if small || most == 0 {
			_, err = w.Write(data)
			return err
		}
	}
}

// An alert is one result together with the rule it is of.
type alert struct {
	rule, title, help, message string
	severity                   string
	level                      string // error, warning or note
	score                      float64
	tags                       []string
	at                         policy.Location
	about                      string // what keeps its name from one build to the next
	logical                    string // package URL or reference
	excepted                   string // why an exception lets it pass; "" when none does
}

// alerts lists everything SARIF and annotations tell, worst first: level, then severity, then score.
func (r Run) alerts() []alert {
	flaws := r.flaws()
	known := index(flaws)
	judged := map[string]string{} // vulnerability -> level
	var all []alert
	for _, set := range []struct {
		level    string
		findings []policy.Finding
	}{{"error", r.denials()}, {"warning", r.warnings()}} {
		for _, f := range set.findings {
			if v, ok := known.find(f); ok {
				judged[v] = cmp.Or(judged[v], set.level)
				continue
			}
			all = append(all, r.findingAlert(f, set.level))
		}
	}
	pardoned := map[string]string{} // vulnerability -> why
	for _, e := range r.excepted() {
		for _, f := range e.findings {
			if v, ok := known.find(f); ok {
				pardoned[v] = e.text
				continue
			}
			a := r.findingAlert(f, "note")
			a.excepted = e.text
			all = append(all, a)
		}
	}
	for _, f := range flaws {
		key := f.ID + " " + unqualified(f.PURL)
		a := r.flawAlert(f, cmp.Or(judged[key], "note"))
		if judged[key] == "" {
			a.excepted = pardoned[key]
		}
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b alert) int {
		return cmp.Or(cmp.Compare(levelRank(a.level), levelRank(b.level)), cmp.Compare(rank(a.severity), rank(b.severity)), cmp.Compare(b.score, a.score))
	})
	return all
}

func levelRank(level string) int { return slices.Index([]string{"error", "warning", "note"}, level) }

// A flawIndex finds the vulnerability a finding is about: the one whose package URL is its subject and whose
// identifier is a word of its message.
type flawIndex map[string][]string // package URL without qualifiers -> identifiers

func index(flaws []flaw) flawIndex {
	all := flawIndex{}
	for _, f := range flaws {
		all[unqualified(f.PURL)] = append(all[unqualified(f.PURL)], f.ID)
	}
	return all
}

func (x flawIndex) find(f policy.Finding) (key string, ok bool) {
	ids := x[unqualified(f.Subject)]
	if f.Subject == "" || len(ids) == 0 {
		return "", false
	}
	for _, word := range strings.FieldsFunc(f.Message, func(r rune) bool { return strings.ContainsRune(" ,:;()", r) }) {
		if slices.Contains(ids, word) {
			return word + " " + unqualified(f.Subject), true
		}
	}
	return "", false
}

// unqualified cuts the qualifiers, such as the architecture, from a package URL.
func unqualified(purl string) string {
	purl, _, _ = strings.Cut(purl, "?")
	return purl
}

func (r Run) findingAlert(f policy.Finding, level string) alert {
	at := f.Location
	if at.File == "" {
		at = r.fallback()
	}
	message := f.Message
	if f.Platform != "" {
		message += " [" + f.Platform + "]"
	}
	return alert{
		rule: strings.Trim(f.Bundle+"/"+f.Rule, "/"), title: cmp.Or(f.Title, f.Rule), help: f.Solution, message: message,
		severity: f.Severity, level: level, score: score(f.Severity, 0), tags: append([]string{"security", "policy"}, f.Controls...),
		at: at, about: lasting(f.Subject), logical: f.Subject,
	}
}

func (r Run) flawAlert(f flaw, level string) alert {
	message := fmt.Sprintf("%s in %s %s, %s [%s]", f.ID, f.Package, f.Installed, remedy(f.Vulnerability), strings.Join(f.platforms, ", "))
	tags := []string{"security", "vulnerability"}
	if f.KEV {
		tags, message = append(tags, "known-exploited"), message+"; known to be exploited"
	}
	return alert{
		rule: f.ID, title: f.ID + " (" + f.severity() + ")", help: also(f.Aliases), message: message, severity: f.severity(),
		level: level, score: score(f.Severity, f.CVSS), tags: tags, at: r.fallback(), about: f.Package, logical: f.PURL,
	}
}

// also lists the other names of a vulnerability.
func also(aliases []string) string {
	if len(aliases) == 0 {
		return ""
	}
	return "Also known as " + strings.Join(aliases, ", ") + "."
}

// fallback is where a finding is shown that has no place of its own.
func (r Run) fallback() policy.Location {
	return policy.Location{File: cmp.Or(r.Dockerfile, "Dockerfile"), Line: 1}
}

// lasting is the part of a subject that stays from build to build: no version, no digest.
func lasting(subject string) string {
	if strings.HasPrefix(subject, "sha256:") {
		return ""
	}
	name, _, _ := strings.Cut(subject, "@")
	return name
}

// score returns GitHub's security-severity: the CVSS score, or the middle of the band of the severity.
func score(severity string, cvss float64) float64 {
	if cvss > 0 && cvss <= 10 {
		return cvss
	}
	return []float64{9.5, 8, 5.5, 2, 0.5, 0}[rank(severity)]
}

// encodeSARIF writes the first most alerts, of at most that many rules.
func encodeSARIF(r Run, alerts []alert, most, rules int) ([]byte, error) {
	b := sarifBuilder{run: sarif.NewRun(), limit: rules, rules: map[string]int{}, seen: map[string]int{}}
	tool := sarif.NewToolComponent().WithName("sealyard").WithInformationURI("https://github.com/sealyard/sealyard")
	if r.Version != "" {
		tool.WithVersion(brief(r.Version, 60))
	}
	b.run.WithTool(sarif.NewTool().WithDriver(tool))
	b.run.WithAutomationDetails(sarif.NewRunAutomationDetails().WithID("sealyard/" + category(r) + "/"))
	cut := len(alerts) - most
	for _, a := range alerts[:most] {
		if !b.add(a) {
			cut++
		}
	}
	b.run.WithInvocations([]*sarif.Invocation{invocation(r, cut)})
	b.run.WithProperties(sarif.NewPropertyBag().Add("verdict", r.Verdict()).Add("digest", brief(r.Image.Digest, 80)).Add("resultsCut", cut))
	var out bytes.Buffer
	log := sarif.NewReport()
	log.AddRun(b.run)
	if err := log.Write(&out); err != nil {
		return nil, fmt.Errorf("encode SARIF: %w", err)
	}
	return append(inert(out.Bytes()), '\n'), nil
}

// category keeps the alerts of two images of one repository apart: the first name without registry host and tag.
func category(r Run) string {
	if len(r.Image.Names) == 0 {
		return "image"
	}
	name, _, _ := strings.Cut(brief(r.Image.Names[0], 200), "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	return name
}

func invocation(r Run, cut int) *sarif.Invocation {
	in := sarif.NewInvocation().WithExecutionSuccessful(r.Err == "")
	if cut > 0 {
		in.AddToolExecutionNotification(notification("warning", fmt.Sprintf("%d results were cut, the least severe ones", cut)))
	}
	if r.Err != "" {
		in.AddToolExecutionNotification(notification("error", r.Err))
	}
	return in
}

func notification(level, text string) *sarif.Notification {
	return sarif.NewNotification().WithLevel(level).WithMessage(sarif.NewTextMessage(sarifString(text)))
}

type sarifBuilder struct {
	run   *sarif.Run
	limit int            // of rules
	rules map[string]int // rule id -> index
	seen  map[string]int // fingerprint -> how often
}

// add adds a result and, the first time, its rule. It reports false when there is no room for the rule.
func (b *sarifBuilder) add(a alert) bool {
	id := brief(a.rule, 200)
	index, known := b.rules[id]
	if !known {
		if len(b.rules) == b.limit {
			return false
		}
		index = len(b.rules)
		b.rules[id] = index
		b.run.Tool.Driver.AddRule(rule(id, a))
	}
	file := sourcePath(a.at.File)
	physical := sarif.NewPhysicalLocation().
		WithArtifactLocation(sarif.NewArtifactLocation().WithURI((&url.URL{Path: file}).String())).
		WithRegion(sarif.NewRegion().WithStartLine(max(1, a.at.Line)))
	location := sarif.NewLocation().WithPhysicalLocation(physical)
	if a.logical != "" {
		location.AddLogicalLocation(sarif.NewLogicalLocation().WithFullyQualifiedName(brief(a.logical, sarifText)).WithKind("package"))
	}
	result := sarif.NewResult().WithRuleID(id).WithRuleIndex(index).WithLevel(a.level).
		WithMessage(sarif.NewTextMessage(sarifString(a.message))).WithLocations([]*sarif.Location{location}).
		WithPartialFingerprints(map[string]string{"primaryLocationLineHash": b.fingerprint(id, file, a.about)})
	if a.excepted != "" {
		result.AddSuppression(sarif.NewSuppression().WithKind("external").WithStatus("accepted").WithJustification(sarifString(a.excepted)))
	}
	b.run.AddResult(result)
	return true
}

// fingerprint tells code scanning which results of two runs are the same. The line is not part of it.
func (b *sarifBuilder) fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	print := hex.EncodeToString(sum[:8])
	b.seen[print]++
	return fmt.Sprintf("%s:%d", print, b.seen[print])
}

func rule(id string, a alert) *sarif.ReportingDescriptor {
	properties := sarif.NewPropertyBag()
	for _, tag := range a.tags {
		if len(properties.Tags) < sarifTags && !slices.Contains(properties.Tags, brief(tag, 100)) {
			properties.AddTag(brief(tag, 100))
		}
	}
	if a.score > 0 {
		properties.Add("security-severity", fmt.Sprintf("%.1f", a.score))
	}
	title := cmp.Or(sarifString(a.title), id)
	return sarif.NewRule(id).WithName(id).
		WithShortDescription(sarif.NewMultiformatMessageString().WithText(title)).
		WithFullDescription(sarif.NewMultiformatMessageString().WithText(title)).
		WithHelp(sarif.NewMultiformatMessageString().WithText(cmp.Or(sarifString(a.help), title))).
		WithProperties(properties)
}

// sarifString breaks up "[text](link)", which viewers of SARIF make a link of, also in plain text (SARIF 3.11.6).
func sarifString(s string) string { return strings.ReplaceAll(brief(s, sarifText), "](", "] (") }

// sourcePath returns a path that stays inside the repository.
func sourcePath(file string) string {
	return cmp.Or(strings.TrimPrefix(path.Clean("/"+Clean(file)), "/"), "Dockerfile")
}

// fits reports whether the file, compressed as it is uploaded, keeps within a limit.
func fits(data []byte, limit int) (bool, error) {
	if len(data) <= limit {
		return true, nil
	}
	var zipped counter
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(data); err != nil {
		return false, fmt.Errorf("compress SARIF: %w", err)
	}
	if err := z.Close(); err != nil {
		return false, fmt.Errorf("compress SARIF: %w", err)
	}
	return int(zipped) <= limit, nil
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
