/* SPDX-License-Identifier: MIT */
/*
 * test_ioq_wakes.c - who leads, who follows, and who wakes whom: each way to lose a wake-up, once.
 *
 * gate: is the memory device with a hook in queue and reap, so that a test can do something at the
 * very moment at which it would be missed.
 */
#include "block/block.h"
#include "harness/devices.h"
#include "harness/thread.h"

#define KB 1024u
#define MS ((int64_t)1000000)

/* ---- leadership ---- */

static bool is_asleep(struct iomap_ioq *ioq)
{
	bool asleep;

	iomap_mutex_lock(ioq->env, &ioq->lock);
	asleep = ioq->sleeping != NULL;
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	return asleep;
}

static uint32_t nr_followers(struct iomap_ioq *ioq)
{
	uint32_t nr;

	iomap_mutex_lock(ioq->env, &ioq->lock);
	nr = ioq->followers;
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	return nr;
}

static void pause_ms(unsigned ms)
{
	struct timespec ts = { 0, (long)ms * 1000000 };

	nanosleep(&ts, NULL);
}

#define wait_for(cond) \
	do { \
		for (unsigned i_ = 0; !(cond); i_++) { \
			ck_assert_msg(i_ < 2000 * t_scale(), "%s", #cond); \
			pause_ms(1); \
		} \
	} while (0)

struct poller {
	struct iomap_ioq *ioq;
	struct iomap_bio *bio;		/* else poll */
	int64_t timeout_ns;
	unsigned max;			/* of a poll; default 1 */
	int rc;
};

static void *run_poller(void *arg)
{
	struct poller *p = arg;

	p->rc = p->bio ? iomap_bio_wait(p->bio)
		       : iomap_ioq_poll(p->ioq, 1, p->max ? p->max : 1, p->timeout_ns);
	return NULL;
}

static void start_write(struct t_device *d, struct t_bio *b, unsigned block, bool has_end_io)
{
	t_bio_init(b, d->bdev, IOMAP_BIO_WRITE, block * 4ull * KB, t_buffer(4 * KB, 1), 4 * KB);
	if (!has_end_io)
		b->bio.end_io = NULL;
	iomap_bio_submit(&b->bio);
}

/* A thread that waits for a held write, and sleeps as leader. */
static pthread_t start_leader(struct t_device *d, struct poller *p, struct t_bio *b)
{
	pthread_t thread;

	t_mem_hold(d->mem, true);
	start_write(d, b, 0, false);
	*p = (struct poller){ .bio = &b->bio };
	thread = t_thread(run_poller, p);
	wait_for(is_asleep(d->ioq));
	return thread;
}

CASE(a_follower_takes_over, "", "The leader leaves by its time-out; the follower reaps after it")
{
	struct poller leader = { .timeout_ns = 50 * MS }, follower = { 0 };
	struct t_device d;
	struct t_bio b;
	pthread_t l, f;

	t_device_start_mem(&d, "", NULL);
	t_mem_hold(d.mem, true);
	start_write(&d, &b, 0, false);
	leader.ioq = d.ioq;
	follower.bio = &b.bio;
	l = t_thread(run_poller, &leader);
	wait_for(is_asleep(d.ioq));
	f = t_thread(run_poller, &follower);
	wait_for(nr_followers(d.ioq) == 1 || !is_asleep(d.ioq));
	t_join(l);
	ck_assert_int_eq(leader.rc, 0);
	wait_for(is_asleep(d.ioq));		/* the follower leads */
	t_mem_release_all(d.mem);
	t_join(f);
	ck_assert_int_eq(follower.rc, 0);
	t_device_stop(&d);
}

CASE(a_bio_wait_ends_whoever_reaps, "",
     "The leader that waits on keeps leading; the follower is told")
{
	struct poller leader, follower;
	struct t_device d;
	struct t_bio b[2];
	pthread_t l, f;

	t_device_start_mem(&d, "", NULL);
	t_mem_hold(d.mem, true);
	start_write(&d, &b[0], 0, false);
	start_write(&d, &b[1], 1, false);
	leader = (struct poller){ .bio = &b[0].bio };
	follower = (struct poller){ .bio = &b[1].bio };
	l = t_thread(run_poller, &leader);
	wait_for(is_asleep(d.ioq));
	f = t_thread(run_poller, &follower);
	wait_for(nr_followers(d.ioq) == 1);
	t_mem_release(d.mem, 1);
	t_join(f);
	t_mem_release(d.mem, 0);
	t_join(l);
	t_device_stop(&d);
}

CASE(a_sleeping_leader_sends_for_others, "",
     "Submit wakes it; the request reaches the device at once")
{
	struct poller leader;
	struct t_device d;
	struct t_bio b[2];
	pthread_t l;

	t_device_start_mem(&d, "", NULL);
	l = start_leader(&d, &leader, &b[0]);
	start_write(&d, &b[1], 1, true);
	wait_for(t_mem_nr_held(d.mem) == 2);
	t_mem_release_all(d.mem);
	t_join(l);
	iomap_ioq_drain(d.ioq, IOMAP_FOREVER);
	ck_assert_uint_eq(b[1].nr_ends, 1);
	t_device_stop(&d);
}

CASE(a_refused_bio_wakes_the_leader, "", "It never reaches the device, yet its wait ends")
{
	struct poller leader, other;
	struct t_device d;
	struct t_bio b[2];
	pthread_t l, o;

	t_device_start_mem(&d, "", NULL);
	l = start_leader(&d, &leader, &b[0]);
	t_bio_init(&b[1], d.bdev, IOMAP_BIO_WRITE, 1, t_buffer(512, 1), 512);
	b[1].bio.end_io = NULL;
	iomap_bio_submit(&b[1].bio);
	other = (struct poller){ .bio = &b[1].bio };
	o = t_thread(run_poller, &other);
	t_join(o);
	ck_assert_int_eq(other.rc, -EINVAL);
	t_mem_release_all(d.mem);
	t_join(l);
	t_device_stop(&d);
}

static void *open_another(void *arg)
{
	struct t_device *d = arg;
	struct iomap_bdev *bdev;

	ck_assert_int_eq(iomap_bdev_open(d->ioq, "null:", NULL, &bdev), 0);
	ck_assert_int_eq(t_io(bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0), 0);
	iomap_bdev_close(&bdev);
	return NULL;
}

CASE(opening_does_not_wait_for_completions, "",
     "A claim gets the leadership from a sleeping leader")
{
	struct poller leader;
	struct t_device d;
	struct t_bio b;
	pthread_t l;

	t_device_start_mem(&d, "", NULL);
	l = start_leader(&d, &leader, &b);
	t_join(t_thread(open_another, &d));
	t_mem_release_all(d.mem);
	t_join(l);
	t_device_stop(&d);
}

CASE(a_refused_bio_ends_a_poll, "", "The sleeping leader itself ends it")
{
	struct poller leader = { .timeout_ns = IOMAP_FOREVER };
	struct t_device d;
	struct t_bio b[2];
	pthread_t l;

	t_device_start_mem(&d, "", NULL);
	t_mem_hold(d.mem, true);
	start_write(&d, &b[0], 0, true);
	leader.ioq = d.ioq;
	l = t_thread(run_poller, &leader);
	wait_for(is_asleep(d.ioq));
	t_bio_init(&b[1], d.bdev, IOMAP_BIO_WRITE, 1, t_buffer(512, 1), 512);
	iomap_bio_submit(&b[1].bio);
	t_join(l);
	ck_assert_int_eq(leader.rc, 1);
	ck_assert_uint_eq(b[1].nr_ends, 1);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	t_device_stop(&d);
}

struct guest {
	struct t_device *d;
	struct t_bio b[2];
	int poll, open, wait;
};

static void *run_guest(void *arg)
{
	struct guest *g = arg;
	struct iomap_bdev *bdev;

	g->poll = iomap_ioq_poll(g->d->ioq, 0, 1, 0);
	g->open = iomap_bdev_open(g->d->ioq, "null:", NULL, &bdev);
	start_write(g->d, &g->b[0], 0, true);
	start_write(g->d, &g->b[1], 1, false);
	g->wait = iomap_bio_wait(&g->b[1].bio);
	return NULL;
}

CASE(a_single_issuer_serves_its_guests, "",
     "Others get -EPERM; what they submit goes when it polls")
{
	struct iomap_ioq_opts opts = { .struct_size = sizeof(opts),
				       .flags = IOMAP_IOQ_SINGLE_ISSUER };
	struct t_device d;
	struct guest g = { .d = &d };
	pthread_t thread;
	unsigned nr;

	t_device_start_mem(&d, "", &opts);
	thread = t_thread(run_guest, &g);
	wait_for(iomapi_load_relaxed(&d.ioq->nr_pending) == 2);
	t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 0);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 2, 8, IOMAP_FOREVER), 2);
	t_join(thread);
	ck_assert_int_eq(g.poll, -EPERM);
	ck_assert_int_eq(g.open, -EPERM);
	ck_assert_int_eq(g.wait, 0);
	ck_assert_uint_eq(g.b[0].nr_ends, 1);
	t_device_stop(&d);
}

/* ---- at the very moment ---- */

static struct iomap_backend_ops gate_ops;
static void (*on_queue)(void);
static void (*on_look)(void);		/* in a reap that does not block */
static struct t_device *gate_device;
static struct t_bio gate_bios[4];
static unsigned nr_hooks;

static enum iomap_queued gate_queue(void *queue, void *dev, struct iomap_bio *bio)
{
	enum iomap_queued answer = t_mem_backend.queue(queue, dev, bio);

	if (on_queue)
		on_queue();
	return answer;
}

static int gate_reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		     int64_t timeout_ns)
{
	int n = t_mem_backend.reap(queue, done, min, max, timeout_ns);

	if (!timeout_ns && on_look)
		on_look();
	return n;
}

static void start_gate(struct t_device *d)
{
	const struct iomap_backend_ops *backends[] = { &gate_ops, NULL };
	struct iomap_env_opts opts = { .struct_size = sizeof(opts), .backends = backends };

	gate_ops = t_mem_backend;
	gate_ops.scheme = "gate";
	gate_ops.queue = gate_queue;
	gate_ops.reap = gate_reap;
	memset(d, 0, sizeof(*d));
	t_env_start(&d->t, &opts);
	ck_assert_int_eq(iomap_ioq_new(d->t.env, NULL, &d->ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(d->ioq, "gate:g", NULL, &d->bdev), 0);
	d->mem = t_mem_find("g");
	gate_device = d;
	nr_hooks = 0;
}

static void submit_next(void)
{
	if (nr_hooks < 3) {
		nr_hooks++;
		start_write(gate_device, &gate_bios[nr_hooks], nr_hooks, true);
	}
}

CASE(a_submitter_looks_again, "", "What comes in while it hands over is handed over too, each time")
{
	struct t_device d;
	unsigned nr;

	start_gate(&d);
	t_mem_hold(d.mem, true);
	on_queue = submit_next;
	start_write(&d, &gate_bios[0], 0, true);
	on_queue = NULL;
	t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 4);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	iomap_ioq_drain(d.ioq, IOMAP_FOREVER);
	t_device_stop(&d);
}

/* The second request is in the inbox when the leader goes to sleep; the first waits for it. */
static void submit_once(void)
{
	if (!nr_hooks++)
		start_write(gate_device, &gate_bios[1], 1, true);
}

static void *release_when_both_are_there(void *arg)
{
	struct t_device *d = arg;

	wait_for(t_mem_nr_held(d->mem) == 2);
	t_mem_release_all(d->mem);
	return NULL;
}

CASE(a_leader_looks_at_the_inbox_last, "", "What came in right before it sleeps is still sent")
{
	struct t_device d;
	struct poller waiter;
	pthread_t thread, releaser;

	start_gate(&d);
	t_mem_hold(d.mem, true);
	start_write(&d, &gate_bios[0], 0, false);
	on_look = submit_once;
	waiter = (struct poller){ .bio = &gate_bios[0].bio };
	releaser = t_thread(release_when_both_are_there, &d);
	thread = t_thread(run_poller, &waiter);
	t_join(releaser);
	t_join(thread);
	on_look = NULL;
	iomap_ioq_drain(d.ioq, IOMAP_FOREVER);
	t_device_stop(&d);
}

static iomap_word claim_now;

static void claim_once(void)
{
	if (nr_hooks++)
		return;
	iomapi_store(&claim_now, 1);
	wait_for(nr_followers(gate_device->ioq) == 1);	/* it claims, and waits for us */
}

CASE(a_leader_looks_at_claims_last, "", "Who wants the backends for itself is not slept over")
{
	struct t_device d;
	struct poller waiter;
	pthread_t thread;

	start_gate(&d);
	t_mem_hold(d.mem, true);
	start_write(&d, &gate_bios[0], 0, false);
	on_look = claim_once;
	claim_now = 0;
	waiter = (struct poller){ .bio = &gate_bios[0].bio };
	thread = t_thread(run_poller, &waiter);
	wait_for(iomapi_load(&claim_now));
	t_join(t_thread(open_another, &d));
	t_mem_release_all(d.mem);
	t_join(thread);
	on_look = NULL;
	t_device_stop(&d);
}

static iomap_word gate_word;
/* In the second look: after the first the waiter still looks at its word by itself. */
static void change_word_once(void)
{
	if (nr_hooks++ != 1)
		return;
	iomapi_store(&gate_word, 1);
	iomap_env_wake(gate_device->t.env, &gate_word, 1);
}

static void *wait_for_word(void *arg)
{
	struct t_device *d = arg;

	while (!iomapi_load(&gate_word))
		ck_assert_int_eq(iomap_env_wait(d->t.env, &gate_word, 0, IOMAP_FOREVER), 0);
	return NULL;
}

CASE(a_leader_looks_at_its_word_last, "", "A word that changed right before is not slept over")
{
	struct t_device d;
	pthread_t thread;

	start_gate(&d);
	t_mem_hold(d.mem, true);
	start_write(&d, &gate_bios[0], 0, true);
	gate_word = 0;
	on_look = change_word_once;
	thread = t_thread(wait_for_word, &d);
	t_join(thread);
	on_look = NULL;
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	t_device_stop(&d);
}

CASE(a_driving_waiter_is_kicked, "", "It sleeps in the backend when its word changes")
{
	struct t_device d;
	pthread_t thread;

	start_gate(&d);
	t_mem_hold(d.mem, true);
	start_write(&d, &gate_bios[0], 0, true);
	gate_word = 0;
	thread = t_thread(wait_for_word, &d);
	wait_for(is_asleep(d.ioq));
	iomapi_store(&gate_word, 1);
	iomap_env_wake(d.t.env, &gate_word, 1);
	t_join(thread);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	t_device_stop(&d);
}

static void end_with_word(struct iomap_bio *bio)
{
	iomapi_store(&gate_word, 1);
	iomap_env_wake(bio->owner, &gate_word, 1);
}

CASE(an_object_wait_takes_over, "",
     "The leader of a poll leaves; who slept in an object wait leads")
{
	struct poller leader = { .timeout_ns = 50 * MS };
	struct t_device d;
	pthread_t l, w;

	start_gate(&d);
	t_mem_hold(d.mem, true);
	gate_word = 0;
	start_write(&d, &gate_bios[0], 0, true);
	gate_bios[0].bio.end_io = end_with_word;
	gate_bios[0].bio.owner = d.t.env;
	leader.ioq = d.ioq;
	l = t_thread(run_poller, &leader);
	wait_for(is_asleep(d.ioq));
	w = t_thread(wait_for_word, &d);
	t_join(l);
	ck_assert_int_eq(leader.rc, 0);
	t_mem_release_all(d.mem);
	t_join(w);
	t_device_stop(&d);
}

/* ---- while callbacks run ---- */

static unsigned wanted_followers;

/* Goes on when another thread leads and sleeps, and so many follow it. */
static void slow_end(struct iomap_bio *bio)
{
	struct iomap_ioq *ioq = bio->owner;

	wait_for(is_asleep(ioq) && nr_followers(ioq) == wanted_followers);
}

/* One thread runs callbacks, slow, then the end of gate_bios[1]; gate_bios[2] stays under way. */
static pthread_t start_slow_end(struct t_device *d, struct poller *p, unsigned followers)
{
	pthread_t thread;

	wanted_followers = followers;
	t_mem_hold(d->mem, true);
	for (unsigned i = 0; i < 3; i++)
		start_write(d, &gate_bios[i], i, i == 0);
	gate_bios[0].bio.end_io = slow_end;
	gate_bios[0].bio.owner = d->ioq;
	t_mem_release(d->mem, 0);
	t_mem_release(d->mem, 0);
	*p = (struct poller){ .ioq = d->ioq };
	p->max = 2;
	thread = t_thread(run_poller, p);
	wait_for(iomapi_load_relaxed(&d->ioq->in_flight) == 1);
	return thread;
}

CASE(a_follower_learns_of_its_end, "", "Its bio ends in a batch of one thread while another leads")
{
	struct poller runner, leader, follower;
	struct t_device d;
	pthread_t r, l, f;

	start_gate(&d);
	r = start_slow_end(&d, &runner, 1);
	leader = (struct poller){ .ioq = d.ioq, .timeout_ns = IOMAP_FOREVER };
	follower = (struct poller){ .bio = &gate_bios[1].bio };
	l = t_thread(run_poller, &leader);
	wait_for(is_asleep(d.ioq));
	f = t_thread(run_poller, &follower);
	t_join(f);
	t_join(r);
	t_mem_release_all(d.mem);
	t_join(l);
	t_device_stop(&d);
}

CASE(a_leader_learns_of_its_end, "", "Its bio ends in another thread's batch while it sleeps")
{
	struct poller runner, leader;
	struct t_device d;
	pthread_t r, l;

	start_gate(&d);
	r = start_slow_end(&d, &runner, 0);
	leader = (struct poller){ .bio = &gate_bios[1].bio };
	l = t_thread(run_poller, &leader);
	t_join(l);
	t_join(r);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	iomap_ioq_drain(d.ioq, IOMAP_FOREVER);
	t_device_stop(&d);
}

MAIN()
