#include "task/mount_points.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "task/path.h"

static const char *const dirs[] = { "", "/dev", "/proc", "/sys", "/etc" };
static const char *const files[] = { "/etc/hosts", "/etc/hostname", "/etc/resolv.conf" };

/* Modes that a container sees are exact, whatever the daemon's umask. */
static int make_dir(const char *path, struct error *err)
{
	if ((mkdir(path, 0755) < 0 && errno != EEXIST) || chmod(path, 0755) < 0)
		return error_sys(err, errno, "create %s", path);
	return 0;
}

static int make_file(const char *path, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0 || fchmod(fd, 0644) < 0)
		return error_sys(err, errno, "create %s", path);
	return 0;
}

int mount_points_make(const char *root_dir, struct error *err)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		if (path_format(path, err, "%s/" MOUNT_POINTS_DIR "%s", root_dir, dirs[i]) < 0 || make_dir(path, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (path_format(path, err, "%s/" MOUNT_POINTS_DIR "%s", root_dir, files[i]) < 0 || make_file(path, err) < 0)
			return -1;
	}
	return 0;
}
