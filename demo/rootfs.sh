#!/bin/sh
# Packs a small root file system out of this machine's shell and coreutils, with the package database entries that
# belong to them: rootfs.sh OUTPUT.tar
set -eu
out=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

# copy FILE: the file, at its own path, and the libraries it is linked with.
copy() {
	mkdir -p "$root$(dirname "$1")"
	cp -L "$1" "$root$1"
	for lib in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
		if [ ! -e "$root$lib" ]; then
			mkdir -p "$root$(dirname "$lib")"
			cp -L "$lib" "$root$lib"
		fi
	done
}

for tool in sh cat ls id; do copy "/bin/$tool"; done
mkdir -p "$root/etc" "$root/tmp" "$root/var/lib/dpkg"
cp /etc/os-release "$root/etc/os-release"
printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
if command -v dpkg-query >/dev/null; then
	for package in dash coreutils libc6; do
		dpkg-query -s "$package" && echo
	done >"$root/var/lib/dpkg/status"
fi
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$root" -cf "$out" .
