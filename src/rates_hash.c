/*
 * rates_hash.c -- SipHash-2-4 with 128 bits, of Aumasson and Bernstein.
 *
 * Whoever may choose his id or key must not find another's place, so the hash has
 * a secret, and is long enough to stand for what was hashed.
 */
#include "compat.h"

#include "rates_memory.h"

typedef struct Sip
{
	uint64		v0;
	uint64		v1;
	uint64		v2;
	uint64		v3;
} Sip;

static inline uint64
turned(uint64 value, int bits)
{
	return (value << bits) | (value >> (64 - bits));
}

static inline void
stir(Sip *sip, int rounds)
{
	while (rounds-- > 0)
	{
		sip->v0 += sip->v1;
		sip->v2 += sip->v3;
		sip->v1 = turned(sip->v1, 13) ^ sip->v0;
		sip->v3 = turned(sip->v3, 16) ^ sip->v2;
		sip->v0 = turned(sip->v0, 32);
		sip->v2 += sip->v1;
		sip->v0 += sip->v3;
		sip->v1 = turned(sip->v1, 17) ^ sip->v2;
		sip->v3 = turned(sip->v3, 21) ^ sip->v0;
		sip->v2 = turned(sip->v2, 32);
	}
}

static inline void
take_word(Sip *sip, uint64 word)
{
	sip->v3 ^= word;
	stir(sip, 2);
	sip->v0 ^= word;
}

static inline uint64
result_of(const Sip *sip)
{
	return sip->v0 ^ sip->v1 ^ sip->v2 ^ sip->v3;
}

WideHash
sip_hash(const WideHash *secret, const void *data, Size length)
{
	Sip			sip = {
		UINT64CONST(0x736f6d6570736575) ^ secret->low,
		UINT64CONST(0x646f72616e646f6d) ^ secret->high ^ 0xee,
		UINT64CONST(0x6c7967656e657261) ^ secret->low,
		UINT64CONST(0x7465646279746573) ^ secret->high
	};
	const char *at = data;
	Size		left = length;
	uint64		word = 0;
	WideHash		hash;

	for (; left >= sizeof(word); left -= sizeof(word), at += sizeof(word))
	{
		memcpy(&word, at, sizeof(word));
		take_word(&sip, word);
	}
	word = 0;
	memcpy(&word, at, left);
	take_word(&sip, word | ((uint64) length << 56));
	sip.v2 ^= 0xee;
	stir(&sip, 4);
	hash.low = result_of(&sip);
	sip.v1 ^= 0xdd;
	stir(&sip, 4);
	hash.high = result_of(&sip);
	return hash;
}
