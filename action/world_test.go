package action_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/internal/testdb"
	"github.com/sealyard/sealyard/internal/testkit"
)

// password opens the key of the world.
const password = "correct horse"

// world is what the end-to-end tests of one run share, because it is slow to make: a database, a program to put into images,
// a signing key, and a BuildKit that stays up. Nothing in it changes but caches.
type world struct {
	dir     string
	archive string   // a database archive built now
	cache   string   // a cache directory with that database in it
	tool    string   // a static program, see testdata/tool
	key     string   // a private key in cosign's format; its public half is beside it, .pub
	bin     string   // the directory that holds sealyard alone
	path    string   // PATH: bin, the directory of runc, and the machine's
	engine  string   // address of a BuildKit: sealyard engine, as build starts it
	sealed  layout   // a sealed image for two platforms, to copy
	env     []string // of sealyard, besides

	process *exec.Cmd
	stdin   io.Closer
}

var (
	theWorld     world
	theWorldOnce sync.Once
)

// shared returns the world, which the first caller makes.
func shared(t testing.TB) *world {
	t.Helper()
	runc := testkit.Tool(t, "runc")
	theWorldOnce.Do(func() {
		if err := theWorld.create(runc); err != nil {
			t.Fatal(err)
		}
	})
	if theWorld.sealed == "" {
		t.Fatal("there is no world to test in: see the first failure")
	}
	return &theWorld
}

func (w *world) create(runc string) (err error) {
	if w.dir, err = os.MkdirTemp("", "sealyard-e2e-"); err != nil {
		return err
	}
	exe, err := exec.LookPath("sealyard") // put there by testscript
	if err != nil {
		return err
	}
	w.bin = filepath.Dir(exe)
	w.path = w.bin + ":" + filepath.Dir(runc) + ":" + os.Getenv("PATH")
	facts, err := testdb.Facts()
	if err != nil {
		return err
	}
	if w.archive, err = testdb.Archive(w.dir, time.Now(), facts); err != nil {
		return err
	}
	w.cache = filepath.Join(w.dir, "cache")
	w.tool = filepath.Join(w.dir, "tool")
	w.key = filepath.Join(w.dir, "cosign.key")
	for _, args := range [][]string{
		{"go", "build", "-ldflags=-s -w", "-o", w.tool, "./testdata/tool"},
		{exe, "db", "import", w.archive},
		{exe, "key", "generate", "--output-key-prefix", filepath.Join(w.dir, "cosign")},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "XDG_CACHE_HOME="+w.cache, "COSIGN_PASSWORD="+password)
		if args[0] == "go" {
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", args, err, out)
		}
	}
	if err := w.start(exe, runc); err != nil {
		return err
	}
	app := filepath.Join(w.dir, "app")
	if err := errors.Join(os.Mkdir(app, 0o755), os.WriteFile(filepath.Join(app, "Dockerfile"), []byte(plain), 0o644), os.Link(w.tool, filepath.Join(app, "tool"))); err != nil {
		return err
	}
	sealed := filepath.Join(w.dir, "sealed")
	out := w.run(context.Background(), &bytes.Buffer{}, "build", app, "--buildkit-host", w.engine, "--key", w.key, "--progress", "quiet",
		"--platform", "linux/amd64,linux/arm64", "--evidence-path", sealed)
	if out.code != action.Allowed {
		return fmt.Errorf("seal an image: exit %d: %s%s", out.code, out.stdout, out.stderr)
	}
	w.sealed = layout(sealed)
	return nil
}

// start starts the engine, in namespaces of its own so that nothing it does outlives it.
func (w *world) start(exe, runc string) error {
	socket := filepath.Join(w.dir, "buildkit.sock")
	cmd := exec.Command(exe, "engine", "--isolated", "--socket", socket, "--state", filepath.Join(w.dir, "state"), "--runc", runc, "--allow", "network.host")
	cmd.Env = []string{"PATH=" + w.path}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	var log bytes.Buffer
	cmd.Stderr = &log
	ready, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if w.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start an engine, which needs root: %w", err)
	}
	if _, err := io.ReadAtLeast(ready, make([]byte, 64), len("ready\n")); err != nil {
		return fmt.Errorf("%w: %s", cmd.Wait(), log.String())
	}
	w.process, w.engine = cmd, "unix://"+socket
	return nil
}

// close ends the engine and removes everything.
func (w *world) close() {
	if w.process != nil {
		_ = w.stdin.Close()
		_ = w.process.Wait()
	}
	if w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
}
