/* JSON text where memory runs out at any allocation of jansson's: all of it, or none. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static long calls, failing;

static void *count(size_t size) { return ++calls == failing ? NULL : malloc(size); }

static json_t *object(void)
{
    json_t *times = json_array(), *all = json_object();
    for (int i = 0; i < 40; i++) json_array_append_new(times, json_integer(i * 40000));
    json_object_set_new(all, "schema", json_string("isobath-depth-1"));
    json_object_set_new(all, "a key that is longer than the first allocation of the text that jansson makes", json_real(0.1));
    json_object_set_new(all, "times_us", times);
    return all;
}

static void all_or_nothing(void **state)
{
    (void)state;
    json_set_alloc_funcs(count, free);
    json_t *json = object();
    for (int sorted = 0; sorted < 2; sorted++) {
        size_t flags = JSON_INDENT(1) | (sorted ? JSON_SORT_KEYS : 0);
        failing = calls = 0;
        char *whole = ib_json_dump(json, flags);
        assert_non_null(whole);
        long most = calls, lost = 0;
        for (failing = 1; failing <= most; failing++) {
            calls = 0;
            char *text = ib_json_dump(json, flags);
            if (text) assert_string_equal(text, whole);
            lost += !text;
            free(text);
        }
        assert_true(lost > 0);
        free(whole);
    }
    failing = 0;
    json_decref(json);
    assert_null(ib_json_dump(NULL, 0));
}

/* No reason given is no memory; a wrong text has its reason. */
static void reasons(void **state)
{
    (void)state;
    json_error_t error;
    assert_null(json_loadb("{\"a\":", 5, 0, &error));
    assert_int_equal(ib_json_status(&error, ISOBATH_ERR_INPUT), ISOBATH_ERR_INPUT);
    assert_string_equal(ib_json_reason(&error), error.text);
    json_set_alloc_funcs(count, free);
    long memory = 0;
    for (failing = 1; failing < 12; failing++) {
        calls = 0;
        json_t *json = json_loadb("{\"a\": [1, 2]}", 13, 0, &error);
        if (!json) assert_true(*ib_json_reason(&error));
        memory += !json && ib_json_status(&error, ISOBATH_ERR_INPUT) == ISOBATH_ERR_MEMORY;
        json_decref(json);
    }
    assert_true(memory > 0);
    failing = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_or_nothing), cmocka_unit_test(reasons)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
