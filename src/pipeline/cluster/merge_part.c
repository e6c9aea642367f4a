/* What a rendering task leaves; see merge.h. */
#include "base/bytes.h"
#include "pipeline/cluster/merge.h"
#include "sink/file.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "ISOBPRT1"
enum { HEAD_BYTES = 8 + 64 + 4 * 8, FRAME_BYTES = 16 };

int ib_part_format(const ib_sink_format *format)
{
    return strcmp(format->name, "png16") == 0 || strcmp(format->name, "exr") == 0 || strcmp(format->name, "ply") == 0;
}

void ib_part_range(const ib_shard *s, int64_t part, int64_t parts, int64_t *first, int64_t *end)
{
    int64_t w0 = (int64_t)((__int128)part * s->windows / parts), w1 = (int64_t)((__int128)(part + 1) * s->windows / parts), unused;
    ib_shard_final_frames(s, w0 < s->windows ? w0 : s->windows - 1, first, &unused);
    *end = *first;
    if (w1 > w0) ib_shard_final_frames(s, w1 - 1, &unused, end);
}

void ib_part_free(ib_part *p)
{
    free(p->frames);
    for (int i = 0; i < IB_MAX_SINKS; i++) free(p->state[i]);
    *p = (ib_part){.count = 0};
}

static size_t state_bytes(const ib_setup *setup, int i)
{
    return ib_part_format(setup->formats[i]) ? (size_t)setup->formats[i]->state_bytes(&setup->sink) : 0;
}

static size_t file_bytes(const ib_setup *setup, int64_t count)
{
    size_t frame = FRAME_BYTES;
    for (int i = 0; i < setup->format_count; i++) frame += state_bytes(setup, i);
    return HEAD_BYTES + (size_t)count * frame + 4;
}

isobath_status ib_part_write(const ib_shard *s, const ib_setup *setup, const ib_part *part, ib_diag *diag)
{
    size_t size = file_bytes(setup, part->count);
    uint8_t *data = malloc(size), *p = data;
    char *path = ib_shard_path(s, "render_%05lld_of_%05lld.bin", (long long)part->part, (long long)part->parts);
    isobath_status st = data && path ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a part");
    if (st == ISOBATH_OK) {
        memcpy(p, MAGIC, 8);
        memcpy(p + 8, s->id, 64);
        p = ib_put64(ib_put64(p + 72, (uint64_t)part->part), (uint64_t)part->parts);
        p = ib_put64(ib_put64(p, (uint64_t)part->first), (uint64_t)part->count);
        for (int64_t i = 0; i < part->count; i++) {
            const ib_frame_record *f = &part->frames[i];
            p = ib_put_float(ib_put_float(ib_put64(p, (uint64_t)f->pts_us), f->min), f->max);
        }
        for (int i = 0; i < setup->format_count; i++) {
            size_t bytes = (size_t)part->count * state_bytes(setup, i);
            if (bytes) memcpy(p, part->state[i], bytes);
            p += bytes;
        }
        ib_put32(p, libdeflate_crc32(0, data, size - 4));
        st = ib_write_file_shared(path, data, size, 1, diag);
    }
    free(data);
    free(path);
    return st;
}

static isobath_status parse(const ib_shard *s, const ib_setup *setup, const uint8_t *data, size_t size, const char *where, ib_diag *diag,
                            ib_part *out)
{
    uint64_t part, parts, first, count, pts;
    uint32_t crc;
    if (size < HEAD_BYTES + 4 || memcmp(data, MAGIC, 8) != 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: not what a rendering task leaves", where);
    ib_get32(data + size - 4, &crc);
    if (crc != libdeflate_crc32(0, data, size - 4)) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged: its checksum is wrong", where);
    const uint8_t *p = ib_get64(ib_get64(ib_get64(ib_get64(data + 72, &part), &parts), &first), &count);
    int64_t want, end;
    ib_part_range(s, out->part, out->parts, &want, &end);
    if (memcmp(data + 8, s->id, 64) != 0 || part != (uint64_t)out->part || parts != (uint64_t)out->parts || first != (uint64_t)want ||
        count != (uint64_t)(end - want) || size != file_bytes(setup, end - want))
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: is of another plan", where);
    out->first = want;
    out->count = end - want;
    out->frames = malloc((size_t)out->count * sizeof *out->frames + 1);
    if (!out->frames) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a part");
    for (int64_t i = 0; i < out->count; i++) {
        p = ib_get_float(ib_get_float(ib_get64(p, &pts), &out->frames[i].min), &out->frames[i].max);
        out->frames[i].pts_us = (int64_t)pts;
    }
    for (int i = 0; i < setup->format_count; i++) {
        size_t bytes = (size_t)out->count * state_bytes(setup, i);
        if (!bytes) continue;
        out->state[i] = malloc(bytes);
        if (!out->state[i]) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a part");
        memcpy(out->state[i], p, bytes);
        p += bytes;
    }
    return ISOBATH_OK;
}

isobath_status ib_part_read(const ib_shard *s, const ib_setup *setup, int64_t part, int64_t parts, ib_diag *diag, ib_part *out)
{
    uint8_t *data;
    size_t size;
    *out = (ib_part){.part = part, .parts = parts};
    char *path = ib_shard_path(s, "render_%05lld_of_%05lld.bin", (long long)part, (long long)parts);
    isobath_status st = path ? ib_read_file(path, (size_t)1 << 34, diag, &data, &size) : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a part");
    if (st == ISOBATH_OK) {
        st = parse(s, setup, data, size, path, diag, out);
        free(data);
    }
    free(path);
    if (st != ISOBATH_OK) ib_part_free(out);
    return st;
}
