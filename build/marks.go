package build

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/sealyard/sealyard/internal/secretlike"
)

// Checks are the kinds of a Mark. docs/buildtypes/container-v1.md says what each means.
const (
	CheckUnread     = "unread"      // what is here was not understood, so no other check is about it
	CheckUser       = "user"        // the last USER of the image
	CheckAdd        = "add"         // ADD of files that COPY would copy
	CheckCopyRoot   = "copy-root"   // the whole context is copied over /
	CheckSecret     = "secret"      // a value in ENV, ARG or LABEL that has the form of a secret
	CheckSecretName = "secret-name" // ENV, or ARG with a default, of a name that promises a secret
	CheckUpdate     = "update"      // package lists are fetched in a RUN that installs nothing
	CheckVersions   = "versions"    // a package is installed in whatever version there is
	CheckPipeShell  = "pipe-shell"  // what is downloaded is run by a shell at once
	CheckPlainHTTP  = "plain-http"  // a download without TLS
	CheckUnverified = "unverified"  // checks of certificates or signatures are switched off
	CheckSudo       = "sudo"        // a program that changes the user
	CheckWritable   = "writable"    // files that everybody can write to
	CheckSetuid     = "setuid"      // files that run as their owner
	CheckSSHServer  = "ssh-server"  // an SSH server
	CheckPrivileged = "privileged"  // RUN outside of the sandbox or on the network of the host
)

const (
	maxMarks   = 500 // of one Dockerfile; more is as good as unread
	maxSubject = 100 // bytes
)

// Reading is what was seen in a Dockerfile that policies may judge.
type Reading struct {
	Digest string // of the Dockerfile, sha256:<hex>
	Unread string // why it could not be read; "" is read
	Marks  []Mark // in the order of lines
}

// Mark is one thing seen in the Dockerfile, in a stage that the image needs. It never holds a value that may be a secret.
type Mark struct {
	Check   string // one of the Check constants
	Line    int    // of the Dockerfile, from 1
	Subject string // what it is about: a program, package, variable, user or path
}

// marker collects the marks of one Dockerfile.
type marker struct {
	source lines
	marks  []Mark
	seen   map[Mark]bool
	shells []string // of each stage: the program that runs the shell form
	at     int      // line that everything counts to; 0 is each its own
}

func (m *marker) add(check string, line int, subject string) {
	mark := Mark{check, cmp.Or(m.at, line), clipped(subject)}
	if !m.seen[mark] && len(m.marks) <= maxMarks {
		m.seen[mark], m.marks = true, append(m.marks, mark)
	}
}

// clipped keeps a word of the Dockerfile short, on one line and no secret.
func clipped(s string) string {
	if secretlike.Value(s) {
		return ""
	}
	if len(s) > maxSubject {
		s = s[:maxSubject]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// readMarks looks at every stage that the target needs on one of the platforms.
func readMarks(data []byte, plan Plan, platforms []string) Reading {
	sum := sha256.Sum256(data)
	r := Reading{Digest: "sha256:" + hex.EncodeToString(sum[:]), Marks: []Mark{}}
	d := readDockerfile(data, plan, platforms)
	if name, _ := imageKey(d.syntax); d.syntax != "" && !strings.HasPrefix(name, "docker.io/docker/dockerfile:") {
		r.Unread = fmt.Sprintf("the frontend %q reads it in its own way", clipped(redactURL(d.syntax)))
		return r
	}
	f, err := parseDockerfile(data)
	if err != nil {
		r.Unread = "it does not parse"
		return r
	}
	m := &marker{source: splitLines(data, f.escape), seen: map[Mark]bool{}}
	image := map[int]bool{} // stages that the image is made of, others only gave it files
	needed := map[int]bool{}
	for _, p := range targetPlatforms(platforms) {
		f.trace(plan, p, needed, image)
	}
	m.readStages(f, needed, image, windows(platforms))
	if len(m.marks) > maxMarks {
		r.Unread = fmt.Sprintf("there is more than %d things to say of it", maxMarks)
		return r
	}
	r.Marks = append(r.Marks, m.marks...)
	slices.SortStableFunc(r.Marks, func(a, b Mark) int { return cmp.Or(a.Line-b.Line, strings.Compare(a.Check, b.Check)) })
	return r
}

func windows(platforms []string) bool {
	return slices.ContainsFunc(platforms, func(p string) bool { return strings.HasPrefix(p, "windows/") })
}

// readStages looks at the stages in needed, and at how the image of the stages in image starts.
func (m *marker) readStages(f parsedFile, needed, image map[int]bool, windows bool) {
	m.shells = make([]string, len(f.stages))
	var user *Mark
	for i, s := range f.stages {
		m.shells[i] = "sh"
		if parent, ok := stageNamed(f.stages[:i], s.BaseName); ok {
			m.shells[i] = m.shells[parent]
		} else if windows {
			m.shells[i] = "cmd"
		}
		for _, cmd := range s.Commands {
			if needed[i] {
				m.instruction(cmd, i)
			}
			if c, ok := cmd.(*instructions.UserCommand); ok && image[i] {
				user = &Mark{CheckUser, firstLine(c.Location()), c.User}
			}
		}
	}
	if user != nil {
		m.add(user.Check, user.Line, user.Subject)
	}
}

// instruction looks at one instruction of a stage that is run.
func (m *marker) instruction(cmd instructions.Command, stage int) {
	line := firstLine(cmd.Location())
	switch c := cmd.(type) {
	case *instructions.ShellCommand:
		m.shells[stage] = program(strings.Join(c.Shell[:min(1, len(c.Shell))], ""))
	case *instructions.RunCommand:
		m.run(c, m.shells[stage])
	case *instructions.AddCommand:
		m.addCopied(c.SourcesAndDest, c.Chmod, line)
		for _, src := range c.SourcePaths {
			if !isURL(src) && !strings.Contains(src, "$") && !archive(src) {
				m.add(CheckAdd, line, src)
			}
		}
	case *instructions.CopyCommand:
		if c.From == "" {
			m.addCopied(c.SourcesAndDest, c.Chmod, line)
		} else {
			m.mode(c.Chmod, line)
		}
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			m.setting(kv.Key, kv.Value, line)
		}
	case *instructions.ArgCommand:
		for _, kv := range c.Args {
			if kv.Value != nil {
				m.setting(kv.Key, *kv.Value, line)
			}
		}
	case *instructions.LabelCommand:
		for _, kv := range c.Labels {
			if secretlike.Value(kv.Value) {
				m.add(CheckSecret, line, kv.Key)
			}
		}
	case *instructions.ExposeCommand:
		for _, port := range c.Ports {
			if port == "22" || port == "22/tcp" {
				m.add(CheckSSHServer, line, "port 22")
			}
		}
	case *instructions.OnbuildCommand:
		m.onbuild(c.Expression, line, stage)
	}
}

// onbuild looks at an instruction that is kept for those who build on the stage.
func (m *marker) onbuild(expression string, line, stage int) {
	parsed, err := parser.Parse(strings.NewReader(expression))
	if err != nil || len(parsed.AST.Children) != 1 {
		m.add(CheckUnread, line, "ONBUILD")
		return
	}
	cmd, err := instructions.ParseCommand(parsed.AST.Children[0])
	if err != nil {
		m.add(CheckUnread, line, "ONBUILD")
		return
	}
	m.at = line
	m.instruction(cmd, stage)
	m.at = 0
}

// setting looks at the value of ENV or ARG. The name alone is kept.
func (m *marker) setting(name, value string, line int) {
	switch {
	case secretlike.Value(value):
		m.add(CheckSecret, line, name)
	case value != "" && secretlike.Name(name):
		m.add(CheckSecretName, line, name)
	}
	if unverifiedSetting(name, value) {
		m.add(CheckUnverified, line, name)
	}
}

// addCopied looks at what is copied out of the context, and to where.
func (m *marker) addCopied(s instructions.SourcesAndDest, chmod string, line int) {
	whole := slices.ContainsFunc(s.SourcePaths, func(p string) bool { return p == "." || p == "./" || p == "/" })
	if whole && s.DestPath == "/" {
		m.add(CheckCopyRoot, line, "")
	}
	m.mode(chmod, line)
}

// mode looks at the permissions that files get: octal, or as chmod has them.
func (m *marker) mode(mode string, line int) {
	writable, setuid := permissions(mode)
	if writable {
		m.add(CheckWritable, line, mode)
	}
	if setuid {
		m.add(CheckSetuid, line, mode)
	}
}

// permissions reports whether a mode lets everybody write, and whether it makes programs run as their owner or group.
func permissions(mode string) (writable, setuid bool) {
	if n, err := strconv.ParseUint(mode, 8, 16); err == nil {
		return n&0o002 != 0 && n&0o1000 == 0, n&0o6000 != 0 // with the sticky bit it is a directory such as /tmp
	}
	for part := range strings.SplitSeq(mode, ",") {
		i := strings.IndexAny(part, "+=")
		if i < 0 || strings.Trim(part[:i], "ugoa") != "" {
			continue
		}
		who, what := part[:i], part[i+1:]
		writable = writable || strings.Contains(what, "w") && strings.ContainsAny(who, "oa")
		setuid = setuid || strings.Contains(what, "s") && (who == "" || strings.ContainsAny(who, "uga"))
	}
	return writable, setuid
}

func archive(name string) bool {
	for _, end := range []string{".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"} {
		if strings.HasSuffix(strings.ToLower(name), end) {
			return true
		}
	}
	return false
}
