package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
)

// Kind is a kind of registry that a test can run against.
type Kind string

const (
	// Olareg runs in the test's process and has the referrers API.
	Olareg Kind = "olareg"
	// Distribution is the registry program of CNCF distribution v3; it has no referrers API.
	Distribution Kind = "registry"
	// Debian is Debian's docker-registry 2.8; it has no referrers API.
	Debian Kind = "docker-registry"
)

// Kinds returns every kind, for tests that must hold on all of them.
func Kinds() []Kind { return []Kind{Olareg, Distribution, Debian} }

// startLimit is how long a registry may take to answer its first request on a loaded machine.
const startLimit = 30 * time.Second

// Registry starts an empty registry of that kind on loopback, plain HTTP and no login, waits until it answers and
// returns its address, host:port. It stops, and its storage goes, with the test.
func Registry(t testing.TB, kind Kind) string {
	t.Helper()
	if kind == Olareg {
		return startOlareg(t)
	}
	return startDaemon(t, kind)
}

func startOlareg(t testing.TB) string {
	t.Helper()
	reg := olareg.New(config.Config{Storage: config.ConfigStorage{
		StoreType: config.StoreDir,
		RootDir:   t.TempDir(),
		GC:        config.ConfigGC{Frequency: -1},
	}})
	srv := httptest.NewServer(reg)
	t.Cleanup(func() {
		srv.Close()
		_ = reg.Close() // an error tells of repositories that were asked for and never made
	})
	return srv.Listener.Addr().String()
}

// startDaemon tries a second port when another process took the first between our look and the daemon's.
func startDaemon(t testing.TB, kind Kind) string {
	t.Helper()
	bin := Tool(t, string(kind))
	var err error
	for range 3 {
		var addr string
		if addr, err = runDaemon(t, bin); err == nil {
			return addr
		}
	}
	t.Fatalf("start %s: %v", kind, err)
	return ""
}

func runDaemon(t testing.TB, bin string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	addr, err := freeAddr()
	if err != nil {
		return "", err
	}
	conf := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %s}\n",
		filepath.Join(dir, "data"), addr)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return "", err
	}
	cmd := exec.Command(bin, "serve", conf)
	cmd.Env = []string{"OTEL_TRACES_EXPORTER=none", "HOME=" + dir}
	out := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	stop := func() {
		_ = cmd.Process.Kill()
		<-gone
	}
	if err := waitReady(addr, gone); err != nil {
		stop()
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	t.Cleanup(stop)
	return addr, nil
}

func waitReady(addr string, gone <-chan struct{}) error {
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		select {
		case <-gone:
			return errors.New("it ended at once")
		default:
		}
		resp, err := http.Get("http://" + addr + "/v2/")
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("no answer on %s within %s", addr, startLimit)
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// syncBuffer keeps the end of a program's output while the program still writes.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf.Len() > 1<<20 {
		b.buf.Reset()
	}
	return b.buf.Write(p)
}

// String returns what was written, without blank ends.
func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.TrimSpace(b.buf.String())
}
