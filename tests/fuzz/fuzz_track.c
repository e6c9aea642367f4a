/* Tracks from strangers: the first byte picks the format, the second the columns; see src/track/tracks.h. */
#include "track/tracks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {
        "auto", "ultralytics-txt", "ultralytics-json", "mot", "boxmot", "kitti", "coco", "json"};
    static const char *const columns[] = {NULL, "box", "box,conf", "box,id", "seg", "seg,conf,id"};
    if (size < 2) return 0;
    ib_tracks_options options = {
        .format = formats[data[0] % 8], .columns = columns[data[1] % 6], .first_frame = -1, .video_id = -1};
    ib_tracks tracks;
    if (ib_tracks_parse((const char *)data + 2, size - 2, "fuzz", &options, 3, NULL, &tracks) == ISOBATH_OK) {
        ib_tracks_to_pixels(&tracks, 64, 48);
        for (size_t i = 0; i < tracks.count; i++) /* what later stages trust */
            if (tracks.list[i].frame < 0 || tracks.list[i].frame >= IB_TRACK_MAX_FRAME || tracks.list[i].id < -1 ||
                tracks.list[i].class_index >= tracks.class_count ||
                (tracks.list[i].runs &&
                 (tracks.list[i].run + tracks.list[i].runs > tracks.run_count || tracks.list[i].grid_width < 1)) ||
                (tracks.list[i].points && tracks.list[i].polygon + tracks.list[i].points > tracks.xy_count))
                __builtin_trap();
        for (size_t i = 0; i < tracks.count; i++)
            ib_tracks_in_mask(&tracks, &tracks.list[i], (double)(i % 64), (double)(i % 48), 64, 48);
    }
    ib_tracks_free(&tracks);
    return 0;
}
