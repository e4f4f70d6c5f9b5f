/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thread creation and what the process needs before its first thread.
 */
#include "core/thread.h"

#include <string.h>
#include <urcu.h>

#include "core/error.h"
#include "core/loop.h"

typedef struct ThreadStart {
    void *(*fn)(void *);
    void *arg;
} ThreadStart;

static void *thread_main(void *opaque)
{
    g_autofree ThreadStart *start = opaque;
    void *result;

    rcu_register_thread();
    result = start->fn(start->arg);
    rcu_unregister_thread();
    return result;
}

static bool naming = true; /* set before the first thread */

void thread_set_naming(bool on)
{
    naming = on;
}

/* Signals to the process are the main thread's; faults belong to the thread that made them. */
static void thread_signal_mask(sigset_t *blocked)
{
    static const int open[] = { SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SIGABRT, SIGSYS, VCPU_KICK_SIGNAL };

    sigfillset(blocked);
    for (unsigned i = 0; i < G_N_ELEMENTS(open); i++)
        sigdelset(blocked, open[i]);
}

bool thread_create(pthread_t *thread, const char *name, void *(*fn)(void *), void *arg, GError **errp)
{
    ThreadStart *start = g_new0(ThreadStart, 1);
    char comm[16]; /* TASK_COMM_LEN */
    sigset_t blocked, before;
    int err;

    start->fn = fn;
    start->arg = arg;
    g_strlcpy(comm, name, sizeof(comm));

    /* The mask is inherited, so the thread never runs with another one. */
    thread_signal_mask(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    err = pthread_create(thread, NULL, thread_main, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err) {
        g_free(start);
        return error_set_errno(errp, err, "cannot create thread '%s' (see ulimit -u and the cgroup's pids.max)", name);
    }
    /* By the creator, so that the name is there when this returns. */
    if (naming)
        pthread_setname_np(*thread, comm);
    return true;
}

static void kick_handler(int sig)
{
}

void core_init(void)
{
    /* No SA_RESTART: the point of the signal is that the call ends. */
    struct sigaction kick = { .sa_handler = kick_handler };

    sigemptyset(&kick.sa_mask);
    sigaction(VCPU_KICK_SIGNAL, &kick, NULL);
    rcu_register_thread();
    event_loop_main();
}
