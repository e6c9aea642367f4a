/* A server on 127.0.0.1 for `isobath stream URL`: one clip by RTSP (RTP inside of the connection, at the clip's pace) and by HTTP.
 * usage: url_server make CLIP          makes the clip, 50 frames of MPEG-4, 25 a second
 *        url_server CLIP PORT_FILE [cut|stall N]   serves; the port goes into PORT_FILE when it listens. The first connection that plays
 *                                      is cut, or goes silent, after N frames (HTTP: is cut after N bytes); later ones are not. */
#include "support/clips.h"

#include <libavformat/avformat.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct server {
    const char *clip;
    int port, cut, stall;
    long after;
    pthread_mutex_t lock;
    int played; /* connections so far */
} server;

typedef struct client {
    server *s;
    int fd, gone;
} client;

static void send_all(client *c, const void *data, size_t n)
{
    for (const char *at = data; n && !c->gone;) {
        ssize_t k = send(c->fd, at, n, MSG_NOSIGNAL);
        if (k <= 0) c->gone = 1;
        else at += k, n -= (size_t)k;
    }
}

/* One RTP or RTCP packet of libav's muxer: "$", channel, size, and the packet. */
static int send_packet(void *opaque, uint8_t *data, int n)
{
    uint8_t head[4] = {'$', n > 1 && data[1] >= 192 && data[1] <= 223, (uint8_t)(n >> 8), (uint8_t)n};
    send_all(opaque, head, sizeof head);
    send_all(opaque, data, (size_t)n);
    return n;
}

/* The clip, and a muxer for its video that sends to the client. */
static AVFormatContext *open_clip(client *c, AVFormatContext **rtp)
{
    AVFormatContext *in = NULL;
    unsigned char *buffer = av_malloc(1400);
    if (avformat_open_input(&in, c->s->clip, NULL, NULL) < 0 || avformat_find_stream_info(in, NULL) < 0) exit(1);
    if (avformat_alloc_output_context2(rtp, NULL, "rtp", NULL) < 0) exit(1);
    AVStream *stream = avformat_new_stream(*rtp, NULL);
    avcodec_parameters_copy(stream->codecpar, in->streams[0]->codecpar);
    stream->codecpar->codec_tag = 0;
    stream->time_base = in->streams[0]->time_base;
    (*rtp)->pb = avio_alloc_context(buffer, 1400, 1, c, NULL, send_packet, NULL);
    (*rtp)->pb->max_packet_size = 1400;
    return in;
}

static void close_clip(AVFormatContext *in, AVFormatContext *rtp)
{
    av_freep(&rtp->pb->buffer);
    avio_context_free(&rtp->pb);
    avformat_free_context(rtp);
    avformat_close_input(&in);
}

/* 1 for the one connection that is disturbed. */
static int is_first(server *s)
{
    pthread_mutex_lock(&s->lock);
    int first = s->played++ == 0;
    pthread_mutex_unlock(&s->lock);
    return first;
}

static void play(client *c)
{
    AVFormatContext *rtp, *in = open_clip(c, &rtp);
    AVPacket *packet = av_packet_alloc();
    int first = is_first(c->s);
    if (avformat_write_header(rtp, NULL) < 0) exit(1);
    for (long frame = 0; !c->gone && av_read_frame(in, packet) >= 0; frame++) {
        if (first && frame == c->s->after && c->s->stall) pause();
        if (first && frame == c->s->after && c->s->cut) break;
        av_packet_rescale_ts(packet, in->streams[0]->time_base, rtp->streams[0]->time_base);
        av_write_frame(rtp, packet);
        av_packet_unref(packet);
        usleep(40000);
    }
    av_packet_free(&packet);
    close_clip(in, rtp);
    c->gone = 1;
}

static void describe(client *c, int number)
{
    char sdp[2048], answer[2560];
    AVFormatContext *rtp, *in = open_clip(c, &rtp);
    if (av_sdp_create(&rtp, 1, sdp, sizeof sdp) < 0) exit(1);
    close_clip(in, rtp);
    snprintf(answer, sizeof answer, "RTSP/1.0 200 OK\r\nCSeq: %d\r\nContent-Base: rtsp://127.0.0.1:%d/clip/\r\nContent-Type: application/sdp\r\n"
             "Content-Length: %zu\r\n\r\n%s", number, c->s->port, strlen(sdp), sdp);
    send_all(c, answer, strlen(answer));
}

static void get(client *c)
{
    char head[160];
    size_t size;
    uint8_t *data = clip_read_file(c->s->clip, &size);
    if (!data) exit(1);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nAccept-Ranges: none\r\nConnection: close\r\n\r\n", size);
    send_all(c, head, strlen(head));
    send_all(c, data, is_first(c->s) && c->s->cut && (size_t)c->s->after < size ? (size_t)c->s->after : size);
    free(data);
    c->gone = 1;
}

static void answer(client *c, const char *request)
{
    char text[256], *rest = strcasestr(request, "CSeq:");
    int number = rest ? atoi(rest + 5) : 0, udp = strstr(request, "SETUP") == request && !strstr(request, "TCP");
    if (strncmp(request, "GET ", 4) == 0) {
        get(c);
        return;
    }
    if (strncmp(request, "DESCRIBE", 8) == 0) {
        describe(c, number);
        return;
    }
    snprintf(text, sizeof text, "RTSP/1.0 %s\r\nCSeq: %d\r\nSession: 1\r\n%s%s\r\n", udp ? "461 Unsupported Transport" : "200 OK", number,
             strncmp(request, "OPTIONS", 7) == 0 ? "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n" : "",
             strncmp(request, "SETUP", 5) == 0 && !udp ? "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n" : "");
    send_all(c, text, strlen(text));
    if (strncmp(request, "PLAY", 4) == 0) play(c);
}

static void *serve(void *arg)
{
    client *c = arg;
    char request[4096];
    size_t used = 0;
    for (ssize_t n; !c->gone && (n = recv(c->fd, request + used, sizeof request - 1 - used, 0)) > 0;) {
        request[used += (size_t)n] = '\0';
        if (!strstr(request, "\r\n\r\n")) continue;
        answer(c, request);
        used = 0;
    }
    close(c->fd);
    free(c);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "make") == 0) return clip_write(argv[2], &(clip){.frames = 50, .width = 160, .height = 120}) != 0;
    if (argc != 3 && argc != 5) return 2;
    server s = {.clip = argv[1], .after = argc == 5 ? atol(argv[4]) : 0, .lock = PTHREAD_MUTEX_INITIALIZER};
    s.cut = argc == 5 && strcmp(argv[3], "cut") == 0;
    s.stall = argc == 5 && strcmp(argv[3], "stall") == 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 8) != 0 || getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 1;
    s.port = ntohs(address.sin_port);
    FILE *f = fopen(argv[2], "w");
    if (!f || fprintf(f, "%d\n", s.port) < 0 || fclose(f) != 0) return 1;
    for (;;) {
        client *c = calloc(1, sizeof *c);
        pthread_t thread;
        if (!c) return 1;
        *c = (client){.s = &s, .fd = accept(fd, NULL, NULL)};
        if (c->fd < 0 || pthread_create(&thread, NULL, serve, c) != 0) return 1;
        pthread_detach(thread);
    }
}
