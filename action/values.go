package action

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealyard/sealyard/internal/hint"
)

// values are the inputs of one run, checked, by name.
type values map[string][]string

func (v values) one(name string) string {
	if len(v[name]) == 0 {
		return ""
	}
	return v[name][0]
}

func (v values) all(name string) []string { return v[name] }

func (v values) on(name string) bool { return v.one(name) == "true" }

// duration reads a length of time such as 90m or 120h.
func (v values) duration(name string) (time.Duration, error) {
	d, err := time.ParseDuration(v.one(name))
	if err == nil && d <= 0 {
		err = fmt.Errorf("must be more than zero")
	}
	if err != nil {
		return 0, hint.Misuse(fmt.Errorf("--%s: %q: %w", name, v.one(name), err), "write a length of time such as 30m or 120h")
	}
	return d, nil
}

// number reads a count of at least one.
func (v values) number(name string) (int, error) {
	n, err := strconv.Atoi(v.one(name))
	if err != nil || n < 1 {
		return 0, hint.Misuse(fmt.Errorf("--%s: %q is not a number from 1", name, v.one(name)), "write a number such as 2")
	}
	return n, nil
}

// set stores the value of one input after checking it. Its errors do not name the input: that is for whoever knows how it was given.
func (v values) set(in input, raw ...string) error {
	var out []string
	for _, s := range raw {
		if err := in.check(s); err != nil {
			return hint.Misuse(err, "%s", in.help)
		}
		if in.kind == list || in.kind == csv {
			out = append(out, in.split(s)...)
			continue
		}
		if in.kind == boolean {
			b, err := strconv.ParseBool(s)
			if err != nil {
				return hint.Misuse(fmt.Errorf("%q is neither true nor false", s), "write true or false")
			}
			s = strconv.FormatBool(b)
		}
		out = append(out, s)
	}
	v[in.name] = out
	return nil
}

// flagOf is an input as most people give it on the command line: by the shorter of its names.
func flagOf(name string) string {
	in, _ := find(name)
	return "--" + cmp.Or(in.alias, name)
}

// find returns the row of the table with that name.
func find(name string) (input, bool) {
	for _, in := range inputs() {
		if in.name == name {
			return in, true
		}
	}
	return input{}, false
}

// defaults returns the values of a run in which nothing was set.
func defaults(command string) values {
	v := values{}
	for _, in := range inputs() {
		if in.takes(command) && in.value != "" {
			v[in.name] = []string{in.value}
		}
	}
	return v
}

// typed is the annotation of a flag that says by which other name it was given.
const typed = "typed"

// addFlags declares the inputs of a command as its flags.
func addFlags(cmd *cobra.Command, command string) {
	fs := cmd.Flags()
	alias := map[string]string{}
	for _, in := range inputs() {
		if in.instead != "" && strings.Contains(in.on, command) {
			fs.String(in.name, "", "refused: "+in.instead)
			fs.Lookup(in.name).Hidden = true
			if in.kind == boolean {
				fs.Lookup(in.name).NoOptDefVal = "true" // as people type it
			}
			if in.alias != "" {
				alias[in.alias] = in.name
			}
			continue
		}
		if !in.takes(command) {
			continue
		}
		if in.alias != "" {
			alias[in.alias] = in.name
		}
		help := in.help
		if in.alias != "" {
			help += " (or --" + in.alias + ")"
		}
		switch in.kind {
		case boolean:
			fs.BoolP(in.name, in.short, in.value == "true", help)
		case list, csv:
			fs.StringArrayP(in.name, in.short, nil, help)
		default:
			fs.StringP(in.name, in.short, in.value, help)
		}
	}
	fs.SetNormalizeFunc(func(fs *pflag.FlagSet, name string) pflag.NormalizedName {
		to, ok := alias[name]
		if !ok {
			return pflag.NormalizedName(name)
		}
		fs.Lookup(to).Annotations = map[string][]string{typed: {name}}
		return pflag.NormalizedName(to)
	})
}

// fromFlags collects what was set on the command line over the defaults.
func fromFlags(cmd *cobra.Command, command string) (values, error) {
	v := defaults(command)
	var firstErr error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		in, ok := find(f.Name)
		if !ok || firstErr != nil || !slices.Contains(strings.Fields(in.on), command) {
			return // a flag of the command's own may be called like an input of others
		}
		flag := "--" + cmp.Or(strings.Join(f.Annotations[typed], ""), f.Name)
		if in.instead != "" {
			firstErr = refuse(flag, in)
			return
		}
		raw := []string{f.Value.String()}
		if s, ok := f.Value.(pflag.SliceValue); ok {
			raw = s.GetSlice()
		}
		if err := v.set(in, raw...); err != nil {
			firstErr = fmt.Errorf("%s: %w", flag, err)
		}
	})
	return v, firstErr
}

// fromRunner collects the INPUT_ variables that a workflow runner sets. A variable that is no input of ours is refused, so
// that a typo is never silently ignored.
func fromRunner(environ []string, command string) (values, error) {
	v := defaults(command)
	for _, kv := range environ {
		key, raw, _ := strings.Cut(kv, "=")
		name, ok := strings.CutPrefix(key, "INPUT_")
		if !ok || raw == "" {
			continue
		}
		in, known := find(strings.ToLower(name))
		switch {
		case !known:
			return nil, hint.Misuse(fmt.Errorf("unknown input %q", strings.ToLower(name)), "%s", nearest(strings.ToLower(name)))
		case in.instead != "":
			return nil, refuse("input "+in.name, in)
		case !in.takes(command):
			return nil, hint.Misuse(fmt.Errorf("input %q has no meaning for %s", in.name, command), "leave it out; it is for the commands: %s", in.on)
		}
		if err := v.set(in, raw); err != nil {
			return nil, fmt.Errorf("input %s: %w", in.name, err)
		}
	}
	return v, nil
}

func refuse(given string, in input) error {
	return hint.Misuse(fmt.Errorf("%s is not supported", given), "%s", in.instead)
}

// asInputs returns the error of a step of a workflow, which has inputs, not flags: errors and hints are written for the command line. An
// error about a flag begins with it; what others say of flags, such as those in a Dockerfile, stays.
func asInputs(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if strings.HasPrefix(text, "--") {
		text = inputNames(text, "input ")
	}
	return hint.Wrap(reworded{err, text}, "%s", inputNames(hint.Of(err), ""))
}

var flagNames = regexp.MustCompile("[`\"][^`\"]*[`\"]|--[a-z][a-z-]*")

// inputNames writes a text that names flags, such as --tag, as it is for inputs: a word and the name. What is quoted stays.
func inputNames(text, word string) string {
	return flagNames.ReplaceAllStringFunc(text, func(flag string) string {
		for _, in := range inputs() {
			if name := strings.TrimPrefix(flag, "--"); in.takes("build") && (name == in.name || name == in.alias) {
				return word + in.name
			}
		}
		return flag
	})
}

// nearest names the input whose name is most like the one given.
func nearest(name string) string {
	var known []string
	for _, in := range inputs() {
		if in.instead == "" {
			known = append(known, in.name)
		}
	}
	if best := hint.Nearest(name, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "the inputs are listed in action.yml"
}
