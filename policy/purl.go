package policy

import (
	"errors"
	"strings"

	"github.com/package-url/packageurl-go"
)

// maxPURL bounds a package URL, in bytes.
const maxPURL = 2 << 10

func parsePURL(s string) (packageurl.PackageURL, error) {
	if len(s) > maxPURL || strings.ContainsAny(s, " *\t\r\n") {
		return packageurl.PackageURL{}, errors.New("is not the package URL of one package")
	}
	return packageurl.FromString(s)
}

// matchesPURL reports whether a pattern is about a package. What the pattern does not say (version, qualifiers, subpath) may be
// anything. Packages of a distribution go by the name of their source package as well, which the qualifier upstream gives.
func matchesPURL(pattern, name string) bool {
	want, err := parsePURL(pattern)
	if err != nil {
		return false
	}
	got, err := parsePURL(name)
	if err != nil || want.Type != got.Type || want.Namespace != got.Namespace || want.Subpath != "" && want.Subpath != got.Subpath {
		return false
	}
	has := got.Qualifiers.Map()
	source, version, versioned := strings.Cut(has["upstream"], "@")
	if !versioned {
		version = got.Version
	}
	same := want.Name == got.Name && (want.Version == "" || want.Version == got.Version) ||
		want.Name == source && (want.Version == "" || want.Version == version)
	for key, v := range want.Qualifiers.Map() {
		same = same && has[key] == v
	}
	return same
}
