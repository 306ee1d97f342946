/*
 * The node: every pod sandbox, container and image of this machine, and the operations of the CRI on them.
 *
 * One struct owns all state and is touched by the loop thread only. An operation has the signature below and is named by the method
 * table in src/cri; each lives in a file of its own (run_pod.c, start_container.c, ...).
 */
#ifndef MONOPOD_TASK_NODE_H
#define MONOPOD_TASK_NODE_H

#include "base/config.h"
#include "base/error.h"
#include "task/call.h"

struct loop;
struct node;

/* Opens stores and engines, adopts what a former daemon left running, removes what has no owner. Blocks: before the loop runs, with
 * loop->lanes open. `config` must outlive the node. */
int node_open(struct loop *loop, const struct config *config, struct node **ret_node, struct error *err);

/* Stops taking new work; `on_closed` when operations in flight have ended. Containers go on running. */
void node_close(struct node *node, void (*on_closed)(void *arg), void *arg);
void node_free(struct node *node);

typedef void operation_fn(struct node *node, struct call *call);

operation_fn op_version;
operation_fn op_status;
operation_fn op_runtime_config;
operation_fn op_update_pod_sandbox_resources;
operation_fn op_run_pod_sandbox;
operation_fn op_stop_pod_sandbox;
operation_fn op_remove_pod_sandbox;
operation_fn op_pod_sandbox_status;
operation_fn op_stream_pod_sandboxes;
operation_fn op_list_pod_sandbox;
operation_fn op_create_container;
operation_fn op_start_container;
operation_fn op_stop_container;
operation_fn op_remove_container;
operation_fn op_container_status;
operation_fn op_list_containers;
operation_fn op_stream_containers;
operation_fn op_get_container_events;
operation_fn op_exec_sync;
operation_fn op_update_container_resources;
operation_fn op_reopen_container_log;
operation_fn op_pull_image;
operation_fn op_list_images;
operation_fn op_stream_images;
operation_fn op_image_status;
operation_fn op_remove_image;
operation_fn op_image_fs_info;

/* proto/admin.proto. */
operation_fn op_watch_pull;
operation_fn op_import_image;
operation_fn op_prune_images;
operation_fn op_check_images;
operation_fn op_list_machines;
operation_fn op_explain_container;

#endif
