#include "runtime/selinux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/mem.h"
#include "runtime/relabel.h"

/* Both files are a screen long (arbitrary). */
#define FILE_MAX ((size_t)64 << 10)

#define CATEGORIES 1024U

bool selinux_is_on(const char *fs)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/enforce", fs);

	return n < (int)sizeof(path) && access(path, F_OK) == 0;
}

int selinux_check_label(const char *fs, const char *label, struct error *err)
{
	size_t length = strlen(label) + 1; /* the kernel's labels end in a NUL */
	_cleanup_fd_ int fd = -1;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/context", fs) >= (int)sizeof(path))
		return error_set(err, ERR_INVALID, "SELinux: %.64s... is too long a path", fs);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "SELinux: open %s", path);
	if (write(fd, label, length) == (ssize_t)length)
		return 0;
	if (errno == EINVAL)
		return error_set(err, ERR_INVALID, "SELinux: the host's policy does not know the label %s", label);
	return error_sys(err, errno, "SELinux: ask about the label %s", label);
}

/* ---- the policy's files ---- */

/* The value of a line "NAME = value" or "NAME=\"value\"", the last one; comments begin with '#'. "" when there is none. */
static void find_value(const char *text, const char *name, char *ret_value, size_t size)
{
	size_t length = strlen(name);

	ret_value[0] = '\0';
	for (const char *line = text, *end; *line; line = end + (*end == '\n')) {
		const char *p = line + strspn(line, " \t");
		size_t n;

		end = line + strcspn(line, "\n");
		if (strncmp(p, name, length) != 0)
			continue;
		p += length;
		p += strspn(p, " \t");
		if (*p++ != '=')
			continue;
		p += strspn(p, " \t\"");
		n = strcspn(p, " \t\"\r\n");
		if (n < size)
			(void)snprintf(ret_value, size, "%.*s", (int)n, p);
	}
}

/* A file that is not there is an empty one. */
static int read_text(const char *path, struct buffer *text, struct error *err)
{
	struct error why = ERROR_INIT;

	if (access(path, F_OK) < 0 && errno == ENOENT)
		return buffer_append(text, "", 1, err);
	if (io_read_file(AT_FDCWD, path, text, &why) < 0) {
		*err = why;
		return error_prefix(err, "SELinux");
	}
	return buffer_append(text, "", 1, err);
}

static int read_contexts(const char *etc, struct selinux_defaults *defaults, struct error *err)
{
	_cleanup_buffer_ struct buffer config = BUFFER_INIT(FILE_MAX), contexts = BUFFER_INIT(FILE_MAX);
	char path[PATH_MAX], policy[NAME_MAX + 1];

	(void)snprintf(path, sizeof(path), "%s/config", etc);
	if (read_text(path, &config, err) < 0)
		return -1;
	find_value(config.data, "SELINUXTYPE", policy, sizeof(policy));
	if (!*policy || strchr(policy, '/') || policy[0] == '.')
		(void)snprintf(policy, sizeof(policy), "targeted"); /* what libselinux falls back to */
	(void)snprintf(path, sizeof(path), "%s/%s/contexts/lxc_contexts", etc, policy);
	if (read_text(path, &contexts, err) < 0)
		return -1;
	find_value(contexts.data, "process", defaults->process, sizeof(defaults->process));
	find_value(contexts.data, "file", defaults->file, sizeof(defaults->file));
	find_value(contexts.data, "ro_file", defaults->shared, sizeof(defaults->shared));
	return 0;
}

/* The first of the two that the policy knows. */
static void choose(const char *fs, char label[SELINUX_LABEL_SIZE], const char *fallback)
{
	struct error ignored = ERROR_INIT;

	if (*label && selinux_check_label(fs, label, &ignored) == 0)
		return;
	(void)snprintf(label, SELINUX_LABEL_SIZE, "%s", fallback);
	if (selinux_check_label(fs, label, &ignored) < 0)
		label[0] = '\0';
}

int selinux_read_defaults(const char *etc, const char *fs, struct selinux_defaults *ret_defaults, struct error *err)
{
	struct selinux_defaults defaults;

	if (read_contexts(etc, &defaults, err) < 0)
		return -1;
	choose(fs, defaults.process, SELINUX_BASE);
	choose(fs, defaults.file, "system_u:object_r:container_file_t:s0");
	choose(fs, defaults.shared, "system_u:object_r:container_ro_file_t:s0");
	*ret_defaults = defaults;
	return 0;
}

/* ---- labels ---- */

int selinux_label_directory(const char *path, const char *label, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	size_t length = strlen(label) + 1; /* the kernel's labels end in a NUL */
	char now[SELINUX_LABEL_SIZE];

	if (fd < 0)
		return error_sys(err, errno, "SELinux: open %s", path);
	if (fgetxattr(fd, RELABEL_SELINUX, now, sizeof(now)) == (ssize_t)length && !memcmp(now, label, length))
		return 0;
	return relabel_tree(fd, RELABEL_SELINUX, label, err) < 0 ? error_prefix(err, "SELinux: %s", path) : 0;
}

bool selinux_has_level(const char *label)
{
	int colons = 0;

	for (; *label; label++)
		colons += *label == ':';
	return colons >= 3;
}

int selinux_make_label(const char *base, const struct selinux_parts *parts, char ret_label[SELINUX_LABEL_SIZE], struct error *err)
{
	const char *wanted[] = { parts->user, parts->role, parts->type, parts->level };
	const char *p = base;
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		size_t length = i < 3 ? strcspn(p, ":") : strlen(p);
		bool replaced = wanted[i] && *wanted[i];
		int n;

		if (length == 0 && !replaced && i < 3)
			return error_set(err, ERR_INVALID, "SELinux: '%.128s' is not a label (user:role:type:level)", base);
		if (length == 0 && !replaced)
			break;
		n = snprintf(ret_label + at, SELINUX_LABEL_SIZE - at, "%s%.*s", i ? ":" : "",
			     replaced ? (int)strlen(wanted[i]) : (int)length, replaced ? wanted[i] : p);
		at += (size_t)n;
		if (at >= SELINUX_LABEL_SIZE)
			return error_set(err, ERR_INVALID, "SELinux: a label longer than %d bytes", SELINUX_LABEL_SIZE - 1);
		p += length;
		p += *p == ':';
	}
	return 0;
}

void selinux_pair_level(uint32_t pair, char ret_level[SELINUX_LEVEL_SIZE])
{
	uint32_t first = 0, others = CATEGORIES - 1;

	for (; pair >= others && others > 0; others--, first++)
		pair -= others;
	(void)snprintf(ret_level, SELINUX_LEVEL_SIZE, "s0:c%u,c%u", first, first + 1 + pair);
}
