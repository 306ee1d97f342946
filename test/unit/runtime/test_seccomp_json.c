#include "seccomp_reference.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "runtime/caps.h"
#include "runtime/seccomp_json.h"

#define BIT(cap) (UINT64_C(1) << (cap))
#define DENY (SECCOMP_RET_ERRNO | EPERM)
#define NO_SUCH_CALL (SECCOMP_RET_ERRNO | ENOSYS)

static const struct seccomp_subject nobody = { .kernel_major = 6, .kernel_minor = 1 };

/* Parses and compiles for the subject; every filter is also compared with the library's. */
static size_t compile(const char *text, const struct seccomp_subject *subject, struct sock_filter insns[SECCOMP_INSNS_MAX])
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	struct error err = ERROR_INIT;
	cJSON *json = seccomp_json_parse(text, strlen(text), &err);
	struct seccomp_policy policy;
	struct seccomp_filter filter = { .insns = insns };
	uint64_t relevant;
	int n;

	if (!json)
		fail_msg("%s", err.text);
	if (seccomp_json_policy(json, subject, &arena, &policy, &relevant, &err) < 0)
		fail_msg("%s", err.text);
	n = seccomp_build(&policy, insns, &err);
	if (n < 0)
		fail_msg("%s", err.text);
	filter.n_insns = (unsigned short)n;
	compare_policy(&policy, &filter);
	cJSON_Delete(json);
	return (size_t)n;
}

static uint32_t ask_as(const char *text, const struct seccomp_subject *subject, long nr, uint64_t a0, uint64_t a1)
{
	static struct sock_filter insns[SECCOMP_INSNS_MAX];
	struct seccomp_data data = { .nr = (int)nr, .arch = seccomp_ranges[0].audit_arch, .args = { a0, a1 } };

	return run_filter(insns, compile(text, subject, insns), &data);
}

static uint32_t ask(const char *text, long nr, uint64_t a0)
{
	return ask_as(text, &nobody, nr, a0, 0);
}

#define RULES(rules) "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[" rules "]}"

static void actions(void **state)
{
	static const struct {
		const char *words;
		uint32_t action;
	} rows[] = {
		{ "\"action\":\"SCMP_ACT_ALLOW\"", SECCOMP_RET_ALLOW },
		{ "\"action\":\"SCMP_ACT_KILL\"", SECCOMP_RET_KILL_THREAD },
		{ "\"action\":\"SCMP_ACT_KILL_THREAD\"", SECCOMP_RET_KILL_THREAD },
		{ "\"action\":\"SCMP_ACT_KILL_PROCESS\"", SECCOMP_RET_KILL_PROCESS },
		{ "\"action\":\"SCMP_ACT_TRAP\"", SECCOMP_RET_TRAP },
		{ "\"action\":\"SCMP_ACT_LOG\"", SECCOMP_RET_LOG },
		{ "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38", NO_SUCH_CALL },
		{ "\"action\":\"SCMP_ACT_ERRNO\",\"errno\":\"ENOSYS\"", NO_SUCH_CALL },
		{ "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38,\"errno\":\"ENOSYS\"", NO_SUCH_CALL },
		{ "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":0", SECCOMP_RET_ERRNO },
		{ "\"action\":\"SCMP_ACT_TRACE\",\"errnoRet\":7", SECCOMP_RET_TRACE | 7 },
		{ "\"action\":\"SCMP_ACT_ERRNO\"", DENY },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		(void)snprintf(text, sizeof(text), RULES("{\"names\":[\"getpid\"],%s}"), rows[i].words);
		assert_int_equal(ask(text, SYS_getpid, 0), rows[i].action);
		(void)snprintf(text, sizeof(text), RULES("{\"name\":\"getpid\",%s}"), rows[i].words);
		assert_int_equal(ask(text, SYS_getpid, 0), rows[i].action);
		assert_int_equal(ask(text, SYS_gettid, 0), NO_SUCH_CALL); /* newer than what the profile names */
		assert_int_equal(ask(text, SYS_read, 0), DENY);
	}
}

static void defaults(void **state)
{
	(void)state;
	assert_int_equal(ask("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", 100000, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask("{\"defaultAction\":\"SCMP_ACT_LOG\",\"syscalls\":null}", SYS_read, 0), SECCOMP_RET_LOG);
	assert_int_equal(ask("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":13,\"syscalls\":[{\"names\":[\"mseal\"],"
			     "\"action\":\"SCMP_ACT_ALLOW\"}]}",
			     SYS_read, 0),
			 SECCOMP_RET_ERRNO | EACCES);
	assert_int_equal(ask("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrno\":\"ENOSYS\",\"syscalls\":[]}", SYS_read, 0),
			 NO_SUCH_CALL);
	/* A rule that says what the default says is none: the conditional one decides. */
	assert_int_equal(ask(RULES("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\"},{\"names\":[\"read\"],\"action\":"
				   "\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":5,\"op\":\"SCMP_CMP_EQ\"}]}"),
			     SYS_read, 5),
			 SECCOMP_RET_ALLOW);
}

/* Each operator on both halves of an argument, around the value. */
static void operators(void **state)
{
	static const struct {
		const char *op;
		bool below, equal, above;
	} rows[] = {
		{ "NE", true, false, true },  { "LT", true, false, false }, { "LE", true, true, false },
		{ "EQ", false, true, false }, { "GE", false, true, true },  { "GT", false, false, true },
	};
	static const uint64_t values[] = { 7, 0x100000000, 0x500000007, 0xffffffff };
	char text[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(values); j++) {
			(void)snprintf(text, sizeof(text),
				       RULES("{\"names\":[\"write\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,"
					     "\"value\":%llu,\"op\":\"SCMP_CMP_%s\"}]}"),
				       (unsigned long long)values[j], rows[i].op);
			assert_int_equal(ask(text, SYS_write, values[j] - 1), rows[i].below ? SECCOMP_RET_ALLOW : DENY);
			assert_int_equal(ask(text, SYS_write, values[j]), rows[i].equal ? SECCOMP_RET_ALLOW : DENY);
			assert_int_equal(ask(text, SYS_write, values[j] + 1), rows[i].above ? SECCOMP_RET_ALLOW : DENY);
			assert_int_equal(ask(text, SYS_write, values[j] + (UINT64_C(3) << 33)),
					 rows[i].above ? SECCOMP_RET_ALLOW : DENY);
		}
	}
}

static void conditions_combine(void **state)
{
	const char *both = RULES("{\"names\":[\"write\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":2,\"op\":"
				 "\"SCMP_CMP_EQ\"},{\"index\":1,\"value\":4278190080,\"valueTwo\":16777216,\"op\":"
				 "\"SCMP_CMP_MASKED_EQ\"}]}");
	const char *either = RULES("{\"names\":[\"write\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":2,"
				   "\"op\":\"SCMP_CMP_EQ\"},{\"index\":0,\"value\":9,\"op\":\"SCMP_CMP_GE\"}]}");

	(void)state;
	assert_int_equal(ask_as(both, &nobody, SYS_write, 2, 0x01abcdef), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_as(both, &nobody, SYS_write, 2, 0x02abcdef), DENY);
	assert_int_equal(ask_as(both, &nobody, SYS_write, 3, 0x01abcdef), DENY);
	assert_int_equal(ask_as(either, &nobody, SYS_write, 2, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_as(either, &nobody, SYS_write, 5, 0), DENY);
	assert_int_equal(ask_as(either, &nobody, SYS_write, 77, 0), SECCOMP_RET_ALLOW);
}

#define WHEN(conditions) RULES("{\"names\":[\"mount\",\"mseal\"],\"action\":\"SCMP_ACT_ALLOW\"," conditions "}")

static bool lets_mount(const char *text, uint64_t caps, unsigned major, unsigned minor)
{
	const struct seccomp_subject subject = { caps, major, minor };

	return ask_as(text, &subject, SYS_mount, 0, 0) == SECCOMP_RET_ALLOW;
}

static void included_and_excluded(void **state)
{
	const char *two = WHEN("\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_BPF\"]}");
	const char *without = WHEN("\"includes\":{},\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_OF_THE_FUTURE\"]}");
	const char *kernel = WHEN("\"includes\":{\"minKernel\":\"4.8\"}"), *before = WHEN("\"excludes\":{\"minKernel\":\"4.8\"}");
	const char *future = WHEN("\"includes\":{\"caps\":[\"CAP_OF_THE_FUTURE\"]}");

	(void)state;
	assert_true(lets_mount(two, BIT(CAP_SYS_ADMIN) | BIT(CAP_BPF), 6, 1));
	assert_false(lets_mount(two, BIT(CAP_SYS_ADMIN), 6, 1));
	assert_true(lets_mount(without, BIT(CAP_BPF), 6, 1));
	assert_false(lets_mount(without, BIT(CAP_SYS_ADMIN), 6, 1));
	assert_false(lets_mount(future, ~UINT64_C(0), 6, 1));
	assert_true(lets_mount(kernel, 0, 4, 8));
	assert_true(lets_mount(kernel, 0, 5, 0));
	assert_false(lets_mount(kernel, 0, 4, 7));
	assert_true(lets_mount(before, 0, 4, 7));
	assert_false(lets_mount(before, 0, 4, 8));
#if defined(__x86_64__)
	assert_true(lets_mount(WHEN("\"includes\":{\"arches\":[\"amd64\",\"x32\"]}"), 0, 6, 1));
	assert_false(lets_mount(WHEN("\"includes\":{\"arches\":[\"s390x\"]}"), 0, 6, 1));
	assert_false(lets_mount(WHEN("\"excludes\":{\"arches\":[\"amd64\"]}"), 0, 6, 1));
	assert_true(lets_mount(WHEN("\"excludes\":{\"arches\":[\"s390x\",\"s390\"]}"), 0, 6, 1));
#endif
	/* What is named in a rule for others is known all the same: denied, not absent. */
	assert_int_equal(ask(two, SYS_setns, 0), DENY);
}

/* What is not filtered may not be called at all. */
static void architectures(void **state)
{
#if defined(__x86_64__)
	static struct sock_filter insns[SECCOMP_INSNS_MAX];
	struct seccomp_data data = { .nr = 20 /* getpid */, .arch = AUDIT_ARCH_I386 };
	const char *rule = "\"defaultAction\":\"SCMP_ACT_ALLOW\"";
	char text[512];

	(void)state;
	(void)snprintf(text, sizeof(text), "{%s}", rule);
	assert_int_equal(run_filter(insns, compile(text, &nobody, insns), &data), SECCOMP_RET_KILL_PROCESS);
	(void)snprintf(text, sizeof(text), "{%s,\"architectures\":[\"SCMP_ARCH_X86\",\"SCMP_ARCH_RISCV64\"]}", rule);
	assert_int_equal(run_filter(insns, compile(text, &nobody, insns), &data), SECCOMP_RET_ALLOW);
	(void)snprintf(text, sizeof(text),
		       "{%s,\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\","
		       "\"SCMP_ARCH_X32\"]},{\"architecture\":\"SCMP_ARCH_AARCH64\",\"subArchitectures\":null}]}",
		       rule);
	assert_int_equal(run_filter(insns, compile(text, &nobody, insns), &data), SECCOMP_RET_ALLOW);
	(void)snprintf(text, sizeof(text), "{%s,\"archMap\":[{\"architecture\":\"SCMP_ARCH_AARCH64\"}]}", rule);
	assert_int_equal(run_filter(insns, compile(text, &nobody, insns), &data), SECCOMP_RET_KILL_PROCESS);
#else
	(void)state;
	skip_unless(false, "the architectures of another machine");
#endif
}

static unsigned flags_of(const char *flags)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const struct seccomp_filter *filter;
	char text[256];

	(void)snprintf(text, sizeof(text), "{\"defaultAction\":\"SCMP_ACT_ALLOW\"%s}", flags);
	expect_ok(seccomp_compile(text, strlen(text), 0, &arena, &filter, &err));
	return filter->flags;
}

static void flags(void **state)
{
	(void)state;
	assert_int_equal(flags_of(""), SECCOMP_FILTER_FLAG_SPEC_ALLOW);
	assert_int_equal(flags_of(",\"flags\":[]"), 0);
	assert_int_equal(flags_of(",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\",\"SECCOMP_FILTER_FLAG_TSYNC\"]"),
			 SECCOMP_FILTER_FLAG_LOG);
	assert_int_equal(flags_of(",\"flags\":[\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\"]"), SECCOMP_FILTER_FLAG_SPEC_ALLOW);
}

/* Refused, with the place in front. */
static void refusals(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "line 1, column 1: not JSON" },
		{ "{\"defaultAction\":\n\"SCMP_ACT_ALLOW\",}", "line 2, column 18: not JSON" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}\n}", "line 2, column 1: not JSON" },
		{ "[]", "not a JSON object" },
		{ "{}", "defaultAction: missing" },
		{ "{\"defaultAction\":7}", "defaultAction: missing" },
		{ "{\"defaultAction\":\"ALLOW\"}", "defaultAction: unknown action 'ALLOW'" },
		{ "{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}", "defaultAction: SCMP_ACT_NOTIFY asks for a listener" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":70000}", "defaultErrnoRet: not a whole number" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrno\":\"EWRONG\"}", "defaultErrno: not the name of an errno" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1,\"defaultErrno\":\"ENOSYS\"}", "defaultErrno: " },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/run/x\"}",
		  "listenerPath: listeners are not supported" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_NEW_LISTENER\"]}",
		  "flags: SECCOMP_FILTER_FLAG_NEW_LISTENER is for listeners" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"FAST\"]}", "flags: unknown flag 'FAST'" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_Z80\"]}",
		  "architectures[0]: unknown architecture 'SCMP_ARCH_Z80'" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"archMap\":[{}]}", "archMap[0].architecture: unknown architecture" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"],\"archMap\":[{}]}",
		  "has both architectures and archMap" },
		{ RULES("{\"names\":[\"read\"]}"), "syscalls[0]: action: missing" },
		{ RULES("{\"names\":[],\"action\":\"SCMP_ACT_LOG\"},{\"names\":[\"read\"],\"action\":\"SCMP_ACT_NOTIFY\"}"),
		  "syscalls[1]: action: SCMP_ACT_NOTIFY" },
		{ RULES("{\"action\":\"SCMP_ACT_ALLOW\"}"), "syscalls[0]: needs either names or name" },
		{ RULES("{\"names\":[\"a\"],\"name\":\"b\",\"action\":\"SCMP_ACT_ALLOW\"}"), "syscalls[0]: needs either" },
		{ RULES("{\"names\":[1],\"action\":\"SCMP_ACT_ALLOW\"}"), "syscalls[0]: names: not a list of strings" },
		{ RULES("3"), "syscalls[0]: not an object" },
		{ RULES("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"op\":\"==\"}]}"),
		  "syscalls[0]: args[0]: op: unknown operator '=='" },
		{ RULES("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":6,\"op\":\"SCMP_CMP_EQ\"}]}"),
		  "syscalls[0]: args[0]: index: not a whole number from 0 to 5" },
		{ RULES("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"value\":1e17,\"op\":\"SCMP_CMP_EQ\"}]}"),
		  "syscalls[0]: args[0]: value: not a whole number" },
		{ RULES("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"new\"}}"),
		  "syscalls[0]: includes: minKernel: not a version" },
		{ RULES("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"excludes\":{\"caps\":7}}"),
		  "syscalls[0]: excludes: caps: not a list" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT;
		const struct seccomp_filter *filter;
		struct error err = ERROR_INIT;

		assert_int_equal(seccomp_compile(rows[i].text, strlen(rows[i].text), 0, &arena, &filter, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		if (strncmp(err.text, rows[i].says, strlen(rows[i].says)) != 0)
			fail_msg("'%s' instead of '%s'", err.text, rows[i].says);
	}
}

/* More conditions than a program has instructions for. */
static void too_much_is_refused(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const struct seccomp_filter *filter;
	struct error err = ERROR_INIT;
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	(void)state;
	fprintf(stream, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\","
			"\"args\":[");
	for (int i = 0; i < 1500; i++)
		fprintf(stream, "%s{\"index\":0,\"value\":%d,\"op\":\"SCMP_CMP_EQ\"}", i ? "," : "", i);
	fprintf(stream, "]}]}");
	(void)fclose(stream);
	assert_int_equal(seccomp_compile(text, size, 0, &arena, &filter, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, "more conditions than"));
	free(text);
	err = (struct error)ERROR_INIT;
	text = calloc(1, SECCOMP_PROFILE_MAX + 1);
	assert_null(seccomp_json_parse(text, SECCOMP_PROFILE_MAX + 1, &err));
	assert_non_null(strstr(err.text, "the limit is"));
	free(text);
}

/* One profile of forty conditional calls: jumps over more than 255 instructions, shared decisions. */
static void long_programs(void **state)
{
	static struct sock_filter insns[SECCOMP_INSNS_MAX];
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	(void)state;
	fprintf(stream, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86\"],\"syscalls\":[");
	for (int i = 0; i < 40; i++) {
		/* from truncate(2) on: none of those that i386 has only as subcalls of another */
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, 76 + i);

		fprintf(stream, "%s{\"names\":[\"%s\"],\"action\":\"SCMP_ACT_%s\",\"args\":[", i ? "," : "", name,
			i % 2 ? "ALLOW" : "LOG");
		free(name);
		for (unsigned j = 0; j < 4; j++)
			fprintf(stream, "%s{\"index\":%u,\"value\":%d,\"op\":\"SCMP_CMP_%s\"}", j ? "," : "", j, i + (int)j,
				j % 2 ? "NE" : "LE");
		fprintf(stream, "]}");
	}
	fprintf(stream, "]}");
	(void)fclose(stream);
	assert_true(compile(text, &nobody, insns) > 2 * 255);
	free(text);
}

static void cache(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const char *text = WHEN("\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}");
	const struct seccomp_filter *filter;
	size_t profiles, before, after;
	char other[256];

	(void)state;
	seccomp_cache_stats(&profiles, &before);
	for (int i = 0; i < 5; i++)
		expect_ok(seccomp_compile(text, strlen(text), BIT(CAP_CHOWN) * (unsigned)i, &arena, &filter, &err));
	seccomp_cache_stats(&profiles, &after);
	assert_int_equal(after, before + 1); /* CAP_CHOWN makes no difference */
	expect_ok(seccomp_compile(text, strlen(text), BIT(CAP_SYS_ADMIN), &arena, &filter, &err));
	seccomp_cache_stats(&profiles, &after);
	assert_int_equal(after, before + 2);
	for (int i = 0; i < 200; i++) {
		(void)snprintf(other, sizeof(other), "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"comment\":%d}", i);
		expect_ok(seccomp_compile(other, strlen(other), 0, &arena, &filter, &err));
	}
	seccomp_cache_stats(&profiles, &after);
	assert_int_equal(profiles, 64);
	seccomp_cache_stats(&profiles, &before);
	expect_ok(seccomp_compile(other, strlen(other), 0, &arena, &filter, &err));
	seccomp_cache_stats(&profiles, &after);
	assert_int_equal(after, before);
}

static void *compile_many(void *arg)
{
	char text[128];

	(void)arg;
	for (int i = 0; i < 300; i++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT;
		const struct seccomp_filter *filter;

		(void)snprintf(text, sizeof(text), "{\"defaultAction\":\"SCMP_ACT_LOG\",\"comment\":%d}", i % 97);
		expect_ok(seccomp_compile(text, strlen(text), 0, &arena, &filter, &err));
		assert_int_equal(filter->insns[filter->n_insns - 1].k, SECCOMP_RET_KILL_PROCESS);
	}
	return NULL;
}

static void threads_may_evict_each_others(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, compile_many, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void the_kernel_takes_it(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const char *text = "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"syscalls\":["
			   "{\"names\":[\"getpriority\"],\"action\":\"SCMP_ACT_ERRNO\",\"errno\":\"EXDEV\","
			   "\"args\":[{\"index\":1,\"value\":77,\"op\":\"SCMP_CMP_GT\"}]}]}";
	const struct seccomp_filter *filter;
	pid_t pid;
	int status;

	(void)state;
	expect_ok(seccomp_compile(text, strlen(text), 0, &arena, &filter, &err));
	pid = fork();
	if (pid == 0) {
		struct sock_fprog program = { filter->n_insns, filter->insns };

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, &program) < 0)
			_exit(1);
		if (syscall(SYS_getpriority, 0, 78) != -1 || errno != EXDEV)
			_exit(2);
		_exit(syscall(SYS_getpriority, 0, 0) < 0 ? 3 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(actions),
		cmocka_unit_test(defaults),
		cmocka_unit_test(operators),
		cmocka_unit_test(conditions_combine),
		cmocka_unit_test(included_and_excluded),
		cmocka_unit_test(architectures),
		cmocka_unit_test(flags),
		cmocka_unit_test(refusals),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(long_programs),
		cmocka_unit_test(cache),
		cmocka_unit_test(threads_may_evict_each_others),
		cmocka_unit_test(the_kernel_takes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
