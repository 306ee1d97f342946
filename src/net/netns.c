#include "net/netns.h"

#include <errno.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Enough for the netlink buffers of one batch and for sanitizers; the default of 8 MiB would be mapped for each call. */
#define STACK_SIZE ((size_t)512 * 1024)

int netns_identify_self(struct netns_id *ret_id, struct error *err)
{
	struct stat st;

	if (stat("/proc/thread-self/ns/net", &st) < 0)
		return error_sys(err, errno, "look at our network namespace");
	*ret_id = (struct netns_id){ .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

int netns_check_pod(int netns, const struct netns_id *host, struct error *err)
{
	struct stat st;

	/* Anything else than a namespace fails here with ENOTTY, EBADF or the like. */
	if (ioctl(netns, NS_GET_NSTYPE) != CLONE_NEWNET || fstat(netns, &st) < 0)
		return error_set(err, ERR_INVALID, "descriptor %d is no network namespace", netns);
	if (st.st_dev == host->dev && st.st_ino == host->ino)
		return error_set(err, ERR_INVALID, "the namespace is the host's own");
	return 0;
}

struct visit {
	int netns;
	netns_fn *fn;
	void *arg;
	struct error *err;
	int result;
};

static void *run_visit(void *arg)
{
	struct visit *v = arg;

	if (setns(v->netns, CLONE_NEWNET) < 0)
		v->result = error_sys(v->err, errno, "enter network namespace");
	else
		v->result = v->fn(v->arg, v->err);
	return NULL;
}

/* Signals are the business of the threads that were there before. */
static int prepare_attributes(pthread_attr_t *attributes)
{
	sigset_t all;
	int r;

	(void)sigfillset(&all);
	r = pthread_attr_setsigmask_np(attributes, &all);
	if (r == 0)
		r = pthread_attr_setstacksize(attributes, STACK_SIZE);
	return r;
}

int netns_call(int netns, netns_fn *fn, void *arg, struct error *err)
{
	struct visit v = { .netns = netns, .fn = fn, .arg = arg, .err = err };
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	r = pthread_attr_init(&attributes);
	if (r != 0)
		return error_sys(err, r, "prepare thread for network namespace");
	r = prepare_attributes(&attributes);
	if (r == 0)
		r = pthread_create(&thread, &attributes, run_visit, &v);
	(void)pthread_attr_destroy(&attributes);
	if (r != 0)
		return error_sys(err, r, "start thread for network namespace");
	(void)pthread_join(thread, NULL);
	return v.result;
}
