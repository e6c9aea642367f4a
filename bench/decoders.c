/* A card's decoder against software's, frame by frame: index, time and every pixel, and what either says about damage. Needs a card.
 *   compare_decoders FILE...          these files as they are
 *   compare_decoders --fields FOLDER  field-coded H.264 (PAFF) that it writes there: clean, with a field that is missing, and damaged
 *   compare_decoders --clip FILE N    compares nothing: writes N frames of 1280x720 H.264 for tools/whole-command.sh
 * One line a file; exits non-zero when decoders differ, or the card decoded nothing. */
#include "media/media.h"
#include "support/clips.h"
#include "support/paff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { W = 192, H = 128, FRAMES = 60, DAMAGES = 8 };

typedef struct reader {
    ib_diag diag;
    ib_media *media;
    uint8_t *rgb;
    ib_media_frame frame;
    int got;
    isobath_status status;
} reader;

static void open_reader(reader *r, const char *path, ib_decoder_kind kind)
{
    memset(r, 0, sizeof *r);
    ib_diag_init(&r->diag);
    r->status = ib_media_open(path, &(ib_media_options){.decoder = kind}, &r->diag, &r->media);
    if (r->status != ISOBATH_OK) return;
    const ib_media_info *info = ib_media_get_info(r->media);
    r->rgb = malloc((size_t)info->width * (size_t)info->height * 3);
    r->got = r->rgb != NULL;
}

static void next(reader *r)
{
    if (r->status != ISOBATH_OK || !r->got) return;
    r->status = ib_media_read(r->media, r->rgb, &r->frame, &r->got);
    if (r->status != ISOBATH_OK) r->got = 0;
}

static void close_reader(reader *r)
{
    if (r->media) ib_media_close(r->media);
    free(r->rgb);
    ib_diag_destroy(&r->diag);
}

/* Compares one file; *on_card: frames that the card decoded. 0: equal. */
static int compare(const char *path, int64_t *on_card)
{
    reader card, soft;
    open_reader(&card, path, IB_DECODER_AUTO);
    open_reader(&soft, path, IB_DECODER_SOFTWARE);
    int64_t n = 0;
    const char *differ = NULL;
    const char *by = card.media ? ib_media_get_info(card.media)->decoder : "nothing";
    int nvdec = strstr(by, "nvdec") != NULL;
    for (next(&card), next(&soft); card.got && soft.got && !differ; n++) {
        const ib_media_info *a = ib_media_get_info(card.media), *b = ib_media_get_info(soft.media);
        if (a->width != b->width || a->height != b->height) differ = "sizes differ";
        else if (card.frame.index != soft.frame.index || card.frame.pts_us != soft.frame.pts_us) differ = "times differ";
        else if (memcmp(card.rgb, soft.rgb, (size_t)a->width * (size_t)a->height * 3)) differ = "pixels differ";
        next(&card);
        next(&soft);
    }
    if (!differ && card.status != soft.status) differ = "one ends with an error";
    else if (!differ && card.status == ISOBATH_OK && card.got != soft.got) differ = "one has more frames";
    const char *note = card.media ? ib_media_get_info(card.media)->decoder_note : "";
    printf("%s %s: %" PRId64 " frames, %s%s%s%s%s%s%s\n", differ ? "FAIL" : "ok  ", path, n, by, *note ? "; " : "", note, differ ? "; " : "",
           differ ? differ : "", card.status != ISOBATH_OK ? "; " : "", card.status != ISOBATH_OK ? card.diag.text : "");
    if (soft.status != card.status || (soft.status != ISOBATH_OK && strcmp(soft.diag.text, card.diag.text)))
        printf("     software: %s\n", soft.status != ISOBATH_OK ? soft.diag.text : "no error");
    if (nvdec) *on_card += n;
    close_reader(&card);
    close_reader(&soft);
    return differ != NULL;
}

/* Damage number d, in the second half of the file, the same every time. */
static int damage(const char *path, int d)
{
    size_t size;
    uint8_t *data = clip_read_file(path, &size);
    if (!data) return -1;
    size_t at = size / 2 + (size_t)d * (size / 20) + 37;
    switch (d % 4) {
    case 0: data[at] ^= 0x40; break;
    case 1: memset(data + at, 0xa5, 100); break;
    case 2: memset(data + at, 0, 1000); break;
    default:
        memmove(data + at, data + at + 700, size - at - 700);
        size -= 700;
    }
    int rc = clip_write_file(path, data, size);
    free(data);
    return rc;
}

static int fields(const char *folder, int64_t *on_card)
{
    static const char *const kinds[] = {"mp4", "mkv", "ts", "h264"};
    char path[1024];
    int failed = 0;
    for (int i = 0; i < 4 * 4; i++) {
        paff p = {.width = W, .height = H, .frames = FRAMES, .gop = 12, .frame_every = i & 1 ? 3 : 0, .bottom_first = i >> 1 & 1,
                  .fields_as_packets = i / 4 > 1 && i % 4 == 2, .lone_field = i % 4 == 3 && i / 4 < 3 ? 25 : 0};
        snprintf(path, sizeof path, "%s/fields%d.%s", folder, i % 4, kinds[i / 4]);
        if (paff_write(path, &p) != 0) printf("left out %s: this FFmpeg does not write it\n", path);
        else failed |= compare(path, on_card);
    }
    for (int d = 0; d < 2 * DAMAGES; d++) {
        paff p = {.width = W, .height = H, .frames = FRAMES, .gop = 12, .frame_every = d & 1 ? 3 : 0};
        snprintf(path, sizeof path, "%s/damaged%d.%s", folder, d, d < DAMAGES ? "h264" : d % 2 ? "mkv" : "ts");
        if (paff_write(path, &p) != 0 || damage(path, d % DAMAGES) != 0) printf("left out %s: this FFmpeg does not write it\n", path);
        else failed |= compare(path, on_card);
    }
    return failed;
}

int main(int argc, char **argv)
{
    int64_t on_card = 0;
    int failed = 0;
    if (argc < 2) return fprintf(stderr, "usage: compare_decoders FILE... | --fields FOLDER | --clip FILE FRAMES\n"), 2;
    if (argc == 4 && strcmp(argv[1], "--clip") == 0)
        return clip_write(argv[2], &(clip){.encoder = "libx264", .width = 1280, .height = 720, .frames = atoi(argv[3]), .gop = 50, .b_frames = 2}) != 0;
    if (argc == 3 && strcmp(argv[1], "--fields") == 0) failed = fields(argv[2], &on_card);
    else
        for (int i = 1; i < argc; i++) failed |= compare(argv[i], &on_card);
    printf("%" PRId64 " frames by the card, %s\n", on_card, failed ? "DIFFERENT" : "equal to software's");
    return failed || !on_card;
}
