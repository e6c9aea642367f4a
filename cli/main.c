/* The command `isobath`: finds the subcommand and runs it. */
#include "cli.h"
#include "manpage.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} subcommand;

static const subcommand commands[] = {
    {"run", cmd_run, "turn a video into consistent depth"},
    {"stream", cmd_stream, "depth of a live source, frame by frame"},
    {"shard", cmd_shard, "cut a run into tasks for a cluster: the plan"},
    {"work", cmd_work, "compute one segment of a plan"},
    {"merge", cmd_merge, "make the result of a plan's segments"},
    {"slurm", cmd_slurm, "a whole run on a Slurm cluster"},
    {"status", cmd_status, "how a run is doing, from another terminal or machine"},
    {"check", cmd_check, "is this result complete and sane?"},
    {"split", cmd_split, "cut a video into overlapping chunks for another depth tool"},
    {"join", cmd_join, "align and blend the depth of chunks into one result"},
    {"track", cmd_track, "2-D tracks to 3-D positions"},
    {"eval", cmd_eval, "compare a result with ground truth (AbsRel, RMSE, delta1, TAE)"},
    {"info", cmd_info, "what a checkpoint is, and what it takes to run it"},
    {"models", cmd_models, "the models known by name; fetch one"},
    {"doctor", cmd_doctor, "devices, drivers, decoder, precision self-test, speed, hours for an input"},
    {"bench", cmd_bench, "frames/s of the network and of a whole run"},
    {"convert", cmd_convert, "a checkpoint as .safetensors, in fp32, fp16 or bf16"},
};

static void usage(FILE *out)
{
    fprintf(out, "isobath %s: temporally consistent depth from video\n\nusage: isobath COMMAND ...\n\n", ISOBATH_VERSION);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\nisobath COMMAND --help explains each. The common case:\n\n  isobath run clip.mp4 -o out\n\n"
                 "Exit codes: 0 success, 1 internal error or failed check, 2 usage, 3 input, 4 model, 5 I/O, 6 memory,\n"
                 "7 device, 8 result exists, 9 not supported, 10 interrupted.\n");
}

#define COUNT (sizeof commands / sizeof *commands)

static const subcommand *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(name, commands[i].name) == 0) return &commands[i];
    return NULL;
}

/* Runs a subcommand with one option, for its help. */
static int ask(const subcommand *c, const char *option)
{
    char name[32], text[32];
    snprintf(name, sizeof name, "%s", c->name);
    snprintf(text, sizeof text, "%s", option);
    char *argv[] = {name, text, NULL};
    return c->run(2, argv);
}

static int unknown(const char *name)
{
    if (access(name, F_OK) == 0) fprintf(stderr, "isobath: %s is no command; its depth: isobath run %s -o out (see isobath --help)\n", name, name);
    else fprintf(stderr, "isobath: unknown command %s (see isobath --help)\n", name);
    return ISOBATH_ERR_USAGE;
}

/* isobath help [COMMAND]; the build calls help --man [COMMAND] and help --bash. */
static int help(int argc, char **argv)
{
    const char *names[COUNT], *summaries[COUNT], *option = "--help";
    for (size_t i = 0; i < COUNT; i++) {
        names[i] = commands[i].name;
        summaries[i] = commands[i].summary;
    }
    if (argc > 1 && strcmp(argv[1], "--bash") == 0) {
        for (size_t i = 0; i < COUNT; i++) ask(&commands[i], "--help-bash");
        cli_bash_main(names, COUNT);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--man") == 0) {
        option = "--help-man";
        argc--;
        argv++;
        if (argc == 1) cli_man_main(names, summaries, COUNT);
    } else if (argc == 1) usage(stdout);
    if (argc == 1) return 0;
    const subcommand *c = find(argv[1]);
    if (c) return ask(c, option);
    return unknown(argv[1]);
}

static int dispatch(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "help") == 0) return help(argc - 1, argv + 1);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? ISOBATH_ERR_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("isobath %s\n", ISOBATH_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "worker") == 0) return cmd_worker(argc - 1, argv + 1); /* not for people: no help, no man page */
    const subcommand *c = find(argv[1]);
    if (c) return c->run(argc - 1, argv + 1);
    return unknown(argv[1]);
}

/* What was printed must have arrived; who closed it, or went away (| head), has seen enough. */
static int flush_stdout(int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    struct pollfd p = {STDOUT_FILENO, POLLOUT, 0};
    const char *why = errno ? strerror(errno) : "some of it was lost";
    if (poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLNVAL)) return code;
    fprintf(stderr, "isobath: cannot write to standard output: %s\n", why);
    return code ? code : ISOBATH_ERR_IO;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe and a full quota are errors that are told, not deaths */
    signal(SIGXFSZ, SIG_IGN);
    return flush_stdout(dispatch(argc, argv));
}
