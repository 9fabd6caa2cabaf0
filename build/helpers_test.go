package build_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/testkit"
)

// TestMain makes the test binary the engine as well, and a program that builds and then waits, for the tests that kill it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "engine":
			os.Exit(serve(os.Args[2:]))
		case "build-and-wait":
			os.Exit(buildAndWait(os.Args[2], os.Args[3], os.Args[4], os.Args[5]))
		}
	}
	code := m.Run()
	if path, err := buildTool(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func serve(args []string) int {
	opts, err := build.ParseEngineArgs(args)
	if err == nil {
		opts.Parent, opts.Status = os.Stdin, os.Stdout
		err = build.Serve(context.Background(), opts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func buildAndWait(dir, state, runc, temp string) int {
	plan := build.Plan{Context: dir, Engine: build.Engine{Executable: os.Args[0], StateDir: state, Runc: runc, TempDir: temp}, Progress: "plain"}
	_, err := build.Image(context.Background(), plan, filepath.Join(dir, "out"), os.Stdout)
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// tool is the path of the one program that the images hold.
func tool(t testing.TB) string {
	t.Helper()
	path, err := buildTool()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildTool = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sealyard-tool-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tool")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "./testdata/tool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tool: %w: %s", err, out)
	}
	return path, nil
})

// newEngine is an engine of its own, with an empty cache.
func newEngine(t testing.TB) build.Engine {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return build.Engine{Executable: exe, StateDir: tempDir(t), Runc: testkit.Tool(t, "runc"), Env: []string{"PATH=" + os.Getenv("PATH")}}
}

// tempDir is a directory that may hold an engine's state, which t.TempDir cannot always remove at once.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sealyard-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// files writes a build context. The tool is always in it.
func files(t testing.TB, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyFile(tool(t), filepath.Join(dir, "tool")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// lines joins the lines of a Dockerfile.
func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

// mustBuild runs plan and returns result and layout directory.
func mustBuild(t testing.TB, plan build.Plan) (build.Result, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	r, err := image(t, plan, dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func image(t testing.TB, plan build.Plan, dir string) (build.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var progress io.Writer = io.Discard
	if testing.Verbose() {
		progress = logWriter{t}
	}
	return build.Image(ctx, plan, dir, progress)
}

type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
