package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	rekorWord = "rekor-server" // as first argument it makes this program Rekor v2, whose server is no library
	host      = "127.0.0.1"    // also the log's name in its checkpoints
	patience  = 30 * time.Second
)

// rekorServer is the process of Rekor v2.
type rekorServer struct {
	key  ed25519.PublicKey
	cmd  *exec.Cmd
	log  bytes.Buffer
	gone chan error // gets one value, when it has ended
}

// startRekor starts the Rekor v2 of a name, which is also the one of its files.
func startRekor(ctx context.Context, state, name string) (*rekorServer, http.Handler, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	keyFile := filepath.Join(state, name+".pem")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, nil, err
	}
	for range 3 { // another process may take a port between our look and Rekor's
		var at string
		var r *rekorServer
		if r, at, err = runRekor(ctx, keyFile, filepath.Join(state, name)); err == nil {
			r.key = public
			return r, httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: at}), nil
		}
	}
	return nil, nil, err
}

func runRekor(ctx context.Context, keyFile, dir string) (*rekorServer, string, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, "", err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	r := &rekorServer{gone: make(chan error, 1)}
	r.cmd = exec.Command(exe, rekorWord, "serve", "--hostname="+host, "--signer-filepath="+keyFile, "--storage-dir="+dir, "--log-level=error",
		"--http-address="+host, "--http-port="+ports[0], "--grpc-address="+host, "--grpc-port="+ports[1], "--http-metrics-port="+ports[2],
		"--batch-max-age=20ms", "--checkpoint-interval=200ms")
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return nil, "", err
	}
	go func() { r.gone <- r.cmd.Wait() }()
	at := net.JoinHostPort(host, ports[0])
	if err := r.ready(ctx, at); err != nil {
		return nil, "", err
	}
	return r, at, nil
}

// ready waits until it answers; when it does not, it is gone afterwards.
func (r *rekorServer) ready(ctx context.Context, at string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.stop()
			return fmt.Errorf("no answer: %w", ctx.Err())
		case err := <-r.gone:
			return errors.Join(errors.New("it ended at once"), err, errors.New(r.log.String()))
		case <-tick.C:
			res, err := http.Get("http://" + at + "/healthz")
			if err != nil {
				continue
			}
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
}

func (r *rekorServer) stop() {
	_ = r.cmd.Process.Kill() // what it holds goes with it: nothing is worth its minute of shutting down
	select {
	case <-r.gone:
	case <-time.After(patience):
	}
}

func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, err
		}
		defer l.Close() // after the last, so that they differ
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}
