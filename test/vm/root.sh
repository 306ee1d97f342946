#!/bin/sh
# Makes the root file system of the VMs with systemd: Debian bookworm with what the integration tests call, as an ext4 image.
#
#     test/vm/root.sh OUT.ext4
#
# The kernel's command line says whether it runs AppArmor, which is the default, or SELinux: the files have labels, and the policy has
# types for containers (root/container.cil).
#
# An image of this week is taken as it is when nothing here has changed; an older one is replaced when the archive answers, and kept
# when it does not. Nothing is mounted. The project's own libraries come with what is run (payload.sh), and so does /vm/report.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$1
week=$((7 * 24 * 60))

system=systemd,systemd-sysv,dbus,udev,kmod,iproute2,procps,util-linux,ca-certificates
tools=busybox-static,nftables,apparmor,protobuf-compiler,python3-grpcio,python3-protobuf,python3-pytest
selinux='selinux-policy-default,policycoreutils'
# Nothing of these serves a test, and under emulation each costs a part of a second.
masked='apparmor.service apt-daily-upgrade.timer apt-daily.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
	getty@tty1.service ldconfig.service modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service
	modprobe@efi_pstore.service modprobe@fuse.service modprobe@loop.service proc-sys-fs-binfmt_misc.automount
	serial-getty@ttyS0.service sys-kernel-debug.mount sys-kernel-tracing.mount systemd-binfmt.service systemd-firstboot.service
	systemd-fsck-root.service systemd-hwdb-update.service systemd-journal-flush.service systemd-machine-id-commit.service
	systemd-networkd.service systemd-pcrphase.service systemd-random-seed.service systemd-resolved.service
	systemd-sysusers.service systemd-timesyncd.service systemd-update-done.service systemd-update-utmp.service'

fresh=$(find "$out" -mmin -$week -newer "$here/root.sh" -newer "$here/root/vm.service" -newer "$here/root/vm.target" -newer "$here/root/container.cil" 2>/dev/null || :)
[ -z "$fresh" ] || exit 0

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$tree"
mirror=$("$here/mirror.sh")

# The hooks' $1 is the tree.
# shellcheck disable=SC2016
if ! mmdebstrap --quiet --mode=root --variant=minbase --include="$system,$tools,$selinux" \
	--aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--customize-hook="copy-in $here/root/vm.service $here/root/vm.target /etc/systemd/system" \
	--customize-hook='echo vm >"$1/etc/hostname"; : >"$1/etc/fstab"; echo uninitialized >"$1/etc/machine-id"' \
	--customize-hook="chroot \"\$1\" systemctl --quiet mask $(echo "$masked" | tr -s '\n\t' '  ')" \
	--customize-hook='chroot "$1" systemctl --quiet set-default vm.target' \
	--customize-hook='printf "SELINUX=permissive\nSELINUXTYPE=default\n" >"$1/etc/selinux/config"' \
	--customize-hook="copy-in $here/root/container.cil /tmp" \
	--customize-hook='chroot "$1" semodule -N -i /tmp/container.cil && rm "$1/tmp/container.cil"' \
	--customize-hook='chroot "$1" setfiles -F -e /proc -e /sys -e /dev /etc/selinux/default/contexts/files/file_contexts /' \
	bookworm "$tree/root" "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main" >"$tree/log" 2>&1; then
	tail -n 20 "$tree/log" >&2
	[ -e "$out" ] || exit 1
	echo "$out: the archive does not answer, taking the one made before" >&2
	exit 0
fi
rm -f "$out.part"
mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$tree/root" "$out.part" 1500M
mv "$out.part" "$out"
