/* Every call of oneDNN (versions 2 and 3); see onednn.h. */
#include "backend/cpu/onednn.h"

#ifdef IB_HAVE_ONEDNN
#include <dlfcn.h>
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>

struct ib_onednn {
    int threads;
    dnnl_engine_t engine;
    dnnl_stream_t *stream; /* one for each thread */
};

struct ib_onednn_product {
    ib_onednn *dnn;
    dnnl_primitive_t primitive;
    dnnl_memory_t weight;
    dnnl_memory_t *memory; /* src, dst and scratch of each thread */
    void *scratch;         /* all threads' */
};

/* The library's OpenMP must not start threads of its own inside of ours. The setting belongs to the calling thread; it
 * is looked up because the library may have been built with another runtime. Returns the former value. */
static int one_thread(int threads)
{
    int (*get)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    void (*set)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    if (!get || !set) return threads;
    int before = get();
    if (before != threads) set(threads);
    return before;
}

/* Descriptors are values in version 2 and objects in version 3. */
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t md_view;
#define MD_VIEW(md) (md)
#define MD_STRIDED(md, dims, type, strides) dnnl_memory_desc_create_with_strides(md, 2, dims, type, strides)
#define MD_ANY(md, dims, type) dnnl_memory_desc_create_with_tag(md, 2, dims, type, dnnl_format_tag_any)
#define MD_FREE(md) dnnl_memory_desc_destroy(md)
#define MD_NONE NULL
static dnnl_status_t matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t e, md_view src, md_view w, md_view dst,
                            const_dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(pd, e, src, w, NULL, dst, attr);
}
#else
typedef const dnnl_memory_desc_t *md_view;
#define MD_VIEW(md) (&(md))
#define MD_STRIDED(md, dims, type, strides) dnnl_memory_desc_init_by_strides(md, 2, dims, type, strides)
#define MD_ANY(md, dims, type) dnnl_memory_desc_init_by_tag(md, 2, dims, type, dnnl_format_tag_any)
#define MD_FREE(md) ((void)(md))
#define MD_NONE \
    {           \
        0       \
    }
static dnnl_status_t matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t e, md_view src, md_view w, md_view dst,
                            const_dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t d;
    dnnl_status_t st = dnnl_matmul_desc_init(&d, src, w, NULL, dst);
    return st == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, e, NULL) : st;
}
#endif

void ib_onednn_version(char *buf, size_t size)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(buf, size, "%d.%d.%d", v->major, v->minor, v->patch);
}

isobath_status ib_onednn_open(int threads, ib_diag *diag, ib_onednn **out)
{
    *out = NULL;
    ib_onednn *dnn = calloc(1, sizeof *dnn);
    if (dnn) dnn->stream = calloc((size_t)threads, sizeof *dnn->stream);
    if (!dnn || !dnn->stream) {
        ib_onednn_close(dnn);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for oneDNN");
    }
    dnn->threads = threads;
    dnnl_status_t st = dnnl_engine_create(&dnn->engine, dnnl_cpu, 0);
    for (int i = 0; i < threads && st == dnnl_success; i++)
        st = dnnl_stream_create(&dnn->stream[i], dnn->engine, dnnl_stream_default_flags);
    if (st != dnnl_success) {
        ib_onednn_close(dnn);
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "oneDNN does not start (status %d)", (int)st);
    }
    *out = dnn;
    return ISOBATH_OK;
}

void ib_onednn_close(ib_onednn *dnn)
{
    if (!dnn) return;
    for (int i = 0; i < dnn->threads; i++)
        if (dnn->stream[i]) dnnl_stream_destroy(dnn->stream[i]);
    if (dnn->engine) dnnl_engine_destroy(dnn->engine);
    free(dnn->stream);
    free(dnn);
}

void ib_onednn_product_destroy(ib_onednn_product *p)
{
    if (!p) return;
    for (int i = 0; p->memory && i < 3 * p->dnn->threads; i++)
        if (p->memory[i]) dnnl_memory_destroy(p->memory[i]);
    if (p->weight) dnnl_memory_destroy(p->weight);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    free(p->memory);
    free(p->scratch);
    free(p);
}

/* w, f32 (n,k), into p->weight, whose description is `packed`. */
static dnnl_status_t pack(ib_onednn_product *p, const float *w, md_view plain, md_view packed)
{
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_engine_t e = p->dnn->engine;
    dnnl_status_t st = dnnl_memory_create(&p->weight, packed, e, DNNL_MEMORY_ALLOCATE);
    if (st == dnnl_success) st = dnnl_memory_create(&from, plain, e, (void *)w);
    if (st == dnnl_success) st = dnnl_reorder_primitive_desc_create(&pd, plain, e, packed, e, NULL);
    if (st == dnnl_success) st = dnnl_primitive_create(&reorder, pd);
    dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, p->weight}};
    if (st == dnnl_success) st = dnnl_primitive_execute(reorder, p->dnn->stream[0], 2, args);
    if (st == dnnl_success) st = dnnl_stream_wait(p->dnn->stream[0]);
    if (reorder) dnnl_primitive_destroy(reorder);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (from) dnnl_memory_destroy(from);
    return st;
}

/* The memory objects of every thread; handles of src and dst are set by each run. */
static dnnl_status_t make_memory(ib_onednn_product *p, md_view src, md_view dst, md_view scratch)
{
    size_t size = (dnnl_memory_desc_get_size(scratch) + 63) & ~(size_t)63;
    int threads = p->dnn->threads;
    p->memory = calloc(3 * (size_t)threads, sizeof *p->memory);
    p->scratch = aligned_alloc(64, (size_t)threads * size + 64);
    if (!p->memory || !p->scratch) return dnnl_out_of_memory;
    dnnl_status_t st = dnnl_success;
    for (int i = 0; i < threads && st == dnnl_success; i++) {
        st = dnnl_memory_create(&p->memory[3 * i], src, p->dnn->engine, DNNL_MEMORY_NONE);
        if (st == dnnl_success) st = dnnl_memory_create(&p->memory[3 * i + 1], dst, p->dnn->engine, DNNL_MEMORY_NONE);
        if (st == dnnl_success)
            st = dnnl_memory_create(&p->memory[3 * i + 2], scratch, p->dnn->engine,
                                    (char *)p->scratch + (size_t)i * size);
    }
    return st;
}

isobath_status ib_onednn_product_create(ib_onednn *dnn, const float *w, int64_t n, int64_t k, ib_diag *diag,
                                        ib_onednn_product **out, size_t *bytes)
{
    *out = NULL;
    *bytes = 0;
    ib_onednn_product *p = calloc(1, sizeof *p);
    if (!p) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a weight");
    p->dnn = dnn;
    dnnl_dims_t src_dims = {IB_ONEDNN_ROWS, k}, w_dims = {k, n}, dst_dims = {IB_ONEDNN_ROWS, n};
    dnnl_dims_t src_strides = {k, 1}, w_strides = {1, k}, dst_strides = {n, 1};
    dnnl_memory_desc_t src = MD_NONE, any = MD_NONE, plain = MD_NONE, dst = MD_NONE;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    int threads = one_thread(1); /* the primitive is made for one thread */
    dnnl_status_t st = MD_STRIDED(&src, src_dims, dnnl_bf16, src_strides);
    if (st == dnnl_success) st = MD_ANY(&any, w_dims, dnnl_bf16);
    if (st == dnnl_success) st = MD_STRIDED(&plain, w_dims, dnnl_f32, w_strides);
    if (st == dnnl_success) st = MD_STRIDED(&dst, dst_dims, dnnl_f32, dst_strides);
    if (st == dnnl_success) st = dnnl_primitive_attr_create(&attr);
    if (st == dnnl_success) st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (st == dnnl_success) st = matmul(&pd, dnn->engine, MD_VIEW(src), MD_VIEW(any), MD_VIEW(dst), attr);
    if (st == dnnl_success) st = dnnl_primitive_create(&p->primitive, pd);
    if (st == dnnl_success) {
        md_view packed = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
        *bytes = dnnl_memory_desc_get_size(packed);
        st = pack(p, w, MD_VIEW(plain), packed);
    }
    if (st == dnnl_success)
        st = make_memory(p, MD_VIEW(src), MD_VIEW(dst), dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (attr) dnnl_primitive_attr_destroy(attr);
    MD_FREE(src);
    MD_FREE(any);
    MD_FREE(plain);
    MD_FREE(dst);
    one_thread(threads);
    if (st != dnnl_success) {
        ib_onednn_product_destroy(p);
        return ib_fail(diag, st == dnnl_out_of_memory ? ISOBATH_ERR_MEMORY : ISOBATH_ERR_UNSUPPORTED,
                       "oneDNN cannot multiply by a bf16 weight of %lldx%lld (status %d)", (long long)n, (long long)k,
                       (int)st);
    }
    *out = p;
    return ISOBATH_OK;
}

int ib_onednn_product_run(ib_onednn_product *p, int thread, const void *src, float *dst)
{
    dnnl_memory_t *m = p->memory + 3 * thread;
    dnnl_stream_t stream = p->dnn->stream[thread];
    dnnl_exec_arg_t args[4] = {
        {DNNL_ARG_SRC, m[0]}, {DNNL_ARG_WEIGHTS, p->weight}, {DNNL_ARG_DST, m[1]}, {DNNL_ARG_SCRATCHPAD, m[2]}};
    int threads = one_thread(1);
    int ok = dnnl_memory_set_data_handle(m[0], (void *)src) == dnnl_success &&
             dnnl_memory_set_data_handle(m[1], dst) == dnnl_success &&
             dnnl_primitive_execute(p->primitive, stream, 4, args) == dnnl_success &&
             dnnl_stream_wait(stream) == dnnl_success;
    one_thread(threads);
    return ok ? 0 : -1;
}

#else

void ib_onednn_version(char *buf, size_t size)
{
    if (size) buf[0] = 0;
}

isobath_status ib_onednn_open(int threads, ib_diag *diag, ib_onednn **out)
{
    (void)threads;
    *out = NULL;
    return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "this build has no oneDNN, which the path amx needs");
}

void ib_onednn_close(ib_onednn *dnn) { (void)dnn; }

isobath_status ib_onednn_product_create(ib_onednn *dnn, const float *w, int64_t n, int64_t k, ib_diag *diag,
                                        ib_onednn_product **out, size_t *bytes)
{
    (void)dnn, (void)w, (void)n, (void)k, (void)bytes;
    *out = NULL;
    return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "this build has no oneDNN");
}

void ib_onednn_product_destroy(ib_onednn_product *product) { (void)product; }

int ib_onednn_product_run(ib_onednn_product *product, int thread, const void *src, float *dst)
{
    (void)product, (void)thread, (void)src, (void)dst;
    return -1;
}
#endif
