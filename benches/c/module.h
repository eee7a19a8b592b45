/* What every generated module begins with: the run-time's procs, fetched as the code that Nim emits does. */
#include <stdint.h>

typedef long (*proc_fn)(long);

static void *(*hcrRegisterProc)(const char *, const char *, void *);
static void *(*hcrGetProc)(const char *, const char *);
static uint8_t (*hcrRegisterGlobal)(const char *, const char *, intptr_t, void (*)(void), void **);
static void *(*hcrGetGlobal)(const char *, const char *);

#define PUBLIC __attribute__((visibility("default")))

/* One call each, with the names spelled out, because that is what the compiler emits. */
#define OWN_PROC(name) name = (proc_fn)hcrRegisterProc(SELF, #name, (void *)name##_actual);
#define GET_PROC(module, name) name = (proc_fn)hcrGetProc(module, #name);
#define GET_GLOBAL(module, name) name = (long *)hcrGetGlobal(module, #name);
#define OWN_GLOBAL(name, size, first) \
    if (hcrRegisterGlobal(SELF, #name, size, 0, (void **)&name)) *name = first;
#define TYPE_INFO(name) hcrRegisterGlobal(SELF, #name, 64, 0, (void **)&name);

PUBLIC void HcrInit000(void *handle, void *(*get)(void *, const char *)) {
    hcrRegisterProc = get(handle, "hcrRegisterProc");
    hcrGetProc = get(handle, "hcrGetProc");
    hcrRegisterGlobal = get(handle, "hcrRegisterGlobal");
    hcrGetGlobal = get(handle, "hcrGetGlobal");
}

PUBLIC void **HcrGetImportedModules(void);
PUBLIC char *HcrGetSigHash(void);
PUBLIC void HcrCreateTypeInfos(void);
PUBLIC void DatInit000(void);
PUBLIC void Init000(void);
