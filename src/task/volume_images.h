/*
 * The images that a container has as volumes (CRI Mount.image), in the order of its mounts. Held as long as the container is there: their
 * layers stay, also when the image is removed meanwhile.
 */
#ifndef MONOPOD_TASK_VOLUME_IMAGES_H
#define MONOPOD_TASK_VOLUME_IMAGES_H

#include <stddef.h>

#include "base/error.h"
#include "proto/cri.pb-c.h"

struct image;
struct image_store;

struct volume_images {
	struct image **images; /* NULL: gone, as can be after a restart */
	char **ids;
	size_t n;
};

/* Looks the request's images up. ERR_NOT_FOUND for one that was not pulled; with the prefix ImageVolumeMountFailed that kubelets look for. */
int volume_images_find(struct image_store *store, const Cri__ContainerConfig *config, struct volume_images *ret_images,
		       struct error *err);

/* By the ids of a record, without looking: volume_images_recover() does that. */
int volume_images_from_ids(char *const *ids, size_t n, struct volume_images *ret_images, struct error *err);

/* Takes references again after a restart. Those that are gone stay NULL: a container that runs does not need them. */
int volume_images_recover(struct image_store *store, struct volume_images *images, struct error *err);

void volume_images_release(struct volume_images *images);

#endif
