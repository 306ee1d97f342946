#include "net/nft_maps.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "net/ports.h"

const char nft_map_ports[] = "ports";
const char nft_map_address_ports[] = "address_ports";

/* 64 elements of at most 160 bytes fit NL_MESSAGE_MAX and the 64 KiB of a netlink attribute. */
#define ELEMENTS_PER_MESSAGE 64

/* The data types as nft(8) numbers them, so that `nft list` can print the maps: six bits for each part of a concatenation. */
enum { TYPE_IPV4 = 7, TYPE_PROTOCOL = 12, TYPE_PORT = 13, TYPE_BITS = 6 };

struct key {
	uint32_t word[3]; /* [address,] protocol, port; as packets have them */
	uint32_t len;
};

static struct key make_key(const struct nft_port *port)
{
	struct key key = { 0 };
	uint16_t number = htons(port->host_port);
	unsigned i = 0;

	if (port->host_address != 0)
		key.word[i++] = htonl(port->host_address);
	memcpy(&key.word[i++], &port->protocol, sizeof(port->protocol));
	memcpy(&key.word[i++], &number, sizeof(number));
	key.len = i * (uint32_t)sizeof(key.word[0]);
	return key;
}

static void make_value(const struct nft_port *port, uint32_t value[2])
{
	uint16_t number = htons(port->pod_port);

	value[0] = htonl(port->pod_address);
	value[1] = 0;
	memcpy(&value[1], &number, sizeof(number));
}

static bool put_owner(struct nftnl_set_elem *element, const char *pod_id)
{
	struct nftnl_udata_buf *data = nftnl_udata_buf_alloc(NFTNL_UDATA_COMMENT_MAXLEN + 8);
	bool ok = data && nftnl_udata_put_strz(data, NFTNL_UDATA_SET_ELEM_COMMENT, pod_id) &&
		  nftnl_set_elem_set(element, NFTNL_SET_ELEM_USERDATA, nftnl_udata_buf_data(data), nftnl_udata_buf_len(data)) == 0;

	if (data)
		nftnl_udata_buf_free(data);
	return ok;
}

static bool fill_element(struct nftnl_set_elem *element, const struct nft_port *port, bool with_value)
{
	struct key key = make_key(port);
	uint32_t value[2];

	if (nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, key.word, key.len) < 0)
		return false;
	if (!with_value)
		return true;
	make_value(port, value);
	return nftnl_set_elem_set(element, NFTNL_SET_ELEM_DATA, value, sizeof(value)) == 0 && put_owner(element, port->pod_id);
}

static bool add_element(struct nftnl_set *set, const struct nft_port *port, bool with_value)
{
	struct nftnl_set_elem *element = nftnl_set_elem_alloc();

	if (!element)
		return false;
	if (!fill_element(element, port, with_value)) {
		nftnl_set_elem_free(element);
		return false;
	}
	nftnl_set_elem_add(set, element);
	return true;
}

static struct nftnl_set *new_set(const struct nft_network *net, const char *map)
{
	struct nftnl_set *set = nftnl_set_alloc();

	if (!set)
		return NULL;
	nftnl_set_set_u32(set, NFTNL_SET_FAMILY, NFPROTO_IPV4);
	if (nftnl_set_set_str(set, NFTNL_SET_TABLE, net->table) < 0 || nftnl_set_set_str(set, NFTNL_SET_NAME, map) < 0) {
		nftnl_set_free(set);
		return NULL;
	}
	return set;
}

static void put_map(struct nl_batch *b, const struct nft_network *net, const char *map, uint32_t id)
{
	bool with_address = map == nft_map_address_ports;
	uint32_t key_type = TYPE_PROTOCOL << TYPE_BITS | TYPE_PORT;
	struct nftnl_set *set = new_set(net, map);
	struct nlmsghdr *m;

	if (!set) {
		b->failed = true;
		return;
	}
	if (with_address)
		key_type |= TYPE_IPV4 << 2 * TYPE_BITS;
	nftnl_set_set_u32(set, NFTNL_SET_ID, id);
	nftnl_set_set_u32(set, NFTNL_SET_FLAGS, NFT_SET_MAP);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, key_type);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, with_address ? 12 : 8);
	nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, TYPE_IPV4 << TYPE_BITS | TYPE_PORT);
	nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, 8);
	/* A map of a known size is a table that never grows or shrinks. Of one that does, by a worker some time after a change, the kernel
	 * lists elements twice or not at all (nft_rhash_walk() of net/netfilter/nft_set_hash.c), and the list is what we remember ports by. */
	nftnl_set_set_u32(set, NFTNL_SET_DESC_SIZE, PORTS_MAX);
	m = nl_batch_add_nft(b, NFT_MSG_NEWSET, NLM_F_CREATE, "add map %s", map);
	if (m)
		nftnl_set_nlmsg_build_payload(m, set);
	nftnl_set_free(set);
}

void nft_put_maps(struct nl_batch *b, const struct nft_network *net)
{
	/* The numbers only tell the sets of one transaction apart. */
	put_map(b, net, nft_map_ports, 1);
	put_map(b, net, nft_map_address_ports, 2);
}

static const char *map_of(const struct nft_port *port)
{
	return port->host_address == 0 ? nft_map_ports : nft_map_address_ports;
}

static void put_message(struct nl_batch *b, uint16_t type, struct nftnl_set *set)
{
	uint16_t flags = type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE | NLM_F_EXCL : 0;
	struct nlmsghdr *m = nl_batch_add_nft(b, type, flags, "%s host ports", type == NFT_MSG_NEWSETELEM ? "add" : "remove");

	if (m)
		nftnl_set_elems_nlmsg_build_payload(m, set);
}

/* One message with the ports of [*next, n) that belong to the map, as many as fit. */
static void put_chunk(struct nl_batch *b, uint16_t type, const struct nft_network *net, const char *map,
		      const struct nft_port *ports, size_t n, size_t *next)
{
	struct nftnl_set *set = new_set(net, map);
	size_t count = 0;

	for (; set && *next < n && count < ELEMENTS_PER_MESSAGE; (*next)++) {
		if (map_of(&ports[*next]) != map)
			continue;
		if (!add_element(set, &ports[*next], type == NFT_MSG_NEWSETELEM))
			b->failed = true;
		count++;
	}
	if (count > 0)
		put_message(b, type, set);
	if (set)
		nftnl_set_free(set);
	else
		b->failed = true;
}

void nft_put_ports(struct nl_batch *b, uint16_t type, const struct nft_network *net, const struct nft_port *ports, size_t n)
{
	for (size_t next = 0; next < n && !b->failed;)
		put_chunk(b, type, net, nft_map_ports, ports, n, &next);
	for (size_t next = 0; next < n && !b->failed;)
		put_chunk(b, type, net, nft_map_address_ports, ports, n, &next);
}

static int run_ports(struct netlink *nl, uint16_t type, const struct nft_network *net, const struct nft_port *ports, size_t n,
		     struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;

	if (n == 0)
		return 0;
	nl_batch_nft_begin(&b);
	nft_put_ports(&b, type, net, ports, n);
	nl_batch_nft_end(&b);
	return nl_batch_run(nl, &b, err);
}

int nft_add_ports(struct netlink *nl, const struct nft_network *net, const struct nft_port *ports, size_t n, struct error *err)
{
	return run_ports(nl, NFT_MSG_NEWSETELEM, net, ports, n, err);
}

int nft_remove_ports(struct netlink *nl, const struct nft_network *net, const struct nft_port *ports, size_t n, struct error *err)
{
	return run_ports(nl, NFT_MSG_DELSETELEM, net, ports, n, err);
}

/* Without a comment, or with one that is no pod's id, the element is not ours: the owner stays empty. */
static int take_comment(const struct nftnl_udata *attr, void *arg)
{
	struct nft_port *port = arg;
	const char *text = nftnl_udata_get(attr);

	if (nftnl_udata_type(attr) == NFTNL_UDATA_SET_ELEM_COMMENT && nftnl_udata_len(attr) == ID_SIZE && text[ID_LEN] == '\0' &&
	    id_is_valid(text))
		memcpy(port->pod_id, text, ID_SIZE);
	return 0;
}

static uint16_t port_of(uint32_t word)
{
	uint16_t number;

	memcpy(&number, &word, sizeof(number));
	return ntohs(number);
}

static void parse_key(struct nft_port *port, const uint32_t *word, uint32_t len)
{
	if (len == 12)
		port->host_address = ntohl(*word++);
	memcpy(&port->protocol, &word[0], sizeof(port->protocol));
	port->host_port = port_of(word[1]);
}

/* False for what is no element of ours. */
static bool parse_element(struct nftnl_set_elem *element, struct nft_port *ret_port)
{
	uint32_t key_len = 0, value_len = 0, data_len = 0;
	const uint32_t *key = nftnl_set_elem_get(element, NFTNL_SET_ELEM_KEY, &key_len);
	const uint32_t *value = nftnl_set_elem_get(element, NFTNL_SET_ELEM_DATA, &value_len);
	const void *data = nftnl_set_elem_get(element, NFTNL_SET_ELEM_USERDATA, &data_len);

	*ret_port = (struct nft_port){ 0 };
	if (!key || (key_len != 8 && key_len != 12) || !value || value_len != 8)
		return false;
	parse_key(ret_port, key, key_len);
	ret_port->pod_address = ntohl(value[0]);
	ret_port->pod_port = port_of(value[1]);
	if (data && data_len > 0)
		(void)nftnl_udata_parse(data, data_len, take_comment, ret_port);
	return true;
}

struct port_walk {
	nft_port_fn *fn;
	void *arg;
};

static int visit_elements(struct nftnl_set *set, const struct port_walk *walk, struct error *err)
{
	struct nftnl_set_elems_iter *iter = nftnl_set_elems_iter_create(set);
	struct nftnl_set_elem *element;
	struct nft_port port;
	int r = 0;

	if (!iter)
		return error_sys(err, ENOMEM, "list host ports");
	while (r == 0 && (element = nftnl_set_elems_iter_next(iter))) {
		if (parse_element(element, &port))
			r = walk->fn(&port, walk->arg, err);
	}
	nftnl_set_elems_iter_destroy(iter);
	return r;
}

static int visit_message(const struct nlmsghdr *m, void *arg, struct error *err)
{
	struct nftnl_set *set = nftnl_set_alloc();
	int r = 0;

	if (!set)
		return error_sys(err, ENOMEM, "list host ports");
	if (nftnl_set_elems_nlmsg_parse(m, set) >= 0)
		r = visit_elements(set, arg, err);
	nftnl_set_free(set);
	return r;
}

static int list_map(struct netlink *nl, const struct nft_network *net, const char *map, struct port_walk *walk, struct error *err)
{
	_cleanup_nl_batch_ struct nl_batch b = NL_BATCH_INIT;
	struct nlmsghdr *m = nl_batch_add_nft(&b, NFT_MSG_GETSETELEM, 0, "list map %s", map);

	if (m) {
		mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_TABLE, net->table);
		mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_SET, map);
	}
	nl_batch_tolerate(&b, ENOENT);
	return nl_dump(nl, &b, visit_message, walk, err);
}

int nft_each_port(struct netlink *nl, const struct nft_network *net, nft_port_fn *fn, void *arg, struct error *err)
{
	struct port_walk walk = { .fn = fn, .arg = arg };

	if (list_map(nl, net, nft_map_ports, &walk, err) < 0)
		return -1;
	return list_map(nl, net, nft_map_address_ports, &walk, err);
}
