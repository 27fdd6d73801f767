//! Which of the process's threads the system runs first.

/// How much less than others a thread gets that gives way: at 10, a tenth of what one gets that does not, and all that nobody
/// else wants. At 19, the most, it would get a seventieth, and documents would stand still beside any other program that
/// keeps all cores busy.
#[cfg(target_os = "linux")]
const NICENESS: libc::c_int = 10;

/// Has the calling thread give way to the process's other threads, for as long as it lives.
///
/// On Linux, where priorities are each thread's own; elsewhere all threads stay alike.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub fn give_way() {
    // SAFETY: it takes a number and touches no memory of ours. In Linux's C libraries it is the calling thread that it is about.
    //
    // A thread may always give way further, but for a sandbox that forbids the call: then it stays as it is, which costs time alone.
    let _ = unsafe { libc::nice(NICENESS) };
}

/// Has the calling thread give way to the process's other threads, for as long as it lives.
///
/// On Linux, where priorities are each thread's own; elsewhere all threads stay alike.
#[cfg(not(target_os = "linux"))]
pub fn give_way() {}
