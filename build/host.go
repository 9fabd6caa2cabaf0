package build

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer" // docker-container://
	_ "github.com/moby/buildkit/client/connhelper/kubepod"         // kube-pod://
	_ "github.com/moby/buildkit/client/connhelper/ssh"             // ssh://
	"github.com/sealyard/sealyard/internal/hint"
	"golang.org/x/mod/semver"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// minVersion is the oldest engine that is used: the first with every fix that threats T5 and T29 name and with the
	// compatibility-version that is pinned (see compatibility).
	minVersion     = "v0.32.0"
	connectTimeout = 30 * time.Second // ssh and kubectl take a while to start

	dockerdLabel = "org.mobyproject.buildkit.worker.moby." // only the BuildKit inside dockerd has labels like this
)

// check refuses addresses over which a stranger could build for us.
func (h Host) check() error {
	parsed, err := ParseHost(h.Address)
	if err != nil {
		return err
	}
	u, err := url.Parse(parsed.Address)
	if err != nil {
		return hint.Misuse(fmt.Errorf("buildkit host: %w", err), "%s", hostForms)
	}
	tls := h.CA != "" || h.Cert != "" || h.Key != ""
	if tls && (h.CA == "" || h.Cert == "" || h.Key == "") {
		return hint.Misuse(fmt.Errorf("buildkit host %q: mutual TLS needs three files", h.Address), "give certificate authority, certificate and key")
	}
	if tls && u.Scheme != "tcp" {
		return hint.Misuse(fmt.Errorf("buildkit host %q: TLS files are for tcp only", h.Address), "leave them out")
	}
	if u.Scheme == "tcp" && !tls && !loopback(u.Hostname()) {
		return hint.Misuse(fmt.Errorf("buildkit host %q is reached over plain TCP", h.Address), "give the files for mutual TLS: whoever answers there decides what is in the image")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// dial connects to an engine and makes sure that it can do what is asked of it.
func dial(ctx context.Context, h Host) (*client.Client, string, error) {
	var opts []client.ClientOpt
	if h.CA != "" {
		opts = append(opts, client.WithServerConfig(h.Name, h.CA), client.WithCredentials(h.Cert, h.Key))
	}
	c, err := client.New(ctx, h.Address, opts...)
	if err != nil {
		return nil, "", hint.Misuse(fmt.Errorf("buildkit at %q: %w", h.Address, err), "check address and TLS files")
	}
	version, err := inspect(ctx, c, h.Address)
	if err != nil {
		_ = c.Close()
		return nil, "", err
	}
	return c, version, nil
}

// inspect asks the engine who it is. An engine that cannot tell is too old: it may ignore what it does not know.
func inspect(ctx context.Context, c *client.Client, address string) (string, error) {
	short, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	info, err := c.Info(short)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case status.Code(err) == codes.Unimplemented:
		return "", tooOld(address, "a version that does not tell its version")
	case err != nil:
		return "", hint.Wrap(fmt.Errorf("buildkit at %q does not answer: %w", address, err), "check that the engine runs and the address is right")
	}
	version := info.BuildkitVersion.Version
	if !semver.IsValid(version) || semver.Compare(version, minVersion) < 0 {
		return "", tooOld(address, version)
	}
	workers, err := c.ListWorkers(short)
	if err != nil {
		return "", fmt.Errorf("buildkit at %q: list workers: %w", address, err)
	}
	if len(workers) == 0 {
		return "", fmt.Errorf("buildkit at %q has no worker", address)
	}
	for _, w := range workers {
		for label := range w.Labels {
			if strings.HasPrefix(label, dockerdLabel) {
				return "", hint.Misuse(fmt.Errorf("buildkit at %q is the one inside dockerd", address), "run moby/buildkit in a container and use docker-container://name")
			}
		}
	}
	return version, nil
}

func tooOld(address, found string) error {
	if address == "" {
		return errors.New("engine has no version")
	}
	return hint.Wrap(fmt.Errorf("buildkit at %q is too old: found %q, need %s or newer", address, found, minVersion), "update it")
}
