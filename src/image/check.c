/*
 * The check takes the store as it is at its beginning: digests are copied, layers get a reference, so that none is taken away while it is
 * read. No image is held: one that is removed meanwhile is no damage, and a repair sees who else holds it.
 */
#include "image/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/strv.h"
#include "image/manifest.h"
#include "image/store.h"
#include "image/verify.h"

struct check {
	struct image_store *store;
	const struct image_check *options;
	struct image_check_summary summary;

	/* of the object that is looked at */
	char **details, **images, **ids;
	size_t n_details;
	bool is_held;
	bool out_of_memory;
};

static int check_cancelled(const struct check *c, struct error *err)
{
	if (c->options->cancelled && atomic_load(c->options->cancelled))
		return error_set(err, ERR_CANCELLED, "cancelled");
	return 0;
}

/* ---- findings ---- */

static void add_detail(struct check *c, const char *text)
{
	struct error ignored;

	c->n_details++;
	if (strv_count(c->details) < IMAGE_DAMAGE_MAX_DETAILS && strv_append(&c->details, text, &ignored) < 0)
		c->out_of_memory = true;
}

static int begin_object(struct check *c, struct error *err)
{
	strv_free(c->details);
	strv_free(c->images);
	strv_free(c->ids);
	c->details = strv_new();
	c->images = strv_new();
	c->ids = strv_new();
	c->n_details = 0;
	c->is_held = false;
	if (!c->details || !c->images || !c->ids)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return check_cancelled(c, err);
}

static bool entry_needs(const struct entry *entry, const struct layer *layer, const char *digest)
{
	for (size_t i = 0; layer && i < entry->n_layers; i++) {
		if (entry->layers[i] == layer)
			return true;
	}
	return digest && (!strcmp(entry->id, digest) || strv_has(entry->manifests, digest));
}

/* Who needs the object. One that was removed and is still held counts as held and has only its id. */
static int find_images_locked(struct check *c, const struct layer *layer, const char *digest, struct error *err)
{
	for (struct entry *entry = c->store->entries; entry; entry = entry->hh.next) {
		const struct image *image = entry->current ? &entry->current->image : NULL;
		bool has_tag = image && *image->repo_tags;

		if (entry->is_garbage || !entry_needs(entry, layer, digest))
			continue;
		if (strv_add(&c->images, has_tag ? image->repo_tags[0] : entry->id, err) < 0 ||
		    strv_add(&c->ids, entry->id, err) < 0)
			return -1;
		if (!image || entry->versions > 1 || atomic_load(&image->refs) > 1)
			c->is_held = true;
	}
	return 0;
}

static int find_images(struct check *c, const struct layer *layer, const char *digest, struct error *err)
{
	int result;

	(void)pthread_mutex_lock(&c->store->lock);
	result = find_images_locked(c, layer, digest, err);
	(void)pthread_mutex_unlock(&c->store->lock);
	return result;
}

static int remove_images(struct check *c, struct error *err)
{
	for (char **id = c->ids; *id; id++) {
		if (image_remove(c->store, *id, err) < 0)
			return -1;
	}
	return 0;
}

static int tell(struct check *c, const char *object, const char *advice, bool repaired, struct error *err)
{
	const struct image_damage damage = {
		.object = object,
		.details = c->details,
		.n_more = c->n_details - strv_count(c->details),
		.images = c->images,
		.advice = advice,
		.repaired = repaired,
	};

	if (c->out_of_memory)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	c->summary.damaged++;
	c->summary.repaired += repaired;
	return c->options->found(c->options->arg, &damage, err);
}

/* The object is damaged, as c->details say, and needed by c->images. */
static int conclude(struct check *c, const char *object, struct error *err)
{
	if (c->is_held)
		return tell(
			c, object,
			"containers run on it: remove them, then `monopod check --images --repair`, then pull or import it again",
			false, err);
	if (!c->options->repair)
		return tell(c, object, "`monopod check --images --repair` removes it; then pull or import it again", false, err);
	if (remove_images(c, err) < 0)
		return -1;
	return tell(c, object, "removed: pull or import it again", true, err);
}

/* ---- manifests and configurations ---- */

static int snapshot_blobs(struct check *c, char ***manifests, char ***configs, struct error *err)
{
	int result = 0;

	(void)pthread_mutex_lock(&c->store->lock);
	for (struct entry *entry = c->store->entries; entry && result == 0; entry = entry->hh.next) {
		if (entry->is_garbage)
			continue;
		c->summary.images += entry->listed;
		result = strv_append(configs, entry->id, err);
		for (char **digest = entry->manifests; *digest && result == 0; digest++)
			result = strv_add(manifests, *digest, err);
	}
	(void)pthread_mutex_unlock(&c->store->lock);
	return result;
}

/* Once more while no image comes or goes: one that went is no damage. */
static int read_again(struct check *c, const char *digest, size_t max, struct error *why, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(max);
	int result;

	(void)pthread_mutex_lock(&c->store->disk_lock);
	result = find_images(c, NULL, digest, err);
	if (result == 0 && *c->ids && blob_read(c->store, digest, max, &text, why) < 0)
		result = 1;
	(void)pthread_mutex_unlock(&c->store->disk_lock);
	return result;
}

static int check_blob(struct check *c, const char *kind, const char *digest, size_t max, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(max);
	char object[DIGEST_TEXT_SIZE + 32];
	struct error why = ERROR_INIT;
	int result;

	if (begin_object(c, err) < 0)
		return -1;
	c->summary.blobs++;
	if (blob_read(c->store, digest, max, &text, &why) == 0)
		return 0;
	result = read_again(c, digest, max, &why, err);
	if (result <= 0)
		return result;
	add_detail(c, why.text);
	(void)snprintf(object, sizeof(object), "%s %s", kind, digest);
	return conclude(c, object, err);
}

static int check_blobs(struct check *c, struct error *err)
{
	_cleanup_strv_ char **manifests = strv_new();
	_cleanup_strv_ char **configs = strv_new();

	if (!manifests || !configs)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (snapshot_blobs(c, &manifests, &configs, err) < 0)
		return -1;
	for (char **digest = manifests; *digest; digest++) {
		if (check_blob(c, "manifest", *digest, MANIFEST_MAX_BYTES, err) < 0)
			return -1;
	}
	for (char **digest = configs; *digest; digest++) {
		if (check_blob(c, "configuration", *digest, CONFIG_MAX_BYTES, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- layers ---- */

/* Every layer that is whole, with a reference each. */
static struct layer **snapshot_layers(struct image_store *store, size_t *ret_n)
{
	struct layer **layers;
	size_t n = 0;

	(void)pthread_mutex_lock(&store->lock);
	layers = calloc((size_t)HASH_COUNT(store->layers) + 1, sizeof(*layers));
	for (struct layer *layer = store->layers; layers && layer; layer = layer->hh.next) {
		if (layer->state != LAYER_READY)
			continue;
		layer->refs++;
		layers[n++] = layer;
	}
	(void)pthread_mutex_unlock(&store->lock);
	*ret_n = n;
	return layers;
}

static void on_finding(void *arg, const char *path, const char *what)
{
	struct check *c = arg;
	char *text = NULL;

	if (asprintf(&text, "%s: %s", path, what) < 0) {
		c->out_of_memory = true;
		return;
	}
	add_detail(c, text);
	free(text);
}

static int open_in_layer(const struct check *c, const struct layer *layer, const char *name, int flags, struct error *err)
{
	char path[DIGEST_HEX_LEN + sizeof("/listing")];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", digest_hex(layer->diff_id), name);
	fd = openat(c->store->layersfd, path, flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? error_sys(err, errno, "open %s", name) : fd;
}

/* Fails for what is wrong with the layer as a whole; *ret_listing is to be freed in any case. */
static int open_layer(const struct check *c, const struct layer *layer, struct listing *ret_listing, int *ret_fd, struct error *err)
{
	_cleanup_fd_ int listing = -1;

	*ret_fd = open_in_layer(c, layer, "fs", O_DIRECTORY, err);
	if (*ret_fd < 0)
		return -1;
	listing = open_in_layer(c, layer, "listing", 0, err);
	return listing < 0 ? -1 : listing_read(listing, ret_listing, err);
}

static int compare_layer(struct check *c, const struct layer *layer, struct error *err)
{
	const struct verify_options options = { .found = on_finding, .arg = c, .cancelled = c->options->cancelled };
	_cleanup_listing_ struct listing listing = { 0 };
	struct verify_usage usage = { 0 };
	struct error why = ERROR_INIT;
	_cleanup_fd_ int fd = -1;

	if (open_layer(c, layer, &listing, &fd, &why) < 0) {
		if (why.code == ERR_EXHAUSTED) {
			*err = why;
			return -1;
		}
		add_detail(c, why.text);
		return 0;
	}
	if (layer_verify(fd, &listing, &options, &usage, err) < 0)
		return -1;
	c->summary.entries += usage.entries;
	c->summary.bytes += usage.bytes;
	return 0;
}

static int check_layer(struct check *c, struct layer *layer, struct error *err)
{
	char object[DIGEST_TEXT_SIZE + 32];

	if (begin_object(c, err) < 0)
		return -1;
	(void)snprintf(object, sizeof(object), "layer %s", layer->diff_id);
	c->summary.layers++;
	if (compare_layer(c, layer, err) < 0)
		return error_prefix(err, "%s", object);
	if (c->n_details == 0)
		return 0;
	if (find_images(c, layer, NULL, err) < 0)
		return -1;
	if (!*c->ids) /* nobody needs it any more */
		return 0;
	return conclude(c, object, err);
}

static int check_layers(struct check *c, struct error *err)
{
	size_t n = 0;
	struct layer **layers = snapshot_layers(c->store, &n);
	int result = layers ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for layers");

	for (size_t i = 0; i < n; i++) {
		if (result == 0)
			result = check_layer(c, layers[i], err);
		layer_release(c->store, layers[i]);
	}
	free(layers);
	return result;
}

/* ---- what belongs to nobody ---- */

/* In a record, "HEX.json" for "HEX". */
static bool entry_has_record(struct image_store *store, const char *name)
{
	for (const struct entry *entry = store->entries; entry; entry = entry->hh.next) {
		if (!strncmp(digest_hex(entry->id), name, DIGEST_HEX_LEN))
			return true;
	}
	return false;
}

static bool entry_has_blob(struct image_store *store, const char *name)
{
	char digest[DIGEST_TEXT_SIZE];

	(void)snprintf(digest, sizeof(digest), DIGEST_PREFIX "%.*s", DIGEST_HEX_LEN, name);
	for (const struct entry *entry = store->entries; entry; entry = entry->hh.next) {
		if (entry_needs(entry, NULL, digest))
			return true;
	}
	return false;
}

static bool is_layer(struct image_store *store, const char *name)
{
	for (const struct layer *layer = store->layers; layer; layer = layer->hh.next) {
		if (!strcmp(digest_hex(layer->diff_id), name))
			return true;
	}
	return false;
}

struct place {
	const char *name;
	bool (*is_known)(struct image_store *store, const char *name);
	const char *what, *advice;
};

/* Under disk_lock, so that nothing is on its way in or out. */
static int look_for_strays(struct check *c, int dirfd, const struct place *place, char ***strays, struct error *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	int result = 0;

	if (!dir) {
		(void)error_sys(err, errno, "list %s/%s", c->store->root, place->name);
		close_fd(&fd);
		return -1;
	}
	(void)pthread_mutex_lock(&c->store->lock);
	while (result == 0 && (d = readdir(dir))) {
		if (*d->d_name != '.' && !place->is_known(c->store, d->d_name))
			result = strv_append(strays, d->d_name, err);
	}
	(void)pthread_mutex_unlock(&c->store->lock);
	return result;
}

static int check_place(struct check *c, int dirfd, const struct place *place, struct error *err)
{
	_cleanup_strv_ char **strays = strv_new();
	int result = strays ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");

	(void)pthread_mutex_lock(&c->store->disk_lock);
	if (result == 0)
		result = look_for_strays(c, dirfd, place, &strays, err);
	(void)pthread_mutex_unlock(&c->store->disk_lock);
	for (char **name = strays; result == 0 && *name; name++) {
		char object[NAME_MAX + 32];

		(void)snprintf(object, sizeof(object), "%s/%s", place->name, *name);
		result = begin_object(c, err);
		if (result == 0) {
			add_detail(c, place->what);
			result = tell(c, object, place->advice, false, err);
		}
	}
	return result;
}

static int check_strays(struct check *c, struct error *err)
{
	static const struct place records = {
		"images", entry_has_record, "this record of an image could not be read",
		"delete it and restart the daemon, which then collects what it needed; pull the image "
		"again"
	};
	static const struct place blobs = { "blobs/sha256", entry_has_blob, "no image needs it",
					    "it goes when the daemon starts again" };
	static const struct place layers = { "layers", is_layer, "no image needs it", "it goes when the daemon starts again" };

	if (check_place(c, c->store->imagesfd, &records, err) < 0 || check_place(c, c->store->blobsfd, &blobs, err) < 0)
		return -1;
	return check_place(c, c->store->layersfd, &layers, err);
}

/* ---- all of it ---- */

static bool set_checking(struct image_store *store, bool checking)
{
	bool was;

	(void)pthread_mutex_lock(&store->lock);
	was = store->checking;
	store->checking = checking;
	(void)pthread_mutex_unlock(&store->lock);
	return was;
}

int image_store_check(struct image_store *store, const struct image_check *options, struct image_check_summary *ret_summary,
		      struct error *err)
{
	struct check c = { .store = store, .options = options };
	int result = -1;

	if (set_checking(store, true))
		return error_set(err, ERR_STATE, "check images: another check goes on");
	if (check_blobs(&c, err) == 0 && check_layers(&c, err) == 0)
		result = check_strays(&c, err);
	(void)set_checking(store, false);
	collect_now(store); /* layers that only the check held */
	strv_free(c.details);
	strv_free(c.images);
	strv_free(c.ids);
	if (result < 0)
		return error_prefix(err, "check images");
	*ret_summary = c.summary;
	return 0;
}
