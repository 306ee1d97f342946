/* The layers of an image: a few threads that take the next one that is missing, and the caller's thread that watches them. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "image/install.h"
#include "image/unpack.h"

/* The most that max_downloads_per_image may ask for. */
#define MAX_WORKERS 16

/* How often the watching thread looks at cancellation and tells progress. */
#define WATCH_NS 100000000

struct crew {
	struct install *in;
	atomic_bool stop; /* cancelled, or one has failed */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t next; /* layer that nobody has taken yet */
	unsigned working;
	bool failed;
	struct slot_user slots;
	struct error first_error;
	_Atomic uint64_t done_bytes[MANIFEST_MAX_LAYERS];
	_Atomic unsigned state[MANIFEST_MAX_LAYERS]; /* enum pull_layer_state */
	struct pull_layer told[MANIFEST_MAX_LAYERS];
};

struct stream {
	struct crew *crew;
	size_t index;
	struct unpack *unpack;
};

static int take_bytes(void *arg, const void *data, size_t len, struct error *err)
{
	struct stream *s = arg;

	atomic_fetch_add(&s->crew->done_bytes[s->index], len);
	return unpack_write(s->unpack, data, len, err);
}

static int stream_layer(struct crew *crew, size_t i, int dirfd, int listing_fd, struct unpack_result *ret_result, struct error *err)
{
	struct install *in = crew->in;
	const struct unpack_options options = {
		.dirfd = dirfd,
		.is_layer = true,
		.lists = true,
		.listing_fd = listing_fd,
		.max_bytes = (uint64_t)in->store->max_layer_bytes,
		.digest = *in->manifest.layers[i].digest ? in->manifest.layers[i].digest : NULL,
		.cancelled = &crew->stop,
	};
	struct stream s = { crew, i, NULL };
	int result;

	if (unpack_begin(&options, &s.unpack, err) < 0)
		return -1;
	atomic_store(&crew->state[i], PULL_LAYER_DOWNLOADING);
	result = in->source->fetch(in->source, &in->manifest.layers[i], i, &crew->stop, take_bytes, &s, err);
	atomic_store(&crew->state[i], PULL_LAYER_UNPACKING);
	if (result == 0)
		result = unpack_finish(s.unpack, ret_result, err);
	unpack_free(s.unpack);
	if (result == 0 && strcmp(in->config.diff_ids[i], ret_result->diff_id) != 0)
		return error_set(err, ERR_DATA_LOSS, "its content is %s and not %s", ret_result->diff_id, in->config.diff_ids[i]);
	return result;
}

static int unpack_in_ingest(struct crew *crew, size_t i, struct layer *layer, const char *name, int dirfd, struct error *err)
{
	_cleanup_fd_ int listing_fd = ingest_make_listing(crew->in->store, name, err);
	struct unpack_result result = { .bytes = 0 };
	struct stat listing;

	if (listing_fd < 0 || stream_layer(crew, i, dirfd, listing_fd, &result, err) < 0)
		return -1;
	layer->bytes = result.bytes + (fstat(listing_fd, &listing) == 0 ? store_blocks((uint64_t)listing.st_size) : 0);
	layer->inodes = result.inodes + 1;
	layer->opaque_root = result.opaque_root;
	return layer_publish(crew->in->store, layer, name, err);
}

static int unpack_new_layer(struct crew *crew, size_t i, struct layer *layer, struct error *err)
{
	struct image_store *store = crew->in->store;
	char name[INGEST_NAME_SIZE];
	int dirfd = -1;
	int done = -1;

	if (slots_take(&store->slots, &crew->slots, &crew->stop, err) < 0) {
		layer_abandon(store, layer);
		return -1;
	}
	if (ingest_make(store, name, &dirfd, err) == 0)
		done = unpack_in_ingest(crew, i, layer, name, dirfd, err);
	close_fd(&dirfd);
	if (done < 0) {
		ingest_drop(store, name);
		layer_abandon(store, layer);
	}
	slots_give(&store->slots, &crew->slots);
	return done;
}

static int install_layer(struct crew *crew, size_t i, struct error *err)
{
	struct install *in = crew->in;
	struct layer *layer;
	bool mine = false;

	if (in->manifest.layers[i].size_bytes > (uint64_t)in->store->max_layer_bytes)
		return error_set(err, ERR_EXHAUSTED, "%llu bytes are over the limit of %lld",
				 (unsigned long long)in->manifest.layers[i].size_bytes, (long long)in->store->max_layer_bytes);
	if (layer_acquire(in->store, in->config.diff_ids[i], &crew->stop, &layer, &mine, err) < 0)
		return -1;
	if (mine && unpack_new_layer(crew, i, layer, err) < 0)
		return -1;
	in->layers[i] = layer;
	atomic_store(&crew->done_bytes[i], in->manifest.layers[i].size_bytes);
	atomic_store(&crew->state[i], mine ? PULL_LAYER_DONE : PULL_LAYER_EXISTS);
	return 0;
}

/* Returns false when there is none left. */
static bool take_layer(struct crew *crew, size_t *ret_index)
{
	bool taken;

	(void)pthread_mutex_lock(&crew->lock);
	taken = !crew->failed && !atomic_load(&crew->stop) && crew->next < crew->in->manifest.n_layers;
	if (taken)
		*ret_index = crew->next++;
	(void)pthread_mutex_unlock(&crew->lock);
	return taken;
}

static void note_failure(struct crew *crew, size_t i, struct error *err)
{
	const char *name = crew->in->config.diff_ids[i];

	if (*crew->in->manifest.layers[i].digest)
		name = crew->in->manifest.layers[i].digest;
	(void)error_prefix(err, "layer %s", name);
	(void)pthread_mutex_lock(&crew->lock);
	if (!crew->failed)
		crew->first_error = *err;
	crew->failed = true;
	atomic_store(&crew->stop, true);
	(void)pthread_mutex_unlock(&crew->lock);
}

static void *run_worker(void *arg)
{
	struct crew *crew = arg;
	struct error err;
	size_t i;

	while (take_layer(crew, &i)) {
		if (install_layer(crew, i, &err) < 0)
			note_failure(crew, i, &err);
	}
	(void)pthread_mutex_lock(&crew->lock);
	crew->working--;
	(void)pthread_cond_signal(&crew->changed);
	(void)pthread_mutex_unlock(&crew->lock);
	return NULL;
}

/* What a registry sends beyond what the manifest says is refused; here it is not told. */
static struct pull_layer look_at(struct crew *crew, size_t i)
{
	const struct descriptor *what = &crew->in->manifest.layers[i];
	uint64_t done = atomic_load(&crew->done_bytes[i]);

	return (struct pull_layer){
		.digest = what->digest,
		.state = (enum pull_layer_state)atomic_load(&crew->state[i]),
		.done_bytes = done < what->size_bytes ? done : what->size_bytes,
		.total_bytes = what->size_bytes,
	};
}

static void tell_progress(struct crew *crew)
{
	const struct install *in = crew->in;
	bool changed = false;

	for (size_t i = 0; in->progress && i < in->manifest.n_layers; i++) {
		struct pull_layer now = look_at(crew, i), *told = &crew->told[i];

		changed |= !told->digest || told->state != now.state || told->done_bytes != now.done_bytes;
		*told = now;
	}
	if (changed)
		in->progress(in->progress_arg, crew->told, in->manifest.n_layers);
}

static bool wait_a_while(struct crew *crew)
{
	struct timespec until;
	bool working;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += WATCH_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_mutex_lock(&crew->lock);
	if (crew->working > 0)
		(void)pthread_cond_timedwait(&crew->changed, &crew->lock, &until);
	working = crew->working > 0;
	(void)pthread_mutex_unlock(&crew->lock);
	return working;
}

static void watch(struct crew *crew)
{
	bool working;

	tell_progress(crew);
	do {
		working = wait_a_while(crew);
		if (crew->in->cancelled && atomic_load(crew->in->cancelled))
			atomic_store(&crew->stop, true);
		tell_progress(crew);
	} while (working);
}

/* Starts as many as can be; one is enough. */
static int start_workers(struct crew *crew, pthread_t workers[MAX_WORKERS], unsigned *ret_n, struct error *err)
{
	unsigned wanted = crew->in->store->max_downloads_per_image;
	int result = 0;

	if (wanted > crew->in->manifest.n_layers)
		wanted = crew->in->manifest.n_layers > 0 ? (unsigned)crew->in->manifest.n_layers : 1;
	crew->working = wanted;
	for (*ret_n = 0; *ret_n < wanted; (*ret_n)++) {
		result = pthread_create(&workers[*ret_n], NULL, run_worker, crew);
		if (result)
			break;
	}
	(void)pthread_mutex_lock(&crew->lock);
	crew->working -= wanted - *ret_n;
	(void)pthread_mutex_unlock(&crew->lock);
	return *ret_n > 0 ? 0 : error_sys(err, result, "start a thread");
}

static int run_crew(struct crew *crew, struct error *err)
{
	pthread_t workers[MAX_WORKERS];
	unsigned n = 0;

	if (start_workers(crew, workers, &n, err) < 0)
		return -1;
	watch(crew);
	for (unsigned i = 0; i < n; i++)
		(void)pthread_join(workers[i], NULL);
	if (crew->in->cancelled && atomic_load(crew->in->cancelled))
		return error_set(err, ERR_CANCELLED, "cancelled");
	if (!crew->failed)
		return 0;
	*err = crew->first_error;
	return -1;
}

int install_layers(struct install *in, struct error *err)
{
	_cleanup_free_
	struct crew *crew = calloc(1, sizeof(*crew));
	int result;

	in->layers = calloc(in->manifest.n_layers + 1, sizeof(struct layer *));
	if (!crew || !in->layers)
		return error_set(err, ERR_EXHAUSTED, "out of memory for layers");
	crew->in = in;
	(void)pthread_mutex_init(&crew->lock, NULL);
	(void)pthread_cond_init(&crew->changed, NULL);
	result = run_crew(crew, err);
	(void)pthread_cond_destroy(&crew->changed);
	(void)pthread_mutex_destroy(&crew->lock);
	return result;
}
