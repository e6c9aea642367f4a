/* One worker process, seen from the run; see child.h. */
#include "pipeline/fleet/child.h"

#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKER_FD 3       /* the socket, in the child */
#define PARTING_US 3000000

extern char **environ;

isobath_status ib_child_program(const char *named, char *path, size_t size, ib_diag *diag)
{
    char self[PATH_MAX];
    static const char installed[] = ISOBATH_BINDIR "/isobath";
    if (named) {
        snprintf(path, size, "%s", named);
        if (access(path, X_OK) == 0) return ISOBATH_OK;
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "%s: no such program to be a worker process: %s", named, strerror(errno));
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    const char *base = strrchr(self, '/');
    /* isobath, isobath-1.2, isobath.old; a program that was replaced while it runs is called "isobath (deleted)", and the link still
     * leads to it. */
    if (base && strncmp(base, "/isobath", 8) == 0 && (!base[8] || strchr(".- ", base[8]))) {
        snprintf(path, size, "/proc/self/exe");
        return ISOBATH_OK;
    }
    snprintf(path, size, "%s", installed);
    if (access(path, X_OK) == 0) return ISOBATH_OK;
    return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "worker processes need the program isobath: this one is %s, and there is no %s: name "
                   "it in isobath_run_options.program", *self ? self : "unknown", installed);
}

/* A pair of descriptors above the standard ones and WORKER_FD, so that none is in another's way in the child. */
static int lift(int fd[2])
{
    for (int i = 0; i < 2; i++) {
        int up = fcntl(fd[i], F_DUPFD_CLOEXEC, 10);
        close(fd[i]);
        if ((fd[i] = up) < 0) {
            if (i == 0) close(fd[1]);
            else close(fd[0]);
            return -1;
        }
    }
    return 0;
}

static int spawn(const char *path, int socket_fd, int errors_fd, pid_t *pid)
{
    char fd[16], parent[16];
    snprintf(fd, sizeof fd, "%d", WORKER_FD);
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    char *argv[] = {"isobath", "worker", "--fd", fd, "--parent", parent, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, errors_fd, 2);
    posix_spawn_file_actions_adddup2(&files, socket_fd, WORKER_FD);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0); /* the terminal's signals are for the run alone */
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    int error = posix_spawn(pid, path, &files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

isobath_status ib_child_start(const char *path, ib_diag *diag, ib_child **out)
{
    int talk[2] = {-1, -1}, errors[2] = {-1, -1};
    *out = NULL;
    ib_child *c = calloc(1, sizeof *c);
    if (!c) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a worker process");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk) != 0 || lift(talk) != 0) {
        free(c);
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "no socket for a worker process: %s", strerror(errno));
    }
    int error = pipe2(errors, O_CLOEXEC | O_NONBLOCK) != 0 || lift(errors) != 0 ? errno : 0;
    int have_pipe = !error;
    if (!error) error = spawn(path, talk[1], errors[1], &c->pid);
    close(talk[1]);
    if (have_pipe) close(errors[1]);
    if (error) {
        close(talk[0]);
        if (have_pipe) close(errors[0]);
        free(c);
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "%s does not start as a worker process: %s", path, strerror(error));
    }
    c->wire.fd = talk[0];
    c->errors_fd = errors[0];
    *out = c;
    return ISOBATH_OK;
}

int ib_child_open(ib_child *c, const ib_msg_open *open)
{
    ib_message m = {.type = IB_MSG_OPEN, .u.open = *open};
    snprintf(m.u.open.version, sizeof m.u.open.version, "%s", IB_WIRE_VERSION);
    return ib_wire_send(&c->wire, &m, -1, 0);
}

isobath_status ib_child_opened(ib_child *c, const char *device, int limit_s, ib_diag *diag, ib_msg_opened *answer)
{
    ib_message m;
    const char *why;
    struct pollfd p = {c->wire.fd, POLLIN, 0};
    int ready;
    do ready = poll(&p, 1, limit_s * 1000);
    while (ready < 0 && errno == EINTR);
    if (ready == 0) return ib_fail(diag, ISOBATH_ERR_DEVICE, "%s: its worker process does not answer within %d s", device, limit_s);
    switch (ib_wire_receive(&c->wire, &m, NULL, 0, &why)) {
    case IB_WIRE_MESSAGE:
        if (m.type == IB_MSG_FAILED) return ib_fail(diag, (isobath_status)m.u.failed.status, "%s", m.u.failed.text);
        if (m.type != IB_MSG_OPENED) return ib_fail(diag, ISOBATH_ERR_DEVICE, "%s: its worker process answers with another message", device);
        *answer = m.u.opened;
        return ISOBATH_OK;
    case IB_WIRE_GARBAGE:
        return ib_fail(diag, ISOBATH_ERR_DEVICE, "%s: its worker process answers with %s", device, why);
    default:
        usleep(20000); /* its last words */
        ib_child_listen(c);
        return ib_fail(diag, ISOBATH_ERR_DEVICE, "%s: its worker process ended at its start%s%s", device, *c->last_words ? ": " : "",
                       c->last_words);
    }
}

void ib_child_listen(ib_child *c)
{
    char text[512];
    for (ssize_t n; (n = read(c->errors_fd, text, sizeof text)) > 0;) {
        size_t have = strlen(c->last_words), room = sizeof c->last_words - 1, more = (size_t)n;
        const char *from = text;
        if (more > room) {
            from += more - room;
            more = room;
        }
        size_t keep = have < room - more ? have : room - more;
        memmove(c->last_words, c->last_words + have - keep, keep);
        for (size_t i = 0; i < more; i++) c->last_words[keep + i] = from[i] == '\n' || !from[i] ? ' ' : from[i];
        c->last_words[keep + more] = 0;
    }
    for (size_t n = strlen(c->last_words); n && c->last_words[n - 1] == ' ';) c->last_words[--n] = 0;
}

void ib_child_kill(ib_child *c)
{
    if (c->pid > 0) kill(c->pid, SIGKILL);
}

int ib_child_ended(ib_child *c, char *how, size_t size)
{
    int status = 0;
    if (c->pid <= 0) return 1;
    pid_t got = waitpid(c->pid, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) return 0;
    c->pid = 0;
    if (got < 0) snprintf(how, size, "was reaped by somebody else"); /* the program ignores SIGCHLD */
    else if (WIFSIGNALED(status)) snprintf(how, size, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else snprintf(how, size, "ended with code %d", WEXITSTATUS(status));
    return 1;
}

void ib_child_close(ib_child *c)
{
    char how[64];
    if (!c) return;
    ib_message bye = {.type = IB_MSG_BYE};
    ib_wire_send(&c->wire, &bye, -1, 0);
    for (int64_t start = ib_now_us(); !ib_child_ended(c, how, sizeof how); usleep(1000))
        if (ib_now_us() - start > PARTING_US) {
            ib_child_kill(c);
            waitpid(c->pid, NULL, 0);
            c->pid = 0;
        }
    close(c->wire.fd);
    close(c->errors_fd);
    free(c);
}
