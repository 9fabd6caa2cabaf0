package build

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sealyard/sealyard/internal/hint"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// BuildKitVersion is the version of the BuildKit that is linked into this program, as the engine reports it.
const BuildKitVersion = "v0.34.2"

const (
	statusWaiting = "waiting" // another engine holds the state directory
	statusReady   = "ready"   // the socket answers

	engineCommand = "engine"
	engineLog     = 30               // last lines of the engine's log that are kept to explain its death
	maxLogLine    = 4 << 10          // bytes of one such line
	deathNotice   = time.Second      // between losing the connection and seeing that the process is gone
	killAfter     = 10 * time.Second // for the engine to end by itself after its stdin was closed; then SIGKILL
	maxTempDir    = 60               // bytes: what we add must fit into the 107 that a socket's path may have
	defaultPath   = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// EngineOptions is what Serve needs. ParseEngineArgs fills all but the streams.
type EngineOptions struct {
	Socket             string   // unix socket to listen on
	State              string   // directory for cache and databases; locked while the engine lives
	Runc               string   // path of runc
	Rootless           bool     // this process is root only in a user namespace
	Isolated           bool     // this process is the first of its own process and mount namespace
	Entitlements       []string // that builds may ask for
	InsecureRegistries []string // host[:port] of registries that speak plain HTTP

	Parent io.Reader // at its end the engine stops; nil is never
	Status io.Writer // gets one line when the engine waits for the state directory and one when it is ready; nil is none
}

// ParseEngineArgs reads what Image puts behind the `engine` subcommand.
func ParseEngineArgs(args []string) (EngineOptions, error) {
	var o EngineOptions
	fs := flag.NewFlagSet(engineCommand, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.Socket, "socket", "", "unix socket to listen on")
	fs.StringVar(&o.State, "state", "", "state directory")
	fs.StringVar(&o.Runc, "runc", "", "path of runc")
	fs.BoolVar(&o.Rootless, "rootless", false, "inside rootlesskit")
	fs.BoolVar(&o.Isolated, "isolated", false, "in namespaces of its own")
	fs.Var((*list)(&o.Entitlements), "allow", "entitlement that builds may ask for")
	fs.Var((*list)(&o.InsecureRegistries), "insecure-registry", "registry that speaks plain HTTP")
	if err := fs.Parse(args); err != nil {
		return EngineOptions{}, hint.Misuse(err, "this subcommand is started by sealyard itself")
	}
	if o.Socket == "" || o.State == "" || o.Runc == "" || fs.NArg() > 0 {
		return EngineOptions{}, hint.Misuse(errors.New("engine needs --socket, --state and --runc"), "this subcommand is started by sealyard itself")
	}
	return o, nil
}

// args is the inverse of ParseEngineArgs.
func (o EngineOptions) args() []string {
	a := []string{engineCommand, "--socket", o.Socket, "--state", o.State, "--runc", o.Runc}
	if o.Rootless {
		a = append(a, "--rootless")
	}
	if o.Isolated {
		a = append(a, "--isolated")
	}
	for _, e := range o.Entitlements {
		a = append(a, "--allow", e)
	}
	for _, r := range o.InsecureRegistries {
		a = append(a, "--insecure-registry", r)
	}
	return a
}

type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// engine is BuildKit as our child. It ends with us: its stdin is a pipe only we hold, it gets SIGTERM when the thread
// that started it dies, and the kernel takes everything it started with it (see ownProc).
type engine struct {
	address string
	dir     string // private directory of the socket
	stdin   io.Closer
	cmd     *exec.Cmd
	done    chan struct{} // closed once the process is gone
	log     *tail
	stopped sync.Once
}

// startEngine starts the child and waits until it answers. progress gets a line when another run must be waited for.
func startEngine(ctx context.Context, e Engine, o EngineOptions, progress io.Writer) (*engine, error) {
	command, o, err := engineCommandLine(e, o, os.Geteuid() == 0)
	if err != nil {
		return nil, err
	}
	temp := e.TempDir
	if temp == "" || len(temp) > maxTempDir {
		temp = "/tmp"
	}
	dir, err := os.MkdirTemp(temp, "sealyard-engine-") // made with mode 0700
	if err != nil {
		return nil, fmt.Errorf("make engine directory: %w", err)
	}
	o.Socket = filepath.Join(dir, "buildkit.sock")
	child := &engine{address: "unix://" + o.Socket, dir: dir, done: make(chan struct{}), log: &tail{max: engineLog}}
	cmd := exec.Command(command[0], append(command[1:], o.args()...)...)
	cmd.Env = engineEnv(e.Env)
	cmd.Stderr = child.log
	isolate(cmd, o.Isolated)
	reports, err := child.start(cmd)
	if err != nil {
		_ = os.RemoveAll(dir)
		if errors.Is(err, syscall.EPERM) {
			return nil, hint.Wrap(fmt.Errorf("start engine %q: %w", command[0], err), "building needs CAP_SYS_ADMIN: run on the machine itself or in a privileged container, or give a BuildKit engine's address with --buildkit-host")
		}
		return nil, fmt.Errorf("start engine %q: %w", command[0], err)
	}
	if err := child.waitReady(ctx, reports, progress, o.State); err != nil {
		child.stop()
		return nil, err
	}
	return child, nil
}

// engineCommandLine says what to run: the program itself as root, else the program under rootlesskit.
func engineCommandLine(e Engine, o EngineOptions, root bool) ([]string, EngineOptions, error) {
	if e.Executable == "" || e.StateDir == "" {
		return nil, o, hint.Misuse(errors.New("no engine to build with"), "set the engine's executable and state directory, or give a BuildKit engine's address with --buildkit-host")
	}
	state, err := filepath.Abs(e.StateDir)
	if err != nil {
		return nil, o, fmt.Errorf("state directory %q: %w", e.StateDir, err)
	}
	o.State, o.Runc = state, e.Runc
	if o.Runc == "" {
		o.Runc = lookPath(e.Env, "runc")
	}
	if info, err := os.Stat(o.Runc); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return nil, o, hint.Wrap(fmt.Errorf("runc not found (looked for %q)", cmp.Or(e.Runc, "runc")), "install it: apt-get install runc (the package is called runc on Debian and Ubuntu), or give a BuildKit engine's address with --buildkit-host")
	}
	if root {
		o.Isolated = true
		return []string{e.Executable}, o, nil
	}
	kit := lookPath(e.Env, "rootlesskit")
	if kit == "" {
		return nil, o, hint.Misuse(errors.New("building as an ordinary user needs rootlesskit"), "install it: apt-get install rootlesskit uidmap; or run as root; or give a BuildKit engine's address with --buildkit-host")
	}
	o.Rootless = true
	return []string{kit, "--net=host", "--pidns", e.Executable}, o, nil
}

// start runs cmd from a thread that lives as long as the child does: the parent-death signal is sent when the thread
// that forked ends, not when the process does.
func (e *engine) start(cmd *exec.Cmd) (io.Reader, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	reports, reportWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = reportWriter
	e.stdin, e.cmd = stdin, cmd
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = reportWriter.Close() // the child has its own
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // its state is in cmd.ProcessState
		close(e.done)
	}()
	if err := <-started; err != nil {
		_ = reports.Close()
		return nil, err
	}
	return reports, nil
}

// waitReady reads the child's status lines until it is ready.
func (e *engine) waitReady(ctx context.Context, reports io.Reader, progress io.Writer, state string) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(reports); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-e.done:
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case line, ok := <-lines:
			switch {
			case !ok:
				<-e.done
				return e.died()
			case line == statusReady:
				return nil
			case line == statusWaiting:
				_, _ = fmt.Fprintf(progress, "waiting for another run that uses %s\n", state)
			}
		}
	}
}

// died explains why the child is gone.
func (e *engine) died() error {
	err := fmt.Errorf("the build engine died (%s)", e.cmd.ProcessState)
	if last := e.log.String(); last != "" {
		err = fmt.Errorf("%w; its last words: %q", err, last)
	}
	return err
}

// cause replaces err by the reason for the engine's death when that is why err happened.
func (e *engine) cause(err error) error {
	if status.Code(err) != codes.Unavailable {
		return err // the engine itself gave this answer
	}
	select {
	case <-e.done:
		return e.died()
	case <-time.After(deathNotice):
		return err
	}
}

// stop ends the engine and everything it started, and waits until it is gone.
func (e *engine) stop() {
	e.stopped.Do(func() {
		_ = e.stdin.Close()
		select {
		case <-e.done:
		case <-time.After(killAfter):
			_ = e.cmd.Process.Kill()
			<-e.done
		}
		_ = os.RemoveAll(e.dir)
	})
}

// engineEnv is the given environment, with a PATH if it has none (git and credential helpers are found there). The
// engine never inherits ours: it may hold tokens (T10).
func engineEnv(env []string) []string {
	for _, kv := range env {
		if strings.HasPrefix(kv, "PATH=") {
			return env
		}
	}
	return append([]string{"PATH=" + defaultPath}, env...)
}

// lookPath finds name in the PATH of env; "" is not found.
func lookPath(env []string, name string) string {
	for _, kv := range engineEnv(env) {
		path, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(path) {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return file
			}
		}
	}
	return ""
}

// tail keeps the last lines written to it.
type tail struct {
	max int

	mu    sync.Mutex
	lines []string
	part  []byte
}

// Write takes any number of bytes; lines longer than maxLogLine are cut.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range p {
		switch {
		case b == '\n':
			t.end()
		case len(t.part) < maxLogLine:
			t.part = append(t.part, b)
		}
	}
	return len(p), nil
}

func (t *tail) end() {
	t.lines = append(t.lines, string(t.part))
	t.part = t.part[:0]
	if len(t.lines) > t.max {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
}

// Lines returns what is kept, oldest first.
func (t *tail) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := slices.Clone(t.lines)
	if len(t.part) > 0 {
		out = append(out, string(t.part))
	}
	return out
}

func (t *tail) String() string { return strings.Join(t.Lines(), "\n") }
