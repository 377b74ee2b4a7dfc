/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The route that tells what this host's processor offers a guest. */
#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "host/api.h"
#include "host/check.h"

/* The worker is asked, in the pool. */
struct question {
	struct pool_work work;
	const char *worker;
	struct http_request *r;
	struct processor processor;
	int code;
	struct failure f;
};

static void ask(struct pool_work *w)
{
	struct question *q = CONTAINER_OF(w, struct question, work);

	q->code = check_processor(q->worker, &q->processor, &q->f);
}

static void on_answer(struct pool_work *w)
{
	struct question *q = CONTAINER_OF(w, struct question, work);

	if (q->code < 0)
		api_fail(q->r, q->code, &q->f);
	else
		http_reply(q->r, &(struct http_reply){.status = 200,
						      .body = processor_encode(&q->processor)});
	free(q);
}

void api_processor(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct question *q = calloc(1, sizeof(*q));
	struct failure f;

	if (!q) {
		fail(&f, -ENOMEM, "cannot ask for the processor: out of memory");
		http_fail(r, 503, &f);
		return;
	}
	q->work = (struct pool_work){.work = ask, .done = on_answer};
	q->worker = api->host->launcher.worker;
	q->r = r;
	http_later(r);
	pool_submit(api->host->pool, &q->work);
}
