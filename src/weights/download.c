/* Fetching one file over HTTP with libcurl; see download.h. A transfer is a loop of requests, each for the bytes from
 * the end of the part on; what the server says about the whole file must stay the same over all of them. */
#include "weights/download.h"

#include "base/hash.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TAG_SIZE 160

typedef struct transfer {
    const ib_download_options *options;
    const char *url;
    char *part, *tag_path; /* PATH.part, PATH.part.etag */
    int fd;
    int64_t have;       /* bytes of the part on disk */
    char tag[TAG_SIZE]; /* version of the file that the part is of; "" not known yet */
    int64_t total;      /* bytes of the whole file, -1: not known */
    /* One response (of the last redirect). */
    int status;
    char etag[TAG_SIZE], linked_etag[TAG_SIZE];            /* linked: of any response, the store's own */
    int64_t length, range_first, range_total, linked_size; /* -1: not stated */
    int body_started;
    /* Why the write function stopped. */
    enum { STOP_NONE, STOP_DISK, STOP_RANGE, STOP_CHANGED } stop;
    int disk_errno;
} transfer;

/* ---- what the server says ---- */

/* The text of an ETag without W/ and quotes. */
static void copy_tag(char tag[TAG_SIZE], const char *value, size_t length)
{
    if (length >= 2 && value[0] == 'W' && value[1] == '/') {
        value += 2;
        length -= 2;
    }
    if (length >= 2 && value[0] == '"' && value[length - 1] == '"') {
        value++;
        length -= 2;
    }
    if (length >= TAG_SIZE) length = TAG_SIZE - 1;
    for (size_t i = 0; i < length; i++) tag[i] = isgraph((unsigned char)value[i]) ? value[i] : '?';
    tag[length] = 0;
}

static int64_t parse_size(const char *text)
{
    if (!isdigit((unsigned char)text[0])) return -1;
    errno = 0;
    long long v = strtoll(text, NULL, 10);
    return errno ? -1 : v;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    transfer *t = ctx;
    size_t n = size * count;
    char line[512];
    size_t length = n < sizeof line ? n : sizeof line - 1;
    memcpy(line, data, length);
    while (length && isspace((unsigned char)line[length - 1])) length--;
    line[length] = 0;
    if (strncmp(line, "HTTP/", 5) == 0) { /* a new response: of a redirect, or the last one */
        const char *space = strchr(line, ' ');
        t->status = space ? atoi(space + 1) : 0;
        t->etag[0] = 0;
        t->length = t->range_first = t->range_total = -1;
        return n;
    }
    char *value = strchr(line, ':');
    if (!value) return n;
    *value++ = 0;
    while (isspace((unsigned char)*value)) value++;
    if (strcasecmp(line, "ETag") == 0)
        copy_tag(t->etag, value, strlen(value));
    else if (strcasecmp(line, "X-Linked-ETag") == 0)
        copy_tag(t->linked_etag, value, strlen(value));
    else if (strcasecmp(line, "X-Linked-Size") == 0)
        t->linked_size = parse_size(value);
    else if (strcasecmp(line, "Content-Length") == 0)
        t->length = parse_size(value);
    else if (strcasecmp(line, "Content-Range") == 0 && strncasecmp(value, "bytes ", 6) == 0) {
        const char *slash = strchr(value, '/');
        t->range_first = parse_size(value + 6);
        t->range_total = slash ? parse_size(slash + 1) : -1;
    }
    return n;
}

static const char *version_of(const transfer *t) { return t->linked_etag[0] ? t->linked_etag : t->etag; }

/* The SHA-256 that the server states, or NULL. */
static const char *stated_hash(const transfer *t)
{
    const char *tag = version_of(t);
    if (strlen(tag) != 64) return NULL;
    for (const char *p = tag; *p; p++)
        if (!isxdigit((unsigned char)*p)) return NULL;
    return tag;
}

/* ---- the part on disk ---- */

static int truncate_part(transfer *t)
{
    if (ftruncate(t->fd, 0) != 0 || lseek(t->fd, 0, SEEK_SET) < 0) return -1;
    t->have = 0;
    return 0;
}

static void write_tag(const transfer *t)
{
    FILE *f = fopen(t->tag_path, "w");
    if (!f) return; /* then a later call starts from zero */
    fputs(t->tag, f);
    fclose(f);
}

/* Before the first byte of a response: does it continue the part? */
static int begin_body(transfer *t)
{
    t->body_started = 1;
    int64_t total = t->status == 206 ? t->range_total : t->length;
    if (t->status == 206 && t->range_first != t->have) {
        t->stop = STOP_RANGE;
        return -1;
    }
    const char *version = version_of(t);
    if (t->have > 0 && t->status == 206 &&
        (strcmp(t->tag, version) != 0 || (t->total >= 0 && total >= 0 && t->total != total))) {
        t->stop = STOP_CHANGED;
        return -1;
    }
    if (t->status != 206 && t->have > 0 && truncate_part(t) != 0) { /* the server does not resume */
        t->stop = STOP_DISK;
        t->disk_errno = errno;
        return -1;
    }
    snprintf(t->tag, sizeof t->tag, "%s", version);
    if (total >= 0) t->total = total;
    write_tag(t);
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    transfer *t = ctx;
    size_t n = size * count, done = 0;
    if (!t->body_started && begin_body(t) != 0) return 0;
    while (done < n) {
        ssize_t w = write(t->fd, data + done, n - done);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) {
            t->stop = STOP_DISK;
            t->disk_errno = errno;
            return 0;
        }
        done += (size_t)w;
        t->have += w;
    }
    return n;
}

static int on_progress(void *ctx, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
    transfer *t = ctx;
    (void)dltotal, (void)dlnow, (void)ultotal, (void)ulnow;
    return t->options->progress ? t->options->progress(t->options->ctx, t->have, t->total) : 0;
}

/* ---- one request ---- */

static CURLcode request(transfer *t, CURL *curl, char error[CURL_ERROR_SIZE])
{
    char range[32];
    curl_easy_reset(curl);
    snprintf(range, sizeof range, "%" PRId64 "-", t->have);
    t->status = t->body_started = 0;
    t->stop = STOP_NONE;
    t->length = t->range_first = t->range_total = t->linked_size = -1;
    t->etag[0] = t->linked_etag[0] = error[0] = 0;
    const char *protocols = strncmp(t->url, "https:", 6) == 0 ? "https" : "http,https";
    curl_easy_setopt(curl, CURLOPT_URL, t->url);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "isobath/" ISOBATH_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
#else
    long mask = CURLPROTO_HTTPS | (strcmp(protocols, "https") ? CURLPROTO_HTTP : 0);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, mask);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, mask);
#endif
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)t->options->stall_seconds);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1000L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)t->options->stall_seconds);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    if (t->have > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range);
    return curl_easy_perform(curl);
}

static int worth_a_retry(CURLcode code, int status)
{
    switch (code) {
    case CURLE_HTTP_RETURNED_ERROR: return status >= 500 || status == 408 || status == 429;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR: return 1;
    default: return 0;
    }
}

static void pause_ms(int64_t ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

/* Requests until the file is whole, or nothing new has come `attempts` times. */
static isobath_status fetch(transfer *t, CURL *curl, ib_diag *diag)
{
    char error[CURL_ERROR_SIZE];
    int fruitless = 0, restarts = 0;
    for (;;) {
        int64_t before = t->have;
        CURLcode code = request(t, curl, error);
        if (t->stop == STOP_DISK)
            return ib_fail(diag, ISOBATH_ERR_IO, "%s: write failed: %s", t->part, strerror(t->disk_errno));
        if (code == CURLE_OK && (t->total < 0 || t->have >= t->total)) return ISOBATH_OK;
        if (code == CURLE_ABORTED_BY_CALLBACK)
            return ib_fail(diag, ISOBATH_ERR_INTERRUPTED, "%s: stopped after %" PRId64 " bytes, which are kept", t->url,
                           t->have);
        if (t->status == 416 && t->range_total == t->have && t->have > 0 && strcmp(t->tag, version_of(t)) == 0) {
            t->total = t->have; /* all of it was there already */
            return ISOBATH_OK;
        }
        if (t->stop == STOP_RANGE || t->stop == STOP_CHANGED || t->status == 416) {
            if (++restarts > 2)
                return ib_fail(diag, ISOBATH_ERR_IO,
                               "%s: the server's answers contradict each other (range or version)", t->url);
            if (truncate_part(t) != 0)
                return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot truncate: %s", t->part, strerror(errno));
            t->tag[0] = 0;
            t->total = -1;
            continue;
        }
        if (code == CURLE_OK) code = CURLE_PARTIAL_FILE;
        const char *why = error[0] ? error : curl_easy_strerror(code);
        if (!worth_a_retry(code, t->status)) return ib_fail(diag, ISOBATH_ERR_IO, "%s: %s", t->url, why);
        fruitless = t->have > before ? 1 : fruitless + 1;
        if (fruitless >= t->options->attempts)
            return ib_fail(diag, ISOBATH_ERR_IO, "%s: %s (%d attempts; %" PRId64 " bytes are kept for the next one)",
                           t->url, why, fruitless, t->have);
        pause_ms((int64_t)t->options->retry_ms << (fruitless < 6 ? fruitless - 1 : 5));
    }
}

/* ---- the whole file ---- */

static void discard(const transfer *t)
{
    unlink(t->part);
    unlink(t->tag_path);
}

static isobath_status check(const transfer *t, ib_diag *diag)
{
    int64_t expected = t->linked_size >= 0 ? t->linked_size : t->total;
    if (expected >= 0 && t->have != expected)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: %" PRId64 " bytes came, the server states %" PRId64, t->url,
                       t->have, expected);
    const char *hash = stated_hash(t);
    if (hash) {
        char hex[65];
        IB_TRY(ib_sha256_file(t->part, diag, hex));
        if (strcasecmp(hex, hash) != 0)
            return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: SHA-256 is %s, the server states %s", t->url, hex, hash);
    }
    return t->options->accept ? t->options->accept(t->part, diag) : ISOBATH_OK;
}

/* Opens and locks the part; reads which version it is of. */
static isobath_status open_part(transfer *t, ib_diag *diag)
{
    t->fd = open(t->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (t->fd < 0) return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create: %s", t->part, strerror(errno));
    struct stat ours, named;
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0 || fstat(t->fd, &ours) != 0 || stat(t->part, &named) != 0 ||
        ours.st_ino != named.st_ino)
        return ib_fail(diag, ISOBATH_ERR_IO, "%s: another process is fetching this file", t->part);
    FILE *f = fopen(t->tag_path, "r");
    if (f) {
        if (!fgets(t->tag, sizeof t->tag, f)) t->tag[0] = 0;
        fclose(f);
    }
    /* Without a version the part cannot be told from one of another file: start from zero. */
    t->have = t->tag[0] ? (int64_t)lseek(t->fd, 0, SEEK_END) : 0;
    if (t->have < 0 || (t->have == 0 && truncate_part(t) != 0))
        return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot seek: %s", t->part, strerror(errno));
    return ISOBATH_OK;
}

static isobath_status download(transfer *t, const char *path, ib_diag *diag)
{
    IB_TRY(open_part(t, diag));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "libcurl cannot be initialised");
    CURL *curl = curl_easy_init();
    isobath_status st = curl ? fetch(t, curl, diag) : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", t->url);
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    IB_TRY(st);
    st = check(t, diag);
    if (st != ISOBATH_OK) {
        if (st == ISOBATH_ERR_MODEL) discard(t);
        return st;
    }
    if (fsync(t->fd) != 0 || rename(t->part, path) != 0)
        return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot finish: %s", path, strerror(errno));
    unlink(t->tag_path);
    return ISOBATH_OK;
}

isobath_status ib_download(const char *url, const char *path, const ib_download_options *options, ib_diag *diag)
{
    size_t n = strlen(path);
    transfer t = {.options = options, .url = url, .fd = -1, .total = -1};
    t.part = malloc(n + sizeof ".part");
    t.tag_path = malloc(n + sizeof ".part.etag");
    isobath_status st;
    if (t.part && t.tag_path) {
        snprintf(t.part, n + sizeof ".part", "%s.part", path);
        snprintf(t.tag_path, n + sizeof ".part.etag", "%s.part.etag", path);
        st = download(&t, path, diag);
    } else {
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", url);
    }
    if (t.fd >= 0) close(t.fd);
    free(t.part);
    free(t.tag_path);
    return st;
}
