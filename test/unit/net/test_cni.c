/* CNI lists, results, arguments and the execution of a plugin, without a network: the plugins here are shell scripts. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/strv.h"
#include "net/cni_args.h"
#include "net/cni_chain.h"
#include "net/cni_list.h"
#include "net/cni_plugin.h"
#include "net/cni_record.h"
#include "net/cni_result.h"

struct place {
	char dir[32];
	int fd;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/net-cni-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = p;
	return p->fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	struct error err = ERROR_INIT;
	int result = io_remove_tree(AT_FDCWD, p->dir, &err);

	(void)close(p->fd);
	free(p);
	return result;
}

static void put_script(const struct place *p, const char *name, const char *text)
{
	struct error err = ERROR_INIT;

	assert_int_equal(io_replace_file(p->fd, name, text, strlen(text), 0755, &err), 0);
}

static struct cni_list *list_of(const char *text)
{
	struct cni_list *list = NULL;
	struct error err = ERROR_INIT;

	if (cni_list_parse(text, strlen(text), "", &list, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return list;
}

static struct cni_call call_in(const struct place *p, unsigned limit_ms)
{
	return (struct cni_call){
		.container_id = "c",
		.netns_path = "/ns",
		.interface = "eth0",
		.args = "A=b",
		.path = p->dir,
		.deadline_us = clock_monotonic_us() + (int64_t)limit_ms * 1000,
	};
}

/* ---- lists ---- */

static void versions_and_flags_of_a_list(void **state)
{
	static const struct {
		const char *text;
		enum cni_version version;
		bool disable_check, disable_gc;
	} rows[] = {
		{ "{\"name\":\"n\",\"plugins\":[{\"type\":\"t\"}]}", CNI_0_1_0, false, false },
		{ "{\"name\":\"n\",\"cniVersion\":\"0.4.0\",\"disableCheck\":true,\"plugins\":[{\"type\":\"t\"}]}", CNI_0_4_0, true,
		  false },
		{ "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"disableCheck\":\"True\",\"disableGC\":true,\"type\":\"t\"}",
		  CNI_1_0_0, true, true },
		{ "{\"name\":\"n\",\"cniVersion\":\"0.3.1\",\"cniVersions\":[\"1.1.0\",3,\"8.0.0\"],\"type\":\"t\"}", CNI_1_1_0,
		  false, false },
		{ "{\"name\":\"n\",\"cniVersion\":\"8.0.0\",\"cniVersions\":[\"0.3.0\"],\"type\":\"t\"}", CNI_0_3_0, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cni_list *list = list_of(rows[i].text);

		assert_int_equal(list->version, rows[i].version);
		assert_string_equal(list->version_text, cni_version_text(rows[i].version));
		assert_int_equal(list->disable_check, rows[i].disable_check);
		assert_int_equal(list->disable_gc, rows[i].disable_gc);
		assert_int_equal(list->n_plugins, 1);
		cni_list_unref(list);
	}
}

static void lists_that_are_none(void **state)
{
	static const struct {
		const char *text;
		enum error_code code;
		const char *part;
	} rows[] = {
		{ "", ERR_INVALID, "not JSON" },
		{ "[]", ERR_INVALID, "not a JSON object" },
		{ "{}", ERR_INVALID, "name ''" },
		{ "{\"name\":\"-n\",\"type\":\"t\"}", ERR_INVALID, "name '-n'" },
		{ "{\"name\":\"../n\",\"type\":\"t\"}", ERR_INVALID, "name '../n'" },
		{ "{\"name\":\"n\"}", ERR_INVALID, "has no plugins" },
		{ "{\"name\":\"n\",\"plugins\":{}}", ERR_INVALID, "has no plugins" },
		{ "{\"name\":\"n\",\"plugins\":[{\"type\":\"t\"},7]}", ERR_INVALID, "plugin 2 has no type" },
		{ "{\"name\":\"n\",\"plugins\":[{\"type\":\"..\"}]}", ERR_INVALID, "is a path" },
		{ "{\"name\":\"n\",\"plugins\":[{\"type\":\"/bin/sh\"}]}", ERR_INVALID, "is a path" },
		{ "{\"name\":\"n\",\"cniVersion\":\"1.2\",\"type\":\"t\"}", ERR_UNIMPLEMENTED, "CNI version '1.2'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cni_list *list;
		struct error err = ERROR_INIT;

		assert_int_equal(cni_list_parse(rows[i].text, strlen(rows[i].text), "/f.conflist", &list, &err), -1);
		assert_int_equal(err.code, rows[i].code);
		assert_non_null(strstr(err.text, rows[i].part));
		assert_non_null(strstr(err.text, "/f.conflist: "));
	}
}

static void too_many_plugins(void **state)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(65536);
	struct cni_list *list;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(buffer_append_str(&text, "{\"name\":\"n\",\"plugins\":[{\"type\":\"t\"}", &err), 0);
	for (int i = 0; i < CNI_MAX_PLUGINS; i++)
		assert_int_equal(buffer_append_str(&text, ",{\"type\":\"t\"}", &err), 0);
	assert_int_equal(buffer_append_str(&text, "]}", &err), 0);
	assert_int_equal(cni_list_parse(text.data, text.len, "", &list, &err), -1);
	assert_int_equal(err.code, ERR_EXHAUSTED);
}

static void the_first_file_counts(void **state)
{
	const struct place *p = *state;
	struct cni_list *list;
	struct error err = ERROR_INIT;

	assert_int_equal(cni_list_load("/no/such/directory", &list, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	put_script(p, "00-ignored.txt", "x");
	put_script(p, "20.conflist", "{\"name\":\"late\",\"plugins\":[{\"type\":\"t\"}]}");
	assert_int_equal(mkdirat(p->fd, "05.conf", 0700), 0);
	put_script(p, "10.json", "{\"name\":\"early\",\"type\":\"t\"}");
	assert_int_equal(cni_list_load(p->dir, &list, &err), 0);
	assert_string_equal(list->name, "early");
	assert_non_null(strstr(list->path, "/10.json"));
	cni_list_unref(list);
}

static void plugins_of_the_networks_own_directory(void **state)
{
	static const char *const texts[] = {
		"{\"name\":\"n\",\"cniVersion\":\"1.1.0\",\"plugins\":[{\"type\":\"a\"}]}",
		"{\"name\":\"n\",\"cniVersion\":\"1.1.0\"}",
		"{\"name\":\"n\",\"cniVersion\":\"1.1.0\",\"loadOnlyInlinedPlugins\":true,\"plugins\":[{\"type\":\"a\"}]}",
	};
	static const size_t expected[] = { 3, 2, 1 };
	const struct place *p = *state;

	assert_int_equal(mkdirat(p->fd, "n", 0700), 0);
	put_script(p, "n/2.conf", "{\"type\":\"c\"}");
	put_script(p, "n/1.conf", "{\"type\":\"b\"}");
	put_script(p, "n/3.conflist", "{\"type\":\"not this\"}");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct cni_list *list;
		struct error err = ERROR_INIT;

		put_script(p, "n.conflist", texts[i]);
		if (cni_list_load(p->dir, &list, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(list->n_plugins, expected[i]);
		assert_string_equal(list->plugins[expected[i] - 1].type, expected[i] == 1 ? "a" : "c");
		cni_list_unref(list);
	}
}

/* ---- results ---- */

static void addresses_of_results(void **state)
{
	static const struct {
		const char *text;
		enum cni_version version;
		const char *first, *second;
	} rows[] = {
		{ "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.1.2.3/24\"},\"ip6\":{\"ip\":\"fd00::3/64\"}}", CNI_0_2_0,
		  "10.1.2.3", "fd00::3" },
		{ "{\"ips\":[{\"version\":\"4\",\"address\":\"10.1.2.3/24\"}]}", CNI_0_3_1, "10.1.2.3", NULL },
		{ "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"br0\"},{\"name\":\"eth0\",\"sandbox\":\"/ns\"}],\"ips\":["
		  "{\"address\":\"10.0.0.1/8\",\"interface\":0},{\"address\":\"fd00::9/64\",\"interface\":1}]}",
		  CNI_1_0_0, "fd00::9", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		_cleanup_json_ cJSON *json = NULL;
		struct net_result result;
		struct error err = ERROR_INIT;

		assert_int_equal(cni_result_parse(rows[i].text, strlen(rows[i].text), rows[i].version, &json, &err), 0);
		if (cni_result_read(json, "eth0", &result, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_string_equal(result.interface, "eth0");
		assert_int_equal(result.n_addresses, rows[i].second ? 2 : 1);
		assert_string_equal(result.addresses[0], rows[i].first);
		if (rows[i].second)
			assert_string_equal(result.addresses[1], rows[i].second);
	}
}

static void results_are_rewritten_between_versions(void **state)
{
	static const char old[] = "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"6\",\"address\":\"fd00::1/64\"}]}";
	static const char recent[] =
		"{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"fd00::1/64\"},{\"address\":\"10.0.0.1/8\"}]}";
	_cleanup_json_ cJSON *up = NULL, *down = NULL;
	const cJSON *ips;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(cni_result_parse(old, sizeof(old) - 1, CNI_1_0_0, &up, &err), 0);
	ips = cJSON_GetObjectItem(up, "ips");
	assert_null(json_string(ips->child, "version"));
	assert_string_equal(json_string(up, "cniVersion"), "1.0.0");
	assert_int_equal(cni_result_parse(recent, sizeof(recent) - 1, CNI_0_3_1, &down, &err), 0);
	ips = cJSON_GetObjectItem(down, "ips");
	assert_string_equal(json_string(ips->child, "version"), "6");
	assert_string_equal(json_string(ips->child->next, "version"), "4");
}

/* ---- arguments ---- */

static void names_that_would_add_a_pair(void **state)
{
	struct net_request request = { .pod_id = "id", .name = "a;K8S_POD_NAMESPACE=kube-system" };
	struct error err = ERROR_INIT;
	char *text;

	(void)state;
	assert_int_equal(cni_args_text(&request, &text, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, "K8S_POD_NAME"));
	request.name = "plain";
	assert_int_equal(cni_args_text(&request, &text, &err), 0);
	assert_string_equal(text, "IgnoreUnknown=1;K8S_POD_NAME=plain;K8S_POD_INFRA_CONTAINER_ID=id");
	free(text);
}

static void a_pod_without_wishes_has_no_capabilities(void **state)
{
	const struct port_mapping unpublished = { .container_port = 80 };
	const struct net_request request = { .ports = &unpublished, .n_ports = 1 };
	_cleanup_json_ cJSON *json = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(cni_args_capabilities(&request, &json, &err), 0);
	assert_null(json->child);
}

/* ---- execution ---- */

static void a_plugin_that_hangs_dies_with_its_children(void **state)
{
	const struct place *p = *state;
	struct cni_list *list = list_of("{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"type\":\"hang\"}");
	struct cni_call call = call_in(p, 300);
	struct timespec while_later = { .tv_sec = 1, .tv_nsec = 300000000 };
	_cleanup_json_ cJSON *result = NULL;
	struct error err = ERROR_INIT;
	struct stat st;

	put_script(p, "hang", "#!/bin/sh\n(sleep 1; touch \"${0%/*}/late\") &\necho stuck in the mud >&2; sleep 100\n");
	assert_int_equal(cni_chain_add(list, &call, &result, &err), -1);
	assert_int_equal(err.code, ERR_DEADLINE);
	assert_non_null(strstr(err.text, "plugin hang, ADD: timed out"));
	assert_non_null(strstr(err.text, "stuck in the mud"));
	(void)nanosleep(&while_later, NULL);
	assert_int_equal(fstatat(p->fd, "late", &st, 0), -1);
	cni_list_unref(list);
}

static void a_detach_that_hangs_leaves_the_others_their_time(void **state)
{
	const struct place *p = *state;
	struct cni_list *list =
		list_of("{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"free\"},{\"type\":\"mud\"}]}");
	struct cni_call call = call_in(p, 1000);
	struct error err = ERROR_INIT;
	struct stat st;

	put_script(p, "mud", "#!/bin/sh\nsleep 100\n");
	put_script(p, "free", "#!/bin/sh\n: >\"${0%/*}/freed\"\n");
	assert_int_equal(cni_chain_del(list, &call, NULL, &err), -1);
	assert_int_equal(err.code, ERR_DEADLINE);
	assert_int_equal(fstatat(p->fd, "freed", &st, 0), 0);
	cni_list_unref(list);
}

static void a_record_that_nobody_could_read_is_not_written(void **state)
{
	static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	const struct place *p = *state;
	char empty[] = "";
	struct cni_record record = {
		.list = list_of("{\"name\":\"n\",\"type\":\"t\"}"), .interface = empty, .netns_path = empty, .args = empty
	};
	struct error err = ERROR_INIT;

	record.result = cJSON_CreateArray();
	for (int i = 0; i < 250000; i++)
		assert_true(cJSON_AddItemToArray(record.result, cJSON_CreateNull()));
	assert_int_equal(cni_record_write(p->fd, id, &record, &err), -1);
	assert_int_equal(err.code, ERR_EXHAUSTED);
	cJSON_Delete(record.result);
	cni_list_unref(record.list);
}

static void the_time_of_a_chain_is_one(void **state)
{
	const struct place *p = *state;
	struct cni_list *list =
		list_of("{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"slow\"},{\"type\":\"slow\"}]}");
	struct cni_call call = call_in(p, 600);
	_cleanup_json_ cJSON *result = NULL;
	int64_t began_us = clock_monotonic_us();
	struct error err = ERROR_INIT;

	put_script(p, "slow", "#!/bin/sh\nsleep 0.4\necho '{\"cniVersion\":\"1.0.0\"}'\n");
	assert_int_equal(cni_chain_add(list, &call, &result, &err), -1);
	assert_int_equal(err.code, ERR_DEADLINE);
	assert_true(clock_monotonic_us() - began_us >= 600000);
	cni_list_unref(list);
}

static void the_environment_is_ours_without_what_is_about_us(void **state)
{
	const struct place *p = *state;
	struct cni_list *list = list_of("{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"type\":\"env\"}");
	struct cni_call call = call_in(p, 5000);
	_cleanup_buffer_ struct buffer text = BUFFER_INIT(65536);
	struct error err = ERROR_INIT;

	(void)setenv("CNI_IFNAME", "from-outside", 1);
	(void)setenv("NOTIFY_SOCKET", "/secret", 1);
	(void)setenv("PROXY_OF_TEST", "yes", 1);
	put_script(p, "env", "#!/bin/sh\nenv >\"${0%/*}/seen\"\n");
	call.command = "DEL";
	assert_int_equal(cni_plugin_run(list, 0, &call, NULL, NULL, &err), 0);
	assert_int_equal(io_read_file(p->fd, "seen", &text, &err), 0);
	assert_non_null(strstr(text.data, "CNI_COMMAND=DEL\n"));
	assert_non_null(strstr(text.data, "CNI_IFNAME=eth0\n"));
	assert_null(strstr(text.data, "from-outside"));
	assert_null(strstr(text.data, "NOTIFY_SOCKET"));
	assert_non_null(strstr(text.data, "PROXY_OF_TEST=yes\n"));
	assert_non_null(strstr(text.data, "PATH="));
	(void)unsetenv("CNI_IFNAME");
	(void)unsetenv("NOTIFY_SOCKET");
	cni_list_unref(list);
}

static void commands_that_a_version_lacks_are_not_given(void **state)
{
	static const struct {
		const char *version;
		bool check, status;
	} rows[] = { { "0.3.1", false, false }, { "0.4.0", true, false }, { "1.0.0", true, false }, { "1.1.0", true, true } };
	const struct place *p = *state;

	put_script(p, "no", "#!/bin/sh\nexit 1\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cni_call call = call_in(p, 5000);
		struct cni_list *list;
		struct error err = ERROR_INIT;
		char text[128];

		(void)snprintf(text, sizeof(text), "{\"name\":\"n\",\"cniVersion\":\"%s\",\"type\":\"no\"}", rows[i].version);
		list = list_of(text);
		assert_int_equal(cni_chain_check(list, &call, NULL, &err), rows[i].check ? -1 : 0);
		assert_int_equal(cni_chain_status(list, &call, &err), rows[i].status ? -1 : 0);
		assert_int_equal(cni_chain_gc(list, &call, &err), rows[i].status ? -1 : 0);
		assert_int_equal(cni_chain_del(list, &call, NULL, &err), -1);
		cni_list_unref(list);
	}
}

/* ---- records ---- */

static void a_record_comes_back_as_it_was(void **state)
{
	static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	const struct place *p = *state;
	struct cni_list *list =
		list_of("{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"t\",\"odd\":\"\\u00fc\\n\"}]}");
	char interface[] = "eth0", path[] = "/ns", args[] = "A=b";
	struct cni_record record = { .list = list, .interface = interface, .netns_path = path, .args = args };
	_cleanup_cni_record_ struct cni_record back = { 0 };
	_cleanup_strv_ char **ids = NULL;
	struct error err = ERROR_INIT;

	put_script(p, "not-an-id", "x");
	assert_int_equal(cni_record_write(p->fd, id, &record, &err), 0);
	assert_int_equal(cni_record_list(p->fd, &ids, &err), 0);
	assert_int_equal(strv_count(ids), 1);
	assert_string_equal(ids[0], id);
	assert_int_equal(cni_record_read(p->fd, id, &back, &err), 0);
	assert_string_equal(back.interface, "eth0");
	assert_string_equal(back.netns_path, "/ns");
	assert_string_equal(back.args, "A=b");
	assert_null(back.result);
	assert_true(cJSON_Compare(back.list->json, list->json, true));
	assert_int_equal(cni_record_remove(p->fd, id, &err), 0);
	assert_int_equal(cni_record_remove(p->fd, id, &err), 0);
	assert_int_equal(cni_record_read(p->fd, id, &back, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	cni_list_unref(list);
}

#define cni_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_and_flags_of_a_list),
		cmocka_unit_test(lists_that_are_none),
		cmocka_unit_test(too_many_plugins),
		cni_test(the_first_file_counts),
		cni_test(plugins_of_the_networks_own_directory),
		cmocka_unit_test(addresses_of_results),
		cmocka_unit_test(results_are_rewritten_between_versions),
		cmocka_unit_test(names_that_would_add_a_pair),
		cmocka_unit_test(a_pod_without_wishes_has_no_capabilities),
		cni_test(a_plugin_that_hangs_dies_with_its_children),
		cni_test(a_detach_that_hangs_leaves_the_others_their_time),
		cni_test(a_record_that_nobody_could_read_is_not_written),
		cni_test(the_time_of_a_chain_is_one),
		cni_test(the_environment_is_ours_without_what_is_about_us),
		cni_test(commands_that_a_version_lacks_are_not_given),
		cni_test(a_record_comes_back_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
