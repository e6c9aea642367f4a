/* exr, ffv1, src, ply, the side-by-side preview and the copied sound. */
#include "sink_helper.h"

#include "media/media.h"
#include "sink/exr_encode.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#ifdef ISOBATH_HAVE_EXR
#include <openexr.h>
#endif

enum { W = 53, H = 41, N = 40 };

/* With a picture: a grey ramp that moves. */
static ib_depth_frame *rgb_frame(int i)
{
    ib_depth_frame *plain = make_frame(i, W, H, test_max(i)), *f;
    assert_int_equal(ib_depth_frame_create(W, H, 1, W, H, NULL, &f), ISOBATH_OK);
    f->index = i;
    f->pts_us = plain->pts_us + 500000;
    f->min = plain->min;
    f->max = plain->max;
    memcpy(f->depth, plain->depth, W * H * sizeof *f->depth);
    for (int k = 0; k < W * H; k++)
        for (int c = 0; c < 3; c++) f->rgb[3 * k + c] = (uint8_t)(40 + (k % W) * 2 + i + (c == 2 ? 30 : 0));
    ib_depth_frame_unref(plain);
    return f;
}

static isobath_status run_rgb(const char *name, const ib_sink_config *config, ib_diag *diag, json_t **described)
{
    const ib_sink_format *format = ib_sink_format_find(name);
    ib_sink *sink;
    assert_non_null(format);
    isobath_status st = format->open(config, diag, &sink);
    for (int i = 0; i < N && st == ISOBATH_OK; i++) {
        ib_depth_frame *f = rgb_frame(i);
        st = format->push(sink, f);
        ib_depth_frame_unref(f);
    }
    if (st == ISOBATH_OK) st = format->finish(sink);
    if (st == ISOBATH_OK && described) *described = format->describe(sink);
    if (sink) format->close(sink);
    return st;
}

static ib_sink_config rgb_config(const char *folder)
{
    ib_sink_config config = test_config(folder, W, H);
    config.rgb_width = W;
    config.rgb_height = H;
    return config;
}

/* Runs with 1 to 4 threads and compares one output file. */
static void same_bytes(const char *name, const ib_sink_config *base, const char *file)
{
    char *first = NULL;
    for (int threads = 1; threads <= 4; threads++) {
        char *folder = scratch_folder();
        ib_sink_config config = *base;
        config.folder = folder;
        config.threads = threads;
        config.queue_bytes = threads == 3 ? 1 : 0;
        ib_diag diag = IB_DIAG_INIT;
        if (run_rgb(name, &config, &diag, NULL) != ISOBATH_OK) fail_msg("%s", diag.text);
        assert_int_equal(count_files(folder, ".tmp"), 0);
        assert_int_equal(count_files(folder, "_spool"), 0);
        char *a = ib_text("%s/%s", first ? first : folder, file), *b = ib_text("%s/%s", folder, file);
        assert_same_file(a, b);
        free(a);
        free(b);
        if (first)
            remove_folder(folder);
        else
            first = folder;
    }
    remove_folder(first);
}

#ifdef ISOBATH_HAVE_EXR
static void quiet(exr_const_context_t context, exr_result_t code, const char *message)
{
    (void)context, (void)code, (void)message;
}

/* Reads Z, or Y and then Z, with the library's own decoder. */
static void read_exr(const char *path, int channels, float *out, double *time_us)
{
    exr_context_t context = NULL;
    exr_context_initializer_t init = EXR_DEFAULT_CONTEXT_INITIALIZER;
    init.error_handler_fn = quiet;
    assert_int_equal(exr_start_read(&context, path, &init), EXR_ERR_SUCCESS);
    assert_int_equal(exr_attr_get_double(context, 0, "isobath:time_us", time_us), EXR_ERR_SUCCESS);
    exr_decode_pipeline_t pipeline = EXR_DECODE_PIPELINE_INITIALIZER;
    int32_t lines;
    assert_int_equal(exr_get_scanlines_per_chunk(context, 0, &lines), EXR_ERR_SUCCESS);
    for (int y = 0; y < H; y += lines) {
        exr_chunk_info_t chunk;
        assert_int_equal(exr_read_scanline_chunk_info(context, 0, y, &chunk), EXR_ERR_SUCCESS);
        if (y == 0)
            assert_int_equal(exr_decoding_initialize(context, 0, &chunk, &pipeline), EXR_ERR_SUCCESS);
        else
            assert_int_equal(exr_decoding_update(context, 0, &chunk, &pipeline), EXR_ERR_SUCCESS);
        assert_int_equal(pipeline.channel_count, channels);
        for (int i = 0; i < channels; i++) {
            exr_coding_channel_info_t *c = &pipeline.channels[i];
            assert_string_equal(c->channel_name, i == channels - 1 ? "Z" : "Y");
            c->decode_to_ptr = (uint8_t *)(out + (i * H + y) * W);
            c->user_pixel_stride = 4;
            c->user_line_stride = 4 * W;
            c->user_bytes_per_element = 4;
            c->user_data_type = EXR_PIXEL_FLOAT;
        }
        if (y == 0) assert_int_equal(exr_decoding_choose_default_routines(context, 0, &pipeline), EXR_ERR_SUCCESS);
        assert_int_equal(exr_decoding_run(context, 0, &pipeline), EXR_ERR_SUCCESS);
    }
    exr_decoding_destroy(context, &pipeline);
    exr_finish(&context);
}

static void exr_round_trip(void **state)
{
    (void)state;
    static const struct {
        const char *compression;
        int half, z_only;
        double error; /* relative */
    } cases[] = {{"zip", 0, 0, 0}, {NULL, 1, 0, 1.0 / 2048}, {"piz", 0, 0, 0}, {"pxr24", 0, 0, 1.0 / 65536},
                 {"none", 0, 0, 0}, {"piz", 1, 0, 1.0 / 2048}, {"zip", 0, 1, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char *folder = scratch_folder();
        ib_sink_config config = rgb_config(folder);
        config.exr_compression = cases[c].compression;
        config.exr_half = cases[c].half;
        config.exr_z_only = cases[c].z_only;
        int channels = cases[c].z_only ? 1 : 2;
        config.start_number = 1001;
        json_t *described;
        ib_diag diag = IB_DIAG_INIT;
        if (run_rgb("exr", &config, &diag, &described) != ISOBATH_OK) fail_msg("%s", diag.text);
        assert_int_equal(json_integer_value(json_object_get(described, "files")), N);
        json_decref(described);
        for (int i = 0; i < N; i += 13) {
            float back[2 * W * H];
            double time_us;
            char *path = ib_text("%s/clip_depths_exr/frame_%05d.exr", folder, 1001 + i);
            ib_depth_frame *f = rgb_frame(i);
            read_exr(path, channels, back, &time_us);
            assert_true(time_us == (double)f->pts_us);
            for (int k = 0; k < channels * W * H; k++)
                assert_true(fabs(back[k] - f->depth[k % (W * H)]) <= cases[c].error * f->depth[k % (W * H)]);
            ib_depth_frame_unref(f);
            free(path);
        }
        remove_folder(folder);
    }
    ib_sink_config config = rgb_config("x");
    same_bytes("exr", &config, "clip_depths_exr/frame_00005.exr");
    ib_exr_encoder *encoder;
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_exr_encoder_create(W, H, "dwaa", 0, 0, IB_DEPTH_METRIC, 1, &diag, &encoder), ISOBATH_ERR_USAGE);
    const uint8_t *data;
    size_t size;
    ib_depth_frame *f = make_frame(0, W, H, 70000);
    assert_int_equal(ib_exr_encoder_create(W, H, "zip", 1, 0, IB_DEPTH_METRIC, 1, NULL, &encoder), ISOBATH_OK);
    assert_int_equal(ib_exr_encode(encoder, f, NULL, &data, &size), ISOBATH_ERR_INPUT); /* no half holds 70000 */
    ib_exr_encoder_destroy(encoder);
    ib_depth_frame_unref(f);
}
#endif

/* Decodes a gray16 video and compares every sample with direct quantisation. */
static void ffv1_is_lossless(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/clip_depths.mkv", folder);
    ib_sink_config config = rgb_config(folder);
    config.kind = IB_DEPTH_METRIC;
    json_t *described;
    assert_int_equal(run_rgb("ffv1", &config, NULL, &described), ISOBATH_OK);
    assert_true(json_real_value(json_object_get(described, "scale")) == 0.002);
    json_decref(described);
    AVFormatContext *input = NULL;
    assert_int_equal(avformat_open_input(&input, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(input, NULL) >= 0);
    AVDictionaryEntry *tag = av_dict_get(input->metadata, "ISOBATH_SCALE", NULL, 0);
    assert_non_null(tag);
    assert_true(strtod(tag->value, NULL) == 0.002);
    assert_string_equal(av_dict_get(input->metadata, "ISOBATH_UNIT", NULL, 0)->value, "metre");
    const AVCodec *codec = avcodec_find_decoder(input->streams[0]->codecpar->codec_id);
    AVCodecContext *decoder = avcodec_alloc_context3(codec);
    avcodec_parameters_to_context(decoder, input->streams[0]->codecpar);
    assert_int_equal(avcodec_open2(decoder, codec, NULL), 0);
    assert_int_equal(decoder->pix_fmt, AV_PIX_FMT_GRAY16LE);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    int n = 0;
    while (av_read_frame(input, packet) >= 0) {
        assert_int_equal(avcodec_send_packet(decoder, packet), 0);
        av_packet_unref(packet);
        assert_int_equal(avcodec_receive_frame(decoder, frame), 0);
        ib_depth_frame *f = rgb_frame(n++);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                uint16_t q;
                memcpy(&q, frame->data[0] + y * frame->linesize[0] + 2 * x, 2);
                assert_int_equal(q, (int)floor((double)f->depth[y * W + x] * 500.0));
            }
        ib_depth_frame_unref(f);
    }
    assert_int_equal(n, N);
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    avformat_close_input(&input);
    free(path);
    remove_folder(folder);
    same_bytes("ffv1", &config, "clip_depths.mkv");
}

static void src_frames(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/clip_src.mp4", folder);
    ib_sink_config config = rgb_config(folder);
    assert_int_equal(run_rgb("src", &config, NULL, NULL), ISOBATH_OK);
    ib_media *media;
    ib_media_options options = {.threads = 1};
    assert_int_equal(ib_media_open(path, &options, NULL, &media), ISOBATH_OK);
    uint8_t rgb[54 * 42 * 3];
    int got = 1, n = 0;
    for (ib_media_frame frame; got; n += got) {
        assert_int_equal(ib_media_read(media, rgb, &frame, &got), ISOBATH_OK);
        if (!got) break;
        ib_depth_frame *f = rgb_frame(n);
        assert_int_equal(frame.pts_us, f->pts_us - 500000);
        double error = 0;
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W * 3; x++) error += abs(rgb[y * 54 * 3 + x] - f->rgb[y * W * 3 + x]);
        assert_true(error / (W * H * 3) < 5);
        ib_depth_frame_unref(f);
    }
    assert_int_equal(n, N);
    ib_media_close(media);
    free(path);
    remove_folder(folder);
    same_bytes("src", &config, "clip_src.mp4");
}

/* A frame every hour and a half, and one that stays for a day: more than MP4 holds in microseconds. */
static void long_pauses(void **state)
{
    (void)state;
    static const int64_t seconds[][4] = {{0, 2000, 2100, 4000}, {0, 5400, 10800, 11000}, {0, 86400, 86401, 90000}};
    for (int c = 0; c < 3; c++) {
        char *folder = scratch_folder(), *path = ib_text("%s/clip_src.mp4", folder);
        ib_sink_config config = rgb_config(folder);
        ib_sink *sink;
        ib_diag diag = IB_DIAG_INIT;
        assert_int_equal(ib_sink_format_find("src")->open(&config, &diag, &sink), ISOBATH_OK);
        for (int i = 0; i < 4; i++) {
            ib_depth_frame *f = rgb_frame(i);
            f->pts_us = seconds[c][i] * 1000000;
            assert_int_equal(ib_sink_format_find("src")->push(sink, f), ISOBATH_OK);
            ib_depth_frame_unref(f);
        }
        if (ib_sink_format_find("src")->finish(sink) != ISOBATH_OK) fail_msg("%s", diag.text);
        ib_sink_format_find("src")->close(sink);
        ib_media *media;
        assert_int_equal(ib_media_open(path, &(ib_media_options){.threads = 1}, NULL, &media), ISOBATH_OK);
        int got;
        for (int i = 0; i < 4; i++) {
            ib_media_frame frame;
            assert_int_equal(ib_media_read(media, NULL, &frame, &got), ISOBATH_OK);
            assert_true(got && frame.pts_us == seconds[c][i] * 1000000);
        }
        ib_media_close(media);
        free(path);
        remove_folder(folder);
    }
}

/* Pixels that are not square: containers and EXR headers say so, whatever size the depth has. */
static void pixel_aspect(void **state)
{
    (void)state;
    static const char *const formats[][2] = {{"src", "clip_src.mp4"}, {"ffv1", "clip_depths.mkv"}, {"preview", "clip_vis.mp4"}};
    for (int i = 0; i < 3; i++) {
        char *folder = scratch_folder(), *path = ib_text("%s/%s", folder, formats[i][1]);
        ib_sink_config config = rgb_config(folder);
        config.rgb_aspect = 16.0 / 11;
        assert_int_equal(run_rgb(formats[i][0], &config, NULL, NULL), ISOBATH_OK);
        ib_media *media;
        assert_int_equal(ib_media_open(path, &(ib_media_options){.threads = 1}, NULL, &media), ISOBATH_OK);
        assert_true(fabs(ib_media_get_info(media)->pixel_aspect - 16.0 / 11) < 0.01);
        ib_media_close(media);
        free(path);
        remove_folder(folder);
    }
    ib_sink_config half = {.width = W / 2, .height = H, .rgb_width = W / 2 * 2, .rgb_height = H, .rgb_aspect = 1.5};
    assert_true(ib_sink_aspect(&half) == 3);
    half.rgb_aspect = 1; /* square ones stay square, to the byte, at any size */
    assert_true(ib_sink_aspect(&half) == 1);
}

static void side_by_side(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/clip_vis.mp4", folder);
    ib_sink_config config = rgb_config(folder);
    config.preview_side_by_side = 1;
    config.grayscale = 1;
    assert_int_equal(run_rgb("preview", &config, NULL, NULL), ISOBATH_OK);
    assert_int_equal(count_files(folder, "_spool"), 0);
    ib_media *media;
    ib_media_options options = {.threads = 1};
    assert_int_equal(ib_media_open(path, &options, NULL, &media), ISOBATH_OK);
    assert_int_equal(ib_media_get_info(media)->width, 108);
    assert_int_equal(ib_media_get_info(media)->height, 42);
    uint8_t rgb[108 * 42 * 3];
    int got;
    ib_media_frame frame;
    assert_int_equal(ib_media_read(media, rgb, &frame, &got), ISOBATH_OK);
    ib_depth_frame *f = rgb_frame(0);
    double error = 0;
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W * 3; x++) error += abs(rgb[y * 108 * 3 + x] - f->rgb[y * W * 3 + x]);
    assert_true(error / (W * H * 3) < 5);
    ib_depth_frame_unref(f);
    ib_media_close(media);
    free(path);
    remove_folder(folder);
    same_bytes("preview", &config, "clip_vis.mp4");
}

static void ply_points(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/clip_points/point0003.ply", folder);
    ib_sink_config config = rgb_config(folder);
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(run_rgb("ply", &config, &diag, NULL), ISOBATH_ERR_USAGE); /* relative depth has no metres */
    assert_non_null(strstr(diag.text, "metric"));
    config.kind = IB_DEPTH_METRIC;
    config.ply_stride = 2;
    assert_int_equal(run_rgb("ply", &config, NULL, NULL), ISOBATH_OK);
    assert_int_equal(count_files(folder, ".ply"), N);
    uint8_t *data;
    size_t size;
    assert_int_equal(ib_read_file(path, 1 << 20, NULL, &data, &size), ISOBATH_OK);
    assert_non_null(strstr((char *)data, "element vertex 567\n")); /* 27 x 21 */
    uint8_t *p = (uint8_t *)strstr((char *)data, "end_header\n") + 11;
    assert_int_equal(size - (size_t)(p - data), 567 * 15);
    ib_depth_frame *f = rgb_frame(3);
    float xyz[3];
    memcpy(xyz, p + 15 * (27 * 4 + 5), 12); /* row 8, column 10 */
    float z = f->depth[8 * W + 10];
    assert_true(xyz[2] == z);
    assert_true(fabs(xyz[0] - (10 - W / 2.0) * z / 470.4) < 1e-6 && fabs(xyz[1] - (8 - H / 2.0) * z / 470.4) < 1e-6);
    assert_memory_equal(p + 15 * (27 * 4 + 5) + 12, f->rgb + (8 * W + 10) * 3, 3);
    ib_depth_frame_unref(f);
    free(data);
    free(path);
    remove_folder(folder);
    same_bytes("ply", &config, "clip_points/point0007.ply");
}

/* A source with sound: 2 s of a tone beside 2 s of picture, made by the mp4 writer and libav's own encoder. */
static void make_source(const char *path)
{
    AVFormatContext *mux = NULL;
    assert_true(avformat_alloc_output_context2(&mux, NULL, "mov", path) >= 0);
    AVStream *video = avformat_new_stream(mux, NULL), *audio = avformat_new_stream(mux, NULL);
    const AVCodec *codecs[2] = {avcodec_find_encoder(AV_CODEC_ID_MPEG4), avcodec_find_encoder(AV_CODEC_ID_AAC)};
    AVCodecContext *v = avcodec_alloc_context3(codecs[0]), *a = avcodec_alloc_context3(codecs[1]);
    v->width = v->height = 32;
    v->pix_fmt = AV_PIX_FMT_YUV420P;
    v->time_base = (AVRational){1, 25};
    v->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    a->sample_rate = 16000;
    a->sample_fmt = AV_SAMPLE_FMT_FLTP;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(59, 24, 100)
    av_channel_layout_default(&a->ch_layout, 1);
#else
    a->channels = 1;
    a->channel_layout = AV_CH_LAYOUT_MONO;
#endif
    a->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    assert_int_equal(avcodec_open2(v, codecs[0], NULL), 0);
    assert_int_equal(avcodec_open2(a, codecs[1], NULL), 0);
    avcodec_parameters_from_context(video->codecpar, v);
    avcodec_parameters_from_context(audio->codecpar, a);
    video->time_base = v->time_base;
    audio->time_base = (AVRational){1, 16000};
    assert_true(avio_open(&mux->pb, path, AVIO_FLAG_WRITE) >= 0);
    assert_true(avformat_write_header(mux, NULL) >= 0);
    AVPacket *packet = av_packet_alloc();
    for (int stream = 0; stream < 2; stream++) {
        AVCodecContext *ctx = stream ? a : v;
        int frames = stream ? 31 : 50; /* 31 x 1024 samples */
        for (int i = 0; i <= frames; i++) {
            AVFrame *frame = av_frame_alloc();
            if (stream) {
                frame->nb_samples = 1024;
                frame->format = AV_SAMPLE_FMT_FLTP;
                frame->sample_rate = 16000;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(59, 24, 100)
                av_channel_layout_default(&frame->ch_layout, 1);
#else
                frame->channels = 1;
                frame->channel_layout = AV_CH_LAYOUT_MONO;
#endif
                frame->pts = i * 1024;
            } else {
                frame->width = frame->height = 32;
                frame->format = AV_PIX_FMT_YUV420P;
                frame->pts = i;
            }
            assert_int_equal(av_frame_get_buffer(frame, 0), 0);
            if (stream)
                for (int k = 0; k < 1024; k++) ((float *)frame->data[0])[k] = 0.3f * sinf(0.2f * (float)k);
            else
                for (int p = 0; p < 3; p++) memset(frame->data[p], 100 + i, (size_t)frame->linesize[p] * (p ? 16 : 32));
            avcodec_send_frame(ctx, i < frames ? frame : NULL);
            av_frame_free(&frame);
            while (avcodec_receive_packet(ctx, packet) >= 0) {
                packet->stream_index = stream;
                av_packet_rescale_ts(packet, ctx->time_base, mux->streams[stream]->time_base);
                assert_true(av_interleaved_write_frame(mux, packet) >= 0);
            }
        }
    }
    assert_int_equal(av_write_trailer(mux), 0);
    avio_closep(&mux->pb);
    av_packet_free(&packet);
    avcodec_free_context(&v);
    avcodec_free_context(&a);
    avformat_free_context(mux);
}

static void sound_is_copied(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *source = ib_text("%s/with_sound.mov", folder),
         *path = ib_text("%s/clip_vis.mp4", folder);
    av_log_set_level(AV_LOG_FATAL);
    make_source(source);
    ib_sink_config config = rgb_config(folder); /* its frames begin half a second into the source */
    config.source_path = source;
    json_t *described;
    assert_int_equal(run_rgb("preview", &config, NULL, &described), ISOBATH_OK);
    assert_string_equal(json_string_value(json_object_get(described, "sound")), "aac");
    json_decref(described);
    AVFormatContext *input = NULL;
    assert_int_equal(avformat_open_input(&input, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(input, NULL) >= 0);
    assert_int_equal(input->nb_streams, 2);
    int a = av_find_best_stream(input, AVMEDIA_TYPE_AUDIO, -1, -1, NULL, 0);
    assert_true(a >= 0);
    AVPacket *packet = av_packet_alloc();
    double first = -1, last = -1;
    int packets = 0;
    while (av_read_frame(input, packet) >= 0) {
        if (packet->stream_index == a) {
            double t = (double)packet->pts * av_q2d(input->streams[a]->time_base);
            if (first < 0) first = t;
            last = t;
            packets++;
        }
        av_packet_unref(packet);
    }
    /* packets of 64 ms from 0.5 s on: the first is shown within one packet of the start, the last before the picture
     * ends */
    assert_true(first >= 0 && first < 0.065);
    assert_true(last > 1.2 && last < 1.336 + 0.065);
    assert_in_range(packets, 19, 22);
    av_packet_free(&packet);
    avformat_close_input(&input);
    free(source);
    free(path);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef ISOBATH_HAVE_EXR
        cmocka_unit_test(exr_round_trip),
#endif
        cmocka_unit_test(ffv1_is_lossless), cmocka_unit_test(src_frames),      cmocka_unit_test(pixel_aspect), cmocka_unit_test(long_pauses), cmocka_unit_test(side_by_side),
        cmocka_unit_test(ply_points),       cmocka_unit_test(sound_is_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
