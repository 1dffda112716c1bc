//! The `factoryup` binary: parse, run, turn the error into an exit code.

use std::panic::PanicHookInfo;
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

/// Whether a thread panicked.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    process::leave_no_core_dump();
    end_on_panic(Ui::new(Settings { json: asks_for_json(), ..Settings::default() }).into());
    let code = run();
    secret::forget_all();
    ExitCode::from(code)
}

fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = Arc::new(Ui::new(cli.settings()));
    end_on_panic(Arc::clone(&ui));
    let (to_say, to_end) = (Arc::clone(&ui), Arc::clone(&ui));
    let watching = interrupt::watch(move |text| to_say.warn(text), move |error| end(to_end, error));
    let result = watching.and_then(|()| cli.run(&ui));
    ended(result.as_ref().map(|ending| ending.exit_code()));
    if let Some(missing) = trace::lost() {
        ui.warn(&missing);
    }
    match result {
        Ok(ending) => ending.exit_code(),
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

/// Ends the process on the first panic of any thread, as the internal error that it is: with `--json` as one event, and without secrets.
///
/// A release aborts on a panic, so that nothing would unwind. Every build therefore ends here, as on a second Ctrl-C, and the tests see
/// what users see. What must not outlive the process has a keeper of its own; see [`interrupt`].
fn end_on_panic(ui: Arc<Ui>) {
    std::panic::set_hook(Box::new(move |panic| {
        while PANICKED.swap(true, Ordering::SeqCst) {
            // The first one is being said.
            thread::park();
        }
        end(Arc::clone(&ui), fault(panic));
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

/// Ends the process after it said why; not for long, since nobody may be reading any more, and a thread that panicked may hold the stream.
#[allow(clippy::exit)]
fn end(ui: Arc<Ui>, error: Error) {
    prompt::restore();
    let code = error.kind().exit_code();
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        ended(Err(&error));
        ui.fail(&error);
        secret::forget_all();
        let _ = said.send(());
    });
    let _ = heard.recv_timeout(Duration::from_millis(400));
    std::process::exit(code.into())
}
