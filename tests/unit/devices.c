/* Device lists, processor lists, and the messages of worker processes. */
#include "pipeline/fleet/affinity.h"
#include "pipeline/devices.h"
#include "pipeline/fleet/wire.h"
#include "support/clips.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void lists_of_devices(void **state)
{
    (void)state;
    static const struct { const char *text; int cuda, count, device[5]; } good[] = {
        {NULL, 0, 1, {-1}}, {"auto", 0, 1, {-1}}, {"auto", 3, 3, {0, 1, 2}}, {"cpu", 4, 1, {-1}}, {"cpu,cpu,cpu", 0, 3, {-1, -1, -1}},
        {"cuda", 2, 2, {0, 1}}, {"cuda", 0, 1, {0}}, {"cuda:1,cuda:0", 2, 2, {1, 0}}, {"null,cpu,cuda:7", 0, 3, {-2, -1, 7}}};
    static const char *const bad[] = {"", ",", "gpu", "cpu,gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:0x", "cuda:0,cuda:0", "cuda,cuda:0", "cpu cpu",
                                      "cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu"};
    ib_device_list l;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(ib_devices_parse(good[i].text, good[i].cuda, NULL, &l), ISOBATH_OK);
        assert_int_equal(l.count, good[i].count);
        assert_memory_equal(l.device, good[i].device, (size_t)l.count * sizeof *l.device);
    }
    static const char *const counted[] = {"auto", "cuda", "cpu,cuda", "cuda,null", ",cuda,"}, *const named[] = {"cpu", "cuda:0", "cuda:1,cuda:10,null", "xcuda", "cudas", ""};
    assert_int_equal(ib_devices_want_count(NULL), 1);
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) assert_int_equal(ib_devices_want_count(counted[i]), 1);
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) assert_int_equal(ib_devices_want_count(named[i]), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ib_diag diag = IB_DIAG_INIT;
        if (ib_devices_parse(bad[i], 1, &diag, &l) != ISOBATH_ERR_USAGE || !strstr(diag.text, "--devices")) fail_msg("%s", bad[i]);
    }
}

static void lists_of_processors(void **state)
{
    (void)state;
    cpu_set_t set;
    assert_int_equal(ib_cpu_list_parse("0-2,8,10-11\n", &set), 1);
    assert_int_equal(CPU_COUNT(&set), 6);
    assert_true(CPU_ISSET(0, &set) && CPU_ISSET(2, &set) && CPU_ISSET(8, &set) && CPU_ISSET(11, &set) && !CPU_ISSET(9, &set));
    static const char *const bad[] = {"", "\n", "x", "1-", "3-1", "1,,2", "-1", "0-99999999999", "1 2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(ib_cpu_list_parse(bad[i], &set), 0);
}

/* In a process of its own: on the one processor that the card's file names, or where it was when the file names none of its own. */
static void a_process_moves_beside_its_card(void **state)
{
    (void)state;
    char dir[256], path[512], text[32];
    cpu_set_t mine, now;
    assert_int_equal(clip_make_dir(dir, sizeof dir), 0);
    snprintf(path, sizeof path, "%s/0000:01:00.0", dir);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/0000:01:00.0/local_cpulist", dir);
    assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
    int first = 0;
    while (!CPU_ISSET((size_t)first, &mine)) first++;
    assert_int_equal(ib_affinity_near_pci(dir, "0000:02:00.0"), 0); /* no such card */
    assert_int_equal(clip_write_file(path, "1023\n", 5), 0);
    assert_int_equal(ib_affinity_near_pci(dir, "0000:01:00.0"), 0); /* none of ours */
    int n = snprintf(text, sizeof text, "%d\n", first);
    assert_int_equal(clip_write_file(path, text, (size_t)n), 0);
    assert_int_equal(ib_affinity_near_pci(dir, "0000:01:00.0"), CPU_COUNT(&mine) > 1 ? 1 : 0);
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    assert_true(CPU_COUNT(&now) == 1 && CPU_ISSET((size_t)first, &now));
    assert_int_equal(sched_setaffinity(0, sizeof mine, &mine), 0);
    clip_remove_dir(dir);
}

static void messages_are_whole_or_garbage(void **state)
{
    (void)state;
    int fd[2], passed;
    const char *why;
    ib_message m = {.type = IB_MSG_RESULT, .u.result = {.order = 7, .raw = 3}}, got;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    ib_wire a = {.fd = fd[0]}, b = {.fd = fd[1]};
    assert_int_equal(ib_wire_receive(&b, &got, NULL, 0, &why), IB_WIRE_NOTHING);
    assert_int_equal(ib_wire_send(&a, &m, fd[0], 1), 0); /* with a descriptor */
    assert_int_equal(ib_wire_receive(&b, &got, &passed, 1, &why), IB_WIRE_MESSAGE);
    assert_true(got.type == IB_MSG_RESULT && got.u.result.order == 7 && got.u.result.raw == 3 && passed >= 0);
    close(passed);
    /* every bit of it matters */
    assert_int_equal(ib_wire_send(&a, &m, -1, 1), 0);
    ssize_t size = recv(fd[1], &m, sizeof m, 0);
    assert_null(ib_message_check(&m, (size_t)size, 1));
    for (ssize_t bit = 0; bit < size * 8; bit++) {
        ib_message broken = m;
        ((uint8_t *)&broken)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_non_null(ib_message_check(&broken, (size_t)size, 1));
    }
    for (size_t n = 0; n < (size_t)size; n++) assert_non_null(ib_message_check(&m, n, 1));
    assert_non_null(ib_message_check(&m, (size_t)size, 2)); /* out of sequence */
    assert_int_equal(send(fd[0], "noise", 5, 0), 5);
    assert_int_equal(ib_wire_receive(&b, &got, NULL, 1, &why), IB_WIRE_GARBAGE);
    close(fd[0]);
    assert_int_equal(ib_wire_receive(&b, &got, NULL, 1, &why), IB_WIRE_CLOSED);
    assert_int_equal(ib_wire_send(&b, &m, -1, 1), EPIPE);
    close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists_of_devices), cmocka_unit_test(lists_of_processors),
                                       cmocka_unit_test(a_process_moves_beside_its_card), cmocka_unit_test(messages_are_whole_or_garbage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
