/* SPDX-License-Identifier: GPL-2.0-or-later */
/* docs/api/openapi.json, as it was when this program was built. */
#include "host/api.h"

static const unsigned char description[] = {
#include "openapi.hex"
};

void api_description(struct http_request *r, void *owner)
{
	(void)owner;
	http_reply_text(r, "application/json", (const char *)description, sizeof(description));
}
