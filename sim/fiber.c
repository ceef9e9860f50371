/* SPDX-License-Identifier: MIT */
/*
 * fiber.c - a stack to run on, and the way from one to another.
 *
 * A stack begins with makecontext.  From then on the way is setjmp and longjmp, because swapcontext
 * is a system call for a signal mask that is the same everywhere: half a million switches a second
 * where a jump makes fourteen million.  A page that cannot be touched lies below each stack.
 *
 * The sanitizers are told of each way: see sanitizer.h.
 */
#undef _FORTIFY_SOURCE	/* a jump to another stack is what it takes for a mistake */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "sanitizer.h"
#include "task.h"

#define STACK	((size_t)256 << 10)
#define GUARD	((size_t)64 << 10)	/* a page, however large those are */

int iomapi_sim_fiber_init(struct iomapi_sim_fiber *fiber)
{
	uint8_t *mem = mmap(NULL, GUARD + STACK, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	memset(fiber, 0, sizeof(*fiber));
	if (mem == MAP_FAILED)
		return -ENOMEM;
	if (mprotect(mem, GUARD, PROT_NONE)) {
		munmap(mem, GUARD + STACK);
		return -ENOMEM;
	}
	fiber->stack = mem;
	fiber->bottom = mem + GUARD;
	fiber->size = STACK;
	return 0;
}

void iomapi_sim_fiber_fini(struct iomapi_sim_fiber *fiber)
{
	iomapi_sim_sanitizer_delete(fiber);
	munmap(fiber->stack, GUARD + STACK);
}

void iomapi_sim_fiber_start(struct iomapi_sim_fiber *fiber,
			    void (*fn)(struct iomapi_sim_fiber *fiber))
{
	fiber->fn = fn;
	iomapi_sim_sanitizer_new(fiber);
}

void iomapi_sim_fiber_stop(struct iomapi_sim_fiber *fiber)
{
	iomapi_sim_sanitizer_stop(fiber);
}

/* Arguments of such a function are integers. */
static void begin(unsigned high, unsigned low)
{
	struct iomapi_sim_fiber *fiber = (void *)(uintptr_t)((uint64_t)high << 32 | low);
	void (*fn)(struct iomapi_sim_fiber *) = fiber->fn;

	fiber->fn = NULL;
	iomapi_sim_sanitizer_arrived(fiber);
	fn(fiber);
}

/* The context lies at the far end of the new stack, where nobody has come yet: in this frame, which
 * is never left, what the sanitizer puts around it would stay for ever. */
static void start(struct iomapi_sim_fiber *fiber)
{
	uint64_t address = (uintptr_t)fiber;
	ucontext_t *context = (void *)((uint8_t *)fiber->stack + GUARD);

	getcontext(context);
	context->uc_stack.ss_sp = context;
	context->uc_stack.ss_size = STACK;
	context->uc_link = NULL;
	makecontext(context, (void (*)(void))begin, 2, (unsigned)(address >> 32),
		    (unsigned)address);
	setcontext(context);
}

void iomapi_sim_fiber_switch(struct iomapi_sim_fiber *from, struct iomapi_sim_fiber *to)
{
	to->from = from;
	if (_setjmp(from->at)) {
		iomapi_sim_sanitizer_arrived(from);
		return;
	}
	iomapi_sim_sanitizer_leaving(from, to);
	if (to->fn)
		start(to);
	_longjmp(to->at, 1);
}
