/* SPDX-License-Identifier: MIT */
/*
 * term.c - memory, error lines, glyphs and colours, a progress bar, numbers from a seed.
 *
 * Glyphs are UTF-8 where the locale says so, colours only on a terminal and only without NO_COLOR.
 */
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "demo.h"

void demo_init(struct demo *d)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

	memset(d, 0, sizeof(*d));
	d->env.struct_size = sizeof(d->env);
	d->out = stdout;
	d->err = stderr;
	setlocale(LC_CTYPE, "");
	d->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	d->tty = isatty(fileno(stdout)) == 1;
	d->colour = d->tty && term && strcmp(term, "dumb") && !(no_color && *no_color);
}

void demo_log(void *arg, const struct iomap_log_record *record)
{
	struct demo *d = arg;

	if (record->level <= LOG_ERR)
		snprintf(d->report, sizeof(d->report), "%s", record->text ? record->text : "");
}

void *demo_alloc(struct demo *d, size_t size)
{
	size_t all = (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	void *mem = d->env.alloc ? d->env.alloc(d->env.alloc_arg, all, PAGE_BYTES)
				 : aligned_alloc(PAGE_BYTES, all);

	return mem ? memset(mem, 0, all) : NULL;
}

void demo_free(struct demo *d, void *mem, size_t size)
{
	size_t all = (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;

	if (mem && d->env.dealloc)
		d->env.dealloc(d->env.alloc_arg, mem, all);
	else
		free(mem);
}

int demo_error(struct demo *d, int rc, const char *fmt, ...)
{
	va_list args;

	demo_progress_end(d);
	fflush(d->out);
	fprintf(d->err, "iomap-demo: ");
	va_start(args, fmt);
	vfprintf(d->err, fmt, args);
	va_end(args);
	if (rc)
		fprintf(d->err, ": %s", strerror(-rc));
	fprintf(d->err, "\n");
	return rc;
}

const char *demo_glyph(const struct demo *d, const char *utf8, const char *ascii)
{
	return d->utf8 ? utf8 : ascii;
}

const char *demo_paint(const struct demo *d, enum demo_colour colour)
{
	static const char *const codes[] = {
		"\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m", "\033[34m",
		"\033[35m", "\033[36m",
	};

	return d->colour ? codes[colour] : "";
}

#define BAR	40u
void demo_progress(struct demo *d, const char *what, uint64_t done, uint64_t all)
{
	unsigned full = all ? (unsigned)(done * BAR / all) : BAR;

	if (!d->tty)
		return;
	fprintf(d->out, "\r%-8s ", what);
	for (unsigned i = 0; i < BAR; i++)
		fputs(i < full ? demo_glyph(d, "█", "#") : demo_glyph(d, "░", "."), d->out);
	fprintf(d->out, " %3u%%", all ? (unsigned)(done * 100 / all) : 100);
	fflush(d->out);
}

/* The bar leaves no trace: the line it stood on is wiped. */
void demo_progress_end(struct demo *d)
{
	if (d->tty)
		fprintf(d->out, "\r%60s\r", "");
}

const char *demo_bytes(uint64_t n, char text[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	uint64_t tenths = n * 10;
	unsigned unit = 0;

	if (n > UINT64_MAX / 10)
		tenths = UINT64_MAX;
	while (tenths >= 10240 && unit < 4) {
		tenths /= 1024;
		unit++;
	}
	if (tenths % 10)
		snprintf(text, 32, "%llu.%u %s", (unsigned long long)(tenths / 10),
			 (unsigned)(tenths % 10), units[unit]);
	else
		snprintf(text, 32, "%llu %s", (unsigned long long)(tenths / 10), units[unit]);
	return text;
}

#define COLUMNS	80u
void demo_wrap(struct demo *d, const char *text, unsigned column)
{
	unsigned at = column;

	while (*text) {
		unsigned len = (unsigned)strcspn(text, " ");

		if (at > column && at + 1 + len > COLUMNS) {
			fprintf(d->out, "\n%*s", (int)column, "");
			at = column;
		}
		fprintf(d->out, "%s%.*s", at > column ? " " : "", (int)len, text);
		at += len + (at > column);
		text += len + strspn(text + len, " ");
	}
	fprintf(d->out, "\n");
}

uint64_t demo_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* Each step is a bijection on the numbers below the next power of two; those from n on are sent
 * round again until they fall below it, so the whole is a bijection on 0..n-1. */
uint64_t demo_shuffle(uint64_t i, uint64_t n, uint64_t seed)
{
	unsigned bits = 1;
	uint64_t mask;

	while (bits < 63 && (n - 1) >> bits)
		bits++;
	mask = (UINT64_C(1) << bits) - 1;
	do {
		i = (i * 0x9e3779b97f4a7c15u + seed) & mask;
		i ^= i >> (bits + 1) / 2;
		i = i * 0xd6e8feb86659fd93u & mask;
		i ^= i >> (bits + 1) / 2;
	} while (i >= n);
	return i;
}
