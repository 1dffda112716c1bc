//! The `factoryup` binary: parse, run, turn the error into an exit code.

use std::panic::{AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::Parser;
use factoryup::cli::{self, Cli};
use factoryup::dialog::Dialog as _;
use factoryup::ui::{Settings, Ui, prompt};
use factoryup::{Error, Kind, interrupt, process, secret, trace};
use serde_json::json;

/// Whether some thread panicked, and that was said.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    process::leave_no_core_dump();
    say_panics(Ui::new(Settings { json: asks_for_json(), ..Settings::default() }).into());
    // What the run owns is dropped on a panic too: a lock is released, a disposable host ends.
    let code = std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_default();
    secret::forget_all();
    // The panic of another thread does not end this one, but the work is not done.
    ExitCode::from(if PANICKED.load(Ordering::SeqCst) { Kind::Internal.exit_code() } else { code })
}

fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = Arc::new(Ui::new(cli.settings()));
    say_panics(Arc::clone(&ui));
    let (to_say, to_end) = (Arc::clone(&ui), Arc::clone(&ui));
    let watching = interrupt::watch(move |text| to_say.warn(text), move |error| end(to_end, error));
    let result = watching.and_then(|()| cli.run(&ui));
    ended(result.as_ref().map(|ending| ending.exit_code()));
    if let Some(missing) = trace::lost() {
        ui.warn(&missing);
    }
    match result {
        Ok(ending) => ending.exit_code(),
        // A run says one error, and this one follows from the panic of a thread.
        Err(error) if PANICKED.load(Ordering::SeqCst) => error.kind().exit_code(),
        Err(error) => ui.fail(&error),
    }
}

/// clap's own message, but with the exit code that the documentation promises, and as JSON where that was asked for. Help and version
/// are no errors.
fn usage(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        let _ = error.print();
        return 0;
    }
    let ui = Ui::new(Settings { json: asks_for_json(), ..Settings::default() });
    if ui.is_json() {
        return ui.fail(&cli::usage_error(error));
    }
    ui.fail_usage(error);
    Kind::Usage.exit_code()
}

/// Records how the run ended.
fn ended(result: Result<u8, &Error>) {
    trace::note("end", || match result {
        Ok(code) => json!({"code": code}),
        Err(error) => {
            let (kind, hints) = (error.kind(), error.hints());
            json!({"code": kind.exit_code(), "error": error.to_string(), "causes": error.causes(), "hints": hints})
        }
    });
}

fn asks_for_json() -> bool {
    std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json")
}

/// Has the first panic said as the internal error that it is: with `--json` as one event, and without secrets.
fn say_panics(ui: Arc<Ui>) {
    std::panic::set_hook(Box::new(move |panic| {
        prompt::restore();
        if !PANICKED.swap(true, Ordering::SeqCst) {
            say_soon(Arc::clone(&ui), fault(panic));
        }
        // A build that aborts would end by a signal instead of the documented exit code.
        #[allow(clippy::exit)]
        if cfg!(panic = "abort") {
            std::process::exit(Kind::Internal.exit_code().into());
        }
    }));
}

fn fault(panic: &PanicHookInfo<'_>) -> Error {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    Error::internal(format!("factoryup panicked{place}: {}", text.unwrap_or("no message")))
        .hint("report it, with the command and the output of `factoryup --version`")
        .hint("run the command again; it reads the current state first")
}

/// Ends an interrupted process.
#[allow(clippy::exit)]
fn end(ui: Arc<Ui>, error: Error) {
    prompt::restore();
    ended(Err(&error));
    let code = error.kind().exit_code();
    say_soon(ui, error);
    secret::forget_all();
    std::process::exit(code.into())
}

/// Says why the process ends; not for long, since nobody may be reading any more, and a thread that panicked may hold the stream.
fn say_soon(ui: Arc<Ui>, error: Error) {
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        ui.fail(&error);
        let _ = said.send(());
    });
    let _ = heard.recv_timeout(Duration::from_millis(400));
}
