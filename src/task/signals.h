/* Stop signals: from the CRI's enum and from the spellings of an image's STOPSIGNAL to Linux numbers. */
#ifndef MONOPOD_TASK_SIGNALS_H
#define MONOPOD_TASK_SIGNALS_H

#include "proto/cri.pb-c.h"

/* 0 for SIGNAL_RUNTIME_DEFAULT and for values that the contract does not have. The enum's values are not Linux numbers. */
int signal_from_cri(Cri__Signal signal);

/* SIGNAL_RUNTIME_DEFAULT for a number without a name in the contract. */
Cri__Signal signal_to_cri(int signo);

/* "SIGTERM", "term", "15", "SIGRTMIN+3", "RTMAX-1"; 0 when it is none of these. */
int signal_parse(const char *text);

/* What to send first: the request's choice, else the image's, else SIGTERM. */
int signal_choose(Cri__Signal requested, const char *image_stop_signal);

#endif
