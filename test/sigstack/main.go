// Command sigstack is a whole Sigstore on loopback, for tests: Fulcio, a CT log, Rekor v2 and v1, a timestamp authority, and a
// token endpoint that speaks like GitHub's. The services are the real ones; only their keys are new with every start.
//
//	sigstack -dir DIR [-repository acme/widget] [-ref refs/heads/main] [-fault rekor=500] ...
//
// It writes into DIR
//
//	trusted_root.json     what to verify against: every service
//	signing_config.json   what to sign with: Rekor v2
//	rekor-v1/             the same with Rekor v1 as the log
//	two-logs/             the same with two logs of two operators, and an entry in each
//	private/              the same without any log, as GitHub signs for private repositories
//	env                   for a shell to read: what a job's environment says, the token endpoint among it, and the admin endpoint
//
// then prints "ready", and ends when its standard input is closed or it is told to. See faults.go for how to make a service
// misbehave, and github.go for how to ask for a token with other claims.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	rekor "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix/app"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == rekorWord {
		os.Args = os.Args[1:]
		rekor.Execute()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sigstack:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var dir string
	claims, faults := githubClaims(), map[string]string{}
	flags := flag.NewFlagSet("sigstack", flag.ContinueOnError)
	flags.StringVar(&dir, "dir", "", "directory to write into")
	flags.Func("fault", "SERVICE=FAULT: how a service misbehaves from the start", func(v string) error {
		service, fault, _ := strings.Cut(v, "=")
		faults[service] = fault
		return nil
	})
	for name, value := range claims {
		flags.Func(strings.ReplaceAll(name, "_", "-"), fmt.Sprintf("the claim %s of tokens (%s)", name, value), func(v string) error {
			claims[name] = v
			return nil
		})
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if dir == "" || flags.NArg() > 0 {
		return errors.New("usage: sigstack -dir DIR [flags]")
	}
	state := filepath.Join(dir, ".state")
	defer os.RemoveAll(state)
	s, err := start(ctx, state, claims)
	defer s.stop()
	if err != nil {
		return err
	}
	for service, fault := range faults {
		if err := s.fronts.set(service, fault); err != nil {
			return err
		}
	}
	if err := s.write(dir); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "ready")
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // it ends with whoever started us
		cancel()
	}()
	select {
	case <-ctx.Done():
		return nil
	case err = <-s.rekor.gone:
	case err = <-s.peer.gone:
	}
	if ctx.Err() != nil {
		return nil // a terminal's interrupt reaches the child as well
	}
	return fmt.Errorf("rekor ended: %w", err)
}
