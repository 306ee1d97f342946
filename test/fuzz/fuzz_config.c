/* A configuration file: whatever it holds, reading ends with an error or with a configuration that reads back as it is printed. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"
#include "base/mem.h"

static int read_bytes(struct config *config, const void *data, size_t size, struct error *err)
{
	_cleanup_fd_ int fd = memfd_create("config", MFD_CLOEXEC);
	char path[32];

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return config_read(config, path, err);
}

static char *print(const struct config *config, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	if (!out || config_print(config, out) < 0 || fclose(out) != 0)
		abort();
	return text;
}

static void check_reads_back(const struct config *config)
{
	_cleanup_free_
	char *first = NULL, *second = NULL;
	struct error err = ERROR_INIT;
	struct config again;
	size_t len, len_again;

	first = print(config, &len);
	if (config_init(&again, &err) < 0 || read_bytes(&again, first, len, &err) < 0)
		abort();
	second = print(&again, &len_again);
	if (strcmp(first, second) != 0)
		abort();
	config_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct config config;

	if (config_init(&config, &err) < 0)
		abort();
	if (read_bytes(&config, data, size, &err) == 0)
		check_reads_back(&config);
	else if (err.code == ERR_NONE || err.text[0] == '\0')
		abort();
	config_release(&config);
	return 0;
}
