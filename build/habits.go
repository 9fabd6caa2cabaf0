package build

import (
	"net/url"
	"slices"
	"strings"
)

// command looks at one command and returns the one that it runs in the end: of sudo and its like what they are given.
func (m *marker) command(c call) call {
	for inner, ok := c, true; ok; inner, ok = unwrap(c) {
		if c = inner; changesUser(c.name) {
			m.add(CheckSudo, c.line, c.name)
		}
	}
	if c.runsDownload() {
		m.add(CheckPipeShell, c.line, c.name)
	}
	if flag := c.unverified(); flag != "" {
		m.add(CheckUnverified, c.line, c.name+" "+flag)
	}
	if modes := c.operands(""); c.name == "chmod" && len(modes) > 0 {
		m.mode(modes[0], c.line)
	}
	m.downloads(c)
	m.packages(c)
	return c
}

// downloads looks at where a program downloads from.
func (m *marker) downloads(c call) {
	if !fetches(c.name) && c.name != "git" {
		return
	}
	for _, a := range c.args {
		u, err := url.Parse(a)
		if err == nil && u.Scheme == "http" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" {
			m.add(CheckPlainHTTP, c.line, u.Hostname())
		}
	}
}

// packages looks at what a package manager is to install.
func (m *marker) packages(c call) {
	manager, names := installed(c)
	for _, name := range names {
		if base, _, _ := strings.Cut(name, "="); base == "openssh-server" || base == "dropbear" {
			m.add(CheckSSHServer, c.line, base)
		}
		if !versioned(manager, name) {
			m.add(CheckVersions, c.line, name)
		}
	}
}

func changesUser(name string) bool { return name == "sudo" || name == "doas" }

// fetches reports whether a program downloads what it is told.
func fetches(name string) bool {
	return slices.Contains([]string{"curl", "wget", "wget2", "aria2c", "fetch", "axel"}, name)
}

// wrappers are programs that run another, each with those of its options that take a value, and how many operands come before.
var wrappers = map[string]struct {
	values   string
	operands int
}{
	"sudo": {"ugpCDhrRtTU", 0}, "doas": {"uC", 0}, "env": {"uCS", 0}, "exec": {"a", 0}, "command": {"", 0}, "builtin": {"", 0}, "nohup": {"", 0},
	"time": {"fo", 0}, "nice": {"n", 0}, "ionice": {"cnp", 0}, "setsid": {"", 0}, "stdbuf": {"ioe", 0}, "busybox": {"", 0}, "xargs": {"adEIiLlnPs", 0},
	"eatmydata": {"", 0}, "timeout": {"ks", 1}, "gosu": {"", 1}, "su-exec": {"", 1}, "chroot": {"", 1}, "fakeroot": {"", 0}, "catchsegv": {"", 0},
}

// unwrapped is the command that a command runs in the end.
func unwrapped(c call) call {
	for inner, ok := unwrap(c); ok; inner, ok = unwrap(c) {
		c = inner
	}
	return c
}

// unwrap is the command that a wrapper runs; it reports false of what is none.
func unwrap(c call) (call, bool) {
	w, ok := wrappers[c.name]
	if !ok {
		return c, false
	}
	i, operands := 0, w.operands
	for ; i < len(c.args); i++ {
		switch a := c.args[i]; {
		case strings.HasPrefix(a, "-"):
			if len(a) == 2 && strings.Contains(w.values, a[1:]) {
				i++
			}
		case strings.Contains(a, "=") && (c.name == "env" || c.name == "sudo"):
		case operands > 0:
			operands--
		default:
			c.name, c.args = program(a), c.args[i+1:]
			if len(c.fetched) > i {
				c.fetched = c.fetched[i+1:]
			}
			return c, true
		}
	}
	return c, false
}
