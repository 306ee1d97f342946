#include "image/attributes.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct timespec attributes_mtime(struct archive_entry *e)
{
	struct timespec t = { archive_entry_mtime(e), archive_entry_mtime_nsec(e) };

	if (!archive_entry_mtime_is_set(e) || t.tv_nsec < 0 || t.tv_nsec > 999999999)
		t = (struct timespec){ t.tv_sec, 0 };
	return t;
}

int attributes_check(struct archive_entry *e, struct error *err)
{
	la_int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);

	/* UINT32_MAX means "leave as it is" to chown(2). */
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return error_set(err, ERR_INVALID, "owner %lld:%lld is out of range", (long long)uid, (long long)gid);
	return 0;
}

static bool xattr_is_wanted(const char *name)
{
	if (!strcmp(name, "security.capability"))
		return true;
	return !strncmp(name, "user.", 5) && strncmp(name, "user.overlay.", 13) != 0;
}

static int set_xattrs(int fd, struct archive_entry *e, struct error *err)
{
	const char *name;
	const void *value;
	size_t size;

	(void)archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
		if (!name || !xattr_is_wanted(name) || fsetxattr(fd, name, value, size, 0) == 0)
			continue;
		/* A file system without user attributes loses what nothing depends on; a lost file capability breaks a program. */
		if (errno != EOPNOTSUPP || *name != 'u')
			return error_sys(err, errno, "set attribute %.100s", name);
	}
	return 0;
}

/* Owner before mode and attributes: chown(2) clears set-user-id bits and file capabilities. What is right already is left alone: most files
 * are root's and were created with their mode, and setting either costs a transaction of the file system's journal. */
int attributes_set(int fd, struct archive_entry *e, struct error *err)
{
	uid_t uid = (uid_t)archive_entry_uid(e);
	gid_t gid = (gid_t)archive_entry_gid(e);
	mode_t mode = archive_entry_perm(e) & 07777;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "look at owner and mode");
	if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0)
		return error_sys(err, errno, "set owner");
	if (((st.st_mode & 07777) != mode || mode > 0777) && fchmod(fd, mode) < 0)
		return error_sys(err, errno, "set mode");
	return set_xattrs(fd, e, err);
}

int attributes_set_at(int dirfd, const char *name, struct archive_entry *e, struct error *err)
{
	const struct timespec times[2] = { attributes_mtime(e), attributes_mtime(e) };

	if (fchownat(dirfd, name, (uid_t)archive_entry_uid(e), (gid_t)archive_entry_gid(e), AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "set owner");
	if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "set time");
	return 0;
}
