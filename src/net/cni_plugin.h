/*
 * One execution of one plugin (SPEC.md sections 2 and 3): found, fed, bounded, and its failure made a sentence.
 */
#ifndef MONOPOD_NET_CNI_PLUGIN_H
#define MONOPOD_NET_CNI_PLUGIN_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/error.h"
#include "net/cni_list.h"

/* What all plugins of one operation are told. Strings may be "" where the command has none, never NULL. */
struct cni_call {
	const char *command; /* "ADD", "DEL", "CHECK", "STATUS", "GC" */
	const char *container_id, *netns_path, *interface;
	const char *args;             /* "KEY=VALUE;KEY=VALUE" */
	const char *path;             /* directories of plugins, separated by colons */
	const cJSON *capability_args; /* an object, what "runtimeConfig" is chosen from; may be NULL */
	const cJSON *attachments;     /* of GC: the list of those that are valid; else NULL */
	int64_t deadline_us;          /* clock_monotonic_us(): then the plugin is killed with its children */
};

/* Where the plugin's executable is. The caller frees *ret_file. ERR_NOT_FOUND says where it was looked for. */
int cni_plugin_find(const char *path, const char *type, char **ret_file, struct error *err);

/* Runs plugin `index` of the list. `previous` becomes its prevResult; may be NULL. `ret_result` is for ADD alone; else NULL.
 *
 * Errors start with the plugin and the command and end with what it said: "plugin bridge, ADD: ...". ERR_UNAVAILABLE when it asks to
 * be tried again later (codes 11, 50 and 51), or answers what is no result; ERR_DEADLINE; ERR_NOT_FOUND; ERR_INTERNAL. */
int cni_plugin_run(const struct cni_list *list, size_t index, const struct cni_call *call, const cJSON *previous,
		   cJSON **ret_result, struct error *err);

#endif
