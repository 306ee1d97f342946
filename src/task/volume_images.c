#include "task/volume_images.h"

#include <stdlib.h>
#include <string.h>

#include "image/image.h"
#include "task/container_spec.h"

void volume_images_release(struct volume_images *images)
{
	for (size_t i = 0; i < images->n; i++) {
		image_unref(images->images[i]);
		free(images->ids[i]);
	}
	free(images->images);
	free(images->ids);
	*images = (struct volume_images){ 0 };
}

static int reserve(struct volume_images *images, size_t n, struct error *err)
{
	*images = (struct volume_images){ .images = calloc(n + 1, sizeof(*images->images)),
					  .ids = calloc(n + 1, sizeof(*images->ids)) };
	if (images->images && images->ids)
		return 0;
	volume_images_release(images);
	return error_set(err, ERR_EXHAUSTED, "out of memory");
}

/* Takes the image, which may be NULL. */
static int add(struct volume_images *images, struct image *image, const char *id, struct error *err)
{
	images->images[images->n] = image;
	images->ids[images->n] = strdup(id);
	return images->ids[images->n++] ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int find(struct image_store *store, const Cri__Mount *mount, struct volume_images *images, struct error *err)
{
	const char *reference = mount->image->image;
	struct image *image = NULL;

	if (image_find(store, reference, &image, err) < 0)
		return -1;
	if (!image)
		return error_set(err, ERR_NOT_FOUND, "image %.200s is not here; pull it first", reference);
	return add(images, image, image->id, err);
}

int volume_images_find(struct image_store *store, const Cri__ContainerConfig *config, struct volume_images *ret_images,
		       struct error *err)
{
	struct volume_images images;

	if (reserve(&images, config->n_mounts, err) < 0)
		return -1;
	for (size_t i = 0; i < config->n_mounts; i++) {
		if (!mount_is_image(config->mounts[i]) || find(store, config->mounts[i], &images, err) == 0)
			continue;
		volume_images_release(&images);
		return error_prefix(err, "ImageVolumeMountFailed: config.mounts[%zu].image", i);
	}
	*ret_images = images;
	return 0;
}

int volume_images_from_ids(char *const *ids, size_t n, struct volume_images *ret_images, struct error *err)
{
	struct volume_images images;

	if (reserve(&images, n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (add(&images, NULL, ids[i], err) < 0) {
			volume_images_release(&images);
			return -1;
		}
	}
	*ret_images = images;
	return 0;
}

int volume_images_recover(struct image_store *store, struct volume_images *images, struct error *err)
{
	for (size_t i = 0; i < images->n; i++) {
		if (image_find(store, images->ids[i], &images->images[i], err) < 0)
			return -1;
	}
	return 0;
}
