#include <string.h>

#include "cri/check_parts.h"
#include "cri/rule.h"

/* Each is a descriptor while the container starts, and a process may have 1,024 of them where nobody says otherwise. */
#define MAX_MOUNTS 800

static const struct rule rules[] = {
	TEXT(Cri__Mount, container_path, text_path),
	TEXT(Cri__Mount, image_sub_path, text_relative_path),
};

/* The CRI's own words for the field: "readonly must be explicitly set to true, and propagation must be PRIVATE". */
static int check_recursive(const struct field *at, const Cri__Mount *mount, struct error *err)
{
	const struct field *field = FIELD(at, "recursive_read_only");

	if (!mount->recursive_read_only)
		return 0;
	if (!mount->readonly)
		return field_error(field, err, ERR_INVALID, "needs readonly");
	if (mount->propagation != CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE)
		return field_error(field, err, ERR_INVALID, "needs private propagation");
	return 0;
}

/* Always read-only, whatever `readonly` says (CRI Mount.image). Nothing is ever mounted below it, so what propagation could ask for
 * beyond private is refused where it means the host. */
static int check_image(const struct field *at, const Cri__Mount *mount, struct error *err)
{
	if (mount->host_path[0] != '\0')
		return field_error(FIELD(at, "image"), err, ERR_INVALID, "contradicts host_path: a mount has one source");
	if (mount->propagation == CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL)
		return field_error(FIELD(at, "propagation"), err, ERR_INVALID, "cannot be bidirectional for an image");
	return check_image_spec(FIELD(at, "image"), mount->image, err);
}

/* Kubelets look for the prefix ImageVolumeMountFailed. */
static int check_source(const struct field *at, const Cri__Mount *mount, struct error *err)
{
	if (mount->image)
		return check_image(at, mount, err) < 0 ? error_prefix(err, "ImageVolumeMountFailed") : 0;
	if (mount->image_sub_path[0] != '\0')
		return field_error(FIELD(at, "image_sub_path"), err, ERR_INVALID, "needs image");
	return text_check(FIELD(at, "host_path"), &text_path, mount->host_path, err);
}

/* The same ids for users and groups is what a kubelet sends; one without the other would leave half of the files to nobody. */
static int check_id_mappings(const struct field *at, const Cri__Mount *mount, struct error *err)
{
	bool uids = mount->n_uidmappings > 0, gids = mount->n_gidmappings > 0;

	if (uids != gids)
		return field_error(FIELD(at, uids ? "gidMappings" : "uidMappings"), err, ERR_INVALID, "missing: %s has some",
				   uids ? "uidMappings" : "gidMappings");
	if (check_mappings(at, "uidMappings", mount->uidmappings, mount->n_uidmappings, err) < 0)
		return -1;
	return check_mappings(at, "gidMappings", mount->gidmappings, mount->n_gidmappings, err);
}

/* "/", "//", "/.": the container's root has its own source. */
static bool is_root(const char *path)
{
	for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
		size_t len = strcspn(path, "/");

		if (len != 1 || path[0] != '.')
			return false;
		path += len;
	}
	return true;
}

static int check_mount(const struct field *at, const Cri__Mount *mount, struct error *err)
{
	if (RULES_APPLY(at, rules, mount, err) < 0)
		return -1;
	if (is_root(mount->container_path))
		return field_error(FIELD(at, "container_path"), err, ERR_INVALID, "must not be the container's root");
	if (check_source(at, mount, err) < 0 || check_id_mappings(at, mount, err) < 0)
		return -1;
	return check_recursive(at, mount, err);
}

int check_mounts(const struct field *at, const Cri__ContainerConfig *config, struct error *err)
{
	if (config->n_mounts > MAX_MOUNTS)
		return field_error(FIELD(at, "mounts"), err, ERR_INVALID, "has %zu items, the limit is %d", config->n_mounts,
				   MAX_MOUNTS);
	for (size_t i = 0; i < config->n_mounts; i++) {
		if (check_mount(ITEM(at, "mounts", i), config->mounts[i], err) < 0)
			return -1;
	}
	return 0;
}
