/*
 * What a request must be like, whatever the state of the node: each function looks at one request type that is implemented.
 *
 * A field that is missing, contradictory, oversized or hostile is ERR_INVALID; one that asks for something that is not built yet is
 * ERR_UNIMPLEMENTED, so that nothing asked for is silently dropped. The text starts with the field's path. Ids are only checked for
 * being there: whether an id that cannot exist is NOT_FOUND or success is the operation's to say. The wire's form (wire_check.h) has
 * been checked before: strings are UTF-8 without NUL, enum values exist.
 */
#ifndef MONOPOD_CRI_CHECK_H
#define MONOPOD_CRI_CHECK_H

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"

typedef int check_fn(const ProtobufCMessage *request, struct error *err);

check_fn check_run_pod_sandbox;
check_fn check_stop_pod_sandbox;
check_fn check_remove_pod_sandbox;
check_fn check_pod_sandbox_status;
check_fn check_list_pod_sandbox;
check_fn check_stream_pod_sandboxes;
check_fn check_create_container;
check_fn check_start_container;
check_fn check_stop_container;
check_fn check_remove_container;
check_fn check_container_status;
check_fn check_list_containers;
check_fn check_stream_containers;
check_fn check_update_container_resources;
check_fn check_update_pod_sandbox_resources;
check_fn check_exec_sync;
check_fn check_reopen_container_log;
check_fn check_pull_image;
check_fn check_watch_pull;
check_fn check_list_images;
check_fn check_stream_images;
check_fn check_image_status;
check_fn check_remove_image;
check_fn check_import_image;
check_fn check_prune_images;
check_fn check_explain_container;

#endif
