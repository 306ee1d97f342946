/* A check of the whole store: what is damaged is told with who needs it, and a repair makes room for whole ones. */
#include "image_fixture.h"

#include "base/strv.h"
#include "image/check.h"

struct place {
	char *dir, *root;
	struct image_store *store;
	struct fixture_image made;
	char diff_id[DIGEST_TEXT_SIZE];
	struct image_check_summary summary;
	char **told; /* "OBJECT | DETAIL | IMAGE | ADVICE" */
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->dir = fixture_dir();
	p->root = fixture_path(p->dir, "store");
	p->store = fixture_store(p->root, NULL);
	p->told = strv_new();
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	image_store_close(p->store);
	fixture_remove(p->dir);
	strv_free(p->told);
	free(p->root);
	free(p);
	return 0;
}

/* An image of one layer with "etc/f" and twenty files, by that name. A reference. */
static struct image *add(struct place *p, const char *name)
{
	_cleanup_free_
	char *layout = fixture_path(p->dir, "layout");
	_cleanup_free_
	char *archive = fixture_path(p->dir, "a.tar");
	struct item items[21] = { { .name = "etc/f", .type = 'f', .data = "text" } };
	char names[20][8];
	struct fixture_layer layer = { .compression = 'g' };
	struct image *image = NULL;
	struct error err = ERROR_INIT;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "f%02zu", i);
		items[1 + i] = (struct item){ .name = names[i], .type = 'f', .data = "text" };
	}
	layer.tar = fixture_tar(items, ARRAY_SIZE(items));
	(void)mkdir(layout, 0700);
	p->made = fixture_image(layout, &layer, 1, NULL, NULL);
	assert_ok(digest_of(layer.tar.data, layer.tar.len, p->diff_id, &err), &err);
	fixture_layout(layout, &p->made.manifest, NULL);
	fixture_pack(layout, archive);
	fd = open(archive, O_RDONLY | O_CLOEXEC);
	assert_ok(fixture_import(p->store, fd, name, &image, &err), &err);
	(void)close(fd);
	free(layer.tar.data);
	return image;
}

static int on_found(void *arg, const struct image_damage *d, struct error *err)
{
	struct place *p = arg;
	char *line = NULL;

	assert_true(asprintf(&line, "%s | %s +%zu | %s | %s%s", d->object, d->details[0], strv_count(d->details) - 1 + d->n_more,
			     d->images[0] ? d->images[0] : "", d->repaired ? "REPAIRED " : "", d->advice) > 0);
	assert_true(strv_count(d->details) <= IMAGE_DAMAGE_MAX_DETAILS);
	assert_ok(strv_append(&p->told, line, err), err);
	free(line);
	return 0;
}

static void check(struct place *p, bool repair)
{
	const struct image_check options = { .repair = repair, .found = on_found, .arg = p };
	struct error err = ERROR_INIT;

	strv_free(p->told);
	p->told = strv_new();
	assert_ok(image_store_check(p->store, &options, &p->summary, &err), &err);
	assert_int_equal(p->summary.damaged, strv_count(p->told));
}

static void assert_told(const struct place *p, size_t i, const char *part)
{
	assert_true(i < strv_count(p->told));
	if (!strstr(p->told[i], part))
		fail_msg("'%s' is not in '%s'", part, p->told[i]);
}

/* In the store's directory; $layer, $manifest and $config are of the image that was added last. */
static void damage(struct place *p, const char *what)
{
	_cleanup_free_
	char *command = NULL;

	assert_true(asprintf(&command, "cd %s; layer=layers/%s manifest=blobs/sha256/%s config=blobs/sha256/%s; %s", p->root,
			     digest_hex(p->diff_id), digest_hex(p->made.manifest.digest), digest_hex(p->made.config.digest),
			     what) > 0);
	assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-ec", command, NULL }), 0);
}

static void a_whole_store_is_clean(void **state)
{
	struct place *p = *state;

	need_root();
	check(p, false);
	assert_int_equal(p->summary.images, 0);
	image_unref(add(p, "a:1"));
	check(p, false);
	assert_int_equal(p->summary.damaged, 0);
	assert_int_equal(p->summary.images, 1);
	assert_int_equal(p->summary.blobs, 2);
	assert_int_equal(p->summary.layers, 1);
	assert_int_equal(p->summary.entries, 22);
	assert_int_equal(p->summary.bytes, 21 * 4);
	image_store_close(p->store);
	p->store = fixture_store(p->root, NULL);
	check(p, true);
	assert_int_equal(p->summary.damaged, 0);
}

static void damage_is_told_and_repaired(void **state)
{
	static const struct {
		const char *damage, *object, *detail;
	} cases[] = {
		{ "rm $layer/fs/etc/f", "layer sha256:", "etc/f: is missing +0" },
		{ "truncate -s 1 $layer/fs/etc/f", "layer sha256:", "etc/f: has 1 bytes instead of 4 +0" },
		{ "echo TEXT > $layer/fs/f00; truncate -s 4 $layer/fs/f00", "layer sha256:", "f00: holds something else" },
		{ "rm $layer/fs/f*", "layer sha256:", "f00: is missing +19" },
		{ "rm -r $layer/fs", "layer sha256:", "open fs: No such file" },
		{ "rm $layer/listing", "layer sha256:", "open listing: No such file" },
		{ "truncate -s 100 $layer/listing", "layer sha256:", "the listing is damaged" },
		{ "rm -r $layer", "layer sha256:", "open fs: No such file" },
		{ "rm $manifest", "manifest sha256:", "No such file" },
		{ "echo >> $manifest", "manifest sha256:", "holds something else" },
		{ "truncate -s 3 $config", "configuration sha256:", "holds something else" },
		{ "rm $config", "configuration sha256:", "No such file" },
	};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct place *p = *state;

		image_unref(add(p, "a:1"));
		damage(p, cases[i].damage);
		check(p, false);
		assert_int_equal(p->summary.damaged, 1);
		assert_told(p, 0, cases[i].object);
		assert_told(p, 0, cases[i].detail);
		assert_told(p, 0, "docker.io/library/a:1 | `monopod check --images --repair`");
		check(p, true);
		assert_int_equal(p->summary.repaired, 1);
		assert_told(p, 0, "REPAIRED");
		check(p, false);
		assert_int_equal(p->summary.damaged, 0);
		assert_int_equal(p->summary.images, 0);
		image_unref(add(p, "a:1"));
		check(p, false);
		if (p->summary.damaged > 0 || p->summary.layers != 1)
			fail_msg("after '%s': %s", cases[i].damage, p->told[0]);
		(void)tear_down(state);
		(void)set_up(state);
	}
}

static void nothing_is_taken_from_under_a_container(void **state)
{
	struct place *p = *state;
	struct image *held, *found = NULL;
	struct error err = ERROR_INIT;

	need_root();
	held = add(p, "a:1");
	damage(p, "rm $layer/fs/etc/f");
	check(p, true);
	assert_int_equal(p->summary.repaired, 0);
	assert_told(p, 0, "containers run on it");
	assert_ok(image_find(p->store, "a:1", &found, &err), &err);
	assert_ptr_equal(found, held);
	image_unref(found);
	assert_ok(image_remove(p->store, "a:1", &err), &err);
	check(p, true);
	assert_told(p, 0, p->made.config.digest);
	assert_told(p, 0, "containers run on it");
	image_unref(held);
	check(p, true);
	assert_int_equal(p->summary.damaged, 0);
}

static void what_belongs_to_nobody_is_told(void **state)
{
	struct place *p = *state;

	need_root();
	image_unref(add(p, "a:1"));
	damage(p, "cp $manifest blobs/sha256/$(printf '%064d' 1); mkdir layers/$(printf '%064d' 2)");
	check(p, true);
	assert_int_equal(p->summary.damaged, 2);
	assert_told(p, 0, "blobs/sha256/0000");
	assert_told(p, 1, "layers/0000");
	image_store_close(p->store);
	p->store = fixture_store(p->root, NULL);
	check(p, false);
	assert_int_equal(p->summary.damaged, 0);
	damage(p, "for f in images/*.json; do echo '{' > $f; done");
	image_store_close(p->store);
	p->store = fixture_store(p->root, NULL);
	check(p, false);
	assert_told(p, 0, "images/");
	assert_told(p, 0, "could not be read");
}

static void a_check_can_be_cancelled(void **state)
{
	struct place *p = *state;
	atomic_bool cancelled = true;
	const struct image_check options = { .found = on_found, .arg = p, .cancelled = &cancelled };
	struct error err = ERROR_INIT;

	need_root();
	image_unref(add(p, "a:1"));
	assert_failed(image_store_check(p->store, &options, &p->summary, &err), &err, ERR_CANCELLED, "check images: cancelled");
	check(p, false);
	assert_int_equal(p->summary.damaged, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	CASE(a_whole_store_is_clean),         CASE(damage_is_told_and_repaired), CASE(nothing_is_taken_from_under_a_container),
	CASE(what_belongs_to_nobody_is_told), CASE(a_check_can_be_cancelled),
};

FIXTURE_MAIN(tests)
