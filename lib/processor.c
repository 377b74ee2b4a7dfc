/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/processor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "lib/fields.h"

#define NAMED_MAX 10u /* of what is lacking: a processor of another kind lacks dozens */
#define VENDOR_LEN 12u

enum {
	W1_ECX,
	W1_EDX,
	W7_EBX,
	W7_ECX,
	W7_EDX,
	W71_EAX,
	W71_EDX,
	WD_XCR0,
	WD1_EAX,
	WE1_ECX,
	WE1_EDX,
	WE7_EDX,
	WE8_EBX,
	WE21_EAX,
};

/* Bits that a guest can get and take with it: none of the host's management, of virtualization, of
 * performance counters, of AMX, of what the operating system sets. Not ARCH_CAPABILITIES either:
 * what its MSR tells differs among hosts, and a guest without it protects itself against all. */
const struct processor_word processor_words[PROCESSOR_WORDS] = {
	[W1_ECX] = {"1.ecx", 1, 0, PROCESSOR_ECX, 0x77fa3203, 0},
	[W1_EDX] = {"1.edx", 1, 0, PROCESSOR_EDX, 0x078ffbff, 0},
	[W7_EBX] = {"7.ebx", 7, 0, PROCESSOR_EBX, 0xfdbf0fb9, 0},
	[W7_ECX] = {"7.ecx", 7, 0, PROCESSOR_ECX, 0x1b415f4e, 0},
	[W7_EDX] = {"7.edx", 7, 0, PROCESSOR_EDX, 0x9c80451c, 0},
	[W71_EAX] = {"7.1.eax", 7, 1, PROCESSOR_EAX, 0x00801cb7, 0},
	[W71_EDX] = {"7.1.edx", 7, 1, PROCESSOR_EDX, 0x00004030, 0},
	[WD_XCR0] = {"d.0.eax", 0xd, 0, PROCESSOR_EAX, 0x000002e7, 0},
	[WD1_EAX] = {"d.eax", 0xd, 1, PROCESSOR_EAX, 0x0000000f, 0},
	[WE1_ECX] = {"80000001.ecx", 0x80000001, 0, PROCESSOR_ECX, 0x002109e1, 0x00400002},
	[WE1_EDX] = {"80000001.edx", 0x80000001, 0, PROCESSOR_EDX, 0x2e500800, 0x0183f3ff},
	[WE7_EDX] = {"80000007.edx", 0x80000007, 0, PROCESSOR_EDX, 0x00000100, 0},
	[WE8_EBX] = {"80000008.ebx", 0x80000008, 0, PROCESSOR_EBX, 0x1703d205, 0},
	[WE21_EAX] = {"80000021.eax", 0x80000021, 0, PROCESSOR_EAX, 0x00000145, 0},
};

/* As people know them; others are told by word and bit. */
static const struct {
	unsigned word, bit;
	const char *name;
} names[] = {
	{W1_ECX, 9, "ssse3"},
	{W1_ECX, 12, "fma"},
	{W1_ECX, 19, "sse4.1"},
	{W1_ECX, 20, "sse4.2"},
	{W1_ECX, 21, "x2apic"},
	{W1_ECX, 22, "movbe"},
	{W1_ECX, 23, "popcnt"},
	{W1_ECX, 25, "aes"},
	{W1_ECX, 26, "xsave"},
	{W1_ECX, 28, "avx"},
	{W1_ECX, 29, "f16c"},
	{W1_ECX, 30, "rdrand"},
	{W7_EBX, 0, "fsgsbase"},
	{W7_EBX, 3, "bmi1"},
	{W7_EBX, 5, "avx2"},
	{W7_EBX, 8, "bmi2"},
	{W7_EBX, 10, "invpcid"},
	{W7_EBX, 11, "rtm"},
	{W7_EBX, 16, "avx512f"},
	{W7_EBX, 17, "avx512dq"},
	{W7_EBX, 18, "rdseed"},
	{W7_EBX, 19, "adx"},
	{W7_EBX, 20, "smap"},
	{W7_EBX, 28, "avx512cd"},
	{W7_EBX, 29, "sha"},
	{W7_EBX, 30, "avx512bw"},
	{W7_EBX, 31, "avx512vl"},
	{W7_ECX, 1, "avx512vbmi"},
	{W7_ECX, 2, "umip"},
	{W7_ECX, 3, "pku"},
	{W7_ECX, 8, "gfni"},
	{W7_ECX, 9, "vaes"},
	{W7_ECX, 11, "avx512vnni"},
	{W7_ECX, 16, "la57"},
	{W7_ECX, 22, "rdpid"},
	{WD1_EAX, 3, "xsaves"},
	{WE1_ECX, 5, "abm"},
	{WE1_ECX, 6, "sse4a"},
	{WE1_ECX, 8, "prefetchw"},
	{WE1_EDX, 20, "nx"},
	{WE1_EDX, 26, "pdpe1gb"},
	{WE1_EDX, 27, "rdtscp"},
	{W1_ECX, 0, "sse3"},
	{W1_ECX, 13, "cx16"},
	{W1_ECX, 17, "pcid"},
	{W1_EDX, 25, "sse"},
	{W1_EDX, 26, "sse2"},
	{W7_EBX, 7, "smep"},
	{W7_EDX, 26, "spec_ctrl"},
	{W7_EDX, 31, "ssbd"},
	{WD_XCR0, 2, "the state of AVX"},
	{WD_XCR0, 9, "the state of PKRU"},
	{WE1_ECX, 0, "lahf"},
	{WE1_EDX, 11, "syscall"},
	{WE1_EDX, 29, "lm"},
	{WE7_EDX, 8, "invtsc"},
	{WE8_EBX, 12, "ibpb"},
};

/* The features of the psABI's levels, each with those of the ones before it. */
static const struct {
	const char *name;
	uint32_t word[PROCESSOR_WORDS];
} levels[] = {
	{"x86-64-v1", {[W1_EDX] = 0x078bfbff, [WE1_EDX] = 0x20100800}},
	{"x86-64-v2", {[W1_ECX] = 0x00982201, [WE1_ECX] = 0x00000001}},
	{"x86-64-v3",
	 {[W1_ECX] = 0x34401000, [W7_EBX] = 0x00000128, [WD_XCR0] = 0x7, [WE1_ECX] = 0x00000020}},
	{"x86-64-v4", {[W7_EBX] = 0xd0030000, [WD_XCR0] = 0xe0}},
};

/* What is of no use unless all bits of another word are there. */
static const struct {
	unsigned need;
	uint32_t bits;
	unsigned word;
	uint32_t goes;
} rules[] = {
	{W1_ECX, 1u << 26, WD_XCR0, UINT32_MAX}, /* XSAVE */
	{W1_ECX, 1u << 26, WD1_EAX, UINT32_MAX},
	{W1_ECX, 1u << 28, WD_XCR0, 0xe4}, /* AVX and its state */
	{WD_XCR0, 0x7, W1_ECX, 1u << 28 | 1u << 12 | 1u << 29},
	{W1_ECX, 1u << 28, W1_ECX, 1u << 12 | 1u << 29}, /* FMA, F16C */
	{W1_ECX, 1u << 28, W7_EBX, 1u << 5 | 0xdc230000u},
	{W1_ECX, 1u << 28, W7_ECX, 0x00005e02}, /* VAES, VPCLMULQDQ, AVX-512 */
	{W1_ECX, 1u << 28, W71_EAX, 0x00800037},
	{W1_ECX, 1u << 28, W71_EDX, 0x30},
	{W1_ECX, 1u << 28, WE1_ECX, 1u << 11 | 1u << 16}, /* XOP, FMA4 */
	{WD_XCR0, 0xe7, W7_EBX, 0xdc230000},              /* AVX-512 and its state */
	{W7_EBX, 1u << 16, WD_XCR0, 0xe0},
	{W7_EBX, 1u << 16, W7_EBX, 0xdc220000},
	{W7_EBX, 1u << 16, W7_ECX, 0x00005842},
	{W7_EBX, 1u << 16, W7_EDX, 0x0080010c},
	{W7_EBX, 1u << 16, W71_EAX, 1u << 5},
	{W7_ECX, 1u << 3, WD_XCR0, 1u << 9}, /* protection keys */
	{WD_XCR0, 1u << 9, W7_ECX, 1u << 3},
};

json_t *processor_encode(const struct processor *p)
{
	json_t *list = json_object();

	for (size_t i = 0; i < PROCESSOR_WORDS; i++) {
		if (json_object_set_new(list, processor_words[i].name, json_integer(p->word[i])) <
		    0) {
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{s:i, s:s, s:i, s:o}", "version", PROCESSOR_VERSION, "vendor", p->vendor,
			 "physical_bits", (int)p->phys_bits, "words", list);
}

static int decode_words(json_t *list, struct processor *p, struct failure *f)
{
	for (size_t i = 0; i < PROCESSOR_WORDS; i++) {
		json_t *value = json_object_get(list, processor_words[i].name);
		json_int_t n = json_integer_value(value);

		if (value && (!json_is_integer(value) || n < 0 || n > UINT32_MAX))
			return fail(f, -EINVAL, "the word '%s' of the processor is no number",
				    processor_words[i].name);
		p->word[i] = (uint32_t)n & processor_words[i].mask;
	}
	return 0;
}

int processor_decode(const char *what, json_t *object, struct processor *ret, struct failure *f)
{
	static const struct field fields[] = {{"version", JSON_INTEGER},
					      {"vendor", JSON_STRING},
					      {"physical_bits", JSON_INTEGER},
					      {"words", JSON_OBJECT}};
	struct processor p = {0};
	const char *vendor = json_string_value(json_object_get(object, "vendor"));
	uint64_t version = 0, bits = 0;
	int r = fields_check_of(what, object, "'processor'", fields, ARRAY_LEN(fields), f);

	if (r == 0)
		r = field_number(object, "version", PROCESSOR_VERSION, PROCESSOR_VERSION, &version,
				 f);
	if (r == 0)
		r = field_number(object, "physical_bits", 0, PROCESSOR_BITS_MAX, &bits, f);
	if (r == 0 && bits && bits < PROCESSOR_BITS_MIN)
		r = fail(f, -EINVAL, "'physical_bits' of the processor is below %u",
			 PROCESSOR_BITS_MIN);
	if (r == 0 && (!vendor || strlen(vendor) > VENDOR_LEN))
		r = fail(f, -EINVAL, "'vendor' of the processor is not 12 characters");
	if (r == 0)
		r = decode_words(json_object_get(object, "words"), &p, f);
	if (r < 0)
		return r;
	snprintf(p.vendor, sizeof(p.vendor), "%s", vendor);
	p.phys_bits = (unsigned)bits;
	*ret = p;
	return 0;
}

static int decode_level(const char *name, struct processor *ret, struct failure *f)
{
	struct processor p = {0};

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		for (size_t k = 0; k < PROCESSOR_WORDS; k++)
			p.word[k] |= levels[i].word[k];
		if (strcmp(name, levels[i].name) == 0) {
			*ret = p;
			return 0;
		}
	}
	return OR_INVALID(f,
			  "'processor' is '%.32s', allowed are x86-64-v1 to x86-64-v4 and what "
			  "'oya host processor' prints",
			  name);
}

int processor_decode_baseline(json_t *value, struct processor *ret, struct failure *f)
{
	struct processor p;
	int r;

	if (json_is_string(value))
		return decode_level(json_string_value(value), ret, f);
	r = processor_decode("the VM's configuration", value, &p, f);
	if (r < 0)
		return r;
	processor_settle(&p);
	*ret = p;
	return 0;
}

void processor_settle(struct processor *p)
{
	bool changed = true;

	while (changed) { /* each turn takes bits, so it ends */
		changed = false;
		for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
			uint32_t *word = &p->word[rules[i].word];

			if ((p->word[rules[i].need] & rules[i].bits) == rules[i].bits ||
			    !(*word & rules[i].goes))
				continue;
			*word &= ~rules[i].goes;
			changed = true;
		}
	}
}

int processor_intersect(struct processor *p, const struct processor *q, struct failure *f)
{
	if (strcmp(p->vendor, q->vendor) != 0)
		return fail(
			f, -EINVAL,
			"processors of '%s' and '%s' have no baseline: a VM cannot move between "
			"makers; make one of the hosts of each",
			p->vendor, q->vendor);
	for (size_t i = 0; i < PROCESSOR_WORDS; i++)
		p->word[i] &= q->word[i];
	if (!p->phys_bits || (q->phys_bits && q->phys_bits < p->phys_bits))
		p->phys_bits = q->phys_bits;
	processor_settle(p);
	return 0;
}

static void put_bit(unsigned word, unsigned bit, char *text, size_t room)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (names[i].word == word && names[i].bit == bit) {
			snprintf(text + len, room - len, "%s%s", len ? ", " : "", names[i].name);
			return;
		}
	}
	snprintf(text + len, room - len, "%sCPUID.%s[%u]", len ? ", " : "",
		 processor_words[word].name, bit);
}

bool processor_lacks(const struct processor *here, const struct processor *there, char *text,
		     size_t room)
{
	unsigned count = 0;
	size_t len;

	text[0] = '\0';
	if (there->vendor[0] && strcmp(here->vendor, there->vendor) != 0) {
		snprintf(text, room, "the maker '%s': it is of '%s'", there->vendor, here->vendor);
		return true;
	}
	if (here->phys_bits && there->phys_bits > here->phys_bits) {
		snprintf(text, room, "physical addresses of %u bits", there->phys_bits);
		count++;
	}
	for (unsigned i = 0; i < PROCESSOR_WORDS; i++) {
		uint32_t lacks = there->word[i] & ~here->word[i];

		for (unsigned bit = 0; bit < 32; bit++) {
			if (lacks & UINT32_C(1) << bit && count++ < NAMED_MAX)
				put_bit(i, bit, text, room);
		}
	}
	len = strlen(text);
	if (count > NAMED_MAX)
		snprintf(text + len, room - len, " and %u more", count - NAMED_MAX);
	return count > 0;
}

void processor_name_bits(uint32_t leaf, uint32_t subleaf, unsigned where, uint32_t bits, char *text,
			 size_t room)
{
	unsigned count = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < PROCESSOR_WORDS; i++) {
		const struct processor_word *w = &processor_words[i];

		if (w->leaf != leaf || w->subleaf != subleaf || (unsigned)w->where != where)
			continue;
		for (unsigned bit = 0; bit < 32; bit++) {
			if (bits >> bit & 1 && count++ < NAMED_MAX)
				put_bit(i, bit, text, room);
		}
	}
}
