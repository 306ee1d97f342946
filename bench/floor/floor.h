/* The parts of the floor program; see main.c for what it does. */
#ifndef MONOPOD_BENCH_FLOOR_H
#define MONOPOD_BENCH_FLOOR_H

#include <limits.h>
#include <linux/filter.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_ITERATIONS 5000
#define MAX_PARALLEL 64
#define MAX_HIERARCHIES 16

/* As long as a good default profile compiles to. */
#define FILTER_RULES 64

/* What all iterations share; filled once, by prepare(). */
struct floor {
	unsigned iterations;
	unsigned parallel;
	bool host_network;
	const char *samples_path; /* NULL: do not write them */
	char dir[PATH_MAX];       /* image and upper directories */

	struct hierarchy {
		char path[256]; /* of our directory in it */
		bool unified;
		bool devices;
	} hierarchies[MAX_HIERARCHIES];
	unsigned n_hierarchies;
	unsigned bridge_index;
	int init_ns[3];     /* net, ipc, uts of this process */
	int device_program; /* BPF; -1: none */
	struct sock_filter filter[FILTER_RULES + 4];
};

extern struct floor floor_;

/* One pod while it lives. */
struct pod {
	unsigned number;
	int ns[3]; /* net, ipc, uts */
	int overlay;
	int log;
	int line_pipe[2];
	int unified_cgroup; /* -1: version 1 only */
	pid_t pid;
	char dir[PATH_MAX];
	char cgroup[64];
};

#define NS_NET 0
#define NS_IPC 1
#define NS_UTS 2
static const int ns_flags[3] = { CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS };

/* Ends the process with the text and errno: the floor handles no error. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);

#define MUST(call)                                                                                                                 \
	({                                                                                                                         \
		__typeof__(call) _result = (call);                                                                                 \
		if (_result < 0)                                                                                                   \
			die("%s", #call);                                                                                          \
		_result;                                                                                                           \
	})

void write_file(const char *path, const char *value);

/* prepare.c */
void prepare(void);
void clean_up(void);
void inherit_cpuset(const char *path);
void open_own_namespaces(int fds[3]);

/* net.c */
void make_bridge(void);
void bring_up_loopback(int inside);
void make_network(const struct pod *pod, int inside);

/* host.c */
void make_cgroups(struct pod *pod);
int make_namespaces(struct pod *pod); /* returns a netlink socket inside, -1 with the host's network */
void make_overlay(struct pod *pod);
void log_line(struct pod *pod);
void end_pod(struct pod *pod);
void remove_cgroup(const char *path);

/* child.c */
void start_process(struct pod *pod);

#endif
