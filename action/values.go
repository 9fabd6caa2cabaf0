package action

import (
	"fmt"
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
		return 0, hint.Misuse(fmt.Errorf("input %s: %q: %w", name, v.one(name), err), "write a length of time such as 30m or 120h")
	}
	return d, nil
}

// number reads a count of at least one.
func (v values) number(name string) (int, error) {
	n, err := strconv.Atoi(v.one(name))
	if err != nil || n < 1 {
		return 0, hint.Misuse(fmt.Errorf("input %s: %q is not a number from 1", name, v.one(name)), "write a number such as 2")
	}
	return n, nil
}

// set stores the value of one input after checking it.
func (v values) set(in input, raw ...string) error {
	var out []string
	for _, s := range raw {
		if err := in.check(s); err != nil {
			return hint.Misuse(err, "%s: %s", in.name, in.help)
		}
		if in.kind == list || in.kind == csv {
			out = append(out, in.split(s)...)
			continue
		}
		if in.kind == boolean {
			b, err := strconv.ParseBool(s)
			if err != nil {
				return hint.Misuse(fmt.Errorf("input %s: %q is neither true nor false", in.name, s), "write true or false")
			}
			s = strconv.FormatBool(b)
		}
		out = append(out, s)
	}
	v[in.name] = out
	return nil
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
		switch in.kind {
		case boolean:
			fs.BoolP(in.name, in.short, in.value == "true", in.help)
		case list, csv:
			fs.StringArrayP(in.name, in.short, nil, in.help)
		default:
			fs.StringP(in.name, in.short, in.value, in.help)
		}
	}
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if to, ok := alias[name]; ok {
			name = to
		}
		return pflag.NormalizedName(name)
	})
}

// fromFlags collects what was set on the command line over the defaults.
func fromFlags(cmd *cobra.Command, command string) (values, error) {
	v := defaults(command)
	var firstErr error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		in, ok := find(f.Name)
		if !ok || firstErr != nil {
			return
		}
		if in.instead != "" {
			firstErr = refuse(in)
			return
		}
		raw := []string{f.Value.String()}
		if s, ok := f.Value.(pflag.SliceValue); ok {
			raw = s.GetSlice()
		}
		firstErr = v.set(in, raw...)
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
			return nil, refuse(in)
		case !in.takes(command):
			return nil, hint.Misuse(fmt.Errorf("input %q has no meaning for %s", in.name, command), "leave it out; it is for the commands: %s", in.on)
		}
		if err := v.set(in, raw); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func refuse(in input) error {
	return hint.Misuse(fmt.Errorf("input %q is not supported", in.name), "%s", in.instead)
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
