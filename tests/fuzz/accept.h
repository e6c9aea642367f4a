/* A target says whether its input was sound. Files of a corpus that are named good* must stay so, or fuzzing would begin in
 * front of the first check; replay.c sees to it. */
#ifndef TESTS_FUZZ_ACCEPT_H
#define TESTS_FUZZ_ACCEPT_H

extern __attribute__((weak)) int fuzz_accepted; /* replay.c has it, libFuzzer does not */

static inline void fuzz_accept(int sound)
{
    if (&fuzz_accepted) fuzz_accepted = sound;
}

#endif
