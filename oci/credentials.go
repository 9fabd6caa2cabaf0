package oci

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sealyard/sealyard/internal/hint"
)

// maxDockerConfig is far above any config.json and any helper's answer.
const maxDockerConfig = 1 << 20

// dockerHub is the key under which docker keeps the credentials for Docker Hub.
const dockerHub = "https://index.docker.io/v1/"

// helperNotFound is what credential helpers print, by their protocol, when they have nothing for a registry.
const helperNotFound = "credentials not found in native keychain"

// dockerConfig is the part of docker's config.json that credentials come from.
type dockerConfig struct {
	Auths       map[string]dockerAuth `json:"auths"`
	CredHelpers map[string]string     `json:"credHelpers"`
	CredsStore  string                `json:"credsStore"`
}

type dockerAuth struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// credentials finds those for exactly this repository or its host, never another's. The file is read each time a
// client is made: a login during a long run counts.
func (r *Remote) credentials(ctx context.Context, repo name.Repository) (authn.Authenticator, error) {
	if r.opts.DockerConfig == "" {
		return authn.Anonymous, nil
	}
	file := filepath.Join(r.opts.DockerConfig, "config.json")
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return authn.Anonymous, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxDockerConfig) {
		err = fmt.Errorf("%q is not a file of at most %d bytes", file, maxDockerConfig)
	}
	if err != nil {
		return nil, hint.Wrap(err, "mend or remove docker's configuration")
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var conf dockerConfig
	if err := json.Unmarshal(raw, &conf); err != nil {
		return nil, hint.Wrap(fmt.Errorf("%q: %w", file, err), "mend or remove docker's configuration")
	}
	host := repo.RegistryStr()
	for _, key := range []string{host, hubKey(host)} {
		if helper := conf.CredHelpers[key]; helper != "" {
			return askHelper(ctx, helper, hubKey(host))
		}
	}
	if conf.CredsStore != "" {
		auth, err := askHelper(ctx, conf.CredsStore, hubKey(host))
		if err != nil || auth != authn.Anonymous {
			return auth, err
		}
	}
	return conf.lookup(repo)
}

func hubKey(host string) string {
	if host == name.DefaultRegistry {
		return dockerHub
	}
	return host
}

// lookup finds an entry for the repository, then for a namespace above it, then for the host.
func (c dockerConfig) lookup(repo name.Repository) (authn.Authenticator, error) {
	for key := repo.Name(); key != ""; key = parent(key) {
		for _, k := range []string{key, hubKey(key), "https://" + key, "https://" + key + "/v1/", "https://" + key + "/v2/", "http://" + key} {
			if a, ok := c.Auths[k]; ok {
				return a.authenticator(k)
			}
		}
	}
	return authn.Anonymous, nil
}

func parent(key string) string {
	i := strings.LastIndexByte(key, '/')
	return key[:max(i, 0)]
}

func (a dockerAuth) authenticator(key string) (authn.Authenticator, error) {
	conf := authn.AuthConfig{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
	if a.Auth != "" {
		raw, err := base64.StdEncoding.DecodeString(a.Auth)
		user, pass, ok := strings.Cut(strings.TrimRight(string(raw), "\x00"), ":")
		if err != nil || !ok {
			return nil, hint.Wrap(fmt.Errorf("docker's configuration: entry %q is not base64 of user:password", key), "log in again: docker login %s", key)
		}
		conf.Username, conf.Password = user, pass
	}
	if conf == (authn.AuthConfig{}) {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(conf), nil
}

var helperName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)

// askHelper runs a credential helper for that server, and only that.
func askHelper(ctx context.Context, helper, server string) (authn.Authenticator, error) {
	if !helperName.MatchString(helper) {
		return nil, fmt.Errorf("docker's configuration: %q is no name of a credential helper", helper)
	}
	cmd := exec.CommandContext(ctx, "docker-credential-"+helper, "get")
	cmd.Stdin = strings.NewReader(server)
	var out limited
	cmd.Stdout = &out
	err := cmd.Run()
	if strings.Contains(out.buf.String(), helperNotFound) {
		return authn.Anonymous, nil
	}
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("credential helper %q for %q: %w", helper, server, err),
			"docker's configuration names it: install docker-credential-%s, or remove the entry", helper)
	}
	var got struct{ Username, Secret string }
	if err := json.Unmarshal(out.buf.Bytes(), &got); err != nil {
		return nil, fmt.Errorf("credential helper %q for %q: it did not answer with JSON", helper, server)
	}
	if got.Username == "<token>" {
		return authn.FromConfig(authn.AuthConfig{IdentityToken: got.Secret}), nil
	}
	return authn.FromConfig(authn.AuthConfig{Username: got.Username, Password: got.Secret}), nil
}

// limited keeps a helper's output up to a limit.
type limited struct{ buf bytes.Buffer }

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if l.buf.Len()+len(p) > maxDockerConfig {
		return 0, errors.New("too much output")
	}
	return l.buf.Write(p)
}
