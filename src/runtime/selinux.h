/*
 * SELinux: what labels the host's policy has for containers, and how a container's own are made of them. Everything that reads blocks.
 *
 * A label is user:role:type, and with an MLS or MCS policy a level behind a third colon ("s0:c1,c2"), which may hold colons itself.
 */
#ifndef MONOPOD_RUNTIME_SELINUX_H
#define MONOPOD_RUNTIME_SELINUX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What fsconfig(2) takes as the value of "context"; those of policies have some 50 bytes. */
#define SELINUX_LABEL_SIZE 256

/* Pairs of two different categories of the 1024 that policies have; each stands for one pod. */
#define SELINUX_PAIRS (1024U * 1023U / 2U)

#define SELINUX_FS "/sys/fs/selinux"
#define SELINUX_ETC "/etc/selinux"

/* What any other process label is made of. */
#define SELINUX_BASE "system_u:system_r:container_t:s0"

/*
 * Of processes, of files, and of what all containers may read and execute; "": the host's policy has none. Containers that ask for
 * nothing are not labelled then. The last one is for images on disk: a mount's label does not hide that of the file below it from
 * whoever maps it into memory.
 */
struct selinux_defaults {
	char process[SELINUX_LABEL_SIZE];
	char file[SELINUX_LABEL_SIZE];
	char shared[SELINUX_LABEL_SIZE];
};

/* What takes the place of a label's parts; NULL or "": stays. */
struct selinux_parts {
	const char *user, *role, *type, *level;
};

/* True when the kernel has SELinux and a policy is loaded; enforcing or not. */
bool selinux_is_on(const char *fs);

/*
 * The labels in contexts/lxc_contexts of the policy that `etc`/config names (SELINUXTYPE), where libselinux looks for them too; without
 * the file container_t, container_file_t and container_ro_file_t. Labels that the policy does not know become "". An error only for files that are wrong.
 */
int selinux_read_defaults(const char *etc, const char *fs, struct selinux_defaults *ret_defaults, struct error *err);

/* ERR_INVALID when the loaded policy does not know the label (selinuxfs, file "context"). */
int selinux_check_label(const char *fs, const char *label, struct error *err);

/* Labels a directory of ours and all that is in it; what is made in it later has the label, too. One that has it already is not looked
 * into. A file system without labels is left alone. */
int selinux_label_directory(const char *path, const char *label, struct error *err);

/* `base` with the parts replaced. A base without a level gets none but one that is asked for. ERR_INVALID for what does not fit. */
int selinux_make_label(const char *base, const struct selinux_parts *parts, char ret_label[SELINUX_LABEL_SIZE], struct error *err);

/* True when the label has a level: only then two pods can be told apart by one. */
bool selinux_has_level(const char *label);

/* "s0:cA,cB" for a number below SELINUX_PAIRS; A < B. */
#define SELINUX_LEVEL_SIZE 24
void selinux_pair_level(uint32_t pair, char ret_level[SELINUX_LEVEL_SIZE]);

#endif
