#include "runtime/caps.h"

#include <linux/capability.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/prctl.h>

#include "base/mem.h"

#define BIT(cap) (UINT64_C(1) << (cap))

/* By number, capabilities(7). The kernel's names without "CAP_". */
static const char *const names[] = {
	[CAP_CHOWN] = "CHOWN",
	[CAP_DAC_OVERRIDE] = "DAC_OVERRIDE",
	[CAP_DAC_READ_SEARCH] = "DAC_READ_SEARCH",
	[CAP_FOWNER] = "FOWNER",
	[CAP_FSETID] = "FSETID",
	[CAP_KILL] = "KILL",
	[CAP_SETGID] = "SETGID",
	[CAP_SETUID] = "SETUID",
	[CAP_SETPCAP] = "SETPCAP",
	[CAP_LINUX_IMMUTABLE] = "LINUX_IMMUTABLE",
	[CAP_NET_BIND_SERVICE] = "NET_BIND_SERVICE",
	[CAP_NET_BROADCAST] = "NET_BROADCAST",
	[CAP_NET_ADMIN] = "NET_ADMIN",
	[CAP_NET_RAW] = "NET_RAW",
	[CAP_IPC_LOCK] = "IPC_LOCK",
	[CAP_IPC_OWNER] = "IPC_OWNER",
	[CAP_SYS_MODULE] = "SYS_MODULE",
	[CAP_SYS_RAWIO] = "SYS_RAWIO",
	[CAP_SYS_CHROOT] = "SYS_CHROOT",
	[CAP_SYS_PTRACE] = "SYS_PTRACE",
	[CAP_SYS_PACCT] = "SYS_PACCT",
	[CAP_SYS_ADMIN] = "SYS_ADMIN",
	[CAP_SYS_BOOT] = "SYS_BOOT",
	[CAP_SYS_NICE] = "SYS_NICE",
	[CAP_SYS_RESOURCE] = "SYS_RESOURCE",
	[CAP_SYS_TIME] = "SYS_TIME",
	[CAP_SYS_TTY_CONFIG] = "SYS_TTY_CONFIG",
	[CAP_MKNOD] = "MKNOD",
	[CAP_LEASE] = "LEASE",
	[CAP_AUDIT_WRITE] = "AUDIT_WRITE",
	[CAP_AUDIT_CONTROL] = "AUDIT_CONTROL",
	[CAP_SETFCAP] = "SETFCAP",
	[CAP_MAC_OVERRIDE] = "MAC_OVERRIDE",
	[CAP_MAC_ADMIN] = "MAC_ADMIN",
	[CAP_SYSLOG] = "SYSLOG",
	[CAP_WAKE_ALARM] = "WAKE_ALARM",
	[CAP_BLOCK_SUSPEND] = "BLOCK_SUSPEND",
	[CAP_AUDIT_READ] = "AUDIT_READ",
	[CAP_PERFMON] = "PERFMON",
	[CAP_BPF] = "BPF",
	[CAP_CHECKPOINT_RESTORE] = "CHECKPOINT_RESTORE",
};

_Static_assert(ARRAY_SIZE(names) == 41, "one name for each capability of Linux 5.9 and later");

uint64_t caps_default(void)
{
	return BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) | BIT(CAP_MKNOD) | BIT(CAP_NET_RAW) |
	       BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) |
	       BIT(CAP_SYS_CHROOT) | BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE);
}

uint64_t caps_all(void)
{
	uint64_t set = 0;

	/* A number beyond the kernel's last capability is EINVAL, thus not counted. */
	for (unsigned cap = 0; cap < ARRAY_SIZE(names); cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			set |= BIT(cap);
	}
	return set;
}

static const char *skip_prefix(const char *name)
{
	return strncasecmp(name, "CAP_", 4) ? name : name + 4;
}

int caps_parse(const char *name)
{
	const char *bare = skip_prefix(name);

	for (unsigned cap = 0; cap < ARRAY_SIZE(names); cap++) {
		if (!strcasecmp(bare, names[cap]))
			return (int)cap;
	}
	return -1;
}

const char *caps_name(unsigned cap)
{
	return cap < ARRAY_SIZE(names) ? names[cap] : "unknown";
}

static bool is_all(const char *name)
{
	return !strcasecmp(skip_prefix(name), "ALL");
}

/* "ALL" is told apart in *ret_all; the others become bits. */
static int parse_list(char *const *list, size_t n, const char *what, uint64_t *ret_set, bool *ret_all, struct error *err)
{
	uint64_t set = 0;
	bool all = false;

	for (size_t i = 0; i < n; i++) {
		int cap = caps_parse(list[i]);

		if (is_all(list[i]))
			all = true;
		else if (cap < 0)
			return error_set(err, ERR_INVALID, "%s capabilities: there is no capability '%.64s'", what, list[i]);
		else
			set |= BIT(cap);
	}
	*ret_set = set;
	*ret_all = all;
	return 0;
}

int caps_adjust(uint64_t base, char *const *add, size_t n_add, char *const *drop, size_t n_drop, uint64_t *ret_set,
		struct error *err)
{
	uint64_t available = caps_all(), set = base, added = 0, dropped = 0;
	bool add_all = false, drop_all = false;

	if (parse_list(add, n_add, "add", &added, &add_all, err) < 0)
		return -1;
	if (parse_list(drop, n_drop, "drop", &dropped, &drop_all, err) < 0)
		return -1;
	if (add_all)
		set = available;
	if (drop_all)
		set = 0;
	*ret_set = ((set | added) & ~dropped) & available;
	return 0;
}
