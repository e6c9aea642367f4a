/* JSON from strangers: depth.json, and camera files line by line. */
#include "accept.h"
#include "sink/camera.h"
#include "depthio/depth_reader_internal.h"
#include "sink/manifest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json;
    if (ib_json_parse((const char *)data, size, "fuzz", NULL, &json) == ISOBATH_OK) {
        ib_depth_reader_info info = {.frames = 3, .width = 4, .height = 2};
        int64_t *times_us = NULL;
        fuzz_accept(ib_depth_sidecar_check(json, "fuzz", &info, 0.5, NULL, &times_us) == ISOBATH_OK);
        free(times_us);
    }
    json_decref(json);
    for (int need_pose = 0; need_pose < 2; need_pose++) {
        ib_camera_track track;
        if (ib_camera_parse((const char *)data, size, "fuzz", need_pose, NULL, &track) != ISOBATH_OK) continue;
        ib_camera_of(&track, 0);
        ib_camera_free(&track);
    }
    return 0;
}
