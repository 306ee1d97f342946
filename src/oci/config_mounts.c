/* "mounts" of config.json: the options of mount(8) as every runtime reads them. */
#include <string.h>
#include <sys/mount.h>

#include "base/mem.h"
#include "oci/config.h"
#include "oci/features.h"
#include "runtime/userns.h"

/* A node's kubelet asks for some hundred at most (arbitrary). */
#define MOUNTS_MAX 2000

#define DATA_MAX 4096

enum option_kind {
	SETS_FLAG,
	CLEARS_FLAG,
	SETS_TREE_FLAG, /* of a mount and of all below it */
	CLEARS_TREE_FLAG,
	SETS_PROPAGATION,
	SETS_BIND,
	MAPS_IDS,
	COPIES_UP,
	IS_REFUSED,
};

static const struct option {
	const char *name;
	unsigned long value;
	enum option_kind kind;
	bool recursive;
} options[] = {
	{ "defaults", 0, SETS_FLAG, false },
	{ "ro", MS_RDONLY, SETS_FLAG, false },
	{ "rw", MS_RDONLY, CLEARS_FLAG, false },
	{ "nosuid", MS_NOSUID, SETS_FLAG, false },
	{ "suid", MS_NOSUID, CLEARS_FLAG, false },
	{ "nodev", MS_NODEV, SETS_FLAG, false },
	{ "dev", MS_NODEV, CLEARS_FLAG, false },
	{ "noexec", MS_NOEXEC, SETS_FLAG, false },
	{ "exec", MS_NOEXEC, CLEARS_FLAG, false },
	{ "nosymfollow", MS_NOSYMFOLLOW, SETS_FLAG, false },
	{ "symfollow", MS_NOSYMFOLLOW, CLEARS_FLAG, false },
	{ "noatime", MS_NOATIME, SETS_FLAG, false },
	{ "atime", MS_NOATIME, CLEARS_FLAG, false },
	{ "nodiratime", MS_NODIRATIME, SETS_FLAG, false },
	{ "diratime", MS_NODIRATIME, CLEARS_FLAG, false },
	{ "relatime", MS_RELATIME, SETS_FLAG, false },
	{ "norelatime", MS_RELATIME, CLEARS_FLAG, false },
	{ "strictatime", MS_STRICTATIME, SETS_FLAG, false },
	{ "nostrictatime", MS_STRICTATIME, CLEARS_FLAG, false },
	{ "rro", MS_RDONLY, SETS_TREE_FLAG, true },
	{ "rrw", MS_RDONLY, CLEARS_TREE_FLAG, true },
	{ "rnosuid", MS_NOSUID, SETS_TREE_FLAG, true },
	{ "rsuid", MS_NOSUID, CLEARS_TREE_FLAG, true },
	{ "rnodev", MS_NODEV, SETS_TREE_FLAG, true },
	{ "rdev", MS_NODEV, CLEARS_TREE_FLAG, true },
	{ "rnoexec", MS_NOEXEC, SETS_TREE_FLAG, true },
	{ "rexec", MS_NOEXEC, CLEARS_TREE_FLAG, true },
	{ "rnosymfollow", MS_NOSYMFOLLOW, SETS_TREE_FLAG, true },
	{ "rsymfollow", MS_NOSYMFOLLOW, CLEARS_TREE_FLAG, true },
	{ "rnoatime", MS_NOATIME, SETS_TREE_FLAG, true },
	{ "ratime", MS_NOATIME, CLEARS_TREE_FLAG, true },
	{ "rnodiratime", MS_NODIRATIME, SETS_TREE_FLAG, true },
	{ "rdiratime", MS_NODIRATIME, CLEARS_TREE_FLAG, true },
	{ "rrelatime", MS_RELATIME, SETS_TREE_FLAG, true },
	{ "rnorelatime", MS_RELATIME, CLEARS_TREE_FLAG, true },
	{ "rstrictatime", MS_STRICTATIME, SETS_TREE_FLAG, true },
	{ "rnostrictatime", MS_STRICTATIME, CLEARS_TREE_FLAG, true },
	{ "private", MS_PRIVATE, SETS_PROPAGATION, false },
	{ "rprivate", MS_PRIVATE, SETS_PROPAGATION, true },
	{ "shared", MS_SHARED, SETS_PROPAGATION, false },
	{ "rshared", MS_SHARED, SETS_PROPAGATION, true },
	{ "slave", MS_SLAVE, SETS_PROPAGATION, false },
	{ "rslave", MS_SLAVE, SETS_PROPAGATION, true },
	{ "unbindable", MS_UNBINDABLE, SETS_PROPAGATION, false },
	{ "runbindable", MS_UNBINDABLE, SETS_PROPAGATION, true },
	{ "bind", 0, SETS_BIND, false },
	{ "rbind", 0, SETS_BIND, true },
	{ "idmap", 0, MAPS_IDS, false },
	{ "ridmap", 0, MAPS_IDS, true },
	{ "tmpcopyup", 0, COPIES_UP, false },
	{ "async", 0, SETS_FLAG, false },
	{ "silent", 0, SETS_FLAG, false },
	{ "loud", 0, SETS_FLAG, false },
	{ "remount", 0, IS_REFUSED, false },
};

static const struct option *find_option(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (!strcmp(options[i].name, name))
			return &options[i];
	}
	return NULL;
}

static void set(unsigned long *set, unsigned long *cleared, unsigned long flag)
{
	*set |= flag;
	*cleared &= ~flag;
}

static int apply(struct mount_config *mount, const struct option *option, struct error *err)
{
	switch (option->kind) {
	case SETS_FLAG:
		set(&mount->flags, &mount->cleared, option->value);
		break;
	case CLEARS_FLAG:
		set(&mount->cleared, &mount->flags, option->value);
		break;
	case SETS_TREE_FLAG:
		set(&mount->tree_flags, &mount->tree_cleared, option->value);
		break;
	case CLEARS_TREE_FLAG:
		set(&mount->tree_cleared, &mount->tree_flags, option->value);
		break;
	case SETS_PROPAGATION:
		mount->propagation = option->value;
		mount->propagation_recursive = option->recursive;
		break;
	case SETS_BIND:
		mount->bind = true;
		mount->recursive = option->recursive;
		break;
	case MAPS_IDS:
		mount->id_mapped = true;
		mount->tree_id_mapped = option->recursive;
		break;
	case COPIES_UP:
		mount->copy_up = true;
		break;
	case IS_REFUSED:
		return error_set(err, ERR_UNIMPLEMENTED, "%s.options: '%s' is not supported", mount->place, option->name);
	}
	return 0;
}

/* What is no option of ours is the file system's. A bind has none of its own: mount(2) does not look at them there. */
static int read_options(struct mount_config *mount, const char *const *names, struct arena *arena, struct error *err)
{
	char data[DATA_MAX];
	size_t n = 0;

	data[0] = '\0';
	for (; names && *names; names++) {
		const struct option *option = find_option(*names);
		int length;

		if (option && apply(mount, option, err) < 0)
			return -1;
		if (option || !**names)
			continue;
		/* another runtime's way to say what uidMappings and gidMappings say; on a bind nobody would look at it */
		if (!strncmp(*names, "idmap=", 6) || !strncmp(*names, "ridmap=", 7))
			return error_set(err, ERR_UNIMPLEMENTED,
					 "%s.options: '%.64s': give the maps as uidMappings and gidMappings", mount->place, *names);
		length = snprintf(data + n, sizeof(data) - n, "%s%s", n ? "," : "", *names);
		if (length < 0 || (size_t)length >= sizeof(data) - n)
			return error_set(err, ERR_INVALID, "%s.options: longer than %d bytes", mount->place, DATA_MAX - 1);
		n += (size_t)length;
	}
	mount->data = arena_strdup(arena, data);
	return mount->data ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int check_mount(struct mount_config *mount, struct error *err)
{
	if (!mount->target || mount->target[0] != '/')
		return error_set(err, ERR_INVALID, "%s.destination '%.200s' is not an absolute path", mount->place,
				 mount->target ? mount->target : "");
	if (mount->type && !strcmp(mount->type, "bind"))
		mount->bind = true;
	if (mount->bind && (!mount->source || !*mount->source))
		return error_set(err, ERR_INVALID, "%s.source is missing", mount->place);
	if (!mount->bind && (!mount->type || !*mount->type))
		return error_set(err, ERR_INVALID, "%s.type is missing", mount->place);
	if (mount->copy_up && (mount->bind || strcmp(mount->type, "tmpfs") != 0))
		return error_set(err, ERR_INVALID, "%s.options: 'tmpcopyup' is for a tmpfs", mount->place);
	/* a new mount is all that there is of its tree */
	if (!mount->bind)
		mount->flags = (mount->flags | mount->tree_flags) & ~mount->tree_cleared;
	return 0;
}

static int check_id_maps(struct mount_config *mount, const struct config *config, struct error *err)
{
	bool own = mount->id_maps.n_uids + mount->id_maps.n_gids > 0;

	mount->id_mapped = mount->id_mapped || own;
	if (!mount->id_mapped)
		return 0;
	if (!mount->bind)
		return error_set(err, ERR_INVALID, "%s: only a bind can be id-mapped", mount->place);
	if (own)
		return id_maps_check(&mount->id_maps, err) < 0 ? error_prefix(err, "%s mappings", mount->place) : 0;
	if (!config->namespaces[OCI_NS_USER].wanted)
		return error_set(err, ERR_INVALID, "%s.options: 'idmap' needs mappings, its own or those of a user namespace",
				 mount->place);
	return 0;
}

/* What depends on other parts of the configuration. */
int mounts_check(struct config *config, struct error *err)
{
	for (size_t i = 0; i < config->n_mounts; i++) {
		if (check_id_maps(&config->mounts[i], config, err) < 0)
			return -1;
	}
	return 0;
}

static int on_mount(const struct place *place, size_t index, void *data, struct error *err)
{
	struct config *config = data;
	struct mount_config *mount = &config->mounts[index];
	const char *const *names = NULL;

	mount->place = place->name;
	if (member_text(place, "destination", &mount->target, err) < 0 || member_text(place, "type", &mount->type, err) < 0 ||
	    member_text(place, "source", &mount->source, err) < 0 || member_texts(place, "options", &names, err) < 0 ||
	    id_maps_parse(place, &mount->id_maps, err) < 0 || read_options(mount, names, place->arena, err) < 0)
		return -1;
	config->n_mounts++;
	return check_mount(mount, err);
}

int mounts_parse(const struct place *root, struct config *config, struct error *err)
{
	size_t n = member_count(root, "mounts");

	if (n > MOUNTS_MAX)
		return error_set(err, ERR_EXHAUSTED, "mounts has %zu entries, limit %d", n, MOUNTS_MAX);
	config->mounts = arena_new_array(&config->arena, struct mount_config, n + 1);
	if (!config->mounts)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return member_objects(root, "mounts", on_mount, config, err);
}

const char *const *mount_option_names(void)
{
	static const char *names[ARRAY_SIZE(options) + 1];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (options[i].kind != IS_REFUSED)
			names[n++] = options[i].name;
	}
	names[n] = NULL;
	return names;
}
