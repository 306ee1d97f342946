#include "cri/peer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int peer_check_root(int fd, struct error *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return error_sys(err, errno, "ask who connects");
	if (peer.uid != 0)
		return error_set(err, ERR_DENIED, "connection of process %d, which runs as user %u: only root may", (int)peer.pid,
				 (unsigned)peer.uid);
	return 0;
}

/* Peeking makes a duplicate; the original goes when the bytes are read without a place for it. */
int peer_take_descriptor(int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte;
	struct iovec vector = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	const struct cmsghdr *header;
	int taken = -1;

	if (recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&taken, CMSG_DATA(header), sizeof(taken));
	return taken;
}
