package action_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/internal/testkit"
)

// outcome is what a run of the program in this process came to.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs the program in this process. A build must name the shared engine: this process cannot be one.
func (w *world) run(ctx context.Context, stderr *bytes.Buffer, args ...string) outcome {
	var stdout bytes.Buffer
	env := action.Env{
		Args:    append([]string{"sealyard"}, args...),
		Environ: append([]string{"PATH=" + w.path, "HOME=" + w.dir, "XDG_CACHE_HOME=" + w.cache, "COSIGN_PASSWORD=" + password}, w.env...),
		Now:     time.Now, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: stderr,
	}
	return outcome{action.Main(ctx, env), stdout.String(), stderr.String()}
}

func (w *world) must(t *testing.T, args ...string) outcome {
	t.Helper()
	out := w.run(t.Context(), &bytes.Buffer{}, args...)
	if out.code != action.Allowed {
		t.Fatalf("%v: exit %d\n%s%s", args, out.code, out.stdout, out.stderr)
	}
	return out
}

func (w *world) public() string { return strings.TrimSuffix(w.key, ".key") + ".pub" }

// context makes a build context with the tool in it.
func (w *world) context(t *testing.T, dockerfile string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(w.tool, filepath.Join(dir, "tool")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (w *world) denied(t *testing.T, target string) {
	t.Helper()
	if out := w.run(t.Context(), &bytes.Buffer{}, "verify", target, "--key", w.public()); out.code != action.Denied {
		t.Errorf("verify %s: exit %d\n%s%s", target, out.code, out.stdout, out.stderr)
	}
}

const plain = "FROM scratch\nCOPY tool /tool\nUSER 65532:65532\nENTRYPOINT [\"/tool\"]\n"

// R95 T31 T39: a run that is stopped as any of its stages begins ends undecided, leaves nothing half done, and no tag.
func TestInterruptedAtEveryStage(t *testing.T) {
	t.Parallel()
	w := shared(t)
	registry := testkit.Registry(t, testkit.Olareg)
	dir := w.context(t, plain)
	for _, stage := range []string{"build", "scan", "decide", "sign", "publish"} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			work := t.TempDir()
			evidence := filepath.Join(work, "evidence")
			ref := registry + "/" + stage + ":1"
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			env := action.Env{
				Args: []string{"sealyard", "build", dir, "--buildkit-host", w.engine, "--key", w.key, "--progress", "quiet",
					"--tag", ref, "--push", "--evidence-path", evidence},
				Environ: []string{"PATH=" + w.path, "HOME=" + work, "XDG_CACHE_HOME=" + w.cache, "COSIGN_PASSWORD=" + password},
				Now:     time.Now, Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{},
			}
			log := &trigger{at: "=> " + stage + "\n", do: cancel}
			env.Stderr = log
			if code := action.Main(ctx, env); code != action.Failed {
				t.Errorf("exit %d: %s", code, log.String())
			}
			if !strings.Contains(log.String(), "\nsealyard: interrupted: ") {
				t.Errorf("last words %s", log.String())
			}
			left, err := os.ReadDir(work)
			if err != nil {
				t.Fatal(err)
			}
			names := []string{}
			for _, e := range left {
				names = append(names, e.Name())
			}
			// What is kept is kept whole.
			if slices.Equal(names, []string{"evidence"}) && (stage == "sign" || stage == "publish") {
				w.must(t, "verify", evidence, "--key", w.public())
			} else if len(names) > 0 {
				t.Errorf("left behind: %v", names)
			}
			if out := w.run(t.Context(), &bytes.Buffer{}, "inspect", ref); out.code != action.Failed {
				t.Errorf("there is a tag: %s", out.stdout)
			}
		})
	}
}

// trigger is a buffer that does something once it was written something.
type trigger struct {
	bytes.Buffer
	at string
	do func()
}

func (tr *trigger) Write(p []byte) (int, error) {
	n, err := tr.Buffer.Write(p)
	if bytes.Contains(tr.Bytes(), []byte(tr.at)) {
		tr.do()
	}
	return n, err
}

// R62 T29: an archive that would write outside of where it is unpacked is denied, and writes nothing there.
func TestVerifyRefusesHostileArchives(t *testing.T) {
	t.Parallel()
	w := shared(t)
	for name, entry := range map[string]string{"up": "../outside", "absolute": filepath.Join(t.TempDir(), "outside")} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "in", "image.tar")
			if err := writeTar(file, [2]string{"oci-layout", `{"imageLayoutVersion":"1.0.0"}`}, [2]string{entry, "x"}); err != nil {
				t.Fatal(err)
			}
			w.denied(t, file)
			for _, outside := range []string{filepath.Join(dir, "outside"), entry} {
				if _, err := os.Lstat(outside); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: %v", outside, err)
				}
			}
		})
	}
}
