/*
 * Making a container.
 *
 * The directory is made and locked, what is going to be made is written down, then it is made: the cgroup, the process. The process stops
 * twice: when its world is there, for the hooks, and when it is ready, until its pid is written down. Without hooks that is done while it
 * makes its world, unless the command waits for its start and errors of the steps after that are written down with it. Whoever kills this
 * command in between leaves a directory and perhaps a cgroup, which `delete` removes; the process ends by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "oci/container.h"
#include "oci/descriptors.h"
#include "oci/scope.h"
#include "oci/seccomp.h"
#include "oci/world.h"
#include "runtime/hook.h"
#include "runtime/rootfs.h"
#include "runtime/userns.h"

struct creation {
	struct container *c;
	const struct start_options *options;
	struct world world;
	struct spawner *spawner;
	struct user_ns_spec user_ns;
	struct scope scope;         /* with the systemd cgroup manager */
	struct spawn_result holder; /* what is in it until the container is */
	const struct plan *plan;
	const char *text; /* of config.json */
	size_t length;
	bool waits;
	bool pid_file_written;
};

/* --- what it is made of ------------------------------------------------------------------------------------------------ */

static int read_bundle(struct creation *creation, struct buffer *text, struct error *err)
{
	struct container *c = creation->c;
	char path[PATH_MAX];
	_cleanup_free_
	char *bundle = realpath(creation->options->bundle ? creation->options->bundle : ".", NULL);

	if (!bundle)
		return error_sys(err, errno, "bundle %s", creation->options->bundle);
	c->bundle = arena_strdup(&c->oci->arena, bundle);
	if (!c->bundle || snprintf(path, sizeof(path), "%s/config.json", bundle) >= (int)sizeof(path))
		return error_sys(err, ENAMETOOLONG, "bundle %s", bundle);
	if (io_read_file(AT_FDCWD, path, text, err) < 0)
		return -1;
	if (config_parse(text->data ? text->data : "", text->len, &c->config, err) < 0)
		return error_prefix(err, "bundle %s", bundle);
	/* it may come without one (runtime.md, "Start"), but then there is nothing to run */
	if (!c->config.has_process && !creation->waits)
		return error_set(err, ERR_INVALID, "bundle %s: process is missing", bundle);
	return 0;
}

static int check_terminal(const struct creation *creation, struct error *err)
{
	bool terminal = creation->c->config.process.terminal;
	bool socket = creation->options->console_socket != NULL;

	if (socket && !terminal)
		return error_set(err, ERR_INVALID, "--console-socket needs process.terminal");
	if (terminal && !socket && (creation->waits || creation->options->detach))
		return error_set(err, ERR_INVALID, "process.terminal needs --console-socket");
	return 0;
}

/*
 * A relative path is below a group of ours. The default is not: a group that is made for one container and pruned after it would be twice
 * the work in each hierarchy, which is a tenth of a short run's time.
 */
static int choose_cgroup(struct creation *creation, struct error *err)
{
	struct container *c = creation->c;
	struct arena *arena = &c->oci->arena;
	struct container_state *state = &c->store.state;
	const char *wanted = c->config.cgroups_path;

	if (c->oci->systemd_cgroup) {
		if (scope_parse(wanted, c->store.id, arena, &creation->scope, err) < 0)
			return -1;
		state->cgroup = creation->scope.group;
		state->scope = creation->scope.path;
		return 0;
	}
	if (!wanted)
		state->cgroup = arena_printf(arena, "/monopod-oci-%s", c->store.id);
	else
		state->cgroup = wanted[0] == '/' ? wanted : arena_printf(arena, "/monopod-oci/%s", wanted);
	return state->cgroup ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int print_annotations(struct container *c, struct error *err)
{
	char *text = c->config.annotations ? cJSON_PrintUnformatted(c->config.annotations) : NULL;

	c->store.state.annotations = text ? arena_strdup(&c->oci->arena, text) : NULL;
	cJSON_free(text);
	return c->config.annotations && !c->store.state.annotations ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

/* Whoever deletes a container ends what is in its group, so the record never names one that is somebody else's. */
static void disown_cgroup(struct container_state *state)
{
	state->cgroup = NULL;
	state->scope = NULL;
}

static int refuse_busy(const struct container *c, const struct cgroup *cgroup, struct error *err)
{
	return cgroup_count_processes(cgroup) > 0
		       ? error_set(err, ERR_EXISTS, "cgroup %s has processes of somebody else", c->store.state.cgroup)
		       : 0;
}

/* Before anything is written down. A group that cannot be opened is for make_cgroup() to speak of. */
static int check_cgroup_free(struct creation *creation, struct error *err)
{
	struct container *c = creation->c;
	struct error ignored = ERROR_INIT;
	struct cgroup *there = NULL;
	int result;

	if (cgroup_roots_open_with("auto", resources_hierarchies(&c->config.resources), &c->roots, err) < 0)
		return -1;
	if (c->store.state.scope)
		return scope_check(c->roots, err) < 0 ? -1 : scope_check_free(&creation->scope, c->roots, err);
	if (cgroup_open(c->roots, c->store.state.cgroup, &there, &ignored) < 0)
		return 0;
	result = refuse_busy(c, there, err);
	cgroup_close(there);
	return result;
}

/* The first record: what a `delete` has to look for if we end here. */
static int write_intent(struct creation *creation, struct error *err)
{
	struct container *c = creation->c;
	struct container_state *state = &c->store.state;

	*state = (struct container_state){
		.id = c->store.id,
		.version = OCI_VERSION,
		.bundle = c->bundle,
		.rootfs = creation->world.rootfs_path ? creation->world.rootfs_path : "",
	};
	clock_format_rfc3339(state->created, clock_realtime_ns());
	if (choose_cgroup(creation, err) < 0 || check_cgroup_free(creation, err) < 0) {
		disown_cgroup(state);
		return -1;
	}
	if (boot_id_read(state->boot_id, err) < 0 || print_annotations(c, err) < 0)
		return -1;
	if (io_replace_file(c->store.dir, "config.json", creation->text, creation->length, 0600, err) < 0)
		return -1;
	return store_write(&c->store, err);
}

/* A group that is there already may be a pod's preparation, but not another container's. */
static int take_cgroup(struct container *c, char **ret_topmost, struct error *err)
{
	struct container_state *state = &c->store.state;

	if (cgroup_create(c->roots, state->cgroup, &c->cgroup, ret_topmost, err) == 0)
		return 0;
	if (err->code != ERR_EXISTS)
		return -1;
	*err = (struct error)ERROR_INIT;
	if (cgroup_open(c->roots, state->cgroup, &c->cgroup, err) == 0 && refuse_busy(c, c->cgroup, err) == 0)
		return 0;
	cgroup_close(c->cgroup);
	c->cgroup = NULL;
	/* what is in a scope that systemd made for us is ours */
	if (!state->scope)
		disown_cgroup(state);
	return -1;
}

static int make_cgroup(struct creation *creation, struct error *err)
{
	struct container *c = creation->c;
	struct container_state *state = &c->store.state;
	struct error ignored = ERROR_INIT;
	char *topmost = NULL;
	int result = 0;

	if (state->scope) {
		result = scope_start(&creation->scope, c->store.id, c->roots, creation->spawner, &creation->holder, err);
		if (result < 0)
			disown_cgroup(state);
	}
	if (result == 0)
		result = take_cgroup(c, &topmost, err);
	if (result < 0 && !state->cgroup)
		(void)store_write(&c->store, &ignored);
	if (result < 0)
		return -1;
	state->cgroup_topmost = topmost ? arena_strdup(&c->oci->arena, topmost) : NULL;
	free(topmost);
	return container_limit(c, &c->config.resources, err);
}

/* --- the socket of the start ------------------------------------------------------------------------------------------- */

/* Through our descriptor of the directory: its own path may be longer than an address. */
static void start_address(const struct store *store, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/start.sock", store->dir);
}

static int listen_for_start(const struct store *store, struct error *err)
{
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	start_address(store, &address);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		return error_sys(err, errno, "make start socket");
	return steal_fd(&fd);
}

/* --- the two stops ----------------------------------------------------------------------------------------------------- */

static int on_world(struct creation *creation, struct error *err)
{
	struct container *c = creation->c;
	_cleanup_buffer_ struct buffer state = BUFFER_INIT((size_t)1 << 20);

	/* the moment of prestart is said to be "created", of all others until the start too (runtime.md, "Lifecycle") */
	if (container_hooks(c, HOOK_PRESTART, STATUS_CREATED, err) < 0 ||
	    container_hooks(c, HOOK_CREATE_RUNTIME, STATUS_CREATED, err) < 0)
		return -1;
	if (state_print(&c->store.state, STATUS_CREATED, false, &state, err) < 0)
		return -1;
	return hook_state_fill(creation->world.hooks.state, state.data, state.len, err);
}

static int list_steps(struct creation *creation, struct error *err)
{
	struct container_state *state = &creation->c->store.state;
	struct arena *arena = &creation->c->oci->arena;
	size_t first = plan_after_wait(creation->plan), length = plan_length(creation->plan);
	const char **steps = arena_new_array(arena, const char *, length - first + 1);

	for (size_t i = first; steps && i < length; i++) {
		char text[256];

		plan_describe(creation->plan, i, text, sizeof(text));
		steps[i - first] = arena_strdup(arena, text);
	}
	state->first_step = (unsigned)first;
	state->steps = steps;
	return arena_failed(arena) ? error_set(err, ERR_EXHAUSTED, "out of memory") : 0;
}

static int on_sync(void *data, enum sync_point point, pid_t pid, struct error *err)
{
	struct creation *creation = data;
	struct container *c = creation->c;

	c->store.state.pid = pid;
	if (point == SYNC_WORLD)
		return on_world(creation, err);
	if (process_start_time(pid, &c->store.state.start_ticks, err) < 0 || (creation->waits && list_steps(creation, err) < 0) ||
	    store_write(&c->store, err) < 0)
		return -1;
	if (creation->options->pid_file && write_pid_file(creation->options->pid_file, pid, err) < 0)
		return -1;
	creation->pid_file_written = creation->options->pid_file != NULL;
	return 0;
}

/* --- the process ------------------------------------------------------------------------------------------------------- */

static int spawn(struct creation *creation, struct spawn_result *ret_result, struct error *err)
{
	const struct sync_handler handler = { on_sync, creation };
	const int terminal_stdio[] = { -1, -1, -1 }, our_stdio[] = { 0, 1, 2 };
	unsigned timeout_ms = START_TIMEOUT_MS + hooks_time_ms(&creation->c->config);

	return spawner_run_synced(creation->spawner, creation->plan, creation->world.spec.tty ? terminal_stdio : our_stdio,
				  timeout_ms, &handler, ret_result, err);
}

static int hand_over_console(struct creation *creation, struct spawn_result *result, struct error *err)
{
	if (result->console_fd < 0)
		return 0;
	console_resize(result->console_fd, &creation->c->config.process);
	if (!creation->options->console_socket)
		return 0;
	if (console_send(creation->options->console_socket, result->console_fd, err) < 0)
		return -1;
	close_fd(&result->console_fd);
	return 0;
}

static int run_plan(struct creation *creation, struct spawn_result *ret_result, struct error *err)
{
	struct container *c = creation->c;
	struct container_spec *spec = &creation->world.spec;
	_cleanup_plan_ struct plan *plan = NULL;
	_cleanup_fd_ int start_socket = creation->waits ? listen_for_start(&c->store, err) : -1;
	int result;

	if (creation->waits && start_socket < 0)
		return -1;
	/* while it makes its world, so that nobody waits for it; with hooks their stops come first */
	spec->recorded = creation->world.spec.hooks ? SYNC_READY : SYNC_BORN;
	spec->waits = creation->waits;
	spec->start_socket = start_socket;
	if (descriptors_hand_on(&c->oci->handed, spec, &c->oci->arena, err) < 0 || plan_compile(spec, &plan, err) < 0)
		return -1;
	creation->plan = plan;
	result = spawn(creation, ret_result, err);
	creation->plan = NULL;
	return result < 0 ? -1 : hand_over_console(creation, ret_result, err);
}

/* One that exists has its maps; what the configuration says of them must be that. */
static int join_user_ns(struct creation *creation, struct error *err)
{
	const struct id_maps *said = &creation->c->config.id_maps;
	struct user_ns_spec *ns = &creation->user_ns;

	if (userns_find_maps(creation->spawner, creation->world.user_ns, &creation->c->oci->arena, &ns->maps, err) < 0)
		return error_prefix(err, "user namespace %s", creation->c->config.namespaces[OCI_NS_USER].path);
	if (said->n_uids + said->n_gids > 0 && !id_maps_equal(said, &ns->maps))
		return error_set(err, ERR_INVALID, "linux.uidMappings and gidMappings are not those of user namespace %s",
				 creation->c->config.namespaces[OCI_NS_USER].path);
	ns->fd = fcntl(creation->world.user_ns, F_DUPFD_CLOEXEC, 0);
	return ns->fd < 0 ? error_sys(err, errno, "user namespace") : 0;
}

static int open_user_ns(struct creation *creation, struct error *err)
{
	const struct config *config = &creation->c->config;

	creation->user_ns = (struct user_ns_spec){ .fd = -1, .maps = config->id_maps };
	if (!config->namespaces[OCI_NS_USER].wanted)
		return 0;
	creation->world.spec.user_ns = &creation->user_ns;
	if (config->namespaces[OCI_NS_USER].path)
		return join_user_ns(creation, err);
	creation->user_ns.fd = userns_create(creation->spawner, &config->id_maps, err);
	return creation->user_ns.fd < 0 ? -1 : 0;
}

/* Maps of a mount's own are those of a user namespace that nobody lives in. */
static int map_mount(struct creation *creation, const struct mount_config *mount, int fd, struct error *err)
{
	bool own = mount->id_maps.n_uids > 0;
	_cleanup_fd_ int made = own ? userns_create(creation->spawner, &mount->id_maps, err) : -1;
	int user_ns = own ? made : creation->user_ns.fd;

	if (user_ns < 0)
		return -1;
	return mount->tree_id_mapped ? mount_id_map_tree(fd, user_ns, mount->place, err)
				     : mount_id_map(fd, user_ns, mount->place, err);
}

static int map_mounts(struct creation *creation, struct error *err)
{
	const struct config *config = &creation->c->config;
	const struct container_spec *spec = &creation->world.spec;
	/* there may be one more in front, for /dev */
	size_t first = spec->n_mounts - config->n_mounts;

	for (size_t i = 0; i < config->n_mounts; i++) {
		if (config->mounts[i].id_mapped && map_mount(creation, &config->mounts[i], spec->mounts[first + i].fd, err) < 0)
			return -1;
	}
	return 0;
}

static int make(struct creation *creation, struct spawn_result *ret_result, struct error *err)
{
	struct container *c = creation->c;
	int result = write_intent(creation, err) < 0 ? -1 : make_cgroup(creation, err);

	if (result == 0)
		result = world_open(&c->config, c->store.id, c->bundle, c->roots, c->cgroup, &creation->world, err);
	if (result == 0)
		result = seccomp_of(&c->config, &c->oci->arena, &creation->world.spec.seccomp, err);
	c->store.state.rootfs = creation->world.rootfs_path ? creation->world.rootfs_path : "";
	if (result == 0)
		result = open_user_ns(creation, err) < 0 ? -1 : map_mounts(creation, err);
	if (result == 0)
		result = run_plan(creation, ret_result, err);
	close_fd(&creation->user_ns.fd);
	if (c->store.state.scope)
		scope_release(c->store.state.scope, c->roots, creation->spawner, &creation->holder);
	c->store.state.rootfs = arena_strdup(&c->oci->arena, c->store.state.rootfs);
	world_close(&creation->world);
	return result;
}

/* What a killed `create` left: no process, perhaps a cgroup. */
static int remove_stale(struct container *c, const char *id, struct error *err)
{
	struct error ignored = ERROR_INIT;
	struct container old;
	int result;

	container_init(&old, c->oci);
	old.store = c->store;
	/* whichever hierarchies it was made in */
	result = old.store.state.cgroup && cgroup_roots_open_with("auto", CGROUP_ALL, &old.roots, err) < 0 ? -1 : 0;
	if (result == 0 && old.store.state.cgroup)
		(void)cgroup_open(old.roots, old.store.state.cgroup, &old.cgroup, &ignored);
	if (result == 0)
		result = container_destroy(&old, err);
	container_close(&old);
	c->store = (struct store){ .arena = &c->oci->arena, .dir = -1 };
	return result < 0 ? error_prefix(err, "container %s, left half made", id) : 0;
}

static int claim(struct container *c, const char *id, struct error *err)
{
	bool stale = false;

	if (store_create(&c->store, c->oci->root, id, &stale, err) < 0)
		return -1;
	if (!stale)
		return 0;
	if (remove_stale(c, id, err) < 0 || store_create(&c->store, c->oci->root, id, &stale, err) < 0)
		return -1;
	return stale ? error_set(err, ERR_EXISTS, "container '%s' already exists", id) : 0;
}

/*
 * The spawner gets ready on another processor, and makes the network namespace there, which takes the kernel as long as all the groups
 * that are made here meanwhile.
 */
static bool makes_user_ns(const struct config *config)
{
	for (size_t i = 0; i < config->n_mounts; i++) {
		if (config->mounts[i].id_mapped)
			return true;
	}
	return config->namespaces[OCI_NS_USER].wanted;
}

static int open_spawner(struct creation *creation, struct error *err)
{
	const struct namespace_config *namespaces = creation->c->config.namespaces;
	const struct namespace_config *net = &namespaces[OCI_NS_NETWORK];
	bool in_advance = net->wanted && !net->path && !makes_user_ns(&creation->c->config) && !creation->c->oci->systemd_cgroup;

	return spawner_open_once(in_advance ? CLONE_NEWNET : 0, &creation->spawner, err);
}

int container_create(struct container *c, const char *id, const struct start_options *options, bool waits,
		     struct spawn_result *ret_result, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(CONFIG_BYTES_MAX);
	struct creation creation = {
		.c = c, .options = options, .user_ns = { .fd = -1 }, .holder = { .pidfd = -1 }, .waits = waits
	};
	struct error ignored = ERROR_INIT;
	int result;

	if (id_check(id, err) < 0 || read_bundle(&creation, &text, err) < 0 || check_terminal(&creation, err) < 0 ||
	    world_identity(&c->config.process, err) < 0)
		return -1;
	creation.text = text.data;
	creation.length = text.len;
	if (claim(c, id, err) < 0)
		return -1;
	*ret_result = (struct spawn_result){ .pidfd = -1, .console_fd = -1 };
	result = open_spawner(&creation, err) < 0 ? -1 : make(&creation, ret_result, err);
	spawner_close(creation.spawner);
	if (result == 0)
		return 0;
	if (creation.pid_file_written)
		(void)unlink(options->pid_file);
	close_fd(&ret_result->pidfd);
	close_fd(&ret_result->console_fd);
	free(ret_result->times);
	ret_result->times = NULL;
	if (container_destroy(c, &ignored) < 0)
		oci_warn(c->oci, "%s", ignored.text);
	return error_prefix(err, "create container %s", id);
}

/* --- start ------------------------------------------------------------------------------------------------------------- */

static int connect_start(const struct store *store, struct error *err)
{
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	start_address(store, &address);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_sys(err, errno, "reach the waiting process");
	return steal_fd(&fd);
}

static const char *step_name(const struct container_state *state, unsigned op)
{
	size_t n = 0;

	while (state->steps && state->steps[n])
		n++;
	return op >= state->first_step && op - state->first_step < n ? state->steps[op - state->first_step] : "start";
}

int container_start(struct container *c, struct error *err)
{
	struct plan_outcome outcome;
	_cleanup_fd_ int fd = -1;

	if (!c->config.has_process)
		return error_set(err, ERR_INVALID, "its configuration has no process");
	fd = connect_start(&c->store, err);
	if (fd < 0)
		return -1;
	if (plan_await_exec(fd, START_TIMEOUT_MS + hooks_time_ms(&c->config), &outcome, err) < 0)
		return -1;
	if (outcome.failed)
		return plan_outcome_error(&outcome, step_name(&c->store.state, outcome.op), err);
	(void)unlinkat(c->store.dir, "start.sock", 0);
	container_hooks_warn(c, HOOK_POSTSTART, STATUS_RUNNING);
	return 0;
}
