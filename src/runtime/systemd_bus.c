/* The call to systemd, by sd-bus(3) of libsystemd. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <systemd/sd-bus.h>

#include "base/clock.h"
#include "base/mem.h"
#include "runtime/systemd.h"

#define LIBRARY "libsystemd.so.0"

#define SERVICE "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"

/* A job that starts a scope takes milliseconds; a systemd that is reloading answers nobody for seconds. Less than the deadline of the
 * step that calls this. */
#define DEADLINE_US (INT64_C(15) * 1000000)

#define FUNCTIONS(X)                                                                                                               \
	X(sd_bus_open_system)                                                                                                      \
	X(sd_bus_flush_close_unref)                                                                                                \
	X(sd_bus_set_method_call_timeout)                                                                                          \
	X(sd_bus_call_method)                                                                                                      \
	X(sd_bus_call)                                                                                                             \
	X(sd_bus_match_signal)                                                                                                     \
	X(sd_bus_process)                                                                                                          \
	X(sd_bus_wait)                                                                                                             \
	X(sd_bus_error_free)                                                                                                       \
	X(sd_bus_message_new_method_call)                                                                                          \
	X(sd_bus_message_unref)                                                                                                    \
	X(sd_bus_message_append)                                                                                                   \
	X(sd_bus_message_open_container)                                                                                           \
	X(sd_bus_message_close_container)                                                                                          \
	X(sd_bus_message_read)

#define FIELD(function) __typeof__(function) *(function);
static struct {
	FUNCTIONS(FIELD)
} lib;

static int find(void *library, const char *name, void *ret_function, struct error *err)
{
	void *function = dlsym(library, name);

	if (!function)
		return error_set(err, ERR_STATE, "load %s: it has no %s", LIBRARY, name);
	memcpy(ret_function, &function, sizeof(function));
	return 0;
}

int systemd_load(struct error *err)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return error_set(err, ERR_STATE, "the systemd cgroup driver needs %s: install it, or choose cgroupfs", LIBRARY);
#define FIND(function)                                                                                                             \
	if (find(library, #function, &lib.function, err) < 0)                                                                      \
		return -1;
	FUNCTIONS(FIND)
	return 0;
}

/* ---- a connection ---- */

struct conversation {
	sd_bus *bus;
	const char *unit, *slice, *description;
	bool over; /* the unit's job was removed */
	char result[32];
	int64_t until_us;
};

static int fail(int error, const sd_bus_error *said, const char *what, struct error *err)
{
	if (said && said->message)
		return error_set(err, error == -ETIMEDOUT ? ERR_UNAVAILABLE : ERR_INTERNAL, "%s: systemd says: %s", what,
				 said->message);
	return error_set(err, ERR_UNAVAILABLE, "%s: talk to systemd over the system bus: %s", what, strerrordesc_np(-error));
}

/* Failures to build a message are of memory, or ours. */
static int check_built(int r, const char *what, struct error *err)
{
	return r < 0 ? error_sys(err, -r, "%s: write message", what) : 0;
}

static int on_job_removed(sd_bus_message *message, void *arg, sd_bus_error *error)
{
	struct conversation *c = arg;
	const char *job, *unit, *result;
	uint32_t id;

	(void)error;
	if (lib.sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) < 0 || strcmp(unit, c->unit) != 0)
		return 0;
	c->over = true;
	(void)snprintf(c->result, sizeof(c->result), "%s", result);
	return 0;
}

static void hang_up(struct conversation *c)
{
	if (c->bus)
		(void)lib.sd_bus_flush_close_unref(c->bus);
	c->bus = NULL;
}

static int dial(struct conversation *c, const char *unit, const char *what, struct error *err)
{
	int r;

	*c = (struct conversation){ .unit = unit, .until_us = clock_monotonic_us() + DEADLINE_US };
	r = lib.sd_bus_open_system(&c->bus);
	if (r < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: the system bus cannot be reached: %s: is dbus.service running?", what,
				 strerrordesc_np(-r));
	(void)lib.sd_bus_set_method_call_timeout(c->bus, (uint64_t)DEADLINE_US);
	return 0;
}

/* systemd signals the end of jobs only while somebody wants to know. */
static int subscribe(struct conversation *c, const char *what, struct error *err)
{
	sd_bus_error said = SD_BUS_ERROR_NULL;
	int r = lib.sd_bus_match_signal(c->bus, NULL, SERVICE, OBJECT, MANAGER, "JobRemoved", on_job_removed, c);

	if (r >= 0)
		r = lib.sd_bus_call_method(c->bus, SERVICE, OBJECT, MANAGER, "Subscribe", &said, NULL, "");
	if (r < 0)
		(void)fail(r, &said, what, err);
	lib.sd_bus_error_free(&said);
	return r < 0 ? -1 : 0;
}

static int await_job(struct conversation *c, const char *what, struct error *err)
{
	while (!c->over) {
		int64_t left_us = c->until_us - clock_monotonic_us();
		int r = left_us <= 0 ? -ETIMEDOUT : lib.sd_bus_process(c->bus, NULL);

		if (r == 0)
			r = lib.sd_bus_wait(c->bus, (uint64_t)left_us);
		if (r < 0 && r != -EINTR)
			return fail(r, NULL, what, err);
	}
	if (strcmp(c->result, "done") != 0)
		return error_set(err, ERR_INTERNAL, "%s: systemd's job ended as '%s'; see its journal", what, c->result);
	return 0;
}

static int call(struct conversation *c, sd_bus_message *message, const char *what, struct error *err)
{
	sd_bus_error said = SD_BUS_ERROR_NULL;
	int r = lib.sd_bus_call(c->bus, message, (uint64_t)DEADLINE_US, &said, NULL);

	if (r < 0)
		(void)fail(r, &said, what, err);
	lib.sd_bus_error_free(&said);
	return r < 0 ? -1 : 0;
}

/* ---- the message ---- */

/* Accounting turns the controllers on; without TasksMax a scope would get systemd's default, which nobody asked for. */
static int append_properties(sd_bus_message *m, const struct conversation *c, pid_t pid)
{
	static const char *const on[] = { "Delegate", "CPUAccounting", "MemoryAccounting", "TasksAccounting", "IOAccounting" };
	int r = lib.sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s", c->description, "Slice", "s", c->slice,
					  "PIDs", "au", 1, (uint32_t)pid, "DefaultDependencies", "b", 0, "CollectMode", "s",
					  "inactive-or-failed", "TasksMax", "t", UINT64_MAX);

	for (size_t i = 0; i < ARRAY_SIZE(on) && r >= 0; i++)
		r = lib.sd_bus_message_append(m, "(sv)", on[i], "b", 1);
	return r;
}

static int build_start(sd_bus_message *m, const struct conversation *c, pid_t pid)
{
	int r = lib.sd_bus_message_append(m, "ss", c->unit, "fail");

	if (r >= 0)
		r = lib.sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_properties(m, c, pid);
	if (r >= 0)
		r = lib.sd_bus_message_close_container(m);
	return r < 0 ? r : lib.sd_bus_message_append(m, "a(sa(sv))", 0);
}

/* ---- the call ---- */

static int start_scope(struct conversation *c, pid_t pid, const char *what, struct error *err)
{
	sd_bus_message *message = NULL;
	int r = -1;

	if (subscribe(c, what, err) == 0 &&
	    check_built(lib.sd_bus_message_new_method_call(c->bus, &message, SERVICE, OBJECT, MANAGER, "StartTransientUnit"), what,
			err) == 0 &&
	    check_built(build_start(message, c, pid), what, err) == 0 && call(c, message, what, err) == 0)
		r = await_job(c, what, err);
	(void)lib.sd_bus_message_unref(message);
	return r;
}

int systemd_start_scope(const char *unit, const char *slice, const char *description, pid_t pid, struct error *err)
{
	struct conversation c;
	char what[320];
	int r;

	(void)snprintf(what, sizeof(what), "start unit %.255s", unit);
	r = dial(&c, unit, what, err);
	c.slice = slice;
	c.description = description;
	if (r == 0)
		r = start_scope(&c, pid, what, err);
	hang_up(&c);
	return r;
}
