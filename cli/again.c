/* How to go on; see again.h. */
#include "again.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Appends one argument, in quotes where a shell would take it apart. */
static void put_argument(FILE *out, const char *arg)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
    if (*arg && strspn(arg, plain) == strlen(arg)) {
        fprintf(out, " %s", arg);
        return;
    }
    fputs(" '", out);
    for (; *arg; arg++)
        if (*arg == '\'') fputs("'\\''", out);
        else fputc(*arg, out);
    fputc('\'', out);
}

char *cli_again(int argc, char **argv, const char *extra)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    fputs("to go on: isobath", out);
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--overwrite") != 0 && strcmp(argv[i], "--resume") != 0) put_argument(out, argv[i]);
    fprintf(out, "%s --resume\n", extra);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
