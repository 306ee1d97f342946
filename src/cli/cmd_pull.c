#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/grpc_client.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "proto/admin.pb-c.h"
#include "proto/cri.pb-c.h"

struct pull_options {
	const char *user;
	const char *password_file;
	bool quiet;
};

static const struct option_row pull_rows[] = {
	{ 'u', "user", "NAME", OPTION_TEXT, offsetof(struct pull_options, user), "log in to the registry as this user", 0, 0 },
	{ 0, "password-file", "FILE", OPTION_TEXT, offsetof(struct pull_options, password_file),
	  "the password, in a file so that it is in nobody's process list; /dev/stdin reads it from there", 0, 0 },
	{ 'q', "quiet", NULL, OPTION_FLAG, offsetof(struct pull_options, quiet), "print the images' ids and nothing else", 0, 0 },
	NO_MORE_OPTIONS,
};

/* Nobody's password is longer (arbitrary); registry tokens are the longest at a few KiB. */
#define MAX_PASSWORD_BYTES 65536

/* The file without the line end that editors leave. */
static int read_password(struct cli *cli, const char *path, char **ret_password, struct error *err)
{
	_cleanup_buffer_ struct buffer file = BUFFER_INIT(MAX_PASSWORD_BYTES);

	if (io_read_file(AT_FDCWD, path, &file, err) < 0)
		return -1;
	*ret_password = arena_strndup(&cli->arena, file.len ? file.data : "", file.len);
	if (*ret_password)
		(*ret_password)[strcspn(*ret_password, "\r\n")] = '\0';
	explicit_bzero(file.data, file.len);
	return cli_check_memory(cli, err);
}

static int fill_auth(struct cli *cli, const struct pull_options *options, Cri__AuthConfig *auth, struct error *err)
{
	if (!options->user != !options->password_file)
		return cli_usage(err, "%s", "--user and --password-file go together");
	if (!options->user)
		return 0;
	auth->username = arena_strdup(&cli->arena, options->user);
	return read_password(cli, options->password_file, &auth->password, err) < 0 ? CLI_FAILED : 0;
}

/* ---- signals ---- */

/* What may interrupt a pull, and what the picture of it has to know. They come through a descriptor while a call waits. */
static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT, SIGALRM };

#define TICK_US 500000

struct pull {
	struct cli *cli;
	const struct pull_options *options;
	Cri__AuthConfig *auth;
	struct progress *progress; /* NULL: quiet */
	char *image_ref;           /* of the arena */
	int signal_fd;
	sigset_t old_mask;
	int interrupted; /* the signal */
};

static void take_signal(struct pull *pull, int signo)
{
	int64_t now_us = clock_monotonic_us();

	if (signo == SIGINT || signo == SIGTERM || signo == SIGHUP) {
		pull->interrupted = signo;
		grpc_client_cancel(pull->cli->rpc.client);
	} else if (pull->progress && signo == SIGALRM) {
		progress_tick(pull->progress, now_us);
	} else if (pull->progress && signo == SIGWINCH) {
		progress_resize(pull->progress, progress_screen_of(stderr), now_us);
	} else if (pull->progress && signo == SIGCONT) {
		progress_restart(pull->progress);
	}
}

static void on_signal(void *arg)
{
	struct pull *pull = arg;
	struct signalfd_siginfo info;

	while (read(pull->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		take_signal(pull, (int)info.ssi_signo);
}

static int watch_signals(struct pull *pull, struct error *err)
{
	const struct itimerval tick = { { 0, TICK_US }, { 0, TICK_US } };
	sigset_t mask;

	(void)sigemptyset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaddset(&mask, signals[i]);
	if (sigprocmask(SIG_BLOCK, &mask, &pull->old_mask) < 0)
		return error_sys(err, errno, "block signals");
	pull->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (pull->signal_fd < 0)
		return error_sys(err, errno, "open a signalfd");
	(void)setitimer(ITIMER_REAL, &tick, NULL);
	grpc_client_watch(pull->cli->rpc.client, pull->signal_fd, on_signal, pull);
	return 0;
}

static void forget_signals(struct pull *pull)
{
	const struct itimerval none = { 0 };

	grpc_client_watch(pull->cli->rpc.client, -1, NULL, NULL);
	(void)setitimer(ITIMER_REAL, &none, NULL);
	on_signal(pull); /* a last tick must not end us by its default */
	close_fd(&pull->signal_fd);
	(void)sigprocmask(SIG_SETMASK, &pull->old_mask, NULL);
}

/* ---- one image ---- */

static int on_message(void *arg, const ProtobufCMessage *message, struct error *err)
{
	const Admin__PullImageResponse *told = (const Admin__PullImageResponse *)message;
	struct pull *pull = arg;

	if (pull->progress)
		progress_take(pull->progress, told, clock_monotonic_us());
	if (!*told->image_ref)
		return 0;
	pull->image_ref = arena_strdup(&pull->cli->arena, told->image_ref);
	return cli_check_memory(pull->cli, err);
}

static int call_pull(struct pull *pull, char *image, struct error *err)
{
	Admin__PullImageRequest request = ADMIN__PULL_IMAGE_REQUEST__INIT;
	Cri__PullImageRequest inner = CRI__PULL_IMAGE_REQUEST__INIT;
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	const struct rpc_stream stream = { .on_message = on_message, .arg = pull };

	spec.image = image;
	inner.image = &spec;
	inner.auth = pull->auth;
	request.pull = &inner;
	pull->image_ref = NULL;
	if (cli_stream(pull->cli, "PullImage", &request.base, &stream, err) < 0)
		return -1;
	return pull->image_ref ? 0 : error_set(err, ERR_INTERNAL, "PullImage: the daemon did not say what it pulled");
}

static int report(const struct pull *pull, const char *image, int64_t took_us, struct error *err)
{
	Cri__PullImageResponse reply = CRI__PULL_IMAGE_RESPONSE__INIT;
	char took[TEXT_DURATION_SIZE];

	reply.image_ref = pull->image_ref;
	if (pull->cli->json)
		return json_print_message(&reply.base, pull->cli->out, err);
	text_duration(took, (uint64_t)took_us);
	if (pull->options->quiet)
		(void)fprintf(pull->cli->out, "%s\n", pull->image_ref);
	else
		(void)fprintf(pull->cli->out, "pulled %s as %s in %s\n", image, pull->image_ref, took);
	(void)fflush(pull->cli->out);
	return 0;
}

static int pull_one(struct pull *pull, char *image, struct error *err)
{
	int64_t began_us = clock_monotonic_us();
	int result;

	if (!pull->options->quiet)
		pull->progress = progress_new(stderr, progress_screen_of(stderr));
	result = call_pull(pull, image, err);
	progress_free(pull->progress);
	pull->progress = NULL;
	return result < 0 ? -1 : report(pull, image, clock_monotonic_us() - began_us, err);
}

/* ---- all of them ---- */

/* One that fails does not keep the others: the last failure is told by the caller, those before it here. */
static int pull_all(struct pull *pull, char **images, int n, struct error *err)
{
	int n_failed = 0;

	for (int i = 0; i < n && !pull->interrupted; i++) {
		struct error failure = ERROR_INIT;

		if (pull_one(pull, images[i], &failure) == 0)
			continue;
		if (n_failed++ > 0)
			(void)fprintf(stderr, "monopod pull: %s\n", err->text);
		*err = failure;
	}
	return n_failed ? CLI_FAILED : 0;
}

static int run_pull(struct cli *cli, const void *opts, char **args, int n_args, struct error *err)
{
	const struct pull_options *options = opts;
	Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;
	struct pull pull = { .cli = cli, .options = options, .auth = options->user ? &auth : NULL, .signal_fd = -1 };
	int status = fill_auth(cli, options, &auth, err);

	if (status < 0)
		return status;
	if (cli_connect(cli, err) < 0)
		return CLI_FAILED;
	status = watch_signals(&pull, err);
	if (status == 0)
		status = pull_all(&pull, args, n_args, err);
	forget_signals(&pull);
	if (!pull.interrupted)
		return status;
	(void)fprintf(stderr, "monopod pull: interrupted; layers that are whole are kept for the next pull\n");
	return 128 + pull.interrupted;
}

const struct command subcommand_pull = {
	.name = "pull",
	.arguments = "IMAGE...",
	.summary = "fetch images from their registries",
	.text = "Fetches each IMAGE, one after the other: a name with a tag or digest; busybox means "
		"docker.io/library/busybox:latest. "
		"Layers that are here\n"
		"already are not fetched again. The deadline of each is an hour unless --timeout says otherwise.\n"
		"\n"
		"On a terminal, standard error shows each layer as it comes; elsewhere it gets a line when a layer begins and "
		"ends. "
		"Standard output gets the\n"
		"result. An interrupt (ctrl-C) ends the pull in the daemon too, unless somebody else waits for it; the exit code "
		"is 128 and "
		"the signal's\n"
		"number. With several images, one that fails does not keep the others; the exit code is 1 then.",
	.options = pull_rows,
	.options_size = sizeof(struct pull_options),
	.min_args = 1,
	.max_args = -1,
	.run = run_pull,
};
