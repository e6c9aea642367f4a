/* A small HTTP server on 127.0.0.1 that misbehaves on request: what downloads are tested against. */
#ifndef ISOBATH_TESTS_HTTP_SERVER_H
#define ISOBATH_TESTS_HTTP_SERVER_H

#include <stddef.h>
#include <stdint.h>

#define HTTP_LOG 32

/* What the server does. Set before http_server_start, or between requests. */
typedef struct http_behaviour {
    const uint8_t *body; /* the file; not owned */
    size_t size;
    const char *etag;        /* header ETag, with its quotes; NULL: none */
    const char *linked_etag; /* NULL: answer at once. Else /cdn/... has the file, every other path is answered with a
                              * redirect to it that carries X-Linked-ETag and, if not negative, X-Linked-Size */
    int64_t linked_size;
    int64_t stated_size; /* -1: the truth; else what Content-Length and Content-Range say of the whole file */
    int no_length;       /* neither is sent: the end of the connection ends the body */
    int no_ranges;       /* Range is ignored */
    int64_t wrong_range; /* added to the first byte that Content-Range states */
    int64_t truncate_at; /* -1: never; else the connection is closed after that many bytes of one body ... */
    int64_t stall_at;    /* -1: never; else nothing more is sent after that many bytes ... */
    int faults;          /* ... for so many requests of the file; -1: always */
    int fail_status;     /* 0: none; else such an answer ... */
    int fail_count;      /* ... to so many requests; -1: always */
} http_behaviour;

/* A behaviour without faults. */
http_behaviour http_honest(const void *body, size_t size);

typedef struct http_server http_server;
/* NULL when it cannot start. The behaviour is copied. */
http_server *http_server_start(const http_behaviour *behaviour);
void http_server_set(http_server *server, const http_behaviour *behaviour);
/* "http://127.0.0.1:PORT" */
const char *http_server_url(const http_server *server);
/* Requests for the file so far (redirects not counted), and the first byte that request i asked for. */
int http_server_requests(http_server *server);
int64_t http_server_first_byte(http_server *server, int i);
/* Path of the first request of all, e.g. "/owner/name/resolve/main/file". */
const char *http_server_first_path(http_server *server);
void http_server_stop(http_server *server); /* NULL allowed */

#endif
