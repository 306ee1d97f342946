/*
 * Seccomp profiles as files: the JSON that engines share, which is linux.seccomp of the OCI runtime specification (config-linux.md,
 * "Seccomp") and what moby and containers/common add to it: archMap, and rules that depend on capabilities, architecture and kernel
 * (includes, excludes). Internal to src/runtime.
 *
 * Refused: SCMP_ACT_NOTIFY and listenerPath, since nobody here listens; unknown actions, operators, flags and architectures. Names of
 * system calls that do not exist here are skipped, as are members that are not known ("comment" is one). On i386 a rule for socket(2) is
 * for the call of that number; socketcall(2), whose arguments no filter sees, has to be named itself.
 */
#ifndef MONOPOD_RUNTIME_SECCOMP_JSON_H
#define MONOPOD_RUNTIME_SECCOMP_JSON_H

#include <cjson/cJSON.h>

#include "base/arena.h"
#include "base/error.h"
#include "runtime/seccomp_policy.h"

/* What conditions of a profile ask for. */
struct seccomp_subject {
	uint64_t caps; /* of the bounding set */
	unsigned kernel_major, kernel_minor;
};

/* For this kernel. */
struct seccomp_subject seccomp_subject_here(uint64_t caps);

/* ERR_INVALID with the line and column of what is no JSON. cJSON_Delete() the result; NULL on failure. */
cJSON *seccomp_json_parse(const char *text, size_t len, struct error *err);

/* What the profile says for the subject: ERR_INVALID names the member ("syscalls[3].action"). In the arena. *ret_relevant are the
 * capabilities that its conditions mention. */
int seccomp_json_policy(const cJSON *profile, const struct seccomp_subject *subject, struct arena *arena,
			struct seccomp_policy *ret_policy, uint64_t *ret_relevant, struct error *err);

#endif
