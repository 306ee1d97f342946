/* Budgets of what a peer can make us spend: bytes that wait in memory, and frames that cost us work and the peer nothing. */
#ifndef MONOPOD_CRI_BUDGET_H
#define MONOPOD_CRI_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes held for a peer. A connection's budget has the server's as its parent, which all connections share. */
struct byte_budget {
	size_t used;
	size_t max;
	struct byte_budget *parent; /* may be NULL */
};

/* Takes from the budget and all its parents, or from none. */
bool byte_budget_take(struct byte_budget *budget, size_t bytes);
void byte_budget_give(struct byte_budget *budget, size_t bytes);

/* A token bucket. */
struct rate_budget {
	int64_t tokens;
	int64_t burst;
	int64_t per_second;
	int64_t filled_us; /* CLOCK_MONOTONIC of the last refill */
};

void rate_budget_init(struct rate_budget *budget, int64_t burst, int64_t per_second, int64_t now_us);

/* False when it is used up. */
bool rate_budget_take(struct rate_budget *budget, int64_t tokens, int64_t now_us);

/* What honest work gives back. */
void rate_budget_give(struct rate_budget *budget, int64_t tokens);

#endif
