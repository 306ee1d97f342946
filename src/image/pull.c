/* PullImage: a reference becomes a listed image. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/strv.h"
#include "image/install.h"
#include "image/reference.h"
#include "image/registry.h"

struct registry_source {
	struct blob_source source;
	struct registry *registry;
	const struct reference *ref;
	const atomic_bool *cancelled;
};

static struct registry_source *source_of(struct blob_source *source)
{
	return container_of(source, struct registry_source, source);
}

/* What was asked for may be known by its tag alone. */
static int get(struct blob_source *source, enum blob_kind kind, const struct descriptor *what, struct buffer *b,
	       char content_type[128], struct error *err)
{
	struct registry_source *s = source_of(source);

	if (kind == BLOB_CONFIG)
		return registry_get_blob(s->registry, what, s->cancelled, b, err);
	return registry_get_manifest(s->registry, *what->digest ? what->digest : s->ref->tag, s->cancelled, b, content_type, err);
}

static int fetch(struct blob_source *source, const struct descriptor *what, size_t index, const atomic_bool *stop, blob_sink sink,
		 void *sink_arg, struct error *err)
{
	(void)index;
	return registry_fetch_blob(source_of(source)->registry, what, stop, sink, sink_arg, err);
}

/* A digest says more than a tag next to it, so the tag is then not given to the image: nobody has looked whether it fits. */
static int add_names(struct install *in, const struct reference *ref, struct error *err)
{
	char text[REFERENCE_TEXT_SIZE];

	reference_format_digest(ref, in->manifests[0].digest, text);
	if (strv_add(&in->digests, text, err) < 0)
		return -1;
	if (*ref->digest)
		return 0;
	reference_format_tag(ref, text);
	return strv_add(&in->tags, text, err);
}

static int pull_from(struct install *in, const struct reference *ref, struct image **ret_image, struct error *err)
{
	struct descriptor root = { 0 };

	memcpy(root.digest, ref->digest, sizeof(root.digest));
	if (install_resolve(in, &root, err) < 0 || add_names(in, ref, err) < 0)
		return -1;
	if (install_layers(in, err) < 0)
		return -1;
	return install_commit(in, ret_image, err);
}

static int pull(struct image_store *store, const struct pull_request *request, const struct reference *ref,
		struct image **ret_image, struct error *err)
{
	const struct registry_options options = { store->certs_dir, store->insecure_registries, store->auth_file,
						  store->progress_timeout_ms };
	struct registry_source source = {
		.source = { .get = get, .fetch = fetch },
		.ref = ref,
		.cancelled = request->cancelled,
	};
	_cleanup_install_ struct install in = { 0 };
	int result;

	if (install_init(&in, store, &source.source, err) < 0 ||
	    registry_open(&options, ref, &request->auth, &source.registry, err) < 0)
		return -1;
	in.cancelled = request->cancelled;
	in.progress = request->progress;
	in.progress_arg = request->progress_arg;
	result = pull_from(&in, ref, ret_image, err);
	registry_close(source.registry);
	return result;
}

int image_pull(struct image_store *store, const struct pull_request *request, struct image **ret_image, struct error *err)
{
	struct reference ref;

	if (reference_parse(request->reference, &ref, err) < 0)
		return -1;
	if (pull(store, request, &ref, ret_image, err) == 0)
		return 0;
	unlisted_make_room(store, err);
	(void)error_prefix(err, "pull %.300s", request->reference);
	/* kubelet tells a registry that is down from an image that is not there by the start of the text. */
	if (err->code == ERR_UNAVAILABLE)
		(void)error_prefix(err, "RegistryUnavailable");
	return -1;
}
