/* "process" of config.json, and of the file that `exec --process` names. */
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "oci/config.h"
#include "runtime/caps.h"
#include "runtime/rlimits.h"

/* Debian's headers name only the first three. */
#define SCHED_ISO_POLICY 4

struct word {
	const char *name;
	uint64_t value;
};

/* Words end with one without a name. Returns 1 and the value when `name` is one of them. */
static int find_word(const struct word *words, const char *name, uint64_t *ret_value)
{
	for (; words->name; words++) {
		if (!strcmp(words->name, name)) {
			*ret_value = words->value;
			return 1;
		}
	}
	return 0;
}

static int parse_groups(const struct place *user, struct identity *who, struct error *err)
{
	const cJSON *list = member_get(user, "additionalGids"), *item;
	gid_t *groups = arena_new_array(user->arena, gid_t, member_count(user, "additionalGids") + 1);

	if (!groups)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	who->groups = groups;
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble < UINT32_MAX))
			return error_set(err, ERR_INVALID, "%s.additionalGids holds something that is no group id", user->name);
		groups[who->n_groups++] = (gid_t)item->valuedouble;
	}
	return 0;
}

/* 4294967295 is no id: for setresuid(2) it means "leave". */
#define ID_MAX (UINT32_MAX - 1)

static int parse_user(const struct place *process, struct process_config *p, struct error *err)
{
	struct place user;
	int64_t uid = 0, gid = 0, mask = 0;
	int has_mask;

	if (member_object(process, "user", &user, err) < 0 || member_number(&user, "uid", 0, ID_MAX, &uid, err) < 0 ||
	    member_number(&user, "gid", 0, ID_MAX, &gid, err) < 0 || parse_groups(&user, &p->identity, err) < 0)
		return -1;
	has_mask = member_number(&user, "umask", 0, 0777, &mask, err);
	if (has_mask < 0)
		return -1;
	p->identity.uid = (uid_t)uid;
	p->identity.gid = (gid_t)gid;
	p->extras.set_umask = has_mask > 0;
	p->extras.umask = (mode_t)mask;
	return 0;
}

/* An unknown name may be of a later kernel; it cannot be granted and is not silently left out. */
static int parse_set(const struct place *caps, const char *key, uint64_t *ret_set, struct error *err)
{
	const char *const *names = NULL;
	uint64_t set = 0;

	if (member_texts(caps, key, &names, err) < 0)
		return -1;
	for (; names && *names; names++) {
		int cap = strncmp(*names, "CAP_", 4) ? -1 : caps_parse(*names);

		if (cap < 0)
			return error_set(err, ERR_INVALID, "%s: unknown capability '%.64s'", place_join(caps, key), *names);
		set |= UINT64_C(1) << cap;
	}
	*ret_set = set;
	return 0;
}

static int parse_capabilities(const struct place *process, struct identity *who, struct error *err)
{
	struct place caps;
	uint64_t effective = 0;

	if (member_object(process, "capabilities", &caps, err) < 0)
		return -1;
	if (parse_set(&caps, "bounding", &who->bounding, err) < 0 || parse_set(&caps, "effective", &effective, err) < 0 ||
	    parse_set(&caps, "permitted", &who->permitted, err) < 0 ||
	    parse_set(&caps, "inheritable", &who->inheritable, err) < 0 || parse_set(&caps, "ambient", &who->ambient, err) < 0)
		return -1;
	if (effective & ~who->permitted)
		return error_set(err, ERR_INVALID, "%s.effective holds what is not permitted", caps.name);
	/* the kernel refuses it (capabilities(7)); as other runtimes do, what cannot be ambient is not */
	who->ambient &= who->permitted & who->inheritable;
	return 0;
}

/* As setrlimit(2) spells them, which is how the specification wants them: RLIMIT_NOFILE. */
static int find_limit(const char *type)
{
	bool spelt = !strncmp(type, "RLIMIT_", 7) && !strpbrk(type, "abcdefghijklmnopqrstuvwxyz");

	return spelt ? rlimit_parse_name(type) : -1;
}

static int on_rlimit(const struct place *place, size_t index, void *data, struct error *err)
{
	struct process_config *p = data;
	struct rlimit_spec *limit = &p->rlimits[index];
	const char *type = "";

	if (member_text(place, "type", &type, err) < 0 || member_unsigned(place, "soft", &limit->soft, err) < 0 ||
	    member_unsigned(place, "hard", &limit->hard, err) < 0)
		return -1;
	limit->resource = find_limit(type);
	if (limit->resource < 0)
		return error_set(err, ERR_INVALID, "%s.type: unknown limit '%.64s'", place->name, type);
	if (limit->soft > limit->hard)
		return error_set(err, ERR_INVALID, "%s: the soft limit is above the hard one", place->name);
	for (size_t i = 0; i < index; i++) {
		if (p->rlimits[i].resource == limit->resource)
			return error_set(err, ERR_INVALID, "%s: %s stands twice", place->name, type);
	}
	p->n_rlimits++;
	return 0;
}

static int parse_rlimits(const struct place *process, struct process_config *p, struct error *err)
{
	size_t n = member_count(process, "rlimits");

	if (n > RLIM_NLIMITS)
		return error_set(err, ERR_INVALID, "%s.rlimits has %zu entries, and there are %d limits", process->name, n,
				 RLIM_NLIMITS);
	p->rlimits = arena_new_array(process->arena, struct rlimit_spec, n + 1);
	if (!p->rlimits)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	return member_objects(process, "rlimits", on_rlimit, p, err);
}

static const struct word policies[] = {
	{ "SCHED_OTHER", SCHED_NORMAL },
	{ "SCHED_FIFO", SCHED_FIFO },
	{ "SCHED_RR", SCHED_RR },
	{ "SCHED_BATCH", SCHED_BATCH },
	{ "SCHED_ISO", SCHED_ISO_POLICY },
	{ "SCHED_IDLE", SCHED_IDLE },
	{ "SCHED_DEADLINE", SCHED_DEADLINE },
	{ NULL, 0 },
};

static const struct word scheduler_flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },   { "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
	{ "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },         { "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
	{ "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },       { "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX }, { NULL, 0 },
};

static int parse_scheduler_words(const struct place *place, struct scheduler_spec *s, struct error *err)
{
	const char *const *flags = NULL;
	const char *policy = "";
	uint64_t value = 0;

	if (member_text(place, "policy", &policy, err) < 0 || member_texts(place, "flags", &flags, err) < 0)
		return -1;
	if (!find_word(policies, policy, &value))
		return error_set(err, ERR_INVALID, "%s.policy: unknown policy '%.64s'", place->name, policy);
	s->policy = (uint32_t)value;
	for (; flags && *flags; flags++) {
		if (!find_word(scheduler_flags, *flags, &value))
			return error_set(err, ERR_INVALID, "%s.flags: unknown flag '%.64s'", place->name, *flags);
		s->flags |= value;
	}
	return 0;
}

static int parse_scheduler(const struct place *process, struct process_config *p, struct error *err)
{
	struct scheduler_spec *s = &p->scheduler;
	int64_t nice = 0, priority = 0;
	struct place place;

	if (member_object(process, "scheduler", &place, err) < 0)
		return -1;
	if (!place.object)
		return 0;
	if (parse_scheduler_words(&place, s, err) < 0 || member_number(&place, "nice", -20, 19, &nice, err) < 0 ||
	    member_number(&place, "priority", 0, 99, &priority, err) < 0 ||
	    member_unsigned(&place, "runtime", &s->runtime, err) < 0 ||
	    member_unsigned(&place, "deadline", &s->deadline, err) < 0 || member_unsigned(&place, "period", &s->period, err) < 0)
		return -1;
	s->size = sizeof(*s);
	s->nice = (int32_t)nice;
	s->priority = (uint32_t)priority;
	p->extras.scheduler = s;
	return 0;
}

static const struct word io_classes[] = { { "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
					  { "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
					  { "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
					  { NULL, 0 } };

static int parse_io_priority(const struct place *process, struct process_config *p, struct error *err)
{
	const char *class = "";
	uint64_t number = 0;
	int64_t priority = 0;
	struct place place;

	if (member_object(process, "ioPriority", &place, err) < 0)
		return -1;
	if (!place.object)
		return 0;
	if (member_text(&place, "class", &class, err) < 0 || member_number(&place, "priority", 0, 7, &priority, err) < 0)
		return -1;
	if (!find_word(io_classes, class, &number))
		return error_set(err, ERR_INVALID, "%s.class: unknown class '%.64s'", place.name, class);
	p->extras.set_io_priority = true;
	p->extras.io_priority = (int)IOPRIO_PRIO_VALUE(number, priority);
	return 0;
}

/* What the kernel counts at most (NR_CPUS of common kernels). */
#define CPUS_MAX 8192

static int add_cpus(uint32_t *bits, const char *text, size_t *ret_end)
{
	char *end;
	unsigned long first = strtoul(text, &end, 10), last = first;
	const char *from = text;

	if (end == from)
		return -1;
	if (*end == '-') {
		from = end + 1;
		last = strtoul(from, &end, 10);
		if (end == from)
			return -1;
	}
	if (first > last || last >= CPUS_MAX)
		return -1;
	for (unsigned long i = first; i <= last; i++)
		bits[i / 32] |= UINT32_C(1) << (i % 32);
	*ret_end = (size_t)(end - text);
	return (int)last;
}

/* "0-3,7". */
static int parse_cpus(const struct place *affinity, const char *key, struct cpu_mask *ret_mask, struct error *err)
{
	uint32_t *bits = arena_new_array(affinity->arena, uint32_t, CPUS_MAX / 32);
	const char *text = "";
	int highest = -1;

	if (!bits)
		return error_set(err, ERR_EXHAUSTED, "out of memory");
	if (member_text(affinity, key, &text, err) < 0)
		return -1;
	for (const char *p = text; *p;) {
		size_t length = 0;
		int last = strspn(p, "0123456789") > 0 ? add_cpus(bits, p, &length) : -1;

		p += length;
		if (last < 0 || (*p && (*p != ',' || !p[1])))
			return error_set(err, ERR_INVALID, "%s '%.64s' is no list of CPUs", place_join(affinity, key), text);
		p += *p == ',';
		highest = last > highest ? last : highest;
	}
	if (highest >= 0)
		*ret_mask = (struct cpu_mask){ bits, ((size_t)highest / 64 + 1) * 2 };
	return 0;
}

static int parse_affinity(const struct place *process, struct process_config *p, struct error *err)
{
	struct place affinity;

	if (member_object(process, "execCPUAffinity", &affinity, err) < 0)
		return -1;
	if (!affinity.object)
		return 0;
	return parse_cpus(&affinity, "initial", &p->extras.first_cpus, err) < 0
		       ? -1
		       : parse_cpus(&affinity, "final", &p->extras.cpus, err);
}

static int parse_terminal(const struct place *process, struct process_config *p, struct error *err)
{
	int64_t rows = 0, columns = 0;
	struct place size;

	if (member_flag(process, "terminal", &p->terminal, err) < 0 || member_object(process, "consoleSize", &size, err) < 0 ||
	    member_number(&size, "height", 0, UINT16_MAX, &rows, err) < 0 ||
	    member_number(&size, "width", 0, UINT16_MAX, &columns, err) < 0)
		return -1;
	p->has_console_size = p->terminal && size.object;
	p->console_rows = (unsigned short)rows;
	p->console_columns = (unsigned short)columns;
	return 0;
}

static const struct refused_member refused[] = {
	{ "commandLine", "for Windows" },
	{ NULL, NULL },
};

static int parse_labels(const struct place *process, struct process_config *p, struct error *err)
{
	if (member_refuse(process, refused, err) < 0 || parse_affinity(process, p, err) < 0 ||
	    member_text(process, "apparmorProfile", &p->apparmor_profile, err) < 0 ||
	    member_text(process, "selinuxLabel", &p->selinux_label, err) < 0)
		return -1;
	return member_flag(process, "noNewPrivileges", &p->identity.no_new_privs, err);
}

int process_parse(const struct place *place, struct process_config *ret_process, struct error *err)
{
	static const char *const no_env[] = { NULL };
	struct process_config *p = ret_process;
	int64_t score = 0;
	int has_score;

	*p = (struct process_config){ .env = no_env };
	if (parse_terminal(place, p, err) < 0 || member_texts(place, "args", &p->args, err) < 0 ||
	    member_texts(place, "env", &p->env, err) < 0 || member_text(place, "cwd", &p->cwd, err) < 0 ||
	    parse_user(place, p, err) < 0 || parse_capabilities(place, &p->identity, err) < 0 || parse_rlimits(place, p, err) < 0 ||
	    parse_scheduler(place, p, err) < 0 || parse_io_priority(place, p, err) < 0 || parse_labels(place, p, err) < 0)
		return -1;
	has_score = member_number(place, "oomScoreAdj", -1000, 1000, &score, err);
	if (has_score < 0)
		return -1;
	p->set_oom_score_adj = has_score > 0;
	p->oom_score_adj = (int)score;
	if (!p->args || !p->args[0])
		return error_set(err, ERR_INVALID, "%s.args is empty", place->name);
	if (!p->cwd || p->cwd[0] != '/')
		return error_set(err, ERR_INVALID, "%s.cwd is not an absolute path", place->name);
	return 0;
}
