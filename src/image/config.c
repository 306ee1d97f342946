#include "image/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/strv.h"
#include "image/digest.h"
#include "image/manifest.h"

void image_config_release(struct image_config *config)
{
	strv_free(config->env);
	strv_free(config->entrypoint);
	strv_free(config->cmd);
	free(config->working_dir);
	free(config->user);
	free(config->stop_signal);
	*config = (struct image_config){ 0 };
}

void config_blob_release(struct config_blob *blob)
{
	image_config_release(&blob->run);
	strv_free(blob->diff_ids);
	free(blob->os);
	free(blob->architecture);
	*blob = (struct config_blob){ 0 };
}

static int copy_string(const cJSON *object, const char *key, char **ret_text, struct error *err)
{
	const char *text = json_string(object, key);

	*ret_text = strdup(text ? text : "");
	return *ret_text ? 0 : error_set(err, ERR_EXHAUSTED, "out of memory for '%s'", key);
}

static int read_run(const cJSON *config, struct image_config *run, struct error *err)
{
	if (json_strings(config, "Env", &run->env, err) < 0 || json_strings(config, "Entrypoint", &run->entrypoint, err) < 0 ||
	    json_strings(config, "Cmd", &run->cmd, err) < 0)
		return -1;
	if (copy_string(config, "WorkingDir", &run->working_dir, err) < 0 || copy_string(config, "User", &run->user, err) < 0)
		return -1;
	return copy_string(config, "StopSignal", &run->stop_signal, err);
}

static int read_diff_ids(const cJSON *root, struct config_blob *blob, struct error *err)
{
	const cJSON *rootfs = cJSON_GetObjectItemCaseSensitive(root, "rootfs");
	size_t n;

	if (json_strings(rootfs, "diff_ids", &blob->diff_ids, err) < 0)
		return -1;
	n = strv_count(blob->diff_ids);
	if (n > MANIFEST_MAX_LAYERS)
		return error_set(err, ERR_EXHAUSTED, "%zu layers, more than the limit of %d", n, MANIFEST_MAX_LAYERS);
	for (size_t i = 0; i < n; i++) {
		if (digest_check(blob->diff_ids[i], err) < 0)
			return error_prefix(err, "diff id %zu", i);
	}
	return 0;
}

static int read_blob(const cJSON *root, struct config_blob *blob, struct error *err)
{
	if (read_run(cJSON_GetObjectItemCaseSensitive(root, "config"), &blob->run, err) < 0)
		return -1;
	if (copy_string(root, "os", &blob->os, err) < 0 || copy_string(root, "architecture", &blob->architecture, err) < 0)
		return -1;
	if (*blob->os && strcmp(blob->os, "linux") != 0)
		return error_set(err, ERR_UNIMPLEMENTED, "it is for the operating system '%.40s'", blob->os);
	return read_diff_ids(root, blob, err);
}

int config_blob_parse(const char *text, size_t len, struct config_blob *ret_blob, struct error *err)
{
	_cleanup_config_blob_ struct config_blob blob = { 0 };
	_cleanup_json_ cJSON *root = NULL;

	if (json_parse(text, len, "image configuration", &root, err) < 0)
		return -1;
	if (read_blob(root, &blob, err) < 0)
		return error_prefix(err, "image configuration");
	*ret_blob = blob;
	blob = (struct config_blob){ 0 };
	return 0;
}
