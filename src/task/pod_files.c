#include "task/pod_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"
#include "net/files.h"
#include "task/container_spec.h"
#include "task/path.h"
#include "task/sandbox.h"
#include "task/sandbox_spec.h"
#include "task/user_ns.h"

/* 64 MiB for /dev/shm, as elsewhere, out of which the three files are taken; an inode costs the node about 1 KiB. */
#define POD_FS_OPTIONS "mode=0755,size=64m,nr_inodes=65536"

/* /etc/hosts of the node, for a pod on its network: what containers may see of it (arbitrary). */
#define MAX_HOSTS_BYTES ((size_t)1 << 20)

/* With the label by which all containers of the pod may use it, where SELinux is on. */
static int mount_pod_fs(const struct sandbox *sandbox, const char *path, struct error *err)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	const char *options = POD_FS_OPTIONS;
	struct selinux_labels labels;

	if (container_selinux(sandbox, NULL, &scratch, &labels, err) < 0)
		return -1;
	if (labels.mount)
		options = arena_printf(&scratch, POD_FS_OPTIONS ",context=\"%s\"", labels.mount);
	if (!options)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (mount("pod", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
		return error_sys(err, errno, "mount tmpfs on %s", path);
	return 0;
}

int pod_files_make(const struct sandbox *sandbox, struct error *err)
{
	char path[PATH_MAX];

	if (mkdir(sandbox->dir, 0700) < 0 && errno != EEXIST)
		return error_sys(err, errno, "create %s", sandbox->dir);
	if (path_format(path, err, "%s/fs", sandbox->dir) < 0)
		return -1;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_sys(err, errno, "create %s", path);
	if (mount_pod_fs(sandbox, path, err) < 0)
		return -1;
	if (path_format(path, err, "%s/fs/shm", sandbox->dir) < 0)
		return -1;
	if (mkdir(path, 0700) < 0 || chmod(path, 01777) < 0)
		return error_sys(err, errno, "create %s", path);
	return sandbox_own(sandbox->config, path, err);
}

static int copy_hosts(const char *dir, struct error *err)
{
	_cleanup_buffer_ struct buffer hosts = BUFFER_INIT(MAX_HOSTS_BYTES);
	char path[PATH_MAX];

	if (io_read_file(AT_FDCWD, "/etc/hosts", &hosts, err) < 0)
		return -1;
	if (path_format(path, err, "%s/hosts", dir) < 0)
		return -1;
	if (io_replace_file(AT_FDCWD, path, hosts.data ? hosts.data : "", hosts.len, 0644, err) < 0)
		return -1;
	return chmod(path, 0644) < 0 ? error_sys(err, errno, "set mode of %s", path) : 0; /* whatever our umask is */
}

/* The pod's root may write to them, as it may where it is the host's. */
static int own_files(const Cri__PodSandboxConfig *config, const char *dir, struct error *err)
{
	static const char *const files[] = { "resolv.conf", "hostname", "hosts" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (path_format(path, err, "%s/%s", dir, files[i]) < 0 || sandbox_own(config, path, err) < 0)
			return -1;
	}
	return 0;
}

int pod_files_write(const struct sandbox *sandbox, const char *address, struct error *err)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	const Cri__PodSandboxConfig *config = sandbox->config;
	const char *hostname = sandbox_hostname(config, &scratch);
	struct dns_config dns = sandbox_dns(config);
	char dir[PATH_MAX];

	if (!hostname)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (path_format(dir, err, "%s/fs", sandbox->dir) < 0)
		return -1;
	if (write_resolv_conf(dir, &dns, err) < 0 || write_hostname(dir, hostname, err) < 0)
		return -1;
	if ((sandbox_host_network(config) ? copy_hosts(dir, err) : write_hosts(dir, hostname, address, err)) < 0)
		return -1;
	return own_files(config, dir, err);
}
