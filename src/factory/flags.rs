//! The table as command-line flags and environment variables.

use std::ffi::OsString;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::answers::{Answers, Source};
use super::fields::{FIELDS, Field, ValueKind};
use super::rules::Fault;
use crate::error::{Error, Result};

/// All answers that were given as flags, for `#[command(flatten)]`.
///
/// Values are checked by [`answers`](Self::answers), together with those of the environment, so that all that is wrong comes at once.
#[derive(Clone, Debug, Default)]
pub struct AnswerFlags(Vec<(&'static Field, String)>);

impl AnswerFlags {
    /// The answers of the flags and, where there is no flag, of the environment. `variable` looks one up; one that is empty counts as
    /// not set.
    ///
    /// # Errors
    /// `Usage` with every value that cannot be used.
    pub fn answers(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Answers> {
        let mut answers = Answers::default();
        let mut faults = Vec::new();
        for field in FIELDS {
            let flag = self.0.iter().find(|(given, _)| given.key == field.key).map(|(_, text)| text.clone());
            let from_flag = flag.is_some();
            let given = flag.map(Ok).or_else(|| {
                let value = variable(&field.env()).filter(|value| !value.is_empty())?;
                Some(value.into_string().map_err(|_| Fault::new("is not UTF-8", "write it as UTF-8")))
            });
            match given.map(|text| text.and_then(|text| field.read(&text))) {
                None => {}
                Some(Ok(value)) => {
                    answers.set(field, value, if from_flag { Source::Flag } else { Source::Environment });
                }
                Some(Err(fault)) => {
                    let name = if from_flag { format!("--{}", field.flag) } else { field.env() };
                    faults.push(format!("{name} {fault}"));
                }
            }
        }
        match faults.as_slice() {
            [] => Ok(answers),
            [one] => Err(Error::usage(one)),
            several => Err(Error::usage(format!("{} values are invalid\n{}", several.len(), several.join("\n")))),
        }
    }
}

impl clap::FromArgMatches for AnswerFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = FIELDS.iter().filter_map(|field| {
            let values = matches.get_many::<String>(field.key)?;
            Some((field, values.map(String::as_str).collect::<Vec<_>>().join("\n")))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let new = Self::from_arg_matches(matches)?;
        self.0.retain(|(field, _)| new.0.iter().all(|(other, _)| other.key != field.key));
        self.0.extend(new.0);
        Ok(())
    }
}

impl clap::Args for AnswerFlags {
    fn augment_args(command: Command) -> Command {
        FIELDS.iter().fold(command, |command, field| command.arg(arg(field)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn arg(field: &'static Field) -> Arg {
    let range = match field.kind {
        ValueKind::Number { min, max } => format!(", {min} to {max}"),
        _ => String::new(),
    };
    let default = field.default.filter(|default| !default.is_empty());
    let default = default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    let help = format!("{}{range}{default} [env: {}]", field.help, field.env());
    let arg = Arg::new(field.key).long(field.flag).help(help).help_heading("Answers");
    match field.kind {
        ValueKind::Text => arg.value_name("TEXT"),
        ValueKind::Number { .. } => arg.value_name("NUMBER").allow_negative_numbers(true),
        ValueKind::Choice(choices) => {
            let words = choices.iter().map(|choice| PossibleValue::new(choice.value).help(choice.label));
            arg.value_name("WORD").value_parser(PossibleValuesParser::new(words))
        }
        ValueKind::Bool => arg.value_name("BOOL").num_args(0..=1).require_equals(true).default_missing_value("true"),
        ValueKind::List { commas, .. } => {
            arg.value_name(if commas { "LIST" } else { "LINE|FILE" }).action(ArgAction::Append)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::factory::fields::{Value, by_key};

    fn parse(args: &[&str]) -> AnswerFlags {
        let command = AnswerFlags::augment_args(Command::new("init").no_binary_name(true));
        command.clone().debug_assert();
        AnswerFlags::from_arg_matches(&command.try_get_matches_from(args).unwrap()).unwrap()
    }

    fn environment(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| OsString::from(value))
    }

    #[test]
    fn a_flag_wins_over_its_variable() {
        let flags = parse(&["--name", "acme", "--cloudflare", "--environments", "dev", "--environments", "live"]);
        let pairs = &[("FACTORYUP_NAME", "other"), ("FACTORYUP_HOST_PORT", "2222"), ("FACTORYUP_HOST_LOGIN", "")];
        let answers = flags.answers(environment(pairs)).unwrap();
        let source = |key: &str| answers.answer(by_key(key).unwrap()).map(|answer| answer.source.clone());
        assert_eq!(answers.get("factory.name"), Some(Value::Text("acme".into())));
        assert_eq!(answers.get("cloudflare.enabled"), Some(Value::Bool(true)));
        assert_eq!(answers.get("environments.names"), Some(Value::List(vec!["dev".into(), "live".into()])));
        assert_eq!(answers.get("host.port"), Some(Value::Number(2222)));
        assert_eq!((source("factory.name"), source("host.port")), (Some(Source::Flag), Some(Source::Environment)));
        assert_eq!(source("host.login"), None);
    }

    #[test]
    fn all_that_is_wrong_comes_at_once_and_no_secret_with_it() {
        let flags = parse(&["--name", "A", "--host-port", "0", "--gitlab-group", "glpat-0123456789abcdef"]);
        let error = flags.answers(environment(&[("FACTORYUP_SUDO", "often")])).unwrap_err();
        assert_eq!(error.kind().exit_code(), 64);
        let text = error.to_string();
        for part in [
            "4 values",
            "--name contains `A`",
            "--host-port is out",
            "FACTORYUP_SUDO is not one",
            "--gitlab-group contains a GitLab",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("0123456789"), "{text}");
    }
}
