/* What the store hands out, seen through the kernel's overlay; and a store on a file system that is too small. */
#include "image_fixture.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/strv.h"
#include "image/store.h"

struct place {
	char *dir, *root, *layout, *merged;
	struct image_store *store;
};

/* Set by main(): this process has mounts of its own, which go with it. */
static bool may_mount;

#define need_mounts()                                                                                                              \
	do {                                                                                                                       \
		if (!may_mount) {                                                                                                  \
			print_message("skipped: needs root and a mount namespace\n");                                              \
			skip();                                                                                                    \
		}                                                                                                                  \
	} while (0)

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->dir = fixture_dir();
	p->root = fixture_path(p->dir, "store");
	p->layout = fixture_path(p->dir, "layout");
	p->merged = fixture_path(p->dir, "merged");
	assert_int_equal(mkdir(p->root, 0700), 0);
	assert_int_equal(mkdir(p->layout, 0700), 0);
	assert_int_equal(mkdir(p->merged, 0700), 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	(void)umount2(p->merged, MNT_DETACH);
	image_store_close(p->store);
	(void)umount2(p->root, MNT_DETACH);
	fixture_remove(p->dir);
	free(p->root);
	free(p->layout);
	free(p->merged);
	free(p);
	return 0;
}

static int import_layers(struct place *p, const struct fixture_layer *layers, size_t n, struct image **ret, struct error *err)
{
	struct fixture_image image = fixture_image(p->layout, layers, n, NULL, NULL);
	_cleanup_free_
	char *archive = fixture_path(p->dir, "a.tar");
	int fd, result;

	fixture_layout(p->layout, &image.manifest, NULL);
	fixture_pack(p->layout, archive);
	fd = open(archive, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	result = fixture_import(p->store, fd, "app:1", ret, err);
	(void)close(fd);
	return result;
}

static void mount_layers(struct place *p, const struct image *image)
{
	char options[4000] = "lowerdir=";

	for (char **dir = image->layer_dirs; *dir; dir++)
		(void)snprintf(options + strlen(options), sizeof(options) - strlen(options), "%s%s",
			       dir == image->layer_dirs ? "" : ":", *dir);
	/* One lower directory alone is none of overlayfs's business. */
	if (image->n_layers == 1)
		(void)snprintf(options + strlen(options), sizeof(options) - strlen(options), ":%s", p->layout);
	if (mount("overlay", p->merged, "overlay", MS_RDONLY, options) == 0)
		return;
	if (errno != ENODEV)
		fail_msg("mount %s: %s", options, strerror(errno));
	print_message("skipped: this kernel has no overlayfs\n");
	skip();
}

/* The names in a directory, sorted and joined. */
static char *names_in(const char *dir, const char *name)
{
	_cleanup_free_
	char *path = fixture_path(dir, name);
	struct dirent **list;
	char *text = calloc(1, 1000);
	int n = scandir(path, &list, NULL, alphasort);

	assert_true(n >= 2);
	for (int i = 0; i < n; i++) {
		if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0)
			(void)snprintf(text + strlen(text), 1000 - strlen(text), "%s%s", *text ? " " : "", list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return text;
}

static void assert_names(const struct place *p, const char *name, const char *expected)
{
	_cleanup_free_
	char *text = names_in(p->merged, name);

	assert_string_equal(text, expected);
}

static void assert_text(const struct place *p, const char *name, const char *expected)
{
	_cleanup_free_
	char *text = fixture_read(p->merged, name);

	assert_non_null(text);
	assert_string_equal(text, expected);
}

static void overlay_shows_the_image(void **state)
{
	static const struct item low[] = {
		{ .name = "kept", .type = 'f', .data = "low" },         { .name = "changed", .type = 'f', .data = "low" },
		{ .name = "gone", .type = 'f', .data = "low" },         { .name = "gonedir/x", .type = 'f', .data = "low" },
		{ .name = "merged/low", .type = 'f', .data = "low" },   { .name = "emptied/low", .type = 'f', .data = "low" },
		{ .name = "replaced/low", .type = 'f', .data = "low" }, { .name = "remade/low", .type = 'f', .data = "low" },
		{ .name = "link", .type = 'l', .data = "kept" },
	};
	static const struct item high[] = {
		{ .name = "changed", .type = 'f', .data = "high" },
		{ .name = ".wh.gone", .type = 'f' },
		{ .name = ".wh.gonedir", .type = 'f' },
		{ .name = "merged/high", .type = 'f', .data = "high" },
		{ .name = "emptied/.wh..wh..opq", .type = 'f' },
		{ .name = "emptied/high", .type = 'f', .data = "high" },
		{ .name = "replaced", .type = 'f', .data = "file now" },
		{ .name = ".wh.remade", .type = 'f' },
		{ .name = "remade/high", .type = 'f', .data = "high" },
		{ .name = "link/", .type = 'd' },
		{ .name = "link/in", .type = 'f', .data = "high" },
	};
	struct place *p = *state;
	struct fixture_layer layers[] = { { fixture_tar(low, ARRAY_SIZE(low)), 'g', NULL },
					  { fixture_tar(high, ARRAY_SIZE(high)), 'z', NULL },
					  { fixture_tar(low, 1), 'p', NULL } };
	struct image *image;
	struct error err = ERROR_INIT;

	need_mounts();
	p->store = fixture_store(p->root, NULL);
	assert_ok(import_layers(p, layers, ARRAY_SIZE(layers), &image, &err), &err);
	mount_layers(p, image);
	assert_names(p, ".", "changed emptied kept link merged remade replaced");
	assert_text(p, "changed", "high");
	assert_text(p, "kept", "low");
	assert_names(p, "merged", "high low");
	assert_names(p, "emptied", "high");
	assert_names(p, "remade", "high");
	assert_text(p, "replaced", "file now");
	assert_names(p, "link", "in");
	image_unref(image);
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		free(layers[i].tar.data);
}

/* overlayfs itself knows no opaque root. */
static void an_opaque_root_hides_all(void **state)
{
	static const struct item low[] = { { .name = "low", .type = 'f', .data = "low" } };
	static const struct item mid[] = { { .name = ".wh..wh..opq", .type = 'f' }, { .name = "mid", .type = 'f', .data = "mid" } };
	static const struct item high[] = { { .name = "high", .type = 'f', .data = "high" } };
	struct place *p = *state;
	struct fixture_layer layers[] = { { fixture_tar(low, 1), 'g', NULL },
					  { fixture_tar(mid, 2), 'g', NULL },
					  { fixture_tar(high, 1), 'g', NULL } };
	struct image *image;
	struct error err = ERROR_INIT;

	need_mounts();
	p->store = fixture_store(p->root, NULL);
	assert_ok(import_layers(p, layers, ARRAY_SIZE(layers), &image, &err), &err);
	mount_layers(p, image);
	assert_names(p, ".", "high mid");
	image_unref(image);
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		free(layers[i].tar.data);
}

/* A layer twice, with something between that removes what it brings: the overlay of each once is the same. */
static void a_repeated_layer_brings_everything_back(void **state)
{
	static const struct item twice[] = { { .name = "d/x", .type = 'f', .data = "x" }, { .name = ".wh.removed", .type = 'f' } };
	static const struct item between[] = { { .name = "d/.wh.x", .type = 'f' },
					       { .name = "d/y", .type = 'f', .data = "y" },
					       { .name = "removed", .type = 'f' } };
	struct place *p = *state;
	struct bytes tar = fixture_tar(twice, 2);
	struct fixture_layer layers[] = { { tar, 'g', NULL }, { fixture_tar(between, 3), 'g', NULL }, { tar, 'g', NULL } };
	struct image *image;
	struct error err = ERROR_INIT;

	need_mounts();
	p->store = fixture_store(p->root, NULL);
	assert_ok(import_layers(p, layers, 3, &image, &err), &err);
	assert_int_equal(image->n_layers, 2);
	mount_layers(p, image);
	assert_names(p, ".", "d");
	assert_names(p, "d", "x y");
	image_unref(image);
	free(tar.data);
	free(layers[1].tar.data);
}

static void a_full_disk_is_no_damage(void **state)
{
	enum { BIG = 3 << 20 };
	struct place *p = *state;
	char *text = malloc(BIG + 1);
	const struct item big[] = { { .name = "big", .type = 'f', .data = text } };
	static const struct item small[] = { { .name = "small", .type = 'f', .data = "x" } };
	struct fixture_layer layers[2];
	struct image *image;
	struct error err = ERROR_INIT;

	need_mounts();
	assert_non_null(text);
	memset(text, 'x', BIG);
	text[BIG] = '\0';
	layers[0] = (struct fixture_layer){ fixture_tar(small, 1), 'g', NULL };
	layers[1] = (struct fixture_layer){ fixture_tar(big, 1), 'g', NULL };
	assert_int_equal(mount("small", p->root, "tmpfs", 0, "size=2m,mode=0700"), 0);
	p->store = fixture_store(p->root, NULL);
	assert_failed(import_layers(p, layers, 2, &image, &err), &err, ERR_EXHAUSTED, "No space left on device");
	collect_now(p->store);
	assert_int_equal(fixture_count(p->root, "ingest"), 0);
	assert_int_equal(fixture_count(p->root, "layers"), 0);
	assert_int_equal(fixture_count(p->root, "images"), 0);
	/* What fits is taken as before. */
	assert_ok(import_layers(p, layers, 1, &image, &err), &err);
	image_unref(image);
	free(layers[0].tar.data);
	free(layers[1].tar.data);
	free(text);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(overlay_shows_the_image),
		CASE(an_opaque_root_hides_all),
		CASE(a_repeated_layer_brings_everything_back),
		CASE(a_full_disk_is_no_damage),
	};

	if (argc > 0 && !strcmp(argv[0], IMAGE_UNPACK_NAME))
		return image_unpack_main();
	may_mount = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
