/* Version and RuntimeConfig: what never changes while the daemon runs. */
#include <string.h>

#include "proto/cri.pb-c.h"
#include "task/node_impl.h"

void op_version(struct node *node, struct call *call)
{
	Cri__VersionResponse reply = CRI__VERSION_RESPONSE__INIT;
	static char name[] = "monopod", kubelet_version[] = "0.1.0", version[] = MONOPOD_VERSION, v1[] = "v1",
		    v1alpha2[] = "v1alpha2";

	(void)node;
	/* The version of the kubelet's own old API; every client expects this constant. */
	reply.version = kubelet_version;
	reply.runtime_name = name;
	reply.runtime_version = version;
	reply.runtime_api_version = strstr(call->service, "v1alpha2") ? v1alpha2 : v1;
	call_reply(call, &reply.base);
}

void op_runtime_config(struct node *node, struct call *call)
{
	Cri__RuntimeConfigResponse reply = CRI__RUNTIME_CONFIG_RESPONSE__INIT;
	Cri__LinuxRuntimeConfiguration specific = CRI__LINUX_RUNTIME_CONFIGURATION__INIT;

	specific.cgroup_driver = node->systemd ? CRI__CGROUP_DRIVER__SYSTEMD : CRI__CGROUP_DRIVER__CGROUPFS;
	reply.linux = &specific;
	call_reply(call, &reply.base);
}
