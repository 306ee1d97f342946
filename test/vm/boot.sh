#!/bin/sh
# Boots one virtual machine, waits for its end and unpacks what it wrote.
#
#     test/vm/boot.sh KERNEL INITRD INPUT.tar OUTFOLDER [ROOT.ext4]
#
#     KERNEL   a folder of kernel.sh              INITRD   a file of initrd.sh
#     INPUT    a tar of what is laid over the root; its /vm/run is what the VM is for
#     ROOT     the root file system, which is not changed; without one the root is a tmpfs with busybox
#
# The exit status is that of /vm/run; 124: not done within VM_LIMIT_S seconds; 125: the machine ended without a report (a panic, or
# QEMU's own failure). The console is kept in OUTFOLDER/console. VM_APPEND is added to the kernel's command line.
#
# Software emulation: the kernel of CI's machine offers a KVM that does not run stock kernels. Cloud kernels have neither 9p nor the
# port that ends QEMU with a status, so files come and go as tar archives on raw disks and the status by a second serial line.
set -eu
kernel=$1
initrd=$2
input=$3
out=$4
root=${5:-}
rm -rf "$out"
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
truncate -s 64M "$work/out"

disk() { # NAME FILE OPTION: -drive and -device arguments; the guest finds the disk by its serial number
	echo "-drive if=none,id=$1,file=$2,format=raw,cache=unsafe,$3 -device virtio-blk-pci,drive=$1,serial=$1"
}
disks="$(disk in "$input" read-only=on) $(disk out "$work/out" read-only=off)"
[ -z "$root" ] || disks="$disks $(disk root "$root" snapshot=on)"

status=0
# A panic ends the machine: panic=-1 reboots at once, -no-reboot makes that the end.
# shellcheck disable=SC2086
timeout -k 5 "${VM_LIMIT_S:-300}" qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -monitor none \
	-M q35 -accel tcg,thread=multi,tb-size=512 -cpu max -smp 2 -m 2G -serial "file:$out/console" -serial "file:$work/status" \
	-object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng -kernel "$kernel/vmlinuz" -initrd "$initrd" \
	-append "console=ttyS0 panic=-1 quiet mitigations=off no5lvl tsc=reliable random.trust_cpu=on net.ifnames=0 ${VM_APPEND:-}" \
	$disks </dev/null >"$out/qemu" 2>&1 || status=$?
tar -C "$out" -xf "$work/out" 2>/dev/null || :
case $status in 124 | 137) exit 124 ;; esac
read -r status <"$work/status" || exit 125
exit "$status"
