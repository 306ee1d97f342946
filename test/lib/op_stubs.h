/*
 * Every operation of task/node.h, doing nothing but saying which one it was: for programs that need the method table and no node. The
 * linker prefers these to the library's.
 */
#ifndef MONOPOD_TEST_OP_STUBS_H
#define MONOPOD_TEST_OP_STUBS_H

#include "task/node.h"

static const char *op_stub_ran;

#define OP_STUB(name)                                                                                                              \
	void name(struct node *node, struct call *call)                                                                            \
	{                                                                                                                          \
		struct error err = ERROR_INIT;                                                                                     \
                                                                                                                                   \
		(void)node;                                                                                                        \
		op_stub_ran = #name;                                                                                               \
		(void)error_set(&err, ERR_UNAVAILABLE, #name);                                                                     \
		call_fail(call, &err);                                                                                             \
	}

OP_STUB(op_version)
OP_STUB(op_status)
OP_STUB(op_runtime_config)
OP_STUB(op_update_pod_sandbox_resources)
OP_STUB(op_run_pod_sandbox)
OP_STUB(op_stop_pod_sandbox)
OP_STUB(op_remove_pod_sandbox)
OP_STUB(op_pod_sandbox_status)
OP_STUB(op_list_pod_sandbox)
OP_STUB(op_stream_pod_sandboxes)
OP_STUB(op_create_container)
OP_STUB(op_start_container)
OP_STUB(op_stop_container)
OP_STUB(op_remove_container)
OP_STUB(op_container_status)
OP_STUB(op_list_containers)
OP_STUB(op_stream_containers)
OP_STUB(op_get_container_events)
OP_STUB(op_exec_sync)
OP_STUB(op_update_container_resources)
OP_STUB(op_reopen_container_log)
OP_STUB(op_pull_image)
OP_STUB(op_list_images)
OP_STUB(op_stream_images)
OP_STUB(op_image_status)
OP_STUB(op_remove_image)
OP_STUB(op_image_fs_info)
OP_STUB(op_watch_pull)
OP_STUB(op_import_image)
OP_STUB(op_prune_images)
OP_STUB(op_check_images)
OP_STUB(op_list_machines)
OP_STUB(op_explain_container)

#endif
