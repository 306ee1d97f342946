#!/bin/sh
# Packs what a VM runs: a tar archive that is laid over its root.
#
#     test/vm/payload.sh OUT.tar LINE PROGRAM...        LINE: what the guest's shell runs, in the project's folder
#
# It holds the programs and what tests need of the project, at the same place as here since test programs know the path of their
# sources, and the programs' shared libraries where this machine has them. Run in the project's folder.
set -eu
out=$1
line=$2
shift 2
here=$(pwd)
run=$(mktemp)
trap 'rm -f "$run"' EXIT
trap 'exit 1' HUP INT TERM

add() { # MODE TRANSFORM FILE...
	mode=$1
	transform=$2
	shift 2
	tar "$mode" "$out.part" -P --numeric-owner --owner=0 --group=0 --exclude=node_modules --exclude=corpus --transform "$transform" "$@"
}

printf 'cd %s && exec %s\n' "$here" "$line" >"$run"
add -cf "s,.*,vm/run," "$run"
add -rf 's,.*/,vm/,' test/vm/guest/start test/vm/guest/report
add -rf "s,^,${here#/}/," test tools proto "$@"
# Whether a library is found by way of /lib or of /usr/lib, it is for /usr/lib, where guest/init takes it; links become what they point to.
# shellcheck disable=SC2046
add -rhf 's,^/\(usr/\)*,vm/root/usr/,' $(ldd "$@" 2>/dev/null | grep -o '[^ ]*/[^ :]* (' | tr -d '(' | sort -u)
mv "$out.part" "$out"
