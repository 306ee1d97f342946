/* Who is at the other end of a unix socket. */
#ifndef MONOPOD_CRI_PEER_H
#define MONOPOD_CRI_PEER_H

#include "base/error.h"

/* ERR_DENIED unless the process that connected ran as root then (SO_PEERCRED, unix(7)): the socket's mode already says so, but a
 * socket-activated one has the mode of its unit, and whoever may connect owns the node. */
int peer_check_root(int fd, struct error *err);

#endif
