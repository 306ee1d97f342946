#!/bin/sh
# Installs Debian packages that are missing, and nothing when none is.
#
#     tools/deps.sh [--list] build|demo|bench|bench-pull|test|vm|lint...
#
# The lists below are the only place where dependencies are named: one package per line, and why. `package|command` is satisfied by
# the command too, wherever it came from.
set -eu

build='
gcc                     compiler
libc6-dev               which the compiler only recommends
make                    the front door
cmake                   the build
ninja-build             its runner
pkg-config|pkg-config   finds the libraries
protobuf-c-compiler     C from the wire contract
libprotobuf-c-dev       messages of the CRI and of the store
libuv1-dev              the event loop
libnghttp2-dev          HTTP/2 below gRPC
libseccomp-dev          system call names and numbers of the seccomp profile
libmnl-dev              netlink: links, addresses, routes
libnftnl-dev            nftables: masquerading, host ports
libcjson-dev            JSON of images, registries and --output json
libcurl4-openssl-dev    HTTP and HTTPS to registries
libarchive-dev          layers are tar files
libzstd-dev             their compression, one of two
libisal-dev             and the other, twice as fast as zlib
zlib1g-dev              rotated logs, which are compressed
libssl-dev              digests
libxxhash-dev           what unpacked layers have to hold, on the way of every byte
libsqlite3-dev          the store
libinih-dev             the configuration file
libyaml-dev             CDI Specs, which vendors write in YAML
libsystemd-dev          declarations of sd-bus; the library is loaded where systemd is the init
uthash-dev              hash tables and lists
libcmocka-dev           unit tests, which a debug build contains
'

demo='
busybox-static          what the demo image is made of
iproute2                shows that no link stays
nftables                shows that no rule stays
'

bench='
busybox-static          what the benchmark image is made of
iproute2                a network namespace of its own
crun                    the other OCI runtimes, side by side with ours
runc                    and the second of them
'

bench_pull='
docker-registry         where the images are pulled from
containerd              the other engines, side by side with ours
podman                  and the second of them
zstd                    compresses some of the layers
e2fsprogs               a new file system for each pull
iproute2                a network namespace of its own
util-linux              unshare
'

test='
busybox-static          what the test images are made of
libcmocka-dev           unit tests
iproute2                looks at links, addresses, namespaces
nftables                looks at rules
containernetworking-plugins CNI plugins that are not ours
iptables                which portmap, one of them, calls
docker-registry         a real registry, on loopback
skopeo                  fills it
nginx-light|nginx       stands in front of it, and is slow, flaky, redirecting or lying
umoci                   makes image layers
buildah                 and does so in another way
zstd                    compresses some of them
openssl                 a private CA for it
apache2-utils|htpasswd  its password file
curl                    asks it
ca-certificates         the authorities that a pull trusts besides
python3-pytest          runs the integration tests
python3-grpcio          a gRPC client that we did not write
python3-protobuf        its messages
protobuf-compiler       and their Python code
nodejs|node             runs a second one
npm|npm                 which comes as a package
procps                  looks at processes
podman                  a foreign engine that runs our OCI command
crun                    which podman asks for as a package
util-linux              unshare, nsenter
'

vm='
qemu-system-x86         virtual machines, by software emulation
busybox-static          their first file system
cpio                    which is an archive
kmod                    with the modules of another kernel
xz-utils                that are compressed
zstd                    in one way or another
mmdebstrap              their root file system, from Debian packages
e2fsprogs               on a disk image
'

lint='
clang-14                a second compiler
clang-format-14|clang-format  layout
clang-tidy-14|clang-tidy      static analysis
universal-ctags         sizes of functions
shellcheck              shell scripts
'

list() {
	case $1 in
	build) echo "$build" ;;
	demo) echo "$demo" ;;
	bench) echo "$bench" ;;
	bench-pull) echo "$bench_pull" ;;
	test) echo "$test" ;;
	vm) echo "$vm" ;;
	lint) echo "$lint" ;;
	*)
		echo "tools/deps.sh: no such list: $1" >&2
		exit 2
		;;
	esac
}

present() {
	package=${1%%|*}
	command=${1#"$package"}
	command=${command#|}
	if [ -n "$command" ] && command -v "$command" >/dev/null; then
		return 0
	fi
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ]
}

if [ "${1:-}" = --list ]; then
	shift
	for name in "$@"; do list "$name"; done | sed '/^$/d' | sort -u
	exit 0
fi

missing=
for name in "$@"; do
	for entry in $(list "$name" | awk 'NF { print $1 }'); do
		present "$entry" || missing="$missing ${entry%%|*}"
	done
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# The package lists may be absent or too old to fetch by: refresh them once when the first try fails.
# shellcheck disable=SC2086
apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 || {
	apt-get update -q >/dev/null
	apt-get install -y -q --no-install-recommends $missing >/dev/null
}
