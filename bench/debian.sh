#!/bin/sh
# Packs a Debian root file system out of the packages that this machine's apt knows, with their entries in the package
# database: debian.sh OUTPUT.tar. Unpacks only: nothing is installed or run, and no root is needed.
set -eu
out=$(realpath "$1")
packages='apt base-files base-passwd bash ca-certificates coreutils curl dash debianutils dpkg findutils git grep gzip libc-bin
	nodejs openssl perl python3 sed tar'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/archives/partial" "$work/root/usr/bin" "$work/root/usr/lib" "$work/root/usr/sbin" "$work/root/usr/lib64"
for dir in bin lib lib64 sbin; do ln -s "usr/$dir" "$work/root/$dir"; done
info=$work/root/var/lib/dpkg/info
mkdir -p "$info"

# An empty package database makes apt fetch everything that the packages need.
: >"$work/status"
# shellcheck disable=SC2086 # the packages are words
apt-get -qq -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/archives" -o APT::Sandbox::User= \
	-o Debug::NoLocking=1 -o APT::Install-Recommends=false --download-only -y install $packages >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; exit 1; }

for deb in "$work"/archives/*.deb; do
	name=$(dpkg-deb -f "$deb" Package)
	if [ "$(dpkg-deb -f "$deb" Multi-Arch)" = same ]; then name=$name:$(dpkg-deb -f "$deb" Architecture); fi
	dpkg-deb --fsys-tarfile "$deb" | tar -x --no-same-owner --keep-directory-symlink -C "$work/root"
	dpkg-deb --fsys-tarfile "$deb" | tar -t | sed 's|^\.||; s|/$||; s|^$|/.|' >"$info/$name.list"
	dpkg-deb --ctrl-tarfile "$deb" | tar -x --to-stdout ./md5sums >"$info/$name.md5sums" 2>/dev/null || true
	dpkg-deb -f "$deb" | sed '1a Status: install ok installed'
	echo
done >"$work/root/var/lib/dpkg/status"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/root" -cf "$out" .
