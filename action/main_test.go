package action_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/internal/testdb"
	"github.com/sealyard/sealyard/internal/testkit"
)

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"sealyard": sealyard, "offline": offline})
}

// suite is every test of the package, and the end of the world after them.
type suite struct{ *testing.M }

func (s suite) Run() int {
	defer theWorld.close()
	return s.M.Run()
}

// sealyard is the program, as main.go has it.
func sealyard() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(action.Main(ctx, action.Env{
		Args: os.Args, Environ: os.Environ(), Now: time.Now, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}

// offline runs its arguments in a network namespace without any interface that is up.
func offline() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "offline:", err)
		os.Exit(125)
	}
}

// Each script tells one story through the real program; its head says what it shows.
func TestScript(t *testing.T) {
	w := shared(t)
	at := map[testkit.Kind]string{}
	for _, kind := range testkit.Kinds() {
		at[kind] = testkit.Registry(t, kind)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true, UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			name := strings.TrimPrefix(filepath.Base(e.WorkDir), "script-")
			e.Vars = append(e.Vars,
				"PATH="+w.path, "HOME="+e.WorkDir, "XDG_CACHE_HOME="+w.cache, "COSIGN_PASSWORD="+password,
				"BIN="+w.bin, "TOOL="+w.tool, "ARCHIVE="+w.archive, "DB="+filepath.Join(w.cache, "sealyard", "db"),
				"KEY="+w.key, "PUB="+strings.TrimSuffix(w.key, ".key")+".pub", "ENGINE="+w.engine,
				// One repository for each script, in every kind of registry.
				"REPO="+at[testkit.Olareg]+"/"+name, "REPO_V3="+at[testkit.Distribution]+"/"+name, "REPO_DEBIAN="+at[testkit.Debian]+"/"+name,
			)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "lone": lone, "alive": alive, "flip": flip, "trim": trim, "blob": blobOf, "detach": detach, "attach": attach, "push": push,
			"proxy": proxy(t), "archive": archive,
		},
	})
}

// exits CODE PROGRAM ARGS...: runs a program that must exit with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// lone: neither evidence nor anything temporary is in the working directory.
func lone(ts *testscript.TestScript, _ bool, _ []string) {
	for _, pattern := range []string{"sealyard-evidence", ".sealyard-*", ".tmp/sealyard-*"} {
		found, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(found) > 0 {
			ts.Fatalf("left behind: %v", found)
		}
	}
}

// [!] alive MARK: waits until a process has MARK in its command line, or until none has.
func alive(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if running(args[0]) != neg {
			return
		}
	}
	ts.Fatalf("no change within half a minute: %s", args[0])
}

func running(mark string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if line, err := os.ReadFile(f); err == nil && strings.Contains(string(line), mark) {
			return true
		}
	}
	return false
}

// archive FILE BUILT: writes a database archive that was built at that time, RFC 3339; "empty" instead makes one without facts.
func archive(ts *testscript.TestScript, _ bool, args []string) {
	facts, err := testdb.Facts()
	ts.Check(err)
	built := time.Now()
	if args[1] == "empty" {
		facts = nil
	} else {
		built, err = time.Parse(time.RFC3339, args[1])
		ts.Check(err)
	}
	dir, err := os.MkdirTemp(ts.Getenv("WORK"), "db")
	ts.Check(err)
	file, err := testdb.Archive(dir, built, facts)
	ts.Check(err)
	ts.Check(os.Rename(file, ts.MkAbs(args[0])))
}
