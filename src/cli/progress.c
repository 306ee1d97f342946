#include "cli/progress.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "cli/text.h"

/* The daemon's manifests have 127 at most. */
#define MAX_LAYERS 1024

/* Rates are of the last second or so: quick enough to follow, slow enough to be read. */
#define SAMPLE_US 500000

/* Without a terminal: a line about all layers so often, so that a log shows that a long pull is alive. */
#define ALIVE_US 10000000

#define LINE_SIZE 512

struct layer {
	char id[TEXT_SHORT_ID_SIZE];
	Admin__LayerState state;
	uint64_t done, total;
	int64_t began_us;
	int64_t sampled_us;
	uint64_t sampled; /* bytes at that time */
	uint64_t rate;    /* bytes per second */
	bool is_known;
};

struct progress {
	FILE *out;
	struct progress_screen screen;
	struct layer *layers;
	size_t n;
	unsigned height; /* lines of the picture that is on the screen */
	int64_t alive_us;
};

static const char *const state_names[] = {
	[ADMIN__LAYER_STATE__LAYER_WAITING] = "waiting",     [ADMIN__LAYER_STATE__LAYER_DOWNLOADING] = "downloading",
	[ADMIN__LAYER_STATE__LAYER_UNPACKING] = "unpacking", [ADMIN__LAYER_STATE__LAYER_DONE] = "done",
	[ADMIN__LAYER_STATE__LAYER_EXISTS] = "exists",
};

struct progress_screen progress_screen_of(FILE *out)
{
	const char *term = getenv("TERM");
	struct winsize size = { 0 };

	if (!isatty(fileno(out)) || !term || !strcmp(term, "dumb"))
		return (struct progress_screen){ 0 };
	if (ioctl(fileno(out), TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
		return (struct progress_screen){ 80, 24 };
	return (struct progress_screen){ size.ws_col, size.ws_row };
}

struct progress *progress_new(FILE *out, struct progress_screen screen)
{
	struct progress *progress = calloc(1, sizeof(*progress));

	if (!progress)
		return NULL;
	progress->out = out;
	progress->screen = screen;
	return progress;
}

void progress_free(struct progress *progress)
{
	if (!progress)
		return;
	free(progress->layers);
	free(progress);
}

/* ---- what is known ---- */

static bool is_moving(const struct layer *layer)
{
	return layer->state == ADMIN__LAYER_STATE__LAYER_DOWNLOADING || layer->state == ADMIN__LAYER_STATE__LAYER_UNPACKING;
}

static bool is_here(const struct layer *layer)
{
	return layer->state == ADMIN__LAYER_STATE__LAYER_DONE || layer->state == ADMIN__LAYER_STATE__LAYER_EXISTS;
}

/* Halfway between what it was and what the last sample says. */
static void sample(struct layer *layer, int64_t now_us)
{
	int64_t passed_us = now_us - layer->sampled_us;
	uint64_t rate;

	if (passed_us < SAMPLE_US)
		return;
	rate = (layer->done - layer->sampled) * 1000000 / (uint64_t)passed_us;
	layer->rate = layer->rate ? (layer->rate + rate) / 2 : rate;
	layer->sampled = layer->done;
	layer->sampled_us = now_us;
}

static uint64_t mean_rate(const struct layer *layer, int64_t now_us)
{
	int64_t took_us = now_us - layer->began_us;

	return took_us > 0 ? layer->done * 1000000 / (uint64_t)took_us : 0;
}

struct sums {
	uint64_t done, total, rate;
	size_t here, known;
};

static struct sums sum_up(const struct progress *progress)
{
	struct sums sums = { 0 };

	for (size_t i = 0; i < progress->n; i++) {
		const struct layer *layer = &progress->layers[i];

		sums.done += layer->done;
		sums.total += layer->total;
		sums.rate += is_moving(layer) ? layer->rate : 0;
		sums.here += is_here(layer);
		sums.known += layer->is_known;
	}
	return sums;
}

/* ---- lines ---- */

#define SIZES_SIZE 96

/* "12.3MiB of 45.6MiB  3.4MiB/s" */
static void format_sizes(char text[SIZES_SIZE], uint64_t done, uint64_t total, uint64_t rate)
{
	char done_text[TEXT_BYTES_SIZE], total_text[TEXT_BYTES_SIZE], rate_text[TEXT_BYTES_SIZE];

	text_bytes(done_text, done);
	text_bytes(total_text, total);
	text_bytes(rate_text, rate);
	if (done == total)
		(void)snprintf(text, SIZES_SIZE, "%s", total_text);
	else if (rate == 0)
		(void)snprintf(text, SIZES_SIZE, "%s of %s", done_text, total_text);
	else
		(void)snprintf(text, SIZES_SIZE, "%s of %s  %s/s", done_text, total_text, rate_text);
}

/* What stands left and right of the bar: "0123456789ab  downloading  " and "  1023.9MiB of 1023.9MiB  1023.9MiB/s". */
#define BESIDE_BAR 66
#define MAX_BAR 40
#define BAR_SIZE (MAX_BAR + 5)

static void format_bar(char bar[BAR_SIZE], unsigned columns, uint64_t done, uint64_t total)
{
	unsigned width = columns > BESIDE_BAR + 10 ? columns - BESIDE_BAR : 0;
	unsigned filled;

	bar[0] = '\0';
	if (width > MAX_BAR)
		width = MAX_BAR;
	if (width == 0 || total == 0)
		return;
	filled = (unsigned)((double)done / (double)total * width);
	bar[0] = '[';
	for (unsigned i = 0; i < width; i++)
		bar[i + 1] = i < filled ? '=' : i == filled ? '>' : ' ';
	memcpy(bar + width + 1, "]  ", 4);
}

static void format_layer(char line[LINE_SIZE], const struct layer *layer, unsigned columns)
{
	char sizes[SIZES_SIZE] = "", bar[BAR_SIZE] = "";

	if (is_moving(layer) || layer->state == ADMIN__LAYER_STATE__LAYER_DONE)
		format_sizes(sizes, layer->done, layer->total, is_moving(layer) ? layer->rate : 0);
	if (layer->state == ADMIN__LAYER_STATE__LAYER_DOWNLOADING)
		format_bar(bar, columns, layer->done, layer->total);
	(void)snprintf(line, LINE_SIZE, "%-12s  %-11s  %s%s", layer->id, state_names[layer->state], bar, sizes);
}

static void format_sums(char line[LINE_SIZE], const struct progress *progress)
{
	struct sums sums = sum_up(progress);
	char sizes[SIZES_SIZE];

	format_sizes(sizes, sums.done, sums.total, sums.rate);
	(void)snprintf(line, LINE_SIZE, "%zu of %zu layers  %s", sums.here, sums.known, sizes);
}

/* ---- the picture ---- */

/* One column is left free: a terminal may wrap after the last. */
static int put_line(struct buffer *picture, const char *line, unsigned columns, struct error *err)
{
	return buffer_printf(picture, err, "%.*s\033[K\n", (int)(columns > 1 ? columns - 1 : 1), line);
}

/* With too little room for all, those that move. */
static int put_layers(struct progress *progress, struct buffer *picture, unsigned room, unsigned *ret_height, struct error *err)
{
	bool all = progress->n <= room;
	char line[LINE_SIZE];

	*ret_height = 0;
	for (size_t i = 0; i < progress->n && *ret_height < room; i++) {
		const struct layer *layer = &progress->layers[i];

		if (!layer->is_known || !(all || is_moving(layer)))
			continue;
		format_layer(line, layer, progress->screen.columns);
		if (put_line(picture, line, progress->screen.columns, err) < 0)
			return -1;
		++*ret_height;
	}
	return 0;
}

static int put_picture(struct progress *progress, struct buffer *picture, unsigned *ret_height, struct error *err)
{
	unsigned room = progress->screen.rows > 3 ? progress->screen.rows - 2 : 1;
	char line[LINE_SIZE];

	if (buffer_append_str(picture, "\r", err) < 0)
		return -1;
	if (progress->height > 0 && buffer_printf(picture, err, "\033[%uA", progress->height) < 0)
		return -1;
	if (put_layers(progress, picture, room, ret_height, err) < 0)
		return -1;
	format_sums(line, progress);
	++*ret_height;
	return put_line(picture, line, progress->screen.columns, err) < 0 ? -1 : buffer_append_str(picture, "\033[J", err);
}

/* In one write, so that nobody sees half of it. Without memory the old picture stays. */
static void draw(struct progress *progress)
{
	_cleanup_buffer_ struct buffer picture = BUFFER_INIT((size_t)MAX_LAYERS * LINE_SIZE);
	struct error ignored = ERROR_INIT;
	unsigned height;

	if (sum_up(progress).known == 0 || put_picture(progress, &picture, &height, &ignored) < 0)
		return;
	(void)fwrite(picture.data, 1, picture.len, progress->out);
	(void)fflush(progress->out);
	progress->height = height;
}

/* ---- lines that stay ---- */

static void print_change(const struct progress *progress, const struct layer *layer, int64_t now_us)
{
	char bytes[TEXT_BYTES_SIZE], took[TEXT_DURATION_SIZE], rate[TEXT_BYTES_SIZE];

	text_bytes(bytes, layer->total);
	text_bytes(rate, mean_rate(layer, now_us));
	text_duration(took, (uint64_t)(now_us - layer->began_us));
	if (layer->state == ADMIN__LAYER_STATE__LAYER_DOWNLOADING)
		(void)fprintf(progress->out, "layer %s: downloading %s\n", layer->id, bytes);
	else if (layer->state == ADMIN__LAYER_STATE__LAYER_DONE && layer->began_us > 0)
		(void)fprintf(progress->out, "layer %s: done, %s in %s (%s/s)\n", layer->id, bytes, took, rate);
	else if (is_here(layer))
		(void)fprintf(progress->out, "layer %s: %s\n", layer->id, state_names[layer->state]);
	(void)fflush(progress->out);
}

static void print_alive(struct progress *progress, int64_t now_us)
{
	char line[LINE_SIZE];

	if (progress->alive_us == 0)
		progress->alive_us = now_us;
	if (now_us - progress->alive_us < ALIVE_US)
		return;
	progress->alive_us = now_us;
	format_sums(line, progress);
	(void)fprintf(progress->out, "%s\n", line);
	(void)fflush(progress->out);
}

/* ---- what comes ---- */

static bool make_room(struct progress *progress, size_t n)
{
	struct layer *layers;

	if (n <= progress->n)
		return true;
	layers = n <= MAX_LAYERS ? realloc(progress->layers, n * sizeof(*layers)) : NULL;
	if (!layers)
		return false;
	memset(layers + progress->n, 0, (n - progress->n) * sizeof(*layers));
	progress->layers = layers;
	progress->n = n;
	return true;
}

/* What is no letter or digit does not come from our daemon, and must not move the cursor. */
static void take_id(struct layer *layer, const char *digest)
{
	text_short_id(layer->id, digest);
	for (char *p = layer->id; *p; p++)
		if (!isalnum((unsigned char)*p))
			*p = '?';
}

static void take_layer(struct progress *progress, const Admin__LayerProgress *told, int64_t now_us)
{
	struct layer *layer;
	bool changed;

	if ((size_t)told->state >= ARRAY_SIZE(state_names) || !make_room(progress, (size_t)told->index + 1))
		return;
	layer = &progress->layers[told->index];
	changed = !layer->is_known || layer->state != told->state;
	take_id(layer, told->digest);
	layer->is_known = true;
	layer->state = told->state;
	layer->total = told->total_bytes;
	layer->done = told->done_bytes < layer->sampled ? layer->sampled : told->done_bytes;
	if (is_moving(layer) && layer->began_us == 0)
		layer->began_us = layer->sampled_us = now_us;
	sample(layer, now_us);
	if (changed && progress->screen.columns == 0)
		print_change(progress, layer, now_us);
}

void progress_take(struct progress *progress, const Admin__PullImageResponse *message, int64_t now_us)
{
	for (size_t i = 0; i < message->n_layers; i++)
		take_layer(progress, message->layers[i], now_us);
	if (progress->screen.columns > 0)
		draw(progress);
	else
		print_alive(progress, now_us);
}

void progress_tick(struct progress *progress, int64_t now_us)
{
	for (size_t i = 0; i < progress->n; i++)
		if (is_moving(&progress->layers[i]))
			sample(&progress->layers[i], now_us);
	if (progress->screen.columns > 0)
		draw(progress);
	else if (progress->n > 0)
		print_alive(progress, now_us);
}

/* Lines that were wider than the new width are more lines now; how many is the terminal's secret. A new picture below is the honest one. */
void progress_resize(struct progress *progress, struct progress_screen screen, int64_t now_us)
{
	if (screen.columns == 0)
		return;
	if (screen.columns < progress->screen.columns)
		progress_restart(progress);
	progress->screen = screen;
	if (progress->height + 1 > screen.rows)
		progress_restart(progress);
	progress_tick(progress, now_us);
}

void progress_restart(struct progress *progress)
{
	progress->height = 0;
}
