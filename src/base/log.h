/*
 * Our own log: one line per event on stderr, `TIME LEVEL area: text key=value ...`.
 *
 * Whoever handles an error logs it; whoever returns it does not. Secrets never reach this interface: registry credentials have
 * no printer at all. Safe to call from any thread; never blocks (lines are dropped and counted when nobody reads them).
 */
#ifndef MONOPOD_BASE_LOG_H
#define MONOPOD_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* The least important level that is written; LOG_LEVEL_INFO at start. May be changed at any time. */
void log_set_level(enum log_level level);

/* "error", "warn", "info" or "debug" to the level; -1 for another word. */
int log_parse_level(const char *word);

void log_write(enum log_level level, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_error(area, ...) log_write(LOG_LEVEL_ERROR, (area), __VA_ARGS__)
#define log_warn(area, ...) log_write(LOG_LEVEL_WARN, (area), __VA_ARGS__)
#define log_info(area, ...) log_write(LOG_LEVEL_INFO, (area), __VA_ARGS__)
#define log_debug(area, ...) log_write(LOG_LEVEL_DEBUG, (area), __VA_ARGS__)

#endif
