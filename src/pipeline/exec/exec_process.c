/* A process of a depth program; see exec_process.h. Frames go through a socket (a closed one is an error, not a signal), depth and
 * words come through pipes; all three are non-blocking, for a program that writes while we write must not lock us both. */
#include "pipeline/exec/exec_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct ib_exec_process {
    pid_t pid;
    int in, out, err; /* our ends; -1: closed */
    struct {
        unsigned char head[IB_EXEC_HEADER + 64];
        size_t head_size, body_size, sent;
        const unsigned char *body;
        int busy;
    } send;
    struct {
        unsigned char head[IB_EXEC_HEADER];
        unsigned char *payload;
        size_t capacity, got; /* got: of header and payload together */
        ib_exec_header header;
    } receive;
    char line[256], words[256]; /* standard error: the line that is coming, the last whole one */
    size_t line_size;
};

static void close_end(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* The environment with CUDA_VISIBLE_DEVICES replaced: the array is malloc'ed, its strings are not copied. */
static char **environment(char *visible)
{
    size_t n = 0, k = 0;
    while (environ && environ[n]) n++;
    char **out = calloc(n + 2, sizeof *out);
    if (!out) return NULL;
    for (size_t i = 0; i < n; i++)
        if (!visible || strncmp(environ[i], "CUDA_VISIBLE_DEVICES=", 21) != 0) out[k++] = environ[i];
    if (visible) out[k++] = visible;
    return out;
}

static int spawn(const char *command, const char *visible, const int theirs[3], pid_t *pid)
{
    char setting[128];
    snprintf(setting, sizeof setting, "CUDA_VISIBLE_DEVICES=%s", visible ? visible : "");
    char **env = environment(visible ? setting : NULL), *argv[] = {"sh", "-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    if (!env) return ENOMEM;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&actions, theirs[i], i);
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int error = posix_spawn(pid, "/bin/sh", &actions, &attributes, argv, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(env);
    return error;
}

isobath_status ib_exec_process_start(const char *command, const char *visible, ib_diag *diag, ib_exec_process **out)
{
    *out = NULL;
    ib_exec_process *p = calloc(1, sizeof *p);
    if (!p) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a depth program");
    int in[2] = {-1, -1}, from[2] = {-1, -1}, err[2] = {-1, -1}, error = 0;
    p->in = p->out = p->err = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0 || pipe2(from, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) error = errno;
    if (!error) error = spawn(command, visible, (int[]){in[1], from[1], err[1]}, &p->pid);
    close_end(&in[1]);
    close_end(&from[1]);
    close_end(&err[1]);
    p->in = in[0];
    p->out = from[0];
    p->err = err[0];
    if (error) {
        ib_exec_process_destroy(p);
        return ib_fail(diag, ISOBATH_ERR_MODEL, "exec:%s: could not be started: %s", command, strerror(error));
    }
    for (int i = 0; i < 3; i++) {
        int fd = i == 0 ? p->in : i == 1 ? p->out : p->err;
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    *out = p;
    return ISOBATH_OK;
}

void ib_exec_process_destroy(ib_exec_process *p)
{
    if (!p) return;
    close_end(&p->in);
    close_end(&p->out);
    close_end(&p->err);
    if (p->pid > 0) {
        /* at the end of its input a program ends by itself; one that does not is killed, with what it started */
        for (int i = 0; i < 100 && waitpid(p->pid, NULL, WNOHANG) == 0; i++) poll(NULL, 0, 10);
        kill(-p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
    }
    free(p->receive.payload);
    free(p);
}

void ib_exec_process_send(ib_exec_process *p, ib_exec_type type, const void *head, size_t head_size, const void *body, size_t body_size)
{
    ib_exec_write_header(p->send.head, type, head_size + body_size);
    if (head_size) memcpy(p->send.head + IB_EXEC_HEADER, head, head_size);
    p->send.head_size = IB_EXEC_HEADER + head_size;
    p->send.body = body;
    p->send.body_size = body_size;
    p->send.sent = 0;
    p->send.busy = 1;
}

int ib_exec_process_sending(const ib_exec_process *p) { return p->send.busy; }

const char *ib_exec_process_words(const ib_exec_process *p) { return p->words; }

static void read_words(ib_exec_process *p)
{
    char bytes[4096];
    ssize_t n;
    while ((n = read(p->err, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] == '\n') {
                p->line[p->line_size] = '\0';
                if (p->line_size) memcpy(p->words, p->line, p->line_size + 1);
                p->line_size = 0;
            } else if (p->line_size + 1 < sizeof p->line) {
                p->line[p->line_size++] = (unsigned char)bytes[i] < 32 ? ' ' : bytes[i];
            }
        }
    if (n == 0) close_end(&p->err);
}

/* It ended, or closed its output: says how. */
static isobath_status gone(ib_exec_process *p, ib_diag *diag)
{
    int status = 0;
    char how[64] = "closed its output";
    pid_t done = 0;
    for (int i = 0; i < 50 && (done = waitpid(p->pid, &status, WNOHANG)) == 0; i++) poll(NULL, 0, 10);
    if (p->err >= 0) read_words(p);
    if (done == p->pid) {
        kill(-p->pid, SIGKILL); /* what it started */
        p->pid = 0;
        if (WIFSIGNALED(status)) snprintf(how, sizeof how, "was killed by signal %d", WTERMSIG(status));
        else snprintf(how, sizeof how, "ended with status %d", WEXITSTATUS(status));
    }
    return ib_fail(diag, ISOBATH_ERR_MODEL, "the depth program %s%s%s", how, p->words[0] ? ": " : "", p->words);
}

/* *done becomes 1 when the message went out whole. */
static isobath_status write_some(ib_exec_process *p, ib_diag *diag, int *done)
{
    while (p->send.busy) {
        int in_head = p->send.sent < p->send.head_size;
        const unsigned char *at = in_head ? p->send.head + p->send.sent : p->send.body + (p->send.sent - p->send.head_size);
        size_t left = in_head ? p->send.head_size - p->send.sent : p->send.head_size + p->send.body_size - p->send.sent;
        ssize_t n = left ? send(p->in, at, left, MSG_NOSIGNAL) : 0;
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return ISOBATH_OK;
        if (n < 0) return gone(p, diag);
        p->send.sent += (size_t)n;
        if (p->send.sent == p->send.head_size + p->send.body_size) {
            p->send.busy = 0;
            *done = 1;
        }
    }
    return ISOBATH_OK;
}

/* *done becomes 1 when a message came whole. */
static isobath_status read_some(ib_exec_process *p, const ib_exec_hello *hello, ib_diag *diag, int *done)
{
    while (!*done) {
        int in_head = p->receive.got < IB_EXEC_HEADER;
        size_t whole = IB_EXEC_HEADER + (in_head ? 0 : (size_t)p->receive.header.size);
        unsigned char *at = in_head ? p->receive.head + p->receive.got : p->receive.payload + (p->receive.got - IB_EXEC_HEADER);
        ssize_t n = whole > p->receive.got ? read(p->out, at, whole - p->receive.got) : 0;
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return ISOBATH_OK;
        if (n < 0 || (n == 0 && whole > p->receive.got)) return gone(p, diag);
        p->receive.got += (size_t)n;
        if (p->receive.got < whole) continue;
        if (!in_head) {
            *done = 1;
            continue;
        }
        IB_TRY(ib_exec_read_header(p->receive.head, hello, diag, &p->receive.header));
        if (p->receive.header.size > p->receive.capacity || !p->receive.payload) {
            size_t bytes = (size_t)p->receive.header.size + 1;
            unsigned char *larger = realloc(p->receive.payload, bytes);
            if (!larger) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a depth map");
            p->receive.payload = larger;
            p->receive.capacity = bytes;
        }
        if (p->receive.header.size == 0) *done = 1;
    }
    return ISOBATH_OK;
}

isobath_status ib_exec_process_poll(ib_exec_process *p, int timeout_ms, const ib_exec_hello *hello, ib_diag *diag,
                                    ib_exec_header *header, const unsigned char **message)
{
    int sent = 0, came = 0;
    *message = NULL;
    struct pollfd fds[3] = {{p->out, POLLIN, 0}, {p->err, POLLIN, 0}, {p->send.busy ? p->in : -1, POLLOUT, 0}};
    if (poll(fds, 3, timeout_ms) <= 0) return ISOBATH_OK;
    if (p->err >= 0 && fds[1].revents) read_words(p);
    if (fds[0].revents) IB_TRY(read_some(p, hello, diag, &came));
    if (fds[2].revents) IB_TRY(write_some(p, diag, &sent));
    if (came) {
        *header = p->receive.header;
        *message = p->receive.payload;
        p->receive.got = 0;
    }
    return ISOBATH_OK;
}
