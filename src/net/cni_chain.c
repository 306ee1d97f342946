#include "net/cni_chain.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

int cni_chain_add(const struct cni_list *list, struct cni_call *call, cJSON **ret_result, struct error *err)
{
	_cleanup_json_ cJSON *previous = NULL;

	call->command = "ADD";
	for (size_t i = 0; i < list->n_plugins; i++) {
		cJSON *result;

		if (cni_plugin_run(list, i, call, previous, &result, err) < 0)
			return -1;
		cJSON_Delete(previous);
		previous = result;
	}
	*ret_result = steal_ptr(&previous);
	return 0;
}

/* Runs a command that gives no result on every plugin; the first failure is told. */
static int run_all(const struct cni_list *list, struct cni_call *call, const cJSON *result, bool reverse, struct error *err)
{
	struct error failure;
	int answer = 0;

	for (size_t i = 0; i < list->n_plugins; i++) {
		size_t index = reverse ? list->n_plugins - 1 - i : i;
		int64_t now_us = clock_monotonic_us();
		struct cni_call one = *call;

		/* one that hangs leaves the others their share */
		one.deadline_us = now_us + (call->deadline_us - now_us) / (int64_t)(list->n_plugins - i);
		if (cni_plugin_run(list, index, &one, result, NULL, &failure) == 0)
			continue;
		if (answer == 0)
			*err = failure;
		answer = -1;
	}
	return answer;
}

int cni_chain_del(const struct cni_list *list, struct cni_call *call, const cJSON *result, struct error *err)
{
	call->command = "DEL";
	return run_all(list, call, list->version >= CNI_0_4_0 ? result : NULL, true, err);
}

int cni_chain_check(const struct cni_list *list, struct cni_call *call, const cJSON *result, struct error *err)
{
	call->command = "CHECK";
	if (list->version < CNI_0_4_0 || list->disable_check)
		return 0;
	return run_all(list, call, result, false, err);
}

int cni_chain_status(const struct cni_list *list, struct cni_call *call, struct error *err)
{
	call->command = "STATUS";
	return list->version < CNI_1_1_0 ? 0 : run_all(list, call, NULL, false, err);
}

int cni_chain_gc(const struct cni_list *list, struct cni_call *call, struct error *err)
{
	call->command = "GC";
	if (list->version < CNI_1_1_0 || list->disable_gc)
		return 0;
	return run_all(list, call, NULL, false, err);
}
