#include "task/user_ns.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "runtime/rootfs.h"
#include "runtime/userns.h"
#include "task/path.h"
#include "task/sandbox_spec.h"

bool user_ns_wanted(const Cri__UserNamespace *options)
{
	return options && options->mode == CRI__NAMESPACE_MODE__POD;
}

static bool lists_equal(Cri__IDMapping *const *a, size_t n_a, Cri__IDMapping *const *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++) {
		if (a[i]->host_id != b[i]->host_id || a[i]->container_id != b[i]->container_id || a[i]->length != b[i]->length)
			return false;
	}
	return true;
}

bool user_ns_equal(const Cri__UserNamespace *a, const Cri__UserNamespace *b)
{
	if (!user_ns_wanted(a) || !user_ns_wanted(b))
		return user_ns_wanted(a) == user_ns_wanted(b);
	return lists_equal(a->uids, a->n_uids, b->uids, b->n_uids) && lists_equal(a->gids, a->n_gids, b->gids, b->n_gids);
}

static const struct id_map *convert_list(Cri__IDMapping *const *list, size_t n, struct arena *arena)
{
	struct id_map *maps = arena_new_array(arena, struct id_map, n + 1);

	for (size_t i = 0; maps && i < n; i++)
		maps[i] = (struct id_map){ list[i]->container_id, list[i]->host_id, list[i]->length };
	return maps;
}

int id_maps_convert(Cri__IDMapping *const *uids, size_t n_uids, Cri__IDMapping *const *gids, size_t n_gids, struct arena *arena,
		    struct id_maps *ret_maps, struct error *err)
{
	/* before anything is copied: a request may hold many */
	if (n_uids > ID_MAPS_MAX || n_gids > ID_MAPS_MAX)
		return error_set(err, ERR_INVALID, "more than %d mappings", ID_MAPS_MAX);
	*ret_maps = (struct id_maps){
		convert_list(uids, n_uids, arena),
		n_uids,
		convert_list(gids, n_gids, arena),
		n_gids,
	};
	if (!ret_maps->uids || !ret_maps->gids)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return id_maps_check(ret_maps, err);
}

int sandbox_id_maps(const Cri__PodSandboxConfig *config, struct arena *arena, struct id_maps *ret_maps, struct error *err)
{
	const Cri__UserNamespace *options = sandbox_user_options(config);

	*ret_maps = (struct id_maps){ 0 };
	if (!user_ns_wanted(options))
		return 0;
	if (id_maps_convert(options->uids, options->n_uids, options->gids, options->n_gids, arena, ret_maps, err) < 0)
		return error_prefix(err, "namespace_options.userns_options");
	return 0;
}

int sandbox_user_ns(const Cri__PodSandboxConfig *config, int user_ns, struct arena *arena, const struct user_ns_spec **ret_user_ns,
		    struct error *err)
{
	struct user_ns_spec *spec;

	*ret_user_ns = NULL;
	if (!user_ns_wanted(sandbox_user_options(config)))
		return 0;
	spec = arena_new(arena, struct user_ns_spec);
	if (!spec)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	spec->fd = user_ns;
	if (sandbox_id_maps(config, arena, &spec->maps, err) < 0)
		return -1;
	*ret_user_ns = spec;
	return 0;
}

static int try_user_ns(struct spawner *spawner, const char *root_dir, struct error *err)
{
	static const struct id_map map = { 0, 65536, 65536 };
	static const struct id_maps maps = { &map, 1, &map, 1 };
	_cleanup_fd_ int user_ns = userns_create(spawner, &maps, err);
	_cleanup_fd_ int overlay = -1;
	char images[PATH_MAX], containers[PATH_MAX];
	/* two directories that are there for certain; one layer alone would be no overlay */
	const struct overlay_spec spec = { .lower_dirs = (const char *const[]){ images, containers }, .n_lower_dirs = 2 };

	if (user_ns < 0 || path_format(images, err, "%s/images", root_dir) < 0 ||
	    path_format(containers, err, "%s/containers", root_dir) < 0)
		return -1;
	overlay = overlay_open_id_mapped(&spec, user_ns, err);
	return overlay < 0 ? -1 : 0;
}

bool user_ns_probe(struct spawner *spawner, const char *root_dir)
{
	struct error why = ERROR_INIT;

	if (try_user_ns(spawner, root_dir, &why) == 0)
		return true;
	log_info("task", "no user namespaces for pods: %s", why.text);
	return false;
}

int sandbox_own(const Cri__PodSandboxConfig *config, const char *path, struct error *err)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	struct id_maps maps;
	uint32_t uid, gid;

	if (sandbox_id_maps(config, &scratch, &maps, err) < 0)
		return -1;
	if (maps.n_uids == 0 || !id_map_find(maps.uids, maps.n_uids, 0, &uid) || !id_map_find(maps.gids, maps.n_gids, 0, &gid))
		return 0;
	return lchown(path, uid, gid) < 0 ? error_sys(err, errno, "give %s to the container's root", path) : 0;
}
