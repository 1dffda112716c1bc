//! `gitlab-stand-in`: starts a stand-in, prints its address and an owner's token, and stops on Ctrl-C.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use gitlab_stand_in::{Edition, Options, StandIn, Tier, served_calls};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Start a GitLab stand-in on this machine, to test a GitLab client against
///
/// It listens on 127.0.0.1 only, with one group, the group's owner and a token of that owner with the scope `api`. A user `root`
/// is the administrator. It needs git. It runs no CI jobs and renders no pages. Except for repositories in --dir, it forgets
/// everything when it stops.
///
/// Exit codes: 0 after Ctrl-C; 1 if it could not be started; 2 for wrong flags.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Port on 127.0.0.1 [default: any free port]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,

    /// Path of the group to create
    #[arg(long, value_name = "PATH", default_value = "factory", value_parser = name)]
    group: String,

    /// Name of the user who owns the group
    #[arg(long, value_name = "NAME", default_value = "owner", value_parser = name)]
    owner: String,

    /// Edition and license to behave as
    #[arg(long, value_enum, default_value_t)]
    edition: Build,

    /// GitLab version to behave as
    #[arg(long, value_name = "VERSION", default_value = "18.11.0", value_parser = version)]
    gitlab_version: String,

    /// Refuse new project runners to Maintainers, as an instance may
    #[arg(long)]
    no_runner_registration: bool,

    /// Let only administrators create service accounts, as an instance may
    #[arg(long)]
    no_service_accounts_by_owners: bool,

    /// Directory for the repositories, which stays [default: a temporary one, which is removed]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// List the API calls that it answers, and exit
    #[arg(long)]
    list_calls: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Build {
    /// Community Edition
    Ce,
    /// Enterprise Edition without a license
    #[default]
    Ee,
    /// Enterprise Edition with a Premium license
    Premium,
}

/// What GitLab takes as the path of a group or as a username, as far as it matters here.
fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("use letters, digits, `_`, `-` and `.`, with a letter or digit first".to_owned())
    }
}

fn version(text: &str) -> Result<String, String> {
    if text.split('.').count() == 3 && text.split('.').all(|part| part.parse::<u16>().is_ok()) {
        Ok(text.to_owned())
    } else {
        Err("use MAJOR.MINOR.PATCH, such as 18.11.0".to_owned())
    }
}

/// What went wrong, and what to do about it.
struct Failure {
    message: String,
    remedy: Option<&'static str>,
}

impl From<gitlab_stand_in::Error> for Failure {
    fn from(error: gitlab_stand_in::Error) -> Self {
        Self { message: error.to_string(), remedy: error.remedy() }
    }
}

fn cannot<E: Display>(what: &str) -> impl FnOnce(E) -> Failure {
    move |error| Failure { message: format!("cannot {what}: {error}"), remedy: None }
}

fn main() -> ExitCode {
    let Err(failure) = run(Arguments::parse()) else { return ExitCode::SUCCESS };
    let mut stderr = io::stderr();
    let _ = writeln!(stderr, "error: {}", failure.message);
    if let Some(remedy) = failure.remedy {
        let _ = writeln!(stderr, "next: {remedy}");
    }
    ExitCode::FAILURE
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.list_calls {
        let mut stdout = io::stdout().lock();
        let listed = served_calls().try_for_each(|call| writeln!(stdout, "{:7} {}", call.method, call.path));
        return listed.map_err(cannot("write to standard output"));
    }
    // Before there is anything to clean up, so that no signal ends the process without it.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot("watch for Ctrl-C"))?;
    // Dropped last, after the stand-in that uses it.
    let temporary = tempfile::tempdir().map_err(cannot("create a temporary directory"))?;
    let (edition, tier) = match arguments.edition {
        Build::Ce => (Edition::Ce, Tier::Free),
        Build::Ee => (Edition::Ee, Tier::Free),
        Build::Premium => (Edition::Ee, Tier::Premium),
    };
    let stand_in = StandIn::start(Options {
        edition,
        tier,
        version: arguments.gitlab_version,
        port: arguments.port,
        group: arguments.group.clone(),
        owner: arguments.owner,
        runner_registration: !arguments.no_runner_registration,
        owners_make_service_accounts: !arguments.no_service_accounts_by_owners,
        ..Options::new(arguments.dir.unwrap_or_else(|| temporary.path().to_owned()))
    })?;
    let (url, group, owner, token) = (stand_in.url(), arguments.group, stand_in.owner(), stand_in.owner_token());
    let text = format!(
        "url:    {url}\ngroup:  {group}\nowner:  {owner}\ntoken:  {token}\n\n\
         Try it:\n  curl --header 'PRIVATE-TOKEN: {token}' {url}/api/v4/groups/{group}\n\nCtrl-C stops it.\n"
    );
    io::stdout().write_all(text.as_bytes()).map_err(cannot("write to standard output"))?;
    signals.forever().next();
    Ok(())
}
