#!/bin/sh
# Prints the Debian mirror of this machine's own apt sources, from which the machines are made as well.
set -eu
# shellcheck disable=SC2016
apt-get indextargets --format '$(REPO_URI)' | grep -m 1 '/debian/*$' || {
	echo "$0: no Debian mirror among the apt sources of this machine" >&2
	exit 1
}
