package action_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sealyard/sealyard/internal/testkit"
)

// mirror is the TUF repository of one script, and what it served before.
type mirror struct {
	*testkit.TUF
	before map[string][]byte
}

// tuf FILE...: publishes files in a TUF repository of this script, whose address is $TUF and whose first root.json is written.
// tuf expired FILE...: the same with a timestamp that has expired.
// tuf endless: its timestamp never ends.
// tuf back: serves again what it did before the last time.
func tuf(t testing.TB) func(*testscript.TestScript, bool, []string) {
	var mu sync.Mutex
	repositories := map[*testscript.TestScript]*mirror{}
	return func(ts *testscript.TestScript, _ bool, args []string) {
		mu.Lock()
		defer mu.Unlock()
		r := repositories[ts]
		if r == nil {
			r = &mirror{TUF: testkit.NewTUF(t)}
			repositories[ts] = r
			ts.Setenv("TUF", r.URL)
		}
		switch args[0] {
		case "back":
			r.Restore(r.before)
			return
		case "endless":
			r.Endless["/timestamp.json"] = true
			return
		case "expired":
			r.Expires["timestamp"] = time.Now().Add(-time.Minute)
			args = args[1:]
		}
		r.before = r.State()
		targets := map[string][]byte{}
		for _, name := range args {
			targets[filepath.Base(name)] = []byte(ts.ReadFile(name))
		}
		r.Publish(targets)
		delete(r.Expires, "timestamp")
		ts.Check(os.WriteFile(ts.MkAbs("root.json"), r.Root, 0o644))
	}
}
