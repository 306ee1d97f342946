/*
 * The pod's resolv.conf and hosts from whatever a request brings. The input is lines: "s" a server, "d" a search domain, "o" an option,
 * "h" the hostname, "a" the address; in a value, \1 stands for a newline, so that a value can try to be two lines.
 *
 * What is written has exactly the lines that were asked for, each beginning with its keyword; everything else is refused and writes
 * nothing.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRIES 40

static char dir[] = "/tmp/fuzz-files-XXXXXX";
static int dirfd_of_files = -1;

static void remove_files(void)
{
	(void)unlinkat(dirfd_of_files, "resolv.conf", 0);
	(void)unlinkat(dirfd_of_files, "hosts", 0);
	(void)rmdir(dir);
}

static void make_dir(void)
{
	if (dirfd_of_files >= 0)
		return;
	if (!mkdtemp(dir))
		abort();
	dirfd_of_files = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd_of_files < 0 || atexit(remove_files) != 0)
		abort();
}

struct entries {
	char *list[ENTRIES];
	size_t n;
};

struct input {
	struct entries servers, searches, options;
	char *hostname, *address;
};

static void add(struct entries *entries, char *value)
{
	if (entries->n < ENTRIES)
		entries->list[entries->n++] = value;
}

static void take_line(struct input *input, char *line)
{
	for (char *p = line; *p; p++) {
		if (*p == '\1')
			*p = '\n';
	}
	switch (line[0]) {
	case 's':
		add(&input->servers, line + 1);
		break;
	case 'd':
		add(&input->searches, line + 1);
		break;
	case 'o':
		add(&input->options, line + 1);
		break;
	case 'h':
		input->hostname = line + 1;
		break;
	case 'a':
		input->address = line + 1;
		break;
	default:
		break;
	}
}

/* Counts the lines of a written file, and checks what each begins with. */
static size_t count_lines(const char *name, const char *const *keywords, size_t n_keywords)
{
	static char text[64 * 1024];
	int fd = openat(dirfd_of_files, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	char *save = NULL;
	size_t lines = 0;

	if (n < 0)
		abort();
	(void)close(fd);
	text[n] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		size_t i = 0;

		while (i < n_keywords && strncmp(line, keywords[i], strlen(keywords[i])) != 0)
			i++;
		if (i == n_keywords)
			abort();
		lines++;
	}
	return lines;
}

static void try_resolv_conf(const struct input *input)
{
	static const char *const keywords[] = { "nameserver ", "search ", "options " };
	const struct dns_config dns = {
		.servers = input->servers.list,
		.n_servers = input->servers.n,
		.searches = input->searches.list,
		.n_searches = input->searches.n,
		.options = input->options.list,
		.n_options = input->options.n,
	};
	size_t expected = dns.n_servers + (dns.n_searches > 0) + (dns.n_options > 0);
	struct error err = ERROR_INIT;

	if (expected == 0)
		return; /* a copy of the host's file, which is as it is */
	if (write_resolv_conf(dir, &dns, &err) < 0) {
		if (err.code != ERR_INVALID)
			abort();
		return;
	}
	if (count_lines("resolv.conf", keywords, 3) != expected)
		abort();
}

static void try_hosts(const struct input *input)
{
	const char *const keywords[] = { "127.0.0.1\t", "::1\t", input->address ? input->address : "::1\t" };
	struct error err = ERROR_INIT;

	if (!input->hostname)
		return;
	if (write_hosts(dir, input->hostname, input->address, &err) < 0) {
		if (err.code != ERR_INVALID)
			abort();
		return;
	}
	if (count_lines("hosts", keywords, 3) != (input->address ? 3u : 2u))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { 0 };
	char *text = malloc(size + 1), *save = NULL;

	if (!text)
		abort();
	make_dir();
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		take_line(&input, line);
	try_resolv_conf(&input);
	try_hosts(&input);
	free(text);
	return 0;
}
