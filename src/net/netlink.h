/*
 * Netlink sockets: requests in batches, answers matched to them by sequence number, errors with the name of the request and the
 * kernel's own explanation (extended acks).
 *
 * The kernel handles a batch inside sendmsg(2). On an rtnetlink socket every message stands alone: one that fails does not keep the
 * next from running, so put into one batch only what may be tried when an earlier message failed. Between nl_batch_nft_begin() and
 * nl_batch_nft_end() the messages are one transaction: all or nothing.
 *
 * A socket belongs to the network namespace that its creator was in, for good.
 */
#ifndef MONOPOD_NET_NETLINK_H
#define MONOPOD_NET_NETLINK_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct netlink;

/* `bus` is NETLINK_ROUTE or NETLINK_NETFILTER. */
int netlink_open(int bus, struct netlink **ret_nl, struct error *err);
void netlink_close(struct netlink *nl); /* NULL is fine */

/* For the cleanup attribute. */
static inline void cleanup_netlink(struct netlink **nl)
{
	netlink_close(*nl);
}
#define _cleanup_netlink_ __attribute__((cleanup(cleanup_netlink)))

/* The most that one message may take: the largest we build holds 64 set elements of about 160 bytes. */
#define NL_MESSAGE_MAX ((size_t)16 * 1024)

struct nl_item;

struct nl_batch {
	char *data;
	size_t len, cap;
	struct nl_item *items;
	size_t n_items, cap_items;
	bool failed; /* memory was out; nl_batch_run() reports it */
};

#define NL_BATCH_INIT                                                                                                              \
	{                                                                                                                          \
		0                                                                                                                  \
	}

void nl_batch_release(struct nl_batch *b);
#define _cleanup_nl_batch_ __attribute__((cleanup(nl_batch_release)))

/*
 * Appends an empty message that asks for an ack, with NL_MESSAGE_MAX bytes of room; the caller fills it through mnl_nlmsg_put_extra
 * _header() and mnl_attr_put*() before it adds the next one. `what` names it in errors ("set eth0 up"). NULL when memory is out:
 * callers that see NULL just return, nl_batch_run() reports it.
 */
struct nlmsghdr *nl_batch_add(struct nl_batch *b, uint16_t type, uint16_t flags, const char *what, ...)
	__attribute__((format(printf, 4, 5)));

/* The same for a message to nftables (NFT_MSG_*), with the header that its IPv4 tables expect. */
struct nlmsghdr *nl_batch_add_nft(struct nl_batch *b, uint16_t type, uint16_t flags, const char *what, ...)
	__attribute__((format(printf, 4, 5)));

/* This errno counts as success for the last message. */
void nl_batch_tolerate(struct nl_batch *b, int sys_errno);

/* The marks around an nftables transaction. Without the end mark the kernel checks everything and commits nothing. */
void nl_batch_nft_begin(struct nl_batch *b);
void nl_batch_nft_end(struct nl_batch *b);

/* Sends the batch and waits for all acks. The error is that of the first message that failed; its errno is in err->sys_errno. */
int nl_batch_run(struct netlink *nl, struct nl_batch *b, struct error *err);

/* Called with each message of a dump; a negative return, with the error set, ends it. */
typedef int nl_message_fn(const struct nlmsghdr *message, void *arg, struct error *err);

/* Runs the one message of *b as a request with many answers. A dump that the kernel declares inconsistent (NLM_F_DUMP_INTR) is run
 * again, so on_message may see an object twice. */
int nl_dump(struct netlink *nl, struct nl_batch *b, nl_message_fn *on_message, void *arg, struct error *err);

/* Runs the one message of *b as a request that is answered by one message. */
int nl_get(struct netlink *nl, struct nl_batch *b, nl_message_fn *on_message, void *arg, struct error *err);

#endif
