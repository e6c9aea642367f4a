/* checkop: command line and tally; see README.md. */
#include "checkop.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const ck_isas[] = {"sse4", "avx2", "avx512", "amx", "tiles", NULL};

static const char usage[] =
    "usage: checkop [check] --backend cpu|cuda|ref|null [--isa PATH] [--act f32|f16|bf16] [--op NAME]\n"
    "                       [--case TEXT] [--threads N] [--full] [--bench] [--verbose]\n"
    "       checkop invariance [--backend NAME] [--isa PATH] [--act TYPE] [--op NAME] [--full]\n"
    "       checkop selftest\n";

void ck_pass(ck_tally *t) { t->passed++; }

void ck_fail(ck_tally *t, const char *format, ...)
{
    va_list ap;
    t->failed++;
    printf("FAIL  ");
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
}

void ck_skip(ck_tally *t, const char *format, ...)
{
    va_list ap;
    t->skipped++;
    printf("skip  ");
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
}

ib_backend *ck_open(ck_tally *t, const char *name, const char *isa, ib_dtype act, int device, ib_pool *pool,
                    ib_diag *diag)
{
    ib_backend_options options = {.act = act, .device = device, .isa = isa, .pool = pool, .diag = diag};
    ib_backend *b = NULL;
    isobath_status st;
    if (strcmp(name, "ref") == 0) {
        options.act = IB_F32;
        st = ib_ref_open(&options, &b);
        if (b) {
            b->act = act; /* ref reads and writes every float type */
            snprintf(b->kind, sizeof b->kind, "ref %s", ib_dtype_name(act));
        }
    } else if (strcmp(name, "null") == 0) {
        st = ib_null_open(&options, &b);
    } else if (strcmp(name, "cuda") == 0) {
        st = ib_cuda_open(&options, &b);
    } else {
#if CHECKOP_HAVE_CPU
        st = ib_cpu_open(&options, &b);
#else
        st = ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "this build has no cpu backend");
#endif
    }
    if (st == ISOBATH_OK) return b;
    /* What the machine lacks is skipped; anything else is a fault. */
    if (st == ISOBATH_ERR_UNSUPPORTED || st == ISOBATH_ERR_DEVICE)
        ck_skip(t, "%s%s%s %s: %s", name, isa ? " " : "", isa ? isa : "", ib_dtype_name(act), diag->text);
    else
        ck_fail(t, "%s%s%s %s does not open: %s", name, isa ? " " : "", isa ? isa : "", ib_dtype_name(act), diag->text);
    return NULL;
}

static int known_backend(const char *name)
{
    return !strcmp(name, "ref") || !strcmp(name, "null") || !strcmp(name, "cpu") || !strcmp(name, "cuda");
}

static int known_op(const char *name)
{
    for (int i = 0; i < ck_op_count; i++)
        if (!strcmp(name, ck_ops[i]->name)) return 1;
    return !strcmp(name, "temporal_block");
}

static int known_isa(const char *name)
{
    for (int i = 0; ck_isas[i]; i++)
        if (!strcmp(name, ck_isas[i])) return 1;
    return 0;
}

/* Fills the options; 0 and a line on stderr when something is not understood. */
static int parse(int argc, char **argv, const char **mode, ck_options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        int takes = 1;
        if (word[0] != '-' && i == 1) {
            *mode = word;
            continue;
        }
        if (!strcmp(word, "--full"))
            o->full = 1, takes = 0;
        else if (!strcmp(word, "--bench"))
            o->bench = 1, takes = 0;
        else if (!strcmp(word, "--verbose"))
            o->verbose = 1, takes = 0;
        else if (!value)
            takes = -1;
        else if (!strcmp(word, "--backend") && known_backend(value))
            o->backend = value;
        else if (!strcmp(word, "--isa") && known_isa(value))
            o->isa = value;
        else if (!strcmp(word, "--op") && known_op(value))
            o->op = value;
        else if (!strcmp(word, "--case"))
            o->only = value;
        else if (!strcmp(word, "--threads") && atoi(value) >= 1 && atoi(value) <= 1024)
            o->threads = atoi(value);
        else if (!strcmp(word, "--act") && (!strcmp(value, "f32") || !strcmp(value, "f16") || !strcmp(value, "bf16")))
            o->act = !strcmp(value, "f32") ? IB_F32 : !strcmp(value, "f16") ? IB_F16 : IB_BF16;
        else
            takes = -1;
        if (takes < 0) {
            fprintf(stderr, "checkop: %s %s is not understood\n%s", word, value ? value : "", usage);
            return 0;
        }
        i += takes;
    }
    return 1;
}

int main(int argc, char **argv)
{
    const char *mode = "check";
    ck_options o = {.act = -1, .threads = 2};
    ck_tally t = {0};
    if (!parse(argc, argv, &mode, &o)) return ISOBATH_ERR_USAGE;
    if (!strcmp(mode, "invariance")) {
        ck_invariance(&o, &t);
    } else if (!strcmp(mode, "selftest")) {
        ck_selftest(&o, &t);
    } else if (!strcmp(mode, "check") && o.backend) {
        if (!strcmp(o.backend, "null"))
            ck_null(&o, &t);
        else
            ck_check(&o, &t);
    } else {
        fprintf(stderr, "%s", usage);
        return ISOBATH_ERR_USAGE;
    }
    printf("%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped);
    return t.failed ? ISOBATH_ERR_INTERNAL : ISOBATH_OK;
}
