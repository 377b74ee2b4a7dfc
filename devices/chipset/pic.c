/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role, limits, trust, spec: see pic.h. */
#include "devices/chipset/pic.h"

#include <string.h>

#define CASCADE_LINE 2u
#define SPURIOUS_LINE 7u
#define NONE 8u

#define ICW1 0x10u
#define ICW1_FOURTH 0x01u
#define ICW4_AUTO_END 0x02u
#define OCW3 0x08u
#define OCW3_READ 0x02u
#define OCW3_READ_IN_SERVICE 0x01u
#define OCW2_END 0x20u
#define OCW2_SPECIFIC 0x40u
#define VECTOR_WRITABLE 0xF8u
#define STEP_LAST 4u
#define EDGE_FIRST_WRITABLE 0xF8u  /* timer, keyboard and cascade are edges */
#define EDGE_SECOND_WRITABLE 0xDEu /* so are clock and coprocessor */

static unsigned lowest(uint8_t bits)
{
	return bits ? (unsigned)__builtin_ctz(bits) : NONE;
}

/* The line that would interrupt, NONE when none of a priority above those in service does. */
static unsigned winner(const struct pic_chip *c)
{
	unsigned line = lowest(c->requested & (uint8_t)~c->mask);

	return line < lowest(c->in_service) ? line : NONE;
}

static void set_line(struct pic_chip *c, unsigned line, bool level)
{
	uint8_t bit = (uint8_t)(1u << line);

	if (level && (!(c->lines & bit) || (c->edge_level & bit)))
		c->requested |= bit;
	if (!level)
		c->requested &= (uint8_t)~bit;
	c->lines = level ? c->lines | bit : c->lines & (uint8_t)~bit;
}

/* The first chip takes interrupts of the second also while another of it is in service there. */
static void cascade(struct pic *p)
{
	struct pic_chip *first = &p->chip[0];
	bool active = winner(&p->chip[1]) != NONE;
	uint8_t bit = 1u << CASCADE_LINE;

	first->lines = active ? first->lines | bit : first->lines & (uint8_t)~bit;
	first->requested = active ? first->requested | bit : first->requested & (uint8_t)~bit;
}

void pic_set_irq(struct pic *p, unsigned line, bool level)
{
	if (line >= PIC_LINES)
		return;
	set_line(&p->chip[line / 8], line % 8, level);
	cascade(p);
}

bool pic_is_masked(const struct pic *p, unsigned line)
{
	return line >= PIC_LINES || (p->chip[line / 8].mask >> line % 8 & 1);
}

bool pic_pending(const struct pic *p)
{
	return winner(&p->chip[0]) != NONE;
}

/* Takes the chip's interrupt into service; its vector. */
static uint8_t acknowledge(struct pic_chip *c, unsigned *ret_line)
{
	unsigned line = winner(c);
	uint8_t bit = (uint8_t)(1u << line);

	*ret_line = line;
	if (line == NONE)
		return (uint8_t)(c->vector + SPURIOUS_LINE);
	if (!c->auto_end)
		c->in_service |= bit;
	if (!(c->edge_level & bit))
		c->requested &= (uint8_t)~bit;
	return (uint8_t)(c->vector + line);
}

uint8_t pic_acknowledge(struct pic *p)
{
	unsigned line;
	uint8_t vector = acknowledge(&p->chip[0], &line);

	if (line == CASCADE_LINE)
		vector = acknowledge(&p->chip[1], &line);
	cascade(p);
	return vector;
}

static void end_interrupt(struct pic_chip *c, uint8_t value)
{
	unsigned line = value & OCW2_SPECIFIC ? value & 7u : lowest(c->in_service);

	if ((value & OCW2_END) && line != NONE)
		c->in_service &= (uint8_t) ~(1u << line);
}

static void begin_init(struct pic_chip *c, uint8_t value)
{
	c->mask = c->in_service = c->requested = 0;
	c->auto_end = c->read_in_service = false;
	c->fourth_word = value & ICW1_FOURTH;
	c->step = 2;
}

static void write_command(struct pic_chip *c, uint8_t value)
{
	if (value & ICW1)
		begin_init(c, value);
	else if (!(value & OCW3))
		end_interrupt(c, value);
	else if (value & OCW3_READ)
		c->read_in_service = value & OCW3_READ_IN_SERVICE;
}

static void write_data(struct pic_chip *c, uint8_t value)
{
	switch (c->step) {
	case 2:
		c->vector = value & VECTOR_WRITABLE;
		c->step = 3;
		break;
	case 3: /* where the other chip is: here it can only be in one place */
		c->step = c->fourth_word ? 4 : 0;
		break;
	case 4:
		c->auto_end = value & ICW4_AUTO_END;
		c->step = 0;
		break;
	default:
		c->mask = value;
		break;
	}
}

void pic_write(struct pic *p, unsigned chip, unsigned port, uint8_t value)
{
	struct pic_chip *c = &p->chip[chip & 1];

	if (port & 1)
		write_data(c, value);
	else
		write_command(c, value);
	cascade(p);
}

uint8_t pic_read(struct pic *p, unsigned chip, unsigned port)
{
	const struct pic_chip *c = &p->chip[chip & 1];

	if (port & 1)
		return c->mask;
	return c->read_in_service ? c->in_service : c->requested;
}

uint8_t pic_read_edge(const struct pic *p, unsigned chip)
{
	return p->chip[chip & 1].edge_level;
}

void pic_write_edge(struct pic *p, unsigned chip, uint8_t value)
{
	p->chip[chip & 1].edge_level =
		value & (chip & 1 ? EDGE_SECOND_WRITABLE : EDGE_FIRST_WRITABLE);
}

/* ---- saved state ---- */

static void check(const struct pic *p, unsigned i, struct record *r)
{
	const struct pic_chip *c = &p->chip[i];

	if (c->vector & (uint8_t)~VECTOR_WRITABLE)
		record_refuse(r, "the vectors of PIC %u begin at 0x%x", i, c->vector);
	if (c->edge_level & (uint8_t) ~(i ? EDGE_SECOND_WRITABLE : EDGE_FIRST_WRITABLE))
		record_refuse(r, "the level lines of PIC %u are 0x%x", i, c->edge_level);
	if (c->step == 1 || c->step > STEP_LAST)
		record_refuse(r, "PIC %u waits for word %u", i, c->step);
	if (c->requested & (uint8_t)~c->lines)
		record_refuse(r, "PIC %u is asked for by lines that are low", i);
}

static void chip_fields(struct pic_chip *c, unsigned i, struct record *r)
{
	record_u8(r, record_name_of("pic", i, "lines").text, &c->lines);
	record_u8(r, record_name_of("pic", i, "requested").text, &c->requested);
	record_u8(r, record_name_of("pic", i, "in_service").text, &c->in_service);
	record_u8(r, record_name_of("pic", i, "mask").text, &c->mask);
	record_u8(r, record_name_of("pic", i, "edge_level").text, &c->edge_level);
	record_u8(r, record_name_of("pic", i, "vector").text, &c->vector);
	record_u8(r, record_name_of("pic", i, "step").text, &c->step);
	record_bool(r, record_name_of("pic", i, "fourth_word").text, &c->fourth_word);
	record_bool(r, record_name_of("pic", i, "auto_end").text, &c->auto_end);
	record_bool(r, record_name_of("pic", i, "read_in_service").text, &c->read_in_service);
}

void pic_fields(struct pic *p, struct record *r)
{
	struct pic cascaded;

	for (unsigned i = 0; i < 2; i++) {
		chip_fields(&p->chip[i], i, r);
		check(p, i, r);
	}
	cascaded = *p;
	cascade(&cascaded);
	if (cascaded.chip[0].lines != p->chip[0].lines ||
	    cascaded.chip[0].requested != p->chip[0].requested)
		record_refuse(r, "the PICs do not agree on the line between them");
}

void pic_reset(struct pic *p)
{
	memset(p, 0, sizeof(*p));
	p->chip[0].mask = p->chip[1].mask = 0xFF;
}
