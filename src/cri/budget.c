#include "cri/budget.h"

bool byte_budget_take(struct byte_budget *budget, size_t bytes)
{
	for (struct byte_budget *b = budget; b; b = b->parent) {
		if (b->used > b->max || bytes > b->max - b->used)
			return false;
	}
	for (struct byte_budget *b = budget; b; b = b->parent)
		b->used += bytes;
	return true;
}

void byte_budget_give(struct byte_budget *budget, size_t bytes)
{
	for (struct byte_budget *b = budget; b; b = b->parent)
		b->used -= bytes;
}

void rate_budget_init(struct rate_budget *budget, int64_t burst, int64_t per_second, int64_t now_us)
{
	*budget = (struct rate_budget){ .tokens = burst, .burst = burst, .per_second = per_second, .filled_us = now_us };
}

void rate_budget_give(struct rate_budget *budget, int64_t tokens)
{
	budget->tokens += tokens;
	if (budget->tokens > budget->burst)
		budget->tokens = budget->burst;
}

/* Whole seconds' worth of time would be coarse; whole tokens are fine, the remainder of the time is kept for the next call. */
static void refill(struct rate_budget *budget, int64_t now_us)
{
	int64_t passed_us = now_us - budget->filled_us;
	int64_t us_per_token = 1000000 / budget->per_second;
	int64_t earned = passed_us / us_per_token;

	if (earned <= 0)
		return;
	budget->filled_us += earned * us_per_token;
	rate_budget_give(budget, earned < budget->burst ? earned : budget->burst);
}

bool rate_budget_take(struct rate_budget *budget, int64_t tokens, int64_t now_us)
{
	refill(budget, now_us);
	if (budget->tokens < tokens)
		return false;
	budget->tokens -= tokens;
	return true;
}
