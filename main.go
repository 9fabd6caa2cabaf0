// Command sealyard builds container images, proves what they are, decides, and only then publishes them.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sealyard/sealyard/action"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	environ := os.Environ()
	for _, v := range environ {
		if action.Secret(v) { // what this program starts inherits the rest
			name, _, _ := strings.Cut(v, "=")
			os.Unsetenv(name)
		}
	}
	os.Exit(action.Main(ctx, action.Env{
		Args: os.Args, Environ: environ, Now: time.Now,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}
