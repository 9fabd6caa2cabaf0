package action_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/action"
	"github.com/sealyard/sealyard/internal/testkit"
)

// A command is a line of a page's sh block that is run, and how it must end.
type command struct {
	line string
	want int // exit code
}

// fences returns the commands of a page's sh blocks, and the files that it shows: a block under a line that is nothing but a path in
// backquotes. A comment that ends in "exit N" says how the command after it ends.
func fences(page string) (commands []command, files map[string]string) {
	files = map[string]string{}
	name, kind, inside, want := "", "", false, 0
	runs := regexp.MustCompile("^(sealyard|cosign|jq) ")
	ends := regexp.MustCompile("^# .*exit ([0-3])$")
	for line := range strings.Lines(page) {
		text := strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(text, "```"):
			inside = !inside
			kind = strings.TrimPrefix(text, "```")
			if !inside {
				name = ""
			}
		case inside && kind == "sh" && ends.MatchString(text):
			want = int(text[len(text)-1] - '0')
		case inside && kind == "sh" && runs.MatchString(text):
			commands = append(commands, command{text, want})
			want = 0
		case inside && name != "":
			files[name] += line
		case !inside && regexp.MustCompile("^`[a-z./]+`$").MatchString(text):
			name = strings.Trim(text, "`")
		}
	}
	return commands, files
}

// lacking names a program of others that a line needs, to make what it reads as well, and that is not there.
func lacking(line, path string) string {
	for tool, sign := range map[string]string{"cosign": `^cosign |app\.tar\.gz`, "jq": `\bjq `} {
		found := slices.ContainsFunc(filepath.SplitList(path), func(dir string) bool {
			_, err := os.Stat(filepath.Join(dir, tool))
			return err == nil
		})
		if !found && regexp.MustCompile(sign).MatchString(line) {
			return tool
		}
	}
	return ""
}

// widget is what docs/verify.md is about: an image that a job of acme/widget signed, and what else its reader has.
func widget(t *testing.T, w *world, work string, here func(string) string) (digest string) {
	t.Helper()
	j := newJob(t, w, testkit.Tool(t, "sigstack"))
	out := j.build(t, filepath.Join(work, "widget"), "--tag", here("ghcr.io/acme/widget:1.2"), "--push", "--format", "json")
	var report struct{ Image struct{ Digest string } }
	if err := json.Unmarshal([]byte(out.stdout[max(0, strings.Index(out.stdout, "{")):]), &report); err != nil || out.code != action.Allowed {
		t.Fatalf("%v: %s%s", err, out.stdout, out.stderr)
	}
	a, err := layout(filepath.Join(work, "widget")).attached("index", "https://slsa.dev/provenance/v1")
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(layout(filepath.Join(work, "widget")).path(a.layer))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(j.sigstore, "trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(w.public())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"trusted_root.json": root, "attestations.jsonl": append([]byte("{}\n"), bundle...), "app.tar.gz": []byte("an artifact"), "other.pub": other,
	} {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := pushLayout(filepath.Join(work, "widget"), here("registry.example/acme/widget:1.2")); err != nil {
		t.Fatal(err)
	}
	return report.Image.Digest
}

// What docs/verify.md says a denial reads like is what the program says.
func TestDocsDenials(t *testing.T) {
	page, err := os.ReadFile("../docs/verify.md")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, dir := range []string{".", "../attest", "../oci"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(name, "_test.go") {
				source = append(source, raw...)
			}
		}
	}
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(page, -1)
	if len(rows) < 8 {
		t.Errorf("%d denials are explained", len(rows))
	}
	for _, row := range rows {
		if !bytes.Contains(source, row[1]) {
			t.Errorf("nothing says %q", row[1])
		}
	}
}

// committed makes a directory a git repository that has copies of those files, and nothing else.
func committed(t *testing.T, work, dir string, files ...string) {
	t.Helper()
	dir = filepath.Join(work, dir)
	err := os.Mkdir(dir, 0o755)
	for _, name := range files {
		err = errors.Join(err, os.Link(filepath.Join(work, name), filepath.Join(dir, name)))
	}
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all"}, {"commit", "--quiet", "--message", "one"}} {
		git := append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "init.defaultBranch=main"}, args...)
		err = errors.Join(err, exec.Command("git", git...).Run())
	}
	if err != nil {
		t.Fatal(err)
	}
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
	names := []string{
		"https://tuf.example", tuf.URL, "https://mirror.example", mirror.URL,
		"ghcr.io/acme", testkit.Registry(t, testkit.Distribution) + "/acme", "registry.example/acme", testkit.Registry(t, testkit.Olareg) + "/acme",
	}
	here := strings.NewReplacer(names...)
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
	committed(t, work, "gadget", "Dockerfile", "tool") // docs/layouts.md builds from a clean work tree
	path := w.path + ":" + filepath.Join(testkit.Root(t), ".tools", "bin")
	run := func(c command) []byte {
		t.Helper()
		cmd := exec.Command("sh", "-c", here.Replace(c.line))
		cmd.Dir = work
		cmd.Env = []string{"PATH=" + path, "HOME=" + work, "COSIGN_PASSWORD=" + password}
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != c.want {
			t.Fatalf("%s: %v, want exit %d\n%s%s", c.line, err, c.want, stdout.String(), stderr.String())
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
			if err := os.WriteFile(path, []byte(here.Replace(content)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if filepath.Base(name) == "verify.md" {
			digest := widget(t, w, work, here.Replace)
			here = strings.NewReplacer(append(names, "sha256:DIGEST", digest)...)
		}
		for _, c := range commands {
			if tool := lacking(c.line, path); tool != "" {
				t.Logf("%s: %s is not there: tools/tools.sh builds cosign, jq is the system's", c.line, tool)
				continue
			}
			run(c)
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
	if ran < 30 {
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
	if out := run(command{"sealyard policy eval --policy acme --input input.json", 1}); !bytes.Contains(out, []byte(`"licence"`)) {
		t.Errorf("%s", out)
	}
}
