/* Talking to Slurm through its commands: scripts, sbatch, squeue. */
#ifndef ISOBATH_CLI_SLURM_JOBS_H
#define ISOBATH_CLI_SLURM_JOBS_H

#include <stddef.h>
#include <stdint.h>

#define SLURM_MOST_OPTIONS 32

/* What the user says of the cluster. */
typedef struct slurm_options {
    int nodes, gpus_per_node, cpus_per_task;
    const char *partition, *account, *time, *memory;
    const char *extra[SLURM_MOST_OPTIONS]; /* for sbatch, as they are */
    int extra_count;
} slurm_options;

/* A run's place: all paths are absolute. */
typedef struct slurm_place {
    char program[4096]; /* this isobath */
    char folder[4096];  /* of the result */
    char name[256];
    char scripts[4352]; /* folder of scripts and logs */
} slurm_place;

/* The stages of a run in their order. */
typedef enum slurm_stage { SLURM_WORK, SLURM_CHAIN, SLURM_RENDER, SLURM_FINISH, SLURM_STAGES } slurm_stage;

/* Writes the script of every stage. 0: success; else one line was printed. */
int slurm_write_scripts(const slurm_place *place, const slurm_options *options, int64_t parts);
/* Submits a stage: one job, or arrays over `list` (count entries; NULL: one job). `after`: jobs that must have succeeded, "" or
 * "1:2". Appends the new jobs to ids as "3:4". 0: success; else one line was printed. */
int slurm_submit(const slurm_place *place, const slurm_options *options, slurm_stage stage, const int64_t *list, int64_t count, const char *after,
                 char *ids, size_t ids_size);
/* How many of the jobs ("1:2:3") wait and run; 0 when Slurm knows none of them any more. Returns -1 when squeue cannot be asked. */
int slurm_ask(const char *ids, int *waiting, int *running);

/* Scripts and logs of a run that went well. */
void slurm_remove_scripts(const slurm_place *place);

#endif
