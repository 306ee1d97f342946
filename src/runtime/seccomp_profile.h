/*
 * The builtin profile: the facts of the default profile that container engines share. Internal to src/runtime.
 */
#ifndef MONOPOD_RUNTIME_SECCOMP_PROFILE_H
#define MONOPOD_RUNTIME_SECCOMP_PROFILE_H

#include "base/arena.h"
#include "base/error.h"
#include "runtime/seccomp_policy.h"

/* The newest system call that this profile has an opinion on. */
#define PROFILE_NEWEST_CALL 466

/* What it says for a container with these capabilities; everything in the arena. */
int profile_policy(uint64_t caps, struct arena *arena, struct seccomp_policy *ret_policy, struct error *err);

/* The capabilities that make a difference. */
uint64_t profile_relevant_caps(void);

#endif
