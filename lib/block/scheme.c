/* SPDX-License-Identifier: MIT */
/*
 * block/scheme.c - which backend: a name is looked up, auto: is a choice, and queues are opened.
 *
 * The client's own backends are looked through before the built-in ones, so that it may replace
 * them.  A backend's queue is opened on an ioq when its first device comes, and lives as long as
 * the ioq.  A device that may go to several (auto:, a borrowed descriptor) takes the first whose
 * queue can be had; one that was denied is not asked again on that ioq.
 *
 * The ioq keeps in words what it uses and what not: "aio: ..; file; not uring: ..".
 *
 * Threads: any that has claimed the ioq.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "block/block.h"

#define MAX_WHY		160	/* of a reason, so that the next one still has room */
#define AUTO_THREADS	4

static int report(struct iomap_env *env, int error, const char *callback, const char *field,
		  uint64_t value, uint64_t bound, const char *text)
{
	iomapi_report(env, .rule = "device", .callback = callback, .field = field, .value = value,
		      .bound = bound, .text = text);
	return error;
}

/* ---- names ---- */

static bool is_scheme(const struct iomap_backend_ops *ops, const char *scheme)
{
	return !strcmp(ops->scheme, scheme);
}

static bool find(struct iomap_env *env, const char *scheme, struct iomapi_found *found)
{
	const struct iomap_env_opts *o = iomapi_env_opts(env);

	*found = (struct iomapi_found){ .ops = NULL };
	for (unsigned i = 0; o->backends && o->backends[i]; i++)
		if (is_scheme(o->backends[i], scheme)) {
			found->ops = o->backends[i];
			found->arg = o->backend_args ? o->backend_args[i] : NULL;
			return true;
		}
	for (unsigned i = 0; iomapi_backends[i]; i++)
		if (is_scheme(iomapi_backends[i], scheme)) {
			found->ops = iomapi_backends[i];
			return true;
		}
	return false;
}

static void append(char *text, size_t size, const char *word)
{
	size_t used = strlen(text);

	snprintf(text + used, size - used, "%s", word);
}

static int report_no_backend(struct iomap_env *env, const char *scheme)
{
	const struct iomap_env_opts *o = iomapi_env_opts(env);
	char text[256];

	snprintf(text, sizeof(text), "no backend \"%s:\"; there are", scheme);
	for (unsigned i = 0; o->backends && o->backends[i]; i++) {
		append(text, sizeof(text), " ");
		append(text, sizeof(text), o->backends[i]->scheme);
	}
	for (unsigned i = 0; iomapi_backends[i]; i++) {
		append(text, sizeof(text), " ");
		append(text, sizeof(text), iomapi_backends[i]->scheme);
	}
	return report(env, -ENOTSUP, "iomap_bdev_open", "scheme", 0, 0, text);
}

int iomapi_parse_spec(struct iomap_env *env, const char *spec, char *scheme, const char **rest)
{
	const char *colon = spec ? strchr(spec, ':') : NULL;
	char text[256];

	if (!colon || colon == spec || colon - spec >= IOMAPI_MAX_SCHEME) {
		snprintf(text, sizeof(text), "\"%s\" is not SCHEME:...", spec ? spec : "");
		return report(env, -EINVAL, "iomap_bdev_open", "spec", 0, 0, text);
	}
	memcpy(scheme, spec, (size_t)(colon - spec));
	scheme[colon - spec] = '\0';
	*rest = colon + 1;
	return 0;
}

/* The best first.  Threads come last: they are always there, and cost the most. */
static void choose_all(struct iomap_env *env, struct iomapi_choice *choice)
{
	static const char *const schemes[] = { "uring", "aio", "file" };

	for (unsigned i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (find(env, schemes[i], &choice->found[choice->nr]))
			choice->found[choice->nr++].passed_over = true;
	choice->found[choice->nr - 1].threads = AUTO_THREADS;
}

int iomapi_choose(const struct iomap_ioq *ioq, const char *scheme, struct iomapi_choice *choice)
{
	bool any = !strcmp(scheme, "auto");

	choice->nr = 0;
	if (any && !ioq->opts.backend) {
		choose_all(ioq->env, choice);
		return 0;
	}
	if (any)
		scheme = ioq->opts.backend;
	if (!find(ioq->env, scheme, &choice->found[0]))
		return report_no_backend(ioq->env, scheme);
	choice->nr = 1;
	return 0;
}

/* ---- in words ---- */

/* Behind what is in use already, before what is not: the latter may be cut off. */
static void say_used(struct iomap_ioq *ioq, const char *scheme, const char *why)
{
	char rest[sizeof(ioq->reason)], *end = ioq->reason + ioq->used_len;
	const size_t room = sizeof(ioq->reason) - ioq->used_len;

	strcpy(rest, end);
	snprintf(end, room, "%s%s%s%.*s", ioq->used_len ? "; " : "", scheme, why ? ": " : "",
		 MAX_WHY, why ? why : "");
	ioq->used_len += (uint32_t)strlen(end);
	if (rest[0] && rest[0] != ';')
		append(ioq->reason, sizeof(ioq->reason), "; ");
	append(ioq->reason, sizeof(ioq->reason), rest);
}

static void say_denied(struct iomap_ioq *ioq, const char *scheme, const char *why)
{
	char text[MAX_WHY + 32];

	snprintf(text, sizeof(text), "%snot %s: %.*s", ioq->reason[0] ? "; " : "", scheme, MAX_WHY,
		 why);
	append(ioq->reason, sizeof(ioq->reason), text);
}

static bool is_denied(const struct iomap_ioq *ioq, const struct iomap_backend_ops *ops)
{
	for (uint32_t i = 0; i < ioq->nr_denied; i++)
		if (ioq->denied[i] == ops)
			return true;
	return false;
}

static void note_denied(struct iomap_ioq *ioq, const struct iomap_backend_ops *ops, const char *why)
{
	if (is_denied(ioq, ops) || ioq->nr_denied == IOMAPI_MAX_QUEUES)
		return;
	ioq->denied[ioq->nr_denied++] = ops;
	say_denied(ioq, ops->scheme, why);
}

/* ---- queues ---- */

static bool ops_complete(const struct iomap_backend_ops *ops)
{
	return ops->queue_close && ops->queue_abandon && ops->dev_open &&
	       ops->dev_close && ops->limits && ops->queue && ops->commit && ops->reap &&
	       ops->wakeup;
}

static int report_incomplete(struct iomap_env *env, const struct iomap_backend_ops *ops)
{
	return report(env, -EINVAL, ops->scheme, "ops", 0, 0, "a required member is missing");
}

static struct iomapi_queue *find_queue(struct iomap_ioq *ioq, const struct iomap_backend_ops *ops)
{
	for (uint32_t i = 0; i < ioq->nr_queues; i++)
		if (ioq->queues[i].ops == ops)
			return &ioq->queues[i];
	return NULL;
}

static int open_new(struct iomap_ioq *ioq, const struct iomapi_found *found, struct iomapi_queue *q)
{
	const struct iomap_backend_ops *ops = found->ops;
	struct iomap_ioq_opts opts = ioq->opts;
	const char *why = NULL;
	int rc;

	if (!opts.threads)
		opts.threads = found->threads;
	if (!ops->queue_open)
		return report_incomplete(ioq->env, ops);
	rc = ops->queue_open(found->arg, ioq->env, &opts, &q->queue, &why);
	if (rc && !why)
		why = strerror(-rc);
	if (rc == -ENOTSUP)
		note_denied(ioq, ops, why);
	if (rc == -ENOTSUP && found->passed_over)
		return rc;
	if (rc)
		return report(ioq->env, rc, ops->scheme, "queue", 0, 0, why);
	if (!ops_complete(ops)) {	/* looked for here: a stub has nothing but queue_open */
		if (ops->queue_close)
			ops->queue_close(q->queue);
		return report_incomplete(ioq->env, ops);
	}
	q->ops = ops;
	rc = iomapi_event_add(ioq, q);
	if (rc) {
		ops->queue_close(q->queue);
		return report(ioq->env, rc, ops->scheme, "event_fd", 0, 0,
			      "the ioq has an event fd, and this backend cannot join");
	}
	say_used(ioq, ops->scheme, why);
	return 0;
}

int iomapi_queue_open(struct iomap_ioq *ioq, const struct iomapi_found *found,
		      struct iomapi_queue **result)
{
	struct iomapi_queue *q = find_queue(ioq, found->ops);
	int rc;

	*result = q;
	if (q)
		return 0;
	if (found->passed_over && is_denied(ioq, found->ops))
		return -ENOTSUP;
	if (ioq->nr_queues == IOMAPI_MAX_QUEUES)
		return report(ioq->env, -ENOSPC, found->ops->scheme, "queues", ioq->nr_queues,
			      IOMAPI_MAX_QUEUES, "too many backends on one ioq");
	q = &ioq->queues[ioq->nr_queues];
	rc = open_new(ioq, found, q);
	if (rc)
		return rc;
	ioq->nr_queues++;
	*result = q;
	return 0;
}
