/* Slurm's commands; see slurm_jobs.h. Programs are started with their arguments as they are: no shell reads them. */
#include "slurm_jobs.h"

#include "cli.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_MOST 1000 /* entries of one array: Slurm's MaxArraySize is 1001 unless somebody raised it */
#define MOST_ARGUMENTS 64

static int fail(const char *text, const char *what) { return fprintf(stderr, "isobath slurm: %s %s\n", text, what), -1; }

/* Runs a program and keeps what it prints (both outputs). Returns its exit code, -1 when it could not be started. */
static int capture(char *const argv[], char *out, size_t size)
{
    int pipe_fd[2];
    out[0] = 0;
    if (pipe(pipe_fd) != 0) return -1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_fd[1], STDOUT_FILENO);
        dup2(pipe_fd[1], STDERR_FILENO);
        close(pipe_fd[0]);
        close(pipe_fd[1]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(pipe_fd[1]);
    size_t n = 0;
    char rest[4096];
    for (ssize_t got; pid > 0 && (got = n < size - 1 ? read(pipe_fd[0], out + n, size - 1 - n) : read(pipe_fd[0], rest, sizeof rest)) != 0;) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) break;
        if (n < size - 1) n += (size_t)got;
    }
    out[n] = 0;
    close(pipe_fd[0]);
    int status = 0;
    if (pid < 0) return -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A word for sh: in single quotes, those in it escaped. */
static void put_quoted(FILE *f, const char *s)
{
    fputc('\'', f);
    for (; *s; s++) {
        if (*s == '\'') fputs("'\\''", f);
        else fputc(*s, f);
    }
    fputc('\'', f);
}

static const char *const stage_names[SLURM_STAGES] = {"work", "chain", "render", "finish"};

static int write_script(const slurm_place *p, const slurm_options *o, slurm_stage stage, int64_t parts)
{
    char path[4608];
    snprintf(path, sizeof path, "%s/%s.sh", p->scripts, stage_names[stage]);
    FILE *f = fopen(path, "w");
    if (!f) return fail(path, strerror(errno));
    fprintf(f, "#!/bin/sh\n# Written by isobath slurm. %s\n", stage == SLURM_WORK || stage == SLURM_RENDER
                                                             ? "A task of an array does what its line of the list ($1) says."
                                                             : "One job.");
    if (stage == SLURM_WORK || stage == SLURM_RENDER) fputs("i=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" \"$1\")\n", f);
    /* What was killed or met a passing fault is tried again at once; what is wrong in itself is not. */
    fputs("for try in 1 2 3; do\n    ", f);
    put_quoted(f, p->program);
    fprintf(f, " %s ", stage == SLURM_WORK ? "work" : "merge");
    put_quoted(f, p->folder);
    fputs(" --name ", f);
    put_quoted(f, p->name);
    if (stage == SLURM_WORK) fprintf(f, " --segment \"$i\" --devices %s", o->gpus_per_node ? "cuda" : "cpu");
    if (stage == SLURM_CHAIN) fputs(" --chain", f);
    if (stage == SLURM_RENDER) fprintf(f, " --render \"$i/%lld\"", (long long)parts);
    if (stage == SLURM_FINISH) fputs(" --finish", f);
    fputs("\n    code=$?\n    case $code in 0 | 2 | 3 | 4 | 8 | 9) exit $code ;; esac\n    sleep 1\ndone\nexit $code\n", f);
    int bad = ferror(f);
    if (fclose(f) != 0 || bad) return fail(path, "cannot be written");
    return 0;
}

int slurm_write_scripts(const slurm_place *p, const slurm_options *o, int64_t parts)
{
    if (mkdir(p->scripts, 0777) != 0 && errno != EEXIST) return fail(p->scripts, strerror(errno));
    for (int i = 0; i < SLURM_STAGES; i++)
        if (write_script(p, o, (slurm_stage)i, parts) != 0) return -1;
    return 0;
}

/* Arguments of one sbatch, with room for the texts that are made for them. */
typedef struct arguments {
    char *argv[MOST_ARGUMENTS];
    int count;
    char texts[16][4700];
    int text_count;
} arguments;

static void add(arguments *a, const char *word)
{
    if (a->count < MOST_ARGUMENTS - 1) a->argv[a->count++] = (char *)(uintptr_t)word;
}

/* option, text, and what follows it as one word. */
static void add_text(arguments *a, const char *option, const char *text, const char *behind)
{
    if (a->text_count == 16) return;
    snprintf(a->texts[a->text_count], sizeof a->texts[0], "%s%s%s", option, text, behind);
    add(a, a->texts[a->text_count++]);
}

static void add_number(arguments *a, const char *option, int n)
{
    if (a->text_count == 16) return;
    snprintf(a->texts[a->text_count], sizeof a->texts[0], "%s=%d", option, n);
    add(a, a->texts[a->text_count++]);
}

/* One job or one array of `entries` tasks that read `list`. */
static int submit_one(const slurm_place *p, const slurm_options *o, slurm_stage stage, const char *list, int64_t entries, const char *after, char *ids,
                      size_t ids_size)
{
    arguments *a = calloc(1, sizeof *a);
    char out[4096], array[64];
    int gpus = stage == SLURM_WORK ? o->gpus_per_node : 0;
    int at_once = o->nodes * (gpus ? gpus : 1); /* of one array */
    if (!a) return fail("out of memory for", "sbatch");
    add(a, "sbatch");
    add(a, "--parsable");
    add(a, "--requeue");
    add(a, "--open-mode=append");
    add_text(a, "--job-name=isobath-", stage_names[stage], "");
    add_text(a, "--output=", p->scripts, entries ? "/%x_%A_%a.log" : "/%x_%j.log");
    if (entries) {
        snprintf(array, sizeof array, "--array=0-%lld%%%d", (long long)entries - 1, at_once);
        add(a, array);
    }
    if (*after) {
        add_text(a, "--dependency=afterok:", after, "");
        add(a, "--kill-on-invalid-dep=yes");
    }
    if (gpus) add(a, "--gres=gpu:1");
    if (o->cpus_per_task > 0) add_number(a, "--cpus-per-task", o->cpus_per_task);
    if (o->partition) add_text(a, "--partition=", o->partition, "");
    if (o->account) add_text(a, "--account=", o->account, "");
    if (o->time) add_text(a, "--time=", o->time, "");
    if (o->memory) add_text(a, "--mem=", o->memory, "");
    for (int i = 0; i < o->extra_count; i++) add(a, o->extra[i]);
    char script[4608];
    snprintf(script, sizeof script, "%s/%s.sh", p->scripts, stage_names[stage]);
    add(a, script);
    if (entries) add(a, list);
    int code = capture(a->argv, out, sizeof out);
    free(a);
    char *end = out + strspn(out, "0123456789");
    if (code != 0 || end == out) {
        out[strcspn(out, "\n")] = 0;
        return fail(code == 127 || code < 0 ? "sbatch cannot be started: is Slurm installed here?" : "sbatch refused:", out);
    }
    *end = 0; /* a cluster's name may follow */
    size_t n = strlen(ids);
    snprintf(ids + n, ids_size - n, "%s%s", n ? ":" : "", out);
    return 0;
}

int slurm_submit(const slurm_place *p, const slurm_options *o, slurm_stage stage, const int64_t *list, int64_t count, const char *after, char *ids,
                 size_t ids_size)
{
    if (!list) return submit_one(p, o, stage, NULL, 0, after, ids, ids_size);
    for (int64_t first = 0; first < count; first += ARRAY_MOST) {
        char path[4608];
        int64_t entries = count - first < ARRAY_MOST ? count - first : ARRAY_MOST;
        snprintf(path, sizeof path, "%s/%s_%lld_%lld.list", p->scripts, stage_names[stage], (long long)getpid(), (long long)(first / ARRAY_MOST));
        FILE *f = fopen(path, "w");
        if (!f) return fail(path, strerror(errno));
        for (int64_t i = 0; i < entries; i++) fprintf(f, "%lld\n", (long long)list[first + i]);
        if (fclose(f) != 0) return fail(path, "cannot be written");
        if (submit_one(p, o, stage, path, entries, after, ids, ids_size) != 0) return -1;
    }
    return 0;
}

void slurm_remove_scripts(const slurm_place *p)
{
    DIR *d = opendir(p->scripts);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    rmdir(p->scripts);
}

int slurm_ask(const char *ids, int *waiting, int *running)
{
    char list[4096], *out = malloc(1 << 20);
    snprintf(list, sizeof list, "%s", ids);
    for (char *c = list; *c; c++)
        if (*c == ':') *c = ',';
    *waiting = *running = 0;
    if (!out) return -1;
    char *argv[] = {"squeue", "--noheader", "--array", "--format=%T", "--jobs", list, NULL};
    int code = capture(argv, out, 1 << 20);
    if (code != 0 && !strstr(out, "Invalid job id")) { /* one that is long gone is none that waits */
        free(out);
        return -1;
    }
    for (char *save = NULL, *line = strtok_r(out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        static const char *const over[] = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "slurm"};
        int is_over = 0;
        for (size_t i = 0; i < sizeof over / sizeof *over; i++) is_over |= strncmp(line, over[i], strlen(over[i])) == 0;
        if (is_over) continue;
        if (strncmp(line, "RUNNING", 7) == 0 || strncmp(line, "COMPLETING", 10) == 0) ++*running;
        else ++*waiting;
    }
    free(out);
    return 0;
}
