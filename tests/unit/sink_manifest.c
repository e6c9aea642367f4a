/* The manifest's stable bytes and the log's lines. */
#include "sink_helper.h"

#include "sink/log.h"
#include "sink/manifest.h"

static void manifest_bytes_are_stable(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/m.json", folder);
    json_t *a = json_pack("{s:i, s:f, s:s}", "z", 1, "a", 0.1, "m", "\xc3\xa9");
    assert_int_equal(ib_manifest_write(path, a, NULL), ISOBATH_OK);
    uint8_t *data;
    size_t size;
    assert_int_equal(ib_read_file(path, 1000, NULL, &data, &size), ISOBATH_OK);
    assert_string_equal((char *)data, "{\n \"a\": 0.10000000000000001,\n \"m\": \"\xc3\xa9\",\n \"z\": 1\n}\n");
    free(data);
    json_t *b;
    assert_int_equal(ib_json_read(path, NULL, &b), ISOBATH_OK);
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
    assert_int_equal(count_files(folder, ".tmp"), 0);
    free(path);
    remove_folder(folder);
}

static void bad_json_is_one_line(void **state)
{
    (void)state;
    const char *texts[] = {"", "[1]", "{\"a\":1,\"a\":2}", "{\"a\":", "{\"a\":1e999}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ib_diag diag = IB_DIAG_INIT;
        json_t *json;
        assert_int_equal(ib_json_parse(texts[i], strlen(texts[i]), "x.json", &diag, &json), ISOBATH_ERR_INPUT);
        assert_null(json);
        assert_non_null(strstr(diag.text, "x.json"));
        assert_null(strchr(diag.text, '\n'));
    }
}

static void log_lines(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = ib_text("%s/l.jsonl", folder);
    ib_log *log;
    assert_int_equal(ib_log_open(path, 0, NULL, &log), ISOBATH_OK);
    ib_log_event(log, "start", json_pack("{s:i}", "n", 3));
    ib_log_event(log, "end", NULL);
    assert_int_equal(ib_log_close(log), ISOBATH_OK);
    assert_int_equal(ib_log_open(path, 1, NULL, &log), ISOBATH_OK);
    ib_log_event(log, "again", NULL);
    assert_int_equal(ib_log_close(log), ISOBATH_OK);
    uint8_t *data;
    size_t size;
    assert_int_equal(ib_read_file(path, 10000, NULL, &data, &size), ISOBATH_OK);
    const char *events[] = {"start", "end", "again"};
    char *line = (char *)data;
    for (int i = 0; i < 3; i++) {
        char *end = strchr(line, '\n');
        json_t *json;
        assert_non_null(end);
        assert_int_equal(ib_json_parse(line, (size_t)(end - line), "line", NULL, &json), ISOBATH_OK);
        assert_string_equal(json_string_value(json_object_get(json, "event")), events[i]);
        assert_int_equal(strlen(json_string_value(json_object_get(json, "time"))), 24);
        if (i == 0) assert_int_equal(json_integer_value(json_object_get(json, "n")), 3);
        json_decref(json);
        line = end + 1;
    }
    assert_int_equal(*line, 0);
    free(data);
    free(path);
    remove_folder(folder);
}

/* A name from an old file system must not cost the manifest. */
static void names_that_are_not_utf8(void **state)
{
    (void)state;
    char *folder = scratch_folder();
    ib_sink_config config = test_config(folder, 8, 6);
    config.name = "caf\xe9";
    static const char *const formats[] = {"png16", "npz"};
    for (int i = 0; i < 2; i++) {
        json_t *described = NULL;
        assert_int_equal(run_sink(formats[i], &config, 2, 2, NULL, &described), ISOBATH_OK);
        assert_int_equal(strncmp(json_string_value(json_object_get(described, "path")), "caf?_depths", 11), 0);
        json_decref(described);
    }
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_bytes_are_stable),
        cmocka_unit_test(bad_json_is_one_line),
        cmocka_unit_test(log_lines),
        cmocka_unit_test(names_that_are_not_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
