package build_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	control "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/buildkit/api/types"
	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/hint"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// startHost runs an engine as an administrator would and returns its socket.
func startHost(t *testing.T) string {
	t.Helper()
	e := newEngine(t)
	socket := filepath.Join(tempDir(t), "s")
	cmd := exec.Command(e.Executable, "engine", "--socket", socket, "--state", e.StateDir, "--runc", e.Runc)
	cmd.Env = e.Env
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	ready := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(stdout, ready); err != nil || string(ready) != "ready\n" {
		t.Fatalf("engine said %q: %v", ready, err)
	}
	return socket
}

// Each platform is built on the host that is for it, side by side, and merged into one index.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	one, two := startHost(t), startHost(t)
	dir := files(t, map[string]string{"Dockerfile": lines("FROM scratch", "ARG TARGETARCH", "COPY file-$TARGETARCH /file", runnable), "file-amd64": "a", "file-arm64": "b"})
	epoch := int64(1)
	plan := build.Plan{Context: dir, Platforms: []string{"linux/amd64", "linux/arm64"}, SourceDateEpoch: &epoch,
		Hosts: []build.Host{{Platform: "linux/arm64", Address: "unix://" + one}, {Address: "unix://" + two}}}
	out := filepath.Join(t.TempDir(), "out")
	w := &watch{}
	r, err := build.Image(context.Background(), plan, out, w)
	if err != nil {
		t.Fatal(err)
	}
	checkClean(t, out, r)
	if len(r.Manifests) != 2 || content(t, out, r.Manifests[1].Digest)["/file"] != "b" || len(r.Engines) != 2 || r.Engines[0].Address != "unix://"+one {
		t.Errorf("result %+v", r)
	}
	if !strings.Contains(w.String(), "[linux/arm64] #") || !strings.Contains(w.String(), "[linux/amd64] #") {
		t.Errorf("progress does not tell hosts apart: %s", w)
	}
	plan.Hosts = plan.Hosts[1:]
	together, _ := mustBuild(t, plan)
	if together.Digest != r.Digest {
		t.Errorf("one host gives %s, two give %s", together.Digest, r.Digest)
	}
}

// An engine over TCP is used only with mutual TLS; certificates of a stranger do not get in on either side.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	socket := startHost(t)
	pki, stranger := newPKI(t), newPKI(t)
	address := tlsFront(t, pki, socket)
	dir := files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool")})
	for name, test := range map[string]struct {
		host   build.Host
		fails  string
		misuse bool
	}{
		"good":              {host: build.Host{Address: address, CA: pki.ca, Cert: pki.cert, Key: pki.key}},
		"engine not ours":   {host: build.Host{Address: address, CA: stranger.ca, Cert: pki.cert, Key: pki.key}, fails: "certificate"},
		"we are a stranger": {host: build.Host{Address: address, CA: pki.ca, Cert: stranger.cert, Key: stranger.key}, fails: address},
		"half":              {host: build.Host{Address: address, CA: pki.ca}, fails: "needs three files", misuse: true},
		"no such file":      {host: build.Host{Address: address, CA: pki.ca, Cert: pki.cert, Key: pki.key + "x"}, fails: "no such file", misuse: true},
		"plain, far away":   {host: build.Host{Address: "tcp://192.0.2.1:1234"}, fails: "plain TCP", misuse: true},
		"files for unix":    {host: build.Host{Address: "unix://" + socket, CA: pki.ca, Cert: pki.cert, Key: pki.key}, fails: "tcp only", misuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := image(t, build.Plan{Context: dir, Hosts: []build.Host{test.host}}, filepath.Join(t.TempDir(), "out"))
			if test.fails == "" && err != nil || test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails) || hint.IsMisuse(err) != test.misuse) {
				t.Errorf("error %v", err)
			}
		})
	}
}

type pki struct{ ca, cert, key string }

func newPKI(t *testing.T) pki {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := pki{filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")}
	for path, block := range map[string]*pem.Block{p.ca: {Type: "CERTIFICATE", Bytes: cert}, p.cert: {Type: "CERTIFICATE", Bytes: cert}, p.key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// tlsFront is a listener with mutual TLS in front of a unix socket.
func tlsFront(t *testing.T, p pki, socket string) string {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(read(t, p.ca))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				back, err := net.Dial("unix", socket)
				if err != nil {
					return
				}
				defer func() { _ = back.Close() }()
				go func() { _, _ = io.Copy(back, c); _ = back.Close() }()
				_, _ = io.Copy(c, back)
			}()
		}
	}()
	return "tcp://" + l.Addr().String()
}

// stub is an engine that answers only what it is asked first. It stands in for an old daemon.
type stub struct {
	control.UnimplementedControlServer
	version string
	labels  map[string]string
}

func (s stub) Info(context.Context, *control.InfoRequest) (*control.InfoResponse, error) {
	if s.version == "" {
		return nil, status.Error(codes.Unimplemented, "unknown method Info")
	}
	return &control.InfoResponse{BuildkitVersion: &types.BuildkitVersion{Version: s.version}}, nil
}

func (s stub) ListWorkers(context.Context, *control.ListWorkersRequest) (*control.ListWorkersResponse, error) {
	return &control.ListWorkersResponse{Record: []*types.WorkerRecord{{ID: "x", Labels: s.labels}}}, nil
}

// T5 T29: an engine that is too old, that does not say how old it is, or that is dockerd's own is refused, naming what was found and what is needed.
func TestOldEnginesAreRefused(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Dockerfile": lines("FROM scratch", "COPY tool /tool")})
	for name, test := range map[string]struct {
		stub stub
		want []string
	}{
		"no Info":   {stub{}, []string{"too old", "does not tell its version", "v0.32.0"}},
		"old":       {stub{version: "v0.31.9"}, []string{"too old", "v0.31.9", "v0.32.0"}},
		"no semver": {stub{version: "dev"}, []string{"too old", "dev"}},
		"unknown":   {stub{version: "v0.0.0+unknown"}, []string{"too old", "v0.0.0+unknown"}},
		"dockerd":   {stub{version: "v0.34.2", labels: map[string]string{"org.mobyproject.buildkit.worker.moby.host-gateway-ip": "1.2.3.4"}}, []string{"inside dockerd"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("unix", filepath.Join(tempDir(t), "s"))
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer()
			control.RegisterControlServer(server, test.stub)
			go func() { _ = server.Serve(l) }()
			t.Cleanup(server.Stop)
			address := "unix://" + l.Addr().String()
			_, err = image(t, build.Plan{Context: dir, Hosts: []build.Host{{Address: address}}}, filepath.Join(t.TempDir(), "out"))
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error()+hint.Of(err), want) {
					t.Errorf("error %v lacks %q", err, want)
				}
			}
		})
	}
}

// An address where nobody answers is named.
func TestUnreachableEngine(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	for _, address := range []string{"unix:///nonexistent/socket", "tcp://127.0.0.1:1", "docker-container://nonexistent-builder"} {
		_, err := image(t, build.Plan{Context: dir, Hosts: []build.Host{{Address: address}}}, filepath.Join(t.TempDir(), "out"))
		if err == nil || !strings.Contains(err.Error(), address) || hint.IsMisuse(err) || hint.Of(err) == "" {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// Platforms and hosts that do not fit together are refused before anything starts.
func TestHostsAndPlatforms(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	amd, arm := build.Host{Platform: "linux/amd64", Address: "unix:///a"}, build.Host{Platform: "linux/arm64", Address: "unix:///b"}
	for want, plan := range map[string]build.Plan{
		"but no platforms":               {Hosts: []build.Host{amd, arm}},
		`no buildkit host for platform`:  {Hosts: []build.Host{amd}, Platforms: []string{"linux/arm64"}},
		`"unix:///b" has nothing`:        {Hosts: []build.Host{amd, arm}, Platforms: []string{"linux/amd64"}},
		`unknown platform "linux/amd65"`: {Platforms: []string{"linux/amd65"}},
	} {
		plan.Context = dir
		if _, err := image(t, plan, filepath.Join(t.TempDir(), "out")); !hint.IsMisuse(err) || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
