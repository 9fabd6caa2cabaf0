package build

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/go-units"
	"github.com/sealyard/sealyard/internal/hint"
)

// The entitlements a build can be granted.
const (
	NetworkHost      = "network.host"      // RUN --network=host
	SecurityInsecure = "security.insecure" // RUN --security=insecure
)

// knownPlatforms are those that images are made for. BuildKit takes any word and builds nonsense from it.
var knownPlatforms = []string{
	"linux/amd64", "linux/arm64", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/s390x",
	"linux/riscv64", "linux/loong64", "linux/mips64le", "linux/mips64", "linux/mipsle", "linux/mips", "linux/ppc64",
	"windows/amd64", "windows/arm64", "windows/arm/v7", "windows/386", "freebsd/amd64", "freebsd/arm64", "darwin/amd64", "darwin/arm64",
	"wasi/wasm", "wasip1/wasm", "js/wasm",
}

// ParsePlatform reads os/architecture[/variant] and returns its normal form, linux/arm64 or linux/arm/v7.
func ParsePlatform(s string) (string, error) {
	p, err := platforms.Parse(strings.TrimSpace(s))
	normal := ""
	if err == nil {
		p = platforms.Normalize(p)
		normal = platforms.Format(platforms.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant})
	}
	base := normal
	if p.Architecture == "amd64" || p.Architecture == "arm64" { // v2, v3, v4 and v8.1, v9 are levels of these
		base = p.OS + "/" + p.Architecture
	}
	if err != nil || p.OSVersion != "" || !slices.Contains(knownPlatforms, base) {
		near := hint.Nearest(s, knownPlatforms)
		if near == "" {
			near = "linux/amd64"
		}
		return "", hint.Misuse(fmt.Errorf("unknown platform %q", s), "platforms look like %s", near)
	}
	return normal, nil
}

// ParsePair reads key=value, as secrets, labels, secret files and build contexts are given.
func ParsePair(what, s string) (key, value string, err error) {
	key, value, ok := strings.Cut(s, "=")
	if !ok || key == "" || strings.TrimSpace(key) != key {
		return "", "", hint.Misuse(fmt.Errorf("%s %q has no name", what, shorten(key)), "write name=value")
	}
	return key, value, nil
}

// shorten keeps a foreign word, which may be a secret given in the wrong place, from being shown whole.
func shorten(s string) string {
	if len(s) > 8 {
		return s[:4] + "…"
	}
	return s
}

// ParseBuildArg reads NAME=value, or NAME alone to take the value from env. It reports false when env has none:
// the Dockerfile's default then stands.
func ParseBuildArg(s string, env func(string) (string, bool)) (name, value string, ok bool, err error) {
	name, value, ok = strings.Cut(s, "=")
	if name == "" || strings.ContainsAny(name, " \t\n") {
		return "", "", false, hint.Misuse(fmt.Errorf("build argument %q has no name", shorten(s)), "write NAME=value")
	}
	if !ok && env != nil {
		value, ok = env(name)
	}
	return name, value, ok, nil
}

// ParseAnnotation reads [type[platform]:]key=value. Several types may be given, separated by commas; no type is manifest.
func ParseAnnotation(s string) ([]Annotation, error) {
	wrong := func(why string) error {
		return hint.Misuse(fmt.Errorf("annotation %q: %s", s, why), "write [type[platform]:]key=value with type manifest, index, manifest-descriptor or index-descriptor")
	}
	key, value, ok := strings.Cut(s, "=")
	if !ok {
		return nil, wrong("no value")
	}
	types := "manifest"
	if head, rest, ok := cutTypes(key); ok {
		types, key = head, rest
	}
	if key == "" || strings.ContainsAny(key, " \t\n") {
		return nil, wrong("bad key")
	}
	var out []Annotation
	for t := range strings.SplitSeq(types, ",") {
		a := Annotation{Type: t, Key: key, Value: value}
		if kind, platform, ok := strings.Cut(t, "["); ok {
			p, err := ParsePlatform(strings.TrimSuffix(platform, "]"))
			if err != nil || !strings.HasSuffix(platform, "]") {
				return nil, wrong("bad platform")
			}
			a.Type, a.Platform = kind, p
		}
		if !slices.Contains([]string{"manifest", "index", "manifest-descriptor", "index-descriptor"}, a.Type) {
			return nil, wrong("unknown type")
		}
		if a.Platform != "" && strings.HasPrefix(a.Type, "index") {
			return nil, wrong("an index has no platform")
		}
		out = append(out, a)
	}
	return out, nil
}

// cutTypes cuts "types:" off a key. A colon further right belongs to the key.
func cutTypes(key string) (types, rest string, ok bool) {
	types, rest, ok = strings.Cut(key, ":")
	return types, rest, ok && (strings.HasPrefix(types, "manifest") || strings.HasPrefix(types, "index"))
}

// ParseUlimit reads name=soft[:hard]; -1 is unlimited.
func ParseUlimit(s string) (Ulimit, error) {
	u, err := units.ParseUlimit(s)
	if err != nil {
		return Ulimit{}, hint.Misuse(fmt.Errorf("ulimit %q: %w", s, err), "write name=soft[:hard], for example nofile=1024:2048")
	}
	return Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard}, nil
}

// ParseShmSize reads a number of bytes with an optional unit: 64m, 1g.
func ParseShmSize(s string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err != nil || n <= 0 {
		return 0, hint.Misuse(fmt.Errorf("shm-size %q is not a size", s), "write a number with b, k, m or g behind it")
	}
	return n, nil
}

// ParseSSH reads default, or id[=socket|key,...]. agent is the agent's socket that is meant when no path is given
// (SSH_AUTH_SOCK); without one that is an error.
func ParseSSH(s, agent string) (SSH, error) {
	id, paths, given := strings.Cut(s, "=")
	if id == "" || strings.ContainsAny(id, " \t\n") {
		return SSH{}, hint.Misuse(fmt.Errorf("ssh %q has no id", s), "write default, or id=path")
	}
	if !given {
		paths = agent
	}
	if paths == "" {
		return SSH{}, hint.Misuse(fmt.Errorf("ssh %q: no agent", s), "start an ssh agent (SSH_AUTH_SOCK) or write %s=path of a key", id)
	}
	if !given {
		return SSH{ID: id, Paths: []string{agent}}, nil
	}
	return SSH{ID: id, Paths: strings.Split(paths, ",")}, nil
}

// ParseAddHost reads host:ip or host=ip; IPv6 may stand in brackets.
func ParseAddHost(s string) (AddHost, error) {
	host, ip, ok := strings.Cut(s, "=")
	if !ok {
		host, ip, ok = strings.Cut(s, ":")
	}
	if ip == "host-gateway" {
		return AddHost{}, hint.Misuse(errors.New("add-hosts: host-gateway needs dockerd, which is not used"), "write the address itself")
	}
	parsed := net.ParseIP(strings.TrimSuffix(strings.TrimPrefix(ip, "["), "]"))
	if !ok || host == "" || strings.ContainsAny(host, ", \t\n\"") || parsed == nil {
		return AddHost{}, hint.Misuse(fmt.Errorf("add-hosts: %q is not host:ip", s), "write host:ip")
	}
	return AddHost{Host: host, IP: parsed.String()}, nil
}

// ParseNetwork reads the network mode of RUN steps.
func ParseNetwork(s string) (string, error) {
	switch s {
	case "", "default", "none", "host":
		return s, nil
	}
	return "", hint.Misuse(fmt.Errorf("unknown network %q", s), "one of default, none, host")
}

// ParseEntitlement reads one entry of allow.
func ParseEntitlement(s string) (string, error) {
	if s == NetworkHost || s == SecurityInsecure {
		return s, nil
	}
	return "", hint.Misuse(fmt.Errorf("unknown entitlement %q", s), "one of %s, %s", NetworkHost, SecurityInsecure)
}

// ParseEpoch reads SOURCE_DATE_EPOCH: seconds since 1970.
func ParseEpoch(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n >= 1<<38 { // beyond the year 9999 RFC 3339 has no form
		return 0, hint.Misuse(fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", s), "for example the output of git log -1 --format=%%ct")
	}
	return n, nil
}

// ParseBuildContext reads name=source, with source a directory, docker-image://, oci-layout:// or a git URL.
func ParseBuildContext(s string) (name, source string, err error) {
	name, source, err = ParsePair("build context", s)
	if err != nil {
		return "", "", err
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil || source == "" {
		return "", "", hint.Misuse(fmt.Errorf("build context %q: bad name or no source", name), "write name=directory, name=docker-image://…, name=oci-layout://… or name=git URL")
	}
	return strings.TrimSuffix(reference.FamiliarString(named), ":latest"), source, nil
}

// ParseHost reads [platform=]address of a BuildKit engine. The files for mutual TLS are set on the result.
func ParseHost(s string) (Host, error) {
	h := Host{Address: s}
	if platform, address, ok := strings.Cut(s, "="); ok && !strings.Contains(platform, "://") {
		p, err := ParsePlatform(platform)
		if err != nil {
			return Host{}, err
		}
		h = Host{Platform: p, Address: address}
	}
	u, err := url.Parse(h.Address)
	if err != nil || (u.Host == "" && u.Path == "") {
		return Host{}, hint.Misuse(fmt.Errorf("buildkit host %q is not an address", redactURL(s)), "%s", hostForms)
	}
	switch u.Scheme {
	case "unix":
		if !filepath.IsAbs(u.Path) || u.Host != "" {
			return Host{}, hint.Misuse(fmt.Errorf("buildkit host %q: the socket's path must be absolute", s), "write unix:///run/buildkit/buildkitd.sock")
		}
	case "tcp", "docker-container", "kube-pod", "ssh":
		if u.Host == "" {
			return Host{}, hint.Misuse(fmt.Errorf("buildkit host %q names no host", s), "%s", hostForms)
		}
	case "docker", "npipe", "podman-container", "nerdctl-container":
		return Host{}, hint.Misuse(fmt.Errorf("buildkit host %q: %s is not supported", s, u.Scheme), "%s", hostForms)
	default:
		return Host{}, hint.Misuse(fmt.Errorf("buildkit host %q is not an address", redactURL(s)), "%s", hostForms)
	}
	return h, nil
}

const hostForms = "one of unix:///path, tcp://host:port, docker-container://name, kube-pod://name, ssh://user@host"
