/*
 * What we remember of an attachment: written before the first plugin runs and removed after the last DEL, so that every pod can be
 * detached as it was attached, whatever became of the configuration or of us.
 *
 * On disk one file per pod, named by its id, in a directory of ours. It outlives a reboot, as the address records of plugins do.
 */
#ifndef MONOPOD_NET_CNI_RECORD_H
#define MONOPOD_NET_CNI_RECORD_H

#include <cjson/cJSON.h>

#include "base/error.h"
#include "net/cni_list.h"

struct cni_record {
	struct cni_list *list; /* a reference: the configuration of then */
	char *interface, *netns_path, *args;
	cJSON *capability_args;
	cJSON *result; /* of the last ADD; NULL as long as there is none */
};

void cni_record_release(struct cni_record *record);
#define _cleanup_cni_record_ __attribute__((cleanup(cni_record_release)))

/* Atomically, without fsync. Blocks, as do the following. */
int cni_record_write(int dirfd, const char *pod_id, const struct cni_record *record, struct error *err);

/* ERR_NOT_FOUND when there is none, ERR_DATA_LOSS when it cannot be read. */
int cni_record_read(int dirfd, const char *pod_id, struct cni_record *ret_record, struct error *err);

/* One that is gone is success. */
int cni_record_remove(int dirfd, const char *pod_id, struct error *err);

/* The ids of all records, as a list of base/strv.h. */
int cni_record_list(int dirfd, char ***ret_ids, struct error *err);

#endif
