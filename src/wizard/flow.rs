//! The order of the questions.

use std::cell::Cell;

use super::apart;
use super::discover::Discovered;
use super::known::{complete, known};
use super::memory::Memory;
use super::review;
use crate::dialog::plain;
use crate::error::{Error, Kind, Result};
use crate::factory::answers::{Answers, Source};
use crate::factory::fields::{Ask, FIELDS, Field, Value, ValueKind};
use crate::factory::{Factory, looks_secret};
use crate::ui::prompt::{Asker, Question, Reply};

/// Asks for all settings that are neither given nor detected, and returns the reviewed factory.
///
/// `given` is what flags, variables or an existing file say; none of it is asked for.
///
/// # Errors
/// `Interrupted` if the user cancels. The answers are saved in `memory`, and nothing else is written.
pub fn run(asker: &dyn Asker, found: &Discovered, given: Answers, memory: &Memory, scope: Scope) -> Result<Factory> {
    let former = Answers::default();
    let can_keep = Cell::new(true);
    let mut wizard = Wizard { asker, found, memory, answers: given, former, scope, only: None, can_keep };
    wizard.ask_everything()?;
    let factory = wizard.answers.to_factory()?;
    memory.forget();
    Ok(factory)
}

/// Asks for `fields`, as far as they apply beside the answers `given` and have none there, and returns all of it. Nothing is kept of a
/// series that is left.
///
/// # Errors
/// `Interrupted` if the user cancels.
pub(super) fn ask_only(asker: &dyn Asker, fields: &[&'static Field], given: Answers) -> Result<Answers> {
    let scope = Scope { only_missing: false, review: false };
    let mut wizard = Wizard {
        asker,
        found: &Discovered::default(),
        memory: &Memory::none(),
        answers: given,
        former: Answers::default(),
        scope,
        only: Some(fields),
        can_keep: Cell::new(true),
    };
    if wizard.open_questions() > 0 {
        asker.say("Enter accepts the value in brackets, ? explains, Esc or < goes back, Ctrl-U clears the line, Ctrl-C quits.");
        wizard.ask_in_order()?;
    }
    Ok(wizard.answers)
}

/// How much to ask.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Only for what has neither a default nor was found.
    pub only_missing: bool,
    /// Whether all answers are shown before the end, if some were asked for.
    pub review: bool,
}

struct Wizard<'a> {
    asker: &'a dyn Asker,
    found: &'a Discovered,
    memory: &'a Memory,
    answers: Answers,
    /// Withdrawn answers, as presets for the repeated question.
    former: Answers,
    scope: Scope,
    /// The only fields to ask for, each that has no answer.
    only: Option<&'a [&'static Field]>,
    /// Whether answers can be kept; said once when not.
    can_keep: Cell<bool>,
}

impl Wizard<'_> {
    fn ask_everything(&mut self) -> Result<()> {
        let open = self.open_questions();
        if open == 0 {
            complete(&mut self.answers, self.found, self.scope.only_missing);
            return Ok(());
        }
        self.asker.say("Enter accepts the value in brackets, ? explains, Esc or < goes back, Ctrl-U clears the line, Ctrl-C quits and saves your answers.");
        self.offer_to_resume()?;
        self.ask_in_order()?;
        loop {
            complete(&mut self.answers, self.found, self.scope.only_missing);
            if !self.scope.review {
                return Ok(());
            }
            self.asker.say(&review::text(&self.answers, self.found));
            if self.reviewed()? {
                return Ok(());
            }
            self.ask_in_order()?;
        }
    }

    fn open_questions(&self) -> usize {
        FIELDS.iter().filter(|field| self.is_open(field)).count()
    }

    /// Whether to ask for the field.
    fn is_open(&self, field: &Field) -> bool {
        if let Some(only) = self.only {
            let among = only.iter().any(|other| other.key == field.key);
            return among && field.applies(&self.answers) && self.answers.answer(field).is_none();
        }
        let answered =
            self.answers.answer(field).is_some_and(|answer| !answer.value.is_empty() || field.default.is_some());
        let found = self.found.answers.answer(field).is_some();
        let worth_asking = field.ask == Ask::Always && !self.scope.only_missing && !found;
        let unknown = known(field, &self.answers, self.found, self.scope.only_missing).is_none();
        field.applies(&self.answers) && !answered && (worth_asking || unknown)
    }

    fn offer_to_resume(&mut self) -> Result<()> {
        let Some(kept) = self.memory.recall() else { return Ok(()) };
        let count = kept.answers.len();
        let name_in = |answers: &Answers| answers.get("factory.name").map(|name| name.to_string());
        let name = name_in(&kept.answers).map_or_else(String::new, |name| format!(" {name}"));
        let here = plain(&self.memory.folder());
        let elsewhere = kept.folder != self.memory.folder();
        // By default, do not reuse the answers of another factory.
        let another =
            name_in(&self.answers).is_some_and(|given| name_in(&kept.answers).is_some_and(|name| name != given));
        self.asker.say(&format!("\nFound saved answers for the factory{name} in {}.", plain(&kept.folder)));
        if elsewhere {
            self.asker.say(&format!(
                "You are now in {here}. The wizard writes nothing to the other directory, whatever you choose."
            ));
        }
        let options = [
            format!("yes – continue with {count} answer{}, for {here}", if count == 1 { "" } else { "s" }),
            if elsewhere {
                "no – start over; your first answer replaces the saved ones".to_owned()
            } else {
                "no – start over and delete the saved answers".to_owned()
            },
        ];
        let question = Question {
            prompt: "Continue with the saved answers?",
            explain: &format!(
                "They were entered for {}. They are kept until a wizard is finished.",
                plain(&kept.folder)
            ),
            preset: "",
            masks: looks_secret,
        };
        loop {
            match self.asker.choose(&question, &options, usize::from(elsewhere || another))? {
                Reply::Given(0) => {
                    self.answers.fill_from(&kept.answers);
                    return Ok(());
                }
                Reply::Given(_) => {
                    if !elsewhere {
                        self.memory.forget();
                    }
                    return Ok(());
                }
                Reply::Back => self.asker.say("This is the first question."),
            }
        }
    }

    /// Asks what is open from the first field to the last, back and forth.
    fn ask_in_order(&mut self) -> Result<()> {
        let mut at = 0;
        while let Some(field) = FIELDS.get(at) {
            if !self.is_open(field) {
                at += 1;
                continue;
            }
            match self.ask(field)? {
                Reply::Given(value) => {
                    apart::set(&mut self.answers, field, value);
                    self.keep();
                    at += 1;
                }
                Reply::Back => match self.answered_before(at) {
                    Some(earlier) => {
                        self.take_back(&FIELDS[earlier]);
                        at = earlier;
                    }
                    None => self.asker.say("This is the first question."),
                },
            }
        }
        Ok(())
    }

    /// The last field before this one that the user answered.
    fn answered_before(&self, at: usize) -> Option<usize> {
        (0..at).rev().find(|index| {
            let answer = self.answers.answer(&FIELDS[*index]);
            answer.is_some_and(|answer| matches!(answer.source, Source::Asked | Source::Saved))
        })
    }

    fn take_back(&mut self, field: &Field) {
        if let Some(answer) = self.answers.answer(field).cloned() {
            self.former.set(field, answer.value, answer.source);
            self.answers.unset(field);
        }
    }

    fn keep(&self) {
        if let Err(error) = self.memory.keep(&self.answers)
            && self.can_keep.replace(false)
        {
            self.asker.warn(&format!("cannot save your answers for later: {error}"));
        }
    }

    /// Returns true if the user accepts; otherwise an answer was changed or withdrawn.
    fn reviewed(&mut self) -> Result<bool> {
        let options = [
            format!("yes – write {}", crate::factory::FILE_NAME),
            "change – edit one of the answers".to_owned(),
            "leave – write nothing, save the answers for later".to_owned(),
        ];
        let question = Question {
            prompt: "Is this correct?",
            explain: "Nothing has been written yet. Later, `factoryup plan` shows the pending changes, and you can edit the file at \
                      any time.",
            preset: "",
            masks: looks_secret,
        };
        match self.asker.choose(&question, &options, 0)? {
            Reply::Given(0) => Ok(true),
            Reply::Given(1) => self.change().map(|()| false),
            Reply::Given(_) => Err(Error::new(Kind::Interrupted, "canceled; nothing was written")
                .hint("run the command again to continue with your answers")),
            Reply::Back => {
                if let Some(last) = self.answered_before(FIELDS.len()) {
                    self.take_back(&FIELDS[last]);
                }
                Ok(false)
            }
        }
    }

    fn change(&mut self) -> Result<()> {
        let fields: Vec<&Field> = FIELDS.iter().filter(|field| field.applies(&self.answers)).collect();
        let label = |field: &&Field| format!("{}: {}", field.prompt, review::short(field, &self.answers));
        let options: Vec<String> = fields.iter().map(label).collect();
        let question =
            Question { prompt: "Which one?", explain: "Esc goes back to the review.", preset: "", masks: looks_secret };
        let Reply::Given(index) = self.asker.choose(&question, &options, 0)? else { return Ok(()) };
        let Some(field) = fields.get(index) else { return Ok(()) };
        if let Some(value) = self.answers.get(field.key) {
            self.former.set(field, value, Source::Asked);
        }
        if let Reply::Given(value) = self.ask(field)? {
            apart::set(&mut self.answers, field, value);
            self.keep();
        }
        Ok(())
    }

    fn ask(&self, field: &Field) -> Result<Reply<Value>> {
        match (field.kind, field.key) {
            (ValueKind::Bool, _) => self.ask_yes_or_no(field),
            (ValueKind::Choice(choices), _) => {
                let options: Vec<String> = choices.iter().map(|c| format!("{} – {}", c.value, c.label)).collect();
                let preset = self.preset(field);
                let at = choices.iter().position(|choice| choice.value == preset).unwrap_or(0);
                let reply = self.asker.choose(&question(field, "", field.explain), &options, at)?;
                Ok(map(reply, |index| Value::Text(choices[index].value.to_owned())))
            }
            (_, "host.address") if !self.found.aliases.is_empty() => self.ask_address(field),
            (_, "host.authorized_keys") => self.ask_keys(field),
            _ => self.ask_text(field, &self.preset(field)),
        }
    }

    /// What the question begins with.
    fn preset(&self, field: &Field) -> String {
        let of = |answers: &Answers| answers.answer(field).map(|answer| answer.value.to_string());
        let known = || known(field, &self.answers, self.found, true).map(|(value, _)| value.to_string());
        of(&self.former).or_else(known).unwrap_or_default()
    }

    fn ask_text(&self, field: &Field, preset: &str) -> Result<Reply<Value>> {
        let clear = if field.default == Some("") { " Type \"\" for an empty value." } else { "" };
        let explain = format!("{}{clear} Example: {}", field.explain, field.example);
        let text = |text: &str| if text == "\"\"" { String::new() } else { text.to_owned() };
        let check = |typed: &str| {
            let value = apart::read(field, &text(typed))?;
            if value.is_empty() && field.is_required(&self.answers) {
                return Err(crate::factory::Fault::new("is empty", format!("enter a value such as {}", field.example)));
            }
            Ok(())
        };
        let reply = self.asker.text(&question(field, preset, &explain), &check)?;
        let Reply::Given(typed) = reply else { return Ok(Reply::Back) };
        let value =
            apart::read(field, &text(&typed)).map_err(|fault| Error::usage(format!("{} {fault}", field.prompt)))?;
        Ok(Reply::Given(value))
    }

    fn ask_yes_or_no(&self, field: &Field) -> Result<Reply<Value>> {
        let at = usize::from(self.preset(field) != "true");
        let options = ["yes", "no"].map(str::to_owned);
        let reply = self.asker.choose(&question(field, "", field.explain), &options, at)?;
        Ok(map(reply, |index| Value::Bool(index == 0)))
    }

    /// The hosts of `~/.ssh/config` to choose from, or another one.
    fn ask_address(&self, field: &Field) -> Result<Reply<Value>> {
        let aliases = &self.found.aliases;
        let mut options: Vec<String> = aliases
            .iter()
            .map(|alias| match &alias.host_name {
                Some(host) => format!("{} – {host}", alias.name),
                None => alias.name.clone(),
            })
            .collect();
        options.push("another – not in ~/.ssh/config".to_owned());
        let preset = self.preset(field);
        let at = aliases.iter().position(|alias| alias.name == preset);
        let at = at.unwrap_or(if preset.is_empty() { 0 } else { aliases.len() });
        loop {
            match self.asker.choose(&question(field, "", field.explain), &options, at)? {
                Reply::Back => return Ok(Reply::Back),
                Reply::Given(index) => match aliases.get(index) {
                    Some(alias) => return Ok(Reply::Given(Value::Text(alias.name.clone()))),
                    None => match self.ask_text(field, &preset)? {
                        Reply::Back => {}
                        given @ Reply::Given(_) => return Ok(given),
                    },
                },
            }
        }
    }

    /// The keys found to pick from, and any others.
    fn ask_keys(&self, field: &Field) -> Result<Reply<Value>> {
        let former = match self.former.answer(field).map(|answer| &answer.value) {
            Some(Value::List(keys)) => Some(keys.clone()),
            _ => None,
        };
        let mut keys = self.found.keys.clone();
        let known: Vec<String> = keys.iter().map(|key| key.line.clone()).collect();
        for line in former.iter().flatten().filter(|line| !known.contains(line)) {
            keys.push(super::discover::PublicKey {
                line: line.clone(),
                place: "entered before".to_owned(),
                usual: true,
            });
        }
        if keys.is_empty() {
            return self.ask_text(field, "");
        }
        let mut options: Vec<String> =
            keys.iter().map(|key| format!("{} – {}", review::short_key(&key.line), key.place)).collect();
        options.push("another – a .pub file, or a line to paste".to_owned());
        let taken =
            |key: &super::discover::PublicKey| former.as_ref().map_or(key.usual, |former| former.contains(&key.line));
        let preset: Vec<usize> = (0..keys.len()).filter(|index| taken(&keys[*index])).collect();
        loop {
            let explain = format!("{} Space marks or unmarks a key, Enter accepts the marked keys.", field.explain);
            let Reply::Given(picked) = self.asker.pick(&question(field, "", &explain), &options, &preset)? else {
                return Ok(Reply::Back);
            };
            let mut lines: Vec<String> =
                picked.iter().filter_map(|index| keys.get(*index)).map(|key| key.line.clone()).collect();
            if picked.contains(&keys.len()) {
                match self.ask_text(field, "")? {
                    Reply::Given(Value::List(more)) => {
                        lines.extend(more.into_iter().filter(|line| !known.contains(line)));
                    }
                    _ => continue,
                }
            }
            match field.check(&Value::List(lines.clone())) {
                Ok(()) if !lines.is_empty() => return Ok(Reply::Given(Value::List(lines))),
                Ok(()) => self.asker.warn("Without a key you could not log in: mark one, or add another."),
                Err(fault) => self.asker.warn(&format!("{} {fault}", field.prompt)),
            }
        }
    }
}

fn question<'q>(field: &'q Field, preset: &'q str, explain: &'q str) -> Question<'q> {
    Question { prompt: field.prompt, explain, preset, masks: looks_secret }
}

fn map<T, U>(reply: Reply<T>, with: impl FnOnce(T) -> U) -> Reply<U> {
    match reply {
        Reply::Given(given) => Reply::Given(with(given)),
        Reply::Back => Reply::Back,
    }
}
