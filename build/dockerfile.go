package build

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/sealyard/sealyard/internal/hint"
)

// dockerfile is what can be read off a Dockerfile without building it.
type dockerfile struct {
	syntax string // image named by `# syntax=`
	stages []string
	refs   []sourceRef
	base   string // key of the image that the target stage starts from, through any stages between; "" is scratch or unknown
}

// sourceRef is one thing from outside that the Dockerfile names.
type sourceRef struct {
	key    string // see imageKey; for anything but an image its URL
	line   int
	pinned bool
}

// readDockerfile finds every source that data names, as it is evaluated for each platform of the plan. A Dockerfile that
// does not parse gives nothing: BuildKit will say why.
func readDockerfile(data []byte, plan Plan, targets []string) dockerfile {
	var d dockerfile
	for _, url := range append([]string{plan.Context}, slices.Collect(maps.Values(plan.BuildContexts))...) {
		if isURL(url) {
			d.addURL(url, 0, false)
		}
	}
	if syntax, _, loc, ok := parser.DetectSyntax(data); ok {
		d.syntax = syntax
		d.addImage(syntax, firstLine(loc))
	}
	if arg := plan.BuildArgs["BUILDKIT_SYNTAX"]; arg != "" {
		d.syntax = arg
		d.addImage(arg, 0)
	}
	f, err := parseDockerfile(data)
	if err != nil {
		return d
	}
	for _, s := range f.stages {
		d.stages = append(d.stages, s.Name)
	}
	var bases []string
	for _, p := range targetPlatforms(targets) {
		bases = append(bases, d.addStages(f.stages, plan.Target, f.evaluated(plan, p)))
	}
	if bases = slices.Compact(bases); len(bases) == 1 {
		d.base = bases[0]
	}
	return d
}

// evaluation expands words of a Dockerfile for one platform.
type evaluation struct {
	lex      *shell.Lex
	env      environment
	contexts map[string]string
}

type environment map[string]string

func (e environment) Get(key string) (string, bool) { v, ok := e[key]; return v, ok }

func (e environment) Keys() []string { return sortedKeys(e) }

func (e evaluation) word(s string) string {
	out, _, err := e.lex.ProcessWord(s, e.env)
	if err != nil {
		return s
	}
	return out
}

// image is the reference that name stands for, after named contexts; "" is not an image.
func (e evaluation) image(name string) string {
	if c, ok := e.contexts[strings.TrimSuffix(name, ":latest")]; ok {
		image, isImage := strings.CutPrefix(c, "docker-image://")
		if !isImage {
			return ""
		}
		return image
	}
	if name == "scratch" {
		return ""
	}
	return name
}

// define adds the arguments that FROM lines see: those of the platform, then the ARGs before the first FROM.
func (e evaluation) define(args []instructions.ArgCommand, given map[string]string, platform string) {
	build := platforms.Normalize(platforms.DefaultSpec())
	target, err := platforms.Parse(platform)
	if err != nil {
		target = build
	}
	for prefix, p := range map[string]platforms.Platform{"BUILD": build, "TARGET": target} {
		e.env[prefix+"PLATFORM"], e.env[prefix+"OS"], e.env[prefix+"ARCH"], e.env[prefix+"VARIANT"] = platforms.Format(p), p.OS, p.Architecture, p.Variant
	}
	for _, cmd := range args {
		for _, a := range cmd.Args {
			if value, ok := given[a.Key]; ok {
				e.env[a.Key] = value
			} else if a.Value != nil {
				e.env[a.Key] = e.word(*a.Value)
			}
		}
	}
}

// addStages records the sources of every stage and returns the key of the image under the target stage.
func (d *dockerfile) addStages(stages []instructions.Stage, target string, e evaluation) string {
	under := make([]string, len(stages)) // image under each stage
	for i, s := range stages {
		from := e.word(s.BaseName)
		if parent, ok := stageNamed(stages[:i], from); ok {
			under[i] = under[parent]
		} else if image := e.image(from); image != "" {
			under[i] = d.addImage(image, firstLine(s.Location))
		}
		for _, cmd := range s.Commands {
			d.addCommand(cmd, stages[:i], e)
		}
	}
	if i, ok := targetStage(stages, target); ok {
		return under[i]
	}
	return ""
}

func targetStage(stages []instructions.Stage, target string) (int, bool) {
	if target == "" {
		return len(stages) - 1, len(stages) > 0
	}
	if i, ok := stageNamed(stages, target); ok {
		return i, true
	}
	i, err := strconv.Atoi(target)
	return i, err == nil && i >= 0 && i < len(stages)
}

// addCommand records what COPY --from, RUN --mount=from and ADD of a URL name.
func (d *dockerfile) addCommand(cmd instructions.Command, before []instructions.Stage, e evaluation) {
	line := firstLine(cmd.Location())
	switch c := cmd.(type) {
	case *instructions.CopyCommand:
		d.addFrom(e.word(c.From), line, before, e)
	case *instructions.RunCommand:
		if c.Expand(func(w string) (string, error) { return e.word(w), nil }) == nil {
			for _, m := range instructions.GetMounts(c) {
				d.addFrom(m.From, line, before, e)
			}
		}
	case *instructions.AddCommand:
		for _, src := range c.SourcePaths {
			if src = e.word(src); isURL(src) {
				d.addURL(src, line, c.Checksum != "")
			}
		}
	}
}

func (d *dockerfile) addFrom(from string, line int, before []instructions.Stage, e evaluation) {
	if from == "" {
		return
	}
	if _, ok := stageNamed(before, from); ok {
		return
	}
	if _, err := strconv.Atoi(from); err == nil {
		return
	}
	if image := e.image(from); image != "" {
		d.addImage(image, line)
	}
}

// addImage records an image reference once per line and returns its key.
func (d *dockerfile) addImage(ref string, line int) string {
	key, pinned := imageKey(ref)
	if key == "" {
		return ""
	}
	r := sourceRef{key: key, line: line, pinned: pinned}
	if !slices.Contains(d.refs, r) {
		d.refs = append(d.refs, r)
	}
	return key
}

// addURL records a URL, which a whole commit in its fragment pins.
func (d *dockerfile) addURL(url string, line int, pinned bool) {
	key, commit := urlKey(url)
	d.refs = append(d.refs, sourceRef{key: key, line: line, pinned: pinned || commit})
}

// find returns the first reference with this key.
func (d *dockerfile) find(key string) sourceRef {
	for _, r := range d.refs {
		if r.key == key {
			return r
		}
	}
	return sourceRef{}
}

// lineOf returns the line of the first reference that is meant.
func (d *dockerfile) lineOf(meant func(key string) bool) int {
	if i := slices.IndexFunc(d.refs, func(r sourceRef) bool { return meant(r.key) }); i >= 0 {
		return d.refs[i].line
	}
	return 0
}

// imageKey is the full form of an image reference (registry, name, tag, digest if given) and whether it has a digest.
func imageKey(ref string) (string, bool) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", false
	}
	_, pinned := named.(reference.Canonical)
	return reference.TagNameOnly(named).String(), pinned
}

// urlKey drops the subdirectory from a git URL's fragment and says whether the rest of it names a whole commit.
func urlKey(url string) (string, bool) {
	base, fragment, _ := strings.Cut(url, "#")
	ref, _, _ := strings.Cut(fragment, ":")
	if ref == "" {
		return base, false
	}
	return base + "#" + ref, isCommit(ref)
}

func isURL(s string) bool { return strings.Contains(s, "://") || strings.HasPrefix(s, "git@") }

func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

func firstLine(loc []parser.Range) int {
	if len(loc) == 0 {
		return 0
	}
	return loc[0].Start.Line
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// checkTarget refuses a target that the Dockerfile does not have. A Dockerfile that could not be read, or that another
// frontend reads, has none to compare with.
func (d *dockerfile) checkTarget(target string) error {
	if target == "" || len(d.stages) == 0 || d.syntax != "" {
		return nil
	}
	if i, err := strconv.Atoi(target); err == nil && i >= 0 && i < len(d.stages) {
		return nil
	}
	var names []string
	for _, s := range d.stages {
		if strings.EqualFold(s, target) {
			return nil
		}
		if s != "" {
			names = append(names, s)
		}
	}
	err := fmt.Errorf("no stage %q in the Dockerfile", target)
	if near := hint.Nearest(target, names); near != "" {
		return hint.Misuse(err, "did you mean %s?", near)
	}
	if len(names) == 0 {
		return hint.Misuse(err, "name the stage: FROM image AS %s", target)
	}
	return hint.Misuse(err, "its stages are: %s", strings.Join(names, ", "))
}
