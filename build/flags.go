package build

import (
	"cmp"
	"slices"
	"strings"
)

// operands are the arguments that are no options. values are the short options that take the next argument as theirs.
func (c call) operands(values string, long ...string) []string {
	var out []string
	for i := 0; i < len(c.args); i++ {
		switch a := c.args[i]; {
		case !strings.HasPrefix(a, "-") || a == "-":
			out = append(out, a)
		case len(a) == 2 && strings.Contains(values, a[1:]), slices.Contains(long, a):
			i++
		}
	}
	return out
}

// has reports whether one of the options is given, in full or with = and a value.
func (c call) has(options ...string) bool {
	return slices.ContainsFunc(c.args, func(a string) bool {
		name, _, _ := strings.Cut(a, "=")
		return slices.Contains(options, name)
	})
}

// short reports whether a one-letter option is given, also together with others: -fsSLk. After one of values its value begins.
func (c call) short(letter byte, values string) bool {
	for _, a := range c.args {
		if len(a) < 2 || a[0] != '-' || a[1] == '-' {
			continue
		}
		for i := 1; i < len(a); i++ {
			if a[i] == letter {
				return true
			}
			if strings.IndexByte(values, a[i]) >= 0 {
				break
			}
		}
	}
	return false
}

// inline is the argument that a shell, su or eval takes as a script, or -1.
func (c call) inline() int {
	switch {
	case c.name == "eval" && len(c.args) > 0:
		return 0
	case isShell(c.name) || c.name == "su":
		for i, a := range c.args[:max(0, len(c.args)-1)] {
			if len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.HasSuffix(a, "c") {
				return i + 1
			}
		}
	}
	return -1
}

// readsScript reports whether a shell takes its script from standard input.
func (c call) readsScript() bool {
	if !isShell(c.name) || c.inline() >= 0 {
		return false
	}
	for i := 0; i < len(c.args); i++ {
		switch a := c.args[i]; {
		case a == "-" || a == "/dev/stdin" || a == "-s" || strings.HasPrefix(a, "-") && a[1] != '-' && strings.Contains(a, "s"):
			return true
		case a == "-o" || a == "+o" || a == "-O":
			i++
		case !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+"):
			return false
		}
	}
	return true
}

// runsDownload reports whether a download is run as it comes in: curl | sh, sh -c "$(curl)", bash <(curl), eval "$(curl)", also by the
// interpreter of another language.
func (c call) runsDownload() bool {
	if c.piped && (c.readsScript() || c.interprets()) {
		return true
	}
	if c.name == "eval" {
		return slices.Contains(c.fetched, true)
	}
	if !isShell(c.name) && c.name != "source" && c.name != "." {
		return false
	}
	i := c.inline()
	if i < 0 {
		i = slices.IndexFunc(c.args, func(a string) bool { return !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+") })
	}
	return i >= 0 && i < len(c.fetched) && c.fetched[i]
}

// interprets reports whether an interpreter takes its program from standard input.
func (c call) interprets() bool {
	name := strings.TrimRight(c.name, "0123456789.")
	if !slices.Contains([]string{"python", "perl", "ruby", "node", "php"}, name) {
		return false
	}
	return len(c.args) == 0 || c.args[0] == "-"
}

// unverified is the option by which a command does not check certificates or signatures, or "".
func (c call) unverified() string {
	given := func(options ...string) string {
		for _, o := range options {
			if c.has(o) {
				return o
			}
		}
		return ""
	}
	switch c.name {
	case "curl":
		if c.short('k', "AbcCdDeEFhHKmoPQrtTuUwxXyYz") {
			return "-k"
		}
		return given("--insecure", "--proxy-insecure")
	case "wget", "wget2", "aria2c":
		return cmp.Or(given("--no-check-certificate"), c.setting("check-certificate"))
	case "apt", "apt-get", "aptitude":
		return cmp.Or(given("--allow-unauthenticated", "--allow-insecure-repositories", "--force-yes"),
			c.setting("AllowUnauthenticated", "AllowInsecureRepositories", "Verify-Peer"))
	case "apk":
		return given("--allow-untrusted")
	case "yum", "dnf", "microdnf", "tdnf", "zypper", "rpm":
		return given("--nogpgcheck", "--no-gpg-checks", "--nosignature", "--nodigest")
	case "pip", "pip3", "python", "python3", "uv":
		return given("--trusted-host", "--allow-insecure-host")
	case "npm", "yarn", "pnpm":
		return c.setting("strict-ssl")
	case "git":
		return c.setting("http.sslVerify")
	case "ssh", "scp":
		return c.setting("StrictHostKeyChecking")
	case "echo", "printf":
		if strings.Contains(strings.Join(c.args, " "), "trusted=yes") { // a line of apt's sources
			return "trusted=yes"
		}
	}
	return ""
}

// setting is the first of the names that a command is told to set to what switches it off, or for Allow names on.
func (c call) setting(names ...string) string {
	all := strings.ToLower(strings.ReplaceAll(strings.Join(c.args, " "), "=", " "))
	for _, name := range names {
		_, value, ok := strings.Cut(all, strings.ToLower(name)+" ")
		word, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		word = strings.Trim(word, `"'`)
		if ok && off(word) != strings.HasPrefix(name, "Allow") {
			return name
		}
	}
	return ""
}

func off(value string) bool {
	return slices.Contains([]string{"0", "false", "no", "off", "none"}, strings.ToLower(value))
}

// unverifiedSetting reports whether a variable of this name and value makes programs not check certificates.
func unverifiedSetting(name, value string) bool {
	switch strings.ToUpper(name) {
	case "NODE_TLS_REJECT_UNAUTHORIZED", "PYTHONHTTPSVERIFY", "NPM_CONFIG_STRICT_SSL":
		return off(value)
	case "GIT_SSL_NO_VERIFY":
		return value != "" && !off(value)
	case "PIP_TRUSTED_HOST":
		return value != ""
	}
	return false
}
