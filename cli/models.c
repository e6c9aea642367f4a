/* isobath models: the models that are known by name, where they are, and fetching them. */
#include "cli.h"

#include <isobath/models.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int list(void)
{
    printf("%-15s %-9s %-13s %s\n", "model", "depth", "licence", "where");
    for (size_t i = 0; i < isobath_models_count(); i++) {
        const isobath_known_model *m = isobath_models_at(i);
        char path[4096], missing[256];
        snprintf(missing, sizeof missing, m->repository ? "not here; from %s" : "not here; %s", m->page);
        int here = isobath_models_locate(m, path, sizeof path) == ISOBATH_OK;
        printf("%-15s %-9s %-13s %s\n", m->name, m->metric ? "metres" : "relative", m->licence, here ? path : missing);
    }
    printf("\nisobath models pull NAME fetches one. CC-BY-NC-4.0: for non-commercial use only.\n");
    return 0;
}

/* The progress line: on a terminal in place, elsewhere one line for each tenth. */
typedef struct meter {
    int terminal;
    int64_t first;      /* bytes there when this call began, -1: not known yet */
    double begin, last; /* seconds */
    int tenth;
} meter;

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int show(void *ctx, int64_t done, int64_t total)
{
    meter *m = ctx;
    double t = now();
    if (total <= 0) return 0;
    if (m->first < 0) {
        m->first = done;
        m->begin = t;
    }
    int tenth = (int)(10 * done / total);
    if (m->terminal ? t - m->last < 0.2 && done < total : tenth == m->tenth) return 0;
    m->last = t;
    m->tenth = tenth;
    char a[32], b[32], c[32], left[32] = "?";
    double rate = t > m->begin ? (double)(done - m->first) / (t - m->begin) : 0;
    if (rate > 0) cli_duration((double)(total - done) / rate, left, sizeof left);
    fprintf(stderr, m->terminal ? "\r%5.1f%%  %s of %s, %s/s, %s left   " : "%5.1f%%  %s of %s, %s/s, %s left\n",
            100.0 * (double)done / (double)total, cli_bytes((double)done, a, sizeof a),
            cli_bytes((double)total, b, sizeof b), cli_bytes(rate, c, sizeof c), left);
    return 0;
}

/* 1 when the user agrees. */
static int ask(void)
{
    char line[64];
    if (!isatty(STDIN_FILENO)) return 0;
    printf("Do you accept this licence? Type yes: ");
    fflush(stdout);
    return fgets(line, sizeof line, stdin) && (strcmp(line, "yes\n") == 0 || strcmp(line, "y\n") == 0);
}

static int pull(const char *name, isobath_pull_options *options)
{
    const isobath_known_model *m = isobath_models_find(name);
    char path[4096], error[1024];
    if (!m) {
        snprintf(error, sizeof error, "%s: no known model (isobath models lists them)", name);
        return cli_fail("models", ISOBATH_ERR_USAGE, error);
    }
    if (!m->repository) {
        if (isobath_models_locate(m, path, sizeof path) != ISOBATH_OK) {
            snprintf(error, sizeof error, "%s comes with isobath and is not fetched, but %s was not found", m->name,
                     m->file);
            return cli_fail("models", ISOBATH_ERR_MODEL, error);
        }
        printf("%s comes with isobath: %s\n", m->name, path);
        return 0;
    }
    printf("%s (%s) from %s\nlicence %s: %s\n", m->name, m->file, m->page, m->licence, m->terms);
    fflush(stdout); /* the licence comes first, also in a pipe */
    if (!options->accept_licence && !(options->accept_licence = ask()))
        return cli_fail("models", ISOBATH_ERR_USAGE,
                        "the licence was not accepted; nothing was fetched (--accept-licence)");
    meter progress = {.terminal = isatty(STDERR_FILENO), .first = -1, .tenth = -1};
    options->progress = show;
    options->ctx = &progress;
    isobath_status st = isobath_models_pull(m, options, path, sizeof path, error, sizeof error);
    if (progress.terminal && progress.last > 0) fputc('\n', stderr);
    if (st != ISOBATH_OK) return cli_fail("models", st, error);
    printf("%s\n", path);
    return 0;
}

int cmd_models(int argc, char **argv)
{
    isobath_pull_options options = {0};
    static const cli_command command = {
        .name = "models",
        .usage = "models [pull NAME [--accept-licence] [--folder FOLDER]]",
        .summary = "the models known by name; fetch one",
        .description =
            "Lists the models that --model takes by name: what they give, their licence, and the file on this machine "
            "or\n"
            "where it comes from. `pull NAME` shows the licence, asks, and fetches the published checkpoint; a broken\n"
            "transfer goes on where it stopped, size and (where the server states it) SHA-256 are checked.\n"
            "\n"
            "Files are looked for in models/ beside the binary, in the source tree's assets/models, in the install "
            "prefix,\n"
            "in $ISOBATH_MODELS, and in $XDG_CACHE_HOME/isobath or ~/.cache/isobath. ISOBATH_MODELS_URL replaces\n"
            "https://huggingface.co, for a mirror; https_proxy and no_proxy are obeyed.",
        .examples = "  isobath models\n  isobath models pull vits --accept-licence\n"};
    const cli_option table[] = {
        {CLI_HEADING, .help = "Options of pull"},
        {CLI_FLAG, "--accept-licence", 0, NULL, "the licence is known and accepted: do not ask",
         &options.accept_licence},
        {CLI_FLAG, "--accept-license", 0, NULL, NULL, &options.accept_licence},
        {CLI_STRING, "--folder", 0, "FOLDER", "where to put the file (default: the cache folder)", &options.folder},
        {CLI_END}};
    int rest, code = cli_parse(&command, table, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest == 0 || (rest == 1 && strcmp(argv[1], "list") == 0)) return list();
    if (strcmp(argv[1], "pull") != 0) return cli_fail("models", ISOBATH_ERR_USAGE, "expected nothing, or pull NAME");
    if (rest != 2) return cli_fail("models", ISOBATH_ERR_USAGE, "pull takes one NAME");
    return pull(argv[2], &options);
}
