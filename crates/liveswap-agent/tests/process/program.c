// A program as the link stage makes them, in small: slots, a descriptor, room for thread-locals. It
// does what it is told, line by line, and prints one line for each.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

struct descriptor {
    uint64_t version, header, words_start, words_end, slots_start, slots_end;
};
extern void liveswap_start(const struct descriptor *);

#define SLOT(name)                                                            \
    ".section .data.words,\"aw\",@progbits\n"                                 \
    ".globl word_" #name "\nword_" #name ": .quad actual_" #name "\n"         \
    ".section .text.slots,\"ax\",@progbits\n"                                 \
    ".globl " #name "\n.type " #name ",@function\n"                           \
    #name ": jmp *word_" #name "(%rip)\n"

__asm__(".section .data.words,\"aw\",@progbits\n.balign 8\nwords_start:\n"
        SLOT(answer) SLOT(value) SLOT(around) SLOT(third)
        ".section .data.words,\"aw\",@progbits\nwords_end:\n"
        ".section .tdata,\"awT\",@progbits\n.balign 16\n.globl room\n.type room,@object\n"
        ".size room,4096\nroom: .zero 4096\n"
        ".text\n");

extern char words_start[], words_end[];
extern char word_answer[], word_value[], word_around[], word_third[];
extern __thread char room[4096] __attribute__((tls_model("local-exec")));
extern long answer(void);
extern long value(void);
extern long around(long (*inner)(void));
extern long third(void);

__thread int an_own_thread_local = 77;
long a_static = 5;

long actual_answer(void) { return 1; }
long actual_value(void) { return -1; }
__attribute__((noinline)) long actual_around(long (*inner)(void)) { return inner() + 1; }
long actual_third(void) { return 3; }

static struct descriptor descriptor;
static double start_ms;

static void start(void) {
    descriptor = (struct descriptor){1, (uint64_t)__ehdr_start, (uint64_t)words_start,
                                     (uint64_t)words_end, 0, 0};
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    liveswap_start(&descriptor);
    clock_gettime(CLOCK_MONOTONIC, &after);
    start_ms = (after.tv_sec - before.tv_sec) * 1e3 + (after.tv_nsec - before.tv_nsec) / 1e6;
}
__attribute__((section(".init_array"), used)) static void (*start_entry)(void) = start;

// Threads that wait for a round, and say what they read in it.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int rounds, waiting, live;
static long values[4096];
static int value_count;

static void *worker(void *argument) {
    (void)argument;
    int seen = 0;
    pthread_mutex_lock(&lock);
    seen = rounds;
    live++;
    pthread_cond_broadcast(&changed);
    for (;;) {
        waiting++;
        pthread_cond_broadcast(&changed);
        while (rounds == seen) pthread_cond_wait(&changed, &lock);
        waiting--;
        seen = rounds;
        if (rounds < 0) break;
        values[value_count++] = value();
        if (an_own_thread_local != 77) values[value_count - 1] = -77;
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void print_values(void) {
    pthread_mutex_lock(&lock);
    value_count = 0;
    rounds++;
    pthread_cond_broadcast(&changed);
    while (value_count < live) pthread_cond_wait(&changed, &lock);
    printf("values %ld", value());
    for (int i = 0; i < value_count; i++) printf(" %ld", values[i]);
    printf("\n");
    pthread_mutex_unlock(&lock);
}

// Threads that come and go without pause.
static atomic_int churning;
static atomic_long churned, wrong;
static long expected_by_new_code;

static void *short_lived(void *argument) {
    long got = value();
    if (got != -1 && got != expected_by_new_code) atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&churned, 1);
    switch ((long)argument % 3) {
    case 0: return NULL;
    case 1: pthread_exit(NULL);
    default: pthread_detach(pthread_self()); return NULL;
    }
}

static void *churner(void *argument) {
    (void)argument;
    for (long n = 0; atomic_load(&churning); n++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, short_lived, (void *)n) != 0) {
            atomic_fetch_add(&wrong, 1000);
            continue;
        }
        if (n % 3 != 2) pthread_join(thread, NULL);
    }
    return NULL;
}

// A thread that waits below `around`.
static int blocking[2];
static long wait_for_byte(void) {
    char byte;
    return read(blocking[0], &byte, 1);
}
static void *blocked(void *argument) {
    (void)argument;
    around(wait_for_byte);
    return NULL;
}

// Unwinding.
static uintptr_t trace[64];
static int trace_len;
static _Unwind_Reason_Code note(struct _Unwind_Context *context, void *data) {
    (void)data;
    if (trace_len < 64) trace[trace_len++] = _Unwind_GetIP(context);
    return _URC_NO_REASON;
}
static long take_trace(void) {
    trace_len = 0;
    _Unwind_Backtrace(note, NULL);
    return 0;
}

// An initialiser that throws.
static struct _Unwind_Exception thrown;
static void fails(void) {
    a_static += 1000;
    memset(&thrown, 0, sizeof thrown);
    _Unwind_RaiseException(&thrown);
    abort();
}

struct listing {
    int slices, others, bad;
    uint64_t first, last_end;
    char first_name[512];
    unsigned long long adds;
};
static int list(struct dl_phdr_info *info, size_t size, void *data) {
    struct listing *l = data;
    if (size < sizeof *info) l->bad++;
    if (strstr(info->dlpi_name, "/slice-") == NULL) {
        l->others++;
        l->adds = info->dlpi_adds;
        return 0;
    }
    const ElfW(Phdr) *header = info->dlpi_phdr;
    if (info->dlpi_phnum != 1 || header->p_type != PT_LOAD || header->p_memsz != 65536 ||
        info->dlpi_addr == 0 || header->p_flags != (PF_R | PF_X) || info->dlpi_adds != l->adds)
        l->bad++;
    if (l->slices == 0) {
        l->first = info->dlpi_addr + header->p_vaddr;
        snprintf(l->first_name, sizeof l->first_name, "%s", info->dlpi_name);
    } else if (info->dlpi_addr + header->p_vaddr != l->last_end) {
        l->bad++;
    }
    l->last_end = info->dlpi_addr + header->p_vaddr + header->p_memsz;
    l->slices++;
    return 0;
}
static int stop_at_third(struct dl_phdr_info *info, size_t size, void *data) {
    (void)info, (void)size;
    return ++*(int *)data == 3 ? 33 : 0;
}

static void *nothing(void *argument) { return argument; }

static int in_child(void) {
    pthread_t thread;
    struct listing l = {0};
    for (int i = 0; i < 20; i++) {
        if (pthread_create(&thread, NULL, nothing, NULL) != 0) return 1;
        if (pthread_join(thread, NULL) != 0) return 2;
    }
    dl_iterate_phdr(list, &l);
    if (l.others == 0 || l.bad != 0) return 3;
    if (getenv("LIVESWAP_SOCKET") != NULL) return 4;
    return 40 + (int)answer();
}

static int fork_once(void) {
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(in_child());
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define ADDRESS(what) ((uint64_t)(what) - (uint64_t)__ehdr_start)

static void facts(void) {
    uint64_t tls_len = 0, tls_align = 1;
    const ElfW(Ehdr) *header = (const void *)__ehdr_start;
    const ElfW(Phdr) *headers = (const void *)(__ehdr_start + header->e_phoff);
    uint64_t base = 0;
    for (int i = 0; i < header->e_phnum; i++) {
        if (headers[i].p_type == PT_TLS) {
            tls_len = headers[i].p_memsz;
            tls_align = headers[i].p_align;
        }
        if (headers[i].p_type == PT_LOAD && headers[i].p_offset == 0) base = headers[i].p_vaddr;
    }
    int64_t tpoff = (int64_t)((uintptr_t)room - (uintptr_t)pthread_self());
    uint64_t size = (tls_len + tls_align - 1) / tls_align * tls_align;
    printf("facts base=%llu word_answer=%llu word_value=%llu word_around=%llu word_third=%llu "
           "actual_answer=%llu actual_third=%llu fails=%llu a_static=%llu tls_offset=%lld tls_len=%llu "
           "start_us=%lld\n",
           (unsigned long long)base, (unsigned long long)(base + ADDRESS(word_answer)),
           (unsigned long long)(base + ADDRESS(word_value)),
           (unsigned long long)(base + ADDRESS(word_around)),
           (unsigned long long)(base + ADDRESS(word_third)),
           (unsigned long long)(base + ADDRESS(actual_answer)),
           (unsigned long long)(base + ADDRESS(actual_third)),
           (unsigned long long)(base + ADDRESS(fails)),
           (unsigned long long)(base + ADDRESS(&a_static)),
           (long long)(tpoff + (int64_t)size), (unsigned long long)tls_len,
           (long long)(start_ms * 1000));
    printf("tpoff %lld\n", (long long)tpoff);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "at once") == 0) return 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    char line[256];
    pthread_t churners[4];
    if (pipe(blocking) != 0) return 9;
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (strcmp(line, "facts") == 0) {
            facts();
        } else if (strcmp(line, "call") == 0) {
            long first = answer(), last = third();
            printf("answer %ld third %ld static %ld\n", first, last, a_static);
        } else if (strncmp(line, "start ", 6) == 0) {
            int more = atoi(line + 6);
            pthread_mutex_lock(&lock);
            int wanted = live + more;
            pthread_mutex_unlock(&lock);
            pthread_attr_t attributes;
            pthread_attr_init(&attributes);
            pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
            pthread_attr_setstacksize(&attributes, 128 * 1024);
            for (int i = 0; i < more; i++) {
                pthread_t thread;
                if (pthread_create(&thread, &attributes, worker, NULL) != 0) return 8;
            }
            pthread_mutex_lock(&lock);
            while (live < wanted || waiting < wanted) pthread_cond_wait(&changed, &lock);
            pthread_mutex_unlock(&lock);
            printf("started %d\n", more);
        } else if (strcmp(line, "values") == 0) {
            print_values();
        } else if (strncmp(line, "churn ", 6) == 0) {
            expected_by_new_code = atol(line + 6);
            atomic_store(&churning, 1);
            for (int i = 0; i < 4; i++) pthread_create(&churners[i], NULL, churner, NULL);
            while (atomic_load(&churned) < 20) sched_yield();
            printf("churning\n");
        } else if (strcmp(line, "still") == 0) {
            atomic_store(&churning, 0);
            for (int i = 0; i < 4; i++) pthread_join(churners[i], NULL);
            printf("churned %s wrong %ld\n", churned > 20 ? "many" : "few", atomic_load(&wrong));
        } else if (strcmp(line, "block") == 0) {
            pthread_t thread;
            pthread_create(&thread, NULL, blocked, NULL);
            printf("blocked\n");
        } else if (strcmp(line, "trace") == 0) {
            around(take_trace);
            Dl_info info;
            int in_main = 0;
            for (int i = 0; i < trace_len; i++)
                if (dladdr((void *)trace[i], &info) && trace[i] - (uintptr_t)main < 8192) in_main = 1;
            printf("trace %d main %d second %llu\n", trace_len, in_main,
                   trace_len > 1 ? (unsigned long long)trace[1] : 0ULL);
        } else if (strcmp(line, "list") == 0) {
            struct listing l = {0};
            int all = dl_iterate_phdr(list, &l), count = 0;
            int stopped = dl_iterate_phdr(stop_at_third, &count);
            printf("list slices=%d bad=%d first=%llu end=%llu all=%d stopped=%d count=%d name=%s\n",
                   l.slices, l.bad, (unsigned long long)l.first, (unsigned long long)l.last_end, all,
                   stopped, count, l.first_name);
        } else if (strcmp(line, "environment") == 0) {
            FILE *child = popen("env | grep -c '^LIVESWAP_[SI]'", "r");
            int count = -1;
            if (child == NULL || fscanf(child, "%d", &count) != 1) count = -1;
            pclose(child);
            printf("environment %d %s\n", count, getenv("LIVESWAP_SOCKET") ? "there" : "gone");
        } else if (strcmp(line, "fork") == 0) {
            printf("fork %d\n", fork_once());
        } else if (strcmp(line, "leave main") == 0) {
            pthread_exit(NULL);
        } else {
            printf("? %s\n", line);
        }
    }
    return 0;
}
