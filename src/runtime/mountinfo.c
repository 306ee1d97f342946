#include "runtime/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void cleanup_file(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

static int octal(const char *p)
{
	int value = 0;

	for (int i = 0; i < 3; i++) {
		if (p[i] < '0' || p[i] > '7')
			return -1;
		value = value * 8 + (p[i] - '0');
	}
	return value;
}

/* The kernel writes blank, tab, newline and backslash as \040 and so on. */
static void unescape(char *text)
{
	char *out = text;

	for (const char *in = text; *in; out++) {
		int c = *in == '\\' ? octal(in + 1) : -1;

		*out = c >= 0 ? (char)c : *in;
		in += c >= 0 ? 4 : 1;
	}
	*out = '\0';
}

/* "36 35 98:0 /root /mount rw,noatime shared:1 - ext4 /dev/root rw" */
static int parse_line(char *text, struct mount_line *ret_line)
{
	char *separator = strstr(text, " - "), *head = text, *tail, *root, *mount_point;

	if (!separator)
		return -1;
	*separator = '\0';
	tail = separator + 3;
	ret_line->id = strtoull(strsep(&head, " "), NULL, 10);
	(void)strsep(&head, " "); /* parent */
	(void)strsep(&head, " "); /* device */
	root = strsep(&head, " ");
	mount_point = strsep(&head, " ");
	if (!root || !mount_point || !head)
		return -1;
	(void)strsep(&head, " "); /* options of the mount */
	unescape(root);
	unescape(mount_point);
	ret_line->root = root;
	ret_line->mount_point = mount_point;
	ret_line->optional = head ? head : "";
	ret_line->fs_type = strsep(&tail, " ");
	(void)strsep(&tail, " "); /* source */
	ret_line->super_options = strsep(&tail, "\n");
	return ret_line->super_options ? 0 : -1;
}

int mountinfo_scan(mount_visit *visit, void *data, struct error *err)
{
	__attribute__((cleanup(cleanup_file))) FILE *file = fopen("/proc/thread-self/mountinfo", "re");
	_cleanup_free_
	char *text = NULL;
	size_t size = 0;
	int r = 0;

	if (!file)
		return error_sys(err, errno, "open /proc/thread-self/mountinfo");
	while (r == 0 && getline(&text, &size, file) > 0) {
		struct mount_line line;

		if (parse_line(text, &line) == 0)
			r = visit(&line, data, err);
	}
	if (r == 0 && ferror(file))
		return error_sys(err, errno, "read /proc/thread-self/mountinfo");
	return r;
}
