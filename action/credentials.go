package action

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
)

// dockerConfig names the directory with registry credentials.
func (s *session) dockerConfig() string {
	if s.credentials != "" {
		return s.credentials
	}
	return s.userDockerConfig()
}

func (s *session) userDockerConfig() string {
	if d := s.in.one("docker-config"); d != "" {
		return d
	}
	if d := s.env.getenv("DOCKER_CONFIG"); d != "" {
		return d
	}
	if h := s.env.getenv("HOME"); h != "" {
		return filepath.Join(h, ".docker")
	}
	return ""
}

// login puts registry-username and registry-password beside the user's own credentials, for the registry of ref and no
// other, in a private directory that forget removes.
func (s *session) login(ref string) (forget func(), err error) {
	forget = func() {}
	user, password := s.in.one("registry-username"), s.in.one("registry-password")
	if user == "" && password == "" {
		return forget, nil
	}
	if user == "" || password == "" || ref == "" {
		return forget, hint.Misuse(errors.New("--registry-username and --registry-password belong together, with a reference that names the registry"), "give both, and when building a --tag")
	}
	parsed, err := oci.ParseReference(ref)
	if err != nil {
		return forget, err
	}
	config, err := dockerConfigFile(s.userDockerConfig())
	if err != nil {
		return forget, err
	}
	host := parsed.Registry
	if host == "docker.io" {
		host = "https://index.docker.io/v1/" // what docker itself calls its hub
	}
	auths, ok := config["auths"].(map[string]any)
	if !ok {
		auths = map[string]any{}
	}
	auths[host] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	config["auths"] = auths
	if helpers, ok := config["credHelpers"].(map[string]any); ok {
		delete(helpers, parsed.Registry) // a helper would win over what was given
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return forget, fmt.Errorf("docker configuration: %w", err)
	}
	dir, err := os.MkdirTemp(s.env.getenv("TMPDIR"), "sealyard-")
	if err != nil {
		return forget, fmt.Errorf("docker configuration: %w", err)
	}
	forget = func() { os.RemoveAll(dir) }
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o600); err != nil {
		forget()
		return func() {}, fmt.Errorf("docker configuration: %w", err)
	}
	s.credentials = dir
	return forget, nil
}

func dockerConfigFile(dir string) (map[string]any, error) {
	config := map[string]any{}
	name := filepath.Join(dir, "config.json")
	if _, err := os.Stat(name); dir == "" || errors.Is(err, os.ErrNotExist) {
		return config, nil
	}
	raw, err := readFile(name)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, hint.Misuse(fmt.Errorf("docker configuration %q: %w", name, err), "mend the file, or name another directory with --docker-config")
	}
	return config, nil
}
