/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one host tells another of a VM that is to move there: made by the source, taken apart and
 * looked at by the destination.
 *
 * Whether both have the same folder and the same images is not believed but looked at: the source
 * puts a file of a random name into the folder for the time, and tells of each image its size and,
 * where it is a file, its inode, by which hosts that share a file system know the same file.
 *
 * Trust: an offer is hostile until it is decoded.
 */
#ifndef OYA_HOST_OFFER_H
#define OYA_HOST_OFFER_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/link.h"
#include "host/moves.h"
#include "host/settings.h"
#include "lib/fail.h"
#include "lib/processor.h"

#define OFFER_VERSION 1
#define OFFER_PROOF_FILE                                                        \
	".new-offer-" /* and the proof; as all that begins so it may be removed \
		       */
#define OFFER_REASONS_MAX 64u
#define OFFER_CONNECTIONS_MAX LINK_FDS_MAX

/* Of one image; a drive without a medium has none. */
struct offer_disk {
	bool there;
	uint64_t bytes;
	uint64_t inode; /* 0: it is a device */
	uint64_t data;  /* bytes that it takes on its disk; of one that comes along */
};

struct offer {
	char name[VM_NAME_MAX + 1];
	char host[MOVES_HOST_MAX + 1]; /* who offers, as it calls itself */
	struct guid host_uuid;         /* for the lease */
	char oya[32];                  /* its version */
	uint64_t connections;          /* that it would like; older ones take 1 and do not say */
	uint64_t version;              /* of the offer: others are told, not refused */
	struct settings *settings;     /* NULL: this host cannot use them; `why` tells why */
	struct failure why;
	char folder[PATH_MAX];
	char proof[GUID_TEXT_LEN];
	bool storage;            /* its disks come along: no folder is common */
	uint64_t epoch;          /* of its lease then */
	struct offer_disk *disk; /* as many as the settings have */
	size_t disks;
	struct processor processor;
};

/* ---- the source ---- */

/* Begins one: the file is made in the folder, the images are looked at. It may wait for disks. 0,
 * or -errno and the sentence. `storage`: its disks come along. */
int offer_make(const char *folder, const struct settings *s, bool storage,
	       char ret_proof[GUID_TEXT_LEN], json_t **ret_disks, char ret_folder[PATH_MAX],
	       struct failure *f);
/* Removes the file again; or (NULL) those of all that ended amid it. */
void offer_clean(const char *folder, const char *proof);

/* ---- the destination ---- */

/* Pure. 0, or -EINVAL and the sentence: it is no offer at all. */
int offer_decode(json_t *body, struct offer **ret_offer, struct failure *f);
void offer_free(struct offer *o);

/* Whether the folder of the source is here too: its lease is there. It may wait for a disk. */
bool offer_is_shared(const struct offer *o);

/* What stands in the way on this host, beside what its daemon knows: sentences are added to the
 * list. The settings are the offer's, or NULL; `folder` is the VM's here, NULL: its disks come
 * along; `here` the processor, NULL: not known. It may wait for disks. */
void offer_look(const struct offer *o, const struct settings *s, const char *folder,
		const struct processor *here, json_t *reasons);

/* Adds a sentence. */
__attribute__((format(printf, 2, 3))) void offer_reason(json_t *reasons, const char *format, ...);

#endif
