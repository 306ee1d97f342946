#include "image/auth_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"

/* How much of the repository the key names, and 1 for the host; 0 when it is for something else. */
static size_t match(const char *key, const struct origin *target, const char *repository)
{
	const char *path = strchr(key, '/');
	size_t len;

	if (!auth_address_is(key, target))
		return 0;
	if (!path || strstr(key, "://") || !strcmp(path, "/v1/") || !strcmp(path, "/v2/"))
		return 1;
	path++;
	len = strlen(path);
	while (len > 0 && path[len - 1] == '/')
		len--;
	if (strncmp(repository, path, len) != 0 || (len > 0 && repository[len] != '\0' && repository[len] != '/'))
		return 0;
	return 1 + len;
}

/* An entry without anything in it is what Docker leaves when a helper has the secret. */
static bool has_content(const cJSON *entry)
{
	static const char *const names[] = { "auth", "username", "identitytoken", "registrytoken" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *text = json_string(entry, names[i]);

		if (text && *text)
			return true;
	}
	return false;
}

static const cJSON *find_entry(const cJSON *auths, const struct origin *target, const char *repository)
{
	const cJSON *best = NULL;
	size_t best_len = 0;

	for (const cJSON *entry = auths ? auths->child : NULL; entry; entry = entry->next) {
		size_t len = has_content(entry) ? match(entry->string, target, repository) : 0;

		if (len > best_len) {
			best = entry;
			best_len = len;
		}
	}
	return best;
}

static void tell_of_helpers(const char *path, const cJSON *root, const struct origin *target)
{
	const cJSON *helpers = cJSON_GetObjectItemCaseSensitive(root, "credHelpers");
	const char *store = json_string(root, "credsStore");

	for (const cJSON *helper = cJSON_IsObject(helpers) ? helpers->child : NULL; helper; helper = helper->next) {
		if (auth_address_is(helper->string, target)) {
			store = cJSON_IsString(helper) ? helper->valuestring : "";
			break;
		}
	}
	if (store)
		log_warn("image",
			 "%s names the credential helper '%.60s' for %s: helpers are not run, put credentials into \"auths\"", path,
			 store, target->host);
}

static int take_entry(const cJSON *entry, const struct origin *target, struct credentials *ret, struct error *err)
{
	const struct image_auth auth = {
		.username = json_string(entry, "username"),
		.password = json_string(entry, "password"),
		.auth = json_string(entry, "auth"),
		.identity_token = json_string(entry, "identitytoken"),
		.registry_token = json_string(entry, "registrytoken"),
	};

	return credentials_init(ret, &auth, target, err) < 0 ? error_prefix(err, "credentials for %.200s", entry->string) : 0;
}

static void wipe(cJSON *auths)
{
	for (cJSON *entry = auths ? auths->child : NULL; entry; entry = entry->next) {
		for (cJSON *member = entry->child; member; member = member->next) {
			if (cJSON_IsString(member))
				explicit_bzero(member->valuestring, strlen(member->valuestring));
		}
	}
}

static int find(const char *path, const struct buffer *text, const struct origin *target, const char *repository,
		struct credentials *ret, struct error *err)
{
	_cleanup_json_ cJSON *root = NULL;
	const cJSON *entry;
	cJSON *auths;
	int result = 0;

	if (json_parse(text->data ? text->data : "", text->len, "file of credentials", &root, err) < 0)
		return -1;
	auths = cJSON_GetObjectItemCaseSensitive(root, "auths");
	if (auths && !cJSON_IsObject(auths))
		return error_set(err, ERR_INVALID, "'auths' is no object");
	entry = find_entry(auths, target, repository);
	if (entry)
		result = take_entry(entry, target, ret, err);
	else
		tell_of_helpers(path, root, target);
	wipe(auths);
	return result;
}

int auth_file_find(const char *path, const struct origin *target, const char *repository, struct credentials *ret,
		   struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(AUTH_FILE_MAX_BYTES);
	int result;

	*ret = (struct credentials){ 0 };
	if (access(path, F_OK) < 0 && errno == ENOENT) {
		log_warn("image", "%s does not exist: no credentials of the node", path);
		return 0;
	}
	result = io_read_file(AT_FDCWD, path, &text, err);
	if (result == 0)
		result = find(path, &text, target, repository, ret, err);
	if (text.data)
		explicit_bzero(text.data, text.len);
	return result < 0 ? error_prefix(err, "credentials in %s", path) : 0;
}
