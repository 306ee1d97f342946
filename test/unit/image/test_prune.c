/* Which images go when nobody uses them, and what that gives back. */
#include "image_fixture.h"

#include "base/strv.h"
#include "image/prune.h"

/* Of a layer here: a file, the listing, the directory around both and the one around the file. */
#define LAYER_BYTES (2 * 4096 + 2 * fixture_directory_bytes("/tmp"))

struct place {
	char *dir, *root;
	struct image_store *store;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->dir = fixture_dir();
	p->root = fixture_path(p->dir, "store");
	p->store = fixture_store(p->root, NULL);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	image_store_close(p->store);
	fixture_remove(p->dir);
	free(p->root);
	free(p);
	return 0;
}

/* An image with the layer "shared" and one of its own. A reference. */
static struct image *add(struct place *p, const char *name, const char *text)
{
	_cleanup_free_
	char *layout = fixture_path(p->dir, "layout");
	const struct item shared[] = { { .name = "shared", .type = 'f', .data = "shared" } };
	const struct item own[] = { { .name = "own", .type = 'f', .data = text } };
	struct fixture_layer layers[] = { { .tar = fixture_tar(shared, 1), .compression = 'g' },
					  { .tar = fixture_tar(own, 1), .compression = 'g' } };
	struct fixture_image made;
	struct image *image = NULL;
	struct error err = ERROR_INIT;
	int fd;

	(void)mkdir(layout, 0700);
	made = fixture_image(layout, layers, 2, NULL, NULL);
	fixture_layout(layout, &made.manifest, NULL);
	fd = open(layout, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(fixture_import(p->store, fd, name, &image, &err), &err);
	(void)close(fd);
	free(layers[0].tar.data);
	free(layers[1].tar.data);
	return image;
}

/* "NAME ..." of those that go, in any order: sorted by the store's, which is that of their coming. */
static uint64_t assert_prunes(struct place *p, const struct image_prune *prune, size_t n, const char *first)
{
	struct image_pruned pruned;
	struct error err = ERROR_INIT;
	uint64_t freed;

	assert_ok(image_prune(p->store, prune, &pruned, &err), &err);
	assert_int_equal(strv_count(pruned.ids), n);
	assert_int_equal(strv_count(pruned.names), n);
	if (first)
		assert_string_equal(pruned.names[0], first);
	freed = pruned.freed_bytes;
	image_pruned_release(&pruned);
	return freed;
}

static uint64_t used(struct place *p)
{
	struct image_fs_usage usage;

	image_store_usage(p->store, &usage);
	return usage.used_bytes;
}

static const struct image_prune dangling = { .before_realtime_ns = INT64_MAX };
static const struct image_prune everything = { .all = true, .before_realtime_ns = INT64_MAX };
static const struct image_prune would = { .all = true, .before_realtime_ns = INT64_MAX, .dry_run = true };

static void without_all_only_what_lost_its_tag_goes(void **state)
{
	struct place *p = *state;
	uint64_t before;

	need_root();
	image_unref(add(p, "a:1", "old"));
	assert_prunes(p, &dangling, 0, NULL);
	image_unref(add(p, "a:1", "new"));
	before = used(p);
	assert_int_equal(assert_prunes(p, &dangling, 1, NULL), LAYER_BYTES);
	assert_true(used(p) <= before - LAYER_BYTES); /* and its record and blobs */
	assert_prunes(p, &dangling, 0, NULL);
}

static void all_that_nobody_holds_goes(void **state)
{
	struct place *p = *state;
	uint64_t empty = used(p);
	struct image *held;

	need_root();
	image_unref(add(p, "a:1", "a"));
	held = add(p, "b:1", "b");
	assert_int_equal(assert_prunes(p, &would, 1, "docker.io/library/a:1"), LAYER_BYTES);
	assert_int_equal(assert_prunes(p, &everything, 1, "docker.io/library/a:1"), LAYER_BYTES);
	assert_prunes(p, &everything, 0, NULL);
	image_unref(held);
	assert_true(used(p) >= 2 * LAYER_BYTES);
	assert_int_equal(assert_prunes(p, &everything, 1, "docker.io/library/b:1"), 2 * LAYER_BYTES);
	assert_int_equal(used(p), empty);
	assert_int_equal(fixture_count(p->root, "layers"), 0);
}

static bool keeps(void *arg, const struct image *image)
{
	return strv_has(image->repo_tags, arg);
}

static void young_and_kept_images_stay(void **state)
{
	struct place *p = *state;
	struct image_prune prune = everything;
	struct image *image;
	int64_t came_ns;
	char name[] = "docker.io/library/a:1";

	need_root();
	image = add(p, "a:1", "a");
	came_ns = image->pulled_realtime_ns;
	image_unref(image);
	prune.before_realtime_ns = came_ns;
	assert_prunes(p, &prune, 0, NULL);
	prune.before_realtime_ns = came_ns + 1;
	prune.is_kept = keeps;
	prune.arg = name;
	assert_prunes(p, &prune, 0, NULL);
	prune.is_kept = NULL;
	assert_prunes(p, &prune, 1, name);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	CASE(without_all_only_what_lost_its_tag_goes),
	CASE(all_that_nobody_holds_goes),
	CASE(young_and_kept_images_stay),
};

FIXTURE_MAIN(tests)
