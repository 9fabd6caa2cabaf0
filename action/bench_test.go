package action_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/testkit"
)

// statements is how many a run signs for an image of one platform.
const statements = 10

// What signing all statements of an image as a job costs, token and certificate included, beside waiting for the log once: the metric
// "ms-beyond-one-wait" is to stay below 300. The wait is that of one statement which is signed alone, so it is the log at its best.
func BenchmarkSignKeyless(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "sigstore")
	env, stop, err := startSigstack(testkit.Tool(b, "sigstack"), dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(stop)
	token := attest.GitHubToken(env["ACTIONS_ID_TOKEN_REQUEST_URL"], env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
	for name, services := range map[string]string{"rekor-v1": filepath.Join(dir, "rekor-v1"), "rekor-v2": dir} {
		config, waited := timedLog(b, filepath.Join(services, "signing_config.json"))
		var made atomic.Int64 // no two statements are the same: a log would have the second already
		all := func(b *testing.B, n int) {
			signer, err := attest.NewKeyless(attest.KeylessOptions{Token: token, SigningConfig: config, Now: time.Now(), Clock: time.Now, PublicLog: true})
			if err != nil {
				b.Fatal(err)
			}
			var group errgroup.Group
			for range n {
				doc := fmt.Sprintf(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":%d}`, made.Add(1))
				st, err := attest.CycloneDX([]attest.Subject{{Name: "index", Digest: "sha256:" + strings.Repeat("ab", 32)}}, []byte(doc))
				if err != nil {
					b.Fatal(err)
				}
				group.Go(func() error { _, err := signer.Sign(b.Context(), st); return err })
			}
			if err := group.Wait(); err != nil {
				b.Fatal(err)
			}
		}
		var wait time.Duration
		b.Run(name+"/one", func(b *testing.B) {
			waited.Store(0)
			for b.Loop() {
				all(b, 1)
			}
			wait = time.Duration(waited.Load()) / time.Duration(b.N)
			b.ReportMetric(float64(wait.Microseconds())/1e3, "ms-waited")
		})
		b.Run(name+"/all", func(b *testing.B) {
			for b.Loop() {
				all(b, statements)
			}
			each := b.Elapsed() / time.Duration(b.N)
			b.ReportMetric(float64((each-wait).Microseconds())/1e3, "ms-beyond-one-wait")
		})
	}
}

// timedLog returns a signing config in which the log is behind a proxy, and what its answers took together, in nanoseconds.
func timedLog(b *testing.B, file string) ([]byte, *atomic.Int64) {
	b.Helper()
	config, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	var services struct{ RekorTlogUrls []struct{ URL string } }
	if err := json.Unmarshal(config, &services); err != nil || len(services.RekorTlogUrls) == 0 {
		b.Fatalf("%v: %s", err, config)
	}
	at := services.RekorTlogUrls[0].URL // the one that is chosen
	log, err := url.Parse(at)
	if err != nil {
		b.Fatal(err)
	}
	waited := new(atomic.Int64)
	proxy := httputil.NewSingleHostReverseProxy(log)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		proxy.ServeHTTP(w, r)
		waited.Add(int64(time.Since(start)))
	}))
	b.Cleanup(server.Close)
	return bytes.ReplaceAll(config, []byte(`"`+at+`"`), []byte(`"`+server.URL+`"`)), waited
}
