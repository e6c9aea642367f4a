/* The command line that goes on with a run that stopped. */
#ifndef ISOBATH_CLI_AGAIN_H
#define ISOBATH_CLI_AGAIN_H

/* "to go on: isobath run ... EXTRA --resume\n", quoted for a shell, --overwrite left out; extra: " --option value", or "". Before the
 * arguments are parsed (parsing changes their order). malloc'ed; NULL: out of memory. */
char *cli_again(int argc, char **argv, const char *extra);

#endif
