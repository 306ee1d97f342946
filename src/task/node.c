#include "task/node.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utlist.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/image.h"
#include "net/net.h"
#include "runtime/apparmor.h"
#include "runtime/cgroup.h"
#include "runtime/rootfs.h"
#include "runtime/selinux.h"
#include "runtime/spawner.h"
#include "task/group.h"
#include "task/machines.h"
#include "task/mount_points.h"
#include "task/network_watch.h"
#include "task/node_impl.h"
#include "task/operation.h"
#include "task/path.h"
#include "task/store.h"
#include "task/user_ns.h"

#define CHECKPOINT_DEADLINE_MS 60000

/* ---- opening ---- */

/* Ours alone: who could read here would read the images' and containers' files, setuid programs among them (CVE-2021-41103). */
static int make_private_dir(const char *base, const char *name, struct error *err)
{
	char path[PATH_MAX];
	struct stat st;

	if (path_format(path, err, "%s%s", base, name) < 0 || io_make_dirs(path, 0700, err) < 0)
		return -1;
	if (stat(path, &st) < 0)
		return error_sys(err, errno, "stat %s", path);
	if ((st.st_mode & 077) && chmod(path, 0700) < 0)
		return error_sys(err, errno, "make %s private", path);
	return 0;
}

static int make_dirs(const struct config *config, struct error *err)
{
	if (make_private_dir(config->root_dir, "", err) < 0 || make_private_dir(config->root_dir, "/images", err) < 0 ||
	    make_private_dir(config->root_dir, "/containers", err) < 0 || mount_points_make(config->root_dir, err) < 0)
		return -1;
	if (make_private_dir(config->state_dir, "", err) < 0 || make_private_dir(config->state_dir, "/pods", err) < 0 ||
	    make_private_dir(config->state_dir, "/containers", err) < 0)
		return -1;
	return make_private_dir(config->state_dir, "/network", err);
}

static int open_store(struct node *node, struct error *err)
{
	char path[PATH_MAX];

	if (path_format(path, err, "%s/store.db", node->config->root_dir) < 0)
		return -1;
	return store_open(path, &node->store, err);
}

static int open_images(struct node *node, struct error *err)
{
	const struct config *config = node->config;
	char root[PATH_MAX];
	const struct image_store_config images = {
		.root = root,
		.certs_dir = config->certs_dir,
		.insecure_registries = config->insecure_registries,
		.auth_file = config->auth_file,
		.max_layer_bytes = config->max_layer_bytes,
		.progress_timeout_ms = config->pull_progress_timeout_ms,
		.max_downloads = (unsigned)config->max_parallel_downloads,
		.max_downloads_per_image = (unsigned)config->max_parallel_downloads_per_image,
		.keep_unlisted_ms = config->keep_partial_pulls_ms,
		.pinned = config->pinned_images,
	};

	if (path_format(root, err, "%s/images", config->root_dir) < 0)
		return -1;
	return image_store_open(&images, &node->images, err);
}

static int open_lanes(struct node *node, struct error *err)
{
	struct lane_pool *pool = node->loop->lanes;

	if (lane_open(pool, "images", &node->image_lane, err) < 0)
		return -1;
	return lane_open(pool, "store", &node->store_lane, err);
}

static bool has_capability(unsigned cap)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	return syscall(SYS_capget, &header, data) == 0 && (data[cap / 32].effective >> (cap % 32) & 1);
}

static void read_oom_score(struct node *node)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(64);
	struct error ignored = ERROR_INIT;

	node->may_lower_oom_score = has_capability(CAP_SYS_RESOURCE);
	node->may_recursive_readonly = volume_takes_recursive_readonly();
	if (io_read_file(AT_FDCWD, "/proc/self/oom_score_adj", &text, &ignored) == 0 && text.data)
		node->own_oom_score_adj = (int)strtol(text.data, NULL, 10);
}

/* Without our own profile, containers that do not ask for one run without. */
static void open_apparmor(struct node *node)
{
	struct error err = ERROR_INIT;

	node->has_apparmor = apparmor_is_on();
	if (!node->has_apparmor || strcmp(node->config->apparmor_default, "builtin") != 0)
		return;
	node->has_apparmor_default = apparmor_load_default(&err) == 0;
	if (!node->has_apparmor_default)
		log_warn("task", "containers run without an AppArmor profile unless they name one: %s", err.text);
}

/* A policy without labels for containers is no reason not to serve: the requests that name one get it. */
static int open_selinux(struct node *node, struct error *err)
{
	struct error unknown = ERROR_INIT;
	char label[SELINUX_LABEL_SIZE];

	if (!selinux_is_on(SELINUX_FS))
		return 0;
	node->selinux_fs = SELINUX_FS;
	if (selinux_read_defaults(SELINUX_ETC, SELINUX_FS, &node->selinux, err) < 0)
		return -1;
	if (!*node->selinux.process || !*node->selinux.file)
		log_warn("task", "SELinux is on, but its policy has no container_t and container_file_t: containers run without "
				 "labels unless they name them; install the policy for containers (container-selinux)");
	node->has_selinux_spc =
		selinux_make_label(SELINUX_BASE, &(struct selinux_parts){ .type = "spc_t" }, label, &unknown) == 0 &&
		selinux_check_label(SELINUX_FS, label, &unknown) == 0;
	return 0;
}

/* What containers run lies here: their processes may read no more of the host's files than these. Beside it lies nothing but ours. */
static int label_images(const struct node *node, struct error *err)
{
	static const char *const names[] = { "images", "containers", MOUNT_POINTS_DIR };
	char path[PATH_MAX];

	for (size_t i = 0; node->selinux_fs && *node->selinux.shared && i < ARRAY_SIZE(names); i++) {
		if (path_format(path, err, "%s/%s", node->config->root_dir, names[i]) < 0 ||
		    selinux_label_directory(path, node->selinux.shared, err) < 0)
			return -1;
	}
	return 0;
}

static int open_in(struct node *node, struct error *err)
{
	open_apparmor(node);
	if (open_selinux(node, err) < 0)
		return -1;
	if (make_dirs(node->config, err) < 0 || label_images(node, err) < 0 || boot_id_read(node->boot_id, err) < 0 ||
	    open_store(node, err) < 0 || open_images(node, err) < 0 || open_lanes(node, err) < 0)
		return -1;
	if (cgroup_roots_open(node->config->cgroup_root, &node->cgroups, err) < 0 || group_choose_driver(node, err) < 0 ||
	    spawner_open(&node->spawner, err) < 0 || networks_open(node, err) < 0)
		return -1;
	read_oom_score(node);
	node->user_namespaces = user_ns_probe(node->spawner, node->config->root_dir);
	if (node_set_limits(node, err) < 0 || node_recover(node, err) < 0)
		return -1;
	networks_begin(node);
	return 0;
}

int node_open(struct loop *loop, const struct config *config, struct node **ret_node, struct error *err)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return error_set(err, ERR_EXHAUSTED, "open node: out of memory");
	machines_register();
	node->loop = loop;
	node->config = config;
	node->pulls.more = (unsigned)config->max_parallel_pulls - 1;
	if (open_in(node, err) < 0) {
		node_free(node);
		return error_prefix(err, "open node");
	}
	*ret_node = node;
	return 0;
}

/* ---- closing ---- */

static void forget_objects(struct node *node)
{
	struct container *container, *next_container;
	struct sandbox *sandbox, *next_sandbox;

	HASH_ITER (hh, node->containers, container, next_container)
		container_forget(container);
	HASH_ITER (hh, node->sandboxes, sandbox, next_sandbox)
		sandbox_forget(sandbox);
	name_index_release(&node->container_names);
	name_index_release(&node->sandbox_names);
}

void node_free(struct node *node)
{
	if (!node)
		return;
	forget_objects(node);
	networks_close(node);
	lane_close(node->image_lane);
	lane_close(node->store_lane);
	if (node->spawner)
		spawner_close(node->spawner);
	if (node->cgroups)
		cgroup_roots_close(node->cgroups);
	image_store_close(node->images);
	store_close(node->store);
	free(node);
}

static void drop_logs(struct node *node)
{
	struct container *container, *next;

	HASH_ITER (hh, node->containers, container, next)
		if (container->log)
			container_drop_log(container, steal_ptr(&container->log));
}

static void on_closer_closed(uv_handle_t *timer)
{
	struct node *node = timer->data;

	node->on_closed(node->on_closed_arg);
}

static void on_closer(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, on_closer_closed);
}

/* First the operations, then the logs, which operations may still use; the last word comes from the loop, not from inside either. */
void node_advance_close(struct node *node)
{
	if (!node->closing || node->closed || node->operations)
		return;
	drop_logs(node);
	if (node->pumps > 0 || node->checkpointing || !networks_have_ended(node))
		return;
	node->closed = true;
	(void)uv_timer_start(&node->closer, on_closer, 0, 0);
}

void node_close(struct node *node, void (*on_closed)(void *arg), void *arg)
{
	struct error why = ERROR_INIT;

	(void)error_set(&why, ERR_UNAVAILABLE, "the daemon is shutting down");
	node->closing = true;
	node->on_closed = on_closed;
	node->on_closed_arg = arg;
	(void)uv_timer_init(&node->loop->uv, &node->closer);
	node->closer.data = node;
	operations_cancel_all(node, &why);
	networks_end(node);
	node_advance_close(node);
}

/* ---- services for the operations ---- */

static int checkpoint_work(struct job *job, struct error *err)
{
	return store_checkpoint(container_of(job, struct node, checkpoint_job)->store, err);
}

static void checkpoint_done(struct job *job, int result, const struct error *err)
{
	(void)job;
	if (result < 0)
		log_warn("task", "%s", err->text);
}

static void checkpoint_released(struct job *job)
{
	struct node *node = container_of(job, struct node, checkpoint_job);

	node->checkpointing = false;
	node_advance_close(node);
}

void node_checkpoint(struct node *node)
{
	struct error err = ERROR_INIT;

	if (node->checkpointing || !store_wants_checkpoint(node->store))
		return;
	node->checkpoint_job = (struct job){
		.name = "checkpoint",
		.work = checkpoint_work,
		.done = checkpoint_done,
		.release = checkpoint_released,
		.deadline_ms = CHECKPOINT_DEADLINE_MS,
	};
	store_begin_checkpoint(node->store);
	if (lane_submit(node->store_lane, &node->checkpoint_job, &err) < 0)
		log_warn("task", "%s", err.text);
	else
		node->checkpointing = true;
}
