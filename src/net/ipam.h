/*
 * Who has which address. The truth is a directory: one file per address, named by it, created with O_EXCL, holding the pod's id; a
 * file "last_reserved_ip.0" remembers where the search for the next free address goes on, so that an address rests as long as
 * possible before it is given again. Names and content are those of CNI's host-local plugin, so that either can take over from the
 * other. The table in memory is a copy that ipam_open() reads.
 *
 * Files that are not named by an address of the range are left alone. A record whose content is no pod's id (a crash between
 * creating and writing it) keeps its address busy until ipam_sweep().
 */
#ifndef MONOPOD_NET_IPAM_H
#define MONOPOD_NET_IPAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/ipv4.h"

struct ipam;

/* Creates the directory (mode 0700) when it is missing. Pods get neither the first address of the range (the gateway's) nor the
 * last (broadcast). */
int ipam_open(const char *dir, const struct ipv4_prefix *range, struct ipam **ret_ipam, struct error *err);
void ipam_close(struct ipam *ipam); /* NULL is fine */

/* False when the pod has no address. */
bool ipam_find(const struct ipam *ipam, const char *pod_id, uint32_t *ret_address);

/* Reserves an address for a pod that has none. ERR_EXHAUSTED when the range is full. */
int ipam_reserve(struct ipam *ipam, const char *pod_id, uint32_t *ret_address, struct error *err);

/* Success when the pod has no address. */
int ipam_release(struct ipam *ipam, const char *pod_id, struct error *err);

/* Releases what belongs to none of the pods (sorted ids). Goes on after a failure and reports the first. */
int ipam_sweep(struct ipam *ipam, const char *const *live_pod_ids, size_t n, struct error *err);

size_t ipam_used(const struct ipam *ipam);
size_t ipam_size(const struct ipam *ipam); /* addresses that pods can have */

/* Removes the cursor and the directory, when no address is in use (else ERR_STATE). Foreign files keep the directory. */
int ipam_destroy(struct ipam *ipam, struct error *err);

/* True when the id is in the sorted list. */
bool pod_id_in(const char *pod_id, const char *const *sorted_ids, size_t n);

#endif
