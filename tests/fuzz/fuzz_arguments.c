/* Command lines from strangers: an option of every kind, arguments one per line. The input's own memory is what argv points to,
 * so that a read past an argument is seen. */
#include "../../cli/manpage.c"
#include "../../cli/options.c"

#include <stdint.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int set_word(void *target, const char *argument)
{
    *(int *)target = (int)strlen(argument);
    return strcmp(argument, "on") && strcmp(argument, "off") ? -1 : 0;
}

/* The parser explains itself on stderr and stdout: not to be read here. */
static void be_quiet(void)
{
    static int done;
    if (done) return;
    done = 1;
    if (!freopen("/dev/null", "w", stdout)) _exit(1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MOST = 64 };
    int flag = 0, unflag = 1, number = 0, word = 0, argc = 1, rest;
    int64_t large = 0;
    double real = 0, seconds = 0, range[2] = {0, 0};
    const char *text = NULL;
    static const cli_command command = {.name = "fuzz", .usage = "fuzz", .summary = "x", .description = "x"};
    const cli_option options[] = {{CLI_HEADING, .help = "Heading"},
                                  {CLI_FLAG, "--flag", 'f', NULL, "a flag", &flag},
                                  {CLI_UNFLAG, "--no-flag", 0, NULL, "not a flag\nin two lines", &unflag},
                                  {CLI_INT, "--int", 'i', "N", "a number", &number},
                                  {CLI_INT64, "--large", 0, "N", "a large number", &large},
                                  {CLI_DOUBLE, "--real", 'r', "X", "a real number", &real},
                                  {CLI_TIME, "--time", 't', "T", "a time", &seconds},
                                  {CLI_RANGE, "--range", 0, "A:B", "a range", range},
                                  {CLI_STRING, "--text", 's', "S", "a text", &text},
                                  {CLI_CALL, "--word", 'w', "on|off", NULL, &word, set_word},
                                  {CLI_END}};
    be_quiet();
    char *copy = malloc(size + 1), *argv[MOST + 1] = {"fuzz"};
    if (!copy) return 0;
    memcpy(copy, data, size);
    copy[size] = 0;
    for (char *p = copy; argc < MOST;) { /* lines; empty ones are empty arguments */
        argv[argc++] = p;
        p = strchr(p, '\n');
        if (!p) break;
        *p++ = 0;
    }
    int code = cli_parse(&command, options, argc, argv, &rest);
    if (code < -1 || code > ISOBATH_ERR_INTERRUPTED || rest < 0 || rest >= argc) abort();
    if (code == -1 && (flag < 0 || flag > 1 || (text && !strlen(text) && !size))) abort();
    free(copy);
    return 0;
}
