//! Keeps what the process holds in memory out of core files and from others of its user: tokens, credentials of targets,
//! answers before they are masked.

use std::io;

/// From now on no core file is written of this process (RLIMIT_CORE of 0, not to be raised again), and on Linux no process
/// of the same user may read its memory or trace it (PR_SET_DUMPABLE, which also holds where a program receives core
/// files, that no limit is asked for: core(5)).
///
/// # Errors
/// When the system does not take it.
pub(crate) fn keep_private() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}
