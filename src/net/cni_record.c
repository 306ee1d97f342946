#include "net/cni_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/strv.h"
#include "net/cni_result.h"

#define MAX_RECORD_BYTES (CNI_LIST_MAX_BYTES + CNI_RESULT_MAX_BYTES + 65536)

void cni_record_release(struct cni_record *record)
{
	cni_list_unref(record->list);
	free(record->interface);
	free(record->netns_path);
	free(record->args);
	cJSON_Delete(record->capability_args);
	cJSON_Delete(record->result);
	*record = (struct cni_record){ 0 };
}

/* ---- writing ---- */

static bool add_copy(cJSON *object, const char *key, const cJSON *value)
{
	cJSON *copy = value ? cJSON_Duplicate(value, true) : NULL;

	if (!value || (copy && cJSON_AddItemToObject(object, key, copy)))
		return true;
	cJSON_Delete(copy);
	return false;
}

static char *print(const struct cni_record *record)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();

	if (!json || !cJSON_AddStringToObject(json, "interface", record->interface) ||
	    !cJSON_AddStringToObject(json, "netns", record->netns_path) || !cJSON_AddStringToObject(json, "args", record->args) ||
	    !add_copy(json, "capabilityArgs", record->capability_args) || !add_copy(json, "config", record->list->json) ||
	    !add_copy(json, "result", record->result))
		return NULL;
	return cJSON_PrintUnformatted(json);
}

/* What each fits its limit may be too much together: a record that nobody can read would hold the pod for ever. */
static int check_readable(const char *text, struct error *err)
{
	_cleanup_json_ cJSON *json = NULL;
	size_t len = strlen(text);

	if (len > MAX_RECORD_BYTES)
		return error_set(err, ERR_EXHAUSTED, "configuration and result have %zu bytes, the limit is %zu", len,
				 MAX_RECORD_BYTES);
	return json_parse_object(text, len, NULL, &json, err);
}

int cni_record_write(int dirfd, const char *pod_id, const struct cni_record *record, struct error *err)
{
	_cleanup_free_
	char *text = print(record);

	if (!text)
		return error_set(err, ERR_EXHAUSTED, "record the attachment: out of memory");
	if (check_readable(text, err) < 0)
		return error_prefix(err, "record the attachment");
	if (io_replace_file(dirfd, pod_id, text, strlen(text), 0600, err) < 0)
		return error_prefix(err, "record the attachment");
	return 0;
}

int cni_record_remove(int dirfd, const char *pod_id, struct error *err)
{
	if (unlinkat(dirfd, pod_id, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "forget attachment %.12s", pod_id);
	return 0;
}

/* ---- reading ---- */

static int copy_text(const cJSON *json, const char *key, char **ret_text, struct error *err)
{
	const char *text = json_string(json, key);

	*ret_text = strdup(text ? text : "");
	return *ret_text ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory");
}

static int parse(cJSON *json, struct cni_record *record, struct error *err)
{
	const cJSON *config = cJSON_GetObjectItemCaseSensitive(json, "config");
	_cleanup_free_
	char *text = config ? cJSON_PrintUnformatted(config) : NULL;

	if (copy_text(json, "interface", &record->interface, err) < 0 || copy_text(json, "netns", &record->netns_path, err) < 0 ||
	    copy_text(json, "args", &record->args, err) < 0)
		return -1;
	record->capability_args = cJSON_DetachItemFromObjectCaseSensitive(json, "capabilityArgs");
	record->result = cJSON_DetachItemFromObjectCaseSensitive(json, "result");
	if (!text)
		return error_set(err, ERR_INVALID, "has no configuration");
	return cni_list_parse(text, strlen(text), "", &record->list, err);
}

int cni_record_read(int dirfd, const char *pod_id, struct cni_record *ret_record, struct error *err)
{
	_cleanup_cni_record_ struct cni_record record = { 0 };
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(MAX_RECORD_BYTES);
	_cleanup_json_ cJSON *json = NULL;

	if (io_read_file(dirfd, pod_id, &text, err) < 0)
		return -1;
	if (json_parse_object(text.data, text.len, NULL, &json, err) < 0 || parse(json, &record, err) < 0) {
		err->code = err->code == ERR_EXHAUSTED ? ERR_EXHAUSTED : ERR_DATA_LOSS;
		return error_prefix(err, "record of attachment %.12s", pod_id);
	}
	*ret_record = record;
	record = (struct cni_record){ 0 };
	return 0;
}

int cni_record_list(int dirfd, char ***ret_ids, struct error *err)
{
	_cleanup_strv_ char **ids = strv_new();
	_cleanup_fd_ int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir)
		return error_sys(err, errno, "list attachments");
	(void)steal_fd(&fd); /* the stream's now */
	if (!ids)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	while ((entry = readdir(dir))) {
		if (id_is_valid(entry->d_name) && strv_append(&ids, entry->d_name, err) < 0)
			return -1;
	}
	*ret_ids = steal_ptr(&ids);
	return 0;
}
