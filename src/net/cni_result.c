#include "net/cni_result.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

/* Since 0.3.0 addresses are a list; before there was one of each family. */
static bool has_lists(enum cni_version version)
{
	return version >= CNI_0_3_0;
}

static const cJSON *member(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* ---- between versions ---- */

/* "version": "4" stands beside each address from 0.3.0 to 0.4.0. */
static int convert_ips(cJSON *result, enum cni_version to, struct error *err)
{
	cJSON *item;

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(result, "ips"))
	{
		const char *address = json_string(item, "address");

		cJSON_DeleteItemFromObjectCaseSensitive(item, "version");
		if (to >= CNI_1_0_0 || !address)
			continue;
		if (!cJSON_AddStringToObject(item, "version", strchr(address, ':') ? "6" : "4"))
			return error_set(err, ERR_EXHAUSTED, "out of memory");
	}
	return 0;
}

static int set_version(cJSON *result, enum cni_version version, struct error *err)
{
	cJSON_DeleteItemFromObjectCaseSensitive(result, "cniVersion");
	if (!cJSON_AddStringToObject(result, "cniVersion", cni_version_text(version)))
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return 0;
}

static int convert(cJSON *result, enum cni_version to, struct error *err)
{
	const char *text = json_string(result, "cniVersion");
	enum cni_version from = to;

	/* one that does not say answers in the version of the question */
	if (text && *text && cni_version_parse(text, &from, err) < 0)
		return -1;
	if (has_lists(from) != has_lists(to))
		return error_set(err, ERR_UNAVAILABLE, "answers in CNI version %s to a question in %s", cni_version_text(from),
				 cni_version_text(to));
	if (has_lists(to) && from != to && convert_ips(result, to, err) < 0)
		return -1;
	return set_version(result, to, err);
}

int cni_result_parse(const char *text, size_t len, enum cni_version version, cJSON **ret_result, struct error *err)
{
	_cleanup_json_ cJSON *result = NULL;

	if (json_parse_object(text, len, "its answer", &result, err) < 0 || convert(result, version, err) < 0) {
		err->code = ERR_UNAVAILABLE;
		return -1;
	}
	*ret_result = steal_ptr(&result);
	return 0;
}

/* ---- addresses ---- */

static int add_address(struct net_result *result, const char *cidr, struct error *err)
{
	char *address = result->addresses[result->n_addresses];
	size_t len = cidr ? strcspn(cidr, "/") : 0;
	struct in6_addr parsed;

	if (result->n_addresses == NET_MAX_ADDRESSES)
		return 0;
	if (len == 0 || len >= NET_ADDRESS_SIZE)
		return error_set(err, ERR_UNAVAILABLE, "the result has an address that is none: '%.64s'", cidr ? cidr : "");
	memcpy(address, cidr, len);
	address[len] = '\0';
	if (inet_pton(strchr(address, ':') ? AF_INET6 : AF_INET, address, &parsed) != 1)
		return error_set(err, ERR_UNAVAILABLE, "the result has an address that is none: '%.64s'", cidr);
	result->n_addresses++;
	return 0;
}

/* Whether an address belongs to the interface inside the pod. Plugins that make a single one may leave the index out. */
static bool is_of(const cJSON *result, const cJSON *ip, const char *interface)
{
	const cJSON *index = member(ip, "interface"), *entry;
	const char *name, *sandbox;

	if (!cJSON_IsNumber(index))
		return true;
	entry = cJSON_GetArrayItem(member(result, "interfaces"), index->valueint);
	name = json_string(entry, "name");
	sandbox = json_string(entry, "sandbox");
	return name && !strcmp(name, interface) && sandbox && *sandbox;
}

static int read_lists(const cJSON *json, const char *interface, struct net_result *result, struct error *err)
{
	const cJSON *ip;

	cJSON_ArrayForEach(ip, member(json, "ips"))
	{
		if (is_of(json, ip, interface) && add_address(result, json_string(ip, "address"), err) < 0)
			return -1;
	}
	return 0;
}

static int read_pair(const cJSON *json, struct net_result *result, struct error *err)
{
	static const char *const families[] = { "ip4", "ip6" };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const cJSON *ip = member(json, families[i]);

		if (cJSON_IsObject(ip) && add_address(result, json_string(ip, "ip"), err) < 0)
			return -1;
	}
	return 0;
}

int cni_result_read(const cJSON *json, const char *interface, struct net_result *ret_result, struct error *err)
{
	struct net_result result = { .n_addresses = 0 };

	(void)snprintf(result.interface, sizeof(result.interface), "%s", interface);
	if (read_lists(json, interface, &result, err) < 0 || read_pair(json, &result, err) < 0)
		return -1;
	if (result.n_addresses == 0)
		return error_set(err, ERR_UNAVAILABLE, "the plugins gave %s no address", interface);
	*ret_result = result;
	return 0;
}
