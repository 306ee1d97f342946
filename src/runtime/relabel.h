/*
 * SELinux labels of volumes (CRI Mount.selinux_relabel): a tree of the host gets the label by which containers may use it. Internal to
 * src/runtime; blocks as long as the tree is large.
 */
#ifndef MONOPOD_RUNTIME_RELABEL_H
#define MONOPOD_RUNTIME_RELABEL_H

#include "base/error.h"

#define RELABEL_SELINUX "security.selinux"

/*
 * Sets the extended attribute `name` to `label` on what `fd` (O_PATH will do) refers to and, for a directory, on everything below it in
 * the same mount. Links get the label themselves and are never followed. What has the label already is not touched. A file system
 * without such labels is left alone.
 *
 * ERR_INVALID for the root, /usr, /etc and their like: the host itself lives there, and would not run any more (CVE-2021-43816).
 */
int relabel_tree(int fd, const char *name, const char *label, struct error *err);

#endif
