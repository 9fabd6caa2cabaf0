package build

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// parsedFile is a Dockerfile as BuildKit's own parser reads it.
type parsedFile struct {
	stages []instructions.Stage
	args   []instructions.ArgCommand // before the first FROM
	escape rune                      // what continues a line
}

func parseDockerfile(data []byte) (parsedFile, error) {
	parsed, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return parsedFile{}, err
	}
	f := parsedFile{escape: parsed.EscapeToken}
	f.stages, f.args, err = instructions.Parse(parsed.AST, nil)
	return f, err
}

// evaluated expands the words of the file for one platform.
func (f parsedFile) evaluated(plan Plan, platform string) evaluation {
	e := evaluation{lex: shell.NewLex(f.escape), env: environment{}, contexts: plan.BuildContexts}
	e.define(f.args, plan.BuildArgs, platform)
	return e
}

// targetPlatforms are the platforms that are built: the engine's own when none is named.
func targetPlatforms(named []string) []string {
	if len(named) > 0 {
		return named
	}
	return []string{platforms.Format(platforms.Normalize(platforms.DefaultSpec()))}
}

// trace adds the stages that the target needs on a platform to needed, and those among them that the image starts from to image.
func (f parsedFile) trace(plan Plan, platform string, needed, image map[int]bool) {
	last, ok := targetStage(f.stages, plan.Target)
	if !ok {
		return
	}
	e, seen := f.evaluated(plan, platform), map[int]bool{}
	parent := func(i int) (int, bool) { return stageNamed(f.stages[:i], e.word(f.stages[i].BaseName)) }
	for i, ok := last, true; ok; i, ok = parent(i) {
		image[i] = true
	}
	for open := []int{last}; len(open) > 0; {
		i := open[0]
		open = open[1:]
		if seen[i] {
			continue
		}
		seen[i], needed[i] = true, true
		if from, ok := parent(i); ok {
			open = append(open, from)
		}
		open = append(open, f.copiedFrom(i, e)...)
	}
}

// copiedFrom are the stages that COPY --from and RUN --mount=from of a stage name. Of several with one name all are meant.
func (f parsedFile) copiedFrom(stage int, e evaluation) []int {
	var out []int
	named := func(from string) {
		for i, s := range f.stages {
			if from != "" && (strings.EqualFold(s.Name, from) || strconv.Itoa(i) == from) {
				out = append(out, i)
			}
		}
	}
	for _, cmd := range f.stages[stage].Commands {
		switch c := cmd.(type) {
		case *instructions.CopyCommand:
			named(e.word(c.From))
		case *instructions.RunCommand:
			if c.Expand(func(w string) (string, error) { return e.word(w), nil }) != nil {
				continue
			}
			for _, m := range instructions.GetMounts(c) {
				named(m.From)
			}
		}
	}
	return out
}

// stageNamed finds the stage that a name stands for after these stages: the last one of that name.
func stageNamed(stages []instructions.Stage, name string) (int, bool) {
	for i, s := range slices.Backward(stages) {
		if name != "" && strings.EqualFold(s.Name, name) {
			return i, true
		}
	}
	return 0, false
}
