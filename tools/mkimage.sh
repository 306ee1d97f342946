#!/bin/sh
# Builds a small image from the busybox of this machine, as an OCI archive (image-spec v1.0: image-layout.md in a tar file).
#
#     tools/mkimage.sh [OPTION...] OUT.tar
#
#     -n, --name NAME:TAG    what the archive calls the image (docker.io/library/demo:latest)
#     -l, --layer LAYER.tar  one more layer, an uncompressed tar file, on top of the others; may be given again
#     -e, --env KEY=VALUE    one more environment variable; may be given again
#     -u, --user USER        the user that the image asks for
#     -w, --workdir DIR      its working directory
#     -c, --command COMMAND  its command, one shell command line instead of a plain sh
#
# Needs busybox-static and nothing but sh, tar, gzip and sha256sum; the same input gives the same bytes.
set -eu

name=docker.io/library/demo:latest
layers=
env='"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"'
user=
workdir=
cmd='"sh"'

usage() {
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d' >&2
	exit 2
}

# A JSON string of $1, which may hold no control characters.
quote() {
	printf '"%s"' "$(printf %s "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"
}

while [ $# -gt 1 ]; do
	case $1 in
	-n | --name) name=$2 ;;
	-l | --layer) layers="$layers $(realpath "$2")" ;;
	-e | --env) env="$env,$(quote "$2")" ;;
	-u | --user) user=$2 ;;
	-w | --workdir) workdir=$2 ;;
	-c | --command) cmd="\"sh\",\"-c\",$(quote "$2")" ;;
	*) usage ;;
	esac
	shift 2
done
case "$#$1" in 1[!-]*) ;; *) usage ;; esac
out=$(realpath -m "$1")
busybox=$(command -v busybox) || {
	echo "$0: busybox is missing: install busybox-static" >&2
	exit 1
}

umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
root=$work/root
blobs=$work/oci/blobs/sha256
mkdir -p "$blobs" "$root"

# Only root can give files away; for others everything in the image is root's.
owner=
[ "$(id -u)" = 0 ] || owner='--owner=0 --group=0'

pack() { # DIRECTORY: a tar of it that depends on nothing but its content
	# shellcheck disable=SC2086
	tar -C "$1" --sort=name --mtime=@0 --numeric-owner $owner --format=ustar -cf - .
}

# ---- the root file system ----
(
	cd "$root"
	mkdir -p bin dev etc home proc root run sbin sys tmp usr/bin usr/sbin var/log var/tmp
	chmod 700 root
	chmod 1777 tmp var/tmp
	cp "$busybox" bin/busybox
	chmod 755 bin/busybox
	for applet in sh ash ls cat echo sleep true false id env printf test '[' expr seq mkdir rmdir rm mv cp ln touch chmod chown stat \
		find grep sed awk cut sort head tail wc tr tee xargs dd sync df du mount umount ps kill top date hostname uname whoami groups pwd \
		basename dirname readlink realpath which yes usleep wget nc ping ip ifconfig route netstat nslookup httpd telnet vi tar gzip \
		gunzip md5sum sha256sum base64 hexdump od dmesg free uptime mknod mktemp nohup nice timeout time setsid su tty stty clear watch \
		getopt trap pgrep pkill pidof ipcs unshare nsenter chroot sysctl mountpoint; do
		"$busybox" --list | grep -qxF -e "$applet" && ln bin/busybox "bin/$applet"
	done
	ln -s ../../bin/env usr/bin/env
	ln -s ../bin/ip sbin/ip
	printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'nobody:x:65534:65534:nobody:/:/bin/false' \
		'user:x:1000:1000:user:/home/user:/bin/sh' >etc/passwd
	printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' 'user:x:1000:' 'extra:x:2000:user' >etc/group
	echo 'demo image of monopod' >etc/issue
	mkdir home/user
	if [ -z "$owner" ]; then
		chown -R 0:0 .
		chown 1000:1000 home/user
	fi
)

# ---- blobs ----
add_blob() { # FILE: moves it to where its digest says; prints the digest
	digest=$(sha256sum "$1" | cut -d ' ' -f 1)
	mv "$1" "$blobs/$digest"
	echo "$digest"
}

size_of() {
	wc -c <"$blobs/$1" | tr -d ' '
}

descriptors=
diff_ids=
add_layer() { # TAR
	diff_id=$(sha256sum "$1" | cut -d ' ' -f 1)
	gzip -n -6 -c "$1" >"$work/layer.gz"
	digest=$(add_blob "$work/layer.gz")
	descriptors="$descriptors${descriptors:+,}{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\","
	descriptors="$descriptors\"digest\":\"sha256:$digest\",\"size\":$(size_of "$digest")}"
	diff_ids="$diff_ids${diff_ids:+,}\"sha256:$diff_id\""
}

pack "$root" >"$work/root.tar"
add_layer "$work/root.tar"
for layer in $layers; do add_layer "$layer"; done

case $(uname -m) in
x86_64) arch='"architecture":"amd64"' ;;
aarch64) arch='"architecture":"arm64","variant":"v8"' ;;
*) arch="\"architecture\":$(quote "$(uname -m)")" ;;
esac
config="\"Env\":[$env],\"Cmd\":[$cmd]"
[ -z "$user" ] || config="$config,\"User\":$(quote "$user")"
[ -z "$workdir" ] || config="$config,\"WorkingDir\":$(quote "$workdir")"
printf '{"created":"1970-01-01T00:00:00Z",%s,"os":"linux","config":{%s},"rootfs":{"type":"layers","diff_ids":[%s]}}' \
	"$arch" "$config" "$diff_ids" >"$work/config"
config_digest=$(add_blob "$work/config")
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"%s","digest":"sha256:%s","size":%s},"layers":[%s]}' \
	application/vnd.oci.image.config.v1+json "$config_digest" "$(size_of "$config_digest")" "$descriptors" >"$work/manifest"
manifest_digest=$(add_blob "$work/manifest")
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/oci/oci-layout"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"platform":{%s,"os":"linux"},"annotations":{"org.opencontainers.image.ref.name":%s,"io.containerd.image.name":%s}}]}' \
	"$manifest_digest" "$(size_of "$manifest_digest")" "$arch" "$(quote "${name##*:}")" "$(quote "$name")" >"$work/oci/index.json"

mkdir -p "$(dirname "$out")"
pack "$work/oci" >"$out.part"
mv "$out.part" "$out"
