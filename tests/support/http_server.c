/* The misbehaving HTTP server; see http_server.h. One thread, one connection at a time, one request per connection. */
#include "support/http_server.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_server {
    int listener, wake[2]; /* wake: a pipe whose closing ends the thread and any stall */
    char url[64], first_path[512];
    pthread_t thread;
    pthread_mutex_t lock;
    http_behaviour behaviour;
    int requests;
    int64_t first_byte[HTTP_LOG];
};

http_behaviour http_honest(const void *body, size_t size)
{
    return (http_behaviour){
        .body = body, .size = size, .linked_size = -1, .stated_size = -1, .truncate_at = -1, .stall_at = -1};
}

/* 0 when all was sent. */
static int send_all(int fd, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n <= 0) return -1;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Reads up to the empty line; 0 on success. */
static int read_request(http_server *s, int fd, char *buf, size_t size)
{
    size_t at = 0;
    while (at + 1 < size) {
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = s->wake[0], .events = POLLIN}};
        if (poll(p, 2, -1) < 0 || p[1].revents) return -1;
        ssize_t n = recv(fd, buf + at, size - 1 - at, 0);
        if (n <= 0) return -1;
        at += (size_t)n;
        buf[at] = 0;
        if (strstr(buf, "\r\n\r\n")) return 0;
    }
    return -1;
}

static void redirect(const http_server *s, const http_behaviour *b, int fd, const char *path)
{
    char head[2048];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 302 Found\r\nLocation: %s/cdn%s\r\nX-Linked-ETag: %s\r\nETag: \"of-the-redirect\"\r\n"
                     "Content-Length: 0\r\nConnection: close\r\n",
                     s->url, path, b->linked_etag);
    if (b->linked_size >= 0)
        n += snprintf(head + n, sizeof head - (size_t)n, "X-Linked-Size: %" PRId64 "\r\n", b->linked_size);
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    send_all(fd, head, (size_t)n);
}

static void send_status(int fd, int status, const char *header)
{
    char head[512];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d Status\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n",
                     status, header);
    send_all(fd, head, (size_t)n);
}

/* The file from `first` on; `faulty`: the connection breaks or stalls where the behaviour says. */
static void send_file(http_server *s, const http_behaviour *b, int fd, int64_t first, int faulty)
{
    char head[1024], header[200];
    int64_t size = (int64_t)b->size, stated = b->stated_size >= 0 ? b->stated_size : size;
    if (b->no_ranges || first < 0) first = 0;
    int partial = first > 0;
    if (first >= size && partial) {
        snprintf(header, sizeof header, "Content-Range: bytes */%" PRId64 "\r\n%s%s%s", stated, b->etag ? "ETag: " : "",
                 b->etag ? b->etag : "", b->etag ? "\r\n" : "");
        send_status(fd, 416, header);
        return;
    }
    int n =
        snprintf(head, sizeof head, "HTTP/1.1 %s\r\nConnection: close\r\n", partial ? "206 Partial Content" : "200 OK");
    if (b->etag) n += snprintf(head + n, sizeof head - (size_t)n, "ETag: %s\r\n", b->etag);
    if (partial)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Range: bytes %" PRId64 "-%" PRId64 "/%" PRId64 "\r\n",
                      first + b->wrong_range, stated - 1, stated);
    if (!b->no_length)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %" PRId64 "\r\n", stated - first);
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    if (send_all(fd, head, (size_t)n) != 0) return;
    int64_t count = size - first;
    if (faulty && b->truncate_at >= 0 && b->truncate_at < count) count = b->truncate_at;
    int stall = faulty && b->stall_at >= 0 && b->stall_at < count;
    if (stall) count = b->stall_at;
    if (send_all(fd, b->body + first, (size_t)count) != 0 || !stall) return;
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = s->wake[0], .events = POLLIN}};
    poll(p, 2, 60000); /* until the client gives up or the server is stopped */
}

static void answer(http_server *s, int fd)
{
    char buf[8192], path[512];
    if (read_request(s, fd, buf, sizeof buf) != 0 || sscanf(buf, "GET %511s", path) != 1) return;
    const char *range = strcasestr(buf, "\r\nRange: bytes=");
    int64_t first = range ? strtoll(range + strlen("\r\nRange: bytes="), NULL, 10) : 0;
    pthread_mutex_lock(&s->lock);
    http_behaviour b = s->behaviour;
    if (!s->first_path[0]) snprintf(s->first_path, sizeof s->first_path, "%s", path);
    int redirected = b.linked_etag && strncmp(path, "/cdn/", 5) != 0, fail = 0;
    if (!redirected) {
        if (s->requests < HTTP_LOG) s->first_byte[s->requests] = first;
        s->requests++;
        if (b.fail_status && b.fail_count != 0) fail = 1;
        if (fail && b.fail_count > 0) s->behaviour.fail_count--;
        if (!fail && b.faults > 0) s->behaviour.faults--;
    }
    pthread_mutex_unlock(&s->lock);
    if (redirected)
        redirect(s, &b, fd, path);
    else if (fail)
        send_status(fd, b.fail_status, "");
    else
        send_file(s, &b, fd, first, b.faults != 0);
}

static void *server_main(void *arg)
{
    http_server *s = arg;
    for (;;) {
        struct pollfd p[2] = {{.fd = s->listener, .events = POLLIN}, {.fd = s->wake[0], .events = POLLIN}};
        if (poll(p, 2, -1) < 0 || p[1].revents) return NULL;
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0) continue;
        answer(s, fd);
        shutdown(fd, SHUT_WR);
        close(fd);
    }
}

http_server *http_server_start(const http_behaviour *behaviour)
{
    http_server *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    s->behaviour = *behaviour;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(s->listener, 8) != 0 || getsockname(s->listener, (struct sockaddr *)&address, &length) != 0 ||
        pipe(s->wake) != 0) {
        if (s->listener >= 0) close(s->listener);
        free(s);
        return NULL;
    }
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    pthread_mutex_init(&s->lock, NULL);
    if (pthread_create(&s->thread, NULL, server_main, s) != 0) {
        close(s->listener);
        close(s->wake[0]);
        close(s->wake[1]);
        free(s);
        return NULL;
    }
    return s;
}

void http_server_set(http_server *s, const http_behaviour *behaviour)
{
    pthread_mutex_lock(&s->lock);
    s->behaviour = *behaviour;
    pthread_mutex_unlock(&s->lock);
}

const char *http_server_url(const http_server *s) { return s->url; }
const char *http_server_first_path(http_server *s) { return s->first_path; }

int http_server_requests(http_server *s)
{
    pthread_mutex_lock(&s->lock);
    int n = s->requests;
    pthread_mutex_unlock(&s->lock);
    return n;
}

int64_t http_server_first_byte(http_server *s, int i)
{
    pthread_mutex_lock(&s->lock);
    int64_t v = i < s->requests && i < HTTP_LOG ? s->first_byte[i] : -1;
    pthread_mutex_unlock(&s->lock);
    return v;
}

void http_server_stop(http_server *s)
{
    if (!s) return;
    close(s->wake[1]);
    pthread_join(s->thread, NULL);
    close(s->wake[0]);
    close(s->listener);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
