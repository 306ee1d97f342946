/*
 * A network configuration list, as the CNI specification has it (SPEC.md section 1; versions 0.1 to 1.1): a file FILE.conflist, or one
 * plugin's FILE.conf or FILE.json, which is a list of one.
 *
 * A list does not change. It is shared by reference: pods are attached by the list that was there when they began.
 */
#ifndef MONOPOD_NET_CNI_LIST_H
#define MONOPOD_NET_CNI_LIST_H

#include <cjson/cJSON.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Lists that are in use chain three to six. */
#define CNI_MAX_PLUGINS 32

/* The largest configurations seen hold a few KiB. */
#define CNI_LIST_MAX_BYTES ((size_t)1 << 20)

enum cni_version { CNI_0_1_0, CNI_0_2_0, CNI_0_3_0, CNI_0_3_1, CNI_0_4_0, CNI_1_0_0, CNI_1_1_0, CNI_VERSION_COUNT };

struct cni_list {
	const char *path;         /* file, for error texts; "" when it came from a record */
	const char *name;         /* of the network */
	const char *version_text; /* "1.0.0": the highest of those it names that we know */
	enum cni_version version;
	bool disable_check, disable_gc;
	size_t n_plugins;
	struct {
		const cJSON *conf; /* an object with a "type" */
		const char *type;  /* file name of the executable */
	} plugins[CNI_MAX_PLUGINS];
	cJSON *json; /* the document, which the above point into */
	char *path_memory;
	_Atomic unsigned refs;
};

/* "0.4.0" and the like. ERR_UNIMPLEMENTED for a version that we do not know. */
int cni_version_parse(const char *text, enum cni_version *ret_version, struct error *err);
const char *cni_version_text(enum cni_version version);

/* From the text of a file (`path` names it, "" for none) or of a record. One plugin's configuration is accepted like a list. ERR_INVALID
 * with what is wrong and, for a plugin, which one. */
int cni_list_parse(const char *text, size_t len, const char *path, struct cni_list **ret_list, struct error *err);

/* The list of a directory: that of the first file in the order of names, as the ecosystem has it, which has to be in order itself.
 * ERR_NOT_FOUND when there is no file. Blocks. */
int cni_list_load(const char *dir, struct cni_list **ret_list, struct error *err);

struct cni_list *cni_list_ref(struct cni_list *list);
void cni_list_unref(struct cni_list *list); /* NULL is fine */
void cni_list_cleanup(struct cni_list **list);
#define _cleanup_cni_list_ __attribute__((cleanup(cni_list_cleanup)))

/* Letters, digits, '_', '.', '-', the first one of the first two kinds: names of networks and containers. */
bool cni_name_is_valid(const char *name);

#endif
