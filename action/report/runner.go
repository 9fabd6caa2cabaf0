package report

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sethvargo/go-githubactions"

	"github.com/sealyard/sealyard/policy"
)

// What a runner keeps of one step; it drops what comes after.
const (
	annotationsEach = 10   // errors, and as many warnings
	annotationText  = 1900 // of message and of remedy: 4096 characters in all
	outputLimit     = 1 << 20
)

// command writes one workflow command. Of the library only the formatting is used: its methods panic when a write
// fails or a variable is not set, its heredoc delimiter is a constant, and Infof lets commands in foreign text through.
func command(w io.Writer, name, message string, properties githubactions.CommandProperties) error {
	c := githubactions.Command{Name: name, Message: message, Properties: properties}
	_, err := io.WriteString(w, c.String()+"\n")
	return err
}

// Annotations writes the denials as errors and the warnings as warnings in the form of GitHub workflow commands, the
// most severe first, each at its line of the Dockerfile or source. A runner keeps ten of each: the tenth then says how
// many more there are.
func Annotations(w io.Writer, r Run) error {
	r = r.redacted()
	if r.Err != "" {
		text := brief(r.Err, annotationText)
		if r.Hint != "" {
			text += "\n" + brief(r.Hint, annotationText)
		}
		if err := command(w, "error", text, githubactions.CommandProperties{"title": "sealyard " + Clean(r.Command)}); err != nil {
			return err
		}
	}
	errs := annotationsEach
	if r.Err != "" {
		errs--
	}
	if err := r.annotate(w, "error", r.denials(), errs); err != nil {
		return err
	}
	return r.annotate(w, "warning", r.warnings(), annotationsEach)
}

func (r Run) annotate(w io.Writer, level string, findings []policy.Finding, most int) error {
	findings = slices.Clone(findings)
	slices.SortStableFunc(findings, bySeverity)
	for i, f := range findings {
		if left := len(findings) - i; i == most-1 && left > 1 {
			return command(w, level, fmt.Sprintf("and %d more: the job summary has them all", left), nil)
		}
		at := f.Location
		if at.File == "" {
			at = r.fallback()
		}
		text := brief(f.Message, annotationText)
		if f.Platform != "" {
			text += " [" + brief(f.Platform, 40) + "]"
		}
		if f.Solution != "" {
			text += "\nTo fix: " + brief(f.Solution, annotationText)
		}
		properties := githubactions.CommandProperties{
			"title": brief(f.Rule, 80), "file": sourcePath(at.File), "line": strconv.Itoa(max(1, at.Line)),
		}
		if err := command(w, level, text, properties); err != nil {
			return err
		}
	}
	return nil
}

// Mask tells the runner to hide values in everything that is printed from now on. It must come before anything that may
// print them.
func Mask(w io.Writer, values []string) error {
	for _, v := range values {
		for _, line := range strings.FieldsFunc(v, func(r rune) bool { return r == '\n' || r == '\r' }) {
			if len(strings.TrimSpace(line)) < shortest {
				continue
			}
			if err := command(w, "add-mask", line, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// A Fence is a writer for foreign text on a workflow runner, such as the output of a build: between its first write and
// Close the runner takes nothing for a command. Commands of our own must wait until it is closed, and nothing else may
// write to the same stream meanwhile.
type Fence struct {
	w            io.Writer
	token        string
	open, closed bool
	midline      bool
}

// NewFence draws the token that ends the fence from random, which must be unpredictable.
func NewFence(w io.Writer, random io.Reader) (*Fence, error) {
	token, err := nonce(random)
	if err != nil {
		return nil, err
	}
	return &Fence{w: w, token: token}, nil
}

// Write writes p as it is. The first call stops the runner's processing of commands.
func (f *Fence) Write(p []byte) (int, error) {
	if f.closed {
		return 0, errors.New("write to a closed fence")
	}
	if !f.open {
		if err := command(f.w, "stop-commands", f.token, nil); err != nil {
			return 0, err
		}
		f.open = true
	}
	if len(p) > 0 {
		f.midline = p[len(p)-1] != '\n'
	}
	return f.w.Write(p)
}

// Close lets the runner process commands again. It does not close the writer below. A fence is used once: after Close
// its token is in the log.
func (f *Fence) Close() error {
	if f.closed || !f.open {
		f.closed = true
		return nil
	}
	f.closed = true
	end := "::" + f.token + "::\n"
	if f.midline {
		end = "\n" + end
	}
	_, err := io.WriteString(f.w, end)
	return err
}

// Outputs writes the files through which a workflow step hands on results.
type Outputs struct {
	Output    string    // the file GITHUB_OUTPUT names; "" is no runner, and Set does nothing
	Summary   string    // the file GITHUB_STEP_SUMMARY names; "" is no runner, and Summarize does nothing
	Artifacts string    // the file GITHUB_ARTIFACTS names; "" is no runner that knows it, and Declare does nothing
	Random    io.Reader // unpredictable bytes
}

var outputName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Set sets an output of the step. The value may be any text of at most 1 MiB: it is set off by a delimiter that nobody
// can guess.
func (o Outputs) Set(name, value string) error {
	if o.Output == "" {
		return nil
	}
	if !outputName.MatchString(name) {
		return fmt.Errorf("output name %q is not lower case letters, digits and dashes", name)
	}
	if len(value) > outputLimit {
		return fmt.Errorf("output %q has %d bytes: a runner takes %d", name, len(value), outputLimit)
	}
	token, err := nonce(o.Random)
	if err != nil {
		return err
	}
	return appendTo(o.Output, []byte(name+"<<"+token+"\n"+value+"\n"+token+"\n"))
}

// Declare tells the runner of an image that the step has made, by its reference and digest: later steps of the job are given the list
// (actions/runner, CreateArtifactsFileCommand). A runner fails a step that declares two digests for one reference.
func (o Outputs) Declare(ref, digest string) error {
	if o.Artifacts == "" {
		return nil
	}
	if strings.ContainsAny(ref+digest, " =\r\n") {
		return fmt.Errorf("image %q cannot be declared to the runner", ref)
	}
	return appendTo(o.Artifacts, []byte("oci://"+ref+"@"+digest+"\n"))
}

// Summarize adds the run to the job summary. When the summary is too full to take it, it fails and adds nothing: a
// runner would throw all of it away.
func (o Outputs) Summarize(r Run) error {
	if o.Summary == "" {
		return nil
	}
	var b bytes.Buffer
	if err := Markdown(&b, r); err != nil {
		return err
	}
	info, err := os.Stat(o.Summary)
	if err == nil && info.Size()+int64(b.Len()) > SummaryLimit {
		return fmt.Errorf("job summary has %d bytes: no room for %d more", info.Size(), b.Len())
	}
	return appendTo(o.Summary, b.Bytes())
}

func appendTo(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the runner's file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err = f.Write(data); err != nil {
		return fmt.Errorf("write the runner's file: %w", err)
	}
	return nil
}

// nonce returns 128 random bits that no command is named like.
func nonce(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw a random token: %w", err)
	}
	return "sealyard-" + hex.EncodeToString(b[:]), nil
}
