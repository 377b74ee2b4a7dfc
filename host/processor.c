/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/processor.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "lib/fields.h"

#define NAMED_MAX 10u /* of what is lacking: a processor of another kind lacks dozens */

enum { EAX, EBX, ECX, EDX };

/* Bits that a guest can get: none of the host's management, of virtualization, of what the
 * operating system sets. */
static const struct {
	const char *name;
	uint32_t leaf, subleaf;
	unsigned where;
	uint32_t mask;
} words[PROCESSOR_WORDS] = {
	{"1.ecx", 1, 0, ECX, 0x77fa3203},
	{"1.edx", 1, 0, EDX, 0x078ffbff},
	{"7.ebx", 7, 0, EBX, 0xfdbf0fb9},
	{"7.ecx", 7, 0, ECX, 0x1b415f4e},
	{"7.edx", 7, 0, EDX, 0x03c0411c},
	{"d.eax", 0xd, 1, EAX, 0x0000000f},
	{"80000001.ecx", 0x80000001, 0, ECX, 0x002109e1},
	{"80000001.edx", 0x80000001, 0, EDX, 0x2e500800},
};

/* As people know them; others are told by word and bit. */
static const struct {
	unsigned word, bit;
	const char *name;
} names[] = {
	{0, 9, "ssse3"},       {0, 12, "fma"},      {0, 19, "sse4.1"},   {0, 20, "sse4.2"},
	{0, 21, "x2apic"},     {0, 22, "movbe"},    {0, 23, "popcnt"},   {0, 25, "aes"},
	{0, 26, "xsave"},      {0, 28, "avx"},      {0, 29, "f16c"},     {0, 30, "rdrand"},
	{2, 0, "fsgsbase"},    {2, 3, "bmi1"},      {2, 5, "avx2"},      {2, 8, "bmi2"},
	{2, 10, "invpcid"},    {2, 11, "rtm"},      {2, 16, "avx512f"},  {2, 17, "avx512dq"},
	{2, 18, "rdseed"},     {2, 19, "adx"},      {2, 20, "smap"},     {2, 28, "avx512cd"},
	{2, 29, "sha"},        {2, 30, "avx512bw"}, {2, 31, "avx512vl"}, {3, 1, "avx512vbmi"},
	{3, 2, "umip"},        {3, 3, "pku"},       {3, 8, "gfni"},      {3, 9, "vaes"},
	{3, 11, "avx512vnni"}, {3, 16, "la57"},     {3, 22, "rdpid"},    {5, 3, "xsaves"},
	{6, 5, "abm"},         {6, 6, "sse4a"},     {6, 8, "prefetchw"}, {7, 20, "nx"},
	{7, 26, "pdpe1gb"},    {7, 27, "rdtscp"},
};

void processor_read(struct processor *ret)
{
	uint32_t r[4] = {0};

	*ret = (struct processor){0};
	__cpuid(0, r[EAX], r[EBX], r[ECX], r[EDX]);
	memcpy(ret->vendor, &r[EBX], 4);
	memcpy(ret->vendor + 4, &r[EDX], 4);
	memcpy(ret->vendor + 8, &r[ECX], 4);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (__get_cpuid_count(words[i].leaf, words[i].subleaf, &r[EAX], &r[EBX], &r[ECX],
				      &r[EDX]))
			ret->word[i] = r[words[i].where] & words[i].mask;
	}
}

json_t *processor_encode(const struct processor *p)
{
	json_t *list = json_object();

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (json_object_set_new(list, words[i].name, json_integer(p->word[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{s:s, s:o}", "vendor", p->vendor, "words", list);
}

int processor_decode(json_t *object, struct processor *ret, struct failure *f)
{
	static const struct field fields[] = {{"vendor", JSON_STRING}, {"words", JSON_OBJECT}};
	struct processor p = {0};
	const char *vendor = json_string_value(json_object_get(object, "vendor"));
	json_t *list = json_object_get(object, "words");
	int r = fields_check_of("the offer", object, "'processor'", fields, ARRAY_LEN(fields), f);

	if (r == 0 && (!vendor || strlen(vendor) >= sizeof(p.vendor)))
		return fail(f, -EINVAL, "'vendor' of the processor is not 12 characters");
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(words); i++) {
		json_t *value = json_object_get(list, words[i].name);
		json_int_t n = json_integer_value(value);

		if (value && (!json_is_integer(value) || n < 0 || n > UINT32_MAX))
			return fail(f, -EINVAL, "the word '%s' of the processor is no number",
				    words[i].name);
		p.word[i] = (uint32_t)n & words[i].mask;
	}
	if (r < 0)
		return r;
	snprintf(p.vendor, sizeof(p.vendor), "%s", vendor);
	*ret = p;
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
	snprintf(text + len, room - len, "%sCPUID.%s[%u]", len ? ", " : "", words[word].name, bit);
}

bool processor_lacks(const struct processor *here, const struct processor *there, char *text,
		     size_t room)
{
	unsigned count = 0;
	size_t len;

	text[0] = '\0';
	if (strcmp(here->vendor, there->vendor) != 0) {
		snprintf(text, room, "the maker '%s': it is of '%s'", there->vendor, here->vendor);
		return true;
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
