/*
 * The files of an SELinux policy, and labels made of parts: the input is /etc/selinux/config, after a line "%" the policy's
 * lxc_contexts, and after another one user, role, type and level, each in a line. The kernel stands for one that knows every label.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "runtime/selinux.h"

static char root[] = "/tmp/fuzz-selinux-XXXXXX";
static const char *const dirs[] = { "targeted", "targeted/contexts" };
static const char contexts[] = "targeted/contexts/lxc_contexts";
static int dir = -1;

static void remove_root(void)
{
	(void)unlinkat(dir, contexts, 0);
	(void)unlinkat(dir, "config", 0);
	(void)unlinkat(dir, "context", 0);
	(void)unlinkat(dir, dirs[1], AT_REMOVEDIR);
	(void)unlinkat(dir, dirs[0], AT_REMOVEDIR);
	(void)rmdir(root);
}

static void open_root(void)
{
	if (!mkdtemp(root))
		abort();
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || mkdirat(dir, dirs[0], 0755) < 0 || mkdirat(dir, dirs[1], 0755) < 0 ||
	    symlinkat("/dev/null", dir, "context") < 0 || atexit(remove_root) != 0)
		abort();
}

static void put(const char *path, const char *text)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	(void)close(fd);
}

/* Cuts `text` off at the separator and returns what follows it; the end when there is none. */
static char *cut(char *text, const char *separator)
{
	char *found = strstr(text, separator);

	if (!found)
		return text + strlen(text);
	*found = '\0';
	return found + strlen(separator);
}

/* What goes into an option of a mount, and to the kernel as the label of a process. */
static void check_default(const char label[SELINUX_LABEL_SIZE])
{
	if (strnlen(label, SELINUX_LABEL_SIZE) == SELINUX_LABEL_SIZE || !*label || label[strcspn(label, " \t\"\r\n")])
		abort();
}

static void check_label(const char *base, const struct selinux_parts *parts)
{
	char label[SELINUX_LABEL_SIZE];
	struct error err = ERROR_INIT;

	if (selinux_make_label(base, parts, label, &err) < 0) {
		if (err.code != ERR_INVALID)
			abort();
		return;
	}
	if (strnlen(label, SELINUX_LABEL_SIZE) == SELINUX_LABEL_SIZE)
		abort();
	if (*parts->level && !selinux_has_level(label))
		abort();
	if (*parts->user && strncmp(label, parts->user, strlen(parts->user)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct selinux_defaults defaults;
	struct selinux_parts parts;
	struct error err = ERROR_INIT;
	char *text = malloc(size + 1), *policy, *rest;

	if (!text)
		return 0;
	if (dir < 0)
		open_root();
	memcpy(text, data, size);
	text[size] = '\0';
	policy = cut(text, "\n%\n");
	parts.user = cut(policy, "\n%\n");
	parts.role = rest = cut((char *)parts.user, "\n");
	parts.type = rest = cut(rest, "\n");
	parts.level = rest = cut(rest, "\n");
	(void)cut(rest, "\n");
	put("config", text);
	put(contexts, policy);
	if (selinux_read_defaults(root, root, &defaults, &err) == 0) {
		check_default(defaults.process);
		check_default(defaults.file);
		check_default(defaults.shared);
		check_label(defaults.process, &parts);
	} else if (err.code != ERR_EXHAUSTED && err.code != ERR_INVALID) { /* files of more than 64 KiB */
		abort();
	}
	check_label(policy, &parts);
	free(text);
	return 0;
}
