/* Man pages and bash completion, from the tables that --help prints: `isobath help --man [COMMAND]`, `isobath help --bash`. */
#include "manpage.h"

#include <stdio.h>
#include <string.h>

/* Text for roff: backslashes and hyphens escaped, no line that looks like a request. */
static void put(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((i == 0 || text[i - 1] == '\n') && (text[i] == '.' || text[i] == '\'')) fputs("\\&", stdout);
        if (text[i] == '\\') fputs("\\e", stdout);
        else if (text[i] == '-') fputs("\\-", stdout);
        else putchar(text[i]);
    }
}

static void put_text(const char *text) { put(text, strlen(text)); }

/* Paragraphs are separated by empty lines. */
static void put_paragraphs(const char *text)
{
    for (const char *end; (end = strstr(text, "\n\n")); text = end + 2) {
        put(text, (size_t)(end - text));
        fputs("\n.PP\n", stdout);
    }
    put_text(text);
    putchar('\n');
}

static void put_title(const char *name, const char *summary)
{
    printf(".TH %s 1 \"\" \"isobath %s\" \"isobath manual\"\n.SH NAME\n", name, ISOBATH_VERSION);
    put_text(name);
    fputs(" \\- ", stdout);
    put_text(summary);
    putchar('\n');
}

static void put_exit_status(void)
{
    fputs(".SH EXIT STATUS\n0 success, 1 internal error or failed check, 2 usage, 3 input, 4 model, 5 I/O, 6 memory, 7 device,\n"
          "8 result exists, 9 not supported, 10 interrupted.\n", stdout);
}

void cli_man_main(const char *const *names, const char *const *summaries, size_t count)
{
    put_title("isobath", "temporally consistent depth from video");
    fputs(".SH SYNOPSIS\n.B isobath\n.I COMMAND\n\\&...\n.SH COMMANDS\n", stdout);
    for (size_t i = 0; i < count; i++) {
        printf(".TP\n.BR isobath\\-%s (1)\n", names[i]);
        put_text(summaries[i]);
        putchar('\n');
    }
    fputs(".SH EXAMPLES\n.EX\nisobath run clip.mp4 \\-o out\n.EE\n", stdout);
    put_exit_status();
}

static void man(const cli_command *c, const cli_option *options)
{
    char name[64];
    snprintf(name, sizeof name, "isobath-%s", c->name);
    put_title(name, c->summary);
    fputs(".SH SYNOPSIS\n.B isobath\n", stdout);
    put_text(c->usage);
    fputs("\n.SH DESCRIPTION\n", stdout);
    put_paragraphs(c->description);
    fputs(".SH OPTIONS\n", stdout);
    for (const cli_option *o = options; o->kind != CLI_END; o++) {
        if (o->kind == CLI_HEADING) printf(".SS %s\n", o->help);
        if (o->kind == CLI_HEADING || !o->help) continue;
        fputs(".TP\n\\fB", stdout);
        if (o->letter) printf("\\-%c\\fR, \\fB", o->letter);
        put_text(o->name);
        fputs("\\fR", stdout);
        if (o->argument) {
            fputs(" \\fI", stdout);
            put_text(o->argument);
            fputs("\\fR", stdout);
        }
        putchar('\n');
        put_text(o->help);
        putchar('\n');
    }
    if (c->examples) {
        fputs(".SH EXAMPLES\n.EX\n", stdout);
        put_text(c->examples);
        fputs(".EE\n", stdout);
    }
    put_exit_status();
    fputs(".SH SEE ALSO\n.BR isobath (1)\n", stdout);
}

/* 1 when the argument is a list of words to choose from: "on|off", not "NAME|PATH". */
static int is_choice(const char *argument)
{
    return argument && strchr(argument, '|') && argument[strcspn(argument, "ABCDEFGHIJKLMNOPQRSTUVWXYZ:")] == 0;
}

/* A function that sets `words` to what may follow `$prev` in this command; files are completed when it sets none. */
static void bash(const cli_command *c, const cli_option *options)
{
    printf("_isobath_%s() {\n    case $prev in\n", c->name);
    for (const cli_option *o = options; o->kind != CLI_END; o++) {
        if (o->kind == CLI_HEADING || !o->help || !o->argument) continue;
        printf("    %s%s%.*s) ", o->name, o->letter ? "|-" : "", o->letter ? 1 : 0, &o->letter);
        if (is_choice(o->argument)) {
            fputs("words='", stdout);
            for (const char *p = o->argument; *p; p++) putchar(*p == '|' ? ' ' : *p);
            fputs("' ;;\n", stdout);
        } else fputs("return ;;\n", stdout);
    }
    fputs("    *) [[ $cur == -* ]] && words='--help", stdout);
    for (const cli_option *o = options; o->kind != CLI_END; o++)
        if (o->kind != CLI_HEADING && o->help) printf(" %s", o->name);
    fputs("' ;;\n    esac\n}\n", stdout);
}

void cli_bash_main(const char *const *names, size_t count)
{
    fputs("_isobath() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n        words='", stdout);
    for (size_t i = 0; i < count; i++) printf("%s ", names[i]);
    fputs("help --help --version'\n    elif declare -F \"_isobath_${COMP_WORDS[1]}\" > /dev/null; then\n"
          "        \"_isobath_${COMP_WORDS[1]}\"\n    fi\n"
          "    if [[ $words ]]; then\n        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n    else\n"
          "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n        compopt -o filenames 2> /dev/null\n    fi\n}\n"
          "complete -F _isobath isobath\n", stdout);
}

int cli_describe(const char *how, const cli_command *command, const cli_option *options)
{
    if (strcmp(how, "man") == 0) man(command, options);
    else bash(command, options);
    return 0;
}
