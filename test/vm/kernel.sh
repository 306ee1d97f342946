#!/bin/sh
# Fetches the newest cloud kernel of a Debian suite and unpacks it; nothing is installed on this machine.
#
#     test/vm/kernel.sh SUITE FOLDER
#
# Leaves FOLDER/vmlinuz, FOLDER/release, FOLDER/lib/modules/RELEASE and nothing else. A folder of this week is taken as it is, so a
# second run needs no network; an older one is replaced when the archive answers, and kept when it does not.
set -eu
suite=$1
folder=$2
week=$((7 * 24 * 60))

[ -z "$(find "$folder/release" -mmin -$week 2>/dev/null)" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# The suite may be another one than this machine's: lists and caches of its own.
mirror=$("$(dirname "$0")/mirror.sh")
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/deb" "$work/root"
echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/sources.list"

apt() { # COMMAND ARGUMENT...
	command=$1
	shift
	"$command" -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
		-o Dir::Cache="$work/cache" -o Acquire::Languages=none -o Acquire::Retries=2 -o APT::Sandbox::User=root "$@"
}

# The packages that linux-image-cloud-amd64 depends on, now: one with the kernel, or, from 7.0 on, one that depends on those with its parts.
depends() { # PACKAGE PATTERN
	apt apt-cache depends "$1" | awk -v pattern="^$2" '$1 == "Depends:" && $2 ~ pattern { print $2 }'
}

packages() {
	image=$(depends linux-image-cloud-amd64 'linux-image-[0-9]')
	parts=$(depends "${image:?}" 'linux-(binary|modules|base)-[0-9]')
	echo "${parts:-$image}"
}

fetch() {
	apt apt-get update >/dev/null || return 1
	wanted=$(packages) || return 1
	# shellcheck disable=SC2086
	(cd "$work/deb" && apt apt-get download $wanted >/dev/null) || return 1
	for deb in "$work"/deb/*.deb; do dpkg -x "$deb" "$work/root" || return 1; done
}

if ! fetch; then
	[ -e "$folder/release" ] || exit 1
	echo "kernel of $suite: the archive does not answer, taking the one fetched before" >&2
	exit 0
fi

# Up to 6.12 modules are in lib and the image in boot; later everything is in usr/lib/modules.
for modules in "$work"/root/lib/modules/* "$work"/root/usr/lib/modules/*; do [ ! -d "$modules" ] || break; done
release=$(basename "$modules")
rm -rf "$folder"
mkdir -p "$folder/lib/modules"
mv "$modules" "$folder/lib/modules/"
for image in "$work/root/boot/vmlinuz-$release" "$folder/lib/modules/$release/vmlinuz"; do
	[ ! -e "$image" ] || cp "$image" "$folder/vmlinuz"
done
[ -e "$folder/vmlinuz" ]
depmod -b "$folder" "$release"
echo "$release" >"$folder/release"
