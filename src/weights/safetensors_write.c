/* Writes a checkpoint as .safetensors in one dtype, into a temporary file that is renamed when complete. */
#include "weights/checkpoint_build.h"

#include "base/half.h"
#include "base/json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The JSON text, padded with spaces so that the data starts at a multiple of 8; NULL: out of memory. */
static char *make_header(const ib_checkpoint *source, ib_dtype dtype, size_t *size)
{
    static const char *const names[] = {[IB_F32] = "F32", [IB_F16] = "F16", [IB_BF16] = "BF16"};
    json_t *root = json_object();
    int failed = 0;
    if (source->metadata_count) {
        json_t *meta = json_object();
        for (size_t i = 0; i < source->metadata_count; i++)
            failed |= json_object_set_new(meta, source->metadata[2 * i], json_string(source->metadata[2 * i + 1]));
        failed |= json_object_set_new(root, "__metadata__", meta);
    }
    int64_t at = 0;
    for (size_t i = 0; i < source->count; i++) {
        const ib_checkpoint_tensor *t = &source->tensors[i];
        int64_t bytes = t->count * (int64_t)ib_dtype_size(dtype);
        json_t *shape = json_array();
        for (int d = 0; d < t->rank; d++) failed |= json_array_append_new(shape, json_integer(t->dim[d]));
        json_t *item = json_pack("{s:s, s:o, s:[I, I]}", "dtype", names[dtype], "shape", shape, "data_offsets",
                                 (json_int_t)at, (json_int_t)(at + bytes));
        failed |= json_object_set_new(root, t->name, item);
        at += bytes;
    }
    char *text = failed ? NULL : ib_json_dump(root, JSON_COMPACT);
    json_decref(root);
    if (!text) return NULL;
    size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    char *header = realloc(text, padded + 1);
    if (!header) {
        free(text);
        return NULL;
    }
    memset(header + length, ' ', padded - length);
    *size = padded;
    return header;
}

/* f32 to half types in place: the result is packed at the start of `values`. Returns the index of the first finite
 * value that would become infinite, or -1. */
static int64_t narrow(float *values, int64_t count, ib_dtype dtype)
{
    for (int64_t i = 0; i < count; i++) {
        float x = values[i];
        uint16_t h = dtype == IB_F16 ? ib_f32_to_f16(x) : ib_f32_to_bf16(x);
        if (isfinite(x) && !isfinite(dtype == IB_F16 ? ib_f16_to_f32(h) : ib_bf16_to_f32(h))) return i;
        memcpy((uint8_t *)values + 2 * i, &h, 2);
    }
    return -1;
}

static isobath_status write_tensor(FILE *f, const ib_checkpoint *source, const ib_checkpoint_tensor *t, ib_dtype dtype,
                                   const char *tmp, ib_diag *diag)
{
    float *values = malloc((size_t)(t->count ? t->count : 1) * 4);
    if (!values)
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory for tensor '%s'", source->path,
                       ib_quote(t->name, strlen(t->name)).text);
    ib_checkpoint_read_f32(t, values);
    int64_t lost = dtype == IB_F32 ? -1 : narrow(values, t->count, dtype);
    isobath_status st = ISOBATH_OK;
    if (lost >= 0)
        st = ib_fail(diag, ISOBATH_ERR_MODEL, "%s: tensor '%s' holds %g, which %s cannot hold", source->path,
                     ib_quote(t->name, strlen(t->name)).text, (double)values[lost], ib_dtype_name(dtype));
    else if (fwrite(values, ib_dtype_size(dtype), (size_t)t->count, f) != (size_t)t->count)
        st = ib_fail(diag, ISOBATH_ERR_IO, "%s: write failed: %s", tmp, strerror(errno));
    free(values);
    return st;
}

/* tmp: a pattern of mkstemp, so that two writers of one file do not meet. */
static isobath_status write_file(char *tmp, const ib_checkpoint *source, const char *header, size_t size,
                                 ib_dtype dtype, ib_diag *diag)
{
    int fd = mkstemp(tmp);
    FILE *f = fd >= 0 && fchmod(fd, 0644) == 0 ? fdopen(fd, "wb") : NULL;
    if (!f) {
        int saved = errno;
        if (fd >= 0) close(fd);
        return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create: %s", tmp, strerror(saved));
    }
    isobath_status st = ISOBATH_OK;
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)size >> 8 * i);
    if (fwrite(length, 1, 8, f) != 8 || fwrite(header, 1, size, f) != size)
        st = ib_fail(diag, ISOBATH_ERR_IO, "%s: write failed: %s", tmp, strerror(errno));
    for (size_t i = 0; st == ISOBATH_OK && i < source->count; i++)
        st = write_tensor(f, source, &source->tensors[i], dtype, tmp, diag);
    if (st == ISOBATH_OK && (fflush(f) != 0 || fsync(fileno(f)) != 0))
        st = ib_fail(diag, ISOBATH_ERR_IO, "%s: write failed: %s", tmp, strerror(errno));
    if (fclose(f) != 0 && st == ISOBATH_OK)
        st = ib_fail(diag, ISOBATH_ERR_IO, "%s: write failed: %s", tmp, strerror(errno));
    return st;
}

isobath_status ib_safetensors_write(const char *path, const ib_checkpoint *source, ib_dtype dtype, ib_diag *diag)
{
    if (dtype != IB_F32 && dtype != IB_F16 && dtype != IB_BF16)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "%s: a checkpoint is written as f32, f16 or bf16, not as %s", path,
                       ib_dtype_name(dtype));
    size_t size = 0;
    char *header = make_header(source, dtype, &size);
    char *tmp = malloc(strlen(path) + 8);
    isobath_status st = ISOBATH_OK;
    if (!header || !tmp) {
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: cannot make the header: out of memory, or a name is not UTF-8",
                     path);
    } else {
        memcpy(tmp, path, strlen(path));
        memcpy(tmp + strlen(path), ".XXXXXX", 8);
        st = write_file(tmp, source, header, size, dtype, diag);
        if (st == ISOBATH_OK && rename(tmp, path) != 0)
            st = ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot rename %s to it: %s", path, tmp, strerror(errno));
        if (st != ISOBATH_OK) unlink(tmp);
    }
    free(tmp);
    free(header);
    return st;
}
