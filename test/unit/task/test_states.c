/* The state machines of sandboxes and containers: what the tables allow passes, everything else ends the process. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "task/container.h"
#include "task/node_impl.h"
#include "task/sandbox.h"

/* Last: its macro fail() would change call.h. */
#include <cmocka.h>

/* A sandbox or container as far as its state machine looks at it: nobody listens to its events. */
static struct node nobody_listens;

static void change_sandbox(int from, int to)
{
	struct sandbox sandbox = { .state = (enum sandbox_state)from, .node = &nobody_listens };

	sandbox_set_state(&sandbox, (enum sandbox_state)to);
	_exit(sandbox.state == (enum sandbox_state)to ? 0 : 1);
}

static void change_container(int from, int to)
{
	struct container container = { .state = (enum container_state)from, .node = &nobody_listens, .process = { .pidfd = 3 } };

	container_set_state(&container, (enum container_state)to);
	_exit(container.state == (enum container_state)to ? 0 : 1);
}

/* True when the change went through, false when it was a trap. */
static bool survives(void (*change)(int from, int to), int from, int to)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit no_core = { 0, 0 };

		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)close(2); /* the trap says why, a hundred times */
		change(from, to);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status)) {
		assert_int_equal(WEXITSTATUS(status), 0);
		return true;
	}
	assert_int_equal(WTERMSIG(status), SIGABRT);
	return false;
}

struct arrow {
	int from, to;
};

static bool is_drawn(const struct arrow *arrows, size_t n, int from, int to)
{
	for (size_t i = 0; i < n; i++)
		if (arrows[i].from == from && arrows[i].to == to)
			return true;
	return false;
}

/* The arrows of the drawings in the headers, and no others. */
static void test_sandbox(void **state)
{
	static const struct arrow arrows[] = {
		{ SANDBOX_CREATING, SANDBOX_READY },    { SANDBOX_CREATING, SANDBOX_GONE },
		{ SANDBOX_READY, SANDBOX_STOPPING },    { SANDBOX_READY, SANDBOX_NOTREADY },
		{ SANDBOX_STOPPING, SANDBOX_NOTREADY }, { SANDBOX_NOTREADY, SANDBOX_STOPPING },
		{ SANDBOX_NOTREADY, SANDBOX_REMOVING }, { SANDBOX_REMOVING, SANDBOX_NOTREADY },
		{ SANDBOX_REMOVING, SANDBOX_GONE },
	};

	(void)state;
	for (int from = 0; from < SANDBOX_STATE_END; from++)
		for (int to = 1; to < SANDBOX_STATE_END; to++) {
			bool drawn = is_drawn(arrows, ARRAY_SIZE(arrows), from, to);

			assert_int_equal(sandbox_may_become((enum sandbox_state)from, (enum sandbox_state)to), drawn);
			if (survives(change_sandbox, from, to) != drawn)
				fail_msg("sandbox %s to %s", sandbox_state_name((enum sandbox_state)from),
					 sandbox_state_name((enum sandbox_state)to));
		}
}

static void test_container(void **state)
{
	static const struct arrow arrows[] = {
		{ CONTAINER_STATE_CREATING, CONTAINER_STATE_CREATED }, { CONTAINER_STATE_CREATING, CONTAINER_STATE_GONE },
		{ CONTAINER_STATE_CREATED, CONTAINER_STATE_STARTING }, { CONTAINER_STATE_CREATED, CONTAINER_STATE_REMOVING },
		{ CONTAINER_STATE_STARTING, CONTAINER_STATE_RUNNING }, { CONTAINER_STATE_STARTING, CONTAINER_STATE_EXITED },
		{ CONTAINER_STATE_RUNNING, CONTAINER_STATE_EXITING },  { CONTAINER_STATE_EXITING, CONTAINER_STATE_EXITED },
		{ CONTAINER_STATE_EXITED, CONTAINER_STATE_REMOVING },  { CONTAINER_STATE_REMOVING, CONTAINER_STATE_EXITED },
		{ CONTAINER_STATE_REMOVING, CONTAINER_STATE_GONE },
	};

	(void)state;
	for (int from = 0; from < CONTAINER_STATE_END; from++)
		for (int to = 1; to < CONTAINER_STATE_END; to++) {
			bool drawn = is_drawn(arrows, ARRAY_SIZE(arrows), from, to);

			assert_int_equal(container_may_become((enum container_state)from, (enum container_state)to), drawn);
			if (survives(change_container, from, to) != drawn)
				fail_msg("container %s to %s", container_state_name((enum container_state)from),
					 container_state_name((enum container_state)to));
		}
}

static void run_without_process(int from, int to)
{
	struct container container = { .state = (enum container_state)from, .node = &nobody_listens, .process = { .pidfd = -1 } };

	container_set_state(&container, (enum container_state)to);
	_exit(0);
}

static void gone_with_containers(int from, int to)
{
	struct container container = { 0 };
	struct sandbox sandbox = { .state = (enum sandbox_state)from, .node = &nobody_listens, .containers = &container };

	sandbox_set_state(&sandbox, (enum sandbox_state)to);
	_exit(0);
}

static void test_broken_rules_are_traps(void **state)
{
	(void)state;
	assert_false(survives(run_without_process, CONTAINER_STATE_STARTING, CONTAINER_STATE_RUNNING));
	assert_true(survives(run_without_process, CONTAINER_STATE_STARTING, CONTAINER_STATE_EXITED));
	assert_false(survives(gone_with_containers, SANDBOX_REMOVING, SANDBOX_GONE));
}

/* What kubelet sees of each state. */
static void test_public_states(void **state)
{
	static const struct {
		enum container_state state;
		Cri__ContainerState seen;
		bool public;
	} table[] = {
		{ CONTAINER_STATE_CREATING, CRI__CONTAINER_STATE__CONTAINER_UNKNOWN, false },
		{ CONTAINER_STATE_CREATED, CRI__CONTAINER_STATE__CONTAINER_CREATED, true },
		{ CONTAINER_STATE_STARTING, CRI__CONTAINER_STATE__CONTAINER_CREATED, true },
		{ CONTAINER_STATE_RUNNING, CRI__CONTAINER_STATE__CONTAINER_RUNNING, true },
		{ CONTAINER_STATE_EXITING, CRI__CONTAINER_STATE__CONTAINER_RUNNING, true },
		{ CONTAINER_STATE_EXITED, CRI__CONTAINER_STATE__CONTAINER_EXITED, true },
		{ CONTAINER_STATE_REMOVING, CRI__CONTAINER_STATE__CONTAINER_EXITED, true },
		{ CONTAINER_STATE_GONE, CRI__CONTAINER_STATE__CONTAINER_UNKNOWN, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct container container = { .state = table[i].state };

		assert_int_equal(container_public_state(&container), table[i].seen);
		assert_int_equal(container_is_public(&container), table[i].public);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sandbox),
		cmocka_unit_test(test_container),
		cmocka_unit_test(test_broken_rules_are_traps),
		cmocka_unit_test(test_public_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
