/* GetContainerEvents and the lists that are streams, on a real node. */
#include "node_fixture.h"

#include "task/events.h"
#include "task/message.h"

static void cancel(struct test_call *test)
{
	struct error why = ERROR_INIT;

	(void)error_set(&why, ERR_CANCELLED, "the client went away");
	assert_non_null(test->call.on_cancel);
	test->call.on_cancel(&test->call, &why);
	assert_true(test->done);
}

/* ---- events ---- */

static const Cri__GetEventsRequest subscribe_request = CRI__GET_EVENTS_REQUEST__INIT;

static void subscribe(struct fixture *f, struct test_call *test)
{
	call_begin(f, test, op_get_container_events, &subscribe_request.base);
	assert_true(test->opened);
	assert_false(test->done);
}

static const Cri__ContainerEventResponse *event_at(const struct test_call *test, size_t i)
{
	assert_true(i < test->n_messages);
	assert_ptr_equal(test->messages[i]->descriptor, &cri__container_event_response__descriptor);
	return (const Cri__ContainerEventResponse *)test->messages[i];
}

static void expect_event(const struct test_call *test, size_t i, const char *id, Cri__ContainerEventType type)
{
	const Cri__ContainerEventResponse *event = event_at(test, i);

	assert_string_equal(event->container_id, id);
	assert_int_equal(event->container_event_type, type);
	assert_non_null(event->pod_sandbox_status);
	if (i > 0)
		assert_true(event->created_at > event_at(test, i - 1)->created_at);
}

static void expect_status(const struct test_call *test, size_t i, Cri__PodSandboxState pod, int container)
{
	const Cri__ContainerEventResponse *event = event_at(test, i);

	assert_int_equal(event->pod_sandbox_status->state, pod);
	assert_string_equal(event->pod_sandbox_status->metadata->uid, "uid");
	assert_int_equal(event->n_containers_statuses, container >= 0);
	if (container >= 0)
		assert_int_equal(event->containers_statuses[0]->state, container);
}

#define CREATED CRI__CONTAINER_EVENT_TYPE__CONTAINER_CREATED_EVENT
#define STARTED CRI__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT
#define STOPPED CRI__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT
#define DELETED CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT
#define READY CRI__POD_SANDBOX_STATE__SANDBOX_READY
#define NOTREADY CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY

static void test_a_life_in_events(void **state)
{
	struct fixture *f = *state;
	char name[] = "told", main_name[] = "main", pod_id[ID_SIZE], id[ID_SIZE];
	struct container_request container;
	struct test_call events;
	struct pod_request pod;

	need_node();
	subscribe(f, &events);
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	run_pod(f, &pod, pod_id);
	container_request_init(&container, pod_id, main_name, "exit 7", CRI__NAMESPACE_MODE__CONTAINER);
	create_container(f, &container, id);
	start_container(f, id);
	assert_int_equal(wait_exit(f, id, NULL), 7);
	remove_container(f, id);
	stop_pod(f, pod_id);
	stop_pod(f, pod_id);
	remove_pod(f, pod_id);
	assert_int_equal(events.n_messages, 8);
	expect_event(&events, 0, pod_id, CREATED);
	expect_event(&events, 1, pod_id, STARTED);
	expect_status(&events, 1, READY, -1);
	expect_event(&events, 2, id, CREATED);
	expect_status(&events, 2, READY, CRI__CONTAINER_STATE__CONTAINER_CREATED);
	expect_event(&events, 3, id, STARTED);
	expect_status(&events, 3, READY, CRI__CONTAINER_STATE__CONTAINER_RUNNING);
	assert_true(event_at(&events, 3)->containers_statuses[0]->started_at > 0);
	expect_event(&events, 4, id, STOPPED);
	expect_status(&events, 4, READY, CRI__CONTAINER_STATE__CONTAINER_EXITED);
	assert_int_equal(event_at(&events, 4)->containers_statuses[0]->exit_code, 7);
	assert_string_equal(event_at(&events, 4)->containers_statuses[0]->reason, "Error");
	expect_event(&events, 5, id, DELETED);
	expect_status(&events, 5, READY, -1);
	expect_event(&events, 6, pod_id, STOPPED);
	expect_status(&events, 6, NOTREADY, -1);
	expect_event(&events, 7, pod_id, DELETED);
	cancel(&events);
	call_end(&events);
}

/* What never was public is no event; a start that fails is an end. */
static void test_what_failed_in_events(void **state)
{
	struct fixture *f = *state;
	char name[] = "fails", main_name[] = "main", pod_id[ID_SIZE], id[ID_SIZE];
	Cri__StartContainerRequest request = CRI__START_CONTAINER_REQUEST__INIT;
	struct container_request container;
	struct test_call events;
	struct pod_request pod;

	need_node();
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	run_pod(f, &pod, pod_id);
	subscribe(f, &events);
	container_request_init(&container, pod_id, main_name, "true", CRI__NAMESPACE_MODE__CONTAINER);
	(void)snprintf(container.image_name, sizeof(container.image_name), "no/such:image");
	(void)call_error(f, op_create_container, &container.request.base);
	assert_int_equal(events.n_messages, 0);
	(void)snprintf(container.image_name, sizeof(container.image_name), NODE_IMAGE);
	(void)snprintf(container.words[0], sizeof(container.words[0]), "/no/such/program");
	create_container(f, &container, id);
	request.container_id = id;
	(void)call_error(f, op_start_container, &request.base);
	assert_int_equal(events.n_messages, 2);
	expect_event(&events, 0, id, CREATED);
	expect_event(&events, 1, id, STOPPED);
	expect_status(&events, 1, READY, CRI__CONTAINER_STATE__CONTAINER_EXITED);
	cancel(&events);
	stop_pod(f, pod_id);
	remove_pod(f, pod_id);
	assert_int_equal(events.n_messages, 2);
	call_end(&events);
}

/* The status that a client asks for is younger than any event before it, and older than any after it. */
static void test_stamps_are_in_order(void **state)
{
	struct fixture *f = *state;
	Cri__PodSandboxStatusRequest request = CRI__POD_SANDBOX_STATUS_REQUEST__INIT;
	char name[] = "stamps", pod_id[ID_SIZE];
	struct test_call events, status;
	struct pod_request pod;
	int64_t stamp_ns;

	need_node();
	subscribe(f, &events);
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	run_pod(f, &pod, pod_id);
	request.pod_sandbox_id = pod_id;
	call_run(f, &status, op_pod_sandbox_status, &request.base);
	assert_false(status.failed);
	stamp_ns = ((Cri__PodSandboxStatusResponse *)status.reply)->timestamp;
	call_end(&status);
	assert_true(stamp_ns > event_at(&events, 1)->created_at);
	f->node->stamped_ns += INT64_C(3600) * 1000000000; /* as if the clock had been set back by an hour */
	stamp_ns = f->node->stamped_ns;
	stop_pod(f, pod_id);
	assert_int_equal(event_at(&events, 2)->created_at, stamp_ns + 1);
	cancel(&events);
	call_end(&events);
	remove_pod(f, pod_id);
}

static void test_subscribers_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct test_call *events = calloc(MAX_SUBSCRIBERS, sizeof(*events));
	char name[] = "many", pod_id[ID_SIZE];
	struct pod_request pod;
	struct error err;

	assert_non_null(events);
	if (!node_possible)
		free(events);
	need_node();
	for (size_t i = 0; i < MAX_SUBSCRIBERS; i++)
		subscribe(f, &events[i]);
	err = call_error(f, op_get_container_events, &subscribe_request.base);
	assert_int_equal(err.code, ERR_EXHAUSTED);
	cancel(&events[3]);
	call_end(&events[3]);
	subscribe(f, &events[3]);
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	run_pod(f, &pod, pod_id);
	for (size_t i = 0; i < MAX_SUBSCRIBERS; i++) {
		assert_int_equal(events[i].n_messages, 2);
		cancel(&events[i]);
		call_end(&events[i]);
	}
	stop_pod(f, pod_id);
	remove_pod(f, pod_id);
	free(events);
}

/* ---- lists ---- */

#define PODS 3

static void make_pods(struct fixture *f, char ids[PODS][ID_SIZE])
{
	for (size_t i = 0; i < PODS; i++) {
		char name[] = "list-0";
		struct pod_request pod;

		name[5] = (char)('0' + i);
		pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
		run_pod(f, &pod, ids[i]);
	}
}

static bool lists_pod(const struct test_call *test, const char *id)
{
	for (size_t i = 0; i < test->n_messages; i++) {
		const Cri__StreamPodSandboxesResponse *part = (const Cri__StreamPodSandboxesResponse *)test->messages[i];

		for (size_t k = 0; k < part->n_pod_sandboxes; k++)
			if (!strcmp(part->pod_sandboxes[k]->id, id))
				return true;
	}
	return false;
}

static void test_pods_as_a_stream(void **state)
{
	struct fixture *f = *state;
	Cri__StreamPodSandboxesRequest request = CRI__STREAM_POD_SANDBOXES_REQUEST__INIT;
	Cri__PodSandboxFilter filter = CRI__POD_SANDBOX_FILTER__INIT;
	char ids[PODS][ID_SIZE];
	struct test_call test;

	need_node();
	call_run(f, &test, op_stream_pod_sandboxes, &request.base);
	assert_false(test.failed);
	assert_int_equal(test.n_messages, 0); /* nothing is no message */
	call_end(&test);
	make_pods(f, ids);
	call_run(f, &test, op_stream_pod_sandboxes, &request.base);
	for (size_t i = 0; i < PODS; i++)
		assert_true(lists_pod(&test, ids[i]));
	call_end(&test);
	request.filter = &filter;
	filter.id = ids[1];
	call_run(f, &test, op_stream_pod_sandboxes, &request.base);
	assert_true(lists_pod(&test, ids[1]));
	assert_false(lists_pod(&test, ids[0]));
	call_end(&test);
	for (size_t i = 0; i < PODS; i++) {
		stop_pod(f, ids[i]);
		remove_pod(f, ids[i]);
	}
}

static void add_annotation(struct pod_request *pod, Cri__PodSandboxConfig__AnnotationsEntry *entry,
			   Cri__PodSandboxConfig__AnnotationsEntry **list, char *text)
{
	static char key[] = "large";

	cri__pod_sandbox_config__annotations_entry__init(entry);
	entry->key = key;
	entry->value = text;
	list[0] = entry;
	pod->config.annotations = list;
	pod->config.n_annotations = 1;
}

/* Pods of 100 KB each: a part holds one. A client that is behind gets the next when it is ready; a pod that goes meanwhile is left out. */
static void test_a_slow_list(void **state)
{
	struct fixture *f = *state;
	Cri__StreamPodSandboxesRequest request = CRI__STREAM_POD_SANDBOXES_REQUEST__INIT;
	Cri__PodSandboxConfig__AnnotationsEntry entry, *list[1];
	char ids[PODS][ID_SIZE], *text = malloc(100001);
	struct test_call test = { 0 };

	assert_non_null(text);
	if (!node_possible)
		free(text);
	need_node();
	memset(text, 'x', 100000);
	text[100000] = '\0';
	for (size_t i = 0; i < PODS; i++) {
		char name[] = "slow-0";
		struct pod_request pod;

		name[5] = (char)('0' + i);
		pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
		add_annotation(&pod, &entry, list, text);
		run_pod(f, &pod, ids[i]);
	}
	call_begin_deaf(f, &test, op_stream_pod_sandboxes, &request.base);
	assert_int_equal(test.n_messages, 1);
	assert_false(test.done);
	assert_true(lists_pod(&test, ids[0]));
	stop_pod(f, ids[1]);
	remove_pod(f, ids[1]);
	test.call.on_drain(&test.call);
	assert_int_equal(test.n_messages, 2);
	assert_true(lists_pod(&test, ids[2]));
	assert_false(test.done);
	test.call.on_drain(&test.call);
	assert_true(test.done);
	assert_false(test.failed);
	assert_int_equal(test.n_messages, 2);
	call_end(&test);
	/* The client leaves in the middle: what is left is given back. */
	call_begin_deaf(f, &test, op_stream_pod_sandboxes, &request.base);
	assert_int_equal(test.n_messages, 1);
	cancel(&test);
	call_end(&test);
	for (size_t i = 0; i < PODS; i += 2) {
		stop_pod(f, ids[i]);
		remove_pod(f, ids[i]);
	}
	free(text);
}

static void test_containers_and_images_as_streams(void **state)
{
	struct fixture *f = *state;
	Cri__StreamContainersRequest request = CRI__STREAM_CONTAINERS_REQUEST__INIT;
	Cri__StreamImagesRequest images = CRI__STREAM_IMAGES_REQUEST__INIT;
	char name[] = "holder", main_name[] = "main", pod_id[ID_SIZE], id[ID_SIZE];
	const Cri__StreamContainersResponse *part;
	struct container_request container;
	struct test_call test;
	struct pod_request pod;

	need_node();
	pod_request_init(&pod, name, CRI__NAMESPACE_MODE__CONTAINER);
	run_pod(f, &pod, pod_id);
	container_request_init(&container, pod_id, main_name, "true", CRI__NAMESPACE_MODE__CONTAINER);
	create_container(f, &container, id);
	call_run(f, &test, op_stream_containers, &request.base);
	assert_int_equal(test.n_messages, 1);
	part = (const Cri__StreamContainersResponse *)test.messages[0];
	assert_int_equal(part->n_containers, 1);
	assert_string_equal(part->containers[0]->id, id);
	assert_string_equal(part->containers[0]->pod_sandbox_id, pod_id);
	call_end(&test);
	call_run(f, &test, op_stream_images, &images.base);
	assert_int_equal(test.n_messages, 1);
	assert_int_equal(((const Cri__StreamImagesResponse *)test.messages[0])->n_images, 1);
	call_end(&test);
	stop_pod(f, pod_id);
	remove_pod(f, pod_id);
}

#define EVENT_TEST(test) cmocka_unit_test_setup_teardown(test, node_setup, node_teardown)

static const struct CMUnitTest tests[] = {
	EVENT_TEST(test_a_life_in_events),
	EVENT_TEST(test_what_failed_in_events),
	EVENT_TEST(test_stamps_are_in_order),
	EVENT_TEST(test_subscribers_are_bounded),
	EVENT_TEST(test_pods_as_a_stream),
	EVENT_TEST(test_a_slow_list),
	EVENT_TEST(test_containers_and_images_as_streams),
};

NODE_FIXTURE_MAIN(tests)
