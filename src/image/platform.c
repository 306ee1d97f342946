/*
 * Which entry of an index is for this machine (OCI image-spec, image-index.md, "platform").
 *
 * A variant is a level: a machine runs its own and those below. Of several that it runs it gets the highest, for whose sake
 * it was built. What is for nobody ("unknown/unknown": attestations about the other entries) matches no machine. os.version and
 * os.features mean something on other systems only.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/mem.h"
#include "image/manifest.h"

/* What an architecture runs besides itself, when the index has nothing else. */
static const struct {
	const char *architecture, *runs, *variant;
} also_runs[] = {
	{ "amd64", "386", "" },
	{ "arm64", "arm", "v8" },
};

static const struct {
	const char *architecture, *variant;
	unsigned level; /* 1 is the lowest */
} levels[] = {
	{ "amd64", "", 1 },   { "amd64", "v1", 1 }, { "amd64", "v2", 2 }, { "amd64", "v3", 3 },
	{ "amd64", "v4", 4 }, { "arm", "v5", 1 },   { "arm", "v6", 2 },   { "arm", "", 3 },
	{ "arm", "v7", 3 },   { "arm", "v8", 4 },   { "arm64", "", 1 },   { "arm64", "v8", 1 },
};

/* 0: unknown. Architectures that are not in the table have no variants but what is written. */
static unsigned level_of(const char *architecture, const char *variant)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (!strcmp(levels[i].architecture, architecture) && !strcmp(levels[i].variant, variant))
			return levels[i].level;
	}
	return !*variant;
}

#if defined(__x86_64__)
/* The levels of the psABI (x86-64-ABI, "Micro-Architecture Levels"), by what CPUID says. What the system does not save for
 * programs, it hides from __builtin_cpu_supports(). */
static const char *amd64_variant(void)
{
	enum {
		LEAF1_V2 = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23, /* SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT */
		LEAF1_V3 = 1 << 12 | 1 << 22 | 1 << 27 | 1 << 28 | 1 << 29,         /* FMA MOVBE OSXSAVE AVX F16C */
		LEAF7_V3 = 1 << 3 | 1 << 5 | 1 << 8,                                /* BMI1 AVX2 BMI2 */
		EXTENDED_V2 = 1 << 0,                                               /* LAHF */
		EXTENDED_V3 = 1 << 5,                                               /* LZCNT */
	};
	unsigned a, b, features = 0, d, leaf7 = 0, extended = 0;

	(void)__get_cpuid(1, &a, &b, &features, &d);
	(void)__get_cpuid(0x80000001, &a, &b, &extended, &d);
	(void)__get_cpuid_count(7, 0, &a, &leaf7, &b, &d);
	if ((features & LEAF1_V2) != LEAF1_V2 || !(extended & EXTENDED_V2))
		return "";
	if ((features & LEAF1_V3) != LEAF1_V3 || (leaf7 & LEAF7_V3) != LEAF7_V3 || !(extended & EXTENDED_V3) ||
	    !__builtin_cpu_supports("avx2"))
		return "v2";
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
	    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
		return "v4";
	return "v3";
}
#else
static const char *amd64_variant(void)
{
	return "";
}
#endif

struct platform platform_host(void)
{
	static const struct {
		const char *machine; /* uname -m */
		struct platform platform;
	} known[] = {
		{ "x86_64", { "linux", "amd64", NULL } },      { "aarch64", { "linux", "arm64", "v8" } },
		{ "armv5tel", { "linux", "arm", "v5" } },      { "armv5tejl", { "linux", "arm", "v5" } },
		{ "armv6l", { "linux", "arm", "v6" } },        { "armv7l", { "linux", "arm", "v7" } },
		{ "armv8l", { "linux", "arm", "v8" } },        { "ppc64le", { "linux", "ppc64le", "" } },
		{ "riscv64", { "linux", "riscv64", "" } },     { "s390x", { "linux", "s390x", "" } },
		{ "loongarch64", { "linux", "loong64", "" } }, { "i686", { "linux", "386", "" } },
	};
	struct utsname name;

	(void)uname(&name);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct platform platform = known[i].platform;

		if (strcmp(known[i].machine, name.machine) != 0)
			continue;
		platform.variant = platform.variant ? platform.variant : amd64_variant();
		return platform;
	}
	return (struct platform){ "linux", "unknown", "" };
}

/* 0: it does not run here; higher is better. At the same level the one that is spelled like ours. */
static unsigned rank_variant(const char *architecture, const char *ours, const char *theirs)
{
	unsigned level = level_of(architecture, theirs);

	if (!strcmp(ours, theirs))
		return 2 * (level ? level : 1) + 1;
	return level <= level_of(architecture, ours) ? 2 * level : 0;
}

static unsigned rank_entry(const struct manifest_entry *entry, const struct platform *platform, size_t n_entries)
{
	enum { NATIVE = 100 };
	unsigned rank;

	if (!*entry->os && !*entry->architecture)
		return n_entries == 1;
	if (strcmp(entry->os, platform->os) != 0)
		return 0;
	if (!strcmp(entry->architecture, platform->architecture)) {
		rank = rank_variant(platform->architecture, platform->variant, entry->variant);
		return rank ? NATIVE + rank : 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(also_runs); i++) {
		if (!strcmp(also_runs[i].architecture, platform->architecture) && !strcmp(also_runs[i].runs, entry->architecture))
			return rank_variant(also_runs[i].runs, also_runs[i].variant, entry->variant);
	}
	return 0;
}

int manifest_choose(const struct manifest *index, const struct platform *platform, const struct manifest_entry **ret_entry,
		    struct error *err)
{
	const struct manifest_entry *best = NULL;
	unsigned best_rank = 0;

	for (size_t i = 0; i < index->n_entries; i++) {
		unsigned rank = rank_entry(&index->entries[i], platform, index->n_entries);

		if (rank > best_rank) {
			best_rank = rank;
			best = &index->entries[i];
		}
	}
	if (!best)
		return error_set(err, ERR_NOT_FOUND, "index of %zu manifests has none for %s/%s%s%s", index->n_entries,
				 platform->os, platform->architecture, *platform->variant ? "/" : "", platform->variant);
	*ret_entry = best;
	return 0;
}
