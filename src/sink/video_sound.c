/* The sound of a source, copied packet by packet beside a new picture. */
#include "sink/video_av.h"

#include <stdlib.h>
#include <sys/stat.h>

struct ib_sound {
    AVFormatContext *input;
    AVPacket *packet;
    int source_index, target_index;
    int64_t origin_us;  /* source time that becomes 0 */
    int64_t last_ts;    /* of the target, to keep time stamps increasing */
    int waiting, ended; /* a packet waits for its time; the source is done */
};

ib_sound *ib_sound_open(const char *from, AVFormatContext *mux, int64_t first_time_us, ib_diag *diag, char *why, size_t why_size)
{
    struct stat sb;
    snprintf(why, why_size, "no sound: the source could not be opened for it");
    if (stat(from, &sb) != 0 || !S_ISREG(sb.st_mode)) return NULL; /* a pipe can be read once only */
    ib_sound *sound = calloc(1, sizeof *sound);
    int video = -1;
    if (!sound || !(sound->packet = av_packet_alloc())) goto memory;
    sound->last_ts = INT64_MIN;
    if (avformat_open_input(&sound->input, from, NULL, NULL) < 0 ||
        avformat_find_stream_info(sound->input, NULL) < 0)
        goto none;
    video = av_find_best_stream(sound->input, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    sound->source_index = av_find_best_stream(sound->input, AVMEDIA_TYPE_AUDIO, -1, video, NULL, 0);
    if (sound->source_index < 0) {
        snprintf(why, why_size, "no sound: the source has none");
        goto none;
    }
    AVStream *source = sound->input->streams[sound->source_index];
    const char *name = avcodec_get_name(source->codecpar->codec_id);
    snprintf(why, why_size, "no sound: %s does not go into this container", name);
    if (avformat_query_codec(mux->oformat, source->codecpar->codec_id, FF_COMPLIANCE_NORMAL) != 1) goto none;
    AVStream *target = avformat_new_stream(mux, NULL);
    if (!target || avcodec_parameters_copy(target->codecpar, source->codecpar) < 0) goto memory;
    target->codecpar->codec_tag = 0;
    target->time_base = source->time_base;
    sound->target_index = target->index;
    /* the frames count from the first picture of the source */
    sound->origin_us = first_time_us;
    if (video >= 0 && sound->input->streams[video]->start_time != AV_NOPTS_VALUE)
        sound->origin_us += av_rescale_q(sound->input->streams[video]->start_time,
                                         sound->input->streams[video]->time_base, (AVRational){1, 1000000});
    for (unsigned i = 0; i < sound->input->nb_streams; i++)
        if ((int)i != sound->source_index) sound->input->streams[i]->discard = AVDISCARD_ALL;
    snprintf(why, why_size, "%s", name);
    return sound;
memory:
    ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory for its sound", from);
none:
    ib_sound_close(sound);
    return NULL;
}

int ib_sound_copy(ib_sound *sound, AVFormatContext *mux, int64_t time_us)
{
    AVStream *source = sound->input->streams[sound->source_index];
    while (!sound->ended) {
        if (!sound->waiting) {
            if (av_read_frame(sound->input, sound->packet) < 0) { /* the end, or damage: what came until here is kept */
                sound->ended = 1;
                break;
            }
            sound->waiting = 1;
        }
        AVPacket *packet = sound->packet;
        int64_t at = packet->pts == AV_NOPTS_VALUE
                         ? INT64_MIN
                         : av_rescale_q(packet->pts, source->time_base, (AVRational){1, 1000000}) - sound->origin_us;
        int wanted = packet->stream_index == sound->source_index && at >= 0;
        if (wanted && at >= time_us) return 0;
        sound->waiting = 0;
        if (wanted) {
            AVRational base = mux->streams[sound->target_index]->time_base;
            packet->pts = packet->dts = av_rescale_q(at, (AVRational){1, 1000000}, base);
            packet->duration = av_rescale_q(packet->duration, source->time_base, base);
            packet->stream_index = sound->target_index;
            packet->pos = -1;
            if (packet->pts > sound->last_ts) {
                sound->last_ts = packet->pts;
                int code = av_write_frame(mux, packet);
                if (code < 0) return code;
            }
        }
        av_packet_unref(packet);
    }
    return 0;
}

void ib_sound_close(ib_sound *sound)
{
    if (!sound) return;
    av_packet_free(&sound->packet);
    avformat_close_input(&sound->input);
    free(sound);
}
