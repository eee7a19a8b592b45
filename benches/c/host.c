/* The root of a program that speaks the module protocol, with a clock in its hand.
 *
 *   host LIBNIMHCR LIBNIMRTL FOLDER MODULE...
 *
 * loads a run-time, gives it the modules (the first is system, all are files in FOLDER) and then obeys
 * one command a line on stdin, with one line on stdout for each. Times are in nanoseconds.
 *
 *   reload                time of hcrPerformCodeReload
 *   needed                time and answer of hcrReloadNeeded
 *   value MODULE PROC     what a proc of a module returns: tells which build of it runs
 *   stat                  time of one stat() of each module's file: the floor for finding changes
 *   register N            time of registering N procs for the first time, and again
 *   call KIND N           time of N calls; KIND is direct, pointer or slot
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef long (*proc_fn)(long);

static void *(*hcrRegisterProc)(const char *, const char *, void *);
static void *(*hcrGetProc)(const char *, const char *);
static uint8_t (*hcrReloadNeeded)(void);
static void (*hcrPerformCodeReload)(void);

static char main_module[4096];
static char **modules; /* ends with "", as the protocol wants it */
static int module_count;

static void die(const char *what, const char *why) {
    fprintf(stderr, "host: %s: %s\n", what, why ? why : "unknown");
    exit(2);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found)
        die(name, dlerror());
    return found;
}

static void *get_proc_addr(void *library, const char *name) { return symbol(library, name); }

static void *open_library(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library)
        die(path, dlerror());
    return library;
}

static void full_name(char *out, size_t size, const char *folder, const char *module) {
    if ((size_t)snprintf(out, size, "%s/%s", folder, module) >= size)
        die(module, "the path is too long");
}

/* noipa: neither inlined nor known to the loops below, as a proc of another module. */
__attribute__((noipa)) long target(long x) { return x + 1; }

/* Not static: a call may change it for all that the compiler knows, so each call loads it anew, as the
 * code that Nim emits does. */
proc_fn pointer;

__attribute__((noipa)) static long call_direct(long n) {
    long x = 0;
    for (long i = 0; i < n; i++)
        x = target(x);
    return x;
}

__attribute__((noipa)) static long call_pointer(long n) {
    long x = 0;
    for (long i = 0; i < n; i++)
        x = pointer(x);
    return x;
}

static void main_dat_init(void) {}

static void command_stat(void) {
    struct stat info;
    int64_t start = now();
    for (int i = 0; i < module_count; i++)
        if (stat(modules[i], &info) != 0)
            die(modules[i], "cannot stat");
    printf("%lld\n", (long long)(now() - start));
}

static void command_register(long n) {
    enum { NAME = 80 };
    char(*names)[NAME] = malloc((size_t)n * NAME);
    void **permanent = malloc((size_t)n * sizeof *permanent);
    if (!names || !permanent)
        die("register", "no memory");
    for (long i = 0; i < n; i++)
        snprintf(names[i], NAME, "work%ld__host_%ld___9ctun3O9bbhIm%08xhvq9bPU", i, i, (unsigned)i * 2654435761u);
    int64_t start = now();
    for (long i = 0; i < n; i++)
        permanent[i] = hcrRegisterProc(main_module, names[i], (void *)target);
    int64_t middle = now();
    for (long i = 0; i < n; i++)
        if (hcrRegisterProc(main_module, names[i], (void *)target) != permanent[i])
            die(names[i], "has another address the second time");
    int64_t end = now();
    for (long i = 0; i < n; i++)
        if (((proc_fn)permanent[i])(i) != i + 1)
            die(names[i], "the slot leads elsewhere");
    printf("%lld %lld\n", (long long)(middle - start), (long long)(end - middle));
    free(names);
    free(permanent);
}

static void command_call(const char *kind, long n) {
    long (*loop)(long) = call_pointer;
    if (strcmp(kind, "direct") == 0)
        loop = call_direct;
    else if (strcmp(kind, "pointer") == 0)
        pointer = target;
    else if (strcmp(kind, "slot") == 0)
        pointer = (proc_fn)hcrRegisterProc(main_module, "target__host_1___9ctun3O9bbhImYSYhvq9bPUzQ", (void *)target);
    else
        die(kind, "no such kind of call");
    int64_t start = now();
    long result = loop(n);
    int64_t end = now();
    if (result != n)
        die(kind, "the calls went elsewhere");
    printf("%lld\n", (long long)(end - start));
}

static void obey(const char *folder, char *line) {
    char word[16], first[512], second[512];
    int words = sscanf(line, "%15s %511s %511s", word, first, second);
    if (words == 1 && strcmp(word, "reload") == 0) {
        int64_t start = now();
        hcrPerformCodeReload();
        printf("%lld\n", (long long)(now() - start));
    } else if (words == 1 && strcmp(word, "needed") == 0) {
        int64_t start = now();
        uint8_t answer = hcrReloadNeeded();
        int64_t end = now();
        printf("%lld %d\n", (long long)(end - start), answer);
    } else if (words == 3 && strcmp(word, "value") == 0) {
        char name[4096];
        full_name(name, sizeof name, folder, first);
        proc_fn proc = (proc_fn)hcrGetProc(name, second);
        if (!proc)
            die(second, "no such proc");
        printf("%ld\n", proc(0));
    } else if (words == 1 && strcmp(word, "stat") == 0) {
        command_stat();
    } else if (words == 2 && strcmp(word, "register") == 0) {
        command_register(atol(first));
    } else if (words == 3 && strcmp(word, "call") == 0) {
        command_call(first, atol(second));
    } else {
        die(line, "no such command");
    }
    fflush(stdout);
}

/* In a frame of its own, below the address that Nim's collector takes for the end of the stack. */
__attribute__((noinline)) static void run(void *hcr, const char *folder) {
    void (*hcrAddModule)(const char *) = symbol(hcr, "hcrAddModule");
    void (*hcrInit)(char **, const char *, const char *, void (*)(void), void *, void *(*)(void *, const char *)) =
        symbol(hcr, "hcrInit");
    hcrRegisterProc = symbol(hcr, "hcrRegisterProc");
    hcrGetProc = symbol(hcr, "hcrGetProc");
    hcrReloadNeeded = symbol(hcr, "hcrReloadNeeded");
    hcrPerformCodeReload = symbol(hcr, "hcrPerformCodeReload");
    hcrAddModule(main_module);
    hcrAddModule(modules[0]);
    hcrInit(modules, main_module, modules[0], main_dat_init, hcr, get_proc_addr);
    printf("ready\n");
    fflush(stdout);
    char line[2048];
    while (fgets(line, sizeof line, stdin))
        obey(folder, line);
}

int main(int argc, char **argv) {
    if (argc < 5)
        die("usage", "host LIBNIMHCR LIBNIMRTL FOLDER MODULE...");
    const char *folder = argv[3];
    module_count = argc - 4;
    modules = calloc((size_t)module_count + 1, sizeof *modules);
    if (!modules)
        die("modules", "no memory");
    for (int i = 0; i < module_count; i++) {
        size_t size = strlen(folder) + strlen(argv[i + 4]) + 2;
        modules[i] = malloc(size);
        if (!modules[i])
            die("modules", "no memory");
        full_name(modules[i], size, folder, argv[i + 4]);
    }
    modules[module_count] = "";
    full_name(main_module, sizeof main_module, folder, "lib@mhost.nim.c.so");

    /* The order in which Nim's own programs do it. */
    void *hcr = open_library(argv[1]);
    void *rtl = open_library(argv[2]);
    void (*set_stack_bottom)(void *) = symbol(rtl, "nimrtl_nimGC_setStackBottom");
    void *here = 0;
    set_stack_bottom(&here);
    /* With the collector on, Nim's own run-time crashes in hcrInit as soon as there are some 300 modules: it seems
     * that a collection frees its tables. With the collector off it works. */
    void (*disable_collector)(void) = symbol(rtl, "nimrtl_GC_disable");
    disable_collector();
    run(hcr, folder);
    return 0;
}
