package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// maxLevels bounds what one bundle says an image reaches.
const maxLevels = 50

var (
	buildLevel = regexp.MustCompile(`^SLSA_BUILD_LEVEL_[0-3]$`)
	ownLevel   = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
)

// levels reads the set levels: what an allowed image was found to reach, in the words of a verification summary. SLSA's names
// are its own: a policy that judges provenance can say a build level, and nobody but a source platform a source level (R28, R31).
func levels(v any) ([]string, error) {
	list, err := listOf(ruleLevels, v)
	if err != nil {
		return nil, err
	}
	if len(list) > maxLevels {
		return nil, fmt.Errorf("levels has %d members, at most %d are an answer", len(list), maxLevels)
	}
	out, tracks := []string{}, map[string]bool{}
	for _, item := range list {
		name, ok := item.(string)
		switch {
		case !ok:
			return nil, fmt.Errorf("levels has a member that is %s, want a string", kindOf(item))
		case !buildLevel.MatchString(name) && (!ownLevel.MatchString(name) || strings.HasPrefix(name, "SLSA_") || name == "FAILED"):
			return nil, fmt.Errorf("levels has %q, want SLSA_BUILD_LEVEL_0 to 3 or a name of your own in capitals that does not begin with SLSA_", clip(name))
		case tracks[track(name)]:
			return nil, errors.New("levels names two levels of one track")
		}
		tracks[track(name)] = true
		out = append(out, name)
	}
	return out, nil
}

// track is what a level is of; at most one level of it can hold. Any other name is a property and a track of its own.
func track(level string) string {
	name, _, ok := strings.Cut(level, "_LEVEL_")
	if !ok {
		return level
	}
	return name + "_LEVEL_"
}

// lower adds the levels of one more bundle: where two name the same track, the lower one holds.
func lower(all, more []string) []string {
	byTrack := map[string]string{}
	for _, level := range slices.Concat(all, more) {
		if old, ok := byTrack[track(level)]; !ok || level < old {
			byTrack[track(level)] = level
		}
	}
	return slices.Sorted(maps.Values(byTrack))
}
