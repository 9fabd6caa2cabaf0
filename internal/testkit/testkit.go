// Package testkit starts the real things that tests run against: tools built by tools/tools.sh, registries on
// loopback, a proxy that makes a registry misbehave, commands cut off from every network.
//
// Only tests import it.
package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Root returns the directory of the repository: the nearest one upwards that holds go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = up
	}
}

// Tool returns the path of a program: the one in .tools/bin of the repository, else the one in PATH.
// It fails the test when neither is there.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), ".tools", "bin", name)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("tool %q is missing: run make tools", name)
	}
	return path
}
