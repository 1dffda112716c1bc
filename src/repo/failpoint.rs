//! Where tests of debug builds kill the process, to see what a power cut leaves behind, or make it panic, to see what it says then.

/// Kills the process when `FACTORYUP_KILL_AT` names this step, and panics when `FACTORYUP_PANIC_AT` does, with the text in
/// `FACTORYUP_PANIC_TEXT`. Does nothing in a release build.
pub(crate) fn reached(step: &str) {
    #[cfg(debug_assertions)]
    {
        let is_wanted = |name| std::env::var_os(name).is_some_and(|wanted| wanted == step);
        assert!(!is_wanted("FACTORYUP_PANIC_AT"), "{}", std::env::var("FACTORYUP_PANIC_TEXT").unwrap_or_default());
        if is_wanted("FACTORYUP_KILL_AT") {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = step;
}
