package build_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/internal/testkit"
)

// sleeper is a context whose RUN step sleeps for an hour; its command line ends in mark.
func sleeper(t *testing.T, mark string) string {
	return files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool", `RUN ["/tool","sleep","`+mark+`"]`)})
}

// running returns the processes whose command line holds mark.
func running(t *testing.T, mark string) []int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, d := range dirs {
		line, err := os.ReadFile(filepath.Join(d, "cmdline"))
		pid, _ := strconv.Atoi(filepath.Base(d))
		if err == nil && pid != os.Getpid() && bytes.Contains(line, []byte(mark)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone waits until no process has mark in its command line.
func gone(t *testing.T, mark string) {
	t.Helper()
	var left []int
	for range 100 {
		if left = running(t, mark); len(left) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("processes %v with %q are left", left, mark)
}

// watch is a progress writer that calls then once when it sees word.
type watch struct {
	word string
	then func()

	mu   sync.Mutex
	seen bytes.Buffer
	once sync.Once
}

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.Write(p)
	if w.then != nil && strings.Contains(w.seen.String(), w.word) {
		w.once.Do(func() { go w.then() })
	}
	return len(p), nil
}

func (w *watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.String()
}

// Ctrl-C in the middle of a RUN step: no layout, nothing beside it, no process left.
func TestCancelLeavesNothing(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	parent := t.TempDir()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stop := errors.New("told to stop")
	w := &watch{word: "sleeping", then: func() { cancel(stop) }}
	_, err := build.Image(ctx, build.Plan{Context: sleeper(t, "cancel-mark"), Engine: engine}, filepath.Join(parent, "out"), w)
	if !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	gone(t, "cancel-mark")
	gone(t, engine.StateDir)
	if left, _ := os.ReadDir(parent); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// SIGKILL to the program that builds: the engine and its containers end too.
func TestEngineEndsWithItsParent(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	engine.TempDir = tempDir(t)
	cmd := exec.Command(engine.Executable, "build-and-wait", sleeper(t, "orphan-mark"), engine.StateDir, engine.Runc, engine.TempDir)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	asleep := make(chan struct{})
	go func() { _, _ = io.Copy(&watch{word: "sleeping", then: func() { close(asleep) }}, pipe) }()
	select {
	case <-asleep:
	case <-time.After(30 * time.Second):
		t.Error("the build did not start")
	}
	if len(running(t, "orphan-mark")) == 0 {
		t.Error("no container to kill")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, "orphan-mark")
	gone(t, engine.StateDir)
	if left, _ := os.ReadDir(engine.TempDir); len(left) > 0 {
		t.Errorf("socket directory is left: %v", left)
	}
}

// An engine that dies is an error with its last words; its containers die with it and the layout is not there.
func TestEngineDeath(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	out := filepath.Join(t.TempDir(), "out")
	w := &watch{word: "sleeping", then: func() {
		for _, pid := range running(t, "--state\x00"+engine.StateDir) { // and not runc, which it starts
			_ = syscall.Kill(pid, syscall.SIGABRT) // a Go program says why and dumps its stacks
		}
	}}
	_, err := build.Image(context.Background(), build.Plan{Context: sleeper(t, "death-mark"), Engine: engine}, out, w)
	if err == nil || !strings.Contains(err.Error(), "the build engine died (exit status 2)") || hint.IsMisuse(err) {
		t.Errorf("error %v", err)
	}
	gone(t, "death-mark")
	if mounts := read(t, "/proc/self/mountinfo"); bytes.Contains(mounts, []byte(engine.StateDir)) {
		t.Error("the engine's mounts are left")
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("layout: %v", err)
	}
}

// A second run with the same state directory waits for the first, says so, and then works.
func TestSecondRunWaits(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	first, cancel := context.WithTimeout(context.Background(), time.Minute) // should the second run not wait
	defer cancel()
	asleep := make(chan struct{})
	ended := make(chan error, 1)
	slow := build.Plan{Context: sleeper(t, "lock-mark"), Engine: engine}
	out := t.TempDir()
	go func() {
		_, err := build.Image(first, slow, filepath.Join(out, "1"), &watch{word: "sleeping", then: func() { close(asleep) }})
		ended <- err
	}()
	<-asleep
	w := &watch{word: "waiting for another run that uses " + engine.StateDir, then: cancel}
	fast := build.Plan{Context: files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool")}), Engine: engine}
	if _, err := build.Image(context.Background(), fast, filepath.Join(out, "2"), w); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("first run ended with %v before the second waited", err)
	}
	gone(t, "lock-mark")
}

// The same state directory gives a cached second build, with the same digest although a step is not deterministic.
func TestStateKeepsCache(t *testing.T) {
	t.Parallel()
	plan := build.Plan{Engine: newEngine(t), Context: files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool", `RUN ["/tool","stamp","/stamp"]`)})}
	one, _ := mustBuild(t, plan)
	two, _ := mustBuild(t, plan)
	plan.NoCache = true
	three, _ := mustBuild(t, plan)
	if one.Digest != two.Digest || one.Digest == three.Digest {
		t.Errorf("digests %s %s %s", one.Digest, two.Digest, three.Digest)
	}
}

// What the engine needs and does not find is named.
func TestEngineNeeds(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY tool /tool\n"})
	good := newEngine(t)
	for name, test := range map[string]struct {
		change func(*build.Engine)
		want   string
		hint   string
	}{
		"runc in PATH":   {func(e *build.Engine) { e.Runc, e.Env = "", []string{"PATH=" + dir} }, `runc not found (looked for "runc")`, "apt-get install runc"},
		"runc by path":   {func(e *build.Engine) { e.Runc = dir }, `runc not found`, "apt-get install runc"},
		"no executable":  {func(e *build.Engine) { e.Executable = "" }, "no engine", "--buildkit-host"},
		"bad executable": {func(e *build.Engine) { e.Executable = filepath.Join(dir, "Dockerfile") }, "start engine", ""},
		"other program":  {func(e *build.Engine) { e.Executable = filepath.Join(dir, "tool") }, "the build engine died (exit status 7); its last words: \"unknown verb \\\"engine\\\"\"", ""},
		"bad state":      {func(e *build.Engine) { e.StateDir = filepath.Join(dir, "tool") }, "state directory", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := good
			test.change(&e)
			_, err := image(t, build.Plan{Context: dir, Engine: e}, filepath.Join(t.TempDir(), "out"))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(hint.Of(err), test.hint) {
				t.Errorf("error %v, hint %q", err, hint.Of(err))
			}
		})
	}
}

// T35: nothing beyond a plain RUN step without an entitlement, and what was granted is in the result.
func TestEntitlements(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	dir := files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool", `RUN --network=host ["/tool","write","/x","y"]`)})
	plan := build.Plan{Context: dir, Engine: engine}
	if _, err := image(t, plan, filepath.Join(t.TempDir(), "out")); err == nil || !strings.Contains(err.Error(), "network.host") {
		t.Errorf("without entitlement: %v", err)
	}
	plan.Network = "host"
	if _, err := image(t, plan, filepath.Join(t.TempDir(), "out")); !hint.IsMisuse(err) || !strings.Contains(hint.Of(err), "network.host") {
		t.Errorf("network host without entitlement: %v", err)
	}
	plan.Allow = []string{build.NetworkHost}
	r, _ := mustBuild(t, plan)
	if fmt.Sprint(r.Entitlements) != "[network.host]" {
		t.Errorf("entitlements %q", r.Entitlements)
	}
}

// T10: the engine has the environment it was given and nothing of ours; it is the first process of its own namespace.
func TestEngineEnvironment(t *testing.T) {
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "must-not-leak")
	engine := newEngine(t)
	engine.Env = append(engine.Env, "GIVEN=yes")
	var env, process []byte
	w := &watch{word: "sleeping"}
	ctx, cancel := context.WithCancel(context.Background())
	w.then = func() {
		for _, pid := range running(t, "--state\x00"+engine.StateDir) { // and not runc, which it starts
			env, _ = os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			process, _ = os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		}
		cancel()
	}
	_, _ = build.Image(ctx, build.Plan{Context: sleeper(t, "env-mark"), Engine: engine}, filepath.Join(t.TempDir(), "out"), w)
	if !bytes.Contains(env, []byte("GIVEN=yes")) || bytes.Contains(env, []byte("must-not-leak")) {
		t.Errorf("environment %q", env)
	}
	if !regexp.MustCompile(`NSpid:.*\t1\n`).Match(process) {
		t.Errorf("the kernel would not end the containers with the engine: %s", process)
	}
	gone(t, "env-mark")
}

// The version that the engine reports is the one that go.mod links.
func TestVersionIsTheLinkedOne(t *testing.T) {
	t.Parallel()
	mod := read(t, filepath.Join(testkit.Root(t), "go.mod"))
	if want := "github.com/moby/buildkit " + build.BuildKitVersion + "\n"; !bytes.Contains(mod, []byte(want)) {
		t.Errorf("go.mod does not have %q", want)
	}
}
