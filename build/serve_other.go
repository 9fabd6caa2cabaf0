//go:build !linux

package build

import (
	"context"
	"errors"
	"os/exec"

	"github.com/sealyard/sealyard/internal/hint"
)

var errLinux = errors.New("the engine runs on Linux only")

// Serve is the engine of Image's child process. It exists on Linux only: elsewhere builds need Plan.Hosts.
func Serve(context.Context, EngineOptions) error {
	return hint.Misuse(errLinux, "give the address of a BuildKit engine with --buildkit-host")
}

func isolate(*exec.Cmd, bool) {}
