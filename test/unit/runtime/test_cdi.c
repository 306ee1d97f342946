#include "expect.h"

#include "base/arena.h"
#include "runtime/cdi.h"
#include "runtime/cdi_file.h"

#define SPEC(version, rest) "{\"cdiVersion\":\"" version "\",\"kind\":\"vendor.com/gpu\"," rest "}"
#define DEVICE(edits) "\"devices\":[{\"name\":\"a\",\"containerEdits\":" edits "}]"
#define FULL                                                                                                                       \
	SPEC("0.7.0",                                                                                                              \
	     DEVICE("{\"env\":[\"A=1\"],\"deviceNodes\":[{\"path\":\"/dev/x\",\"hostPath\":\"/dev/null\",\"type\":\"c\","          \
		    "\"major\":1,\"minor\":3,\"fileMode\":438,\"permissions\":\"rw\",\"uid\":5,\"gid\":6}],"                       \
		    "\"mounts\":[{\"hostPath\":\"/tmp\",\"containerPath\":\"/m\",\"options\":[\"ro\"],\"type\":\"bind\"}],"        \
		    "\"hooks\":[{\"hookName\":\"createContainer\",\"path\":\"/bin/x\",\"args\":[\"x\",\"y\"],\"env\":[\"B=2\"],"   \
		    "\"timeout\":7}],\"additionalGids\":[44,0]}"))

static const char full_yaml[] = "---\n"
				"cdiVersion: 0.7.0\n"
				"kind: vendor.com/gpu\n"
				"devices:\n"
				"- name: a\n"
				"  containerEdits:\n"
				"    env: [A=1]\n"
				"    deviceNodes:\n"
				"    - path: /dev/x\n"
				"      hostPath: \"/dev/null\"\n"
				"      type: c\n"
				"      major: 1\n"
				"      minor: 0x3\n"
				"      fileMode: 0666\n"
				"      permissions: rw\n"
				"      uid: 5\n"
				"      gid: 6\n"
				"    mounts:\n"
				"    - {hostPath: /tmp, containerPath: /m, options: [ro], type: bind}\n"
				"    hooks:\n"
				"    - hookName: createContainer\n"
				"      path: /bin/x\n"
				"      args:\n"
				"      - x\n"
				"      - y\n"
				"      env: [B=2]\n"
				"      timeout: 7\n"
				"    additionalGids: [44, 0]\n"
				"containerEdits: ~\n";

static void check_full(const struct cdi_edits *e)
{
	assert_int_equal(e->n_env, 1);
	assert_string_equal(e->env[0], "A=1");
	assert_int_equal(e->n_nodes, 1);
	assert_string_equal(e->nodes[0].path, "/dev/x");
	assert_string_equal(e->nodes[0].host_path, "/dev/null");
	assert_string_equal(e->nodes[0].access, "rw");
	assert_int_equal(e->nodes[0].type, 'c');
	assert_int_equal(e->nodes[0].major, 1);
	assert_int_equal(e->nodes[0].minor, 3);
	assert_true(e->nodes[0].has_mode && e->nodes[0].has_uid && e->nodes[0].has_gid);
	assert_int_equal(e->nodes[0].mode, 0666);
	assert_int_equal(e->nodes[0].uid, 5);
	assert_int_equal(e->nodes[0].gid, 6);
	assert_int_equal(e->n_mounts, 1);
	assert_string_equal(e->mounts[0].host_path, "/tmp");
	assert_string_equal(e->mounts[0].container_path, "/m");
	assert_string_equal(e->mounts[0].type, "bind");
	assert_string_equal(e->mounts[0].options[0], "ro");
	assert_null(e->mounts[0].options[1]);
	assert_int_equal(e->n_hooks, 1);
	assert_int_equal(e->hooks[0].moment, CDI_CREATE_CONTAINER);
	assert_string_equal(e->hooks[0].args[1], "y");
	assert_string_equal(e->hooks[0].env[0], "B=2");
	assert_int_equal(e->hooks[0].timeout_s, 7);
	assert_int_equal(e->n_gids, 1); /* never root's group */
	assert_int_equal(e->gids[0], 44);
}

static void json_and_yaml_say_the_same(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct cdi_edits edits;

	(void)state;
	expect_ok(cdi_read_all(FULL, strlen(FULL), false, &arena, &edits, &err));
	check_full(&edits);
	expect_ok(cdi_read_all(FULL, strlen(FULL), true, &arena, &edits, &err)); /* JSON is YAML */
	check_full(&edits);
	expect_ok(cdi_read_all(full_yaml, strlen(full_yaml), true, &arena, &edits, &err));
	check_full(&edits);
}

/* What an unquoted word is depends on where it stands. */
static void plain_words_of_yaml(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const char *text = "cdiVersion: v0.5.0\nkind: v.com/c\ndevices: [{name: 0, containerEdits: {env: [X=null]}},\n"
			   " {name: 1.5, containerEdits: {env: [\"Y=\"]}}]\n";
	struct cdi_edits edits;

	(void)state;
	expect_ok(cdi_read_all(text, strlen(text), true, &arena, &edits, &err));
	assert_int_equal(edits.n_env, 2);
	assert_string_equal(edits.env[0], "X=null");
}

#define ENV "{\"env\":[\"A=1\"]}"

static void refusals(void **state)
{
	static const struct {
		bool yaml;
		const char *text, *says;
	} rows[] = {
		{ false, "{\"cdiVersion\":\n}", "line 2, column 1: not JSON" },
		{ false, "[]", "not a JSON object" },
		{ true, "", "the file is empty" },
		{ true, "a: [\n", "not YAML" },
		{ true, "a: &x 1\nb: *x\n", "line 2, column 4: aliases" },
		{ true, "a: 1\n---\nb: 1\n", "more than one document" },
		{ true, "? [a]\n: b\n", "the name of a member" },
		{ true, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
		  "nested too deeply" },
		{ true, "kind: v.com/c\nkind: v.com/d\n", "member kind stands there twice" },
		{ false, SPEC("0.7.0", "\"devices\":[]"), "devices: none" },
		{ false, SPEC("9.9.9", DEVICE(ENV)), "cdiVersion: '9.9.9' is no released version" },
		{ false, SPEC("0.7.0", DEVICE("{}")), "devices[0]: containerEdits: empty" },
		{ false, SPEC("0.7.0", DEVICE(ENV) ",\"extra\":1"), "unknown member 'extra'" },
		{ false, SPEC("0.7.0", DEVICE("{\"envs\":[]}")), "devices[0]: containerEdits: unknown member 'envs'" },
		{ false, SPEC("0.7.0", DEVICE("{\"env\":[\"=x\"]}")), "env[0]: '=x' is not NAME=VALUE" },
		{ false, SPEC("0.7.0", "\"devices\":[{\"name\":\"-a\",\"containerEdits\":" ENV "}]"), "devices[0]: name: '-a'" },
		{ false,
		  SPEC("0.7.0",
		       "\"devices\":[{\"name\":\"a\",\"containerEdits\":" ENV "},{\"name\":\"a\",\"containerEdits\":" ENV "}]"),
		  "devices[1]: name: a second device a" },
		{ false, "{\"cdiVersion\":\"0.7.0\",\"kind\":\"1v/c\"," DEVICE(ENV) "}", "kind: '1v/c' is not VENDOR/CLASS" },
		{ false, SPEC("0.7.0", DEVICE("{\"deviceNodes\":[{\"path\":\"dev/x\"}]}")),
		  "deviceNodes[0]: path: 'dev/x' is not absolute" },
		{ false, SPEC("0.7.0", DEVICE("{\"deviceNodes\":[{}]}")), "deviceNodes[0]: path: missing" },
		{ false, SPEC("0.7.0", DEVICE("{\"deviceNodes\":[{\"path\":\"/x\",\"type\":\"z\"}]}")), "type: 'z' is none of" },
		{ false, SPEC("0.7.0", DEVICE("{\"deviceNodes\":[{\"path\":\"/x\",\"major\":-1}]}")), "major: not a whole number" },
		{ false, SPEC("0.7.0", DEVICE("{\"deviceNodes\":[{\"path\":\"/x\",\"permissions\":\"rx\"}]}")),
		  "permissions: 'rx'" },
		{ false, SPEC("0.7.0", DEVICE("{\"mounts\":[{\"hostPath\":\"/x\"}]}")), "mounts[0]: containerPath: missing" },
		{ false, SPEC("0.7.0", DEVICE("{\"hooks\":[{\"hookName\":\"x\",\"path\":\"/x\"}]}")),
		  "hooks[0]: hookName: unknown" },
		{ false, SPEC("0.7.0", DEVICE("{\"additionalGids\":[-1]}")), "additionalGids: not a list of group ids" },
		/* what came with a later version */
		{ false, SPEC("0.6.0", DEVICE("{\"additionalGids\":[7]}")), "needs 0.7.0" },
		{ false, SPEC("0.5.0", DEVICE(ENV) ",\"annotations\":{\"a\":\"b\"}"), "needs 0.6.0" },
		{ false, "{\"cdiVersion\":\"0.5.0\",\"kind\":\"v/c.d\"," DEVICE(ENV) "}", "needs 0.6.0" },
		{ false, SPEC("0.4.0", "\"devices\":[{\"name\":\"0\",\"containerEdits\":" ENV "}]"), "needs 0.5.0" },
		{ false, SPEC("0.4.0", DEVICE("{\"deviceNodes\":[{\"path\":\"/x\",\"hostPath\":\"/y\"}]}")), "needs 0.5.0" },
		{ false, SPEC("0.3.0", DEVICE("{\"mounts\":[{\"hostPath\":\"/\",\"containerPath\":\"/m\",\"type\":\"bind\"}]}")),
		  "needs 0.4.0" },
		{ false, SPEC("1.0.0", DEVICE("{\"netDevices\":[{\"hostInterfaceName\":\"a\",\"name\":\"b\"}]}")), "needs 1.1.0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT;
		struct cdi_edits edits;
		struct error err = ERROR_INIT;

		assert_int_equal(cdi_read_all(rows[i].text, strlen(rows[i].text), rows[i].yaml, &arena, &edits, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		if (!strstr(err.text, rows[i].says))
			fail_msg("'%s' does not say '%s'", err.text, rows[i].says);
	}
}

static void qualified_names(void **state)
{
	(void)state;
	assert_true(cdi_is_qualified("vendor.com/gpu=0"));
	assert_true(cdi_is_qualified("v/c=a:b_c.d-e"));
	assert_false(cdi_is_qualified("/dev/null"));
	assert_false(cdi_is_qualified("v/c"));
	assert_false(cdi_is_qualified("v/c="));
	assert_false(cdi_is_qualified("v/c=a-"));
	assert_false(cdi_is_qualified("v-/c=a"));
	assert_false(cdi_is_qualified("1/c=a"));
	assert_false(cdi_is_qualified("v=a"));
}

/* ---- directories ---- */

static void write_spec(void **state, const char *name, const char *env)
{
	char text[512];
	FILE *file = fopen(in_place(state, name), "w");

	assert_non_null(file);
	(void)snprintf(text, sizeof(text),
		       SPEC("0.7.0", "\"containerEdits\":{\"env\":[\"SPEC=%s\"]},\"devices\":[{\"name\":\"a\",\"containerEdits\":{"
				     "\"env\":[\"DEVICE=%s\"]}},{\"name\":\"b\",\"containerEdits\":{\"env\":[\"OTHER=%s\"]}}]"),
		       env, env, env);
	(void)fputs(text, file);
	(void)fclose(file);
}

static void resolve(void **state, char *const *names, size_t n, const char *wanted)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct cdi_edits edits;
	char dirs[256], text[256] = "";

	(void)snprintf(dirs, sizeof(dirs), "%s,%s", in_place(state, "etc"), in_place(state, "run"));
	expect_ok(cdi_resolve(dirs, names, n, &arena, &edits, &err));
	for (size_t i = 0; i < edits.n_env; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", edits.env[i]);
	assert_string_equal(text, wanted);
}

static void directories_in_their_order(void **state)
{
	char a[] = "vendor.com/gpu=a", b[] = "vendor.com/gpu=b", none[] = "vendor.com/gpu=none";
	char *first[] = { a }, *both[] = { b, a }, *missing[] = { a, none };
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct cdi_edits edits;
	char dirs[256];

	(void)snprintf(dirs, sizeof(dirs), "%s,%s", in_place(state, "etc"), in_place(state, "run"));
	expect_error(cdi_resolve(dirs, first, 1, &arena, &edits, &err), ERR_NOT_FOUND, "vendor.com/gpu=a");
	assert_int_equal(mkdir(in_place(state, "etc"), 0700), 0);
	assert_int_equal(mkdir(in_place(state, "run"), 0700), 0);
	write_spec(state, "etc/v.json", "etc");
	resolve(state, first, 1, "SPEC=etc DEVICE=etc ");
	resolve(state, both, 2, "SPEC=etc OTHER=etc DEVICE=etc "); /* the Spec's own edits once */
	expect_error(cdi_resolve(dirs, missing, 2, &arena, &edits, &err), ERR_NOT_FOUND, "vendor.com/gpu=none");
	write_spec(state, "run/v.yaml", "run1");
	resolve(state, first, 1, "SPEC=run1 DEVICE=run1 ");
	write_spec(state, "run/v.yaml", "run-two"); /* in place: the directory does not change */
	resolve(state, first, 1, "SPEC=run-two DEVICE=run-two ");
	write_spec(state, "run/w.json", "conflict");
	expect_error(cdi_resolve(dirs, first, 1, &arena, &edits, &err), ERR_STATE, "run/w.json");
	assert_int_equal(unlink(in_place(state, "run/w.json")), 0);
	assert_int_equal(unlink(in_place(state, "run/v.yaml")), 0);
	resolve(state, first, 1, "SPEC=etc DEVICE=etc ");
}

/* A Spec that is wrong does not take others along, and is named when a device is missing. */
static void bad_files_are_named(void **state)
{
	char a[] = "vendor.com/gpu=a", c[] = "vendor.com/gpu=c";
	char *good[] = { a }, *bad[] = { c };
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct cdi_edits edits;
	char dirs[256];
	FILE *file;

	(void)snprintf(dirs, sizeof(dirs), "%s,%s", in_place(state, "etc"), in_place(state, "run"));
	assert_int_equal(mkdir(in_place(state, "etc"), 0700), 0);
	write_spec(state, "etc/v.json", "x");
	file = fopen(in_place(state, "etc/bad.json"), "w");
	(void)fputs("{\"cdiVersion\":\"0.7.0\",\"kind\":\"vendor.com/gpu\",\"devices\":[{\"name\":\"c\"}]}", file);
	(void)fclose(file);
	assert_int_equal(mkfifo(in_place(state, "etc/fifo.json"), 0600), 0); /* nobody writes: reading would hang */
	resolve(state, good, 1, "SPEC=x DEVICE=x ");
	expect_error(cdi_resolve(dirs, bad, 1, &arena, &edits, &err), ERR_NOT_FOUND,
		     "etc/bad.json: devices[0]: containerEdits: empty");
}

static void what_is_not_built_is_refused_by_name(void **state)
{
	char a[] = "vendor.com/gpu=a";
	char *names[] = { a };
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct cdi_edits edits;
	FILE *file;

	assert_int_equal(mkdir(in_place(state, "etc"), 0700), 0);
	file = fopen(in_place(state, "etc/r.json"), "w");
	(void)fputs(SPEC("1.1.0", DEVICE("{\"intelRdt\":{\"closID\":\"x\"}}")), file);
	(void)fclose(file);
	expect_error(cdi_resolve(in_place(state, "etc"), names, 1, &arena, &edits, &err), ERR_UNIMPLEMENTED,
		     "containerEdits.intelRdt");
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_and_yaml_say_the_same),
		cmocka_unit_test(plain_words_of_yaml),
		cmocka_unit_test(refusals),
		cmocka_unit_test(qualified_names),
		IN_PLACE(directories_in_their_order),
		IN_PLACE(bad_files_are_named),
		IN_PLACE(what_is_not_built_is_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
