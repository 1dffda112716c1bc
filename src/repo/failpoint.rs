//! Where tests of debug builds kill the process, to see what a power cut leaves behind.

/// Kills the process when `FACTORYUP_KILL_AT` names this step. Does nothing in a release build.
pub(crate) fn reached(step: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("FACTORYUP_KILL_AT").is_some_and(|wanted| wanted == step) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = step;
}
