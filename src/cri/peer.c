#include "cri/peer.h"

#include <errno.h>
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
