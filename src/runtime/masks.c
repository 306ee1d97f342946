#include "runtime/masks.h"

#include <ctype.h>
#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define CPU_DIR "/sys/devices/system/cpu"

/* Each costs a start some microseconds, and a plan holds 4096 operations (init/format.h). */
#define MAX_CPUS 1024

static const char *const everywhere[] = {
	"/proc/acpi",        "/proc/asound", "/proc/interrupts", "/proc/kcore",       "/proc/keys",    "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi",   "/proc/timer_list", "/proc/timer_stats", "/sys/firmware", MASK_POWERCAP,
};

static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL };

static const char *masked[ARRAY_SIZE(everywhere) + MAX_CPUS + 1];

static bool is_cpu(const char *name)
{
	return !strncmp(name, "cpu", 3) && isdigit((unsigned char)name[3]) && name[3 + strspn(name + 3, "0123456789")] == '\0';
}

/* "/sys/devices/system/cpu/cpu3/thermal_throttle", when it is there: how often a CPU got hot is a side channel too. */
static char *thermal_of(const char *cpu)
{
	char *path = NULL;

	if (!is_cpu(cpu) || asprintf(&path, CPU_DIR "/%s/thermal_throttle", cpu) < 0)
		return NULL;
	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return NULL;
}

static void fill(void)
{
	DIR *dir = opendir(CPU_DIR);
	size_t n = 0;

	for (; n < ARRAY_SIZE(everywhere); n++)
		masked[n] = everywhere[n];
	for (const struct dirent *entry; dir && n + 1 < ARRAY_SIZE(masked) && (entry = readdir(dir));) {
		const char *path = thermal_of(entry->d_name);

		if (path)
			masked[n++] = path;
	}
	if (dir)
		(void)closedir(dir);
}

const char *const *masks_default(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, fill);
	return masked;
}

const char *const *readonly_default(void)
{
	return readonly;
}
