//! Lowers the scheduling priority of threads.

/// The niceness of threads that give way: at 10, such a thread gets a tenth of the time of one that does not, and all time that is left
/// over. At 19, the most, it would get a seventieth, and documents would stand still beside any other program that keeps all cores busy.
#[cfg(target_os = "linux")]
const NICENESS: libc::c_int = 10;

/// Lowers the calling thread's priority against the process's other threads, for as long as it lives.
///
/// On Linux, where each thread has its own priority; elsewhere it does nothing.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub fn lower_priority() {
    // SAFETY: it takes a number and touches no memory of ours. In Linux's C libraries it applies to the calling thread.
    //
    // A thread may always lower its own priority, except in a sandbox that forbids the call. Then the priority stays, which only costs
    // time.
    let _ = unsafe { libc::nice(NICENESS) };
}

/// Does nothing: this system has no priorities of threads.
#[cfg(not(target_os = "linux"))]
pub fn lower_priority() {}
