/* Counts the instructions between marks of a program: a plugin for QEMU's user-mode emulation.
 *
 *     gcc -O2 -shared -fPIC -o count_instructions.so count_instructions.c
 *     qemu-aarch64 -cpu cortex-a72 -plugin ./count_instructions.so,to=counts …
 *
 * A mark is any system call whose first argument is MARK plus a number below MARKS, such as
 * fsync(MARK + 3), which fails. Each writes a line to the file: its number, and the instructions of
 * all threads since the last mark. They are counted block by block, which is exact but for blocks
 * left early by a signal; threads that run at the same time can lose some.
 * The functions are those of QEMU's plugin interface, version 1 (docs/devel/tcg-plugins).
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MARK 0x4D1E0000u
#define MARKS 64u
#define SHOWN __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*translated)(plugin_id, struct qemu_plugin_tb *);
typedef void (*called)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                       uint64_t, uint64_t, uint64_t, uint64_t);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *,
                                              uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, called);

SHOWN int qemu_plugin_version = 1;

static uint64_t count, last;
static FILE *file;

static void count_block(plugin_id id, struct qemu_plugin_tb *block) {
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &count,
                                             qemu_plugin_tb_n_insns(block));
}

static void note_mark(plugin_id id, unsigned cpu, int64_t number, uint64_t first, uint64_t a2,
                      uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    if (first < MARK || first >= MARK + MARKS) return;
    fprintf(file, "%" PRIu64 " %" PRIu64 "\n", first - MARK, count - last);
    fflush(file);
    last = count;
}

SHOWN int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    if (argc != 1 || strncmp(argv[0], "to=", 3) || !(file = fopen(argv[0] + 3, "w"))) return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_vcpu_syscall_cb(id, note_mark);
    return 0;
}
