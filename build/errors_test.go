package build_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/hint"
)

// A Dockerfile that fails says where and why, and is not the caller's misuse; nothing is left behind.
func TestFailingDockerfile(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	for name, test := range map[string]struct {
		dockerfile string
		want       build.StepError
		message    string
	}{
		"step fails": {lines("FROM scratch", "COPY tool /tool", "", `RUN ["/tool","fail","it","broke"]`),
			build.StepError{Step: `[2/2] RUN ["/tool","fail","it","broke"]`, Line: 4, Log: []string{"first line of output", "it broke"}}, `Dockerfile:4: step "[2/2] RUN`},
		"missing file": {lines("FROM scratch", "COPY nothing /"),
			build.StepError{Step: "[1/1] COPY nothing /", Line: 2}, `Dockerfile:2: step "[1/1] COPY nothing /": "failed to compute`},
		"syntax error": {lines("FROM scratch", "COPPY a b"), build.StepError{Line: 2}, `Dockerfile:2: "dockerfile parse error on line 2: unknown instruction: COPPY`},
		"no base":      {lines("# a comment", "FROM 127.0.0.1:1/nothing"), build.StepError{Line: 2}, "Dockerfile:2:"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			_, err := image(t, build.Plan{Context: files(t, map[string]string{"Dockerfile": test.dockerfile}), Engine: engine}, filepath.Join(parent, "out"))
			var got *build.StepError
			if !errors.As(err, &got) {
				t.Fatalf("error %T %v", err, err)
			}
			if got.Line != test.want.Line || test.want.Step != "" && got.Step != test.want.Step || strings.Join(got.Log, "\n") != strings.Join(test.want.Log, "\n") {
				t.Errorf("got %q at line %d with %q", got.Step, got.Line, got.Log)
			}
			if !strings.HasPrefix(err.Error(), test.message) || strings.Contains(err.Error(), "\n") || hint.IsMisuse(err) {
				t.Errorf("message %q", err.Error())
			}
			if left, _ := os.ReadDir(parent); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// T29 T5 R11: plans that are wrong are refused before an engine starts, with a hint; secret values are not repeated.
func TestMisuse(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Dockerfile": "FROM scratch\n", "sub/Other": "FROM scratch\nCOPY full/x /\n", "full/x": "x"})
	outside := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(outside, []byte("FROM scratch\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"linked": outside, "inside": "sub/Other"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	token := "ghp_" + strings.Repeat("a1B2", 9)
	for name, test := range map[string]struct {
		plan build.Plan
		want string
	}{
		"no context":            {build.Plan{}, "no build context"},
		"missing context":       {build.Plan{Context: dir + "/nothing"}, "neither a directory nor a git URL"},
		"tarball":               {build.Plan{Context: "https://example.test/x.tar.gz"}, "neither a directory nor a git URL"},
		"token in git URL":      {build.Plan{Context: "https://" + token + "@example.test/x.git"}, `"https://example.test/x.git" carries credentials`},
		"token in named ctx":    {build.Plan{Context: dir, Hosts: []build.Host{{Address: "unix:///x"}}, BuildContexts: map[string]string{"x": "https://u:p@example.test/x.git"}}, `"https://example.test/x.git" carries credentials`},
		"missing Dockerfile":    {build.Plan{Context: dir + "/full"}, `no Dockerfile at "` + dir + `/full/Dockerfile"`},
		"missing file":          {build.Plan{Context: dir, File: dir + "/Dockerfil"}, `no Dockerfile at "` + dir + `/Dockerfil"`},
		"Dockerfile outside":    {build.Plan{Context: dir, File: outside}, "outside the context"},
		"Dockerfile dotdot":     {build.Plan{Context: dir + "/sub", File: dir + "/sub/../Dockerfile"}, "outside the context"},
		"Dockerfile linked out": {build.Plan{Context: dir, File: dir + "/linked"}, "outside the context"},
		"Dockerfile is a dir":   {build.Plan{Context: dir, File: dir + "/sub"}, "not a regular file"},
		"Dockerfile from URL":   {build.Plan{Context: dir, File: "https://example.test/Dockerfile"}, "not a path"},
		"platform":              {build.Plan{Context: dir, Platforms: []string{"linux/amd46"}}, `unknown platform "linux/amd46"`},
		"network":               {build.Plan{Context: dir, Network: "bridge"}, "unknown network"},
		"entitlement":           {build.Plan{Context: dir, Allow: []string{"device"}}, "unknown entitlement"},
		"provenance":            {build.Plan{Context: dir, Provenance: "all"}, "unknown provenance mode"},
		"progress":              {build.Plan{Context: dir, Progress: "loud"}, "unknown progress mode"},
		"two epochs":            {build.Plan{Context: dir, SourceDateEpoch: new(int64), BuildArgs: map[string]string{"SOURCE_DATE_EPOCH": "1"}}, "two values"},
		"bad epoch":             {build.Plan{Context: dir, BuildArgs: map[string]string{"SOURCE_DATE_EPOCH": "context"}}, "not a number"},
		"cache":                 {build.Plan{Context: dir, CacheTo: []build.Cache{{Type: "s3", Attrs: map[string]string{"bucket": "b"}}}}, "needs region"},
		"inline import":         {build.Plan{Context: dir, CacheFrom: []build.Cache{{Type: "inline"}}}, "cannot be of type inline"},
		"secret twice":          {build.Plan{Context: dir, Secrets: map[string][]byte{"a": nil}, SecretFiles: map[string]string{"a": outside}}, "given twice"},
		"secret file missing":   {build.Plan{Context: dir, SecretFiles: map[string]string{"a": dir + "/nothing"}}, "no such file"},
		"secret too long":       {build.Plan{Context: dir, Secrets: map[string][]byte{"a": make([]byte, 600<<10)}}, "more than"},
		"target":                {build.Plan{Context: dir, Target: "final"}, "no stage"},
		"arg by name":           {build.Plan{Context: dir, BuildArgs: map[string]string{"NPM_TOKEN": "hunter2hunter2"}}, `"NPM_TOKEN" looks like a secret: its name`},
		"arg by value":          {build.Plan{Context: dir, BuildArgs: map[string]string{"X": token}}, `"X" looks like a secret: its value has the form`},
		"arg masked":            {build.Plan{Context: dir, BuildArgs: map[string]string{"X": "hunter2hunter2"}, Masked: []string{"hunter2hunter2"}}, `"X" looks like a secret: its value is masked`},
		"arg holds a secret":    {build.Plan{Context: dir, BuildArgs: map[string]string{"X": "--pw=hunter2hunter2"}, Secrets: map[string][]byte{"s": []byte("hunter2hunter2\n")}}, `its value is masked`},
		"label":                 {build.Plan{Context: dir, Labels: map[string]string{"l": token}}, `label "l" looks like a secret`},
		"annotation":            {build.Plan{Context: dir, Annotations: []build.Annotation{{Type: "index", Key: "k", Value: token}}}, `annotation "k" looks like a secret`},
	} {
		t.Run(name, func(t *testing.T) {
			if test.plan.Hosts == nil && name == "target" {
				test.plan.Engine = newEngine(t)
			}
			parent := t.TempDir()
			_, err := image(t, test.plan, filepath.Join(parent, "out"))
			if !hint.IsMisuse(err) || !strings.Contains(err.Error(), test.want) || hint.Of(err) == "" {
				t.Fatalf("error %v, hint %q", err, hint.Of(err))
			}
			for _, secret := range []string{token, "hunter2"} {
				if strings.Contains(err.Error()+hint.Of(err), secret) {
					t.Errorf("error shows the secret: %v", err)
				}
			}
			if left, _ := os.ReadDir(parent); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	if _, err := image(t, build.Plan{Context: dir}, filepath.Join(dir, "full")); !hint.IsMisuse(err) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("output directory in use: %v", err)
	}
	if r, _ := mustBuild(t, build.Plan{Context: dir, File: filepath.Join(dir, "inside"), Engine: newEngine(t)}); r.Dockerfile != "sub/Other" {
		t.Errorf("a link inside the context is followed, got %q", r.Dockerfile)
	}
}
