use super::*;

/// What a C program would call.
fn spawn(routine: Routine, argument: *mut c_void) -> libc::pthread_t {
    let mut id = 0;
    // SAFETY: a thread without attributes; the tests join it.
    let done = unsafe { pthread_create(&raw mut id, std::ptr::null(), routine, argument) };
    assert_eq!(done, 0);
    id
}

fn join(id: libc::pthread_t) {
    // SAFETY: a thread of this test that nobody joined yet.
    assert_eq!(unsafe { libc::pthread_join(id, std::ptr::null_mut()) }, 0);
}

fn is_listed(id: libc::pthread_t) -> bool {
    let mut found = false;
    assert!(for_each(|pointer| found |= pointer == id as usize));
    found
}

unsafe extern "C-unwind" fn wait_for_flag(flag: *mut c_void) -> *mut c_void {
    // SAFETY: the test's flag outlives the thread.
    let flag = unsafe { &*flag.cast::<AtomicBool>() };
    while !flag.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    std::ptr::null_mut()
}

unsafe extern "C-unwind" fn exit_early(_: *mut c_void) -> *mut c_void {
    // SAFETY: ends this thread, whose frames have nothing to do.
    unsafe { libc::pthread_exit(std::ptr::null_mut()) }
}

#[test]
fn a_thread_is_listed_while_it_lives() {
    let flag = AtomicBool::new(false);
    let ids: Vec<_> = (0..8)
        .map(|_| spawn(wait_for_flag, (&raw const flag).cast_mut().cast()))
        .collect();
    assert!(ids.iter().all(|id| is_listed(*id)));
    flag.store(true, Ordering::Release);
    for id in &ids {
        join(*id);
    }
    assert!(!ids.iter().any(|id| is_listed(*id)));
}

#[test]
fn a_thread_that_calls_pthread_exit_is_not_listed_any_more() {
    for _ in 0..100 {
        let id = spawn(exit_early, std::ptr::null_mut());
        join(id);
        assert!(!is_listed(id));
    }
}
