#!/bin/sh
# The demo: one pod from nothing to nothing, on an embedded default.
#
#     tools/demo.sh PATH/TO/monopod
#
# No configuration file, no CNI plugin, no registry. Directories, socket, bridge, addresses and cgroup are the demo's own, so that a
# monopod that is installed here is not disturbed. Whatever happens everything is removed, and what is still there is an error.
set -eu
cd "$(dirname "$0")/.."
tools/deps.sh demo
monopod=$(realpath "$1")
image=docker.io/library/demo:latest

# Names with this process in them: several demos may run at once.
dir=$(mktemp -d /tmp/monopod-demo.XXXXXX)
bridge=mpdemo$$
cgroup=/monopod-demo-$$
octet=$(($$ % 256))
daemon=
forward=$(cat /proc/sys/net/ipv4/ip_forward)
MONOPOD_SOCKET=$dir/sock
export MONOPOD_SOCKET

say() {
	if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

end_daemon() {
	[ -n "$daemon" ] || return 0
	"$monopod" rm --all --force >/dev/null 2>&1 || true
	kill "$daemon" 2>/dev/null || true
	wait "$daemon" 2>/dev/null || true
	daemon=
}

# Each line is something of the demo that is still there.
leftovers() {
	awk -v dir="$dir/" 'index($5, dir) == 1 { print "mount", $5 }' /proc/self/mountinfo
	find /sys/fs/cgroup -maxdepth 2 -type d -name "${cgroup#/}" | sed 's/^/cgroup /'
	ip -o link show | awk -v bridge="$bridge" 'index($0, bridge) { print "link", $2 }'
	nft list tables 2>/dev/null | awk -v bridge="$bridge" 'index($0, bridge) { print }'
	[ ! -e "$dir" ] || echo "directory $dir"
	# The pattern comes through a pipe, or grep would find itself.
	# shellcheck disable=SC2062
	echo "$dir/" | grep -lasF -f - /proc/[0-9]*/cmdline | sed 's/^/process /' || true
}

# shellcheck source=tools/cgroups.sh
. tools/cgroups.sh

clean_up() {
	status=$?
	trap - EXIT HUP INT TERM
	end_daemon
	[ $status -eq 0 ] || [ ! -s "$dir/log" ] || tail -n 20 "$dir/log" >&2
	awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$mount"; done
	# The pod network outlives the daemon by design; it is ours to take away.
	ip link delete "$bridge" 2>/dev/null || true
	nft delete table ip "monopod-$bridge" 2>/dev/null || true
	remove_cgroups
	rm -rf "$dir"
	echo "$forward" >/proc/sys/net/ipv4/ip_forward
	left=$(leftovers)
	if [ -n "$left" ]; then
		printf 'still there:\n%s\n' "$left" >&2
		exit 1
	fi
	[ $status -ne 0 ] || say "everything is removed: no mount, cgroup, link, nft table, process or file is left"
	exit $status
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# ---- an image, kept between demos ----
archive=build/demo-image.tar
mkdir -p build
[ -n "$(find "$archive" -newer tools/mkimage.sh 2>/dev/null)" ] || tools/mkimage.sh --name "$image" "$archive"

# ---- the daemon ----
"$monopod" serve --set "server.root_dir=$dir/root" --set "server.state_dir=$dir/state" --set "server.socket=$dir/sock" \
	--set "net.bridge=$bridge" --set "net.pod_cidr=10.247.$octet.0/24" --set "net.cni_conf_dir=$dir/net.d" --set "runtime.cgroup_parent=$cgroup" \
	>"$dir/log" 2>&1 &
daemon=$!
tries=0
until "$monopod" version >/dev/null 2>&1; do
	kill -0 "$daemon" 2>/dev/null || exit 1
	tries=$((tries + 1))
	[ $tries -lt 200 ] || exit 1
	sleep 0.01
done

say "the image"
"$monopod" import "$archive"

say "a pod with one container"
# shellcheck disable=SC2016
"$monopod" run --detach --name demo --log-dir "$dir/logs" "$image" sh -c \
	'echo "hello from $(hostname), pid $$"; echo "my address is $(ip -4 -o addr show dev eth0 | awk "{ print \$4 }")"; id; exec sleep 1000'

say "its first log lines"
tries=0
until [ "$("$monopod" logs demo | wc -l)" -ge 3 ] || [ $tries -ge 100 ]; do
	tries=$((tries + 1))
	sleep 0.01
done
"$monopod" logs demo

say "a command in it"
code=0
# shellcheck disable=SC2016
"$monopod" exec demo sh -c 'echo "process 1 is $(cat /proc/1/comm), I am $$"; exit 7' || code=$?
echo "exit code: $code"
[ $code -eq 7 ]

say "pods and containers"
"$monopod" pods
"$monopod" ps

say "where the time of the start went"
"$monopod" trace demo

"$monopod" stop --grace 0 demo >/dev/null
"$monopod" rm demo >/dev/null
[ -z "$("$monopod" pods --quiet)" ]
