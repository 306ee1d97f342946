/*
 * Which devices a group may open or make. Version 1 has a list of rules in its devices controller; version 2 asks a BPF program that
 * is attached to the group (BPF_PROG_TYPE_CGROUP_DEVICE). Internal to src/runtime.
 */
#ifndef MONOPOD_RUNTIME_CGROUP_DEVICE_H
#define MONOPOD_RUNTIME_CGROUP_DEVICE_H

#include <linux/bpf.h>

#include "runtime/cgroup.h"

/* More rules than any pod of device plugins has, and half of where the verifier gives up in the worst order of numbers (it follows the
 * branches of all of them; seen on 6.18). At most nine instructions each. */
#define DEVICE_RULES_MAX 256
#define DEVICE_INSNS_MAX (DEVICE_RULES_MAX * 9 + 8)

/* Denies everything but the standard devices and these. */
int cgroup_restrict_devices(struct cgroup *cgroup, const struct device_rule *rules, size_t n, struct error *err);

/* The standard devices of OCI's default configuration (config-linux.md, "Default Devices"): null, zero, full, random, urandom, tty,
 * ptmx and the pseudo-terminals, and the right to make any node, which alone opens nothing. */
size_t device_standard_rules(const struct device_rule **ret_rules);

/* ERR_INVALID for a rule that says nothing or too much. */
int device_check_rule(const struct device_rule *rule, struct error *err);

/* "c 1:3 rwm" for devices.allow. */
#define DEVICE_LINE_SIZE 48
void device_format_rule(const struct device_rule *rule, char line[DEVICE_LINE_SIZE]);

/* Appends instructions for the rules, in order, and the final denial. Returns how many instructions. */
size_t device_program(const struct device_rule *const lists[], const size_t counts[], size_t n_lists,
		      struct bpf_insn insns[DEVICE_INSNS_MAX]);

/* Loads the program; a descriptor. */
int device_program_load(const struct bpf_insn *insns, size_t n, struct error *err);

#endif
