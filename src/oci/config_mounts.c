/* "mounts" of config.json: the options of mount(8) as every runtime reads them. */
#include <string.h>
#include <sys/mount.h>

#include "base/mem.h"
#include "oci/config.h"
#include "oci/features.h"

/* A node's kubelet asks for some hundred at most (arbitrary). */
#define MOUNTS_MAX 2000

#define DATA_MAX 4096

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

enum option_kind {
	SETS_FLAG,
	CLEARS_FLAG,
	SETS_PROPAGATION,
	SETS_BIND,
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
	{ "noatime", MS_NOATIME, SETS_FLAG, false },
	{ "atime", MS_NOATIME, CLEARS_FLAG, false },
	{ "nodiratime", MS_NODIRATIME, SETS_FLAG, false },
	{ "diratime", MS_NODIRATIME, CLEARS_FLAG, false },
	{ "relatime", MS_RELATIME, SETS_FLAG, false },
	{ "norelatime", MS_RELATIME, CLEARS_FLAG, false },
	{ "strictatime", MS_STRICTATIME, SETS_FLAG, false },
	{ "nostrictatime", MS_STRICTATIME, CLEARS_FLAG, false },
	{ "rro", MS_RDONLY, SETS_FLAG, true },
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
	{ "async", 0, SETS_FLAG, false },
	{ "nosymfollow", 0, IS_REFUSED, false },
	{ "idmap", 0, IS_REFUSED, false },
	{ "ridmap", 0, IS_REFUSED, true },
	{ "tmpcopyup", 0, IS_REFUSED, false },
	{ "remount", 0, IS_REFUSED, false },
	{ "rnosuid", 0, IS_REFUSED, true },
	{ "rnodev", 0, IS_REFUSED, true },
	{ "rnoexec", 0, IS_REFUSED, true },
	{ "rnoatime", 0, IS_REFUSED, true },
	{ "rnodiratime", 0, IS_REFUSED, true },
	{ "rrelatime", 0, IS_REFUSED, true },
	{ "rnorelatime", 0, IS_REFUSED, true },
	{ "rstrictatime", 0, IS_REFUSED, true },
	{ "rnostrictatime", 0, IS_REFUSED, true },
	{ "rrw", 0, IS_REFUSED, true },
	{ "rsuid", 0, IS_REFUSED, true },
	{ "rdev", 0, IS_REFUSED, true },
	{ "rexec", 0, IS_REFUSED, true },
	{ "ratime", 0, IS_REFUSED, true },
	{ "rdiratime", 0, IS_REFUSED, true },
	{ "rnosymfollow", 0, IS_REFUSED, true },
};

static const struct option *find_option(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (!strcmp(options[i].name, name))
			return &options[i];
	}
	return NULL;
}

static int apply(struct mount_config *mount, const struct option *option, struct error *err)
{
	switch (option->kind) {
	case SETS_FLAG:
		mount->flags |= option->value;
		mount->recursive_readonly = mount->recursive_readonly || option->recursive;
		break;
	case CLEARS_FLAG:
		mount->flags &= ~option->value;
		break;
	case SETS_PROPAGATION:
		mount->propagation = option->value;
		mount->propagation_recursive = option->recursive;
		break;
	case SETS_BIND:
		mount->bind = true;
		mount->recursive = option->recursive;
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
	if (mount->recursive_readonly && !mount->bind)
		return error_set(err, ERR_INVALID, "%s.options: 'rro' is for bind mounts", mount->place);
	if (!mount->bind && (!mount->type || !*mount->type))
		return error_set(err, ERR_INVALID, "%s.type is missing", mount->place);
	return 0;
}

static const struct refused_member refused[] = {
	{ "uidMappings", "not supported" },
	{ "gidMappings", "not supported" },
	{ NULL, NULL },
};

static int on_mount(const struct place *place, size_t index, void *data, struct error *err)
{
	struct config *config = data;
	struct mount_config *mount = &config->mounts[index];
	const char *const *names = NULL;

	mount->place = place->name;
	if (member_text(place, "destination", &mount->target, err) < 0 || member_text(place, "type", &mount->type, err) < 0 ||
	    member_text(place, "source", &mount->source, err) < 0 || member_texts(place, "options", &names, err) < 0 ||
	    member_refuse(place, refused, err) < 0 || read_options(mount, names, place->arena, err) < 0)
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
