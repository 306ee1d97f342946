#include "runtime/cdi_spec.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/cdi_edits.h"

/* ---- names ---- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Ends with a letter or digit, holds these and `others`. */
static bool is_name(const char *text, size_t len, const char *others)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_letter(text[i]) && !is_digit(text[i]) && !strchr(others, text[i]))
			return false;
	}
	return len > 0 && (is_letter(text[len - 1]) || is_digit(text[len - 1]));
}

static bool is_device_name(const char *text)
{
	return (is_letter(text[0]) || is_digit(text[0])) && is_name(text, strlen(text), "_-.:");
}

static bool is_kind(const char *text, size_t len)
{
	const char *slash = memchr(text, '/', len);
	size_t vendor = slash ? (size_t)(slash - text) : 0;

	return slash && vendor > 0 && len > vendor + 1 && is_letter(text[0]) && is_letter(slash[1]) &&
	       is_name(text, vendor, "_-.") && is_name(slash + 1, len - vendor - 1, "_-.");
}

bool cdi_is_qualified(const char *name)
{
	const char *equals = strchr(name, '=');

	return equals && is_kind(name, (size_t)(equals - name)) && is_device_name(equals + 1);
}

/* ---- versions ---- */

static const char *const versions[] = { "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0" };

static size_t version_index(const char *version)
{
	size_t i = 0;

	version += *version == 'v';
	while (i < ARRAY_SIZE(versions) && strcmp(versions[i], version) != 0)
		i++;
	return i;
}

static void need(const char **needed, const char *version)
{
	if (version_index(version) > version_index(*needed))
		*needed = version;
}

static bool any_has(const cJSON *list, const char *member)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list)
	{
		if (cdi_member(item, member))
			return true;
	}
	return false;
}

/* SPEC.md, "Released versions": which members came when. */
static void need_for_holder(const cJSON *holder, const char **needed)
{
	const cJSON *edits = cdi_member(holder, "containerEdits"), *rdt = cdi_member(edits, "intelRdt");

	if (any_has(cdi_member(edits, "mounts"), "type"))
		need(needed, "0.4.0");
	if (any_has(cdi_member(edits, "deviceNodes"), "hostPath"))
		need(needed, "0.5.0");
	if (cJSON_GetArraySize(cdi_member(holder, "annotations")) > 0)
		need(needed, "0.6.0");
	if (rdt || cJSON_GetArraySize(cdi_member(edits, "additionalGids")) > 0)
		need(needed, "0.7.0");
	if (cJSON_GetArraySize(cdi_member(edits, "netDevices")) > 0 || cdi_member(rdt, "schemata") ||
	    cdi_member(rdt, "enableMonitoring"))
		need(needed, "1.1.0");
}

static int check_version(const cJSON *spec, const char *kind, struct error *err)
{
	const char *version, *name, *needed = "0.1.0";
	const cJSON *device;

	if (cdi_text(spec, "cdiVersion", &version, err) < 0)
		return -1;
	if (version_index(version) == ARRAY_SIZE(versions))
		return error_set(err, ERR_INVALID, "cdiVersion: '%.32s' is no released version", version);
	if (strchr(strchr(kind, '/'), '.'))
		need(&needed, "0.6.0");
	need_for_holder(spec, &needed);
	cJSON_ArrayForEach(device, cdi_member(spec, "devices"))
	{
		need_for_holder(device, &needed);
		if (cdi_text(device, "name", &name, err) == 0 && is_digit(name[0]))
			need(&needed, "0.5.0");
	}
	if (version_index(needed) > version_index(version) && version_index(needed) > version_index("0.3.0"))
		return error_set(err, ERR_INVALID, "cdiVersion: %.32s, but what the Spec uses needs %s", version, needed);
	return 0;
}

/* ---- the Spec ---- */

static int check_edits(const cJSON *holder, bool needed, struct error *err)
{
	_cleanup_arena_ struct arena scratch = ARENA_INIT;
	struct cdi_edits edits = { 0 };

	if (cdi_append_edits(holder, &scratch, &edits, err) < 0)
		return -1;
	if (needed && cdi_edits_are_empty(cdi_member(holder, "containerEdits")))
		return error_set(err, ERR_INVALID, "containerEdits: empty");
	return 0;
}

static int check_annotations(const cJSON *holder, struct error *err)
{
	const cJSON *annotations = cdi_member(holder, "annotations"), *item;

	if (annotations && !cJSON_IsObject(annotations))
		return error_set(err, ERR_INVALID, "annotations: not an object");
	cJSON_ArrayForEach(item, annotations)
	{
		if (!cJSON_IsString(item) && !cJSON_IsRaw(item))
			return error_set(err, ERR_INVALID, "annotations: %.64s is not a text", item->string);
	}
	return 0;
}

static int check_device(const cJSON *spec, const cJSON *device, struct error *err)
{
	static const char *const members[] = { "name", "annotations", "containerEdits", NULL };
	const char *name;

	if (cdi_check_members(device, members, err) < 0 || cdi_text(device, "name", &name, err) < 0)
		return -1;
	if (!is_device_name(name))
		return error_set(err, ERR_INVALID, "name: '%.64s' is not made of letters, digits and inner _-.:", name);
	if (cdi_find_device(spec, name) != device)
		return error_set(err, ERR_INVALID, "name: a second device %s", name);
	return check_annotations(device, err) < 0 ? -1 : check_edits(device, true, err);
}

static int check_devices(const cJSON *spec, struct error *err)
{
	const cJSON *list, *device;
	size_t i = 0;

	if (cdi_list(spec, "devices", &list, err) < 0)
		return -1;
	cJSON_ArrayForEach(device, list)
	{
		if (check_device(spec, device, err) < 0)
			return error_prefix(err, "devices[%zu]", i);
		i++;
	}
	return i > 0 ? 0 : error_set(err, ERR_INVALID, "devices: none");
}

int cdi_check_spec(const cJSON *spec, struct error *err)
{
	static const char *const members[] = { "cdiVersion", "kind", "annotations", "devices", "containerEdits", NULL };
	const char *kind;

	if (!cJSON_IsObject(spec))
		return error_set(err, ERR_INVALID, "not an object");
	if (cdi_check_members(spec, members, err) < 0 || cdi_text(spec, "kind", &kind, err) < 0)
		return -1;
	if (!is_kind(kind, strlen(kind)))
		return error_set(err, ERR_INVALID, "kind: '%.64s' is not VENDOR/CLASS", kind);
	if (check_annotations(spec, err) < 0 || check_edits(spec, false, err) < 0 || check_devices(spec, err) < 0)
		return -1;
	return check_version(spec, kind, err);
}

const cJSON *cdi_find_device(const cJSON *spec, const char *name)
{
	struct error ignored = ERROR_INIT;
	const cJSON *device;
	const char *other;

	cJSON_ArrayForEach(device, cdi_member(spec, "devices"))
	{
		if (cdi_text(device, "name", &other, &ignored) == 0 && !strcmp(other, name))
			return device;
	}
	return NULL;
}
