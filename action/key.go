package action

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

// Where passwords are looked for, under cosign's names.
const (
	keyPassword = "COSIGN_PASSWORD"   // of a key file
	tokenPIN    = "COSIGN_PKCS11_PIN" // of a PKCS#11 token
)

// Where a key is that is no file, and no service that signs itself.
const (
	inEnv     = "env://" // NAME of an environment variable
	inCluster = "k8s://" // NAMESPACE/NAME of a Secret, as `cosign generate-key-pair k8s://…` makes it
)

// keySigner opens the key that the input names: in this process, or where it stays.
func (s *session) keySigner(ctx context.Context) (*attest.Key, error) {
	name := s.in.one("key")
	if name == "" {
		return nil, hint.Misuse(errors.New("--sign key, and no key is given"), "give one with --key; sealyard key generate makes one")
	}
	if remote(name) {
		return s.openKey(ctx, name)
	}
	pem, password, err := s.keyFile(ctx, name, "cosign.key")
	if err != nil {
		return nil, err
	}
	if password == nil {
		if password, err = s.password("Password of "+name+": ", keyPassword); err != nil {
			return nil, err
		}
	}
	k, err := attest.NewKey(pem, password)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", name, err)
	}
	return k, nil
}

// remote reports whether the key that a name stands for signs elsewhere and never is in this process.
func remote(name string) bool {
	return attest.IsPKCS11(name) || strings.Contains(name, "://") && !strings.HasPrefix(name, inEnv) && !strings.HasPrefix(name, inCluster)
}

func (s *session) openKey(ctx context.Context, uri string) (*attest.Key, error) {
	return attest.OpenKey(ctx, uri, func() ([]byte, error) { return s.password("PIN of the token: ", tokenPIN) })
}

// publicKey reads the public key that verify believes, from wherever it is.
func (s *session) publicKey(ctx context.Context, name string) ([]byte, error) {
	if !remote(name) {
		pem, _, err := s.keyFile(ctx, name, "cosign.pub")
		return pem, err
	}
	k, err := s.openKey(ctx, name)
	if err != nil {
		return nil, err
	}
	return k.PublicKey()
}

// keyFile reads a key: a file, an environment variable, or the entry of a Secret in Kubernetes, which holds the password as well.
func (s *session) keyFile(ctx context.Context, name, entry string) (pem, password []byte, err error) {
	if secret, ok := strings.CutPrefix(name, inCluster); ok {
		data, err := s.secret(ctx, secret)
		if err != nil {
			return nil, nil, fmt.Errorf("key %q: %w", name, err)
		}
		if len(data[entry]) == 0 {
			return nil, nil, hint.Misuse(fmt.Errorf("key %q: the Secret has no entry %s", name, entry), "make it with cosign generate-key-pair %s", name)
		}
		return data[entry], append([]byte{}, data["cosign.password"]...), nil
	}
	variable, ok := strings.CutPrefix(name, inEnv)
	if !ok {
		pem, err = readFile(name)
		return pem, nil, err
	}
	v, set := s.env.lookup(variable)
	if !set || v == "" {
		return nil, nil, hint.Misuse(fmt.Errorf("key %q: the environment variable is not set", name), "set %s in the step's env", variable)
	}
	return []byte(v), nil, nil
}

// password finds a password: the inputs, the environment variable, or a question on the terminal.
func (s *session) password(prompt, variable string) ([]byte, error) {
	if v := s.in.one("key-password"); v != "" {
		return []byte(v), nil
	}
	if name := s.in.one("key-password-file"); name != "" {
		raw, err := readFile(name)
		return bytes.TrimRight(raw, "\r\n"), err
	}
	if v, ok := s.env.lookup(variable); ok {
		return []byte(v), nil
	}
	tty, ok := s.env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(tty.Fd())) {
		return nil, hint.Misuse(errors.New("the key's password is not given"), "set %s (empty for a key without one), --key-password or --key-password-file", variable)
	}
	fmt.Fprint(s.env.Stderr, prompt)
	p, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(s.env.Stderr)
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return p, nil
}

var secretName = regexp.MustCompile(`\A([a-z0-9][a-z0-9-]*)/([a-z0-9][a-z0-9.-]*)\z`)

// secret reads a Secret of Kubernetes with kubectl, which knows every way to log in to a cluster; Kubernetes' own client
// would make this program a sixth larger.
func (s *session) secret(ctx context.Context, name string) (map[string][]byte, error) {
	parts := secretName.FindStringSubmatch(name)
	if parts == nil {
		return nil, hint.Misuse(fmt.Errorf("%q names no Secret", name), "write it as k8s://NAMESPACE/NAME")
	}
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		return nil, hint.Misuse(errors.New("kubectl, which reads the Secret, is not in PATH"), "install kubectl, or give the key as a file or env://NAME")
	}
	cmd := exec.CommandContext(ctx, kubectl, "get", "secret", "--namespace", parts[1], parts[2], "--output", "json")
	cmd.Env = slices.DeleteFunc(slices.Clone(s.env.Environ), ours)
	cmd.WaitDelay = time.Second // programs that kubectl starts, to log in, may hold its output open for longer
	out, why := &limited{left: maxFile}, &limited{left: maxFile}
	cmd.Stdout, cmd.Stderr = out, why
	if err := cmd.Run(); err != nil {
		return nil, hint.Wrap(fmt.Errorf("kubectl: %w: %.300q", err, strings.TrimSpace(why.String())), "see that kubectl get secret works here")
	}
	var answer struct {
		Data map[string][]byte `json:"data"`
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("kubectl: %w", err)
	}
	return answer.Data, nil
}

// limited keeps what is written to it, up to a size.
type limited struct {
	bytes.Buffer
	left int
}

// Write implements io.Writer.
func (l *limited) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		return 0, errors.New("too long an answer")
	}
	return l.Buffer.Write(b)
}

// Environ returns the environment of this process, and takes out of it what is for this program alone: the job's identity, passwords,
// and the inputs of a step. The programs that it starts inherit the rest, and none needs one of those (T10).
func Environ() []string {
	all := os.Environ()
	for _, v := range all {
		if name, _, _ := strings.Cut(v, "="); ours(v) {
			os.Unsetenv(name)
		}
	}
	return all
}

// ours reports whether a NAME=value of the environment is for this program alone.
func ours(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "INPUT_") || slices.Contains([]string{tokenBearer, tokenURL, tokenWord, keyPassword, tokenPIN}, name)
}
