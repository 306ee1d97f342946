/* The store: what is listed, what survives a restart, what goes when, and what two at once do to each other. */
#include "image_fixture.h"

#include <ftw.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/xattr.h>

#include "base/fault.h"
#include "base/strv.h"
#include "image/store.h"

struct place {
	char *dir;  /* scratch */
	char *root; /* of the store */
	struct image_store *store;
	struct image_fs_usage empty;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->dir = fixture_dir();
	p->root = fixture_path(p->dir, "store");
	p->store = fixture_store(p->root, NULL);
	image_store_usage(p->store, &p->empty);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	(void)unsetenv("MONOPOD_FAULT_FILE");
	image_store_close(p->store);
	fixture_remove(p->dir);
	free(p->root);
	free(p);
	return 0;
}

static void reopen(struct place *p)
{
	image_store_close(p->store);
	p->store = fixture_store(p->root, NULL);
}

/* An archive with one layer for each text, holding a file with it; a text "=X" makes the layer of text X hide all below it. Returns
 * the path; the caller frees. */
static char *make_archive(struct place *p, const char *name, const char *const *texts, size_t n)
{
	_cleanup_free_
	char *layout = fixture_path(p->dir, name);
	struct fixture_layer layers[8];
	struct fixture_image image;
	char *path = NULL;

	assert_int_equal(mkdir(layout, 0700), 0);
	for (size_t i = 0; i < n; i++) {
		const struct item items[] = {
			{ .name = "shared/", .type = 'd' },
			{ .name = texts[i], .type = 'f', .data = texts[i] },
			{ .name = *texts[i] == '=' ? ".wh..wh..opq" : "shared/x", .type = 'f' },
		};

		layers[i] =
			(struct fixture_layer){ .tar = fixture_tar(items, ARRAY_SIZE(items)), .compression = i % 2 ? 'z' : 'g' };
	}
	image = fixture_image(layout, layers, n, "{\"Env\":[\"A=b\"],\"Cmd\":[\"run\"]}", NULL);
	fixture_layout(layout, &image.manifest, NULL);
	assert_true(asprintf(&path, "%s.tar", layout) > 0);
	fixture_pack(layout, path);
	for (size_t i = 0; i < n; i++)
		free(layers[i].tar.data);
	return path;
}

static int import(struct place *p, const char *archive, const char *name, struct image **ret, struct error *err)
{
	int fd = open(archive, O_RDONLY | O_CLOEXEC);
	int result;

	assert_true(fd >= 0);
	result = fixture_import(p->store, fd, name, ret, err);
	(void)close(fd);
	return result;
}

/* Makes and imports; returns a reference. */
static struct image *add_image(struct place *p, const char *name, const char *const *texts, size_t n)
{
	static unsigned count;
	char folder[32];
	_cleanup_free_
	char *archive = NULL;
	struct image *image = NULL;
	struct error err = ERROR_INIT;

	(void)snprintf(folder, sizeof(folder), "layout%u", count++);
	archive = make_archive(p, folder, texts, n);
	assert_ok(import(p, archive, name, &image, &err), &err);
	return image;
}

#define ADD(p, name, ...)                                                                                                          \
	add_image((p), (name), (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static struct image *find(struct place *p, const char *reference)
{
	struct image *image = NULL;
	struct error err = ERROR_INIT;

	assert_ok(image_find(p->store, reference, &image, &err), &err);
	return image;
}

static bool is_there(struct place *p, const char *reference)
{
	struct image *image = find(p, reference);

	image_unref(image);
	return image != NULL;
}

static void remove_image(struct place *p, const char *reference)
{
	struct error err = ERROR_INIT;

	assert_ok(image_remove(p->store, reference, &err), &err);
}

static size_t listed(struct place *p)
{
	struct image **images;
	struct error err = ERROR_INIT;
	size_t n;

	assert_ok(image_list(p->store, &images, &n, &err), &err);
	for (size_t i = 0; i < n; i++)
		image_unref(images[i]);
	assert_null(images[n]);
	free(images);
	return n;
}

static struct image_fs_usage usage(struct place *p)
{
	struct image_fs_usage u;

	image_store_usage(p->store, &u);
	return u;
}

static struct image_fs_usage walked;

static int add_to_walk(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path;
	(void)type;
	(void)at;
	walked.used_bytes += (uint64_t)st->st_blocks * 512;
	walked.inodes++;
	return 0;
}

/* What a walk through the tree says (hard links would count twice; there are none here). */
static void assert_usage_is_true(struct place *p)
{
	struct image_fs_usage told = usage(p);
	uint64_t off;

	walked = (struct image_fs_usage){ 0 };
	assert_int_equal(nftw(p->root, add_to_walk, 16, FTW_PHYS), 0);
	off = told.used_bytes > walked.used_bytes ? told.used_bytes - walked.used_bytes : walked.used_bytes - told.used_bytes;
	assert_int_equal(told.inodes, walked.inodes);
	if (off > walked.used_bytes / 50)
		fail_msg("%llu bytes are told, %llu are there", (unsigned long long)told.used_bytes,
			 (unsigned long long)walked.used_bytes);
}

static void assert_empty(struct place *p)
{
	assert_int_equal(listed(p), 0);
	assert_int_equal(fixture_count(p->root, "layers"), 0);
	assert_int_equal(fixture_count(p->root, "blobs/sha256"), 0);
	assert_int_equal(fixture_count(p->root, "images"), 0);
	assert_int_equal(fixture_count(p->root, "ingest"), 0);
	assert_int_equal(usage(p).used_bytes, p->empty.used_bytes);
	assert_int_equal(usage(p).inodes, p->empty.inodes);
}

/* Waits for the collector, which is woken by a last reference, to be done. */
static void wait_empty(struct place *p)
{
	for (int i = 0; i < 500 && fixture_count(p->root, "layers") + fixture_count(p->root, "images") > 0; i++)
		(void)usleep(10000);
	assert_int_equal(fixture_count(p->root, "layers"), 0);
	collect_now(p->store);
}

static void an_image_says_what_it_is(void **state)
{
	struct place *p = *state;
	struct image *image;

	need_root();
	image = ADD(p, "app:1", "low", "high");
	assert_string_equal(image->repo_tags[0], "docker.io/library/app:1");
	assert_null(image->repo_tags[1]);
	assert_true(strstr(image->repo_digests[0], "docker.io/library/app@sha256:") == image->repo_digests[0]);
	assert_string_equal(image->config.env[0], "A=b");
	assert_string_equal(image->config.cmd[0], "run");
	assert_string_equal(image->config.working_dir, "");
	assert_int_equal(image->n_layers, 2);
	assert_true(image->layer_dirs[0][0] == '/');
	assert_true(fixture_exists(image->layer_dirs[0], "high"));
	assert_true(fixture_exists(image->layer_dirs[1], "low"));
	assert_null(image->layer_dirs[2]);
	assert_true(image->size_bytes > 100);
	assert_true(image->pulled_realtime_ns > INT64_C(1600000000) * 1000000000);
	assert_usage_is_true(p);
	image_unref(image);
}

static void images_are_found_by_every_spelling(void **state)
{
	struct place *p = *state;
	char text[200];
	struct image *image, *found;
	struct error err = ERROR_INIT;

	need_root();
	image = ADD(p, "app:1", "x");
	(void)snprintf(text, sizeof(text), "app:1@%s", strchr(image->repo_digests[0], '@') + 1);
	{
		const char *const spellings[] = {
			"app:1",   "docker.io/app:1", "docker.io/library/app:1", "index.docker.io/library/app:1",
			image->id, image->id + 7,     image->repo_digests[0],    text,
		};

		for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
			found = find(p, spellings[i]);
			assert_ptr_equal(found, image);
			image_unref(found);
		}
	}
	(void)snprintf(text, sizeof(text), "%.12s", image->id + 7);
	assert_true(is_there(p, text));
	(void)snprintf(text, sizeof(text), "%.20s", image->id);
	assert_true(is_there(p, text));
	assert_false(is_there(p, "app"));
	assert_false(is_there(p, "app:2"));
	assert_false(is_there(p, "other/app:1"));
	(void)snprintf(text, sizeof(text), "%.11s", image->id + 7);
	assert_false(is_there(p, text)); /* too short for an id: a name that nobody has */
	assert_false(is_there(p, "0123456789ab"));
	assert_false(is_there(p, "sha256:0123456789ab"));
	assert_false(is_there(p, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
	assert_failed(image_find(p->store, "App", &found, &err), &err, ERR_INVALID, "lower case");
	assert_failed(image_find(p->store, "", &found, &err), &err, ERR_INVALID, "empty");
	image_unref(image);
}

static void a_restart_changes_nothing(void **state)
{
	struct place *p = *state;
	struct image_fs_usage before;
	char id[DIGEST_TEXT_SIZE];
	uint64_t size;
	int64_t pulled;
	struct image *image;

	need_root();
	image = ADD(p, "app:1", "low", "=mid", "high");
	(void)snprintf(id, sizeof(id), "%s", image->id);
	size = image->size_bytes;
	pulled = image->pulled_realtime_ns;
	assert_int_equal(image->n_layers, 2); /* the middle one hides the lowest */
	image_unref(image);
	before = usage(p);
	reopen(p);
	image = find(p, "app:1");
	assert_non_null(image);
	assert_string_equal(image->id, id);
	assert_int_equal(image->size_bytes, size);
	assert_int_equal(image->pulled_realtime_ns, pulled);
	assert_string_equal(image->config.env[0], "A=b");
	assert_int_equal(image->n_layers, 2);
	assert_true(fixture_exists(image->layer_dirs[0], "high"));
	assert_int_equal(strv_count(image->repo_digests), 1);
	image_unref(image);
	assert_int_equal(usage(p).used_bytes, before.used_bytes);
	assert_int_equal(usage(p).inodes, before.inodes);
	assert_int_equal(fixture_count(p->root, "layers"), 3);
}

static void a_layer_that_comes_twice_is_mounted_once(void **state)
{
	struct place *p = *state;
	struct image *image;

	need_root();
	image = ADD(p, "app:1", "same", "between", "same");
	/* The first and last are compressed alike, so even their blobs are the same. */
	assert_int_equal(image->n_layers, 2);
	assert_true(fixture_exists(image->layer_dirs[0], "same"));
	assert_true(fixture_exists(image->layer_dirs[1], "between"));
	image_unref(image);
	assert_int_equal(fixture_count(p->root, "layers"), 2);
	remove_image(p, "app:1");
	assert_empty(p);
}

static void shared_layers_stay_for_the_other(void **state)
{
	struct place *p = *state;
	struct image_fs_usage one;

	need_root();
	image_unref(ADD(p, "one:1", "base", "one"));
	one = usage(p);
	image_unref(ADD(p, "two:1", "base", "two"));
	assert_int_equal(fixture_count(p->root, "layers"), 3);
	assert_true(usage(p).used_bytes > one.used_bytes);
	remove_image(p, "two:1");
	assert_int_equal(fixture_count(p->root, "layers"), 2);
	assert_int_equal(usage(p).used_bytes, one.used_bytes);
	assert_true(is_there(p, "one:1"));
	remove_image(p, "one:1");
	assert_empty(p);
}

static void removal_is_idempotent_and_takes_all_tags(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *archive = NULL;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	archive = make_archive(p, "a", (const char *const[]){ "x" }, 1);
	assert_ok(import(p, archive, "app:1", &image, &err), &err);
	image_unref(image);
	assert_ok(import(p, archive, "app:2", &image, &err), &err);
	assert_int_equal(strv_count(image->repo_tags), 2);
	assert_int_equal(strv_count(image->repo_digests), 1);
	image_unref(image);
	assert_int_equal(listed(p), 1);
	remove_image(p, "nothing:1");
	remove_image(p, "sha256:0123456789ab");
	assert_int_equal(listed(p), 1);
	remove_image(p, "app:1");
	assert_false(is_there(p, "app:2"));
	assert_empty(p);
	remove_image(p, "app:1");
	assert_failed(image_remove(p->store, "BAD", &err), &err, ERR_INVALID, "lower case");
}

static void a_moved_tag_leaves_the_other_image(void **state)
{
	struct place *p = *state;
	struct image *old, *new, *found;

	need_root();
	old = ADD(p, "app:1", "old");
	new = ADD(p, "app:1", "new");
	assert_string_not_equal(old->id, new->id);
	assert_int_equal(listed(p), 2);
	/* The one that somebody holds is the same as before; the store has another view of it. */
	assert_int_equal(strv_count(old->repo_tags), 1);
	for (int restarted = 0; restarted < 2; restarted++) {
		found = find(p, "app:1");
		assert_string_equal(found->id, new->id);
		image_unref(found);
		found = find(p, old->id);
		assert_int_equal(strv_count(found->repo_tags), 0);
		assert_int_equal(strv_count(found->repo_digests), 1);
		image_unref(found);
		if (restarted)
			break;
		{
			char *ids[2] = { strdup(old->id), strdup(new->id) };

			image_unref(old);
			image_unref(new);
			reopen(p);
			old = find(p, ids[0]);
			new = find(p, ids[1]);
			free(ids[0]);
			free(ids[1]);
		}
	}
	image_unref(old);
	image_unref(new);
}

static void what_a_container_holds_stays(void **state)
{
	struct place *p = *state;
	struct image *held;

	need_root();
	held = ADD(p, "app:1", "x");
	remove_image(p, "app:1");
	assert_false(is_there(p, "app:1"));
	assert_int_equal(listed(p), 0);
	assert_true(fixture_exists(held->layer_dirs[0], "x"));
	assert_true(usage(p).used_bytes > 0);
	/* And a second reference to it, and only then. */
	(void)image_ref(held);
	image_unref(held);
	assert_true(fixture_exists(held->layer_dirs[0], "x"));
	image_unref(held);
	wait_empty(p);
	assert_empty(p);
}

static void an_older_view_holds_too(void **state)
{
	struct place *p = *state;
	struct image *held;

	need_root();
	held = ADD(p, "app:1", "x");
	image_unref(ADD(p, "app:1", "y")); /* takes the tag, so that the store's view of the first is a new one */
	remove_image(p, held->id);
	assert_true(fixture_exists(held->layer_dirs[0], "x"));
	image_unref(held);
	for (int i = 0; i < 500 && fixture_count(p->root, "layers") > 1; i++)
		(void)usleep(10000);
	assert_int_equal(fixture_count(p->root, "layers"), 1);
	assert_int_equal(fixture_count(p->root, "images"), 1);
}

static void a_removed_image_comes_back_by_a_pull(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *archive = NULL;
	struct image *held, *again;
	struct error err = ERROR_INIT;

	need_root();
	archive = make_archive(p, "a", (const char *const[]){ "x" }, 1);
	assert_ok(import(p, archive, "app:1", &held, &err), &err);
	remove_image(p, "app:1");
	assert_ok(import(p, archive, "app:2", &again, &err), &err);
	assert_string_equal(again->id, held->id);
	assert_int_equal(strv_count(again->repo_tags), 1);
	assert_string_equal(again->repo_tags[0], "docker.io/library/app:2");
	image_unref(held);
	image_unref(again);
	reopen(p);
	assert_true(is_there(p, "app:2"));
	assert_int_equal(fixture_count(p->root, "layers"), 1);
}

static void held_images_survive_a_restart_until_settled(void **state)
{
	struct place *p = *state;
	char id[DIGEST_TEXT_SIZE];
	struct image *held;

	need_root();
	held = ADD(p, "app:1", "x");
	(void)snprintf(id, sizeof(id), "%s", held->id);
	remove_image(p, "app:1");
	/* As a crash does: nobody gives anything back. Only the record counts, so the copy in memory is dropped behind its back. */
	{
		_cleanup_free_
		char *record = fixture_path("images", "record");
		_cleanup_free_
		char *saved = NULL;

		(void)record;
		assert_true(asprintf(&saved, "cp -a %s %s/saved", p->root, p->dir) > 0);
		assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-c", saved, NULL }), 0);
	}
	image_unref(held);
	wait_empty(p);
	image_store_close(p->store);
	free(p->root);
	p->root = fixture_path(p->dir, "saved");
	p->store = fixture_store(p->root, NULL);
	assert_int_equal(listed(p), 0);
	assert_false(is_there(p, "app:1"));
	held = find(p, id);
	assert_non_null(held);
	assert_true(fixture_exists(held->layer_dirs[0], "x"));
	image_store_settle(p->store);
	assert_true(fixture_exists(held->layer_dirs[0], "x"));
	assert_false(is_there(p, id));
	image_unref(held);
	wait_empty(p);
	assert_empty(p);
}

static void settling_removes_what_nobody_wants(void **state)
{
	struct place *p = *state;
	struct image *held;
	_cleanup_free_
	char *copy = NULL;

	need_root();
	held = ADD(p, "app:1", "x");
	remove_image(p, "app:1");
	assert_true(asprintf(&copy, "cp -a %s %s/saved", p->root, p->dir) > 0);
	assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-c", copy, NULL }), 0);
	image_unref(held);
	wait_empty(p);
	image_store_close(p->store);
	free(p->root);
	p->root = fixture_path(p->dir, "saved");
	p->store = fixture_store(p->root, NULL);
	assert_int_equal(fixture_count(p->root, "layers"), 1);
	image_store_settle(p->store);
	assert_empty(p);
}

static void leftovers_are_collected_at_start(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *dirt = NULL;

	need_root();
	image_unref(ADD(p, "app:1", "x"));
	assert_true(asprintf(&dirt,
			     "cd %s && mkdir -p layers/0000/fs/a ingest/7/fs/b && echo x > blobs/sha256/1111 && echo x > "
			     "images/2222.json.tmp",
			     p->root) > 0);
	assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-c", dirt, NULL }), 0);
	reopen(p);
	assert_true(is_there(p, "app:1"));
	assert_int_equal(fixture_count(p->root, "layers"), 1);
	assert_int_equal(fixture_count(p->root, "blobs/sha256"), 2);
	assert_int_equal(fixture_count(p->root, "images"), 1);
	assert_int_equal(fixture_count(p->root, "ingest"), 0);
}

/* Whatever happens to one record, the others live, and what it may need is not thrown away. */
static void damaged_records_are_left_alone(void **state)
{
	static const char *const damages[] = {
		": > images/$hex.json",
		"echo '{' > images/$hex.json",
		"sed -i 's/\"version\":1/\"version\":9/' images/$hex.json",
		"sed -i 's/sha256:/sha257:/g' images/$hex.json",
		"sed -i 's/\"layers\":.*/\"layers\":[{\"diff_id\":\"..\\/..\"}]}/' images/$hex.json",
		"rm blobs/sha256/$hex",
		"echo x >> blobs/sha256/$hex",
		"rm -r layers/*/fs/damaged; for l in layers/*; do [ -e $l/fs/good ] || mv $l $l.away; done",
	};
	struct place *p = *state;

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		struct image *image;
		_cleanup_free_
		char *damage = NULL;
		int layers;

		image_unref(ADD(p, "good:1", "good"));
		image = ADD(p, "damaged:1", "damaged");
		assert_true(asprintf(&damage, "cd %s && hex=%s && %s", p->root, image->id + 7, damages[i]) > 0);
		image_unref(image);
		layers = fixture_count(p->root, "layers");
		image_store_close(p->store);
		assert_int_equal(fixture_run(NULL, (const char *const[]){ "sh", "-c", damage, NULL }), 0);
		p->store = fixture_store(p->root, NULL);
		assert_int_equal(listed(p), 1);
		assert_true(is_there(p, "good:1"));
		assert_false(is_there(p, "damaged:1"));
		assert_int_equal(fixture_count(p->root, "layers"), layers);
		/* Pulled again, it is whole again, over what is left of it. */
		image = ADD(p, "damaged:1", "damaged");
		assert_true(fixture_exists(image->layer_dirs[0], "damaged"));
		image_unref(image);
		reopen(p);
		assert_int_equal(listed(p), 2);
		(void)tear_down(state);
		(void)set_up(state);
		p = *state;
	}
}

static void only_one_process_has_the_store(void **state)
{
	struct place *p = *state;
	const struct image_store_config config = { .root = p->root, .max_layer_bytes = 1, .progress_timeout_ms = 1 };
	struct image_store *second = NULL;
	struct error err = ERROR_INIT;
	struct stat st;

	assert_failed(image_store_open(&config, &second, &err), &err, ERR_STATE, "in use");
	assert_int_equal(stat(p->root, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	{
		const struct image_store_config bad = { .root = "relative", .max_layer_bytes = 1, .progress_timeout_ms = 1 };

		assert_failed(image_store_open(&bad, &second, &err), &err, ERR_INVALID, "absolute");
	}
	{
		const struct image_store_config bad = { .root = "/tmp/x", .progress_timeout_ms = 1 };

		assert_failed(image_store_open(&bad, &second, &err), &err, ERR_INVALID, "positive");
	}
}

/* A failure at each step of an import leaves nothing, and does not stand in the way of the next try. */
static void a_failed_import_leaves_nothing(void **state)
{
	static const char *const steps[] = { "image/publish_layer", "image/sync", "image/write_record" };
	struct place *p = *state;
	_cleanup_free_
	char *faults = fixture_path(p->dir, "faults");
	_cleanup_free_
	char *archive = NULL;
	struct image *image;
	struct error err = ERROR_INIT;

	need_root();
	archive = make_archive(p, "a", (const char *const[]){ "x", "y" }, 2);
	assert_int_equal(setenv("MONOPOD_FAULT_FILE", faults, 1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		fixture_write(p->dir, "faults", steps[i], strlen(steps[i]));
		if (!fault_here("image", strchr(steps[i], '/') + 1)) {
			print_message("skipped: built without fault points\n");
			skip();
		}
		assert_failed(import(p, archive, "app:1", &image, &err), &err, ERR_INTERNAL, "fault");
		collect_now(p->store);
		assert_int_equal(listed(p), 0);
		assert_int_equal(fixture_count(p->root, "layers"), 0);
		assert_int_equal(fixture_count(p->root, "images"), 0);
		assert_int_equal(fixture_count(p->root, "ingest"), 0);
		assert_int_equal(fixture_count(p->root, "blobs/sha256"), 0);
		assert_int_equal(usage(p).used_bytes, p->empty.used_bytes);
	}
	assert_int_equal(unlink(faults), 0);
	assert_ok(import(p, archive, "app:1", &image, &err), &err);
	image_unref(image);
	remove_image(p, "app:1");
	assert_empty(p);
}

/* Many files, directories and links, some of them twice; told after pulls, removals and restarts. */
static void usage_is_what_a_walk_says(void **state)
{
	struct place *p = *state;
	struct image *held;

	need_root();
	assert_usage_is_true(p);
	image_unref(ADD(p, "one:1", "base", "one"));
	assert_usage_is_true(p);
	held = ADD(p, "two:1", "base", "two", "three");
	assert_usage_is_true(p);
	remove_image(p, "one:1");
	assert_usage_is_true(p);
	remove_image(p, "two:1"); /* its record stays, for him who holds it */
	assert_usage_is_true(p);
	image_unref(held);
	wait_empty(p);
	assert_usage_is_true(p);
	image_unref(ADD(p, "three:1", "x"));
	reopen(p);
	assert_usage_is_true(p);
	remove_image(p, "three:1");
	assert_empty(p);
	assert_usage_is_true(p);
}

/* ---- layers of images that did not come whole ---- */

static void open_keeping(struct place *p, int64_t keep_ms)
{
	const struct image_store_config config = {
		.root = p->root,
		.certs_dir = "/nonexistent",
		.max_layer_bytes = FIXTURE_MAX_LAYER,
		.progress_timeout_ms = 5000,
		.keep_unlisted_ms = keep_ms,
	};
	struct error err = ERROR_INIT;

	image_store_close(p->store);
	assert_ok(image_store_open(&config, &p->store, &err), &err);
}

/* Both layers come, and then the record cannot be written. */
static void fail_at_the_end(struct place *p, const char *archive)
{
	_cleanup_free_
	char *faults = fixture_path(p->dir, "faults");
	struct error err = ERROR_INIT;
	struct image *image;

	assert_int_equal(setenv("MONOPOD_FAULT_FILE", faults, 1), 0);
	fixture_write(p->dir, "faults", "image/write_record", strlen("image/write_record"));
	if (!fault_here("image", "write_record")) {
		print_message("skipped: built without fault points\n");
		skip();
	}
	assert_failed(import(p, archive, "app:1", &image, &err), &err, ERR_INTERNAL, "fault");
	assert_int_equal(unlink(faults), 0);
}

static struct timespec layer_mtime(struct place *p)
{
	_cleanup_free_
	char *layers = fixture_path(p->root, "layers");
	_cleanup_dir_ DIR *dir = opendir(layers);
	struct timespec newest = { 0 };
	struct dirent *d;
	struct stat st;

	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.' || fstatat(dirfd(dir), d->d_name, &st, 0) < 0)
			continue;
		if (st.st_ctim.tv_sec > newest.tv_sec ||
		    (st.st_ctim.tv_sec == newest.tv_sec && st.st_ctim.tv_nsec > newest.tv_nsec))
			newest = st.st_ctim;
	}
	return newest;
}

static void whole_layers_serve_the_next_try(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *archive = NULL;
	struct error err = ERROR_INIT;
	struct timespec before, after;
	struct image *image;

	need_root();
	archive = make_archive(p, "a", (const char *const[]){ "x", "y" }, 2);
	for (int restart = 0; restart < 2; restart++) {
		open_keeping(p, 60000);
		fail_at_the_end(p, archive);
		collect_now(p->store);
		assert_int_equal(fixture_count(p->root, "layers"), 2);
		assert_int_equal(fixture_count(p->root, "blobs/sha256"), 0);
		assert_int_equal(fixture_count(p->root, "images"), 0);
		assert_int_equal(fixture_count(p->root, "ingest"), 0);
		assert_usage_is_true(p);
		if (restart)
			open_keeping(p, 60000);
		assert_usage_is_true(p);
		before = layer_mtime(p);
		assert_ok(import(p, archive, "app:1", &image, &err), &err);
		assert_true(fixture_exists(image->layer_dirs[0], "y"));
		after = layer_mtime(p);
		assert_memory_equal(&before, &after, sizeof(before));
		image_unref(image);
		assert_int_equal(fixture_count(p->root, "layers"), 2);
		remove_image(p, "app:1"); /* what was listed goes at once */
		assert_empty(p);
	}
}

static void set_note(struct place *p, const char *from, const char *to)
{
	_cleanup_free_
	char *layers = fixture_path(p->root, "layers");
	_cleanup_dir_ DIR *dir = opendir(layers);
	struct dirent *d;

	while ((d = readdir(dir))) {
		_cleanup_free_
		char *path = fixture_path(layers, d->d_name);
		char text[200] = "";
		_cleanup_free_
		char *changed = NULL;
		char *at;

		if (d->d_name[0] == '.')
			continue;
		assert_true(getxattr(path, "trusted.monopod", text, sizeof(text) - 1) > 0);
		at = strstr(text, from);
		assert_non_null(at);
		assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
		assert_int_equal(setxattr(path, "trusted.monopod", changed, strlen(changed), 0), 0);
	}
}

static void what_cannot_be_trusted_is_not_kept(void **state)
{
	static const struct {
		const char *from, *to;
	} changes[] = {
		{ "-", "+" },   /* another boot */
		{ "1 ", "2 " }, /* another version */
		{ " 6", " 0" }, /* written long ago: the time begins with a 6 or 7, until 2038 */
		{ "", "x" },
	};
	struct place *p = *state;
	_cleanup_free_
	char *archive = NULL;

	need_root();
	archive = make_archive(p, "a", (const char *const[]){ "x", "y" }, 2);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		open_keeping(p, 60000);
		fail_at_the_end(p, archive);
		assert_int_equal(fixture_count(p->root, "layers"), 2);
		set_note(p, changes[i].from, changes[i].to);
		open_keeping(p, 60000);
		assert_empty(p);
	}
	fail_at_the_end(p, archive);
	open_keeping(p, 0);
	assert_empty(p);
}

static void kept_layers_grow_old(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *archive = NULL;

	need_root();
	archive = make_archive(p, "a", (const char *const[]){ "x", "y" }, 2);
	open_keeping(p, 300);
	fail_at_the_end(p, archive);
	for (int i = 0; i < 500 && fixture_count(p->root, "layers") + fixture_count(p->root, "ingest") > 0; i++)
		(void)usleep(10000);
	assert_empty(p);
	/* And over a restart. */
	open_keeping(p, 1000);
	fail_at_the_end(p, archive);
	open_keeping(p, 1000);
	assert_int_equal(fixture_count(p->root, "layers"), 2);
	for (int i = 0; i < 500 && fixture_count(p->root, "layers") + fixture_count(p->root, "ingest") > 0; i++)
		(void)usleep(10000);
	assert_empty(p);
}

/* ---- slots ---- */

struct slot_taker {
	struct slots *slots;
	struct slot_user *user;
	atomic_bool stop;
	_Atomic int state; /* 1: has one, -1: gave up */
	pthread_t thread;
};

static void *take_slot(void *arg)
{
	struct slot_taker *taker = arg;
	struct error err;

	atomic_store(&taker->state, slots_take(taker->slots, taker->user, &taker->stop, &err) == 0 ? 1 : -1);
	return NULL;
}

static unsigned waiting(struct slots *slots)
{
	unsigned n = 0;

	(void)pthread_mutex_lock(&slots->lock);
	n = slots->free == 0 && slots->waiting != NULL;
	(void)pthread_mutex_unlock(&slots->lock);
	return n;
}

static void begin_taking(struct slot_taker *taker, struct slots *slots, struct slot_user *user)
{
	*taker = (struct slot_taker){ .slots = slots, .user = user };
	assert_int_equal(pthread_create(&taker->thread, NULL, take_slot, taker), 0);
	for (int i = 0; i < 1000 && !waiting(slots) && atomic_load(&taker->state) == 0; i++)
		(void)usleep(1000);
	(void)usleep(20000); /* in line */
}

static int wait_taken(struct slot_taker *taker)
{
	for (int i = 0; i < 1000 && atomic_load(&taker->state) == 0; i++)
		(void)usleep(1000);
	return atomic_load(&taker->state);
}

/* The large image has two and wants more; the small one comes later and is served first. */
static void slots_go_to_who_has_fewest(void **state)
{
	struct slots slots;
	struct slot_user large = { 0 }, small = { 0 };
	struct slot_taker more[2], first, quitter;
	struct error err = ERROR_INIT;

	(void)state;
	slots_init(&slots, 2);
	assert_ok(slots_take(&slots, &large, NULL, &err), &err);
	assert_ok(slots_take(&slots, &large, NULL, &err), &err);
	begin_taking(&more[0], &slots, &large);
	begin_taking(&more[1], &slots, &large);
	begin_taking(&quitter, &slots, &small);
	begin_taking(&first, &slots, &small);
	atomic_store(&quitter.stop, true);
	assert_int_equal(wait_taken(&quitter), -1);
	slots_give(&slots, &large);
	assert_int_equal(wait_taken(&first), 1);
	assert_int_equal(atomic_load(&more[0].state), 0);
	slots_give(&slots, &small);
	assert_int_equal(wait_taken(&more[0]), 1);
	assert_int_equal(atomic_load(&more[1].state), 0);
	slots_give(&slots, &large);
	assert_int_equal(wait_taken(&more[1]), 1);
	slots_give(&slots, &large);
	slots_give(&slots, &large);
	assert_int_equal(slots.free, 2);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(more[i].thread, NULL), 0);
	assert_int_equal(pthread_join(first.thread, NULL), 0);
	assert_int_equal(pthread_join(quitter.thread, NULL), 0);
	slots_release(&slots);
}

/* ---- at once ---- */

struct worker {
	struct place *place;
	const char *archive;
	char name[32];
	pthread_t thread;
	int result;
	struct error err;
};

static void *run_import(void *arg)
{
	struct worker *w = arg;
	struct image *image = NULL;

	w->result = import(w->place, w->archive, w->name, &image, &w->err);
	image_unref(image);
	return NULL;
}

static void *run_churn(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < 5 && w->result == 0; i++) {
		struct image *image = NULL;

		w->result = import(w->place, w->archive, w->name, &image, &w->err);
		if (w->result == 0 && !fixture_exists(image->layer_dirs[0], "top"))
			w->result = error_set(&w->err, ERR_INTERNAL, "layer of %s is not there", w->name);
		if (w->result == 0)
			w->result = image_remove(w->place->store, w->name, &w->err);
		image_unref(image);
	}
	return NULL;
}

static void run_workers(struct place *p, const char *archive, void *(*run)(void *), bool same_name)
{
	struct worker workers[4];

	for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
		workers[i] = (struct worker){ .place = p, .archive = archive };
		(void)snprintf(workers[i].name, sizeof(workers[i].name), "app:%zu", same_name ? 0 : i);
		assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		assert_ok(workers[i].result, &workers[i].err);
	}
}

static void imports_at_once_share_layers(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *archive = NULL;

	need_root();
	archive = make_archive(p, "a", (const char *const[]){ "x", "y", "z", "top" }, 4);
	run_workers(p, archive, run_import, false);
	assert_int_equal(listed(p), 1);
	assert_int_equal(fixture_count(p->root, "layers"), 4);
	assert_usage_is_true(p);
	assert_int_equal(fixture_count(p->root, "ingest"), 0);
	remove_image(p, "app:2");
	assert_empty(p);
}

static void churn_leaves_nothing(void **state)
{
	struct place *p = *state;
	_cleanup_free_
	char *archive = NULL;

	need_root();
	archive = make_archive(p, "a", (const char *const[]){ "x", "top" }, 2);
	run_workers(p, archive, run_churn, false);
	run_workers(p, archive, run_churn, true);
	remove_image(p, "app:0");
	wait_empty(p);
	collect_now(p->store);
	assert_empty(p);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	CASE(an_image_says_what_it_is),
	CASE(images_are_found_by_every_spelling),
	CASE(a_restart_changes_nothing),
	CASE(a_layer_that_comes_twice_is_mounted_once),
	CASE(shared_layers_stay_for_the_other),
	CASE(removal_is_idempotent_and_takes_all_tags),
	CASE(a_moved_tag_leaves_the_other_image),
	CASE(what_a_container_holds_stays),
	CASE(an_older_view_holds_too),
	CASE(a_removed_image_comes_back_by_a_pull),
	CASE(held_images_survive_a_restart_until_settled),
	CASE(settling_removes_what_nobody_wants),
	CASE(leftovers_are_collected_at_start),
	CASE(damaged_records_are_left_alone),
	CASE(only_one_process_has_the_store),
	CASE(a_failed_import_leaves_nothing),
	CASE(usage_is_what_a_walk_says),
	CASE(whole_layers_serve_the_next_try),
	CASE(what_cannot_be_trusted_is_not_kept),
	CASE(kept_layers_grow_old),
	CASE(slots_go_to_who_has_fewest),
	CASE(imports_at_once_share_layers),
	CASE(churn_leaves_nothing),
};

FIXTURE_MAIN(tests)
