/* The command `isobath`: finds the subcommand and runs it. */
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} subcommand;

static const subcommand commands[] = {
    {"run", cmd_run, "turn a video into consistent depth"},
    {"stream", cmd_stream, "depth of a live source, frame by frame"},
    {"check", cmd_check, "is this result complete and sane?"},
    {"eval", cmd_eval, "compare a result with ground truth (AbsRel, RMSE, delta1, TAE)"},
    {"info", cmd_info, "what a checkpoint is, and what it takes to run it"},
    {"models", cmd_models, "the models known by name; fetch one"},
    {"doctor", cmd_doctor, "devices, drivers, decoder, precision self-test, speed, hours for an input"},
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

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe and a full quota are errors that are told, not deaths */
    signal(SIGXFSZ, SIG_IGN);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? ISOBATH_ERR_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("isobath %s\n", ISOBATH_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "isobath: unknown command %s (see isobath --help)\n", argv[1]);
    return ISOBATH_ERR_USAGE;
}
