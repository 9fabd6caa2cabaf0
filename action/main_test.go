package action_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
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
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		_ = p.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0))) // most of what is tested waits for other programs
	}
	return s.M.Run()
}

// sealyard is the program, as main.go has it.
func sealyard() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(action.Main(ctx, action.Env{
		Args: os.Args, Environ: action.Environ(), Now: time.Now, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
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
	t.Parallel() // its scripts begin after the tests that mostly wait
	w, stack := shared(t), testkit.Tool(t, "sigstack")
	at := map[testkit.Kind]string{}
	for _, kind := range testkit.Kinds() {
		at[kind] = testkit.Registry(t, kind)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true, UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		ContinueOnError: true,
		Setup: func(e *testscript.Env) error {
			name := strings.TrimPrefix(filepath.Base(e.WorkDir), "script-")
			e.Vars = append(e.Vars,
				"GOGC=400", // many short processes on few cores
				"PATH="+w.path, "HOME="+e.WorkDir, "XDG_CACHE_HOME="+w.cache, "COSIGN_PASSWORD="+password,
				"BIN="+w.bin, "TOOL="+w.tool, "ARCHIVE="+w.archive, "DB="+filepath.Join(w.cache, "sealyard", "db"),
				"KEY="+w.key, "PUB="+strings.TrimSuffix(w.key, ".key")+".pub", "ENGINE="+w.engine, "SEALED="+string(w.sealed), "MARK="+strconv.Itoa(os.Getpid()),
				// One repository for each script, in every kind of registry.
				"REPO="+at[testkit.Olareg]+"/"+name, "REPO_V3="+at[testkit.Distribution]+"/"+name, "REPO_DEBIAN="+at[testkit.Debian]+"/"+name,
			)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "refuses": refuses, "lone": lone, "alive": alive, "reference": reference, "same": same,
			"blob": blobOf, "flip": flip, "trim": trim, "detach": detach, "attach": attach, "edit": edit, "push": push, "save": save,
			"tuf": tuf(t), "proxy": proxy(t), "asked": asked, "told": told, "archive": archive, "referrers": referrers, "within": within, "sends": sends, "serve": serve(t),
			"sigstack": sigstack(stack), "asks-none": asksNone, "stored": stored, "token": token,
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
	run(ts, want, args[1:])
}

func run(ts *testscript.TestScript, want int, args []string) {
	err := ts.Exec(args[0], args[1:]...)
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

// refuses CODE ERROR HINT PROGRAM ARGS...: runs a program that must exit with that code and whose last words must be one line
// that matches ERROR and one hint that matches HINT.
func refuses(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	run(ts, want, args[3:])
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	n := len(lines)
	if n < 2 || !strings.HasPrefix(lines[n-2], "sealyard: ") || !strings.HasPrefix(lines[n-1], "hint: ") {
		ts.Fatalf("the last words are not one error and one hint")
	}
	for i, pattern := range args[1:3] {
		if !regexp.MustCompile(pattern).MatchString(lines[n-2+i]) {
			ts.Fatalf("%q does not match %q", lines[n-2+i], pattern)
		}
	}
	for _, line := range lines[:n-2] {
		if strings.HasPrefix(line, "sealyard: ") || strings.HasPrefix(line, "hint: ") || strings.HasPrefix(line, "goroutine ") {
			ts.Fatalf("more than one error: %q", line)
		}
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

// [!] alive MARK: waits until a process has MARK in its command line or environment, or until none has. A run of sealyard build
// itself does not count: what it starts does.
func alive(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if running(args[0]) != neg {
			return
		}
	}
	ts.Fatalf("no change within a minute: %s", args[0])
}

func running(mark string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		line, _ := os.ReadFile(f) // of a process that may be gone by now
		environ, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "environ"))
		if !strings.Contains(string(line), "sealyard\x00build\x00") && strings.Contains(string(line)+"\x00"+string(environ), mark) {
			return true
		}
	}
	return false
}

// reference VAR FILE WORD: sets VAR to the word after WORD in the first line of the file that begins with it, be it in a tree.
func reference(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if words := strings.Fields(strings.TrimLeft(line, "│├└─ ")); len(words) > 1 && words[0] == args[2] {
			ts.Setenv(args[0], strings.TrimSuffix(words[1], ","))
			return
		}
	}
	ts.Fatalf("%s: no line begins with %q", args[1], args[2])
}

// [!] same ONE TWO: the two words are equal.
func same(ts *testscript.TestScript, neg bool, args []string) {
	if (args[0] == args[1]) == neg {
		ts.Fatalf("%s and %s", args[0], args[1])
	}
}

// serve VAR FILE: sets VAR to the address of a web server that has that one file.
func serve(t testing.TB) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		file := ts.MkAbs(args[1])
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if filepath.Base(r.URL.Path) != filepath.Base(file) {
				http.NotFound(w, r)
				return
			}
			http.ServeFile(w, r, file)
		}))
		t.Cleanup(srv.Close)
		ts.Setenv(args[0], srv.URL+"/"+filepath.Base(file))
	}
}

// archive FILE BUILT [ID=SEVERITY]...: writes a database archive that was built at that time, RFC 3339 or "now", in which some
// flaws have another severity; "empty" instead makes one without facts.
func archive(ts *testscript.TestScript, _ bool, args []string) {
	facts, err := testdb.Facts()
	ts.Check(err)
	built := time.Now().Add(-time.Minute)
	switch args[1] {
	case "now":
	case "empty":
		facts = nil
	default:
		built, err = time.Parse(time.RFC3339, args[1])
		ts.Check(err)
	}
	for _, arg := range args[2:] {
		id, severity, _ := strings.Cut(arg, "=")
		i := slices.IndexFunc(facts, func(f testdb.Fact) bool { return f.ID == id })
		if i < 0 {
			ts.Fatalf("no fact about %s", id)
		}
		facts[i].Severity = severity
	}
	dir, err := os.MkdirTemp(ts.Getenv("WORK"), "db")
	ts.Check(err)
	file, err := testdb.Archive(dir, built, facts)
	ts.Check(err)
	ts.Check(os.Rename(file, ts.MkAbs(args[0])))
}
