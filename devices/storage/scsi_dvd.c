/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A DVD-ROM drive: its commands, its medium that comes and goes. Part of the pure decoder
 * (scsi.h); what a command changes is said by the action and done by the controller.
 *
 * Without a medium the unit has no sectors. After a change the first command that is not about
 * the drive itself is told of it (unit attention), and the event is kept until it was asked for.
 *
 * Spec: MMC-6; SPC-4 for TEST UNIT READY and its sense.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/storage/scsi_priv.h"

#define TRACK_DATA 0x14u /* ADR 1, a data track that must not be copied over */
#define TRACK_LEAD_OUT 0xAAu
#define TOC_MSF 0x02u
#define MSF_LEAD_IN 150u /* frames before sector 0 */
#define FRAMES 75u       /* of a second */

#define START_STOP_START 0x01u
#define START_STOP_LOAD_EJECT 0x02u

#define EVENT_POLLED 0x01u
#define EVENT_NONE 0x80u
#define EVENT_MEDIA_PRESENT 0x02u

#define FEATURE_PERSISTENT 0x02u
#define FEATURE_CURRENT 0x01u
#define FEATURE_VERSION_2 0x08u

static bool has_medium(const struct scsi_unit *unit)
{
	return unit->sectors != 0;
}

static void decode_ready(const struct scsi_unit *unit, const struct scsi_command *cmd,
			 struct scsi_action *ret_action)
{
	(void)unit;
	(void)cmd;
	ret_action->kind = SCSI_ACT_DONE;
}

/* The tray closes at once when a medium is put in, so there is nothing to load. */
static void decode_start_stop(const struct scsi_unit *unit, const struct scsi_command *cmd,
			      struct scsi_action *ret_action)
{
	uint8_t what = cmd->cdb[4] & (START_STOP_LOAD_EJECT | START_STOP_START);

	if (what != START_STOP_LOAD_EJECT)
		ret_action->kind = SCSI_ACT_DONE;
	else if (unit->locked)
		scsi_check(ret_action, SCSI_KEY_ILLEGAL_REQUEST, SCSI_SENSE_REMOVAL_PREVENTED);
	else
		ret_action->kind = has_medium(unit) ? SCSI_ACT_EJECT : SCSI_ACT_DONE;
}

static void decode_prevent(const struct scsi_unit *unit, const struct scsi_command *cmd,
			   struct scsi_action *ret_action)
{
	(void)unit;
	ret_action->kind = SCSI_ACT_LOCK;
	ret_action->lock = (cmd->cdb[4] & 1) != 0;
}

/* A sector's address, as a number or as minute, second and frame, which end at 255 minutes. */
static void put_address(uint8_t *at, uint64_t sector, bool msf)
{
	uint64_t frames = sector + MSF_LEAD_IN;

	if (!msf) {
		be32_store(at, (uint32_t)min_u64(sector, UINT32_MAX));
		return;
	}
	at[1] = (uint8_t)min_u64(frames / (60 * FRAMES), UINT8_MAX);
	at[2] = (uint8_t)(frames / FRAMES % 60);
	at[3] = (uint8_t)(frames % FRAMES);
}

static uint8_t *put_track(uint8_t *at, uint8_t number, uint64_t sector, bool msf)
{
	at[1] = TRACK_DATA;
	at[2] = number;
	put_address(at + 4, sector, msf);
	return at + 8;
}

/* One session with one track. */
static void decode_toc(const struct scsi_unit *unit, const struct scsi_command *cmd,
		       struct scsi_action *ret_action)
{
	uint8_t format = cmd->cdb[2] & 0x0F, first = cmd->cdb[6];
	bool msf = (cmd->cdb[1] & TOC_MSF) != 0;
	uint8_t *reply, *at;

	if (format == 0 && cmd->cdb[9] >> 6)
		format = cmd->cdb[9] >> 6; /* where older drivers put it */
	if (format > 1 || (format == 0 && first > 1 && first != TRACK_LEAD_OUT)) {
		scsi_check_field(ret_action);
		return;
	}
	reply = scsi_reply_begin(ret_action);
	reply[2] = reply[3] = 1; /* first and last track, or session */
	at = reply + 4;
	if (format == 1 || first <= 1)
		at = put_track(at, 1, 0, msf);
	if (format == 0)
		at = put_track(at, TRACK_LEAD_OUT, unit->sectors, msf);
	be16_store(reply, (uint16_t)(at - reply - 2));
	scsi_reply_end(ret_action, cmd, (uint32_t)(at - reply), be16_load(cmd->cdb + 7));
}

struct feature {
	uint16_t code;
	uint8_t flags;
	bool of_medium; /* current only while there is one */
	uint8_t len;
	uint8_t data[8];
};

static const struct feature features[] = {
	{SCSI_FEATURE_PROFILES,
	 FEATURE_PERSISTENT | FEATURE_CURRENT,
	 false,
	 4,
	 {SCSI_PROFILE_DVD_ROM >> 8, SCSI_PROFILE_DVD_ROM & 0xFF}},
	{SCSI_FEATURE_CORE,
	 FEATURE_VERSION_2 | FEATURE_PERSISTENT | FEATURE_CURRENT,
	 false,
	 8,
	 {0, 0, 0, 1 /* SCSI */, 1 /* tells of events of devices */}},
	{SCSI_FEATURE_REMOVABLE,
	 FEATURE_PERSISTENT | FEATURE_CURRENT,
	 false,
	 4,
	 {SCSI_TRAY | SCSI_CAN_EJECT | SCSI_CAN_LOCK}},
	{SCSI_FEATURE_RANDOM_READABLE, 0, true, 8, {0, 0, 2048 >> 8, 0, 0, 1 /* sector a block */}},
	{SCSI_FEATURE_DVD_READ, 0, true, 4, {0}},
};

static uint8_t *put_feature(uint8_t *at, const struct feature *feature, bool medium)
{
	be16_store(at, feature->code);
	at[2] = feature->flags;
	if (feature->of_medium && medium)
		at[2] |= FEATURE_CURRENT;
	at[3] = feature->len;
	memcpy(at + 4, feature->data, feature->len);
	if (feature->code == SCSI_FEATURE_PROFILES && medium)
		at[6] = 1; /* the profile is the current one */
	return at + 4 + feature->len;
}

static void decode_configuration(const struct scsi_unit *unit, const struct scsi_command *cmd,
				 struct scsi_action *ret_action)
{
	enum { ALL, CURRENT, ONE } which = cmd->cdb[1] & 3;
	uint16_t from = be16_load(cmd->cdb + 2);
	bool medium = has_medium(unit);
	uint8_t *reply, *at;

	if (which > ONE) {
		scsi_check_field(ret_action);
		return;
	}
	reply = scsi_reply_begin(ret_action);
	at = reply + 8;
	for (size_t i = 0; i < ARRAY_LEN(features); i++) {
		const struct feature *feature = &features[i];

		if (feature->code < from || (which == ONE && feature->code != from))
			continue;
		if (which == CURRENT && feature->of_medium && !medium)
			continue;
		at = put_feature(at, feature, medium);
	}
	be32_store(reply, (uint32_t)(at - reply - 4));
	if (medium)
		be16_store(reply + 6, SCSI_PROFILE_DVD_ROM);
	scsi_reply_end(ret_action, cmd, (uint32_t)(at - reply), be16_load(cmd->cdb + 7));
}

static void decode_event(const struct scsi_unit *unit, const struct scsi_command *cmd,
			 struct scsi_action *ret_action)
{
	uint32_t allocation = be16_load(cmd->cdb + 7), made = 4;
	uint8_t *reply;

	if (!(cmd->cdb[1] & EVENT_POLLED)) { /* none comes unasked */
		scsi_check_field(ret_action);
		return;
	}
	reply = scsi_reply_begin(ret_action);
	reply[3] = 1u << SCSI_EVENT_CLASS_MEDIA;
	if (cmd->cdb[4] & 1u << SCSI_EVENT_CLASS_MEDIA) {
		reply[2] = SCSI_EVENT_CLASS_MEDIA;
		reply[4] = (uint8_t)unit->event;
		reply[5] = has_medium(unit) ? EVENT_MEDIA_PRESENT : 0;
		made = 8;
	} else {
		reply[2] = EVENT_NONE;
	}
	be16_store(reply, (uint16_t)(made - 2));
	scsi_reply_end(ret_action, cmd, made, allocation);
	ret_action->event_told = ret_action->reply_len > 4;
}

/* A finished disc of one session, read only. */
static void decode_disc_information(const struct scsi_unit *unit, const struct scsi_command *cmd,
				    struct scsi_action *ret_action)
{
	uint8_t *reply;

	(void)unit;
	if (cmd->cdb[1] & 7) {
		scsi_check_field(ret_action);
		return;
	}
	reply = scsi_reply_begin(ret_action);
	be16_store(reply, SCSI_DISC_INFORMATION_BYTES - 2);
	reply[2] = 0x0E;                               /* disc and last session complete */
	reply[3] = reply[4] = reply[5] = reply[6] = 1; /* tracks, sessions */
	memset(reply + 16, 0xFF, 8);                   /* nothing can be added */
	scsi_reply_end(ret_action, cmd, SCSI_DISC_INFORMATION_BYTES, be16_load(cmd->cdb + 7));
}

struct dvd_command {
	uint8_t opcode;
	bool of_drive; /* works without a medium, and is not told of its change */
	scsi_decode_function *decode;
};

static const struct dvd_command *find_command(uint8_t opcode)
{
	static const struct dvd_command table[] = {
		{SCSI_READ_10, false, scsi_decode_transfer},
		{SCSI_READ_12, false, scsi_decode_transfer},
		{SCSI_TEST_UNIT_READY, false, decode_ready},
		{SCSI_GET_EVENT_STATUS, true, decode_event},
		{SCSI_READ_CAPACITY_10, false, scsi_decode_capacity_10},
		{SCSI_READ_TOC, false, decode_toc},
		{SCSI_GET_CONFIGURATION, true, decode_configuration},
		{SCSI_READ_DISC_INFORMATION, false, decode_disc_information},
		{SCSI_INQUIRY, true, scsi_decode_inquiry},
		{SCSI_MODE_SENSE_6, true, scsi_decode_mode_sense},
		{SCSI_MODE_SENSE_10, true, scsi_decode_mode_sense},
		{SCSI_REQUEST_SENSE, true, scsi_decode_request_sense},
		{SCSI_REPORT_LUNS, true, scsi_decode_report_luns},
		{SCSI_START_STOP_UNIT, true, decode_start_stop},
		{SCSI_PREVENT_ALLOW_REMOVAL, true, decode_prevent},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].opcode == opcode)
			return &table[i];
	return NULL;
}

bool scsi_dvd_knows(uint8_t opcode)
{
	return find_command(opcode) != NULL;
}

void scsi_decode_dvd(const struct scsi_unit *unit, const struct scsi_command *cmd,
		     struct scsi_action *ret_action)
{
	const struct dvd_command *command = find_command(cmd->cdb[0]);

	if (!command->of_drive && unit->attention != SCSI_SENSE_NONE) {
		scsi_check(ret_action, SCSI_KEY_UNIT_ATTENTION, unit->attention);
		ret_action->attention_told = true;
	} else if (!command->of_drive && !has_medium(unit)) {
		scsi_check(ret_action, SCSI_KEY_NOT_READY, SCSI_SENSE_MEDIUM_NOT_PRESENT);
	} else {
		command->decode(unit, cmd, ret_action);
	}
}
