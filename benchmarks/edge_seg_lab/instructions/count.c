/* Counts the instructions that an emulated process executes, where the process itself can read the count.

   A plugin of QEMU's user-mode emulators (docs/devel/tcg-plugins in QEMU's sources). The count is the first eight bytes of
   a file that both map: the emulator adds to it, the emulated program reads it like a clock. That is better than the two
   other ways: a difference between a long and a short run costs two runs and gives no stages, and a mark by a system call
   needs two calls for each stage, whose own cost has to be taken off again.

     cc -shared -fPIC -O2 -o count.so count.c
     qemu-aarch64 -plugin ./count.so,counter=FILE ...       FILE: eight bytes of zero

   QEMU adds the length of a block when it begins, so a reading is late by less than a block, some tens of instructions.
   Debian ships no header for plugins: the few prototypes stand here. QEMU looks for version 1 up to its release 8.2. */

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
typedef void (*on_translation)(plugin_id, struct qemu_plugin_tb *);
typedef void (*on_execution)(unsigned int processor, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_translation);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, on_execution, int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

EXPORT int qemu_plugin_version = 1;

static uint64_t *counter;

/* Atomic, since threads of the emulated program run on threads of this machine. */
static void executed(unsigned int processor, void *instructions) {
    (void)processor;
    __atomic_fetch_add(counter, (uint64_t)(uintptr_t)instructions, __ATOMIC_RELAXED);
}

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    /* The length travels in the pointer. 0: the callback touches no registers. */
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int count, char **words) {
    (void)info;
    static const char option[] = "counter=";
    if (count != 1 || strncmp(words[0], option, sizeof option - 1) != 0)
        return 1;
    int file = open(words[0] + sizeof option - 1, O_RDWR);
    if (file < 0)
        return 1;
    counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (counter == MAP_FAILED)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
