/* Progress from a thread that pulls to a call on the loop. */
#include <pthread.h>

#include "base/clock.h"
#include "proto/admin.pb-c.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/pull_watch.h"
#include "test_call.h"
#include "turns.h"

struct watched {
	struct operation op; /* first */
	struct pull_watch watch;
};

static struct watched *watched_of(struct operation *base)
{
	return container_of(base, struct watched, op);
}

static void on_ended(struct operation *base)
{
	pull_watch_end(&watched_of(base)->watch);
}

static void on_release(struct operation *base)
{
	pull_watch_release(&watched_of(base)->watch);
}

static const struct operation_kind kind = { .size = sizeof(struct watched), .ended = on_ended, .release = on_release };

/* A loop, a node that has nothing but it, and an operation that pulls nothing. */
struct scene {
	struct loop loop;
	struct node node;
	struct test_call test;
	struct watched *watched;
	struct pull_board *board;
};

static void scene_open(struct scene *s)
{
	struct error err = ERROR_INIT;

	*s = (struct scene){ .test.call.ops = &test_call_ops };
	assert_int_equal(loop_init(&s->loop, NULL, NULL, &err), 0);
	s->node.loop = &s->loop;
	s->watched = operation_new(&s->node, &kind, &s->test.call, &err);
	assert_non_null(s->watched);
	s->board = pull_board_new();
	assert_non_null(s->board);
	pull_watch_begin(&s->watched->watch, &s->watched->op, pull_board_ref(s->board));
	assert_true(s->test.opened);
}

/* Lets the timer come about three times. */
static void pass(struct scene *s)
{
	int64_t until_us = clock_monotonic_us() + 350000;

	while (clock_monotonic_us() < until_us)
		turn(&s->loop);
}

static void scene_close(struct scene *s)
{
	operation_discard(&s->watched->op);
	while (s->node.operations)
		turn(&s->loop);
	pull_board_unref(s->board);
	call_end(&s->test);
	loop_release(&s->loop);
}

static const Admin__PullImageResponse *message_at(const struct scene *s, size_t i)
{
	assert_true(i < s->test.n_messages);
	return (const Admin__PullImageResponse *)s->test.messages[i];
}

static void test_changes_are_told(void **state)
{
	struct pull_layer layers[2] = { { "sha256:a", PULL_LAYER_WAITING, 0, 100 }, { "sha256:b", PULL_LAYER_EXISTS, 50, 50 } };
	char id[] = "sha256:c";
	struct scene s;

	(void)state;
	scene_open(&s);
	pass(&s);
	assert_int_equal(s.test.n_messages, 0); /* nothing is known yet */
	pull_board_write(s.board, layers, 2);
	pass(&s);
	assert_int_equal(s.test.n_messages, 1); /* and nothing is told twice */
	assert_int_equal(message_at(&s, 0)->n_layers, 2);
	assert_string_equal(message_at(&s, 0)->layers[1]->digest, "sha256:b");
	assert_int_equal(message_at(&s, 0)->layers[1]->state, ADMIN__LAYER_STATE__LAYER_EXISTS);
	layers[0] = (struct pull_layer){ "sha256:a", PULL_LAYER_DOWNLOADING, 30, 100 };
	pull_board_write(s.board, layers, 2);
	pass(&s);
	assert_int_equal(s.test.n_messages, 2);
	assert_int_equal(message_at(&s, 1)->n_layers, 1);
	assert_int_equal(message_at(&s, 1)->layers[0]->index, 0);
	assert_int_equal(message_at(&s, 1)->layers[0]->done_bytes, 30);
	assert_string_equal(message_at(&s, 1)->image_ref, "");
	layers[0] = (struct pull_layer){ "sha256:a", PULL_LAYER_DONE, 100, 100 };
	pull_board_write(s.board, layers, 2);
	pull_watch_finish(&s.watched->watch, operation_take_call(&s.watched->op), id);
	assert_true(s.test.done);
	assert_int_equal(s.test.n_messages, 3);
	assert_int_equal(message_at(&s, 2)->layers[0]->state, ADMIN__LAYER_STATE__LAYER_DONE);
	assert_string_equal(message_at(&s, 2)->image_ref, "sha256:c");
	pass(&s); /* nobody listens any more */
	assert_int_equal(s.test.n_messages, 3);
	scene_close(&s);
}

/* A client that is behind gets one message when it reads again, with what holds then. */
static void test_a_slow_watcher_skips(void **state)
{
	struct pull_layer layer = { "sha256:a", PULL_LAYER_DOWNLOADING, 0, 1000 };
	struct scene s;

	(void)state;
	scene_open(&s);
	s.test.deaf = true;
	for (uint64_t i = 1; i <= 5; i++) {
		layer.done_bytes = i;
		pull_board_write(s.board, &layer, 1);
		pass(&s);
	}
	assert_int_equal(s.test.n_messages, 1);
	assert_int_equal(message_at(&s, 0)->layers[0]->done_bytes, 1);
	pull_watch_drained(&s.watched->watch);
	pass(&s);
	assert_int_equal(s.test.n_messages, 2);
	assert_int_equal(message_at(&s, 1)->layers[0]->done_bytes, 5);
	scene_close(&s);
}

static void *hurry(void *arg)
{
	struct pull_layer layers[3] = { { "sha256:a", PULL_LAYER_DOWNLOADING, 0, UINT64_MAX },
					{ "sha256:b", PULL_LAYER_DOWNLOADING, 0, UINT64_MAX },
					{ "sha256:c", PULL_LAYER_DOWNLOADING, 0, UINT64_MAX } };
	int64_t until_us = clock_monotonic_us() + 1000000;

	while (clock_monotonic_us() < until_us) {
		for (size_t i = 0; i < 3; i++)
			layers[i].done_bytes++;
		pull_board_write(arg, layers, 3);
	}
	pull_board_unref(arg);
	return NULL;
}

/* However quick the pull is: ten messages a second, each of one moment. */
static void test_a_quick_pull_is_bounded(void **state)
{
	struct scene s;
	pthread_t thread;

	(void)state;
	scene_open(&s);
	assert_int_equal(pthread_create(&thread, NULL, hurry, pull_board_ref(s.board)), 0);
	for (int i = 0; i < 3; i++)
		pass(&s);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_in_range(s.test.n_messages, 2, 13);
	for (size_t i = 0; i < s.test.n_messages; i++) {
		const Admin__PullImageResponse *message = message_at(&s, i);

		assert_int_equal(message->n_layers, 3);
		assert_int_equal(message->layers[0]->done_bytes, message->layers[2]->done_bytes);
		if (i > 0)
			assert_true(message->layers[0]->done_bytes > message_at(&s, i - 1)->layers[0]->done_bytes);
	}
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes_are_told),
		cmocka_unit_test(test_a_slow_watcher_skips),
		cmocka_unit_test(test_a_quick_pull_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
