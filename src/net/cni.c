#include "net/cni.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strv.h"
#include "net/cni_args.h"
#include "net/cni_chain.h"
#include "net/cni_list.h"
#include "net/cni_record.h"
#include "net/cni_result.h"
#include "net/cni_watch.h"

/* What every other runtime calls it, and tools look for. */
#define INTERFACE "eth0"

/* How often plugins that can tell (STATUS) are asked whether they are well: a little slower than kubelet asks us. */
#define STATUS_PERIOD_S 15
#define STATUS_LIMIT_MS 10000

#define COLLECT_LIMIT_MS 60000

/* Pods that plugins run for, and one of a sweep. */
#define MAX_BUSY (NET_CNI_PARALLEL + 1)

struct cni {
	struct net_engine engine;
	char *conf_dir, *path;
	int recordsfd;
	struct cni_watch watch;
	pthread_rwlock_t working; /* held for writing while plugins are told what is valid (GC), which excludes ADD and DEL */
	pthread_mutex_t lock;     /* of what follows */
	struct cni_list *list;    /* NULL: none, or a wrong one */
	struct error why;         /* there is none */
	bool is_configured;
	pthread_cond_t is_free;
	const char *busy[MAX_BUSY]; /* pods whose plugins run now: those of one pod never run side by side */
};

static struct cni *cni_of(struct net_engine *engine)
{
	return container_of(engine, struct cni, engine);
}

/* ---- the configuration ---- */

static void set_list(struct cni *cni, struct cni_list *list, const struct error *why)
{
	struct cni_list *former;

	(void)pthread_mutex_lock(&cni->lock);
	former = cni->list;
	cni->list = list;
	cni->is_configured = list || why->code != ERR_NOT_FOUND;
	if (!list)
		cni->why = *why;
	(void)pthread_mutex_unlock(&cni->lock);
	if (list && (!former || strcmp(former->name, list->name) != 0))
		log_info("net", "pods are attached to network '%s' of %s", list->name, list->path);
	cni_list_unref(former);
}

/* Before the configuration is read its directory is watched again, with the clock for lists that can tell how they are. */
static void reload(struct cni *cni)
{
	struct cni_list *list = NULL;
	struct error why = ERROR_INIT;
	bool can_tell;

	(void)pthread_mutex_lock(&cni->lock);
	can_tell = cni->list && cni->list->version >= CNI_1_1_0;
	(void)pthread_mutex_unlock(&cni->lock);
	cni_watch_again(&cni->watch, cni->conf_dir, can_tell ? STATUS_PERIOD_S : 0);
	if (cni_list_load(cni->conf_dir, &list, &why) == 0 && list->version >= CNI_1_1_0 && !can_tell)
		cni_watch_again(&cni->watch, cni->conf_dir, STATUS_PERIOD_S);
	set_list(cni, list, &why);
}

/* A new reference; NULL with the reason. */
static struct cni_list *get_list(struct cni *cni, struct error *err)
{
	struct cni_list *list;

	(void)pthread_mutex_lock(&cni->lock);
	list = cni->list ? cni_list_ref(cni->list) : NULL;
	if (!list)
		*err = cni->why;
	(void)pthread_mutex_unlock(&cni->lock);
	return list;
}

bool net_cni_is_configured(struct net_engine *engine)
{
	struct cni *cni = cni_of(engine);
	bool is_configured;

	(void)pthread_mutex_lock(&cni->lock);
	is_configured = cni->is_configured;
	(void)pthread_mutex_unlock(&cni->lock);
	return is_configured;
}

/* ---- calls ---- */

/* A free place for the pod; NULL when there is none, or plugins run for it already. */
static const char **find_place(struct cni *cni, const char *pod_id)
{
	const char **place = NULL;

	for (size_t i = 0; i < MAX_BUSY; i++) {
		if (!cni->busy[i])
			place = &cni->busy[i];
		else if (!strcmp(cni->busy[i], pod_id))
			return NULL;
	}
	return place;
}

/* Returns the place for end(). `pod_id` must live until then. */
static const char **begin(struct cni *cni, const char *pod_id)
{
	const char **place;

	(void)pthread_rwlock_rdlock(&cni->working);
	(void)pthread_mutex_lock(&cni->lock);
	while (!(place = find_place(cni, pod_id)))
		(void)pthread_cond_wait(&cni->is_free, &cni->lock);
	*place = pod_id;
	(void)pthread_mutex_unlock(&cni->lock);
	return place;
}

static void end(struct cni *cni, const char **place)
{
	(void)pthread_mutex_lock(&cni->lock);
	*place = NULL;
	(void)pthread_cond_broadcast(&cni->is_free);
	(void)pthread_mutex_unlock(&cni->lock);
	(void)pthread_rwlock_unlock(&cni->working);
}

static struct cni_call make_call(const struct cni *cni, const char *pod_id, const struct cni_record *record, const char *netns_path,
				 int limit_ms)
{
	return (struct cni_call){
		.container_id = pod_id,
		.netns_path = netns_path,
		.interface = record->interface,
		.args = record->args,
		.path = cni->path,
		.capability_args = record->capability_args,
		.deadline_us = clock_monotonic_us() + (int64_t)limit_ms * 1000,
	};
}

/* For commands that are not about a pod. */
static struct cni_call make_general_call(const struct cni *cni, int limit_ms)
{
	static char nothing[] = "";
	const struct cni_record none = { .interface = nothing, .args = nothing };

	return make_call(cni, "", &none, "", limit_ms);
}

/* ---- attach ---- */

/* What is filled in before a failure is for the caller to release. */
static int describe_pod(const struct net_request *request, struct cni_list *list, struct cni_record *record, struct error *err)
{
	record->list = cni_list_ref(list);
	record->interface = strdup(INTERFACE);
	record->netns_path = strdup(request->netns_path);
	if (!record->interface || !record->netns_path)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return cni_args_text(request, &record->args, err) < 0 ? -1 : cni_args_capabilities(request, &record->capability_args, err);
}

static int add(struct cni *cni, const char *pod_id, struct cni_record *record, struct net_result *ret_result, struct error *err)
{
	struct cni_call call = make_call(cni, pod_id, record, record->netns_path, CNI_ATTACH_LIMIT_MS);

	if (cni_chain_add(record->list, &call, &record->result, err) < 0 ||
	    cni_result_read(record->result, record->interface, ret_result, err) < 0)
		return -1;
	return cni_record_write(cni->recordsfd, pod_id, record, err);
}

/* What could not be taken away keeps its record: the next detach, or the next start, tries again. */
static void take_back(struct cni *cni, const struct net_request *request, const struct cni_record *record)
{
	struct cni_call call = make_call(cni, request->pod_id, record, record->netns_path, CNI_DETACH_LIMIT_MS);
	struct error err = ERROR_INIT;

	if (cni_chain_del(record->list, &call, record->result, &err) < 0 ||
	    cni_record_remove(cni->recordsfd, request->pod_id, &err) < 0)
		log_warn("net", "pod %s: take back a failed attachment: %s", request->pod_name, err.text);
}

static int attach_by(struct cni *cni, const struct net_request *request, struct cni_list *list, struct net_result *ret_result,
		     struct error *err)
{
	_cleanup_cni_record_ struct cni_record record = { 0 };

	if (describe_pod(request, list, &record, err) < 0 || cni_record_write(cni->recordsfd, request->pod_id, &record, err) < 0)
		return -1;
	if (add(cni, request->pod_id, &record, ret_result, err) == 0)
		return 0;
	take_back(cni, request, &record);
	return -1;
}

static int attach(struct net_engine *engine, const struct net_request *request, struct net_result *ret_result, struct error *err)
{
	struct cni *cni = cni_of(engine);
	_cleanup_cni_list_ struct cni_list *list = get_list(cni, err);
	const char **place;
	int result;

	if (!list)
		return -1;
	place = begin(cni, request->pod_id);
	result = attach_by(cni, request, list, ret_result, err);
	end(cni, place);
	if (result == 0)
		return 0;
	return *list->path ? error_prefix(err, "network %s (%s)", list->name, list->path) : -1;
}

/* ---- detach ---- */

/* A record that cannot be read any more is replaced by what the configuration of today would say: addresses at least are found by the
 * pod's id alone. Returns 1 when there is nothing to detach. */
static int recall(struct cni *cni, const struct net_request *request, struct cni_record *record, struct error *err)
{
	_cleanup_cni_list_ struct cni_list *list = NULL;
	struct error damage = ERROR_INIT;
	static const char no_path[] = "";
	struct net_request stand_in = *request;

	if (cni_record_read(cni->recordsfd, request->pod_id, record, &damage) == 0)
		return 0;
	if (damage.code == ERR_NOT_FOUND)
		return 1;
	list = damage.code == ERR_DATA_LOSS ? get_list(cni, err) : NULL;
	if (!list) {
		*err = damage;
		return -1;
	}
	log_warn("net", "pod %s: %s; it is detached by %s", request->pod_name, damage.text, list->path);
	stand_in.netns_path = request->netns_path ? request->netns_path : no_path;
	return describe_pod(&stand_in, list, record, err);
}

static int detach_recorded(struct cni *cni, const struct net_request *request, struct error *err)
{
	_cleanup_cni_record_ struct cni_record record = { 0 };
	struct cni_call call;
	int found = recall(cni, request, &record, err);

	if (found != 0)
		return found < 0 ? -1 : 0;
	call = make_call(cni, request->pod_id, &record, request->netns >= 0 ? record.netns_path : "", CNI_DETACH_LIMIT_MS);
	if (cni_chain_del(record.list, &call, record.result, err) < 0)
		return error_prefix(err, "network %s", record.list->name);
	return cni_record_remove(cni->recordsfd, request->pod_id, err);
}

static int detach(struct net_engine *engine, const struct net_request *request, struct error *err)
{
	struct cni *cni = cni_of(engine);
	const char **place;
	int result;

	place = begin(cni, request->pod_id);
	result = detach_recorded(cni, request, err);
	end(cni, place);
	return result;
}

static int check_recorded(struct cni *cni, const struct net_request *request, struct error *err)
{
	_cleanup_cni_record_ struct cni_record record = { 0 };
	struct cni_call call;

	if (cni_record_read(cni->recordsfd, request->pod_id, &record, err) < 0)
		return -1;
	if (!record.result)
		return error_set(err, ERR_STATE, "was not attached to the end");
	call = make_call(cni, request->pod_id, &record, record.netns_path, CNI_ATTACH_LIMIT_MS);
	return cni_chain_check(record.list, &call, record.result, err);
}

int net_cni_check(struct net_engine *engine, const struct net_request *request, struct error *err)
{
	struct cni *cni = cni_of(engine);
	const char **place;
	int result;

	place = begin(cni, request->pod_id);
	result = check_recorded(cni, request, err);
	end(cni, place);
	return result;
}

/* ---- readiness ---- */

static int find_plugins(const struct cni *cni, const struct cni_list *list, struct error *err)
{
	for (size_t i = 0; i < list->n_plugins; i++) {
		const cJSON *ipam = cJSON_GetObjectItemCaseSensitive(list->plugins[i].conf, "ipam");
		const char *types[] = { list->plugins[i].type, json_string(ipam, "type") };

		for (size_t j = 0; j < ARRAY_SIZE(types); j++) {
			char *file;

			if (!types[j] || !*types[j])
				continue;
			if (cni_plugin_find(cni->path, types[j], &file, err) < 0)
				return error_prefix(err, "%s: plugin %s", list->path, types[j]);
			free(file);
		}
	}
	return 0;
}

static int ready(struct net_engine *engine, struct error *err)
{
	struct cni *cni = cni_of(engine);
	_cleanup_cni_list_ struct cni_list *list = NULL;
	struct cni_call call = make_general_call(cni, STATUS_LIMIT_MS);

	reload(cni);
	list = get_list(cni, err);
	if (!list || find_plugins(cni, list, err) < 0)
		return -1;
	return cni_chain_status(list, &call, err) < 0 ? error_prefix(err, "%s", list->path) : 0;
}

static int watch_fd(struct net_engine *engine)
{
	return cni_of(engine)->watch.fd;
}

/* ---- what is left over ---- */

static int compare_ids(const void *key, const void *entry)
{
	return strcmp(key, *(const char *const *)entry);
}

int net_cni_leftovers(struct net_engine *engine, const char *const *live_pod_ids, size_t n, char ***ret_pod_ids, struct error *err)
{
	_cleanup_strv_ char **all = NULL, **left = strv_new();

	if (!left)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (cni_record_list(cni_of(engine)->recordsfd, &all, err) < 0)
		return -1;
	for (char **id = all; *id; id++) {
		if (!bsearch(*id, live_pod_ids, n, sizeof(*live_pod_ids), compare_ids) && strv_append(&left, *id, err) < 0)
			return -1;
	}
	*ret_pod_ids = steal_ptr(&left);
	return 0;
}

static cJSON *list_attachments(char *const *ids)
{
	cJSON *list = cJSON_CreateArray();

	for (; list && *ids; ids++) {
		cJSON *item = cJSON_CreateObject();

		if (item && cJSON_AddItemToArray(list, item) && cJSON_AddStringToObject(item, "containerID", *ids) &&
		    cJSON_AddStringToObject(item, "ifname", INTERFACE))
			continue;
		cJSON_Delete(list);
		return NULL;
	}
	return list;
}

int net_cni_collect(struct net_engine *engine, struct error *err)
{
	struct cni *cni = cni_of(engine);
	_cleanup_cni_list_ struct cni_list *list = get_list(cni, err);
	struct cni_call call;
	_cleanup_json_ cJSON *valid = NULL;
	_cleanup_strv_ char **ids = NULL;
	int result;

	if (!list)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	if (list->version < CNI_1_1_0)
		return 0;
	(void)pthread_rwlock_wrlock(&cni->working);
	call = make_general_call(cni, COLLECT_LIMIT_MS);
	result = cni_record_list(cni->recordsfd, &ids, err);
	valid = result == 0 ? list_attachments(ids) : NULL;
	call.attachments = valid;
	if (result == 0)
		result = valid ? cni_chain_gc(list, &call, err) : error_set(err, ERR_EXHAUSTED, "out of memory");
	(void)pthread_rwlock_unlock(&cni->working);
	return result;
}

/* ---- life ---- */

static void describe(struct net_engine *engine, FILE *out)
{
	struct cni *cni = cni_of(engine);
	struct error why = ERROR_INIT;
	_cleanup_cni_list_ struct cni_list *list = get_list(cni, &why);

	if (!list) {
		(void)fprintf(out, "CNI: %s\n", why.text);
		return;
	}
	(void)fprintf(out, "CNI %s, network %s of %s:", list->version_text, list->name, list->path);
	for (size_t i = 0; i < list->n_plugins; i++)
		(void)fprintf(out, " %s", list->plugins[i].type);
	(void)fputc('\n', out);
}

static void close_engine(struct net_engine *engine)
{
	struct cni *cni = cni_of(engine);

	cni_watch_close(&cni->watch);
	close_fd(&cni->recordsfd);
	cni_list_unref(cni->list);
	(void)pthread_mutex_destroy(&cni->lock);
	(void)pthread_rwlock_destroy(&cni->working);
	(void)pthread_cond_destroy(&cni->is_free);
	free(cni->conf_dir);
	free(cni->path);
	free(cni);
}

static const struct net_engine_ops cni_ops = {
	.name = "cni",
	.attach = attach,
	.detach = detach,
	.ready = ready,
	.watch_fd = watch_fd,
	.describe = describe,
	.close = close_engine,
};

/* CNI_PATH has colons where our lists have commas. */
static char *make_path(const char *dirs)
{
	char *path = strdup(dirs);

	for (char *p = path; p && *p; p++)
		*p = *p == ',' ? ':' : *p;
	return path;
}

static int open_records(const char *dir, int *ret_fd, struct error *err)
{
	if (io_make_dirs(dir, 0700, err) < 0)
		return -1;
	*ret_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? error_sys(err, errno, "open %s", dir) : 0;
}

int net_cni_open(const struct net_cni_config *config, struct net_engine **ret_engine, struct error *err)
{
	struct cni *cni = calloc(1, sizeof(*cni));

	if (!cni)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	cni->engine.ops = &cni_ops;
	cni->recordsfd = cni->watch.fd = cni->watch.inotify = cni->watch.timer = -1;
	(void)pthread_mutex_init(&cni->lock, NULL);
	(void)pthread_rwlock_init(&cni->working, NULL);
	(void)pthread_cond_init(&cni->is_free, NULL);
	cni->conf_dir = strdup(config->conf_dir);
	cni->path = make_path(config->bin_dirs);
	if (!cni->conf_dir || !cni->path)
		(void)error_set(err, ERR_EXHAUSTED, "out of memory");
	else if (open_records(config->record_dir, &cni->recordsfd, err) == 0 && cni_watch_open(&cni->watch, err) == 0) {
		reload(cni);
		*ret_engine = &cni->engine;
		return 0;
	}
	close_engine(&cni->engine);
	return error_prefix(err, "open the CNI engine");
}
