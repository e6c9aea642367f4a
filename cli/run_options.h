/* What `run` and `stream` share: their common options, the plan as text and JSON, notes. */
#ifndef ISOBATH_CLI_RUN_OPTIONS_H
#define ISOBATH_CLI_RUN_OPTIONS_H

#include "cli.h"
#include <isobath/session.h>

/* Entries of an option table for isobath_run_options o; metric is an int, range two doubles, for the caller to pass on. */
#define CLI_INPUT_OPTIONS(o) \
    {CLI_HEADING, .help = "Input"}, \
    {CLI_TIME, "--start", 0, "T", "start at this time (seconds, M:SS, H:MM:SS)", &(o).start_s}, \
    {CLI_TIME, "--end", 0, "T", "end before this time", &(o).end_s}, \
    {CLI_INT64, "--start-frame", 0, "N", "start at this frame of the input", &(o).start_frame}, \
    {CLI_INT64, "--end-frame", 0, "N", "end before this frame", &(o).end_frame}, \
    {CLI_STRING, "--crop", 0, "auto|WxH+X+Y", "without letterbox bars, or this part of the picture", &(o).crop}, \
    {CLI_FLAG, "--square-pixels", 0, NULL, "undo a pixel aspect ratio", &(o).square_pixels}, \
    {CLI_FLAG, "--deinterlace", 0, NULL, "frames flagged as interlaced use one field", &(o).deinterlace}, \
    {CLI_FLAG, "--keep-hdr", 0, NULL, "do not tone-map PQ and HLG", &(o).keep_hdr}, \
    {CLI_DOUBLE, "--target-fps", 0, "F", "keep every n-th frame, n = round(fps / F)", &(o).target_fps}, \
    {CLI_INT64, "--max-frames", 0, "N", "stop after N frames", &(o).max_frames}, \
    {CLI_INT, "--max-res", 0, "N", "reduce sources whose longer side exceeds N (default 1280; 0: never)", &(o).max_res}, \
    {CLI_CALL, "--on-error", 0, "stop|repeat", "damaged frames: stop (default), or repeat the last good one", &(o).on_error_repeat, cli_set_on_error}, \
    {CLI_CALL, "--device-memory", 0, "800M|5.5G", "take at most this much of the GPU: smaller batches, the same result", &(o).device_memory, cli_set_bytes}, \
    {CLI_STRING, "--decoders", 0, "auto|one|each", "several devices: one decoder for all, or each its own (auto: each, where that is possible;\nthe same bytes)", &(o).decoders}, \
    {CLI_STRING, "--decoder", 0, "auto|software|cuda", "who decodes the video: the GPU of the network where it can (auto),\nthe processor, or the GPU or nobody", &(o).decoder}, \
    {CLI_INT, "--decoder-sessions", 0, "N", "decoders of the GPU at a time for one file (default 1, at most 8):\nfor large pictures, where decoding is the slowest stage", &(o).decoder_sessions}, \
    {CLI_STRING, "--raw", 0, "WxH:FMT:FPS", "stdin is headerless video, e.g. 1280x720:rgb24:30;\nfor a camera (/dev/video0): the mode to ask it for, e.g. 1280x720:mjpeg:30", &(o).raw_format}

#define CLI_MODEL_OPTIONS(o, metric) \
    {CLI_HEADING, .help = "Model"}, \
    {CLI_STRING, "--model", 'm', "NAME|PATH", "checkpoint (.safetensors or .pth), a known name (see isobath models), or exec:COMMAND", &(o).model}, \
    {CLI_FLAG, "--metric", 0, NULL, "the checkpoint gives metres (else as the file says)", &(metric)}, \
    {CLI_DOUBLE, "--max-depth", 0, "M", "metres that a metric Depth Anything V2 ends at (default: as the file's name says)", &(o).max_depth}, \
    {CLI_DOUBLE, "--hfov", 0, "DEG", "horizontal field of view of the camera, for a metric nano (default: 60 along the longer side)", &(o).hfov_deg}, \
    {CLI_INT, "--input-size", 0, "N", "size of the network's shorter side (default: the model's, 518)", &(o).input_size}, \
    {CLI_STRING, "--precision", 0, "P", "auto, fp32, fp16 (GPU), bf16", &(o).precision}, \
    {CLI_STRING, "--devices", 'd', "D", "auto (every GPU, or the CPU where there is none) or a list:\ncuda:0,cuda:1 or cpu,cpu,cpu", &(o).devices}, \
    {CLI_THREADS, "--threads", 'j', "N", "CPU threads (default: all)", &(o).threads}, \
    {CLI_STRING, "--isa", 0, "I", "pin the CPU's instruction path: sse4, avx2, avx512, amx", &(o).cpu_isa}

#define CLI_SINK_OPTIONS(o, range) \
    {CLI_HEADING, .help = "Output"}, \
    {CLI_STRING, "--output", 'o', "FOLDER", "where the result goes", &(o).output}, \
    {CLI_STRING, "--name", 0, "NAME", "NAME of the result files (default: the input's)", &(o).name}, \
    {CLI_STRING, "--format", 'f', "LIST", "png16, npz, preview, exr, ffv1, src, ply (default png16,preview)", &(o).formats}, \
    {CLI_STRING, "--output-size", 0, "SIZE", "source (default), model or WIDTHxHEIGHT", &(o).output_size}, \
    {CLI_STRING, "--upsample", 0, "HOW", "to the output size: bilinear (default), or guided: edges follow the picture's\n(one core for every 45 frames/s at 720p)", &(o).upsample}, \
    {CLI_FLAG, "--overwrite", 0, NULL, "replace an existing result", &(o).overwrite}, \
    {CLI_INT, "--start-number", 0, "N", "first number of numbered files (default 0)", &(o).start_number}, \
    {CLI_RANGE, "--range", 0, "A:B", "png16: fixed range instead of the automatic scale", (range)}, \
    {CLI_CALL, "--png-level", 0, "fast|max", "png16: fast (default) or smallest", &(o).png_max, cli_set_png_level}, \
    {CLI_FLAG, "--npz-half", 0, NULL, "npz: float16 instead of float32", &(o).npz_half}, \
    {CLI_INT, "--npz-level", 0, "N", "npz: 0 stores without compression", &(o).npz_level}, \
    {CLI_STRING, "--colormap", 0, "NAME", "preview: inferno (default), magma, viridis, plasma, turbo, gray", &(o).colormap}, \
    {CLI_FLAG, "--grayscale", 0, NULL, "preview: grey", &(o).grayscale}, \
    {CLI_STRING, "--preview-encoder", 0, "auto|software", "preview: the GPU of the network where it can (auto), or x264, whose\nbytes are the same everywhere", &(o).preview_encoder}, \
    {CLI_FLAG, "--side-by-side", 0, NULL, "preview: the source beside the depth", &(o).side_by_side}, \
    {CLI_STRING, "--exr-compression", 0, "C", "exr: zip (default), piz, pxr24, none", &(o).exr_compression}, \
    {CLI_FLAG, "--exr-half", 0, NULL, "exr: 16-bit float", &(o).exr_half}, \
    {CLI_FLAG, "--exr-z-only", 0, NULL, "exr: channel Z alone, without its copy Y that viewers show", &(o).exr_z_only}, \
    {CLI_DOUBLE, "--focal", 0, "PX", "ply: focal length in pixels", &(o).focal_px}, \
    {CLI_STRING, "--camera", 0, "FILE", "ply: JSON lines of frame, fx, fy, cx, cy in pixels of the output", &(o).camera}, \
    {CLI_INT, "--stride", 0, "N", "ply: every N-th pixel", &(o).ply_stride}

int cli_set_on_error(void *target, const char *argument);
int cli_set_guard(void *target, const char *argument);
int cli_set_png_level(void *target, const char *argument);
int cli_set_bytes(void *target, const char *argument); /* a size_t from 800M or 5.5G */

/* The plan, for people on stderr and as an event on stdout. */
void cli_print_plan(const isobath_plan *plan, const isobath_run_options *options);
void cli_print_plan_json(const isobath_plan *plan);
/* For isobath_run_options.note. */
void cli_print_note(void *ctx, const char *line);

#endif
