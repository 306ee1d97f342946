# For the scripts that run a daemon of their own: sourced, it takes the groups of $cgroup away, a name at the top of each hierarchy.
# shellcheck shell=sh disable=SC2154
# With what runs in them, when the daemon is not there to do it.
remove_cgroups() {
	groups=$(find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "${cgroup#/}")
	for group in $groups; do
		find "$group" -name cgroup.procs -exec cat {} + | sort -u | xargs -r kill -KILL 2>/dev/null || true
	done
	[ -z "$groups" ] || sleep 0.1
	for group in $groups; do
		find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
	done
}
