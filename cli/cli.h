/* What the subcommands share: option tables that parse, explain themselves and make man pages. */
#ifndef ISOBATH_CLI_H
#define ISOBATH_CLI_H

#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

/* How an option's argument is stored at `target`. */
typedef enum cli_kind {
    CLI_END,     /* ends the table */
    CLI_HEADING, /* not an option: `help` is a heading of --help */
    CLI_FLAG,    /* int = 1 */
    CLI_UNFLAG,  /* int = 0 */
    CLI_INT,     /* int */
    CLI_THREADS, /* int, 0 to 1024 */
    CLI_INT64,   /* int64_t */
    CLI_DOUBLE,  /* double */
    CLI_TIME,    /* double, seconds: 12.5, 1:30, 1:02:03.5 */
    CLI_RANGE,   /* two doubles, A:B */
    CLI_STRING,  /* const char * */
    CLI_CALL     /* int (*)(void *target, const char *argument): 0 is success */
} cli_kind;

typedef struct cli_option {
    cli_kind kind;
    const char *name; /* "--output" */
    char letter;      /* 'o', or 0 */
    const char *argument; /* "FOLDER"; NULL for flags */
    const char *help; /* one or more lines separated by \n; NULL: accepted but not shown (aliases) */
    void *target;
    int (*call)(void *target, const char *argument);
} cli_option;

/* A subcommand. */
typedef struct cli_command {
    const char *name, *usage, *summary, *description; /* description: paragraphs for --help and the man page */
    const char *examples;                             /* lines, or NULL */
} cli_command;

/* Parses options anywhere among the arguments; the others are moved to the front of argv[1..] and counted in *rest.
 * Returns -1 to go on, else the exit code (0 after --help). Unknown or bad options print one line. */
int cli_parse(const cli_command *command, const cli_option *options, int argc, char **argv, int *rest);

/* Prints "isobath NAME: text" to stderr and returns the exit code for status. */
int cli_fail(const char *command, isobath_status status, const char *text);

/* "1.4 GiB"; buf is returned. */
char *cli_bytes(double bytes, char *buf, size_t size);
/* "1:02:03" */
char *cli_duration(double seconds, char *buf, size_t size);

int cmd_run(int argc, char **argv);
int cmd_stream(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_shard(int argc, char **argv);
int cmd_work(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_slurm(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_models(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_track(int argc, char **argv);
int cmd_split(int argc, char **argv);
int cmd_join(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_worker(int argc, char **argv);

#endif
