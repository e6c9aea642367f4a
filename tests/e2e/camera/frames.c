/* The pictures of the emulated camera (v4l2.c): FRAMES of a known moving picture as FOURCC_WIDTHxHEIGHT. usage: camera_frames FOLDER */
#include "support/clips.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    static const struct {
        const char *name, *encoder, *format, *pix_fmt;
        int width, height;
    } modes[] = {{"YUYV_160x120", "rawvideo", "rawvideo", "yuyv422", 160, 120},
                 {"YUYV_320x240", "rawvideo", "rawvideo", "yuyv422", 320, 240},
                 {"MJPG_320x240", "mjpeg", "mjpeg", "yuvj422p", 320, 240}};
    for (int i = 0; argc == 2 && i < 3; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", argv[1], modes[i].name);
        clip c = {.encoder = modes[i].encoder, .format = modes[i].format, .pix_fmt = modes[i].pix_fmt, .width = modes[i].width,
                  .height = modes[i].height, .frames = 60, .fps = 30};
        if (clip_write(path, &c) != 0) return 1;
    }
    return argc == 2 ? 0 : 2;
}
