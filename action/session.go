package action

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"golang.org/x/term"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/oci"
)

// session is one run of one command: its inputs, its time, and what it has to tell at the end.
type session struct {
	env     Env
	in      values
	now     time.Time // the one time of the run: recorded, and judged by
	log     io.Writer // progress
	report  report.Run
	imageID string // digest of the image's configuration, as Docker names images

	asAction    bool            // run as a step of a workflow, by the action command
	proposed    bool            // what a change proposes is looked at itself, and decides about no image
	identity    attest.Identity // who signs
	hidden      []string        // what secrets found
	credentials string          // directory made by login
	inContext   string          // the Dockerfile as provenance names it, relative to the context
}

func newSession(env Env, in values, command string) *session {
	s := &session{env: env, in: in, now: env.Now().UTC().Truncate(time.Second), log: env.Stderr}
	s.report = report.Run{Command: command, Mode: in.one("mode"), Version: version().Version}
	return s
}

// step runs one stage, tells that it started and keeps how long it took.
func (s *session) step(ctx context.Context, name string, work func(context.Context) (detail string, err error)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	start := s.env.Now()
	fmt.Fprintf(s.log, "=> %s\n", name)
	detail, err := work(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if detail != "" {
		fmt.Fprintf(s.log, "   %s\n", detail)
	}
	s.report.Steps = append(s.report.Steps, report.Step{Name: name, Detail: detail, Took: s.env.Now().Sub(start)})
	return nil
}

// foreign returns a writer for text that others wrote, such as the output of a build: secrets are hidden in it, what would act
// on a terminal is shown instead, and a workflow runner takes nothing in it for a command (T2, T38). A terminal that a
// person looks at gets BuildKit's own display, which draws what it shows.
func (s *session) foreign() (w io.Writer, done func() error, err error) {
	if f, ok := s.log.(*os.File); ok && !s.onGitHub() && s.in.one("progress") != "plain" && term.IsTerminal(int(f.Fd())) {
		return f, func() error { return nil }, nil
	}
	var chain []io.Closer
	w = s.log
	if s.onGitHub() {
		fence, err := report.NewFence(w, rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		w, chain = fence, append(chain, fence)
	}
	plain := report.NewPlain(w)
	hide := report.NewRedactor(plain, s.secrets())
	chain = append(chain, plain, hide)
	return hide, func() (err error) {
		for _, c := range slices.Backward(chain) {
			err = errors.Join(err, c.Close())
		}
		return err
	}, nil
}

// remote returns the way to registries, with the credentials of the docker configuration.
func (s *session) remote() (*oci.Remote, error) {
	return oci.NewRemote(oci.RemoteOptions{
		Version: version().Version, DockerConfig: s.dockerConfig(), PlainHTTP: s.in.all("plain-http"), Proxy: http.ProxyFromEnvironment,
	})
}
