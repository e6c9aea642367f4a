/* Checkpoints: opening by content, lookup by name, conversion to f32; see checkpoint.h. */
#include "weights/checkpoint_build.h"

#include "base/half.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- construction ---- */

ib_quoted ib_quote(const char *text, size_t size)
{
    ib_quoted q;
    size_t n = 0;
    while (n < size && n < sizeof q.text - 4) {
        unsigned char c = (unsigned char)text[n];
        q.text[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    memcpy(q.text + n, n < size ? "..." : "", n < size ? 4 : 1);
    return q;
}

int ib_shape_count(const int64_t *dim, int rank, int64_t *count)
{
    int64_t n = 1;
    int zero = 0;
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 0) return 0;
        if (dim[i] == 0) {
            zero = 1;
            continue;
        }
        if (n > INT64_MAX / 8 / dim[i]) return 0;
        n *= dim[i];
    }
    *count = zero ? 0 : n;
    return 1;
}

isobath_status ib_checkpoint_create(const char *path, const char *format, const void *data, size_t size, ib_diag *diag,
                                    ib_checkpoint **out)
{
    *out = NULL;
    ib_checkpoint *c = calloc(1, sizeof *c);
    char *copy = strdup(path);
    if (!c || !copy) {
        free(c);
        free(copy);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    }
    c->path = copy;
    c->format = format;
    c->data = data;
    c->size = size;
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return ISOBATH_OK;
}

isobath_status ib_checkpoint_add(ib_checkpoint *c, const ib_checkpoint_tensor *tensor, ib_diag *diag)
{
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 64;
        ib_checkpoint_tensor *grown = realloc(c->tensors, capacity * sizeof *grown);
        if (!grown) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", c->path);
        c->tensors = grown;
        c->capacity = capacity;
    }
    char *name = strdup(tensor->name);
    if (!name) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", c->path);
    c->tensors[c->count] = *tensor;
    c->tensors[c->count++].name = name;
    return ISOBATH_OK;
}

isobath_status ib_checkpoint_add_metadata(ib_checkpoint *c, const char *key, const char *value, ib_diag *diag)
{
    char **grown = realloc(c->metadata, (2 * c->metadata_count + 2) * sizeof *grown);
    if (!grown) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", c->path);
    c->metadata = grown;
    char *k = strdup(key), *v = strdup(value);
    if (!k || !v) {
        free(k);
        free(v);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", c->path);
    }
    grown[2 * c->metadata_count] = k;
    grown[2 * c->metadata_count + 1] = v;
    c->metadata_count++;
    return ISOBATH_OK;
}

static int compare_names(const void *a, const void *b, void *ctx)
{
    const ib_checkpoint_tensor *tensors = ctx;
    return strcmp(tensors[*(const size_t *)a].name, tensors[*(const size_t *)b].name);
}

isobath_status ib_checkpoint_seal(ib_checkpoint *c, ib_diag *diag)
{
    c->by_name = malloc((c->count + 1) * sizeof *c->by_name);
    if (!c->by_name) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", c->path);
    for (size_t i = 0; i < c->count; i++) c->by_name[i] = i;
    if (c->count) qsort_r(c->by_name, c->count, sizeof *c->by_name, compare_names, c->tensors);
    for (size_t i = 1; i < c->count; i++) {
        const char *name = c->tensors[c->by_name[i]].name;
        if (strcmp(name, c->tensors[c->by_name[i - 1]].name) == 0)
            return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: tensor '%s' is there twice, expected once", c->path,
                           ib_quote(name, strlen(name)).text);
    }
    return ISOBATH_OK;
}

/* ---- opening ---- */

/* A line for files that are commonly taken for checkpoints. */
static isobath_status refuse(const uint8_t *data, size_t size, const char *path, ib_diag *diag)
{
    static const struct {
        const char *magic;
        size_t length;
        const char *what;
    } known[] = {
        {"version https://git-lfs", 23, "a git-lfs pointer, not the file itself: fetch it with git lfs pull"},
        {"<!DOCTYPE", 9, "a web page, not a checkpoint: the download went wrong"},
        {"<!doctype", 9, "a web page, not a checkpoint: the download went wrong"},
        {"<html", 5, "a web page, not a checkpoint: the download went wrong"},
        {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14,
         "in PyTorch's format from before 1.6: load it with a current PyTorch and save it again"},
        {"GGUF", 4, "a GGUF file: expected .safetensors or a PyTorch .pth"},
        {"\x1f\x8b", 2, "compressed with gzip: unpack it first"},
    };
    if (size == 0) return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: the file is empty, expected a checkpoint", path);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (size >= known[i].length && memcmp(data, known[i].magic, known[i].length) == 0)
            return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: this is %s", path, known[i].what);
    return ib_fail(diag, ISOBATH_ERR_MODEL,
                   "%s: neither .safetensors (a header that starts with '{' at byte 8) nor a PyTorch .pth (a zip file)",
                   path);
}

isobath_status ib_checkpoint_open(const char *path, ib_diag *diag, ib_checkpoint **out)
{
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return ib_fail(diag, errno == ENOENT ? ISOBATH_ERR_MODEL : ISOBATH_ERR_IO, "%s: cannot open the checkpoint: %s",
                       path, strerror(errno));
    struct stat sb;
    isobath_status st = ISOBATH_OK;
    if (fstat(fd, &sb) != 0)
        st = ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot stat: %s", path, strerror(errno));
    else if (!S_ISREG(sb.st_mode))
        st = ib_fail(diag, ISOBATH_ERR_IO, "%s: not a regular file, expected a checkpoint", path);
    else if (sb.st_size == 0)
        st = refuse(NULL, 0, path, diag);
    if (st != ISOBATH_OK) {
        close(fd);
        return st;
    }
    size_t size = (size_t)sb.st_size;
    void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    int saved = errno;
    close(fd);
    if (map == MAP_FAILED)
        return ib_fail(diag, saved == ENOMEM ? ISOBATH_ERR_MEMORY : ISOBATH_ERR_IO, "%s: cannot map %zu bytes: %s",
                       path, size, strerror(saved));
    const uint8_t *bytes = map;
    if (size >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0))
        st = ib_torch_pth_parse(map, size, path, diag, out);
    else if (size < 8 || (size > 8 && bytes[8] == '{'))
        st = ib_safetensors_parse(map, size, path, diag, out);
    else
        st = refuse(bytes, size, path, diag);
    if (st != ISOBATH_OK)
        munmap(map, size);
    else
        (*out)->mapped = 1;
    return st;
}

void ib_checkpoint_close(ib_checkpoint *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->count; i++) free((char *)c->tensors[i].name);
    for (size_t i = 0; i < 2 * c->metadata_count; i++) free(c->metadata[i]);
    if (c->mapped) munmap((void *)c->data, c->size);
    pthread_mutex_destroy(&c->lock);
    free(c->metadata);
    free(c->tensors);
    free(c->by_name);
    free(c->path);
    free(c);
}

/* ---- reading ---- */

size_t ib_checkpoint_count(const ib_checkpoint *c) { return c->count; }

const ib_checkpoint_tensor *ib_checkpoint_at(const ib_checkpoint *c, size_t i)
{
    return i < c->count ? &c->tensors[i] : NULL;
}

const ib_checkpoint_tensor *ib_checkpoint_find(const ib_checkpoint *c, const char *name)
{
    size_t lo = 0, hi = c->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = strcmp(c->tensors[c->by_name[mid]].name, name);
        if (order == 0) return &c->tensors[c->by_name[mid]];
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const char *ib_checkpoint_path(const ib_checkpoint *c) { return c->path; }
const char *ib_checkpoint_format(const ib_checkpoint *c) { return c->format; }

const char *ib_checkpoint_metadata(const ib_checkpoint *c, const char *key)
{
    for (size_t i = 0; i < c->metadata_count; i++)
        if (strcmp(c->metadata[2 * i], key) == 0) return c->metadata[2 * i + 1];
    return NULL;
}

const char *ib_checkpoint_sha256(ib_checkpoint *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->sha256[0]) ib_sha256_memory(c->data, c->size, NULL, c->sha256);
    const char *hex = c->sha256[0] ? c->sha256 : NULL;
    pthread_mutex_unlock(&c->lock);
    return hex;
}

/* `count` values, `stride` elements apart, from unaligned memory. */
static void read_row(const uint8_t *src, ib_dtype dtype, int64_t count, int64_t stride, float *dst)
{
    size_t step = (size_t)stride * ib_dtype_size(dtype);
    if (dtype == IB_F32) {
        for (int64_t i = 0; i < count; i++, src += step) memcpy(&dst[i], src, 4);
        return;
    }
    for (int64_t i = 0; i < count; i++, src += step) {
        uint16_t h;
        memcpy(&h, src, 2);
        dst[i] = dtype == IB_F16 ? ib_f16_to_f32(h) : ib_bf16_to_f32(h);
    }
}

static int is_contiguous(const ib_checkpoint_tensor *t)
{
    int64_t expected = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dim[i] != 1 && t->stride[i] != expected) return 0;
        expected *= t->dim[i];
    }
    return 1;
}

const float *ib_checkpoint_f32(const ib_checkpoint_tensor *t)
{
    return t->dtype == IB_F32 && is_contiguous(t) && (uintptr_t)t->data % _Alignof(float) == 0 ? t->data : NULL;
}

void ib_checkpoint_read_f32(const ib_checkpoint_tensor *t, float *dst)
{
    if (t->count == 0) return;
    if (is_contiguous(t)) {
        if (t->dtype == IB_F32)
            memcpy(dst, t->data, (size_t)t->count * 4);
        else
            read_row(t->data, t->dtype, t->count, 1, dst);
        return;
    }
    /* A view with strides: row by row along the last dimension, an odometer over the others. */
    int last = t->rank - 1;
    int64_t index[IB_CHECKPOINT_MAX_RANK] = {0}, offset = 0, row = t->dim[last];
    for (int64_t done = 0; done < t->count; done += row) {
        const uint8_t *src = (const uint8_t *)t->data + (size_t)offset * ib_dtype_size(t->dtype);
        read_row(src, t->dtype, row, t->stride[last], dst + done);
        for (int i = last - 1; i >= 0; i--) {
            offset += t->stride[i];
            if (++index[i] < t->dim[i]) break;
            offset -= t->dim[i] * t->stride[i];
            index[i] = 0;
        }
    }
}
