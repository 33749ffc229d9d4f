/* A TFLite delegate in place of libedgetpu: takes the compiler's custom operator, and counts how often it is run.
 *
 * STUB_DELEGATE says what it does: "work", "absent" (no accelerator), "crash", "hang". Each invocation adds a byte to
 * the file that STUB_DELEGATE_LOG names. The structures are those of TensorFlow Lite's C interface
 * (tensorflow/lite/core/c/common.h), which has kept their order since 2.3.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { int size; int data[]; } IntArray;
typedef struct Context Context;
typedef struct { IntArray *inputs, *outputs, *intermediates, *temporaries; void *user_data; } Node;
typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  /* What later versions added; zero, and more of it than any has. */
  uint64_t later[12];
} Registration;
typedef struct Delegate {
  void *data;
  int (*prepare)(Context *, struct Delegate *);
  void *copy_from, *copy_to, *free_handle;
  int64_t flags;
  void *opaque;
} Delegate;
struct Context {
  size_t tensors_size;
  int (*get_execution_plan)(Context *, IntArray **);
  void *tensors, *impl, *resize_tensor, *report_error, *add_tensors;
  int (*get_node_and_registration)(Context *, int, Node **, Registration **);
  int (*replace_nodes)(Context *, Registration, const IntArray *, Delegate *);
};

static int kernel_prepare(Context *context, Node *node) { return 0; }

static int kernel_invoke(Context *context, Node *node) {
  const char *log = getenv("STUB_DELEGATE_LOG");
  FILE *file = log ? fopen(log, "ab") : NULL;
  if (file) { fputc('x', file); fclose(file); }
  return 0;
}

static int prepare(Context *context, Delegate *delegate) {
  IntArray *plan;
  if (context->get_execution_plan(context, &plan)) return 1;
  IntArray *taken = calloc(1, sizeof(IntArray) + plan->size * sizeof(int));
  for (int i = 0; i < plan->size; i++) {
    Node *node;
    Registration *registration;
    if (context->get_node_and_registration(context, plan->data[i], &node, &registration)) return 1;
    if (registration->custom_name && !strcmp(registration->custom_name, "edgetpu-custom-op"))
      taken->data[taken->size++] = plan->data[i];
  }
  Registration kernel = {0};
  kernel.prepare = kernel_prepare;
  kernel.invoke = kernel_invoke;
  kernel.builtin_code = 51; /* BuiltinOperator_DELEGATE */
  kernel.custom_name = "stub";
  kernel.version = 1;
  int status = taken->size ? context->replace_nodes(context, kernel, taken, delegate) : 0;
  free(taken);
  return status;
}

void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  const char *does = getenv("STUB_DELEGATE");
  if (does && !strcmp(does, "absent")) return NULL;
  if (does && !strcmp(does, "crash")) raise(SIGSEGV);
  if (does && !strcmp(does, "hang")) sleep(600);
  Delegate *delegate = calloc(1, sizeof(Delegate));
  delegate->prepare = prepare;
  /* kTfLiteDelegateFlagsAllowDynamicTensors: or operators are prepared before it can take the one nobody knows. */
  delegate->flags = 1;
  return delegate;
}

void tflite_plugin_destroy_delegate(void *delegate) { free(delegate); }
