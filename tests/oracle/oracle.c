/* Set-up of the comparisons with the expected values; see oracle.h. */
#include "oracle.h"

#include "pipeline/plan.h"
#include "support/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int parse(oracle *o, int argc, char **argv, const char *extra, int *number)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : "";
        if (word[0] != '-') o->name = word;
        else if (strcmp(word, "--no-taps") == 0) o->taps = 0;
        else if (i++, strcmp(word, "--backend") == 0) o->backend = next;
        else if (strcmp(word, "--isa") == 0) o->isa = next;
        else if (strcmp(word, "--act") == 0) o->act = next;
        else if (strcmp(word, "--threads") == 0) o->threads = atoi(next);
        else if (strcmp(word, "--median") == 0) o->median = atof(next);
        else if (strcmp(word, "--p9999") == 0) o->p9999 = atof(next);
        else if (strcmp(word, "--worst") == 0) o->worst = atof(next);
        else if (strcmp(word + 2, extra) == 0) *number = atoi(next);
        else return fprintf(stderr, "unknown option %s\n", word), 0;
    }
    return 1;
}

static isobath_status open_backend(oracle *o)
{
    ib_dtype act = strcmp(o->act, "bf16") == 0 ? IB_BF16 : strcmp(o->act, "f16") == 0 ? IB_F16 : IB_F32;
    ib_backend_options b = {.act = act, .isa = o->isa, .pool = o->pool, .diag = &o->diag};
    if (strcmp(o->backend, "ref") == 0) return ib_ref_open(&b, &o->be);
    if (strcmp(o->backend, "cuda") == 0) return ib_cuda_open(&b, &o->be);
    return ib_cpu_open(&b, &o->be);
}

int oracle_open(oracle *o, int argc, char **argv, const char *extra, int *number)
{
    *o = (oracle){.backend = "cpu", .act = "f32", .threads = ib_cpu_count(), .taps = 1, .median = 1e-4, .p9999 = 1e-4, .worst = 1e-4,
                  .diag = IB_DIAG_INIT};
    if (!parse(o, argc, argv, extra, number)) return 2;
    char path[64] = "/tmp/isobath-oracle-XXXXXX";
    if (!o->name || expect_open(o->name, &o->c) != 0) return fprintf(stderr, "no such case\n"), 2;
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0 || synth_checkpoint_write(o->c.kind, o->c.seed, path) != 0) return fprintf(stderr, "%s: cannot write\n", path), 2;
    isobath_status st = ib_checkpoint_open(path, &o->diag, &o->ckpt);
    unlink(path);
    if (st == ISOBATH_OK) st = ib_vda_config_read(o->ckpt, o->c.metric, &o->diag, &o->config);
    if (st == ISOBATH_OK) o->config.max_depth = (float)o->c.max_depth;
    if (st == ISOBATH_OK) ib_plan_network_size((int)o->c.width, (int)o->c.height, (int)o->c.input_size, o->config.temporal, &o->width, &o->height);
    if (st == ISOBATH_OK) st = ib_pool_create(o->threads, &o->diag, &o->pool);
    int opened = st == ISOBATH_OK;
    if (opened) st = open_backend(o);
    if (opened && st == ISOBATH_ERR_UNSUPPORTED) {
        printf("SKIPPED: %s\n", o->diag.text);
        oracle_close(o, 0);
        return 77;
    }
    ib_backend_options h = {.act = IB_F32, .pool = o->pool, .diag = &o->diag};
    if (st == ISOBATH_OK) st = strcmp(o->backend, "ref") == 0 ? ib_ref_open(&h, &o->host) : ib_cpu_open(&h, &o->host);
    if (st != ISOBATH_OK) return oracle_close(o, oracle_die(o, o->name));
    printf("%s on %s: network %d x %d\n", o->name, o->be->kind, o->width, o->height);
    return -1;
}

int oracle_close(oracle *o, int bad)
{
    if (o->host || bad) printf("%s\n", bad ? "FALLS SHORT" : "ok");
    ib_backend_close(o->be);
    ib_backend_close(o->host);
    ib_pool_destroy(o->pool);
    ib_checkpoint_close(o->ckpt);
    expect_close(&o->c);
    return bad ? 1 : 0;
}

int oracle_die(const oracle *o, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, o->diag.text);
    return 1;
}

int oracle_judge(const oracle *o, const char *label, expect_check *check)
{
    expect_error e = expect_end(check);
    return !expect_within(label, &e, o->median, o->p9999, o->worst);
}

float *oracle_read(const oracle *o, const ib_tensor *value)
{
    int64_t n = ib_tensor_count(value);
    size_t bytes = ib_tensor_bytes(value);
    void *raw = malloc(bytes);
    float *host = malloc((size_t)n * sizeof *host);
    o->be->ops->download(o->be, raw, value->data, bytes);
    ib_checkpoint_tensor t = {.dtype = value->dtype, .rank = 1, .dim = {n}, .stride = {1}, .data = raw, .count = n};
    ib_checkpoint_read_f32(&t, host);
    free(raw);
    return host;
}
