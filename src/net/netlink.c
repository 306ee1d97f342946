#include "net/netlink.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/mem.h"

/* Kernels give dumps in pieces of at most 32 KiB (netlink_dump() since Linux 3.9). */
#define RECEIVE_SIZE ((size_t)32 * 1024)

/* The kernel answers inside sendmsg(2); waiting at all means that something is broken. */
#define RECEIVE_TIMEOUT_S 5

/* Less than what a socket has by default on every kernel (net.core.rmem_default, wmem_default). */
#define DEFAULT_BUFFER_BYTES (128 * 1024)

/* What an ack takes of the receive buffer, with the kernel's overhead (measured: below 1 KiB). */
#define ACK_BYTES 2048

/* How often an inconsistent dump is repeated before we give up (arbitrary). */
#define MAX_DUMP_TRIES 8

struct netlink {
	struct mnl_socket *socket;
	uint32_t next_seq;
	char received[RECEIVE_SIZE];
};

struct nl_item {
	size_t offset;
	int tolerated_errno;
	char what[96];
};

static void set_options(struct mnl_socket *socket)
{
	int on = 1;
	struct timeval timeout = { .tv_sec = RECEIVE_TIMEOUT_S };

	/* Old kernels know neither of the first two: then errors lack the explanation and acks repeat the request. */
	(void)mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &on, sizeof(on));
	(void)setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
}

int netlink_open(int bus, struct netlink **ret_nl, struct error *err)
{
	struct netlink *nl = calloc(1, sizeof(*nl));

	if (!nl)
		return error_sys(err, ENOMEM, "open netlink socket");
	nl->socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl->socket) {
		(void)error_sys(err, errno, "open netlink socket %d", bus);
		netlink_close(nl);
		return -1;
	}
	if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		(void)error_sys(err, errno, "bind netlink socket %d", bus);
		netlink_close(nl);
		return -1;
	}
	set_options(nl->socket);
	nl->next_seq = 1;
	*ret_nl = nl;
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	if (nl->socket)
		(void)mnl_socket_close(nl->socket);
	free(nl);
}

void nl_batch_release(struct nl_batch *b)
{
	free(b->data);
	free(b->items);
	*b = (struct nl_batch)NL_BATCH_INIT;
}

static struct nlmsghdr *message_at(const struct nl_batch *b, size_t i)
{
	return (struct nlmsghdr *)(void *)(b->data + b->items[i].offset);
}

/* Takes the last message, which its builder has grown by now, into the batch's length. */
static void finish_message(struct nl_batch *b)
{
	const struct nlmsghdr *last;

	if (b->n_items == 0)
		return;
	last = message_at(b, b->n_items - 1);
	assert(last->nlmsg_len <= NL_MESSAGE_MAX);
	b->len = b->items[b->n_items - 1].offset + MNL_ALIGN(last->nlmsg_len);
}

static bool make_room(struct nl_batch *b)
{
	if (b->len + NL_MESSAGE_MAX > b->cap) {
		size_t cap = b->cap * 2 + NL_MESSAGE_MAX;
		char *data = realloc(b->data, cap);

		if (!data)
			return false;
		b->data = data;
		b->cap = cap;
	}
	if (b->n_items == b->cap_items) {
		size_t cap = b->cap_items * 2 + 8;
		struct nl_item *items = realloc(b->items, cap * sizeof(*items));

		if (!items)
			return false;
		b->items = items;
		b->cap_items = cap;
	}
	return true;
}

static struct nl_item *add_item(struct nl_batch *b)
{
	struct nl_item *item;

	finish_message(b);
	if (b->failed || !make_room(b)) {
		b->failed = true;
		return NULL;
	}
	item = &b->items[b->n_items++];
	*item = (struct nl_item){ .offset = b->len };
	return item;
}

__attribute__((format(printf, 4, 0))) static struct nlmsghdr *add_message(struct nl_batch *b, uint16_t type, uint16_t flags,
									  const char *what, va_list args)
{
	struct nl_item *item = add_item(b);
	struct nlmsghdr *message;

	if (!item)
		return NULL;
	(void)vsnprintf(item->what, sizeof(item->what), what, args);
	message = mnl_nlmsg_put_header(b->data + item->offset);
	message->nlmsg_type = type;
	message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	return message;
}

struct nlmsghdr *nl_batch_add(struct nl_batch *b, uint16_t type, uint16_t flags, const char *what, ...)
{
	struct nlmsghdr *message;
	va_list args;

	va_start(args, what);
	message = add_message(b, type, flags, what, args);
	va_end(args);
	return message;
}

static void put_nfnetlink(struct nlmsghdr *message, uint8_t family, uint16_t resource)
{
	struct nfgenmsg *body = mnl_nlmsg_put_extra_header(message, sizeof(*body));

	body->nfgen_family = family;
	body->version = NFNETLINK_V0;
	body->res_id = htons(resource);
}

struct nlmsghdr *nl_batch_add_nft(struct nl_batch *b, uint16_t type, uint16_t flags, const char *what, ...)
{
	struct nlmsghdr *message;
	va_list args;

	va_start(args, what);
	message = add_message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, what, args);
	va_end(args);
	if (message)
		put_nfnetlink(message, NFPROTO_IPV4, 0);
	return message;
}

void nl_batch_tolerate(struct nl_batch *b, int sys_errno)
{
	if (!b->failed)
		b->items[b->n_items - 1].tolerated_errno = sys_errno;
}

static void add_nft_mark(struct nl_batch *b, uint16_t type, const char *what)
{
	struct nlmsghdr *message = nl_batch_add(b, type, 0, "%s", what);

	if (!message)
		return;
	/* Kernels do not agree on whether marks are acked; they all report a mark that failed. */
	message->nlmsg_flags = NLM_F_REQUEST;
	put_nfnetlink(message, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
}

void nl_batch_nft_begin(struct nl_batch *b)
{
	add_nft_mark(b, NFNL_MSG_BATCH_BEGIN, "begin nftables transaction");
}

void nl_batch_nft_end(struct nl_batch *b)
{
	add_nft_mark(b, NFNL_MSG_BATCH_END, "end nftables transaction");
}

/* Numbers the messages and returns the first number. */
static uint32_t number_messages(struct netlink *nl, struct nl_batch *b)
{
	uint32_t first = nl->next_seq;

	finish_message(b);
	for (size_t i = 0; i < b->n_items; i++)
		message_at(b, i)->nlmsg_seq = nl->next_seq++;
	return first;
}

/* The default buffers of 208 KiB hold any batch and its acks but the rebuilding of a very full table. */
static void make_buffers_fit(struct netlink *nl, const struct nl_batch *b)
{
	int fd = mnl_socket_get_fd(nl->socket);
	int send_bytes = (int)b->len + 4096;
	int receive_bytes = (int)b->n_items * ACK_BYTES;

	if (send_bytes > DEFAULT_BUFFER_BYTES)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes));
	if (receive_bytes > DEFAULT_BUFFER_BYTES)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof(receive_bytes));
}

static int send_batch(struct netlink *nl, const struct nl_batch *b, struct error *err)
{
	make_buffers_fit(nl, b);
	if (mnl_socket_sendto(nl->socket, b->data, b->len) < 0)
		return error_sys(err, errno, "send %s", b->items[0].what);
	return 0;
}

static int start_batch(struct netlink *nl, struct nl_batch *b, uint32_t *ret_first, struct error *err)
{
	if (b->failed)
		return error_sys(err, ENOMEM, "build netlink message");
	assert(b->n_items > 0);
	*ret_first = number_messages(nl, b);
	return send_batch(nl, b, err);
}

static ssize_t receive(struct netlink *nl, struct error *err)
{
	ssize_t n;

	do {
		n = mnl_socket_recvfrom(nl->socket, nl->received, sizeof(nl->received));
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN ? error_set(err, ERR_DEADLINE, "no answer from the kernel within %d s", RECEIVE_TIMEOUT_S)
			       : error_sys(err, errno, "receive from the kernel");
}

static int find_explanation(const struct nlattr *attr, void *arg)
{
	const char **text = arg;

	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
		*text = mnl_attr_get_str(attr);
	return MNL_CB_OK;
}

/* The kernel's own words about the failure, or NULL. */
static const char *explanation(const struct nlmsghdr *ack)
{
	const struct nlmsgerr *body = mnl_nlmsg_get_payload(ack);
	size_t skip = sizeof(*body);
	const char *text = NULL;

	if (!(ack->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(ack->nlmsg_flags & NLM_F_CAPPED))
		skip += MNL_ALIGN(body->msg.nlmsg_len) - sizeof(body->msg);
	if (ack->nlmsg_len < MNL_NLMSG_HDRLEN + skip)
		return NULL;
	(void)mnl_attr_parse(ack, (unsigned)skip, find_explanation, &text);
	return text;
}

static int report(const struct nl_item *item, const struct nlmsghdr *ack, int sys_errno, struct error *err)
{
	const char *text = explanation(ack);

	if (text)
		return error_sys(err, sys_errno, "%s (%s)", item->what, text);
	return error_sys(err, sys_errno, "%s", item->what);
}

/* 0 when the item is done well, -1 with the error. */
static int take_ack(const struct nl_item *item, const struct nlmsghdr *ack, struct error *err)
{
	const struct nlmsgerr *body = mnl_nlmsg_get_payload(ack);

	if (ack->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*body))
		return error_set(err, ERR_INTERNAL, "%s: short ack from the kernel", item->what);
	if (body->error == 0 || -body->error == item->tolerated_errno)
		return 0;
	return report(item, ack, -body->error, err);
}

static size_t count_acks(const struct nl_batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_items; i++)
		n += (message_at(b, i)->nlmsg_flags & NLM_F_ACK) != 0;
	return n;
}

/* Takes the acks of one received datagram; answers to an earlier batch that failed half way carry older numbers and are dropped. */
static int take_acks(struct netlink *nl, const struct nl_batch *b, uint32_t first, size_t *missing, struct error *err)
{
	ssize_t n = receive(nl, err);
	int left = (int)n;

	if (n < 0)
		return error_prefix(err, "%s", b->items[0].what);
	for (const struct nlmsghdr *m = (void *)nl->received; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
		uint32_t i = m->nlmsg_seq - first;

		if (m->nlmsg_type != NLMSG_ERROR || i >= b->n_items)
			continue;
		if (take_ack(&b->items[i], m, err) < 0)
			return -1;
		*missing -= (message_at(b, i)->nlmsg_flags & NLM_F_ACK) != 0;
	}
	return 0;
}

int nl_batch_run(struct netlink *nl, struct nl_batch *b, struct error *err)
{
	size_t missing;
	uint32_t first;

	if (start_batch(nl, b, &first, err) < 0)
		return -1;
	missing = count_acks(b);
	while (missing > 0) {
		if (take_acks(nl, b, first, &missing, err) < 0)
			return -1;
	}
	return 0;
}

struct answers {
	nl_message_fn *on_message;
	void *arg;
	uint32_t seq;
	bool done;
	bool interrupted;
};

static int take_answer(const struct nl_batch *b, struct answers *a, const struct nlmsghdr *m, struct error *err)
{
	if (m->nlmsg_flags & NLM_F_DUMP_INTR)
		a->interrupted = true;
	switch (m->nlmsg_type) {
	case NLMSG_ERROR:
		a->done = true;
		return take_ack(&b->items[0], m, err);
	case NLMSG_DONE:
		a->done = true;
		return 0;
	case NLMSG_NOOP:
	case NLMSG_OVERRUN:
		return 0;
	default:
		return a->on_message(m, a->arg, err);
	}
}

static int take_answers(struct netlink *nl, const struct nl_batch *b, struct answers *a, struct error *err)
{
	while (!a->done) {
		ssize_t n = receive(nl, err);
		int left = (int)n;

		if (n < 0)
			return error_prefix(err, "%s", b->items[0].what);
		for (const struct nlmsghdr *m = (void *)nl->received; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
			if (m->nlmsg_seq == a->seq && take_answer(b, a, m, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int ask(struct netlink *nl, struct nl_batch *b, struct answers *a, struct error *err)
{
	a->done = a->interrupted = false;
	if (start_batch(nl, b, &a->seq, err) < 0)
		return -1;
	return take_answers(nl, b, a, err);
}

int nl_dump(struct netlink *nl, struct nl_batch *b, nl_message_fn *on_message, void *arg, struct error *err)
{
	struct answers a = { .on_message = on_message, .arg = arg };

	if (!b->failed)
		message_at(b, 0)->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	for (int i = 0; i < MAX_DUMP_TRIES; i++) {
		if (ask(nl, b, &a, err) < 0)
			return -1;
		if (!a.interrupted)
			return 0;
	}
	return error_set(err, ERR_UNAVAILABLE, "%s: the list changed under each of %d readings", b->items[0].what, MAX_DUMP_TRIES);
}

int nl_get(struct netlink *nl, struct nl_batch *b, nl_message_fn *on_message, void *arg, struct error *err)
{
	struct answers a = { .on_message = on_message, .arg = arg };

	return ask(nl, b, &a, err);
}
