/* The files of a container that starts: its root, and what is mounted in it. All of this may block. */
#include <sys/stat.h>

#include "base/mem.h"
#include "image/image.h"
#include "runtime/userns.h"
#include "task/mount_points.h"
#include "task/node_impl.h"
#include "task/start_container.h"
#include "task/user_ns.h"

/* The image's, and below them what the standard mounts stand on. */
static const char *const *all_layers(struct start_container *op)
{
	const struct image *image = op->container->image;
	const char **layers = arena_new_array(&op->scratch, const char *, image->n_layers + 1);

	for (size_t i = 0; layers && i < image->n_layers; i++)
		layers[i] = image->layer_dirs[i];
	if (layers)
		layers[image->n_layers] = arena_printf(&op->scratch, "%s/" MOUNT_POINTS_DIR, op->op.node->config->root_dir);
	return layers;
}

int start_choose_labels(struct start_container *op, struct error *err)
{
	return container_selinux(op->container->sandbox, op->container->config, &op->scratch, &op->labels, err);
}

int start_open_rootfs(struct start_container *op, struct error *err)
{
	const struct container *container = op->container;
	const char *const *layers = all_layers(op);
	struct overlay_spec overlay = {
		.lower_dirs = layers,
		.n_lower_dirs = container->image->n_layers + 1,
		.upper_dir = arena_printf(&op->scratch, "%s/upper", container->root_dir),
		.work_dir = arena_printf(&op->scratch, "%s/work", container->root_dir),
	};

	if (arena_failed(&op->scratch))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (start_choose_labels(op, err) < 0 ||
	    sandbox_user_ns(container->sandbox->config, container->sandbox->ns.user, &op->scratch, &op->user_ns, err) < 0)
		return -1;
	overlay.context = op->labels.mount;
	if (op->user_ns)
		op->rootfs = overlay_open_id_mapped(&overlay, op->user_ns->fd, err);
	else
		op->rootfs = overlay_open(&overlay, err);
	return op->rootfs < 0 ? -1 : 0;
}

static int open_image_volume(const struct start_container *op, const struct mount_entry *entry, struct error *err)
{
	const struct container *container = op->container;
	const struct image *image =
		entry->image_number < container->volume_images.n ? container->volume_images.images[entry->image_number] : NULL;
	struct image_volume_spec spec = { .sub_path = entry->sub_path,
					  .attributes = entry->volume.attributes | entry->volume.tree_attributes };
	int fd;

	if (!image)
		return error_set(err, ERR_NOT_FOUND, "ImageVolumeMountFailed: the image is not here any more");
	spec.layer_dirs = (const char *const *)image->layer_dirs;
	spec.n_layers = image->n_layers;
	spec.user_ns = op->user_ns;
	fd = image_volume_open(&spec, err);
	return fd < 0 ? error_prefix(err, "ImageVolumeMountFailed: image %.200s", image->id) : fd;
}

/* By the pod's own namespace where the maps are those of the pod, which a kubelet's always are. Takes the volume and returns it. */
static int id_map_volume(const struct start_container *op, const struct mount_entry *entry, int volume, struct error *err)
{
	_cleanup_fd_ int fd = volume, other = -1;
	int user_ns;

	if (fd < 0 || entry->id_maps.n_uids == 0)
		return steal_fd(&fd);
	if (op->user_ns && id_maps_equal(&op->user_ns->maps, &entry->id_maps)) {
		user_ns = op->user_ns->fd;
	} else {
		other = userns_create(op->op.node->spawner, &entry->id_maps, err);
		user_ns = other;
	}
	return user_ns < 0 || mount_id_map(fd, user_ns, entry->volume.host_path, err) < 0 ? -1 : steal_fd(&fd);
}

static int open_host_volume(struct start_container *op, struct mount_entry *entry, struct error *err)
{
	if (entry->relabels)
		entry->volume.label = op->labels.mount;
	return id_map_volume(op, entry, volume_open(&entry->volume, &entry->spec.target_is_file, err), err);
}

static int open_mounts(struct start_container *op, struct error *err)
{
	if (start_list_mounts(op, err) < 0)
		return -1;
	for (size_t i = 0; i < op->mounts.n; i++) {
		struct mount_entry *entry = &op->mounts.entries[i];

		if (!entry->is_volume && !entry->is_image)
			continue;
		entry->spec.fd = entry->is_image ? open_image_volume(op, entry, err) : open_host_volume(op, entry, err);
		if (entry->spec.fd < 0)
			return error_prefix(err, "mount on %s", entry->spec.target);
	}
	return 0;
}

/* A host path that is missing becomes a directory that others can use: a lane's thread has a umask of its own. */
int start_open_mounts(struct start_container *op, struct error *err)
{
	mode_t before = umask(0022);
	int result = open_mounts(op, err);

	(void)umask(before);
	return result;
}
