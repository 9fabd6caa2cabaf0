package build

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/sealyard/sealyard/internal/hint"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	stepLog    = 20 // last lines of a failed step that a StepError carries
	shownLines = 3  // of them, in its message
	maxSteps   = 10_000
)

// StepError says which step of the Dockerfile failed. It means that the build broke, not that the plan was wrong.
type StepError struct {
	Step string   // as BuildKit names it: "[2/3] RUN make"; "" when the Dockerfile itself is wrong
	File string   // the Dockerfile, as in Result.Dockerfile
	Line int      // in File; 0 is unknown
	Log  []string // the step's last output, at most 20 lines; foreign text
	Err  error    // BuildKit's words
}

// Error is one line: place, step, cause and the very last lines of output, quoted.
func (e *StepError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Step != "" {
		fmt.Fprintf(&b, ": step %q", e.Step)
	}
	fmt.Fprintf(&b, ": %q", e.Err.Error())
	if n := len(e.Log); n > 0 {
		fmt.Fprintf(&b, "; last output: %q", strings.Join(e.Log[max(0, n-shownLines):], "\n"))
	}
	return b.String()
}

// Unwrap returns BuildKit's error.
func (e *StepError) Unwrap() error { return e.Err }

// recorder remembers what the status stream said about each step: its name and last output.
type recorder struct {
	mu       sync.Mutex
	steps    map[digest.Digest]*step
	warnings []client.VertexWarning
}

type step struct {
	name string
	log  tail
}

func (r *recorder) record(s *client.SolveStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range s.Vertexes {
		r.step(v.Digest).name = v.Name
	}
	for _, l := range s.Logs {
		_, _ = r.step(l.Vertex).log.Write(l.Data)
	}
	for _, w := range s.Warnings {
		if len(r.warnings) < maxSteps {
			r.warnings = append(r.warnings, *w)
		}
	}
}

func (r *recorder) step(d digest.Digest) *step {
	s, ok := r.steps[d]
	if !ok {
		s = &step{log: tail{max: stepLog}}
		if len(r.steps) < maxSteps {
			r.steps[d] = s
		}
	}
	return s
}

// explain turns BuildKit's error into ours.
func (r *recorder) explain(ctx context.Context, err error, c buildContext, address string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if status.Code(err) == codes.Unavailable {
		return fmt.Errorf("buildkit at %q: %w", address, err)
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "exporter \"oci\" could not be found"):
		return hint.Wrap(fmt.Errorf("buildkit at %q has no OCI exporter", address), "use a BuildKit of at least %s, not the one inside dockerd", minVersion)
	case c.url != "" && strings.Contains(text, "executable file not found") && strings.Contains(text, "git"):
		return hint.Wrap(err, "the engine needs git for a git context: install it")
	}
	e := &StepError{File: c.path, Err: cause(err)}
	for _, s := range errdefs.Sources(err) {
		if len(s.Ranges) > 0 && s.Ranges[0].Start != nil {
			e.Line = int(s.Ranges[0].Start.Line)
		}
	}
	var v *errdefs.VertexError
	if errors.As(err, &v) {
		r.mu.Lock()
		s := r.step(digest.Digest(v.Vertex.Digest))
		r.mu.Unlock()
		e.Step, e.Log = s.name, s.log.Lines()
	}
	if e.Line == 0 && e.Step == "" {
		return fmt.Errorf("build: %w", err)
	}
	return e
}

// cause drops the outer layers of a BuildKit error that say nothing.
func cause(err error) error {
	text := err.Error()
	for _, prefix := range []string{"failed to solve: ", "rpc error: code = Unknown desc = "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return &plainError{text: text, err: err}
}

// plainError shows text and keeps err in the chain.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }

func (e *plainError) Unwrap() error { return e.err }

func newRecorder() *recorder { return &recorder{steps: map[digest.Digest]*step{}} }

// warnings are the frontend's remarks.
func warnings(r *recorder, c buildContext) []Warning {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Warning
	for _, w := range r.warnings {
		x := Warning{Message: string(w.Short), URL: w.URL, File: c.path}
		var detail []string
		for _, d := range w.Detail {
			detail = append(detail, string(d))
		}
		x.Detail = strings.Join(detail, "\n")
		if len(w.Range) > 0 && w.Range[0].Start != nil {
			x.Line = int(w.Range[0].Start.Line)
		}
		out = append(out, x)
	}
	return out
}
