package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
)

// The Rego tests begin from the same allowed input as the Go tests, written as a rule so that opa test can run them too.
func TestRegoFixture(t *testing.T) {
	var out bytes.Buffer
	out.WriteString("package sealyard_test\n\n# evidence is testdata/allowed.json; go test -update writes it.\nevidence := ")
	if err := json.Indent(&out, mustJSON(t, allowedInput()), "", "\t"); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	golden(t, "baseline/fixture_test.rego", out.Bytes())
}

// Every rego test of the shipped bundle passes, and together they reach at least 95 % of every file.
func TestRego(t *testing.T) {
	modules, data := map[string]*ast.Module{}, map[string]any{}
	err := fs.WalkDir(baselineFS, "baseline", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := baselineFS.ReadFile(name)
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(name, ".rego"):
			modules[name], err = ast.ParseModuleWithOpts(name, string(content), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		case strings.HasSuffix(name, "/data.json"):
			err = json.Unmarshal(content, &data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	store := inmem.NewFromObject(data)
	txn, err := store.NewTransaction(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	coverage := cover.New()
	results, err := tester.NewRunner().SetTimeout(5*time.Minute).SetStore(store).SetModules(modules).RaiseBuiltinErrors(true).SetCoverageQueryTracer(coverage).RunTests(context.Background(), txn)
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for r := range results {
		if !r.Pass() {
			t.Errorf("%s: %s: failed (%v)", r.Location, r.Name, r.Error)
		}
		passed++
	}
	if passed < 20 {
		t.Errorf("only %d rego tests ran", passed)
	}
	report := coverage.Report(modules)
	for _, name := range slices.Sorted(maps.Keys(report.Files)) {
		if strings.HasSuffix(name, "_test.rego") {
			continue
		}
		f := report.Files[name]
		least := 95.0
		if strings.HasPrefix(path.Base(name), "pss") || strings.HasPrefix(path.Base(name), "workload") {
			least = 100
		}
		if f.Coverage < least {
			t.Errorf("%s: %.1f %% covered, not covered: %v", name, f.Coverage, lines(f.NotCovered))
		}
	}
}

func lines(ranges []cover.Range) (out []string) {
	for _, r := range ranges {
		out = append(out, fmt.Sprintf("%d-%d", r.Start.Row, r.End.Row))
	}
	return out
}
