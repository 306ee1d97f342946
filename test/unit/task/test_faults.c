/*
 * Each step of a pod's and a container's start fails once, by table, and each kind of operation of the plan: the caller is told which,
 * nothing stays, and the same request then succeeds.
 */
#include "node_fixture.h"

#include "runtime/plan.h"
#include "task/machines.h"

static char fault_file[96];

static void arm(const char *machine, const char *step)
{
	char point[96];
	struct error err = ERROR_INIT;
	int len = snprintf(point, sizeof(point), "%s/%s\n", machine, step);

	assert_ok(io_replace_file(AT_FDCWD, fault_file, point, (size_t)len, 0600, &err), &err);
}

static void disarm(void)
{
	(void)unlink(fault_file);
}

#ifdef MONOPOD_FAULTS
#define need_faults() need_node()
#else
#define need_faults()                                                                                                              \
	do {                                                                                                                       \
		print_message("skipped: built without MONOPOD_FAULTS\n");                                                          \
		skip();                                                                                                            \
	} while (0)
#endif

static int setup(void **state)
{
	int result = node_setup(state);

	(void)snprintf(fault_file, sizeof(fault_file), "%s/fault", node_dir);
	(void)setenv("MONOPOD_FAULT_FILE", fault_file, 1);
	return result;
}

static int teardown(void **state)
{
	disarm();
	return node_teardown(state);
}

static unsigned count_pods(struct fixture *f)
{
	return HASH_COUNT(f->node->sandboxes);
}

static void test_each_step_of_a_pod(void **state)
{
	struct fixture *f = *state;
	struct inventory before;

	need_faults();
	before = take_inventory();
	for (size_t i = 0; i < run_pod_machine.n_steps; i++) {
		const char *step = run_pod_machine.steps[i].name;
		char name[] = "faulty", id[ID_SIZE];
		struct pod_request pod;
		struct error err;

		pod_request_init(&pod, name, CRI__NAMESPACE_MODE__POD);
		arm("run_pod", step);
		err = call_error(f, op_run_pod_sandbox, &pod.request.base);
		disarm();
		assert_non_null(strstr(err.text, "run pod test/faulty"));
		assert_non_null(strstr(err.text, step));
		assert_int_equal(count_pods(f), 0);
		assert_inventory(f, &before);
		run_pod(f, &pod, id);
		stop_pod(f, id);
		remove_pod(f, id);
		assert_inventory(f, &before);
	}
}

/* Every step of a stop or removal fails once too: a second try ends what the first began. */
static void test_each_step_of_an_end(void **state)
{
	static const struct machine *const machines[] = { &stop_pod_machine, &remove_pod_machine, &remove_container_machine };
	struct fixture *f = *state;
	struct inventory before;

	need_faults();
	before = take_inventory();
	for (size_t m = 0; m < ARRAY_SIZE(machines); m++)
		for (size_t i = 0; i < machines[m]->n_steps; i++) {
			Cri__RemovePodSandboxRequest request = CRI__REMOVE_POD_SANDBOX_REQUEST__INIT;
			char name[] = "ending", main_name[] = "main", pod_id[ID_SIZE], id[ID_SIZE];
			struct container_request container;
			struct pod_request pod;
			struct error err;

			pod_request_init(&pod, name, CRI__NAMESPACE_MODE__POD);
			run_pod(f, &pod, pod_id);
			container_request_init(&container, pod_id, main_name, "sleep 1000", CRI__NAMESPACE_MODE__POD);
			create_container(f, &container, id);
			start_container(f, id);
			arm(machines[m]->name, machines[m]->steps[i].name);
			request.pod_sandbox_id = pod_id;
			err = call_error(f, op_remove_pod_sandbox, &request.base);
			disarm();
			assert_non_null(strstr(err.text, machines[m]->steps[i].name));
			remove_pod(f, pod_id);
			assert_inventory(f, &before);
		}
}

/* An exit that cannot be dealt with step by step is told nevertheless. */
static void test_each_step_of_an_exit(void **state)
{
	struct fixture *f = *state;
	struct inventory before;

	need_faults();
	before = take_inventory();
	for (size_t i = 0; i < exit_container_machine.n_steps; i++) {
		char name[] = "exiting", main_name[] = "main", pod_id[ID_SIZE], id[ID_SIZE];
		struct container_request container;
		struct pod_request pod;

		pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
		run_pod(f, &pod, pod_id);
		container_request_init(&container, pod_id, main_name, "exit 3", CRI__NAMESPACE_MODE__CONTAINER);
		create_container(f, &container, id);
		arm("exit_container", exit_container_machine.steps[i].name);
		start_container(f, id);
		assert_int_equal(wait_exit(f, id, NULL), 3);
		for (int turns = 0; turns < 200 && f->node->operations; turns++)
			turn(&f->loop);
		disarm();
		stop_pod(f, pod_id);
		remove_pod(f, pod_id);
		assert_inventory(f, &before);
	}
}

/* Tries to start a container with a fault armed. True when that failed, as it must unless `optional`. */
static bool start_with_fault(struct fixture *f, char *pod_id, const char *machine, const char *step, const char *expected,
			     bool optional)
{
	Cri__StartContainerRequest start = CRI__START_CONTAINER_REQUEST__INIT;
	char name[] = "faulty", id[ID_SIZE] = "";
	struct container_request container;
	struct test_call test;
	bool failed;

	container_request_init(&container, pod_id, name, "sleep 1000", CRI__NAMESPACE_MODE__CONTAINER);
	arm(machine, step);
	call_run(f, &test, op_create_container, &container.request.base);
	if (!test.failed) {
		(void)snprintf(id, sizeof(id), "%s", ((Cri__CreateContainerResponse *)test.reply)->container_id);
		call_end(&test);
		start.container_id = id;
		call_run(f, &test, op_start_container, &start.base);
	}
	disarm();
	failed = test.failed;
	if (!failed && !optional)
		fail_msg("%s/%s did not fail", machine, step);
	if (failed && (!strstr(test.err.text, "container faulty") || !strstr(test.err.text, expected)))
		fail_msg("%s/%s: %s", machine, step, test.err.text);
	call_end(&test);
	if (id[0])
		remove_container(f, id);
	return failed;
}

/* The same request, without a fault. */
static void start_well(struct fixture *f, char *pod_id)
{
	char name[] = "faulty", id[ID_SIZE];
	struct container_request container;

	container_request_init(&container, pod_id, name, "sleep 1000", CRI__NAMESPACE_MODE__CONTAINER);
	create_container(f, &container, id);
	start_container(f, id);
	remove_container(f, id);
}

static void test_each_step_of_a_container(void **state)
{
	static const struct machine *const machines[] = { &create_container_machine, &start_container_machine };
	struct fixture *f = *state;
	char name[] = "holder", pod_id[ID_SIZE];
	struct inventory before;
	struct pod_request pod;

	need_faults();
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	run_pod(f, &pod, pod_id);
	start_well(f, pod_id); /* makes the pod's parent cgroup, which stays as long as the pod */
	before = take_inventory();
	for (size_t m = 0; m < ARRAY_SIZE(machines); m++)
		for (size_t i = 0; i < machines[m]->n_steps; i++) {
			const char *step = machines[m]->steps[i].name;

			(void)start_with_fault(f, pod_id, machines[m]->name, step, step, false);
			assert_inventory(f, &before);
			start_well(f, pod_id);
			assert_inventory(f, &before);
		}
	stop_pod(f, pod_id);
	remove_pod(f, pod_id);
}

/* Not every container has every kind of operation (a terminal, a pod's init); those that this one has must fail it. */
static void test_each_operation_of_the_plan(void **state)
{
	struct fixture *f = *state;
	char name[] = "holder", pod_id[ID_SIZE];
	struct inventory before;
	struct pod_request pod;
	unsigned failed = 0;

	need_faults();
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	run_pod(f, &pod, pod_id);
	start_well(f, pod_id);
	before = take_inventory();
	for (size_t i = 0; plan_op_kind(i); i++) {
		failed += start_with_fault(f, pod_id, "plan", plan_op_kind(i), "spawn: ", true);
		assert_inventory(f, &before);
		start_well(f, pod_id);
	}
	assert_true(failed >= 15);
	assert_inventory(f, &before);
	stop_pod(f, pod_id);
	remove_pod(f, pod_id);
}

#define FAULT_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	FAULT_TEST(test_each_step_of_a_pod),         FAULT_TEST(test_each_step_of_an_end),
	FAULT_TEST(test_each_step_of_an_exit),       FAULT_TEST(test_each_step_of_a_container),
	FAULT_TEST(test_each_operation_of_the_plan),
};

NODE_FIXTURE_MAIN(tests)
