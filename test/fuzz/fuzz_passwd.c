/*
 * The user databases of an image: the input is "USER\n" followed by /etc/passwd, and after a line "%" /etc/group. Whatever they hold,
 * the answer is a user below 2^32 - 1 with a sound home and its primary group, or a refusal.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char root[] = "/tmp/fuzz-passwd-XXXXXX";
static int rootfs = -1;

static void remove_root(void)
{
	(void)unlinkat(rootfs, "etc/passwd", 0);
	(void)unlinkat(rootfs, "etc/group", 0);
	(void)unlinkat(rootfs, "etc", AT_REMOVEDIR);
	(void)rmdir(root);
}

static void open_root(void)
{
	if (!mkdtemp(root))
		abort();
	rootfs = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rootfs < 0 || mkdirat(rootfs, "etc", 0755) < 0 || atexit(remove_root) != 0)
		abort();
}

static void put(const char *path, const char *data, size_t size)
{
	int fd = openat(rootfs, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	(void)close(fd);
}

static void check(const struct user *user)
{
	if (user->uid == UINT32_MAX || user->gid == UINT32_MAX || user->n_groups == 0 || user->groups[0] != user->gid)
		abort();
	if (user->home[0] != '/')
		abort();
	for (const char *p = user->home; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct user_request request = { 0 };
	struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;
	struct user user = { 0 };
	char *text = malloc(size + 1), *passwd, *group;

	if (!text)
		return 0;
	if (rootfs < 0)
		open_root();
	memcpy(text, data, size);
	text[size] = '\0';
	passwd = memchr(text, '\n', size);
	if (passwd)
		*passwd++ = '\0';
	else
		passwd = text + size;
	group = memmem(passwd, (size_t)(text + size - passwd), "\n%\n", 3);
	put("etc/passwd", passwd, (size_t)((group ? group : text + size) - passwd));
	put("etc/group", group ? group + 3 : "", group ? (size_t)(text + size - group) - 3 : 0);
	request.image_user = text;
	if (user_resolve(rootfs, &request, &arena, &user, &err) == 0)
		check(&user);
	else if (err.code != ERR_INVALID)
		abort();
	arena_release(&arena);
	free(text);
	return 0;
}
