//! The `factoryup` binary: parse, run, turn the error into an exit code.

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::Parser;
use factoryup::cli::{self, Cli};
use factoryup::dialog::Dialog as _;
use factoryup::ui::{Settings, Ui, prompt};
use factoryup::{Error, Kind, interrupt, process, trace};
use serde_json::json;

fn main() -> ExitCode {
    process::leave_no_core_dump();
    let said = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        prompt::restore();
        said(panic);
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = Arc::new(Ui::new(cli.settings()));
    let (to_say, to_end) = (Arc::clone(&ui), Arc::clone(&ui));
    let watching = interrupt::watch(move |text| to_say.warn(text), move |error| end(to_end, error));
    let result = watching.and_then(|()| cli.run(&ui));
    ended(result.as_ref().map(|ending| ending.exit_code()));
    if let Some(missing) = trace::lost() {
        ui.warn(&missing);
    }
    match result {
        Ok(ending) => ExitCode::from(ending.exit_code()),
        Err(error) => ExitCode::from(ui.fail(&error)),
    }
}

/// clap's own message, but with the exit code that the documentation promises, and as JSON where that was asked for. Help and version
/// are no errors.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let asked = std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json");
    let ui = Ui::new(Settings { json: asked, ..Settings::default() });
    if asked {
        return ExitCode::from(ui.fail(&cli::usage_error(error)));
    }
    ui.fail_usage(error);
    ExitCode::from(Kind::Usage.exit_code())
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

/// Ends an interrupted process and says why; not for long, since nobody may be reading any more.
#[allow(clippy::exit)]
fn end(ui: Arc<Ui>, error: Error) {
    prompt::restore();
    ended(Err(&error));
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        ui.fail(&error);
        let _ = said.send(());
    });
    let _ = heard.recv_timeout(Duration::from_millis(400));
    std::process::exit(Kind::Interrupted.exit_code().into())
}
