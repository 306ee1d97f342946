#include "task/signals.h"

#include <ctype.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

/* The first two real-time signals belong to the C library; programs see SIGRTMIN as 34 (signal(7)). */
#define RTMIN 34
#define RTMAX 64

#define NAMED(name)                                                                                                                \
	{                                                                                                                          \
#name, name, CRI__SIGNAL__SIGNAL_##name                                                                            \
	}

/* In the order of the contract; where two names share a number, the first one here is reported. */
static const struct {
	const char *name;
	int signo;
	Cri__Signal cri;
} named[] = {
	NAMED(SIGABRT), NAMED(SIGALRM), NAMED(SIGBUS),    NAMED(SIGCHLD),  NAMED(SIGCLD),  NAMED(SIGCONT),   NAMED(SIGFPE),
	NAMED(SIGHUP),  NAMED(SIGILL),  NAMED(SIGINT),    NAMED(SIGIO),    NAMED(SIGIOT),  NAMED(SIGKILL),   NAMED(SIGPIPE),
	NAMED(SIGPOLL), NAMED(SIGPROF), NAMED(SIGPWR),    NAMED(SIGQUIT),  NAMED(SIGSEGV), NAMED(SIGSTKFLT), NAMED(SIGSTOP),
	NAMED(SIGSYS),  NAMED(SIGTERM), NAMED(SIGTRAP),   NAMED(SIGTSTP),  NAMED(SIGTTIN), NAMED(SIGTTOU),   NAMED(SIGURG),
	NAMED(SIGUSR1), NAMED(SIGUSR2), NAMED(SIGVTALRM), NAMED(SIGWINCH), NAMED(SIGXCPU), NAMED(SIGXFSZ),
};

int signal_from_cri(Cri__Signal signal)
{
	for (size_t i = 0; i < ARRAY_SIZE(named); i++)
		if (named[i].cri == signal)
			return named[i].signo;
	/* RTMIN to RTMIN+15, then RTMAX-14 to RTMAX: 31 values in a row for the 31 numbers. */
	if (signal >= CRI__SIGNAL__SIGNAL_SIGRTMIN && signal <= CRI__SIGNAL__SIGNAL_SIGRTMAX)
		return RTMIN + (int)(signal - CRI__SIGNAL__SIGNAL_SIGRTMIN);
	return 0;
}

Cri__Signal signal_to_cri(int signo)
{
	for (size_t i = 0; i < ARRAY_SIZE(named); i++)
		if (named[i].signo == signo)
			return named[i].cri;
	if (signo >= RTMIN && signo <= RTMAX)
		return (Cri__Signal)(CRI__SIGNAL__SIGNAL_SIGRTMIN + (signo - RTMIN));
	return CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT;
}

/* All of `text` as a number in [0, max], or -1. */
static int parse_number(const char *text, int max)
{
	char *end;
	long number;

	if (!isdigit((unsigned char)*text) || strlen(text) > 3)
		return -1;
	number = strtol(text, &end, 10);
	return *end == '\0' && number <= max ? (int)number : -1;
}

/* "RTMIN", "RTMIN+N", "RTMAX", "RTMAX-N". */
static int parse_realtime(const char *name)
{
	bool from_min = !strncasecmp(name, "RTMIN", 5);
	int offset;

	if (!from_min && strncasecmp(name, "RTMAX", 5) != 0)
		return 0;
	if (name[5] == '\0')
		return from_min ? RTMIN : RTMAX;
	if (name[5] != (from_min ? '+' : '-'))
		return 0;
	offset = parse_number(name + 6, RTMAX - RTMIN);
	if (offset < 0)
		return 0;
	return from_min ? RTMIN + offset : RTMAX - offset;
}

int signal_parse(const char *text)
{
	int number = parse_number(text, RTMAX);

	if (number >= 0)
		return number;
	if (!strncasecmp(text, "SIG", 3))
		text += 3;
	for (size_t i = 0; i < ARRAY_SIZE(named); i++)
		if (!strcasecmp(named[i].name + 3, text))
			return named[i].signo;
	return parse_realtime(text);
}

int signal_choose(Cri__Signal requested, const char *image_stop_signal)
{
	int signo = signal_from_cri(requested);

	if (signo == 0)
		signo = signal_parse(image_stop_signal);
	return signo ? signo : SIGTERM;
}
