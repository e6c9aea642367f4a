/* Man pages and bash completion from the option tables. */
#ifndef ISOBATH_CLI_MANPAGE_H
#define ISOBATH_CLI_MANPAGE_H

#include "cli.h"

/* Prints a subcommand's man page ("man") or its bash function ("bash") to stdout. Returns the exit code. */
int cli_describe(const char *how, const cli_command *command, const cli_option *options);
/* The page of the command itself, and the completion function that calls those of the subcommands. */
void cli_man_main(const char *const *names, const char *const *summaries, size_t count);
void cli_bash_main(const char *const *names, size_t count);

#endif
