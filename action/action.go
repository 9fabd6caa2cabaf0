// Package action is the stem of sealyard: it reads inputs or flags, runs the stages in order and reports.
//
// One run goes one way: build an image layout, scan it, write statements, decide; on allow sign, verify the sealed
// layout with the auditor's own code, push by digest, verify again in the registry, and move the tags last. On deny
// nothing has left the machine. The leaves (build, scan, attest, policy, oci) do the work and do not know each other.
package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
)

// Exit codes. Whatever is not Allowed fails a workflow, so every mistake fails closed.
const (
	Allowed = 0 // the policy allows the image
	Denied  = 1 // the policy, or a signature that does not hold, denies it
	Misused = 2 // the inputs are wrong
	Failed  = 3 // no decision was reached
)

// Env is all that the program takes from its surroundings.
type Env struct {
	Args    []string // the command line, program name first
	Environ []string // NAME=value pairs
	Now     func() time.Time
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
}

// lookup returns the value of an environment variable and whether it is set.
func (e Env) lookup(name string) (string, bool) {
	for _, kv := range e.Environ {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// getenv returns the value of an environment variable, or "".
func (e Env) getenv(name string) string {
	v, _ := e.lookup(name)
	return v
}

// cache names something under the user's cache directory.
func (e Env) cache(name string) (string, error) { return e.below("XDG_CACHE_HOME", ".cache", name) }

// config names something under the user's configuration directory.
func (e Env) config(name string) (string, error) { return e.below("XDG_CONFIG_HOME", ".config", name) }

// below names something of ours under the directory that a variable names, or that is in HOME.
func (e Env) below(variable, dir, name string) (string, error) {
	base := e.getenv(variable)
	if base == "" && e.getenv("HOME") != "" {
		base = filepath.Join(e.getenv("HOME"), dir)
	}
	if base == "" {
		return "", hint.Misuse(fmt.Errorf("no place for %q: HOME is not set", name), "set HOME or %s", variable)
	}
	return filepath.Join(base, "sealyard", name), nil
}

// errDenied is what a command returns when a decision was reached and it is no.
var errDenied = errors.New("denied")

// The collector is in no hurry while the heap is small, for most commands end before it is worth collecting: verifying a
// small image takes 72 ms of CPU instead of 82. From memoryLimit bytes on it works harder: scanning makes garbage
// faster than it is collected otherwise, and measured no slower with the limit.
const (
	memoryLimit = 160 << 20
	gcPercent   = 800
)

// Main runs the program and returns its exit code.
func Main(ctx context.Context, env Env) int {
	debug.SetMemoryLimit(memoryLimit)
	if env.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	root := commands(env)
	root.SetArgs(env.Args[1:])
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errDenied) {
		complain(env.Stderr, err)
	}
	return exitCode(err)
}

// exitCode is the one place where outcomes become exit codes. Bytes that are not what their digest says, and signatures
// that do not hold, are an answer: denied.
func exitCode(err error) int {
	switch {
	case err == nil:
		return Allowed
	case errors.Is(err, errDenied), errors.Is(err, oci.ErrCorrupt), errors.Is(err, attest.ErrUntrusted):
		return Denied
	case hint.IsMisuse(err):
		return Misused
	default:
		return Failed
	}
}

// complain prints an error as one line, and its hint as another.
func complain(w io.Writer, err error) {
	fmt.Fprintf(w, "sealyard: %s\n", report.Clean(err.Error()))
	if h := hint.Of(err); h != "" {
		fmt.Fprintf(w, "hint: %s\n", report.Clean(h))
	}
}

// executable returns the path this program was started as, for starting it again as the engine.
func executable() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return path, nil
}
