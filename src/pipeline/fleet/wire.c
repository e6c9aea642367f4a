/* Messages between a run and its worker processes; see wire.h. */
#include "pipeline/fleet/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC 0x31627369u /* "isb1" */
#define HEADER offsetof(ib_message, u)

static size_t body_bytes(uint32_t type)
{
    static const size_t sizes[IB_MSG_TYPES] = {
        [IB_MSG_OPEN] = sizeof(ib_msg_open), [IB_MSG_OPENED] = sizeof(ib_msg_opened), [IB_MSG_LOAD] = sizeof(ib_msg_load),
        [IB_MSG_WINDOW] = sizeof(ib_msg_window), [IB_MSG_RESULT] = sizeof(ib_msg_result), [IB_MSG_TICK] = sizeof(ib_msg_tick),
        [IB_MSG_FAILED] = sizeof(ib_msg_failed), [IB_MSG_MISFIT] = sizeof(ib_msg_misfit)};
    return type < IB_MSG_TYPES ? sizes[type] : 0;
}

/* CRC of everything, with the field itself as zero. */
static uint32_t checksum(ib_message *m)
{
    uint32_t was = m->crc;
    m->crc = 0;
    uint32_t crc = (uint32_t)crc32(0, (const uint8_t *)m, (uInt)m->bytes);
    m->crc = was;
    return crc;
}

int ib_wire_send(ib_wire *w, ib_message *m, int pass, int wait)
{
    m->magic = MAGIC;
    m->bytes = (uint32_t)(HEADER + body_bytes(m->type));
    m->sequence = w->sent;
    m->unused = 0;
    m->crc = checksum(m);
    struct iovec iov = {m, m->bytes};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    if (pass >= 0) {
        h.msg_control = control.bytes;
        h.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof pass);
        memcpy(CMSG_DATA(c), &pass, sizeof pass);
    }
    ssize_t n;
    do n = sendmsg(w->fd, &h, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    while (n < 0 && errno == EINTR);
    if (n < 0) return errno;
    w->sent++;
    return 0;
}

/* Ends the strings of a message, so that they can be read whatever came. */
static void end_strings(ib_message *m)
{
    ib_msg_open *o = &m->u.open;
    ib_msg_opened *d = &m->u.opened;
    if (m->type == IB_MSG_OPEN) o->version[sizeof o->version - 1] = o->isa[sizeof o->isa - 1] = o->input[sizeof o->input - 1] = 0;
    if (m->type == IB_MSG_OPENED)
        d->kind[sizeof d->kind - 1] = d->decoder[sizeof d->decoder - 1] = d->colour[sizeof d->colour - 1] = d->why[sizeof d->why - 1] = 0;
    if (m->type == IB_MSG_MISFIT) m->u.misfit.text[sizeof m->u.misfit.text - 1] = 0;
    if (m->type == IB_MSG_LOAD) m->u.load.model_path[sizeof m->u.load.model_path - 1] = 0;
    if (m->type == IB_MSG_FAILED) m->u.failed.text[sizeof m->u.failed.text - 1] = 0;
}

const char *ib_message_check(ib_message *m, size_t bytes, uint32_t sequence)
{
    if (bytes < HEADER || m->magic != MAGIC) return "bytes that are no message";
    if (m->type < 1 || m->type >= IB_MSG_TYPES) return "a message of no known type";
    if (m->bytes != bytes || bytes != HEADER + body_bytes(m->type)) return "a message of the wrong size";
    if (m->crc != checksum(m)) return "a message with a wrong checksum";
    if (m->sequence != sequence) return "a message out of sequence";
    end_strings(m);
    return NULL;
}

ib_wire_got ib_wire_receive(ib_wire *w, ib_message *m, int *passed, int wait, const char **why)
{
    struct iovec iov = {m, sizeof *m};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    if (passed) *passed = -1;
    ssize_t n;
    do n = recvmsg(w->fd, &h, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return IB_WIRE_NOTHING;
    if (n <= 0) return IB_WIRE_CLOSED;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
        int fd;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof fd)) continue;
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
        if (passed && *passed < 0) *passed = fd;
        else close(fd);
    }
    *why = h.msg_flags & MSG_TRUNC ? "a message of the wrong size" : ib_message_check(m, (size_t)n, w->received);
    if (*why) return IB_WIRE_GARBAGE;
    w->received++;
    return IB_WIRE_MESSAGE;
}
