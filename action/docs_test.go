package action_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/testkit"
)

// fences returns the command lines of a page's sh blocks, and the files that it shows: a block under a line that is nothing but
// a path in backquotes.
func fences(page string) (commands []string, files map[string]string) {
	files = map[string]string{}
	name, kind, inside := "", "", false
	for line := range strings.Lines(page) {
		text := strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(text, "```"):
			inside = !inside
			kind = strings.TrimPrefix(text, "```")
			if !inside {
				name = ""
			}
		case inside && kind == "sh" && strings.HasPrefix(text, "sealyard "):
			commands = append(commands, text)
		case inside && name != "":
			files[name] += line
		case !inside && regexp.MustCompile("^`[a-z./]+`$").MatchString(text):
			name = strings.Trim(text, "`")
		}
	}
	return commands, files
}

// Every command in the README and in docs/ runs as it is written, in order, in one workspace; only the names of the registry and the
// mirror become ones that are here.
func TestDocsRun(t *testing.T) {
	t.Parallel()
	w := shared(t)
	work := t.TempDir()
	mirror := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/vulnerability-db.tar.zst" {
			http.NotFound(rw, r)
			return
		}
		http.ServeFile(rw, r, w.archive)
	}))
	defer mirror.Close()
	tuf := testkit.NewTUF(t)
	root, err := os.ReadFile("../attest/testdata/trusted_root.json")
	if err != nil {
		t.Fatal(err)
	}
	tuf.Publish(map[string][]byte{"trusted_root.json": root})
	here := strings.NewReplacer("https://tuf.example", tuf.URL, "ghcr.io/acme", testkit.Registry(t, testkit.Distribution)+"/acme", "https://mirror.example", mirror.URL)
	for name, content := range map[string]string{
		"Dockerfile":    "FROM scratch\nCOPY tool /tool\nUSER 65532:65532\nLABEL org.opencontainers.image.licenses=Apache-2.0\n",
		"settings.yaml": "severity: critical\n",
		"root.json":     string(tuf.Root),
	} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(w.tool, filepath.Join(work, "tool")); err != nil {
		t.Fatal(err)
	}
	run := func(line string, want int) []byte {
		t.Helper()
		args := strings.Fields(here.Replace(line))
		cmd := exec.Command(filepath.Join(w.bin, "sealyard"), args[1:]...)
		cmd.Dir = work
		cmd.Env = []string{"PATH=" + w.path, "HOME=" + work, "COSIGN_PASSWORD=" + password}
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != want {
			t.Fatalf("%s: %v\n%s%s", line, err, stdout.String(), stderr.String())
		}
		return stdout.Bytes()
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, name := range append([]string{"../README.md"}, pages...) {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		commands, files := fences(string(page))
		for path, content := range files {
			path = filepath.Join(work, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, line := range commands {
			run(line, 0)
			ran++
			input, err := os.ReadFile(filepath.Join(work, "sealyard-evidence", "evidence", "input.json"))
			if err == nil {
				err = os.WriteFile(filepath.Join(work, "input.json"), input, 0o644)
			}
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	if ran < 13 {
		t.Errorf("%d commands ran: where are the others?", ran)
	}
	// docs/policy.md says what happens without the label.
	input, err := os.ReadFile(filepath.Join(work, "input.json"))
	if err != nil {
		t.Fatal(err)
	}
	bare := bytes.ReplaceAll(input, []byte("org.opencontainers.image.licenses"), []byte("else"))
	if err := os.WriteFile(filepath.Join(work, "input.json"), bare, 0o644); err != nil {
		t.Fatal(err)
	}
	if out := run("sealyard policy eval --policy acme --input input.json", 1); !bytes.Contains(out, []byte(`"licence"`)) {
		t.Errorf("%s", out)
	}
}
