#!/bin/sh
# Makes the first file system of a VM: busybox, guest/init and the kernel modules that the tests need, uncompressed.
#
#     test/vm/initrd.sh KERNEL OUT.cpio          KERNEL: a folder of kernel.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
kernel=$1
out=$2
release=$(cat "$kernel/release")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' HUP INT TERM

modules=$tree/usr/lib/modules/$release
mkdir -p "$tree/usr/bin" "$modules" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/new"
for link in bin sbin lib; do ln -s "usr/$link" "$tree/$link"; done
ln -s bin "$tree/usr/sbin"
cp "$here/guest/init" "$tree/init"
cp "$(command -v busybox)" "$tree/usr/bin/busybox"
for applet in $(busybox --list); do [ -e "$tree/bin/$applet" ] || ln -s busybox "$tree/usr/bin/$applet"; done

# What a kernel has built in, or does not have, is no module; the tests say what they miss.
for name in $(tr "\n" " " <"$here/modules"); do
	modprobe -d "$kernel" -S "$release" --show-depends "$name" 2>/dev/null | awk '$1 == "insmod" { print $2 }' || :
done | sort -u | while read -r file; do
	name=$(basename "$file")
	case $file in
	*.xz) xz -dc "$file" >"$modules/${name%.xz}" ;; # which busybox cannot load
	*.zst) zstd -qdc "$file" >"$modules/${name%.zst}" ;;
	*) cp "$file" "$modules/$name" ;;
	esac
done
cp "$kernel/lib/modules/$release/modules.order" "$kernel/lib/modules/$release/modules.builtin"* "$modules/"
depmod -b "$tree" "$release"
(cd "$tree" && find . | cpio -o -H newc -R 0:0 --quiet) >"$out.part"
mv "$out.part" "$out"
