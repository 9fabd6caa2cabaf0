#!/bin/sh
# Puts what the tests and the demo need, and Go programs beside which we are measured, into .tools/bin of this
# repository. Installs nothing on the system, needs no root, and says nothing when there is nothing to do.
#
#   tools/tools.sh              # what the tests need
#   tools/tools.sh runc cosign  # these only
#   tools/tools.sh --list       # every name and its version
#
# Go programs come from the module proxy (checked against the checksum database); Debian packages come through
# apt-get download (checked against the archive's signature) and are only unpacked.
set -eu

# name|version|package: the one place where versions are pinned. A package without a slash is Debian's or
# Ubuntu's, at the version the running release has; one that begins with ./ is a module of this repository.
pinned='
runc|v1.5.2|github.com/opencontainers/runc
registry|v3.1.2|github.com/distribution/distribution/v3/cmd/registry
docker-registry|distro|docker-registry
sigstack|source|./test/sigstack
psscheck|source|./test/psscheck
shellcheck|distro|shellcheck
cosign|v2.6.5|github.com/sigstore/cosign/v2/cmd/cosign
gh|v2.83.0|github.com/cli/cli/v2
buildx|v0.38.2|github.com/docker/buildx/cmd/buildx
syft|v1.57.0|github.com/anchore/syft/cmd/syft
grype|v0.121.2|github.com/anchore/grype/cmd/grype
staticcheck|v0.8.2|honnef.co/go/tools/cmd/staticcheck
actionlint|v1.7.12|github.com/rhysd/actionlint/cmd/actionlint
govulncheck|v1.9.0|golang.org/x/vuln/cmd/govulncheck
'
default='runc registry docker-registry sigstack psscheck'

root=$(cd "$(dirname "$0")/.." && pwd)
dir=$root/.tools
tmp=

die() {
	echo "tools: $*" >&2
	exit 1
}

cleanup() { if [ -n "$tmp" ]; then rm -rf "$tmp"; fi; }
trap cleanup EXIT
trap 'exit 130' INT TERM

row() { printf '%s' "$pinned" | grep "^$1|"; }
field() { row "$1" | cut -d'|' -f"$2"; }

# unpack PACKAGE DIR: downloads a Debian package and unpacks it, with the machine's package lists or, when they
# are missing, with lists of our own under .tools.
unpack() {
	if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
		die "package $1 is needed: no apt-get here to download it, install it by your system's means"
	fi
	mkdir -p "$2"
	(
		cd "$2"
		if ! apt-get -qq download "$1" >apt.log 2>&1; then
			lists=$dir/apt
			mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
			set -- "$1" -o "Dir::State::lists=$lists/lists" -o "Dir::Cache=$lists/cache" -o APT::Sandbox::User=
			pkg=$1
			shift
			if ! apt-get -qq "$@" update >apt.log 2>&1 || ! apt-get -qq "$@" download "$pkg" >>apt.log 2>&1; then
				cat apt.log >&2
				die "package $pkg is needed: apt-get could not download it"
			fi
		fi
		for deb in ./*.deb; do dpkg -x "$deb" .; done
	)
}

# gotool NAME [flags]: builds a Go program at its pinned version, away from this module's own requirements.
gotool() {
	name=$1
	shift
	(cd "$tmp" && GOFLAGS=-buildvcs=false GOOS='' GOARCH='' GOWORK=off GOBIN=$tmp/bin go install "$@" "$(field "$name" 3)@$(field "$name" 2)") ||
		die "go could not build $name"
	place "$tmp/bin/$name"
}

# build_gh builds gh in its own module, from the module proxy's copy: its go.mod holds what its releases are made of.
build_gh() {
	src=$(cd "$tmp" && GOFLAGS='' GOWORK=off go mod download -json "$(field gh 3)@$(field gh 2)" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	(cd "$src" && GOFLAGS=-buildvcs=false GOOS='' GOARCH='' GOWORK=off CGO_ENABLED=0 go build -ldflags '-s -w' -o "$tmp/bin/gh" ./cmd/gh) ||
		die "go could not build gh"
	place "$tmp/bin/gh"
}

# build_own NAME: builds a program of this repository that is a module of its own. It is linked with C as tests are,
# so that what both need is compiled once.
build_own() {
	(cd "$root/$(field "$1" 3)" && GOFLAGS=-buildvcs=false GOOS='' GOARCH='' GOWORK=off go build -ldflags '-s -w' -o "$tmp/bin/$1" .) ||
		die "go could not build $1"
	place "$tmp/bin/$1"
}

# state NAME: what an installed tool is made of; it is made anew when that changes.
state() {
	row "$1"
	case $(field "$1" 3) in
	./*) (cd "$root/$(field "$1" 3)" && cat ./* | cksum) ;;
	esac
}

# place FILE: moves it into .tools/bin in one step, also from another filesystem while others use the old one.
place() {
	mv "$1" "$dir/bin/.${1##*/}.$$"
	mv "$dir/bin/.${1##*/}.$$" "$dir/bin/${1##*/}"
}

# runc is static and knows seccomp. libseccomp's header and static library come from the system or, unpacked under
# .tools, from its package. A stand-in for pkg-config, which need not be there, gives the same answer in both cases:
# go's cache keeps that answer, but knows CGO_CFLAGS and CGO_LDFLAGS.
build_runc() {
	command -v "${CC:-gcc}" >/dev/null || die "gcc is needed to build runc: install the packages gcc and libc6-dev"
	seccomp=
	if ! link_seccomp; then
		rm -rf "$dir/seccomp"
		unpack libseccomp-dev "$dir/seccomp"
		seccomp=$dir/seccomp/usr
		link_seccomp || die "a static program with libseccomp does not link: install the packages libseccomp-dev and libc6-dev"
	fi
	cat >"$tmp/pkg-config" <<-'END'
		#!/bin/sh
		case "$*" in
		*--libs*) echo -lseccomp ;;
		*) echo ;;
		esac
	END
	chmod +x "$tmp/pkg-config"
	PKG_CONFIG=$tmp/pkg-config CGO_ENABLED=1 \
		CGO_CFLAGS="-O2 -g ${seccomp:+\"-I$seccomp/include\"}" CGO_LDFLAGS="-O2 -g ${seccomp:+\"-L$(libdir)\"}" \
		gotool runc -tags 'seccomp netgo osusergo' -ldflags '-s -w -extldflags -static'
}

libdir() { printf %s "$seccomp/lib/$("${CC:-gcc}" -print-multiarch)"; }

link_seccomp() {
	printf '#include <seccomp.h>\nint main(void){return seccomp_api_get()>9;}\n' >"$tmp/probe.c"
	"${CC:-gcc}" -static ${seccomp:+"-I$seccomp/include"} -o "$tmp/probe" "$tmp/probe.c" \
		${seccomp:+"-L$(libdir)"} -lseccomp 2>/dev/null
}

install() {
	name=$1
	row "$name" >/dev/null || die "unknown tool \"$name\" (tools/tools.sh --list)"
	stamp=$dir/stamp/$name
	want=$(state "$name")
	if [ -x "$dir/bin/$name" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then return; fi
	command -v go >/dev/null || die "go is needed: https://go.dev/dl"
	echo "tools: $name $(field "$name" 2)" >&2
	mkdir -p "$dir/bin" "$dir/stamp"
	tmp=$(mktemp -d)
	chmod 755 "$tmp"
	case $(field "$name" 3) in
	./*) build_own "$name" ;;
	*/runc) build_runc ;;
	*/cli/v2) build_gh ;;
	*/*) CGO_ENABLED=0 gotool "$name" -ldflags '-s -w' ;;
	*)
		unpack "$(field "$name" 3)" "$tmp/deb"
		"$tmp/deb/usr/bin/$name" --version >/dev/null 2>"$tmp/err" || die "Debian's $name does not run here: $(cat "$tmp/err")"
		place "$tmp/deb/usr/bin/$name"
		;;
	esac
	printf '%s\n' "$want" >"$stamp"
	cleanup
	tmp=
}

if [ "${1-}" = --list ]; then
	printf '%s' "$pinned" | grep . | cut -d'|' -f1,2 | tr '|' ' '
	exit
fi
# shellcheck disable=SC2086 # the default is words
if [ $# -eq 0 ]; then set -- $default; fi
for name in "$@"; do install "$name"; done
