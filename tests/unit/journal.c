/* The journal: what was written is read, whatever is torn off or flipped; the lock; the identity's differences. */
#include "sink_helper.h"

#include "pipeline/identity.h"
#include "pipeline/journal/journal.h"
#include "sink/lock.h"

#include <sys/wait.h>

static char *folder;

static int setup(void **state)
{
    (void)state;
    folder = scratch_folder();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static ib_window_record window(int64_t shot, int64_t first, int64_t k, int64_t total)
{
    ib_window_record w = {.shot = shot, .shot_first = first, .k = k, .frames_total = total, .redone = k == 1, .nonfinite = k == 1 ? 7 : 0};
    w.alignment = (ib_alignment){1.5f + (float)k, -0.25f, k == 2, 1.5 + (double)k + 1e-9, -0.25};
    return w;
}

#define INPUT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Two shots, 60 frames of two formats with 3 and 0 bytes each; *records becomes the number of records. */
static char *write_journal(int *records)
{
    char *path = ib_text("%s/clip_isobath.journal", folder);
    ib_journal *j;
    ib_diag diag = IB_DIAG_INIT;
    const int bytes[2] = {3, 0};
    uint8_t state[60 * 3];
    for (int i = 0; i < 180; i++) state[i] = (uint8_t)i;
    assert_int_equal(ib_journal_create(path, "{\"a\":1}", &diag, &j), ISOBATH_OK);
    ib_window_record list[] = {window(0, 0, 0, -1), window(0, 0, 1, 40), window(1, 40, 0, 20)};
    ib_frame_record frames[60];
    for (int i = 0; i < 60; i++) frames[i] = (ib_frame_record){i * 40000, (float)i, (float)i + 1, 1, 0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ib_journal_window(j, &list[i]), ISOBATH_OK);
        uint8_t *parts[2] = {state + 60 * i, NULL};
        assert_int_equal(ib_journal_frames(j, 20 * i, 20, frames + 20 * i, 2, bytes, parts), ISOBATH_OK);
    }
    assert_int_equal(ib_journal_input(j, INPUT), ISOBATH_OK);
    ib_repeat stand_ins[] = {{.index = 7}, {.index = 8}};
    assert_int_equal(ib_journal_repeats(j, &(ib_repeats){0}), ISOBATH_OK);
    assert_int_equal(ib_journal_repeats(j, &(ib_repeats){stand_ins, 2, 2}), ISOBATH_OK);
    assert_int_equal(ib_journal_end(j, 60), ISOBATH_OK);
    assert_int_equal(ib_journal_finished(j, 1, "{\"b\":2}"), ISOBATH_OK);
    assert_int_equal(ib_journal_sync(j), ISOBATH_OK);
    ib_journal_close(j);
    *records = 12;
    return path;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    int records;
    char *path = write_journal(&records);
    ib_journal_state s;
    assert_int_equal(ib_journal_read(path, NULL, &s), ISOBATH_OK);
    assert_string_equal(s.identity, "{\"a\":1}");
    assert_int_equal(s.window_count, 3);
    ib_window_record w = window(0, 0, 1, 40);
    assert_memory_equal(&s.windows[1].alignment.fit_scale, &w.alignment.fit_scale, sizeof(double));
    assert_true(s.windows[1].redone && s.windows[1].nonfinite == 7 && s.windows[1].frames_total == 40 && s.windows[2].shot_first == 40);
    assert_int_equal(s.frame_count, 60);
    assert_true(s.frames[59].pts_us == 59 * 40000 && s.frames[59].min == 59 && s.frames[59].max == 60);
    assert_int_equal(s.sink_count, 2);
    for (int i = 0; i < 180; i++) assert_int_equal(s.sink_state[0][i], i);
    assert_true(s.ended && !s.finished[0]);
    assert_string_equal(s.finished[1], "{\"b\":2}");
    assert_string_equal(s.input_sha256, INPUT);
    assert_true(s.repeats && s.repeated_count == 2 && s.repeated[0] == 7 && s.repeated[1] == 8);
    ib_journal_state_free(&s);
    free(path);
}

/* Cut anywhere: the records before the cut are there, and no others. Any bit flipped: those before the flip. */
static void torn_and_flipped(void **state)
{
    (void)state;
    int records;
    char *path = write_journal(&records);
    uint8_t *data;
    size_t size, steps = 0;
    assert_int_equal(ib_read_file(path, 1 << 20, NULL, &data, &size), ISOBATH_OK);
    int64_t last = 0;
    for (size_t n = 0; n <= size; n++) {
        ib_journal_state s;
        if (ib_journal_parse(data, n, "torn", NULL, &s) != ISOBATH_OK) {
            assert_int_equal(steps, 0);
            continue;
        }
        assert_true(s.valid_bytes <= (int64_t)n && s.valid_bytes >= last);
        steps += s.valid_bytes > last;
        last = s.valid_bytes;
        assert_true(s.frame_count % 20 == 0 && s.frame_count <= 20 * s.window_count);
        ib_journal_state_free(&s);
    }
    assert_int_equal(steps, records);
    assert_int_equal(last, size);
    for (size_t bit = 0; bit < 8 * size; bit += 3) {
        ib_journal_state s;
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (ib_journal_parse(data, size, "flipped", NULL, &s) == ISOBATH_OK) {
            assert_true(s.valid_bytes <= (int64_t)(bit / 8));
            ib_journal_state_free(&s);
        } else {
            assert_true(bit / 8 < 40); /* in the magic or the identity */
        }
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    /* the end is taken off before anything is appended */
    ib_journal *j;
    ib_journal_state s;
    assert_int_equal(ib_journal_parse(data, size - 1, "torn", NULL, &s), ISOBATH_OK);
    assert_int_equal(ib_journal_open(path, s.valid_bytes, NULL, &j), ISOBATH_OK);
    ib_journal_state_free(&s);
    assert_int_equal(ib_journal_finished(j, 0, "{}"), ISOBATH_OK);
    ib_journal_close(j);
    assert_int_equal(ib_journal_read(path, NULL, &s), ISOBATH_OK);
    assert_true(s.finished[0] && !s.finished[1]);
    ib_journal_state_free(&s);
    free(data);
    free(path);
}

/* Records that contradict those before them end the journal, too. */
static void contradictions(void **state)
{
    (void)state;
    char *path = ib_text("%s/odd.journal", folder);
    const int bytes[1] = {0};
    uint8_t *parts[1] = {NULL};
    ib_frame_record f = {0, 1, 2, 1, 0}, nan = {0, NAN, 2, 1, 0};
    for (int i = 0; i < 9; i++) {
        ib_journal *j;
        ib_journal_state s;
        ib_window_record good = window(0, 0, 0, -1), bad = i == 0 ? window(0, 0, 2, -1) : i == 1 ? window(1, 40, 1, -1) : window(0, 5, 1, -1);
        assert_int_equal(ib_journal_create(path, "{}", NULL, &j), ISOBATH_OK);
        ib_journal_window(j, &good);
        ib_journal_frames(j, 0, 1, &f, 1, bytes, parts);
        if (i < 3) ib_journal_window(j, &bad);
        if (i == 3) ib_journal_frames(j, 2, 1, &f, 1, bytes, parts);
        if (i == 4) ib_journal_frames(j, 1, 1, &f, 0, bytes, parts);
        if (i == 5) ib_journal_frames(j, 1, 1, &nan, 1, bytes, parts);
        if (i == 6) ib_journal_end(j, 2);
        if (i >= 7) ib_journal_input(j, i == 7 ? INPUT : "A" INPUT); /* once, and 64 small digits */
        if (i == 7) ib_journal_input(j, INPUT);
        if (i >= 7) ib_journal_end(j, 1);
        ib_journal_close(j);
        assert_int_equal(ib_journal_read(path, NULL, &s), ISOBATH_OK);
        assert_true(s.window_count == 1 && s.frame_count == 1 && !s.ended);
        ib_journal_state_free(&s);
    }
    free(path);
}

static void one_lock(void **state)
{
    (void)state;
    char *path = ib_text("%s/.lock", folder);
    ib_lock *first, *second;
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_lock_take(path, "OUT", 0, &diag, &first), ISOBATH_OK);
    assert_int_equal(ib_lock_take(path, "OUT", 0, &diag, &second), ISOBATH_ERR_EXISTS);
    char *process = ib_text("OUT: another run is writing this result (process %ld on ", (long)getpid());
    assert_int_equal(strncmp(diag.text, process, strlen(process)), 0);
    free(process);
    ib_lock_release(first);
    assert_int_not_equal(access(path, F_OK), 0);
    pid_t pid = fork(); /* a process that dies with it */
    if (pid == 0) _exit(ib_lock_take(path, "OUT", 0, NULL, &first) == ISOBATH_OK ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(ib_lock_take(path, "OUT", 0, NULL, &second), ISOBATH_OK);
    ib_lock_release(second);
    free(path);
}

/* Tasks that share a result, and a run that wants it for itself. */
static void shared_lock(void **state)
{
    (void)state;
    char *path = ib_text("%s/.film_isobath.lock", folder);
    ib_lock *tasks[2], *run, *other;
    ib_diag diag = IB_DIAG_INIT;
    for (int i = 0; i < 2; i++) assert_int_equal(ib_lock_result(folder, "film", 1, NULL, &tasks[i]), ISOBATH_OK);
    assert_int_equal(ib_lock_result(folder, "film2", 0, NULL, &other), ISOBATH_OK); /* another result in this folder */
    ib_lock_release(other);
    assert_int_equal(ib_lock_result(folder, "film", 0, &diag, &run), ISOBATH_ERR_EXISTS);
    ib_lock_release(tasks[0]);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(ib_lock_result(folder, "film", 0, NULL, &run), ISOBATH_ERR_EXISTS);
    ib_lock_release(tasks[1]);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(ib_lock_result(folder, "film", 0, NULL, &run), ISOBATH_OK);
    assert_int_equal(ib_lock_result(folder, "film", 1, NULL, &tasks[0]), ISOBATH_ERR_EXISTS);
    ib_lock_release(run);
    ib_diag_destroy(&diag);
    free(path);
}

static void differences(void **state)
{
    (void)state;
    char text[400];
    json_t *a = json_pack("{s:i, s:s, s:{s:i, s:b}}", "x", 1, "kind", "cpu", "options", "max_res", 1280, "guard", 1);
    json_t *b = json_pack("{s:i, s:s, s:{s:i, s:i}}", "x", 1, "kind", "cuda", "options", "max_res", 640, "stride", 2);
    assert_int_equal(ib_identity_differences(a, a, text, sizeof text), 0);
    assert_string_equal(text, "");
    assert_int_equal(ib_identity_differences(a, b, text, sizeof text), 4);
    assert_non_null(strstr(text, "kind is \"cpu\", was \"cuda\""));
    assert_non_null(strstr(text, "options.max_res is 1280, was 640"));
    assert_non_null(strstr(text, "options.guard is true, was not given"));
    assert_non_null(strstr(text, "; and more"));
    json_decref(a);
    json_decref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(torn_and_flipped),
                                       cmocka_unit_test(contradictions), cmocka_unit_test(one_lock), cmocka_unit_test(shared_lock), cmocka_unit_test(differences)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
