#!/bin/sh
# Everything that `make test-vm` does: the runtime's tests in virtual machines, on kernels and with features that this machine lacks.
#
#     smoke     cgroup v2 alone, no init system: unit test programs; on each kernel
#     systemd   Debian with systemd, its cgroup driver and AppArmor: parts of the integration tests; on the first kernel
#     selinux   the same with SELinux, enforced: its integration tests; on the first kernel
#
# ONLY="smoke ..." picks machines, KERNEL="bookworm ..." kernels (Debian suites), TESTS="runtime.cgroup ..." unit test programs by
# pattern. Kernels and root file systems are kept in build/vm; the console of a machine is in build/vm/MACHINE-KERNEL/console.
set -eu
cd "$(dirname "$0")/.."
only=${ONLY:-smoke systemd selinux}
kernels=${KERNEL:-bookworm trixie sid}
runtime="base.io loop.reaper runtime.*"
# On one kernel only, which leaves the time to the others.
rest="image.mounts net.bridge net.host net.netlink net.nft net.ports task.faults"
vm=build/vm
results=build/results
status=0

mkdir -p "$vm" "$results"
rm -f "$results"/vm-*.xml

say() {
	echo "vm: $*"
}

# A result that no test gives: NAME ELEMENT MESSAGE.
note() {
	say "$1: $3"
	printf '<testsuite><testcase name="%s"><%s message="%s"/></testcase></testsuite>\n' "$1" "$2" "$3" >"$results/vm-$1-$2.xml"
}

wanted() { # WORD LIST
	case " $2 " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

finish() {
	/usr/bin/python3 tools/summary.py "$results" vm- || status=1
	exit $status
}

# A machine that the archive does not answer to has done nothing wrong: what cannot be fetched is skipped, and said.
fetch_kernel() { # SUITE
	wanted "$1" "$kernels" || return 1
	if ! test/vm/kernel.sh "$1" "$vm/kernel-$1"; then
		note "kernel-$1" skipped "the kernel cannot be fetched"
		return 1
	fi
	test/vm/initrd.sh "$vm/kernel-$1" "$vm/initrd-$1.cpio"
}

# Boots once more when no report came: a machine that dies early has been seen once in 75 boots, without a test being involved.
boot() { # NAME SUITE LIMIT_S [ROOT]
	name=$1
	export VM_LIMIT_S="$3"
	say "$name starts, Linux $(cat "$vm/kernel-$2/release")"
	code=0
	test/vm/boot.sh "$vm/kernel-$2" "$vm/initrd-$2.cpio" "$vm/in-$name.tar" "$vm/$name" ${4:+"$4"} || code=$?
	if [ $code -eq 125 ]; then
		mv "$vm/$name" "$vm/$name.first"
		say "$name ended without a report, once more; $vm/$name.first/console ends:"
		tail -n 20 "$vm/$name.first/console"
		code=0
		test/vm/boot.sh "$vm/kernel-$2" "$vm/initrd-$2.cpio" "$vm/in-$name.tar" "$vm/$name" ${4:+"$4"} || code=$?
	fi
	grep -a '^VM:' "$vm/$name/console" || :
	case $code in
	124) note "$name" error "not done within $3 s" ;;
	125) note "$name" error "no report from the machine" ;;
	esac
	[ $code -eq 0 ] || { status=1; tail -n 40 "$vm/$name/console" "$vm/$name/qemu"; }
}

smoke() { # SUITE PATTERN...
	suite=$1
	shift
	programs=
	for pattern in "$@"; do
		# shellcheck disable=SC2086
		programs="$programs $(find build/debug/test -maxdepth 1 -type f -perm -100 -name "$pattern" | sort | tr '\n' ' ')"
	done
	# shellcheck disable=SC2086
	test/vm/payload.sh "$vm/in-smoke-$suite.tar" "test/vm/guest/units $programs" $programs
	boot "smoke-$suite" "$suite" 400
	/usr/bin/python3 test/vm/junit.py "$vm/smoke-$suite" "$results/vm-smoke-$suite.xml"
}

# Programs that go along as they are named; what else the command line of the kernel says of the machine.
with_daemon() { # NAME SUITE LIMIT_S GUEST APPEND PROGRAM...
	name=$1
	suite=$2
	limit=$3
	line="test/vm/guest/$4"
	VM_APPEND="systemd.show_status=false systemd.log_target=null rd.systemd.gpt_auto=0 $5"
	shift 5
	if ! test/vm/root.sh "$vm/root.ext4"; then
		note "$name" skipped "its root file system cannot be made"
		return
	fi
	test/vm/payload.sh "$vm/in-$name.tar" "$line $*" build/debug/monopod build/debug/monopod-daemon build/debug/monopod-oci "$@"
	export VM_APPEND
	boot "$name" "$suite" "$limit" "$vm/root.ext4"
	unset VM_APPEND
	/usr/bin/python3 test/vm/junit.py "$vm/$name" "$results/vm-$name-units.xml"
	for file in "$vm/$name"/*.xml; do [ ! -e "$file" ] || cp "$file" "$results/vm-$name-${file##*/}"; done
}

systemd() { # SUITE
	with_daemon systemd "$1" 600 integration "" build/debug/test/runtime.apparmor build/debug/test/runtime.systemd
}

selinux() { # SUITE
	with_daemon selinux "$1" 300 selinux "security=selinux selinux=1 enforcing=0" build/debug/test/runtime.selinux
}

if ! tools/deps.sh vm; then
	note machines skipped "QEMU or what makes a machine cannot be installed"
	finish
fi
tools/deps.sh build
cmake --preset debug >"$vm/cmake.log" || { cat "$vm/cmake.log"; exit 1; }
cmake --build --preset debug -- -j "$(nproc)"

for suite in bookworm trixie sid; do
	fetch_kernel "$suite" || continue
	set -f
	tests=${TESTS:-$runtime}
	[ "$suite" != bookworm ] || tests=${TESTS:-$runtime $rest}
	# shellcheck disable=SC2086
	set -- $tests
	set +f
	! wanted smoke "$only" || smoke "$suite" "$@"
	[ "$suite" = bookworm ] || continue
	! wanted systemd "$only" || systemd "$suite"
	! wanted selinux "$only" || selinux "$suite"
done
finish
