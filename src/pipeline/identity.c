/* The identity of a run; see identity.h. */
#include "pipeline/identity.h"

#include "base/hash.h"
#include "base/json.h"
#include "media/images.h"
#include "sink/describe.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBE_BYTES (1 << 20) /* of the head and of the tail of a file */
#define MOST_TOLD 3

json_t *ib_options_json(const ib_setup *s)
{
    const isobath_run_options *o = &s->options;
    json_t *j = json_pack("{s:[i,i], s:[i,i], s:i, s:f, s:I, s:f, s:f, s:b, s:s, s:s}", "network_size", s->plan.network_width,
                     s->plan.network_height, "output_size", s->plan.output_width, s->plan.output_height, "max_res", o->max_res,
                     "target_fps", o->target_fps, "max_frames", (json_int_t)o->max_frames, "start_s", o->start_s, "end_s",
                     o->end_s, "guard", o->guard, "formats", o->formats ? o->formats : "png16,preview", "on_error",
                     o->on_error_repeat ? "repeat" : "stop");
    if (o->start_frame) ib_json_set(&j, "start_frame", json_integer(o->start_frame));
    if (o->end_frame) ib_json_set(&j, "end_frame", json_integer(o->end_frame));
    if (o->hfov_deg != 0) ib_json_set(&j, "hfov_deg", json_real(o->hfov_deg));
    if (o->crop) ib_json_set(&j, "crop", json_string(o->crop));
    if (s->guided) ib_json_set(&j, "upsample", json_string("guided"));
    if (o->cuts) ib_json_set(&j, "cuts", json_string(s->cuts_auto ? "auto" : "list"));
    if (o->square_pixels) ib_json_set(&j, "square_pixels", json_true());
    if (o->deinterlace) ib_json_set(&j, "deinterlace", json_true());
    if (o->keep_hdr) ib_json_set(&j, "keep_hdr", json_true());
    if (o->start_number) ib_json_set(&j, "start_number", json_integer(o->start_number));
    if (o->range_min != 0 || o->range_max != 0) ib_json_set(&j, "range", json_pack("[f,f]", o->range_min, o->range_max));
    if (o->png_max) ib_json_set(&j, "png", json_string("max"));
    if (o->npz_half) ib_json_set(&j, "npz_half", json_true());
    if (o->npz_level >= 0) ib_json_set(&j, "npz_level", json_integer(o->npz_level));
    if (o->grayscale) ib_json_set(&j, "grayscale", json_true());
    if (o->colormap) ib_json_set(&j, "colormap", json_string(o->colormap));
    if (o->side_by_side) ib_json_set(&j, "side_by_side", json_true());
    if (o->exr_compression) ib_json_set(&j, "exr_compression", json_string(o->exr_compression));
    if (o->exr_half) ib_json_set(&j, "exr_half", json_true());
    if (o->exr_z_only) ib_json_set(&j, "exr_z_only", json_true());
    if (o->focal_px != 0) ib_json_set(&j, "focal_px", json_real(o->focal_px));
    if (o->focal_y_px != 0) ib_json_set(&j, "focal_y_px", json_real(o->focal_y_px));
    if (o->camera) {
        char sha256[65];
        ib_sha256_file(o->camera, NULL, sha256);
        ib_json_set(&j, "camera_sha256", json_string(sha256));
    }
    if (o->ply_stride) ib_json_set(&j, "ply_stride", json_integer(o->ply_stride));
    return j;
}

static json_int_t mtime_ns(const struct stat *sb) { return (json_int_t)sb->st_mtim.tv_sec * 1000000000 + sb->st_mtim.tv_nsec; }

/* SHA-256 of the first and the last megabyte. */
static void probe_file(const char *path, int64_t size, char hex[65])
{
    hex[0] = '\0';
    uint8_t *buf = malloc(PROBE_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ib_sha256 *hash = buf && fd >= 0 ? ib_sha256_create() : NULL;
    for (int tail = 0; hash && tail < 2; tail++) {
        int64_t at = tail && size > PROBE_BYTES ? size - PROBE_BYTES : 0;
        ssize_t n = pread(fd, buf, PROBE_BYTES, at);
        if (n > 0) ib_sha256_update(hash, buf, (size_t)n);
    }
    ib_sha256_finish(hash, hex);
    if (fd >= 0) close(fd);
    free(buf);
}

/* Names and sizes of a sequence's files; their times of change. */
static json_t *sequence_json(const ib_image_list *list)
{
    char hex[65], modified[65];
    ib_sha256 *hash = ib_sha256_create(), *times = ib_sha256_create();
    for (int64_t i = 0; i < list->count; i++) {
        struct stat sb;
        char line[128];
        const char *slash = strrchr(list->paths[i], '/');
        const char *name = slash ? slash + 1 : list->paths[i];
        if (stat(list->paths[i], &sb) != 0) memset(&sb, 0, sizeof sb);
        ib_sha256_update(hash, name, strlen(name) + 1);
        snprintf(line, sizeof line, "%lld\n", (long long)sb.st_size);
        ib_sha256_update(hash, line, strlen(line));
        snprintf(line, sizeof line, "%lld\n", (long long)mtime_ns(&sb));
        ib_sha256_update(times, line, strlen(line));
    }
    ib_sha256_finish(hash, hex);
    ib_sha256_finish(times, modified);
    return json_pack("{s:I, s:s, s:s}", "files", (json_int_t)list->count, "list_sha256", hex, "modified_sha256", modified);
}

static json_t *input_json(const ib_setup *s)
{
    const char *input = s->options.input;
    struct stat sb;
    ib_image_list list;
    int is_list = 0;
    char hex[65];
    if (strcmp(input, "-") != 0 && ib_image_list_find(input, NULL, &list, &is_list) == ISOBATH_OK && is_list) {
        json_t *j = sequence_json(&list);
        ib_image_list_free(&list);
        return j;
    }
    if (strcmp(input, "-") != 0 && stat(input, &sb) == 0 && S_ISREG(sb.st_mode)) {
        probe_file(input, sb.st_size, hex);
        return json_pack("{s:I, s:I, s:s}", "bytes", (json_int_t)sb.st_size, "modified_ns", mtime_ns(&sb), "ends_sha256", hex);
    }
    ib_media_first_hash(s->media, hex);
    return json_pack("{s:o, s:s}", "path", ib_json_string(input), "first_picture_sha256", hex);
}

json_t *ib_identity(const ib_setup *s, const char *model_sha256)
{
    const ib_media_info *info = ib_media_get_info(s->media);
    json_t *options = ib_options_json(s);
    char hex[65];
    if (s->options.cuts && !s->cuts_auto && ib_sha256_file(s->options.cuts, NULL, hex) == ISOBATH_OK)
        ib_json_set(&options, "cuts_sha256", json_string(hex));
    if (s->exec) ib_json_set(&options, "exec", ib_json_string(s->model_path));
    if (s->options.stabilize_s > 0) ib_json_set(&options, "stabilize_s", json_real(s->options.stabilize_s));
    if (s->options.raw_format) ib_json_set(&options, "raw", json_string(s->options.raw_format));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:[i,i], s:o, s:o}", "isobath", ISOBATH_VERSION, "kind", ib_setup_kind(s), "decoder",
                     s->decoder, "colour", s->colour, "model_sha256", model_sha256, "metric", s->config.metric, "source_size",
                     info->width, info->height, "options", options, "input", input_json(s));
}

int ib_identity_only_touched(const json_t *now, const json_t *was)
{
    static const char *const keys[] = {"modified_ns", "modified_sha256"};
    char text[400];
    json_t *copy = json_deep_copy(now), *input = json_object_get(copy, "input"), *old = json_object_get(was, "input");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(input, keys[i]) && json_object_get(old, keys[i])) json_object_set(input, keys[i], json_object_get(old, keys[i]));
    int touched = copy && !ib_identity_differences(copy, was, text, sizeof text);
    json_decref(copy);
    return touched;
}

static void tell(const char *key, const json_t *now, const json_t *was, int count, char *text, size_t size)
{
    char *a = now ? ib_json_dump(now, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    char *b = was ? ib_json_dump(was, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    size_t n = strlen(text);
    if (count <= MOST_TOLD)
        snprintf(text + n, size - n, "%s%s is %.60s, was %.60s", n ? "; " : "", key, a ? a : "not given", b ? b : "not given");
    else if (count == MOST_TOLD + 1) snprintf(text + n, size - n, "; and more");
    free(a);
    free(b);
}

static int compare(const char *prefix, const json_t *now, const json_t *was, int count, char *text, size_t size)
{
    for (int pass = 0; pass < 2; pass++) { /* keys of `now`, then those that only `was` has */
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(pass ? was : now), key, value)
        {
            const json_t *a = json_object_get(now, key), *b = json_object_get(was, key);
            if (pass && a) continue;
            char path[160];
            snprintf(path, sizeof path, "%s%s", prefix, key);
            if (json_is_object(a) && json_is_object(b)) {
                strncat(path, ".", sizeof path - strlen(path) - 1);
                count = compare(path, a, b, count, text, size);
            } else if (!a || !b || !json_equal(a, b)) {
                tell(path, a, b, ++count, text, size);
            }
        }
    }
    return count;
}

int ib_identity_differences(const json_t *now, const json_t *was, char *text, size_t size)
{
    text[0] = '\0';
    return compare("", now, was, 0, text, size);
}
