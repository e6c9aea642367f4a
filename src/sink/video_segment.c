/* Segments of videos; see video_segment.h. A file is: key (192 bytes), extradata size, packet count, for each packet size and
 * flags, then extradata and packets, and a CRC-32 of all of it; numbers are little-endian, 32 bits. */
#include "sink/video_segment.h"

#include "base/bytes.h"
#include "sink/file.h"
#include <inttypes.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT ((size_t)1 << 31)

char *ib_segment_folder(const char *video_path)
{
    const char *slash = strrchr(video_path, '/');
    int folder = slash ? (int)(slash - video_path) + 1 : 0;
    return ib_text("%.*s.%s_segments", folder, video_path, video_path + folder);
}

static char *segment_path(const char *folder, int64_t number) { return ib_text("%s/%08" PRId64 ".seg", folder, number); }

ib_segment_key ib_segment_key_of(const ib_video_format *format, const AVCodec *codec, int64_t first, int frames)
{
    ib_segment_key key = {""};
    snprintf(key.text, sizeof key.text, "isobath-segment-1 %s %u %dx%d %.17g %" PRId64 "+%d", codec->name, avcodec_version(),
             format->width, format->height, format->fps, first, frames);
    return key;
}

isobath_status ib_segment_create(int capacity, ib_diag *diag, ib_segment *s)
{
    *s = (ib_segment){.capacity = capacity};
    s->packets = calloc((size_t)capacity, sizeof *s->packets);
    for (int i = 0; s->packets && i < capacity; i++)
        if (!(s->packets[i] = av_packet_alloc())) {
            ib_segment_destroy(s);
            break;
        }
    return s->packets ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the packets of a video");
}

void ib_segment_clear(ib_segment *s)
{
    for (int i = 0; i < s->count; i++) av_packet_unref(s->packets[i]);
    s->count = 0;
    av_freep(&s->extradata);
    s->extradata_size = 0;
}

void ib_segment_destroy(ib_segment *s)
{
    for (int i = 0; s->packets && i < s->capacity; i++) av_packet_free(&s->packets[i]);
    free(s->packets);
    av_freep(&s->extradata);
    *s = (ib_segment){0};
}

isobath_status ib_segment_write(const char *folder, int64_t number, const ib_segment_key *key, const ib_segment *s, ib_diag *diag)
{
    size_t size = sizeof key->text + 8 + 8 * (size_t)s->count + (size_t)s->extradata_size + 4;
    for (int i = 0; i < s->count; i++) size += (size_t)s->packets[i]->size;
    char *path = segment_path(folder, number);
    uint8_t *data = size < LIMIT ? malloc(size) : NULL, *p = data;
    if (!path || !data) {
        free(path);
        free(data);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory for a segment of %zu bytes", folder, size);
    }
    memcpy(p, key->text, sizeof key->text);
    p = ib_put32(ib_put32(p + sizeof key->text, (uint32_t)s->extradata_size), (uint32_t)s->count);
    for (int i = 0; i < s->count; i++) p = ib_put32(ib_put32(p, (uint32_t)s->packets[i]->size), (uint32_t)s->packets[i]->flags);
    if (s->extradata_size) memcpy(p, s->extradata, (size_t)s->extradata_size);
    p += s->extradata_size;
    for (int i = 0; i < s->count; i++) {
        memcpy(p, s->packets[i]->data, (size_t)s->packets[i]->size);
        p += s->packets[i]->size;
    }
    ib_put32(p, libdeflate_crc32(0, data, size - 4));
    isobath_status st = ib_write_file(path, data, size, 1, diag);
    free(data);
    free(path);
    return st;
}

/* Takes the checked file apart; 0: sizes that contradict each other, -1: no memory. */
static int take_apart(const uint8_t *data, size_t size, ib_segment *s)
{
    uint32_t extradata, count;
    const uint8_t *p = ib_get32(ib_get32(data + sizeof(ib_segment_key), &extradata), &count), *end = data + size - 4;
    if (count > (uint32_t)s->capacity || (size_t)(end - p) < 8 * (size_t)count || extradata > (size_t)(end - p) - 8 * (size_t)count)
        return 0;
    const uint8_t *sizes = p;
    p += 8 * (size_t)count;
    if (extradata && !(s->extradata = av_memdup(p, extradata))) return -1;
    s->extradata_size = (int)extradata;
    p += extradata;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n, flags;
        sizes = ib_get32(ib_get32(sizes, &n), &flags);
        if (n > (size_t)(end - p)) return 0;
        if (av_new_packet(s->packets[i], (int)n) < 0) return -1;
        s->count++;
        memcpy(s->packets[i]->data, p, n);
        s->packets[i]->flags = (int)flags;
        p += n;
    }
    return p == end;
}

int ib_segment_read(const char *folder, int64_t number, const ib_segment_key *key, ib_segment *segment)
{
    char *path = segment_path(folder, number);
    uint8_t *data = NULL;
    size_t size = 0;
    uint32_t crc = 0;
    isobath_status st = path ? ib_read_file(path, LIMIT, NULL, &data, &size) : ISOBATH_ERR_MEMORY;
    int ok = st == ISOBATH_OK && size >= sizeof key->text + 12;
    if (ok) ib_get32(data + size - 4, &crc);
    ok = ok && crc == libdeflate_crc32(0, data, size - 4) && memcmp(data, key->text, sizeof key->text) == 0;
    if (ok && segment) {
        ib_segment_clear(segment);
        ok = take_apart(data, size, segment);
    }
    free(data);
    free(path);
    return st == ISOBATH_ERR_MEMORY ? -1 : ok;
}

/* How long frame k is shown. */
static int64_t duration_of(const ib_segment_joining *j, int64_t k)
{
    if (k + 1 < j->frames) return j->times_us[k + 1] - j->times_us[k];
    if (k > 0) return j->times_us[k] - j->times_us[k - 1];
    return j->format->fps > 0 ? (int64_t)(1e6 / j->format->fps + 0.5) : 33333;
}

static isobath_status join(const ib_segment_joining *j, ib_segment *scratch, ib_av_mux *mux, ib_video_result *result)
{
    int64_t longest = 0;
    for (int64_t k = 0; k < j->frames; k++)
        if (duration_of(j, k) > longest) longest = duration_of(j, k);
    for (int64_t k = 0; k < j->frames;) {
        int64_t left = j->frames - k;
        int n = left < j->segment_frames ? (int)left : j->segment_frames;
        ib_segment_key key = ib_segment_key_of(j->format, j->codec, k, n);
        int found = ib_segment_read(j->folder, k / j->segment_frames, &key, scratch);
        if (found < 0) return ib_fail(j->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", j->folder);
        if (!found || scratch->count != n)
            return ib_fail(j->diag, ISOBATH_ERR_IO, "%s: frames %" PRId64 " to %" PRId64 " are missing or damaged: begin again with "
                           "--overwrite", j->folder, k, k + n - 1);
        if (k == 0)
            IB_TRY(ib_av_mux_open(mux, j->codec, j->format, scratch->extradata, scratch->extradata_size, j->first_time_us, longest,
                                  j->tmp, j->diag, result));
        for (int i = 0; i < n; i++, k++)
            IB_TRY(ib_av_mux_write(mux, scratch->packets[i], j->times_us[k], duration_of(j, k)));
    }
    return ib_av_mux_finish(mux, j->times_us[j->frames - 1] + duration_of(j, j->frames - 1));
}

isobath_status ib_segments_join(const ib_segment_joining *j, ib_segment *scratch, ib_video_result *result)
{
    ib_av_mux mux = {0};
    isobath_status st = join(j, scratch, &mux, result);
    ib_av_mux_close(&mux);
    if (st == ISOBATH_OK) return ib_commit_path(j->tmp, j->format->path, j->diag);
    unlink(j->tmp);
    return st;
}
