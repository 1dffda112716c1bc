//! The `factoryup` binary: parse, run, turn the error into an exit code.

use std::process::ExitCode;

use clap::Parser;
use factoryup::cli::Cli;
use factoryup::ui::Ui;
use factoryup::{Kind, interrupt, process};

fn main() -> ExitCode {
    process::leave_no_core_dump();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = Ui::new(cli.settings());
    let result = interrupt::watch(end).and_then(|()| cli.run(&ui));
    match result {
        Ok(ending) => ExitCode::from(ending.exit_code()),
        Err(error) => ExitCode::from(ui.fail(&error)),
    }
}

/// clap's own message, but with the exit code that the documentation promises. Help and version are no errors.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(Kind::Usage.exit_code()) } else { ExitCode::SUCCESS }
}

/// Ends an interrupted process, after the clean-ups.
#[allow(clippy::exit)]
fn end(code: i32) -> ! {
    std::process::exit(code)
}
