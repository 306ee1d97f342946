/*
 * AppArmor: which profiles the kernel has, and one of our own for containers that ask for the runtime's default. Everything blocks.
 */
#ifndef MONOPOD_RUNTIME_APPARMOR_H
#define MONOPOD_RUNTIME_APPARMOR_H

#include <stdbool.h>

#include "base/error.h"

/* The name of our own profile: the facts of the default profile that container engines share. */
#define APPARMOR_DEFAULT "monopod-default"

/* The kernel takes names of less than a page with a namespace in front; people write short ones (arbitrary). */
#define APPARMOR_NAME_MAX 255

/* True when the kernel has AppArmor and it is on. */
bool apparmor_is_on(void);

/* ERR_INVALID for what is no profile's name, such as one with a blank or a control character. */
int apparmor_check_name(const char *name, struct error *err);

/* ERR_NOT_FOUND when the profile is not loaded; ERR_STATE when AppArmor is off. */
int apparmor_check_profile(const char *name, struct error *err);

/* Loads our own profile by apparmor_parser(8), in the place of an older one. */
int apparmor_load_default(struct error *err);

#endif
