/*
 * floor: the bare kernel work of one pod start, and nothing else.
 *
 * What a runtime cannot avoid when a pod with one container starts cold: control groups, the pod's namespaces, a veth pair on a
 * bridge with address and route, an overlay, a process in new namespaces with its own file systems, masks, capabilities and a
 * seccomp filter, the exec of a shell, and its first line in a log file. No requests, no records, no checks of anything: an error
 * ends the program. The distance between this number and a runtime's is what the runtime itself costs, on this very machine.
 *
 * One iteration in order, with the step's name in the table:
 *     cgroup   two directories (pod, container) in each hierarchy, device rules
 *     netns    new network, ipc and uts namespaces, held by descriptor; lo up
 *     veth     pair with one end in the pod and the other on the bridge, address, default route, link state
 *     overlay  upper directories and a detached mount
 *     clone    a child in new pid, mount and cgroup namespaces, until its exec
 *     line     until its first line is in the log file
 * Teardown is not measured. Everything runs in a network and a mount namespace of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "floor.h"

enum step { STEP_CGROUP, STEP_NETNS, STEP_VETH, STEP_OVERLAY, STEP_CLONE, STEP_LINE, STEP_TOTAL, STEP_COUNT };

static const char *const step_names[STEP_COUNT] = { "cgroup", "netns", "veth", "overlay", "clone", "line", "total" };

struct floor floor_ = { .iterations = 100, .parallel = 1 };
static uint32_t *samples; /* shared by the workers: [step][iteration] */
static pid_t workers[MAX_PARALLEL];

void die(const char *fmt, ...)
{
	int code = errno;
	va_list args;

	(void)fputs("floor: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	(void)fprintf(stderr, ": %s\n", strerror(code));
	_exit(1);
}

static int64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void write_file(const char *path, const char *value)
{
	int fd = MUST(open(path, O_WRONLY | O_CLOEXEC));

	if (write(fd, value, strlen(value)) < 0)
		die("write '%s' to %s", value, path);
	(void)close(fd);
}

static void run_pod(unsigned number, bool counts)
{
	struct pod pod = { .number = number, .unified_cgroup = -1 };
	int64_t at[STEP_TOTAL + 1];
	int inside;

	at[STEP_CGROUP] = now_us();
	make_cgroups(&pod);
	at[STEP_NETNS] = now_us();
	inside = make_namespaces(&pod);
	at[STEP_VETH] = now_us();
	if (!floor_.host_network)
		make_network(&pod, inside);
	at[STEP_OVERLAY] = now_us();
	make_overlay(&pod);
	at[STEP_CLONE] = now_us();
	start_process(&pod);
	at[STEP_LINE] = now_us();
	log_line(&pod);
	at[STEP_TOTAL] = now_us();
	for (int s = 0; counts && s < STEP_TOTAL; s++)
		samples[s * MAX_ITERATIONS + number] = (uint32_t)(at[s + 1] - at[s]);
	if (counts)
		samples[STEP_TOTAL * MAX_ITERATIONS + number] = (uint32_t)(at[STEP_TOTAL] - at[STEP_CGROUP]);
	end_pod(&pod);
}

static void work(unsigned worker)
{
	/* In a mount namespace of its own each worker's clones copy no mounts of the others. */
	MUST(unshare(CLONE_NEWNS));
	open_own_namespaces(floor_.init_ns);
	run_pod(MAX_ITERATIONS + worker, false);
	for (unsigned i = worker; i < floor_.iterations; i += floor_.parallel)
		run_pod(i, true);
	_exit(0);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t rank(const uint32_t *sorted, unsigned percent)
{
	unsigned index = (floor_.iterations * percent + 99) / 100;

	return sorted[index ? index - 1 : 0];
}

/* One total per line, in microseconds, for whoever adds up several runs. */
static void write_samples(const uint32_t *total)
{
	FILE *f = fopen(floor_.samples_path, "we");

	if (!f)
		die("open %s", floor_.samples_path);
	for (unsigned i = 0; i < floor_.iterations; i++)
		(void)fprintf(f, "%u\n", total[i]);
	if (fclose(f) != 0)
		die("write %s", floor_.samples_path);
}

static void report(double seconds)
{
	(void)printf("the kernel's floor: %s network, %u at a time, %u pods\n", floor_.host_network ? "host" : "pod",
		     floor_.parallel, floor_.iterations);
	(void)printf("  %-20s %9s %9s %9s %9s %9s\n", "milliseconds", "p10", "p50", "p90", "p99", "max");
	for (int s = 0; s < STEP_COUNT; s++) {
		uint32_t *us = samples + s * MAX_ITERATIONS;

		qsort(us, floor_.iterations, sizeof(*us), compare);
		(void)printf("  %-20s %9.3f %9.3f %9.3f %9.3f %9.3f\n", step_names[s], rank(us, 10) / 1e3, rank(us, 50) / 1e3,
			     rank(us, 90) / 1e3, rank(us, 99) / 1e3, us[floor_.iterations - 1] / 1e3);
	}
	(void)printf("  %.1f pods/s, teardown included\n\n", floor_.iterations / seconds);
	if (floor_.samples_path)
		write_samples(samples + STEP_TOTAL * MAX_ITERATIONS);
}

static void usage(void)
{
	(void)fputs("usage: floor [--iterations N] [--parallel N] [--host-network] [--dir DIRECTORY] [--samples FILE]\n", stderr);
	exit(2);
}

static unsigned read_count(const char *text, unsigned max)
{
	char *end = NULL;
	unsigned long n = text ? strtoul(text, &end, 10) : 0;

	if (n < 1 || n > max || *end)
		usage();
	return (unsigned)n;
}

static void read_options(int argc, char **argv)
{
	const char *dir = "/var/tmp";

	for (int i = 1; i < argc; i++) {
		const char *value = argv[i + 1];

		if (strcmp(argv[i], "--host-network") == 0) {
			floor_.host_network = true;
			continue;
		}
		if (strcmp(argv[i], "--iterations") == 0)
			floor_.iterations = read_count(value, MAX_ITERATIONS);
		else if (strcmp(argv[i], "--parallel") == 0)
			floor_.parallel = read_count(value, MAX_PARALLEL);
		else if (strcmp(argv[i], "--dir") == 0 && value)
			dir = value;
		else if (strcmp(argv[i], "--samples") == 0 && value)
			floor_.samples_path = value;
		else
			usage();
		i++;
	}
	(void)snprintf(floor_.dir, sizeof(floor_.dir), "%.3900s/floor.XXXXXX", dir);
}

/* The workers die, their pods with them; main() then cleans up as ever. */
static void on_signal(int signo)
{
	(void)signo;
	for (int i = 0; i < MAX_PARALLEL; i++) {
		if (workers[i] > 0)
			(void)kill(workers[i], SIGKILL);
	}
}

static void share_samples(void)
{
	samples = mmap(NULL, STEP_COUNT * MAX_ITERATIONS * sizeof(*samples), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);
	if (samples == MAP_FAILED)
		die("map samples");
}

static bool run_workers(void)
{
	bool failed = false;
	int status;

	for (unsigned w = 0; w < floor_.parallel; w++) {
		workers[w] = fork();
		if (workers[w] == 0) {
			(void)signal(SIGTERM, SIG_DFL);
			(void)signal(SIGINT, SIG_DFL);
			work(w);
		}
		failed = failed || workers[w] < 0;
	}
	for (unsigned w = 0; w < floor_.parallel; w++) {
		if (workers[w] < 0)
			continue;
		while (waitpid(workers[w], &status, 0) < 0 && errno == EINTR) {
		}
		workers[w] = 0;
		failed = failed || status != 0;
	}
	return !failed;
}

int main(int argc, char **argv)
{
	int64_t began_us;
	bool done;

	read_options(argc, argv);
	share_samples();
	prepare();
	(void)signal(SIGINT, on_signal);
	(void)signal(SIGTERM, on_signal);
	began_us = now_us();
	done = run_workers();
	if (done)
		report((double)(now_us() - began_us) / 1e6);
	clean_up();
	return done ? 0 : 1;
}
