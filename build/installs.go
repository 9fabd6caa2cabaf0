package build

import (
	"regexp"
	"slices"
	"strings"
)

// An installer is a package manager: the words by which it installs, and its options that take a value.
type installer struct {
	words  []string
	values string
	long   []string
}

var installers = map[string]installer{
	"apt":    {[]string{"install"}, "toc", []string{"--target-release", "--option", "--config-file"}},
	"apk":    {[]string{"add"}, "tXp", []string{"--virtual", "--repository", "--root", "--arch", "--cache-dir"}},
	"yum":    {[]string{"install", "groupinstall"}, "cxd", []string{"--enablerepo", "--disablerepo", "--exclude", "--installroot", "--releasever", "--setopt"}},
	"zypper": {[]string{"install", "in"}, "tr", []string{"--repo", "--type"}},
	"pip":    {[]string{"install"}, "rceitf", []string{"--requirement", "--constraint", "--editable", "--index-url", "--extra-index-url", "--find-links", "--target", "--prefix", "--trusted-host", "--root"}},
	"npm":    {[]string{"install", "i", "add"}, "w", []string{"--prefix", "--registry", "--workspace"}},
	"gem":    {[]string{"install"}, "vnis", []string{"--version", "--install-dir", "--source", "--bindir"}},
}

// manager is the kind of package manager that a command calls, with its arguments; "" is none.
func manager(c call) (string, call) {
	switch name := strings.TrimRight(c.name, "0123456789."); name {
	case "apt", "apt-get", "aptitude":
		return "apt", c
	case "dnf", "microdnf", "tdnf", "yum":
		return "yum", c
	case "npm", "pnpm":
		return "npm", c
	case "apk", "zypper", "pip", "gem":
		return name, c
	case "python", "uv":
		if i := slices.Index(c.args, "pip"); i >= 0 {
			c.args = c.args[i+1:]
			return "pip", c
		}
	}
	return "", c
}

// installed are the packages that a command installs by name, and the kind of its package manager; nil is of no such command.
func installed(c call) (string, []string) {
	kind, c := manager(c)
	if kind == "" {
		return "", nil
	}
	of := installers[kind]
	operands := c.operands(of.values, of.long...)
	if len(operands) == 0 || !slices.Contains(of.words, operands[0]) {
		return "", nil
	}
	if kind == "gem" && (c.has("--version") || c.short('v', "")) {
		return kind, []string{}
	}
	return kind, append([]string{}, operands[1:]...)
}

// installs reports whether a command installs or upgrades packages, for which it needs package lists.
func installs(c call) bool {
	if _, names := installed(c); names != nil {
		return true
	}
	kind, _ := manager(c)
	words := c.operands("toc")
	return kind == "apt" && len(words) > 0 && slices.Contains([]string{"upgrade", "dist-upgrade", "full-upgrade", "build-dep", "download", "source", "satisfy"}, words[0])
}

// fetchesLists reports whether a command fetches package lists, which stay as old as the layer that holds them.
func fetchesLists(c call) bool {
	words := c.operands("toc")
	return slices.Contains([]string{"apt", "apt-get", "aptitude"}, c.name) && len(words) > 0 && words[0] == "update"
}

var withVersion = regexp.MustCompile(`-[0-9]`)

// versioned reports whether a package is named with its version, or is a file, or is what a variable holds.
func versioned(manager, name string) bool {
	if strings.Contains(name, "$") || strings.Contains(name, "/") && !strings.HasPrefix(name, "@") || strings.HasPrefix(name, ".") {
		return true
	}
	switch manager {
	case "apt":
		return strings.Contains(name, "=")
	case "apk":
		return strings.ContainsAny(name, "=~<")
	case "yum", "zypper":
		return withVersion.MatchString(name) || strings.Contains(name, "=")
	case "pip":
		return strings.Contains(name, "==") || strings.Contains(name, "@") || strings.HasSuffix(name, ".whl")
	case "npm":
		return strings.LastIndex(name, "@") > 0
	}
	return strings.Contains(name, ":")
}
