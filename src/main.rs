//! The `factoryup` binary: parse, run, turn the error into an exit code.

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::Parser;
use factoryup::cli::{self, Cli};
use factoryup::ui::{Settings, Ui, interrupted, prompt};
use factoryup::{Kind, interrupt, process};

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
    let for_end = Arc::clone(&ui);
    let result = interrupt::watch(move || end(for_end)).and_then(|()| cli.run(&ui));
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

/// Ends an interrupted process, after the clean-ups, and says so; not for long, since nobody may be reading any more.
#[allow(clippy::exit)]
fn end(ui: Arc<Ui>) {
    prompt::restore();
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        ui.fail(&interrupted());
        let _ = said.send(());
    });
    let _ = heard.recv_timeout(Duration::from_millis(400));
    std::process::exit(Kind::Interrupted.exit_code().into())
}
