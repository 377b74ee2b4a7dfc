/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XML by expat, as calls for each element with its path of local names ("/domain/devices/disk").
 *
 * Trust: the text is hostile. A document type is refused, and with it every entity that a document
 * could define; length, depth and paths have limits. Names and texts that come out are UTF-8.
 */
#ifndef OYA_LIB_XML_H
#define OYA_LIB_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/fail.h"

#define XML_BYTES_MAX (4u << 20)
#define XML_TEXT_MAX 4096u /* of one element; what is longer is cut */

struct xml_calls {
	void (*begin)(void *ctx, const char *path, const char **attributes);
	/* With the text since its begin, or since the end of its last child. */
	void (*end)(void *ctx, const char *path, const char *text);
};

/* NULL: the element has none of that local name. */
const char *xml_attribute(const char **attributes, const char *name);

/* Whether it is there and "true". */
bool xml_is_true(const char **attributes, const char *name);

/* Whether a path has these as its last names ("/resource/node"). */
bool xml_path_ends(const char *path, const char *with);

/* 0, or -errno and the sentence; `what` is for it. Calls made before a failure were made. */
int xml_parse(const char *text, size_t len, const struct xml_calls *calls, void *ctx,
	      const char *what, struct failure *f);

#endif
