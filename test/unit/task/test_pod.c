/* Real pods through the node's operations: what runs, what is seen of it, and that nothing stays. */
#include "node_fixture.h"

#include "task/message.h"

static char no_name[] = "nobody";

static Cri__ExecSyncResponse *exec(struct fixture *f, struct test_call *test, char *id, const char *script, int64_t timeout_s)
{
	char sh[] = "sh", dash_c[] = "-c", text[512], *cmd[] = { sh, dash_c, text };
	Cri__ExecSyncRequest request = CRI__EXEC_SYNC_REQUEST__INIT;

	(void)snprintf(text, sizeof(text), "%s", script);
	request.container_id = id;
	request.cmd = cmd;
	request.n_cmd = ARRAY_SIZE(cmd);
	request.timeout = timeout_s;
	call_run(f, test, op_exec_sync, &request.base);
	return test->failed ? NULL : (Cri__ExecSyncResponse *)test->reply;
}

static void assert_text(const ProtobufCBinaryData *data, const char *text)
{
	assert_int_equal(data->len, strlen(text));
	if (data->len > 0)
		assert_memory_equal(data->data, text, data->len);
}

/* ---- a life ---- */

static void live(struct fixture *f, Cri__NamespaceMode pid)
{
	struct inventory before = take_inventory();
	char name[] = "life", main_name[] = "main", pod_id[ID_SIZE], id[ID_SIZE];
	const Cri__ExecSyncResponse *done;
	struct container_request container;
	struct test_call test;
	struct pod_request pod;

	pod_request_init(&pod, name, pid);
	run_pod(f, &pod, pod_id);
	container_request_init(&container, pod_id, main_name, "echo hello from $HOSTNAME; echo $FROM; exec sleep 1000", pid);
	create_container(f, &container, id);
	start_container(f, id);
	expect_log(f, "main", " stdout F hello from life\n");
	expect_log(f, "main", " stdout F image\n");
	done = exec(f, &test, id, "echo out; echo err >&2; exit 7", 10);
	assert_non_null(done);
	assert_int_equal(done->exit_code, 7);
	assert_text(&done->stdout, "out\n");
	assert_text(&done->stderr, "err\n");
	call_end(&test);
	stop_container(f, id, 0);
	assert_int_equal(wait_exit(f, id, NULL), 137);
	remove_container(f, id);
	stop_pod(f, pod_id);
	remove_pod(f, pod_id);
	assert_inventory(f, &before);
}

static void test_life(void **state)
{
	need_node();
	live(*state, CRI__NAMESPACE_MODE__CONTAINER);
	live(*state, CRI__NAMESPACE_MODE__POD);
	live(*state, CRI__NAMESPACE_MODE__NODE);
}

/* ---- one pod, several questions ---- */

struct one_pod {
	struct fixture *f;
	struct inventory before;
	char pod_id[ID_SIZE];
	struct pod_request pod;
	char name[16];
};

static void begin_pod(struct one_pod *p, struct fixture *f, Cri__NamespaceMode pid)
{
	p->f = f;
	p->before = take_inventory();
	(void)snprintf(p->name, sizeof(p->name), "one");
	pod_request_init(&p->pod, p->name, pid);
	run_pod(f, &p->pod, p->pod_id);
}

static void end_pod(struct one_pod *p)
{
	stop_pod(p->f, p->pod_id);
	remove_pod(p->f, p->pod_id);
	assert_inventory(p->f, &p->before);
}

static void start_script(struct one_pod *p, char *name, const char *script, char id[ID_SIZE])
{
	struct container_request container;

	container_request_init(&container, p->pod_id, name, script, p->pod.namespaces.pid);
	create_container(p->f, &container, id);
	start_container(p->f, id);
}

static void test_exits_are_told_with_their_reason(void **state)
{
	char zero[] = "zero", seven[] = "seven", id[ID_SIZE], reason[32];
	struct one_pod p;

	need_node();
	begin_pod(&p, *state, CRI__NAMESPACE_MODE__CONTAINER);
	start_script(&p, zero, "echo done", id);
	assert_int_equal(wait_exit(p.f, id, reason), 0);
	assert_string_equal(reason, "Completed");
	expect_log(p.f, "zero", " stdout F done\n");
	start_script(&p, seven, "printf unfinished; exit 7", id);
	assert_int_equal(wait_exit(p.f, id, reason), 7);
	assert_string_equal(reason, "Error");
	expect_log(p.f, "seven", " stdout P unfinished\n"); /* at once: the exit is told after the log */
	end_pod(&p);
}

static void test_a_failed_start_is_told_twice_alike(void **state)
{
	char name[] = "missing", id[ID_SIZE];
	Cri__StartContainerRequest request = CRI__START_CONTAINER_REQUEST__INIT;
	const Cri__ContainerStatus *status;
	struct container_request container;
	struct one_pod p;
	struct test_call test;
	struct error err;

	need_node();
	begin_pod(&p, *state, CRI__NAMESPACE_MODE__CONTAINER);
	container_request_init(&container, p.pod_id, name, "true", CRI__NAMESPACE_MODE__CONTAINER);
	(void)snprintf(container.words[0], sizeof(container.words[0]), "/no/such/program");
	create_container(p.f, &container, id);
	request.container_id = id;
	err = call_error(p.f, op_start_container, &request.base);
	assert_non_null(strstr(err.text, "start container missing: spawn: exec /no/such/program: No such file or directory"));
	status = container_status(p.f, &test, id);
	assert_int_equal(status->state, CRI__CONTAINER_STATE__CONTAINER_EXITED);
	assert_int_equal(status->exit_code, 128);
	assert_string_equal(status->reason, "StartError");
	assert_string_equal(status->message, err.text);
	call_end(&test);
	err = call_error(p.f, op_start_container, &request.base); /* not a second time */
	assert_int_equal(err.code, ERR_STATE);
	end_pod(&p);
}

static void test_out_of_memory_is_told(void **state)
{
	char name[] = "eater", id[ID_SIZE], reason[32];
	struct container_request container;
	struct one_pod p;
	struct test_call test;
	bool limited;

	need_node();
	begin_pod(&p, *state, CRI__NAMESPACE_MODE__CONTAINER);
	container_request_init(&container, p.pod_id, name, "exec tail /dev/zero", CRI__NAMESPACE_MODE__CONTAINER);
	container.resources.memory_limit_in_bytes = 16 << 20;
	create_container(p.f, &container, id);
	{
		Cri__StartContainerRequest request = CRI__START_CONTAINER_REQUEST__INIT;

		request.container_id = id;
		call_run(p.f, &test, op_start_container, &request.base);
	}
	limited = !test.failed;
	if (!limited)
		assert_non_null(strstr(test.err.text, "memory"));
	call_end(&test);
	if (limited) {
		assert_int_equal(wait_exit(p.f, id, reason), 137);
		assert_string_equal(reason, "OOMKilled");
	}
	end_pod(&p);
	if (!limited) {
		print_message("skipped: no memory controller here\n");
		skip();
	}
}

static void test_exec(void **state)
{
	char name[] = "target", id[ID_SIZE], absent[] = "0123456789abcdef", long_script[] = "head -c 20000000 /dev/zero";
	const Cri__ExecSyncResponse *done;
	struct one_pod p;
	struct test_call test;
	int64_t began_us;

	need_node();
	begin_pod(&p, *state, CRI__NAMESPACE_MODE__CONTAINER);
	start_script(&p, name, "sleep 1000", id);
	done = exec(p.f, &test, id, long_script, 60);
	assert_non_null(done);
	/* the rest is dropped, so that the reply is one that clients take, and the command ends well */
	assert_in_range(done->stdout.len, (16 << 20) - 4096, 16 << 20);
	assert_int_equal(done->exit_code, 0);
	call_end(&test);
	began_us = clock_monotonic_us();
	assert_null(exec(p.f, &test, id, "sleep 77 & sleep 78", 1));
	assert_int_equal(test.err.code, ERR_DEADLINE);
	assert_in_range(clock_monotonic_us() - began_us, 900000, 10000000);
	call_end(&test);
	done = exec(p.f, &test, id, "ps | grep -c 'sleep 7[78]' ; true", 10);
	assert_text(&done->stdout, "0\n"); /* the whole session went */
	call_end(&test);
	began_us = clock_monotonic_us();
	done = exec(p.f, &test, id, "sleep 30 & echo done", 20);
	assert_text(&done->stdout, "done\n");
	assert_true(clock_monotonic_us() - began_us < 5000000);
	call_end(&test);
	assert_null(exec(p.f, &test, absent, "true", 1));
	assert_int_equal(test.err.code, ERR_NOT_FOUND);
	call_end(&test);
	stop_container(p.f, id, 0);
	assert_null(exec(p.f, &test, id, "true", 1));
	assert_int_equal(test.err.code, ERR_STATE);
	call_end(&test);
	end_pod(&p);
}

/* ---- stopping ---- */

static void test_a_second_stop_need_not_wait_for_the_first(void **state)
{
	Cri__StopContainerRequest slow = CRI__STOP_CONTAINER_REQUEST__INIT;
	char name[] = "deaf", id[ID_SIZE];
	struct one_pod p;
	struct test_call first;
	int64_t began_us;

	need_node();
	begin_pod(&p, *state, CRI__NAMESPACE_MODE__CONTAINER);
	start_script(&p, name, "trap '' TERM; echo up; while :; do sleep 1; done", id);
	expect_log(p.f, "deaf", "up");
	began_us = clock_monotonic_us();
	slow.container_id = id;
	slow.timeout = 1000;
	call_begin(p.f, &first, op_stop_container, &slow.base);
	for (int i = 0; i < 10; i++)
		turn(&p.f->loop);
	assert_false(first.done);
	stop_container(p.f, id, 0);
	call_wait(p.f, &first);
	assert_false(first.failed);
	assert_true(clock_monotonic_us() - began_us < 20000000);
	call_end(&first);
	stop_container(p.f, id, 1); /* stopped already */
	end_pod(&p);
}

static void test_the_stop_signal_comes_first(void **state)
{
	char name[] = "polite", id[ID_SIZE];
	struct container_request container;
	struct one_pod p;

	need_node();
	begin_pod(&p, *state, CRI__NAMESPACE_MODE__CONTAINER);
	container_request_init(&container, p.pod_id, name, "trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done",
			       CRI__NAMESPACE_MODE__CONTAINER);
	container.config.stop_signal = CRI__SIGNAL__SIGNAL_SIGUSR1;
	create_container(p.f, &container, id);
	start_container(p.f, id);
	expect_log(p.f, "polite", "up");
	stop_container(p.f, id, 30);
	assert_int_equal(wait_exit(p.f, id, NULL), 9);
	end_pod(&p);
}

static void test_unknown_objects(void **state)
{
	Cri__PodSandboxStatusRequest pod_status = CRI__POD_SANDBOX_STATUS_REQUEST__INIT;
	Cri__ContainerStatusRequest status = CRI__CONTAINER_STATUS_REQUEST__INIT;
	Cri__StartContainerRequest start = CRI__START_CONTAINER_REQUEST__INIT;
	struct fixture *f = *state;

	need_node();
	stop_pod(f, no_name);
	remove_pod(f, no_name);
	stop_container(f, no_name, 0);
	remove_container(f, no_name);
	pod_status.pod_sandbox_id = status.container_id = start.container_id = no_name;
	assert_int_equal(call_error(f, op_pod_sandbox_status, &pod_status.base).code, ERR_NOT_FOUND);
	assert_int_equal(call_error(f, op_container_status, &status.base).code, ERR_NOT_FOUND);
	assert_int_equal(call_error(f, op_start_container, &start.base).code, ERR_NOT_FOUND);
}

/* ---- repeated requests ---- */

static void test_repeated_requests_join(void **state)
{
	struct fixture *f = *state;
	struct inventory before;
	char name[] = "twice", main_name[] = "main", pod_id[ID_SIZE], id[ID_SIZE], again[ID_SIZE];
	struct test_call first, second;
	struct container_request container;
	struct pod_request pod;

	need_node();
	before = take_inventory();
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	call_begin(f, &first, op_run_pod_sandbox, &pod.request.base);
	call_begin(f, &second, op_run_pod_sandbox, &pod.request.base);
	call_wait(f, &first);
	call_wait(f, &second);
	assert_false(first.failed || second.failed);
	(void)snprintf(pod_id, ID_SIZE, "%s", ((Cri__RunPodSandboxResponse *)first.reply)->pod_sandbox_id);
	assert_string_equal(((Cri__RunPodSandboxResponse *)second.reply)->pod_sandbox_id, pod_id);
	call_end(&first);
	call_end(&second);
	run_pod(f, &pod, again);
	assert_string_equal(again, pod_id);

	container_request_init(&container, pod_id, main_name, "sleep 1000", CRI__NAMESPACE_MODE__CONTAINER);
	create_container(f, &container, id);
	create_container(f, &container, again);
	assert_string_equal(again, id);
	(void)snprintf(container.words[2], sizeof(container.words[2]), "sleep 2000");
	assert_int_equal(call_error(f, op_create_container, &container.request.base).code, ERR_EXISTS);
	stop_pod(f, pod_id);
	stop_pod(f, pod_id);
	assert_int_equal(call_error(f, op_run_pod_sandbox, &pod.request.base).code, ERR_EXISTS);
	remove_pod(f, pod_id);
	remove_pod(f, pod_id);
	assert_inventory(f, &before);
}

/* ---- callers that go away ---- */

static void cancel(struct test_call *test)
{
	struct error why = ERROR_INIT;

	(void)error_set(&why, ERR_CANCELLED, "the client went away");
	if (!test->done && test->call.on_cancel)
		test->call.on_cancel(&test->call, &why);
}

/* Whenever the only caller leaves: what was begun is undone, or the pod is there; nothing in between. */
static void test_a_pod_whose_caller_leaves_is_undone(void **state)
{
	struct fixture *f = *state;
	struct inventory before;
	unsigned undone = 0;

	need_node();
	before = take_inventory();
	for (int turns = 0; turns < 40; turns++) {
		char name[] = "left", pod_id[ID_SIZE];
		struct pod_request pod;
		struct test_call test;

		pod_request_init(&pod, name, turns % 2 ? CRI__NAMESPACE_MODE__POD : CRI__NAMESPACE_MODE__CONTAINER);
		call_begin(f, &test, op_run_pod_sandbox, &pod.request.base);
		for (int i = 0; i < turns && !test.done; i++)
			(void)uv_run(&f->loop.uv, UV_RUN_NOWAIT);
		cancel(&test);
		call_wait(f, &test);
		undone += test.failed;
		call_end(&test);
		run_pod(f, &pod, pod_id); /* at once: a name that is being undone is waited for */
		stop_pod(f, pod_id);
		remove_pod(f, pod_id);
		assert_inventory(f, &before);
	}
	assert_true(undone > 0);
}

/* The next one queues on the object, wherever its removal is, and then begins anew. */
static void test_a_name_that_is_being_removed_is_waited_for(void **state)
{
	Cri__RemoveContainerRequest remove_main = CRI__REMOVE_CONTAINER_REQUEST__INIT;
	Cri__RemovePodSandboxRequest remove_all = CRI__REMOVE_POD_SANDBOX_REQUEST__INIT;
	char main_name[] = "main", id[ID_SIZE], again[ID_SIZE];
	struct container_request container;
	struct test_call removal;
	struct one_pod p;

	need_node();
	begin_pod(&p, *state, CRI__NAMESPACE_MODE__CONTAINER);
	container_request_init(&container, p.pod_id, main_name, "sleep 1000", CRI__NAMESPACE_MODE__CONTAINER);
	create_container(p.f, &container, id);
	for (int turns = 0; turns < 12; turns++) {
		if (turns % 2)
			start_container(p.f, id);
		remove_main.container_id = id;
		call_begin(p.f, &removal, op_remove_container, &remove_main.base);
		for (int i = 0; i < turns && !removal.done; i++)
			(void)uv_run(&p.f->loop.uv, UV_RUN_NOWAIT);
		create_container(p.f, &container, again);
		assert_true(removal.done && !removal.failed);
		call_end(&removal);
		assert_string_not_equal(again, id);
		(void)snprintf(id, sizeof(id), "%s", again);
	}
	for (int turns = 0; turns < 12; turns++) {
		(void)snprintf(id, sizeof(id), "%s", p.pod_id);
		remove_all.pod_sandbox_id = id;
		call_begin(p.f, &removal, op_remove_pod_sandbox, &remove_all.base);
		for (int i = 0; i < turns && !removal.done; i++)
			(void)uv_run(&p.f->loop.uv, UV_RUN_NOWAIT);
		run_pod(p.f, &p.pod, p.pod_id);
		assert_true(removal.done && !removal.failed);
		call_end(&removal);
		assert_string_not_equal(p.pod_id, id);
	}
	end_pod(&p);
}

/* The same for a container: it was not begun, or ended with a start error, or runs; never something in between. */
static void test_a_start_whose_caller_leaves(void **state)
{
	Cri__StartContainerRequest request = CRI__START_CONTAINER_REQUEST__INIT;
	char name[] = "left", id[ID_SIZE];
	struct container_request container;
	struct inventory before;
	unsigned undone = 0;
	struct one_pod p;

	need_node();
	begin_pod(&p, *state, CRI__NAMESPACE_MODE__CONTAINER);
	container_request_init(&container, p.pod_id, name, "sleep 1000", CRI__NAMESPACE_MODE__CONTAINER);
	create_container(p.f, &container, id);
	start_container(p.f, id);
	remove_container(p.f, id);
	before = take_inventory();
	for (int turns = 0; turns < 40; turns++) {
		const Cri__ContainerStatus *status;
		struct test_call test, seen;

		create_container(p.f, &container, id);
		request.container_id = id;
		call_begin(p.f, &test, op_start_container, &request.base);
		for (int i = 0; i < turns && !test.done; i++)
			(void)uv_run(&p.f->loop.uv, UV_RUN_NOWAIT);
		cancel(&test);
		call_wait(p.f, &test);
		status = container_status(p.f, &seen, id);
		if (!test.failed)
			assert_int_equal(status->state, CRI__CONTAINER_STATE__CONTAINER_RUNNING);
		else if (status->state == CRI__CONTAINER_STATE__CONTAINER_EXITED)
			assert_int_equal(status->exit_code, 128);
		else
			assert_int_equal(status->state, CRI__CONTAINER_STATE__CONTAINER_CREATED);
		undone += status->exit_code == 128;
		call_end(&seen);
		call_end(&test);
		remove_container(p.f, id);
		assert_inventory(p.f, &before);
	}
	assert_true(undone > 0);
	end_pod(&p);
}

static void test_one_of_two_callers_leaves(void **state)
{
	struct fixture *f = *state;
	char name[] = "shared", pod_id[ID_SIZE];
	struct test_call first, second;
	struct pod_request pod;

	need_node();
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	call_begin(f, &first, op_run_pod_sandbox, &pod.request.base);
	call_begin(f, &second, op_run_pod_sandbox, &pod.request.base);
	cancel(&first);
	assert_true(first.failed);
	call_wait(f, &second);
	assert_false(second.failed);
	(void)snprintf(pod_id, ID_SIZE, "%s", ((Cri__RunPodSandboxResponse *)second.reply)->pod_sandbox_id);
	call_end(&first);
	call_end(&second);
	stop_pod(f, pod_id);
	remove_pod(f, pod_id);
}

/* ---- a new daemon ---- */

static void test_a_new_daemon_adopts_what_runs(void **state)
{
	struct fixture *f = *state;
	char name[] = "stays", id[ID_SIZE], created_name[] = "created", created[ID_SIZE], ended_name[] = "ended", ended[ID_SIZE];
	struct container_request container;
	struct one_pod p;
	struct test_call test;
	const Cri__ExecSyncResponse *done;

	need_node();
	begin_pod(&p, f, CRI__NAMESPACE_MODE__POD);
	start_script(&p, name, "i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.1; done", id);
	start_script(&p, ended_name, "exit 5", ended);
	assert_int_equal(wait_exit(f, ended, NULL), 5);
	container_request_init(&container, p.pod_id, created_name, "sleep 1000", CRI__NAMESPACE_MODE__POD);
	create_container(f, &container, created);
	expect_log(f, "stays", "tick 1\n");
	node_end(f);
	node_start(f);
	assert_int_equal(wait_exit(f, ended, NULL), 5);
	done = exec(f, &test, id, "echo still here", 10);
	assert_non_null(done);
	assert_text(&done->stdout, "still here\n");
	call_end(&test);
	expect_log(f, "stays", "tick 30\n"); /* the log goes on in the same file */
	start_container(f, created);
	stop_container(f, id, 0);
	assert_int_equal(wait_exit(f, id, NULL), 137);
	node_end(f);
	node_start(f);
	stop_pod(f, p.pod_id);
	remove_pod(f, p.pod_id);
	assert_inventory(f, &p.before);
}

/* Killed in mid-start: the record says CREATING or STARTING, and the next daemon undoes it. */
static void test_a_new_daemon_undoes_what_was_begun(void **state)
{
	struct fixture *f = *state;
	struct inventory before;
	char name[] = "begun", pod_id[ID_SIZE], main_name[] = "main", id[ID_SIZE], reason[32];
	Cri__ListPodSandboxRequest list = CRI__LIST_POD_SANDBOX_REQUEST__INIT;
	struct container_request container;
	struct error err = ERROR_INIT;
	struct pod_request pod;
	struct test_call test;

	need_node();
	before = take_inventory();
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	run_pod(f, &pod, pod_id);
	container_request_init(&container, pod_id, main_name, "sleep 1000", CRI__NAMESPACE_MODE__CONTAINER);
	create_container(f, &container, id);
	start_container(f, id);
	assert_ok(container_save_as(container_find(f->node, id), CONTAINER_STATE_STARTING, &err), &err);
	node_end(f);
	node_start(f);
	assert_int_equal(wait_exit(f, id, reason), 128);
	assert_string_equal(reason, "StartError");
	remove_container(f, id);
	assert_ok(sandbox_save_as(sandbox_find(f->node, pod_id), SANDBOX_CREATING, &err), &err);
	node_end(f);
	node_start(f);
	call_run(f, &test, op_list_pod_sandbox, &list.base);
	assert_int_equal(((Cri__ListPodSandboxResponse *)test.reply)->n_items, 0);
	call_end(&test);
	assert_inventory(f, &before);
}

/* ---- logs ---- */

static void test_reopening_a_log(void **state)
{
	Cri__ReopenContainerLogRequest request = CRI__REOPEN_CONTAINER_LOG_REQUEST__INIT;
	char name[] = "rotated", id[ID_SIZE], path[160], rotated[200];
	struct one_pod p;

	need_node();
	begin_pod(&p, *state, CRI__NAMESPACE_MODE__CONTAINER);
	start_script(&p, name, "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.05; done", id);
	expect_log(p.f, "rotated", "line 3\n");
	(void)snprintf(path, sizeof(path), "%s/logs/rotated.log", node_dir);
	(void)snprintf(rotated, sizeof(rotated), "%s.1", path);
	assert_int_equal(rename(path, rotated), 0);
	request.container_id = id;
	call_ok(p.f, op_reopen_container_log, &request.base);
	expect_log(p.f, "rotated", "line ");
	stop_container(p.f, id, 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(call_error(p.f, op_reopen_container_log, &request.base).code, ERR_STATE);
	assert_int_equal(access(path, F_OK), -1); /* an error creates no file */
	end_pod(&p);
}

#define POD_TEST(test) cmocka_unit_test_setup_teardown(test, node_setup, node_teardown)

static const struct CMUnitTest tests[] = {
	POD_TEST(test_life),
	POD_TEST(test_exits_are_told_with_their_reason),
	POD_TEST(test_a_failed_start_is_told_twice_alike),
	POD_TEST(test_out_of_memory_is_told),
	POD_TEST(test_exec),
	POD_TEST(test_a_second_stop_need_not_wait_for_the_first),
	POD_TEST(test_the_stop_signal_comes_first),
	POD_TEST(test_unknown_objects),
	POD_TEST(test_repeated_requests_join),
	POD_TEST(test_a_pod_whose_caller_leaves_is_undone),
	POD_TEST(test_a_name_that_is_being_removed_is_waited_for),
	POD_TEST(test_a_start_whose_caller_leaves),
	POD_TEST(test_one_of_two_callers_leaves),
	POD_TEST(test_a_new_daemon_adopts_what_runs),
	POD_TEST(test_a_new_daemon_undoes_what_was_begun),
	POD_TEST(test_reopening_a_log),
};

NODE_FIXTURE_MAIN(tests)
